import { Module } from '@nestjs/common';
import type { DynamicModule } from '@nestjs/common';
import type { Database } from '@prime-nest/kit/database';
import type { Outbox } from '@prime-nest/kit/outbox/outbox';
import { EventRpc } from './event.rpc.js';
import { ProofRpc } from './proof.rpc.js';
import { CheckpointStore } from './proof/checkpoint.store.js';
import { ProofsCommand } from './proof/proofs.command.js';
import { ProveReceiptCommand } from './proof/prove-receipt.command.js';
import { ReceiptCommand } from './proof/receipt.command.js';
import { TreeStore } from './proof/tree.store.js';
import { EntryStore } from './search/entry.store.js';
import { ExportEventsCommand } from './search/export-events.command.js';
import { GetEventCommand } from './search/get-event.command.js';
import { SearchEventsCommand } from './search/search-events.command.js';

export interface AuditParts {
  readonly database: Database;
  readonly outbox: Outbox;
  readonly verifierKey: string;
}

/** What answers requests. What takes events in and signs runs beside it, see main.ts. */
@Module({})
export class AuditModule {
  static with({ database, outbox, verifierKey }: AuditParts): DynamicModule {
    const parts = {
      database,
      outbox,
      verifierKey,
      entries: new EntryStore(),
      checkpoints: new CheckpointStore(),
      tree: new TreeStore(),
    };
    return {
      module: AuditModule,
      controllers: [EventRpc, ProofRpc],
      providers: [
        { provide: SearchEventsCommand, useFactory: () => new SearchEventsCommand(parts) },
        { provide: GetEventCommand, useFactory: () => new GetEventCommand(parts) },
        { provide: ExportEventsCommand, useFactory: () => new ExportEventsCommand(parts) },
        { provide: ProofsCommand, useFactory: () => new ProofsCommand(parts) },
        { provide: ProveReceiptCommand, useFactory: () => new ProveReceiptCommand(parts) },
        { provide: ReceiptCommand, useFactory: () => new ReceiptCommand(parts) },
      ],
    };
  }
}
