import { Body, Controller, Delete, Get, Inject, Param, Post, Put, Query, Res } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import type { CallContext } from '@prime-nest/contracts/context';
import { Id } from '@prime-nest/contracts/ids';
import { page } from '@prime-nest/contracts/page';
import { Feature, rbacRpc } from '@prime-nest/contracts/rbac';
import type { FastifyReply } from 'fastify';
import type { z } from 'zod';
import { Requires } from '../access/route-access.decorator.js';
import type { Calls } from '../calls.js';
import { Describe, ifMatch } from '../http/describe.decorator.js';
import { showEffect, showLocation, showVersion } from '../http/effects.js';
import { Changing, Context } from '../http/parameters.decorator.js';
import type { Change } from '../http/parameters.decorator.js';
import { PageQuery } from '../http/query.js';
import { CALLS } from '../tokens.js';
import * as sample from './samples.js';

const NewFeatureBody = rbacRpc['rbac.feature.create.v1'].request.meta({ id: 'NewFeature' });
const FeatureBody = rbacRpc['rbac.feature.update.v1'].request
  .omit({ id: true, version: true })
  .meta({ id: 'FeatureChange' });
const FeatureView = Feature.meta({ id: 'Feature' });
const FeaturePage = page(Feature).meta({ id: 'FeaturePage' });

@ApiTags('features')
@Controller('features')
export class FeaturesHttp {
  constructor(@Inject(CALLS) private readonly calls: Calls) {}

  @Get()
  @Requires('rbac:view')
  @Describe({ summary: 'List features', response: FeaturePage, example: { data: [sample.feature], total: 1 } })
  list(
    @Query({ schema: PageQuery }) query: PageQuery,
    @Context() context: CallContext,
  ): Promise<z.output<typeof FeaturePage>> {
    return this.calls.call('rbac.feature.list.v1', query, context);
  }

  @Post()
  @Requires('rbac:create')
  @Describe({
    summary: 'Create a feature',
    status: 201,
    response: FeatureView,
    example: sample.feature,
    request: { name: sample.feature.name, description: sample.feature.description },
    errors: ['name_taken'],
  })
  async create(
    @Body({ schema: NewFeatureBody }) body: z.output<typeof NewFeatureBody>,
    @Context() context: CallContext,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<Feature> {
    const { feature, effect } = await this.calls.call('rbac.feature.create.v1', body, context);
    showEffect(reply, effect);
    showVersion(reply, feature);
    showLocation(reply, `${reply.request.routeOptions.url ?? ''}/${feature.id}`);
    return feature;
  }

  @Get(':id')
  @Requires('rbac:view')
  @Describe({ summary: 'Show a feature', response: FeatureView, example: sample.feature, errors: ['not_found'] })
  async get(
    @Param('id', { schema: Id }) id: string,
    @Context() context: CallContext,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<Feature> {
    const feature = await this.calls.call('rbac.feature.get.v1', { id }, context);
    showVersion(reply, feature);
    return feature;
  }

  @Put(':id')
  @Requires('rbac:edit')
  @Describe({
    summary: 'Replace description and activity of a feature',
    description: 'The permissions of an inactive feature are denied to everybody. The name is fixed.',
    response: FeatureView,
    example: sample.feature,
    request: { description: sample.feature.description, isActive: true },
    errors: ['not_found', 'version_conflict', 'last_administrator', 'escalation_refused', 'bad_request'],
    headers: ifMatch,
  })
  async update(
    @Param('id', { schema: Id }) id: string,
    @Body({ schema: FeatureBody }) body: z.output<typeof FeatureBody>,
    @Changing() { context, expected, reply }: Change,
  ): Promise<Feature> {
    const request = { id, ...body, ...expected };
    const { feature, effect } = await this.calls.call('rbac.feature.update.v1', request, context);
    showEffect(reply, effect);
    showVersion(reply, feature);
    return feature;
  }

  @Delete(':id')
  @Requires('rbac:delete')
  @Describe({
    summary: 'Delete a feature that has no permissions',
    status: 204,
    errors: ['not_found', 'in_use', 'version_conflict', 'bad_request'],
    headers: ifMatch,
  })
  async delete(
    @Param('id', { schema: Id }) id: string,
    @Changing() { context, expected, reply }: Change,
  ): Promise<void> {
    const { effect } = await this.calls.call('rbac.feature.delete.v1', { id, ...expected }, context);
    showEffect(reply, effect);
  }
}
