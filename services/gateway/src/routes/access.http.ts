import { Body, Controller, Get, Inject, Post, Query } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import type { CallContext } from '@prime-nest/contracts/context';
import { AppError } from '@prime-nest/contracts/errors';
import { Id } from '@prime-nest/contracts/ids';
import { PermissionName, rbacRpc } from '@prime-nest/contracts/rbac';
import type { Check } from '@prime-nest/contracts/rbac';
import { z } from 'zod';
import {
  Evaluation,
  EvaluationResult,
  Evaluations,
  checkOf,
  completed,
  resultOf,
  shorten,
} from '../access/evaluation.js';
import { Requires } from '../access/route-access.decorator.js';
import type { Calls } from '../calls.js';
import { Describe } from '../http/describe.decorator.js';
import { Context } from '../http/parameters.decorator.js';
import { CALLS } from '../tokens.js';
import * as sample from './samples.js';

const EvaluationResults = z.object({ evaluations: z.array(EvaluationResult) }).meta({ id: 'EvaluationResults' });
const ExplainQuery = z.strictObject({
  userId: Id,
  permission: PermissionName,
  atRevision: z
    .string()
    .regex(/^\d{1,15}$/, { error: 'must be a whole number' })
    .transform(Number)
    .optional()
    .meta({ type: 'integer', minimum: 0 }),
});
const Guarantee = rbacRpc['rbac.guarantee.get.v1'].response.meta({ id: 'Guarantee' });
const Explanation = rbacRpc['rbac.access.explain.v1'].response.meta({ id: 'Explanation' });

const asked = {
  subject: { type: 'user', id: sample.account.id },
  action: { name: 'view' },
  resource: { type: 'invoices', id: '2026-0042' },
};
const granted = { decision: true, context: { reason: 'granted', revision: 17 } };

@ApiTags('access')
@Controller()
export class AccessHttp {
  constructor(@Inject(CALLS) private readonly calls: Calls) {}

  @Post('access/v1/evaluation')
  @Requires('rbac:evaluate')
  @Describe({
    summary: 'Decide whether a user may do something (AuthZEN 1.0)',
    description: 'The permission asked for is `<resource.type>:<action.name>`.',
    response: EvaluationResult,
    example: granted,
    request: asked,
  })
  async evaluate(
    @Body({ schema: Evaluation }) evaluation: Evaluation,
    @Context() context: CallContext,
  ): Promise<EvaluationResult> {
    const [result] = await this.#decide([evaluation], context);
    if (result === undefined) throw new AppError('internal', { internal: { reason: 'no decision' } });
    return result;
  }

  @Post('access/v1/evaluations')
  @Requires('rbac:evaluate')
  @Describe({
    summary: 'Decide several at one policy revision (AuthZEN 1.0)',
    response: EvaluationResults,
    example: { evaluations: [granted] },
    request: { subject: asked.subject, evaluations: [{ action: asked.action, resource: asked.resource }] },
  })
  async evaluateAll(
    @Body({ schema: Evaluations }) body: Evaluations,
    @Context() context: CallContext,
  ): Promise<z.output<typeof EvaluationResults>> {
    const evaluations = completed(body).map((evaluation, index) => {
      if (evaluation !== undefined) return evaluation;
      const violations = [{ pointer: `/evaluations/${index}`, message: 'needs subject, action and resource' }];
      throw new AppError('validation_failed', { details: { violations } });
    });
    const results = await this.#decide(evaluations, context);
    return { evaluations: shorten(results, body.options?.evaluations_semantic ?? 'execute_all') };
  }

  @Get('rbac/explain')
  @Requires('rbac:view')
  @Describe({
    summary: 'Explain a decision: the roles that grant, or why nothing does',
    description: 'Now, or as it was at an earlier revision.',
    errors: ['not_found'],
    response: Explanation,
    example: {
      revision: 17,
      decision: { effect: 'allow' },
      grantedBy: [{ roleId: sample.role.id, roleName: sample.role.name }],
      notGrantedBy: [],
    },
  })
  explain(
    @Query({ schema: ExplainQuery }) { userId, permission, atRevision }: z.output<typeof ExplainQuery>,
    @Context() context: CallContext,
  ): Promise<z.output<typeof Explanation>> {
    const at = atRevision === undefined ? {} : { atRevision };
    return this.calls.call('rbac.access.explain.v1', { principalId: userId, permission, ...at }, context);
  }

  @Get('rbac/guarantee')
  @Requires('rbac:view')
  @Describe({
    summary: 'How surely and how fast changes take effect now',
    response: Guarantee,
    example: { revision: 17, leaseMs: 1000, heartbeatMs: 250, barrierMsMax: 1500, members: [] },
  })
  guarantee(@Context() context: CallContext): Promise<z.output<typeof Guarantee>> {
    return this.calls.call('rbac.guarantee.get.v1', {}, context);
  }

  /** One message for all, so that all are decided at one revision. */
  async #decide(evaluations: readonly Evaluation[], context: CallContext): Promise<EvaluationResult[]> {
    const asked = evaluations.map(checkOf);
    const checks = asked.filter((check): check is Check => typeof check === 'object');
    if (checks.length === 0) return asked.map(unasked);
    const { decisions, revision } = await this.calls.call('rbac.access.decide.v1', { checks }, context);
    let next = 0;
    return asked.map((check) => {
      if (typeof check === 'string') return unasked(check);
      const decision = decisions[next++];
      if (decision === undefined) throw new AppError('internal', { internal: { reason: 'decisions missing' } });
      return resultOf(decision, revision);
    });
  }
}

function unasked(check: ReturnType<typeof checkOf>): EvaluationResult {
  return resultOf({ effect: 'deny', reason: typeof check === 'string' ? check : 'unknown_permission' });
}
