import { Module } from '@nestjs/common';
import type { DynamicModule } from '@nestjs/common';
import type { Database } from '@prime-nest/kit/database';
import type { Outbox } from '@prime-nest/kit/outbox/outbox';
import { EventRpc } from './event.rpc.js';
import { EntryStore } from './search/entry.store.js';
import { GetEventCommand } from './search/get-event.command.js';
import { SearchEventsCommand } from './search/search-events.command.js';

export interface AuditParts {
  readonly database: Database;
  readonly outbox: Outbox;
}

/** What answers requests. What takes events in runs beside it, see main.ts. */
@Module({})
export class AuditModule {
  static with({ database, outbox }: AuditParts): DynamicModule {
    const entries = new EntryStore();
    return {
      module: AuditModule,
      controllers: [EventRpc],
      providers: [
        { provide: SearchEventsCommand, useFactory: () => new SearchEventsCommand({ database, entries, outbox }) },
        { provide: GetEventCommand, useFactory: () => new GetEventCommand({ database, entries, outbox }) },
      ],
    };
  }
}
