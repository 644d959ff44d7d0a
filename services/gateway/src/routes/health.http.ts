import { Controller, Get, Inject, Res } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import type { FastifyReply } from 'fastify';
import { z } from 'zod';
import { Public } from '../access/route-access.decorator.js';
import type { GatewayChecks, Readiness } from '../health-checks.js';
import { Describe } from '../http/describe.decorator.js';
import { CHECKS } from '../tokens.js';

const Liveness = z.object({ status: z.literal('alive') }).meta({ id: 'Liveness' });
const ReadinessView = z
  .object({
    status: z.enum(['ready', 'not_ready', 'draining']),
    failing: z.array(z.string()),
    degraded: z.array(z.string()),
  })
  .meta({ id: 'Readiness' });

@ApiTags('health')
@Controller('health')
export class HealthHttp {
  constructor(@Inject(CHECKS) private readonly checks: GatewayChecks) {}

  @Get('liveness')
  @Public({ isLimited: false })
  @Describe({ summary: 'Whether the process runs; asks nobody', response: Liveness, example: { status: 'alive' } })
  liveness(): z.output<typeof Liveness> {
    return { status: 'alive' };
  }

  @Get('readiness')
  @Public({ isLimited: false })
  @Describe({
    summary: 'Whether this gateway should get traffic',
    description: 'Answers 503 with the names of what is missing when it should not.',
    response: ReadinessView,
    example: { status: 'ready', failing: [], degraded: [] },
  })
  async readiness(@Res({ passthrough: true }) reply: FastifyReply): Promise<Readiness> {
    const found = await this.checks.readiness();
    if (found.status !== 'ready') reply.code(503);
    return found;
  }
}
