import { Controller, Inject } from '@nestjs/common';
import { auditRpc } from '@prime-nest/contracts/audit';
import type { AuditRpc } from '@prime-nest/contracts/audit';
import type { CallContext } from '@prime-nest/contracts/context';
import type { RpcParsed } from '@prime-nest/contracts/rpc';
import { createRpc } from '@prime-nest/kit/bus/rpc';
import { ExportEventsCommand } from './search/export-events.command.js';
import { GetEventCommand } from './search/get-event.command.js';
import { SearchEventsCommand } from './search/search-events.command.js';

const Rpc = createRpc(auditRpc);

@Controller()
export class EventRpc {
  readonly #search: SearchEventsCommand;
  readonly #get: GetEventCommand;
  readonly #export: ExportEventsCommand;

  constructor(
    @Inject(SearchEventsCommand) search: SearchEventsCommand,
    @Inject(GetEventCommand) get: GetEventCommand,
    @Inject(ExportEventsCommand) exportEvents: ExportEventsCommand,
  ) {
    this.#search = search;
    this.#get = get;
    this.#export = exportEvents;
  }

  @Rpc('audit.event.search.v1')
  search(request: RpcParsed<AuditRpc, 'audit.event.search.v1'>, context: CallContext) {
    return this.#search.run(request, context);
  }

  @Rpc('audit.event.get.v1')
  get(request: RpcParsed<AuditRpc, 'audit.event.get.v1'>, context: CallContext) {
    return this.#get.run(request, context);
  }

  @Rpc('audit.event.export.v1')
  export(request: RpcParsed<AuditRpc, 'audit.event.export.v1'>, context: CallContext) {
    return this.#export.run(request, context);
  }
}
