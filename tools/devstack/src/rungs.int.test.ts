import { afterAll, describe, expect, test } from '@jest/globals';
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { climb, NoServerError, type Ladder, type Source, UnusableSource } from './ladder.js';
import { natsLadder } from './provider-nats.js';
import { postgresLadder } from './provider-postgres.js';
import { redisLadder } from './provider-redis.js';

const folder = mkdtempSync(path.join(os.tmpdir(), 'devstack rungs '));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** A folder with one program that answers like this. */
function programs(name: string, program: string, answer: string): string {
  const bin = path.join(folder, name);
  mkdirSync(bin, { recursive: true });
  writeFileSync(path.join(bin, program), `#!/bin/sh\necho "${answer}"\n`);
  chmodSync(path.join(bin, program), 0o755);
  return bin;
}

const nothing = {
  DEVSTACK_FETCH: '0',
  DEVSTACK_CACHE: path.join(folder, 'no cache'),
  PATH: path.join(folder, 'empty'),
};
const context = (env: Record<string, string>) => ({
  env: { ...nothing, ...env },
  announce: () => undefined,
  knownFolders: [],
});
const first = (ladder: Ladder): Promise<Source> => climb(ladder, (source) => Promise.resolve(source));

describe('the ladder', () => {
  const onPath = programs('path', 'nats-server', 'nats-server: v2.11.0');
  const named = path.join(programs('named', 'nats-server', 'nats-server: v2.12.1'), 'nats-server');

  test('prefers an address, then a named program, then one on PATH, then a known folder, then the cache', async () => {
    const cache = path.join(folder, 'cache');
    const cached = programs('cache/nats-server_2.9.10/run', 'nats-server', 'nats-server: v2.9.10');
    const found = (env: Record<string, string>) => first(natsLadder(context({ ...env, DEVSTACK_CACHE: cache })));
    const url = 'nats://elsewhere';
    expect(await found({ NATS_URL: url, NATS_SERVER_BIN: named, PATH: onPath })).toMatchObject({ kind: 'url', url });
    expect(await found({ NATS_SERVER_BIN: named, PATH: onPath })).toMatchObject({ path: named, version: '2.12.1' });
    expect(await found({ PATH: onPath })).toMatchObject({ path: path.join(onPath, 'nats-server') });
    const known = { ...context({ DEVSTACK_CACHE: cache }), knownFolders: [onPath] };
    expect(await first(natsLadder(known))).toMatchObject({ path: path.join(onPath, 'nats-server') });
    expect(await found({})).toMatchObject({
      rung: 'project cache',
      path: path.join(cached, 'nats-server'),
    });
  });

  test('passes over a program that merely has the right name', async () => {
    const wrong = programs('wrong', 'nats-server', 'hello');
    const both = [wrong, onPath].join(path.delimiter);
    expect(await first(natsLadder(context({ PATH: both })))).toMatchObject({ path: path.join(onPath, 'nats-server') });
    await expect(first(natsLadder(context({ PATH: wrong })))).rejects.toThrow('--version answers something else');
  });

  test('wants an initdb of the same version beside postgres, and at least version 15', async () => {
    const bin = programs('pg', 'postgres', 'postgres (PostgreSQL) 14.1');
    const ladder = postgresLadder(context({ POSTGRES_BIN: bin }));
    const rung = ladder.rungs.find(({ name }) => name === 'POSTGRES_BIN');
    expect(await rung?.detect()).toContain('initdb does not run');
    programs('pg', 'initdb', 'initdb (PostgreSQL) 14.1');
    expect(await rung?.detect()).toContain('15 or newer is needed');
    programs('pg', 'postgres', 'postgres (PostgreSQL) 16.2');
    expect(await rung?.detect()).toContain('is 16.2, its initdb 14.1');
    programs('pg', 'initdb', 'initdb (PostgreSQL) 16.2');
    expect(await rung?.detect()).toMatchObject({ kind: 'binary', version: '16.2' });
  });

  test('tries the next rung when a source turns out not to work', async () => {
    const ladder = natsLadder(context({ NATS_SERVER_BIN: named, PATH: onPath }));
    const used = await climb(ladder, (source) => {
      if (source.rung === 'NATS_SERVER_BIN') throw new UnusableSource('it does not start');
      return Promise.resolve(source.rung);
    });
    expect(used).toBe('nats-server on PATH');
  });

  test('names every rung, why it was skipped and what to do when nothing works', async () => {
    const error = await first(redisLadder(context({ REDIS_SERVER_BIN: path.join(folder, 'absent') }))).catch(
      (caught: unknown) => caught,
    );
    expect(error).toBeInstanceOf(NoServerError);
    const { message } = error as NoServerError;
    for (const line of [
      /REDIS_URL +not set/,
      /REDIS_SERVER_BIN +.*absent is no executable file/,
      /redis-server on PATH +not found/,
      /project cache +no redis-server in/,
      /Debian package +(DEVSTACK_FETCH=0|not a Linux machine)/,
      /Docker +no Docker engine answers/,
      /sudo apt-get install redis-server/,
      /brew install redis/,
      /set REDIS_SERVER_BIN to the program, or REDIS_URL/,
    ]) {
      expect(message).toMatch(line);
    }
  });
});
