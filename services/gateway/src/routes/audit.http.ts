import { Readable } from 'node:stream';
import { Controller, Get, Inject, Param, Query, Req, Res, StreamableFile } from '@nestjs/common';
import { ApiParam, ApiTags } from '@nestjs/swagger';
import { EventFilter, ExportedEntry, LogEntry, RetiredEntries, auditRpc } from '@prime-nest/contracts/audit';
import type { CallContext } from '@prime-nest/contracts/context';
import { AppError } from '@prime-nest/contracts/errors';
import { Id } from '@prime-nest/contracts/ids';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { z } from 'zod';
import { exportLines } from '../audit/export-log.command.js';
import { parseTilePath, proofText, wantsText } from '../audit/proof-format.js';
import { linked } from '../audit/trace-url.js';
import type { LinkedEntry } from '../audit/trace-url.js';
import { Public, Requires } from '../access/route-access.decorator.js';
import type { Calls } from '../calls.js';
import { Describe } from '../http/describe.decorator.js';
import { Context } from '../http/parameters.decorator.js';
import { queryInteger } from '../http/query.js';
import { CALLS, TRACE_URL_TEMPLATE } from '../tokens.js';
import * as sample from './samples.js';

const EventQuery = EventFilter.extend({
  limit: queryInteger({ min: 1, max: 200, preset: 50 }),
  cursor: z.string().min(1).max(64).optional(),
});
const Entry = LogEntry.extend({
  traceUrl: z.string().optional().meta({ description: 'Where a person sees the trace, when that is configured.' }),
}).meta({ id: 'LogEntry' });
const EventPage = auditRpc['audit.event.search.v1'].response.extend({ data: z.array(Entry) }).meta({ id: 'EventPage' });
const Proof = auditRpc['audit.event.proof.v1'].response.meta({ id: 'InclusionProof' });
const Checkpoint = auditRpc['audit.checkpoint.get.v1'].response.meta({ id: 'Checkpoint' });
const Consistency = auditRpc['audit.checkpoint.consistency.v1'].response.meta({ id: 'ConsistencyProof' });
const TreeSize = z
  .string()
  .regex(/^[1-9]\d{0,14}$/, { error: 'must be a whole number above zero' })
  .transform(Number);
const ConsistencyQuery = z.strictObject({
  from: TreeSize.meta({ type: 'integer', minimum: 1 }),
  to: TreeSize.optional().meta({ type: 'integer', minimum: 1 }),
});
const ExportLine = z
  .union([z.object({ retired: RetiredEntries }), ExportedEntry, z.object({ checkpoint: z.string() })])
  .meta({
    id: 'ExportLine',
    description:
      'One line. The first one names the entries that have been retired, if any were; the last one holds the checkpoint that the export is complete up to.',
  });

const note = 'prime-nest-log\n42\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n\u2014 prime-nest-log c2lnbmF0dXJl\n';
const rootHash = 'CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=';

@ApiTags('audit')
@Controller('audit')
export class AuditHttp {
  constructor(
    @Inject(CALLS) private readonly calls: Calls,
    @Inject(TRACE_URL_TEMPLATE) private readonly traceUrlTemplate: string | undefined,
  ) {}

  @Get('events')
  @Requires('audit:view')
  @Describe({
    summary: 'Search the audit log, newest first',
    description:
      'Conditions are joined by AND. `nextCursor` leads to the next page, which stays the same while the log grows. The search itself is recorded.',
    response: EventPage,
    example: { data: [sample.logEntry], nextCursor: null },
  })
  async search(
    @Query({ schema: EventQuery }) query: z.output<typeof EventQuery>,
    @Context() context: CallContext,
  ): Promise<{ data: LinkedEntry[]; nextCursor: string | null }> {
    const { data, nextCursor } = await this.calls.call('audit.event.search.v1', query, context);
    return { data: data.map((entry) => linked(entry, this.traceUrlTemplate)), nextCursor };
  }

  @Get('events/:id')
  @Requires('audit:view')
  @Describe({
    summary: 'Show one entry of the audit log',
    response: Entry,
    example: sample.logEntry,
    errors: ['not_found'],
  })
  async get(@Param('id', { schema: Id }) id: string, @Context() context: CallContext): Promise<LinkedEntry> {
    return linked(await this.calls.call('audit.event.get.v1', { id }, context), this.traceUrlTemplate);
  }

  @Get('events/:id/proof')
  @Requires('audit:view')
  @Describe({
    summary: 'Prove that an entry is in the log (RFC 6962)',
    description:
      'With `Accept: text/plain` the proof is a C2SP tlog-proof. A very new entry may answer 503: not signed yet.',
    response: Proof,
    example: {
      index: 41,
      treeSize: 42,
      entry: 'eyJhY3Rpb24iOiJyb2xlLmNyZWF0ZSJ9',
      proof: [rootHash],
      checkpoint: note,
    },
    errors: ['not_found'],
    isAlsoText: true,
  })
  async proof(
    @Param('id', { schema: Id }) id: string,
    @Context() context: CallContext,
    @Req() request: FastifyRequest,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<z.output<typeof Proof> | string> {
    const proof = await this.calls.call('audit.event.proof.v1', { id }, context);
    if (!wantsText(request.headers.accept)) return proof;
    reply.type('text/plain; charset=utf-8');
    return proofText(proof);
  }

  @Get('export')
  @Requires('audit:export', { limit: { name: 'audit-export', share: 0.01 } })
  @Describe({
    summary: 'Export the audit log as NDJSON, in log order',
    description:
      'Without a filter the entries are the whole log up to the checkpoint in the last line. A body without that line is not complete.',
    response: ExportLine,
    example: { checkpoint: note },
    mediaType: 'application/x-ndjson',
  })
  async export(
    @Query({ schema: EventFilter }) filter: EventFilter,
    @Context() context: CallContext,
  ): Promise<StreamableFile> {
    const lines = await exportLines(this.calls, filter, context);
    return new StreamableFile(Readable.from(lines, { objectMode: false }), {
      type: 'application/x-ndjson',
      disposition: 'attachment; filename="audit.ndjson"',
    });
  }

  @Get('checkpoint')
  @Public()
  @Describe({
    summary: 'The newest signed checkpoint of the log',
    description:
      'A signed note (C2SP) as text. With `Accept: application/json` its parts, with the key that verifies it.',
    response: Checkpoint,
    example: {
      treeSize: 42,
      rootHash,
      checkpoint: note,
      verifierKey: 'prime-nest-log+1a2b3c4d+AQIDBAUGBwg=',
      signedAt: '2026-01-31T09:30:01.000Z',
    },
    isAlsoText: true,
  })
  async checkpoint(
    @Context() context: CallContext,
    @Req() request: FastifyRequest,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<z.output<typeof Checkpoint> | string> {
    const found = await this.calls.call('audit.checkpoint.get.v1', {}, context);
    if (request.headers.accept?.includes('application/json') === true) return found;
    reply.type('text/plain; charset=utf-8');
    return found.checkpoint;
  }

  @Get('consistency')
  @Public()
  @Describe({
    summary: 'Prove that the log of one size begins with the log of a smaller one (RFC 6962)',
    response: Consistency,
    example: { from: 7, to: 42, proof: [rootHash], checkpoint: note },
    errors: ['not_found'],
  })
  consistency(
    @Query({ schema: ConsistencyQuery }) { from, to }: z.output<typeof ConsistencyQuery>,
    @Context() context: CallContext,
  ): Promise<z.output<typeof Consistency>> {
    return this.calls.call('audit.checkpoint.consistency.v1', { from, ...(to === undefined ? {} : { to }) }, context);
  }

  @Get('tile/*')
  @Public()
  @ApiParam({ name: 'path', description: 'The address of the tile.', schema: { type: 'string' } })
  @Describe({
    summary: 'A tile of hashes of the log (C2SP tlog-tiles)',
    description: 'Address: `<level>/<index>[.p/<width>]`, the index in groups of three digits as `x001/234`.',
    mediaType: 'application/octet-stream',
    response: z.string(),
    example: 'binary',
    errors: ['not_found'],
  })
  async tile(
    @Param('*') address: string,
    @Context() context: CallContext,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<StreamableFile> {
    const tile = parseTilePath(address);
    if (tile === undefined) throw new AppError('not_found');
    const { data } = await this.calls.call('audit.tile.get.v1', tile, context);
    // A tile never changes once it is full; a partial one is replaced by longer ones under other addresses.
    reply.header('cache-control', 'public, max-age=31536000, immutable');
    return new StreamableFile(Buffer.from(data, 'base64'), { type: 'application/octet-stream' });
  }
}
