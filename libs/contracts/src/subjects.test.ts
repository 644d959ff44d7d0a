import { describe, expect, test } from '@jest/globals';
import { z } from 'zod';
import { busPermissions, busUsers, upstreamPermissions } from './bus.js';
import { errorTable, isErrorCode } from './errors.js';
import { eventSource, eventTypes } from './events.js';
import { serviceOf } from './rpc.js';
import { notify, rpc } from './subjects.js';

const subjects = Object.entries(rpc);

describe('subjects', () => {
  test.each(subjects.map(([subject]) => subject))('%s follows <service>.<noun>.<verb>.v<n>', (subject) => {
    expect(subject).toMatch(/^(identity|rbac|audit)\.[a-z_]+\.[a-z_]+\.v[1-9]$/);
  });

  test('broadcasts and events follow their grammar', () => {
    for (const subject of Object.keys(notify))
      expect(subject).toMatch(/^notify\.(gateway|identity|rbac)\.[a-z_]+\.v[1-9]$/);
    for (const type of eventTypes) expect(type).toMatch(/^(gateway|identity|rbac|audit)\.[a-z_]+\.[a-z_]+\.v[1-9]$/);
  });

  test.each(subjects)('%s refuses fields that its contract does not name', (_subject, contract) => {
    const schema = z.toJSONSchema(contract.request, { io: 'input' });
    expect(schema.additionalProperties).toBe(false);
    const parsed = contract.request.safeParse({ isAdmin: true });
    expect(parsed.success).toBe(false);
  });

  test.each(subjects)('%s tolerates response fields of a newer server', (_subject, contract) => {
    const schema = z.toJSONSchema(contract.response, { io: 'input' });
    expect(schema.additionalProperties).toBeUndefined();
  });

  test('every call has a deadline inside the gateway budget', () => {
    for (const [subject, contract] of subjects) {
      expect(contract.timeoutMs).toBeGreaterThan(0);
      // Making an RSA key takes its time; nothing else may.
      expect(contract.timeoutMs).toBeLessThanOrEqual(
        /^identity\.key\.(rotate|compromise)\./.test(subject) ? 8000 : 4000,
      );
    }
    // What an outage may cost a request that only reads: refused within 1.5 s.
    for (const [subject, contract] of subjects) {
      if (/\.(get|list|decide|explain|search)\./.test(subject)) expect(contract.timeoutMs).toBeLessThan(1500);
    }
  });

  test('every error a contract names is in the table, and none is named twice', () => {
    for (const [, contract] of subjects) {
      expect(contract.errors.every((code) => isErrorCode(code))).toBe(true);
      expect(new Set(contract.errors).size).toBe(contract.errors.length);
    }
  });
});

describe('errors', () => {
  test('a fault of the caller is a 4xx, of the moment a 503 (of a service behind us 502 to 504), of ours a 500', () => {
    for (const [code, definition] of Object.entries(errorTable)) {
      if (definition.fault === 'caller') expect(Math.floor(definition.status / 100)).toBe(4);
      if (definition.fault === 'transient')
        expect(code.startsWith('upstream_') ? [502, 503, 504] : [503]).toContain(definition.status);
      if (definition.fault === 'bug') expect(definition.status).toBe(500);
    }
  });

  test('names from the prototype are no error codes', () => {
    expect(isErrorCode('constructor')).toBe(false);
    expect(isErrorCode('__proto__')).toBe(false);
  });
});

describe('bus permissions', () => {
  test('each request subject is answered by exactly one user, in its own queue group', () => {
    for (const [subject] of subjects) {
      const service = serviceOf(subject);
      const holders = busUsers.filter((user) =>
        busPermissions[user].subscribe.some((entry) => entry.split(' ')[0] === subject),
      );
      expect(holders).toEqual([service]);
      expect(busPermissions[service as (typeof busUsers)[number]].subscribe).toContain(`${subject} ${service}`);
    }
  });

  test('no user may publish events of another service', () => {
    for (const user of busUsers) {
      for (const subject of busPermissions[user].publish.filter((entry) => entry.startsWith('evt.'))) {
        expect(eventSource(subject.slice(4) as (typeof eventTypes)[number])).toBe(user);
      }
    }
  });

  test('no service holds a wildcard beyond its private inbox, its own acknowledgements and, the gateway, services of others', () => {
    for (const user of busUsers) {
      const entries = [...busPermissions[user].publish, ...busPermissions[user].subscribe];
      const wild = entries.filter((entry) => /[*>]/.test(entry));
      const isKnown = (entry: string) =>
        entry === `_INBOX.${user}.>` ||
        entry.startsWith('$JS.ACK.EVENTS.') ||
        (user === 'gateway' && entry === 'ext.>');
      expect(wild.filter((entry) => !isKnown(entry))).toEqual([]);
    }
  });

  test('a service of somebody else answers on its own subjects and can say nothing by itself', () => {
    expect(upstreamPermissions('invoices')).toEqual({
      publish: [],
      subscribe: ['ext.invoices.> invoices', '_INBOX.ext-invoices.>'],
      allowResponses: true,
    });
  });
});
