import { describe, expect, test } from '@jest/globals';
import { AppError } from '@prime-nest/contracts/errors';
import { runInContext, serviceContext } from './context.js';
import { createLogger } from './log.js';
import type { LoggerOptions } from './log.js';
import { Secret } from './secret.js';

function capture(options: Partial<LoggerOptions> = {}) {
  const lines: string[] = [];
  const log = createLogger({
    service: 'test',
    level: 'trace',
    destination: { write: (line) => lines.push(line) },
    ...options,
  });
  // What code without types could do: any field, any first argument.
  const loose = log as unknown as { info(fields: unknown, event?: string): void; error(error: unknown): void };
  return { log, loose, lines, last: () => JSON.parse(lines.at(-1) ?? 'null') as Record<string, unknown> };
}

describe('a log line', () => {
  test('never holds a credential, wherever it sits and whatever carries it', () => {
    const { log, loose, lines } = capture();
    const canary = 'canary-9b1c';
    const carriers: Record<string, unknown>[] = [
      { password: canary },
      { newPassword: canary, user_password: canary, PGPASSWORD: canary },
      { deep: { a: [{ b: { access_token: canary, refreshToken: canary } }] } },
      { headers: { authorization: `Bearer ${canary}`, cookie: canary, 'set-cookie': [canary], 'X-Api-Key': canary } },
      { wrapped: new Secret(canary), list: [new Secret(canary)] },
      {
        err: new AppError('internal', {
          internal: { clientSecret: canary } as object,
          cause: Object.assign(new Error('x'), { parameters: [canary] }),
        }),
      },
      { note: `Authorization was Bearer ${canary}` },
      { url: `postgres://user:${canary}@host/db` },
      { map: new Map([['token', canary]]), json: { toJSON: () => ({ secret: canary }) } },
      { text: `-----BEGIN PRIVATE KEY-----\n${canary}\n-----END PRIVATE KEY-----` },
      { jwt: `eyJhbGciOi.eyJ${canary}x.sig` },
    ];
    // Below a name that is allowed, so that only the copying stands between the canary and the line.
    for (const fields of carriers) loose.info({ detail: fields }, 'test.event');
    log.child({ password: canary } as object).info('test.child');
    log.info(`postgres://user:${canary}@host/db`);
    loose.error(new Error(`cannot reach nats://user:${canary}@host`));
    expect(lines).toHaveLength(carriers.length + 3);
    for (const line of lines) expect(line).not.toContain(canary);
    // The control: the same canary under a harmless name does arrive, so the lines above were written at all.
    loose.info({ detail: { harmless: canary } }, 'test.control');
    expect(lines.at(-1)).toContain(canary);
  });

  test('has only fields of the list, and says how many it was given besides', () => {
    const { log, loose, last } = capture();
    loose.info({ subject: 'a', email: 'someone@example.com', note: 'x' }, 'test.event');
    expect(last()).toMatchObject({ subject: 'a', droppedFields: 2 });
    expect(last()).not.toHaveProperty('email');
    expect(last()).not.toHaveProperty('note');
    log.child({ email: 'someone@example.com' } as object).info('test.child');
    expect(JSON.stringify(last())).not.toContain('someone');
    log.warn({ err: new AppError('unavailable', { internal: { subject: 'b', email: 'c' } as object }) }, 'test.event');
    expect(last().err).toMatchObject({ internal: { subject: 'b', droppedFields: 1 } });
    log.info({ subject: 'a', err: new Error('x') }, 'test.control');
    expect(last()).not.toHaveProperty('droppedFields');
  });

  test('of unknown fields does not compile', () => {
    const { log } = capture();
    // @ts-expect-error a field that is not in the list
    log.info({ email: 'x' }, 'test.event');
    const wide = { subject: 'a', email: 'x' };
    // @ts-expect-error a variable that has such a field
    log.info(wide, 'test.event');
    const record: Record<string, string> = {};
    // @ts-expect-error a record of anything
    log.info(record, 'test.event');
    // @ts-expect-error an object as a value: it could hold anything
    log.info({ detail: { email: 'x' } }, 'test.event');
    log.info({ detail: 'x', removed: { sessions: 1 }, kids: ['a'] }, 'test.control');
  });

  test('is one JSON object whatever the fields contain', () => {
    const { log, loose, lines } = capture();
    const circular: Record<string, unknown> = {};
    circular.self = circular;
    const nasty: unknown[] = [
      'a\r\nb',
      '\u001b[31mred',
      '\ud800 lone',
      '\u2028',
      '\u0000',
      '"}{"',
      1n,
      NaN,
      undefined,
      null,
      circular,
      {
        get broken() {
          throw new Error('no');
        },
      },
      {
        toJSON: () => {
          throw new Error('no');
        },
      },
      Symbol('s'),
      () => 1,
      new Date(NaN),
      Buffer.alloc(4),
      new Map([['k', 1]]),
      Object.create(null),
      JSON.parse('{"__proto__":{"x":1},"time":"fake","level":"fake"}'),
      new Proxy(
        {},
        {
          ownKeys: () => {
            throw new Error('no');
          },
        },
      ),
    ];
    for (const value of nasty)
      loose.info({ detail: { value, [`k\r\n${typeof value}`]: value }, [`k\r\n`]: 1 }, 'test.event');
    for (const text of ['a\r\nb', '\ud800', '%s %d %j']) log.info(text);
    for (const line of lines) {
      expect(line.endsWith('\n')).toBe(true);
      expect(line.trimEnd()).not.toMatch(/[^\P{Cc}\u007f-\u009f]/u);
      expect(JSON.parse(line)).toMatchObject({ service: 'test', level: 'info' });
    }
    expect(lines).toHaveLength(nasty.length + 3);
  });

  test('carries the ids of the context it is written in', () => {
    const { log, last } = capture();
    const context = serviceContext('test');
    runInContext(context, () => log.info('test.event'));
    expect(last()).toMatchObject({
      correlationId: context.correlationId,
      traceId: context.trace.traceId,
      spanId: context.trace.spanId,
    });
    log.info('test.outside');
    expect(last()).not.toHaveProperty('traceId');
  });

  test('says code and internals of an error, the chain of causes, and a stack for bugs only', () => {
    const { log, last } = capture();
    log.warn({ err: new AppError('unavailable', { internal: { dependency: 'x' }, cause: new Error('refused') }) }, 'e');
    expect(last().err).toMatchObject({
      code: 'unavailable',
      internal: { dependency: 'x' },
      cause: { message: 'refused' },
    });
    expect(last().err).not.toHaveProperty('stack');
    log.error({ err: new AppError('internal') }, 'e');
    expect(last().err).toHaveProperty('stack');
  });

  test('stays bounded when a field is huge or deep', () => {
    const { loose, lines } = capture();
    let deep: unknown = 'end';
    for (let i = 0; i < 100_000; i++) deep = [deep];
    loose.info(
      { detail: deep, paths: Array.from({ length: 100_000 }, (_, i) => i), reason: 'x'.repeat(1_000_000) },
      'e',
    );
    expect(lines.at(-1)?.length).toBeLessThan(20_000);
  });

  test('for a terminal cannot steer the terminal', () => {
    const { loose, lines } = capture({ pretty: true });
    loose.info({ detail: { value: '\u001b[2J', c1: '\u009b2J', ['k\u001b']: 1 } }, 'test.event');
    expect(lines.join('')).toContain('2J');
    expect(lines.join('').replaceAll('\n', '')).not.toMatch(/\p{Cc}/u);
  });
});
