import { Controller, Inject } from '@nestjs/common';
import { auditRpc } from '@prime-nest/contracts/audit';
import type { AuditRpc } from '@prime-nest/contracts/audit';
import type { CallContext } from '@prime-nest/contracts/context';
import type { RpcParsed } from '@prime-nest/contracts/rpc';
import { createRpc } from '@prime-nest/kit/bus/rpc';
import { ProofsCommand } from './proof/proofs.command.js';
import { ProveReceiptCommand } from './proof/prove-receipt.command.js';
import { ReceiptCommand } from './proof/receipt.command.js';

const Rpc = createRpc(auditRpc);

@Controller()
export class ProofRpc {
  readonly #proofs: ProofsCommand;
  readonly #receipt: ReceiptCommand;
  readonly #prove: ProveReceiptCommand;

  constructor(
    @Inject(ProofsCommand) proofs: ProofsCommand,
    @Inject(ReceiptCommand) receipt: ReceiptCommand,
    @Inject(ProveReceiptCommand) prove: ProveReceiptCommand,
  ) {
    this.#proofs = proofs;
    this.#receipt = receipt;
    this.#prove = prove;
  }

  @Rpc('audit.event.proof.v1')
  inclusion(request: RpcParsed<AuditRpc, 'audit.event.proof.v1'>, context: CallContext) {
    return this.#proofs.inclusion(request, context);
  }

  @Rpc('audit.checkpoint.get.v1')
  checkpoint() {
    return this.#proofs.checkpoint();
  }

  @Rpc('audit.checkpoint.consistency.v1')
  consistency(request: RpcParsed<AuditRpc, 'audit.checkpoint.consistency.v1'>) {
    return this.#proofs.consistency(request);
  }

  @Rpc('audit.tile.get.v1')
  tile(request: RpcParsed<AuditRpc, 'audit.tile.get.v1'>) {
    return this.#proofs.tile(request);
  }

  @Rpc('audit.receipt.get.v1')
  receipt(request: RpcParsed<AuditRpc, 'audit.receipt.get.v1'>) {
    return this.#receipt.run(request);
  }

  @Rpc('audit.receipt.prove.v1')
  prove(request: RpcParsed<AuditRpc, 'audit.receipt.prove.v1'>) {
    return this.#prove.run(request);
  }
}
