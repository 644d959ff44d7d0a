import { AccessTokenClaims, PublicKey } from '@prime-nest/contracts/claims';
import { busPermissions } from '@prime-nest/contracts/bus';
import { CallContext } from '@prime-nest/contracts/context';
import { commonErrors, errorTable } from '@prime-nest/contracts/errors';
import { AuditEvent, EventBatchHead, eventTable } from '@prime-nest/contracts/events';
import { notify, rpc } from '@prime-nest/contracts/subjects';
import { z } from 'zod';

/** Everything one process says to another, by name: what is sent, and who has to understand it. */
export const messages = {
  ...Object.fromEntries(
    Object.entries(rpc).flatMap(([subject, { request, response }]) => [
      [`request ${subject}`, { schema: request, sent: 'input' }],
      [`response ${subject}`, { schema: response, sent: 'output' }],
    ]),
  ),
  ...Object.fromEntries(
    Object.entries(notify).map(([subject, schema]) => [`broadcast ${subject}`, { schema, sent: 'output' }]),
  ),
  event: { schema: AuditEvent, sent: 'output' },
  'head of several events': { schema: EventBatchHead, sent: 'output' },
  'access token': { schema: AccessTokenClaims, sent: 'output' },
  'public key': { schema: PublicKey, sent: 'output' },
  'call context': { schema: CallContext, sent: 'output' },
};

const jsonSchema = (schema, io) => {
  const generated = z.toJSONSchema(schema, { io, target: 'draft-2020-12' });
  delete generated.$schema;
  return generated;
};

/** The contracts as data, so that a later version can be held against them. */
export function describeContracts() {
  return {
    messages: Object.fromEntries(
      Object.entries(messages).map(([name, { schema, sent }]) => [
        name,
        { sent: jsonSchema(schema, sent), taken: jsonSchema(schema, 'input') },
      ]),
    ),
    subjects: Object.fromEntries(
      Object.entries(rpc).map(([subject, { timeoutMs, errors }]) => [
        subject,
        { timeoutMs, errors: [...errors, ...commonErrors] },
      ]),
    ),
    errors: errorTable,
    events: eventTable,
    bus: busPermissions,
  };
}
