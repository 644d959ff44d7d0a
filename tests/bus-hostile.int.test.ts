import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { connect, headers, type Msg, type NatsConnection } from '@nats-io/transport-node';
import { rpc } from '@prime-nest/contracts/subjects';
import type { RunningSystem } from '@prime-nest/devstack/start-system';
import { busAuthenticator } from '@prime-nest/kit/bus/connection';
import { header, requestBytesMax } from '@prime-nest/kit/bus/wire';
import { startTestSystem } from './test-system.js';

/** What somebody with the gateway's own key could send to the services that run, on every subject there is. */
const subjects = Object.keys(rpc) as (keyof typeof rpc)[];
let system: RunningSystem;
let stop: () => Promise<void>;
let bus: NatsConnection;

beforeAll(async () => {
  ({ system, stop } = await startTestSystem());
  const { servers, nkeySeed } = system.busCredentials('gateway');
  bus = await connect({ servers, authenticator: busAuthenticator(nkeySeed), inboxPrefix: '_INBOX.gateway' });
}, 180_000);
afterAll(async () => {
  await bus?.close();
  await stop?.();
}, 60_000);

/** Rejects without an answer within a second. */
async function codeOf(subject: string, payload: string | Uint8Array, deadline?: number): Promise<string> {
  const given = headers();
  if (deadline !== undefined) given.set(header.deadline, String(deadline));
  const reply: Msg = await bus.request(subject, payload, { timeout: 1_000, headers: given });
  return reply.headers?.get(header.errorCode) ?? 'served';
}

async function codes(ask: (subject: keyof typeof rpc) => Promise<string>): Promise<Record<string, string>> {
  const answers: [string, string][] = [];
  for (const subject of subjects) answers.push([subject, await ask(subject)]);
  return Object.fromEntries(answers);
}

const everySubject = (code: string): Record<string, string> =>
  Object.fromEntries(subjects.map((subject) => [subject, code]));

describe('every subject of every service answers with an error within a second', () => {
  test.each<[string, string | Uint8Array]>([
    ['nothing', ''],
    ['half of an object', '{"a":'],
    ['what is no text', new Uint8Array([0xff, 0xfe, 0x00])],
    ['a deep nest', '['.repeat(20_000)],
    ['an unknown field', '{"isAdministrator":true}'],
    ['more than a request may hold', JSON.stringify({ a: 'x'.repeat(requestBytesMax) })],
  ])('to %s', async (_name, payload) => {
    expect(await codes((subject) => codeOf(subject, payload))).toEqual(everySubject('validation_failed'));
  });

  test('to a message that is played again after its time', async () => {
    const late = (subject: keyof typeof rpc) => codeOf(subject, '{}', Date.now() - 1);
    expect(await codes(late)).toEqual(everySubject('unavailable'));
  });

  test('to a message that claims a longer life than its subject gives', async () => {
    const endless = (subject: keyof typeof rpc) =>
      codeOf(subject, '{}', Date.now() + rpc[subject].timeoutMs + 3_600_000);
    expect(await codes(endless)).toEqual(everySubject('validation_failed'));
  });
});

test('a message of now is served (control)', async () => {
  const deadline = () => Date.now() + rpc['identity.key.list.v1'].timeoutMs;
  expect(await codeOf('identity.key.list.v1', '{}', deadline())).toBe('served');
  expect(await codeOf('identity.key.list.v1', '{}')).toBe('served');
});

test('a message that NATS itself finds too large is not sent, and the bus goes on', async () => {
  await expect(bus.request('identity.key.list.v1', 'x'.repeat(1_100_000))).rejects.toThrow(/payload/i);
  expect(await codeOf('identity.key.list.v1', '{}')).toBe('served');
});

test('nothing of all this ended a process', () => {
  for (const service of ['gateway', 'identity', 'rbac', 'audit']) {
    expect(
      system.logs(service).filter((line) => line.includes('process.start') || line.includes('"level":60')),
    ).toEqual([]);
    expect(system.service(service).pid).toBe(system.state.pids[service]);
  }
});
