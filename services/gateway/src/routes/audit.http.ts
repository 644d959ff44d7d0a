import { Controller, Get, Inject, Param, Query } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import { EventFilter, LogEntry, auditRpc } from '@prime-nest/contracts/audit';
import type { CallContext } from '@prime-nest/contracts/context';
import { Id } from '@prime-nest/contracts/ids';
import { z } from 'zod';
import { Requires } from '../access/route-access.decorator.js';
import type { Calls } from '../calls.js';
import { Describe } from '../http/describe.decorator.js';
import { Context } from '../http/parameters.decorator.js';
import { queryInteger } from '../http/query.js';
import { CALLS } from '../tokens.js';
import * as sample from './samples.js';

const EventQuery = EventFilter.extend({
  limit: queryInteger({ min: 1, max: 200, preset: 50 }),
  cursor: z.string().min(1).max(64).optional(),
});
const EventPage = auditRpc['audit.event.search.v1'].response.meta({ id: 'EventPage' });
const Entry = LogEntry.meta({ id: 'LogEntry' });

@ApiTags('audit')
@Controller('audit')
export class AuditHttp {
  constructor(@Inject(CALLS) private readonly calls: Calls) {}

  @Get('events')
  @Requires('audit:view')
  @Describe({
    summary: 'Search the audit log, newest first',
    description:
      'Conditions are joined by AND. `nextCursor` leads to the next page, which stays the same while the log grows. The search itself is recorded.',
    response: EventPage,
    example: { data: [sample.logEntry], nextCursor: null },
  })
  search(
    @Query({ schema: EventQuery }) query: z.output<typeof EventQuery>,
    @Context() context: CallContext,
  ): Promise<z.output<typeof EventPage>> {
    return this.calls.call('audit.event.search.v1', query, context);
  }

  @Get('events/:id')
  @Requires('audit:view')
  @Describe({
    summary: 'Show one entry of the audit log',
    response: Entry,
    example: sample.logEntry,
    errors: ['not_found'],
  })
  get(@Param('id', { schema: Id }) id: string, @Context() context: CallContext): Promise<LogEntry> {
    return this.calls.call('audit.event.get.v1', { id }, context);
  }
}
