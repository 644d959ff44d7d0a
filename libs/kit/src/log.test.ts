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
  return { log, lines, last: () => JSON.parse(lines.at(-1) ?? 'null') as Record<string, unknown> };
}

describe('a log line', () => {
  test('never holds a credential, wherever it sits and whatever carries it', () => {
    const { log, lines } = capture();
    const canary = 'canary-9b1c';
    const carriers: Record<string, unknown>[] = [
      { password: canary },
      { newPassword: canary, user_password: canary, PGPASSWORD: canary },
      { deep: { a: [{ b: { access_token: canary, refreshToken: canary } }] } },
      { headers: { authorization: `Bearer ${canary}`, cookie: canary, 'set-cookie': [canary], 'X-Api-Key': canary } },
      { wrapped: new Secret(canary), list: [new Secret(canary)] },
      {
        err: new AppError('internal', {
          internal: { clientSecret: canary },
          cause: Object.assign(new Error('x'), { parameters: [canary] }),
        }),
      },
      { note: `Authorization was Bearer ${canary}` },
      { url: `postgres://user:${canary}@host/db` },
      { map: new Map([['token', canary]]), json: { toJSON: () => ({ secret: canary }) } },
      { text: `-----BEGIN PRIVATE KEY-----\n${canary}\n-----END PRIVATE KEY-----` },
      { jwt: `eyJhbGciOi.eyJ${canary}x.sig` },
    ];
    for (const fields of carriers) log.info(fields, 'test.event');
    log.child({ password: canary }).info('test.child');
    log.info(`postgres://user:${canary}@host/db`);
    log.error(new Error(`cannot reach nats://user:${canary}@host`));
    expect(lines).toHaveLength(carriers.length + 3);
    for (const line of lines) expect(line).not.toContain(canary);
    // The control: the same canary under a harmless name does arrive, so the lines above were written at all.
    log.info({ harmless: canary }, 'test.control');
    expect(lines.at(-1)).toContain(canary);
  });

  test('is one JSON object whatever the fields contain', () => {
    const { log, lines } = capture();
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
    for (const value of nasty) log.info({ value, [`k\r\n${typeof value}`]: value }, 'test.event');
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
    const { log, lines } = capture();
    let deep: unknown = 'end';
    for (let i = 0; i < 100_000; i++) deep = [deep];
    log.info({ deep, wide: Array.from({ length: 100_000 }, (_, i) => i), long: 'x'.repeat(1_000_000) }, 'e');
    expect(lines.at(-1)?.length).toBeLessThan(20_000);
  });

  test('for a terminal cannot steer the terminal', () => {
    const { log, lines } = capture({ pretty: true });
    log.info({ value: '\u001b[2J', c1: '\u009b2J', ['k\u001b']: 1 }, 'test.event');
    expect(lines.join('').replaceAll('\n', '')).not.toMatch(/\p{Cc}/u);
  });
});
