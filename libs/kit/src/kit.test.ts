import { readFileSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, test } from '@jest/globals';

const folder = import.meta.dirname;
const files = readdirSync(folder, { recursive: true, encoding: 'utf8' })
  .filter((file) => file.endsWith('.ts') && !file.endsWith('.test.ts'))
  .map((file) => ({ file, text: readFileSync(path.join(folder, file), 'utf8') }));

const domainNouns =
  /\b(roles?|sessions?|permissions?|accounts?|users?|grants?|features?|passwords?|audit|login|logins|refresh|jwt)\b/i;

// Words of PostgreSQL, NATS and HTTP that happen to be words of our domain as well; nothing is modelled with them.
const exempt: Readonly<Record<string, RegExp>> = {
  'bus/connection.ts': /\b(user|password|passwords|login)\b/i, // Credentials of the NATS connection.
  'bus/client.ts': /PermissionViolationError/, // Error class of the NATS client.
  'bus/health.ts': /PermissionViolationError/,
  'bus/wire.ts': /user[- ]?agent/i, // HTTP header.
  'config-keys.ts': /\b(login|password)\b|NATS_|\baudit (log|service)\b/i, // Variables for the connections and the log.
  'database-connection.ts': /idle_in_transaction_session_timeout/,
  'database.ts': /session-level/, // PostgreSQL session.
  'database-migrations.ts': /\brole\b|the session/, // PostgreSQL role and session.
  'outbox/bus-receipts.ts': /contracts\/audit|audit\.receipt\./, // Names of contracts.
  'outbox/origin.ts': /session|RESET/i, // PostgreSQL session.
  'outbox/outbox.ts': /AuditEvent|user[- ]?agent/i, // Type of the event contract.
  'outbox/outbox-migration.ts': /\brole\b|GRANT|login role/, // PostgreSQL role.
  'outbox/proof-migration.ts': /\brole\b|GRANT/, // PostgreSQL role.
  'outbox/receipt-migration.ts': /\brole\b|GRANT/, // PostgreSQL role.
  'outbox/receipt-proof.ts': /audit\.(receipt|event)\./, // Names of contracts.
  'outbox/relay.ts': /session/i, // PostgreSQL session.
  'redact.ts': /passw|Passwords in URLs|Masks JSON/i, // Names of credentials in general use, to be masked.
  'telemetry-register.ts': /\bnone\b/,
};

describe('the kit', () => {
  test('knows no noun of the domain: a stranger could use it', () => {
    const found = files.flatMap(({ file, text }) =>
      text
        .split('\n')
        .map((line, index) => ({ line, where: `${file}:${String(index + 1)}` }))
        .filter(({ line }) => domainNouns.test(line) && !(exempt[file]?.test(line) ?? false))
        .map(({ line, where }) => `${where} ${line.trim()}`),
    );
    expect(found).toEqual([]);
  });

  test('keeps every file short enough to read at once', () => {
    expect(files.filter(({ text }) => text.split('\n').length > 300).map(({ file }) => file)).toEqual([]);
  });

  test('has no barrel', () => {
    expect(files.filter(({ file }) => path.basename(file) === 'index.ts')).toEqual([]);
  });
});
