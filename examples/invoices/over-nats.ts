import type { Msg, NatsConnection } from '@nats-io/transport-node';
import { BusRequest, assertionBusHeader, busMethod } from '@prime-nest/contracts/assertion';
import type { BusReply } from '@prime-nest/contracts/assertion';
import type { Door } from './door.ts';
import type { Ledger } from './ledger.ts';

/** Our name, which is also our queue group: the only one that our bus user may join. */
const service = 'invoices';
const approve = 'ext.invoices.invoice.approve.v1';

/** Answers approvals. Several processes of this service share them. */
export function serveNats(connection: NatsConnection, door: Door, ledger: Ledger, log: (line: object) => void): void {
  connection.subscribe(approve, {
    queue: service,
    callback: (error, message) => {
      if (error !== null) return;
      void judgeAndHandle(message, door, ledger, log)
        .catch((): BusReply => ({ status: 400, body: { code: 'bad_request' } }))
        .then((reply) => message.respond(JSON.stringify(reply)));
    },
  });
}

async function judgeAndHandle(
  message: Msg,
  door: Door,
  ledger: Ledger,
  log: (line: object) => void,
): Promise<BusReply> {
  const assertion = message.headers?.get(assertionBusHeader);
  const verdict = await door.judge(assertion, { method: busMethod, target: message.subject, body: message.data });
  if ('code' in verdict) {
    log({ event: 'request.refused', reason: verdict.code });
    return { status: 401, body: { code: 'assertion_refused' } };
  }
  const { id, permission } = verdict.principal;
  if (permission !== 'invoices:approve' || id === undefined) return { status: 403, body: { code: 'forbidden' } };
  const { params } = BusRequest.parse(message.json());
  const approved = ledger.approve(params['id'] ?? '', id);
  if (approved === undefined) return { status: 404, body: { code: 'not_found' } };
  if (approved === 'own') return { status: 409, body: { code: 'own_invoice' } };
  return { status: 200, body: { ...approved } };
}
