/**
 * Writes what crosses a process boundary as JSON Schema, one file per kind, under libs/contracts/golden/, and the
 * reference pages made from the same tables. A diff in these files is an interface review.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { AssertionClaims, AssertionKey, BusReply, BusRequest } from '@prime-nest/contracts/assertion';
import { AccessTokenClaims, PublicKey } from '@prime-nest/contracts/claims';
import { CallContext } from '@prime-nest/contracts/context';
import { busPermissions } from '@prime-nest/contracts/bus';
import { commonErrors, errorTable } from '@prime-nest/contracts/errors';
import { AuditEvent, EventBatchHead, eventTable } from '@prime-nest/contracts/events';
import { RouteFile } from '@prime-nest/contracts/route-file';
import { notify, rpc } from '@prime-nest/contracts/subjects';
import { z } from 'zod';

const root = new URL('..', import.meta.url);
const schemaOf = (schema, io) => {
  const generated = z.toJSONSchema(schema, { io, target: 'draft-2020-12' });
  delete generated.$schema;
  return generated;
};
const write = (path, text) => {
  const target = new URL(path, root);
  mkdirSync(new URL('.', target), { recursive: true });
  writeFileSync(target, text);
};
const json = (path, value) => write(path, `${JSON.stringify(value, null, 2)}\n`);
const mapValues = (table, map) => Object.fromEntries(Object.entries(table).map(([key, value]) => [key, map(value)]));

for (const service of ['identity', 'rbac', 'audit']) {
  const own = Object.fromEntries(Object.entries(rpc).filter(([subject]) => subject.startsWith(`${service}.`)));
  json(
    `libs/contracts/golden/${service}.rpc.json`,
    mapValues(own, (contract) => ({
      timeoutMs: contract.timeoutMs,
      errors: [...contract.errors, ...commonErrors],
      request: schemaOf(contract.request, 'input'),
      response: schemaOf(contract.response, 'output'),
    })),
  );
}
json(
  'libs/contracts/golden/notify.json',
  mapValues(notify, (schema) => schemaOf(schema, 'output')),
);
json('libs/contracts/golden/events.json', {
  envelope: schemaOf(AuditEvent, 'output'),
  batchHead: schemaOf(EventBatchHead, 'output'),
  types: eventTable,
});
json('libs/contracts/golden/shared.json', {
  accessTokenClaims: schemaOf(AccessTokenClaims, 'output'),
  publicKey: schemaOf(PublicKey, 'output'),
  callContext: schemaOf(CallContext, 'output'),
});
json('libs/contracts/golden/assertion.json', {
  claims: schemaOf(AssertionClaims, 'output'),
  key: schemaOf(AssertionKey, 'output'),
  busRequest: schemaOf(BusRequest, 'output'),
  busReply: schemaOf(BusReply, 'input'),
});
json(
  'libs/contracts/golden/route-file.schema.json',
  z.toJSONSchema(RouteFile, { io: 'input', target: 'draft-2020-12' }),
);
json('libs/contracts/golden/errors.json', errorTable);
json('libs/contracts/golden/bus-permissions.json', busPermissions);

const table = (head, rows) =>
  [head, head.map(() => '---'), ...rows].map((cells) => `| ${cells.join(' | ')} |`).join('\n');
const code = (text) => `\`${text}\``;
write(
  'docs/reference.md',
  `# Reference

Generated from the contracts by \`npm run gen\`; do not edit.

## RPC subjects

Every subject also answers ${commonErrors.map(code).join(', ')}.

${table(
  ['subject', 'deadline (ms)', 'errors'],
  Object.entries(rpc).map(([subject, contract]) => [
    code(subject),
    contract.timeoutMs,
    contract.errors.map(code).join(', '),
  ]),
)}

## Error codes

${table(
  ['code', 'HTTP status', 'fault', 'title'],
  Object.entries(errorTable).map(([name, error]) => [code(name), error.status, error.fault, error.title]),
)}

## Events

${table(
  ['type', 'action', 'resource'],
  Object.entries(eventTable).map(([type, event]) => [code(type), code(event.action), code(event.resource)]),
)}

## Bus permissions

${Object.entries(busPermissions)
  .map(
    ([user, permissions]) =>
      `### ${user}\n\n- publish: ${permissions.publish.map(code).join(', ') || 'nothing'}\n- subscribe: ${permissions.subscribe.map(code).join(', ')}\n- answers requests: ${permissions.allowResponses ? 'yes' : 'no'}`,
  )
  .join('\n\n')}
`,
);
