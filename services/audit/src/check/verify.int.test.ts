import { generateKeyPairSync } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { systemClock } from '@prime-nest/kit/clock';
import { freshContext } from '@prime-nest/kit/context';
import { newId } from '@prime-nest/kit/ids';
import { createOutbox } from '@prime-nest/kit/outbox/outbox';
import { makeEvent, makeMessage, openTestLog, readLog } from '../../test/harness.js';
import { AppendCommand } from '../log/append.command.js';
import { formatVerifierKey, parseCheckpoint, signCheckpoint, verifierKeyOf } from '@prime-nest/kit/tlog/checkpoint';
import { LogStore } from '../log/log.store.js';
import { CheckpointStore } from '../proof/checkpoint.store.js';
import { ProofsCommand } from '../proof/proofs.command.js';
import { SignCheckpointCommand } from '../proof/sign-checkpoint.command.js';
import { SignedStateStore } from '../proof/signed-state.store.js';
import { TreeStore } from '../proof/tree.store.js';
import { EntryStore } from '../search/entry.store.js';
import { verify } from './verify.command.js';

const key = { origin: 'example.org/log', privateKey: generateKeyPairSync('ed25519').privateKey };
const verifierKey = formatVerifierKey(verifierKeyOf(key.origin, key.privateKey));
const strangerKey = formatVerifierKey(verifierKeyOf(key.origin, generateKeyPairSync('ed25519').privateKey));
const folder = mkdtempSync(path.join(os.tmpdir(), 'audit-verify-'));
const file = (name: string) => path.join(folder, name);
let log: Awaited<ReturnType<typeof openTestLog>>;

// Two checkpoints, of 40 and of 100 entries, and everything that an auditor may have fetched.
beforeAll(async () => {
  log = await openTestLog();
  const { database } = log;
  const clock = systemClock;
  const stores = { database, entries: new EntryStore(), checkpoints: new CheckpointStore(), tree: new TreeStore() };
  const append = new AppendCommand({ database, log: new LogStore(), clock, newId });
  const sign = new SignCheckpointCommand({
    ...stores,
    signed: new SignedStateStore(undefined),
    log: new LogStore(),
    key,
    clock,
  });
  const proofs = new ProofsCommand({ ...stores, outbox: createOutbox({ service: 'audit', clock }), verifierKey });
  const record = (count: number, first: number) =>
    append.run(
      Array.from({ length: count }, (_, i) =>
        makeMessage(makeEvent('rbac.role.updated.v1', { change: { after: { name: 'ü' } } }), first + i),
      ),
    );
  await record(40, 1);
  await sign.run();
  const older = await proofs.checkpoint();
  await record(60, 41);
  await sign.run();
  const newer = await proofs.checkpoint();
  const rows = await readLog(database);
  const proof = await proofs.inclusion({ id: rows[57]?.eventId ?? '' }, freshContext({ type: 'anonymous' }));
  const lines = rows.map(
    ({ index, entry }) => `{"index":${index},"receivedAt":"2026-01-01T00:00:00Z","event":${entry.toString()}}`,
  );
  const tail = JSON.stringify({ checkpoint: newer.checkpoint });
  writeFileSync(file('older.txt'), older.checkpoint);
  writeFileSync(file('newer.txt'), newer.checkpoint);
  writeFileSync(file('proof.json'), JSON.stringify(proof));
  writeFileSync(file('consistency.json'), JSON.stringify(await proofs.consistency({ from: 40 })));
  const write = (name: string, changed: readonly string[]) => writeFileSync(file(name), `${changed.join('\n')}\n`);
  write('export.ndjson', [...lines, tail]);
  write('reordered.ndjson', [
    ...rows.map(({ index, entry }) => JSON.stringify({ event: JSON.parse(entry.toString()) as object, index })),
    tail,
  ]);
  write('text.ndjson', [
    ...rows.map(({ index, entry }) =>
      JSON.stringify({ index, receivedAt: '2026-01-01T00:00:00.000Z', entry: entry.toString() }),
    ),
    tail,
  ]);
  write('edited.ndjson', [...lines.with(12, lines[12]?.replace('success', 'denied') ?? ''), tail]);
  write('hole.ndjson', [...lines.toSpliced(12, 1), tail]);
  write('cut.ndjson', lines.slice(0, 90));
  write('short.ndjson', [...lines.slice(0, 90), tail]);
  write('garbage.ndjson', ['{"index":0}', tail]);
  const other = JSON.parse(readFileSync(file('proof.json'), 'utf8')) as { index: number };
  writeFileSync(file('wrong-proof.json'), JSON.stringify({ ...other, index: other.index + 1 }));
});
afterAll(async () => {
  rmSync(folder, { recursive: true });
  await log.close();
});

async function run(...args: string[]): Promise<[number, string]> {
  return runWith({ AUDIT_DB_URL: log.server.url }, ...args);
}

async function runWith(env: Record<string, string>, ...args: string[]): Promise<[number, string]> {
  let output = '';
  const code = await verify({
    args: args.map((arg) => (/\.(txt|json|ndjson)$/.test(arg) ? file(arg) : arg)),
    env,
    write: (text) => (output += text),
  });
  return [code, output];
}

describe('audit-verify', () => {
  test.each([
    ['proof', 'proof.json'],
    ['export', 'export.ndjson'],
    ['export', 'reordered.ndjson'],
    ['export', 'text.ndjson'],
    ['export', 'export.ndjson', '--kept', 'older.txt', '--kept', 'newer.txt'],
    ['consistency', 'older.txt', 'newer.txt', 'consistency.json'],
    ['checkpoint', 'newer.txt'],
    ['database', '--kept', 'older.txt'],
  ])('%s %s: nothing wrong is 0', async (...args) => {
    const [code, output] = await run(...args, '--key', verifierKey);
    expect([code, output]).toEqual([0, expect.stringMatching(/^ok: /)]);
  });

  test.each([
    [2, 'not signed by', ['proof', 'proof.json', '--key', strangerKey]],
    [2, 'not signed by', ['export', 'export.ndjson', '--key', strangerKey]],
    [2, 'not signed by', ['checkpoint', 'older.txt', '--key', strangerKey]],
    [2, 'is not what was signed', ['database', '--key', strangerKey]],
    [3, 'entry 58', ['proof', 'wrong-proof.json']],
    [4, 'not shown to begin', ['consistency', 'newer.txt', 'older.txt', 'consistency.json']],
    [4, 'entries 0 to 39', ['export', 'edited.ndjson', '--kept', 'older.txt']],
    [4, 'not those that the checkpoint signs', ['export', 'edited.ndjson']],
    [5, 'entries 12 to 12 are not there', ['export', 'hole.ndjson', '--kept', 'older.txt']],
    [6, 'names no checkpoint', ['export', 'cut.ndjson']],
    [6, 'ends after 90', ['export', 'short.ndjson']],
    [7, '', ['export', 'garbage.ndjson']],
    [7, '', ['proof', 'older.txt']],
    [7, '', ['checkpoint', 'proof.json']],
    [64, 'no command', ['nonsense']],
    [64, 'takes 1 file', ['proof']],
    [64, 'usage', ['proof', '--unknown']],
  ] as const)('exit %i: %s', async (code, text, args) => {
    const [seen, output] = await run(...args);
    expect([seen, output]).toEqual([code, expect.stringContaining(text === 'usage' ? 'audit-verify' : text)]);
  });
});

describe('audit-verify live', () => {
  let server: Server;
  let url: string;
  let answers: Record<string, string>;
  const asked: string[] = [];

  beforeAll(async () => {
    server = createServer((request, response) => {
      const route = request.url ?? '';
      asked.push(`${route} ${request.headers.authorization ?? ''}`);
      const answer = answers[route.split('?')[0] ?? ''];
      response.writeHead(answer === undefined ? 503 : 200).end(answer);
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/api`;
  });
  afterAll(() => new Promise((resolve) => server.close(resolve)));
  beforeEach(() => {
    const text = (name: string) => readFileSync(file(name), 'utf8');
    answers = { '/api/audit/checkpoint': text('newer.txt'), '/api/audit/consistency': text('consistency.json') };
  });
  const live = (...args: string[]) => run('live', url, '--key', verifierKey, ...args);
  /** Signed by the log's own key, as its operator could. */
  const sign = (size: bigint, root: Buffer) => signCheckpoint({ origin: key.origin, size, root }, key.privateKey);

  test('a log that has grown is 0, and what it showed is kept for the next time', async () => {
    expect(await live('--kept', 'older.txt', '--save', 'saved.txt')).toEqual([
      0,
      expect.stringMatching(/^ok: example.org\/log has 100 entries and begins with the 40 of /),
    ]);
    expect(readFileSync(file('saved.txt'), 'utf8')).toBe(readFileSync(file('newer.txt'), 'utf8'));
    expect(await live('--kept', 'saved.txt')).toEqual([0, expect.stringMatching(/^ok: /)]);
  });

  test('a log that is shorter than it was is 8, although its key has signed it', async () => {
    answers['/api/audit/checkpoint'] = readFileSync(file('older.txt'), 'utf8');
    writeFileSync(file('state.txt'), 'before');
    expect(await live('--kept', 'newer.txt', '--save', 'state.txt')).toEqual([
      8,
      expect.stringContaining('has 40 entries, and had 100'),
    ]);
    expect(readFileSync(file('state.txt'), 'utf8')).toBe('before');
  });

  test('another history of the same size or of a greater one is 4', async () => {
    const { root } = parseCheckpoint(readFileSync(file('older.txt'), 'utf8'));
    answers['/api/audit/checkpoint'] = sign(100n, root);
    expect(await live('--kept', 'newer.txt')).toEqual([4, expect.stringContaining('another one')]);
    expect(await live('--kept', 'older.txt')).toEqual([4, expect.stringContaining('not shown to begin')]);
    answers['/api/audit/consistency'] = JSON.stringify({ proof: [] });
    expect(await live('--kept', 'older.txt')).toEqual([4, expect.stringContaining('not shown to begin')]);
  });

  test('another key is 2, no key and no address are 64, and no answer is 69', async () => {
    expect(await run('live', url, '--key', strangerKey)).toEqual([2, expect.stringContaining('not signed by')]);
    expect(await run('live', url)).toEqual([64, expect.stringContaining('needs --key')]);
    expect(await run('live', 'example.org', '--key', verifierKey)).toEqual([64, expect.stringContaining('address')]);
    answers = {};
    expect(await live('--kept', 'older.txt')).toEqual([69, expect.stringContaining('answered 503')]);
    answers = { '/api/audit/checkpoint': '<html>' };
    expect((await live())[0]).toBe(7);
  });

  test('a token comes from the environment or from a file, and so does the address of the database', async () => {
    writeFileSync(file('token.txt'), 'from-a-file\n');
    await runWith({ AUDIT_TOKEN_FILE: file('token.txt') }, 'live', url, '--key', verifierKey);
    expect(asked.at(-1)).toBe('/api/audit/checkpoint Bearer from-a-file');
    writeFileSync(file('url.txt'), `${log.server.url}\n`);
    expect((await runWith({ AUDIT_DB_URL_FILE: file('url.txt') }, 'database'))[0]).toBe(0);
    expect((await runWith({}, 'database'))[0]).toBe(64);
  });
});
