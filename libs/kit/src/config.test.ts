import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { describe, expect, test } from '@jest/globals';
import { nkeys } from '@nats-io/transport-node';
import Joi from 'joi';
import { baseKeys, databaseKeys, natsKeys } from './config-keys.js';
import { ConfigError, describeEnv, loadConfig } from './config.js';
import { Secret } from './secret.js';

const schema = Joi.object({
  ...baseKeys,
  ...natsKeys,
  ...databaseKeys('BILLING'),
  BILLING_MODE: Joi.string().valid('fast', 'slow').default('fast').description('How.'),
  BILLING_PIN: Joi.string()
    .pattern(/^\d{4}$/)
    .meta({ secret: true }),
  BILLING_ODD: Joi.string().custom((value: string) => {
    throw new Error(`bad value ${value}`);
  }),
});

const good = {
  NODE_ENV: 'test',
  NATS_URL: 'nats://localhost:4222',
  BILLING_DB_URL: 'postgres://billing:s3cretpw@localhost/x',
};

function load(env: Record<string, string>): Record<string, unknown> {
  return loadConfig({ service: 'billing', schema, env, prefixes: ['BILLING_'] });
}

function problemsOf(env: Record<string, string>): readonly string[] {
  try {
    load(env);
  } catch (error) {
    if (error instanceof ConfigError) return error.problems;
    throw error;
  }
  return [];
}

describe('a configuration', () => {
  test('arrives converted, with defaults, secrets wrapped, and frozen', () => {
    const config = load({ ...good, HEALTH_PORT: '0', LOG_PRETTY: 'true', LOG_LEVEL: '' });
    expect(config).toMatchObject({ HEALTH_PORT: 0, LOG_PRETTY: true, LOG_LEVEL: 'info', BILLING_MODE: 'fast' });
    expect(config.BILLING_DB_URL).toBeInstanceOf(Secret);
    expect((config.BILLING_DB_URL as Secret).reveal()).toBe(good.BILLING_DB_URL);
    expect(Object.isFrozen(config)).toBe(true);
    expect(JSON.stringify(config)).not.toContain('s3cretpw');
  });

  test('with several mistakes names every one of them at once', () => {
    const problems = problemsOf({ NODE_ENV: 'test', HEALTH_PORT: 'x', BILLING_MODE: 'quick', BILLING_PIN: '12' });
    for (const name of ['NATS_URL', 'BILLING_DB_URL', 'HEALTH_PORT', 'BILLING_MODE', 'BILLING_PIN']) {
      expect(problems.filter((problem) => problem.startsWith(`${name} `))).toHaveLength(1);
    }
  });

  test('never says the value of a variable, whichever rule it breaks', () => {
    const canary = 'canary-5f3a';
    for (const name of [
      'NODE_ENV',
      'LOG_LEVEL',
      'HEALTH_PORT',
      'OTEL_ENABLED',
      'NATS_URL',
      'BILLING_DB_URL',
      'BILLING_MODE',
      'BILLING_PIN',
      'BILLING_ODD',
      'BILLING_UNKNOWN',
      'BILLING_PIN_FILE',
    ]) {
      const problems = problemsOf({ ...good, [name]: canary });
      expect(problems.join('\n')).toContain(name);
      expect(problems.join('\n')).not.toContain(canary);
    }
  });

  test('refuses a misspelt variable with its prefixes and suggests the right one', () => {
    expect(problemsOf({ ...good, BILLING_DB_ULR: 'x' })).toEqual([
      'BILLING_DB_ULR is not a known variable: did you mean BILLING_DB_URL?',
    ]);
    expect(problemsOf({ ...good, NATS_NKEY_SED: 'x' })).toEqual([
      'NATS_NKEY_SED is not a known variable: did you mean NATS_NKEY_SEED?',
    ]);
  });

  test('leaves alone variables of others and those that Kubernetes adds for its services', () => {
    const links = {
      NATS_SERVICE_HOST: '10.0.0.1',
      NATS_SERVICE_PORT: '4222',
      NATS_PORT: 'tcp://10.0.0.1:4222',
      NATS_PORT_4222_TCP_ADDR: '10.0.0.1',
    };
    expect(problemsOf({ ...good, ...links, SHIPPING_MODE: 'x', PATH: '/bin' })).toEqual([]);
  });

  test('reads a secret from the file that NAME_FILE points to, and refuses both forms at once', () => {
    const file = path.join(mkdtempSync(path.join(tmpdir(), 'kit-config-')), 'pin');
    writeFileSync(file, '1234\n');
    expect((load({ ...good, BILLING_PIN_FILE: file }).BILLING_PIN as Secret).reveal()).toBe('1234');
    expect(problemsOf({ ...good, BILLING_PIN_FILE: file, BILLING_PIN: '1234' })).toEqual([
      'BILLING_PIN and BILLING_PIN_FILE are both set: keep one',
    ]);
    expect(problemsOf({ ...good, BILLING_PIN_FILE: '/nowhere/pin' })).toEqual([
      'BILLING_PIN_FILE points to a file that cannot be read (ENOENT)',
    ]);
  });

  test('in production, and when nobody says which environment it is, asks for credentials and TLS', () => {
    const { NATS_URL, BILLING_DB_URL } = good;
    for (const env of [
      { NATS_URL, BILLING_DB_URL },
      { ...good, NODE_ENV: 'production' },
    ]) {
      const names = problemsOf(env).map((problem) => problem.split(' ')[0]);
      expect(names.sort()).toEqual(['DB_SSL', 'NATS_NKEY_SEED', 'NATS_URL']);
    }
  });

  test('in production speaks in the clear only where a variable says so by name', () => {
    const seed = new TextDecoder().decode(nkeys.createUser().getSeed());
    const production = { ...good, NODE_ENV: 'production', NATS_NKEY_SEED: seed };
    expect([...problemsOf(production)].sort()).toEqual([
      'DB_SSL has to be on, unless DB_ALLOW_PLAINTEXT is',
      'NATS_URL does not have the required format (tls:// and host names only, unless NATS_ALLOW_PLAINTEXT is set)',
    ]);
    for (const NATS_URL of ['tls://one:4222,nats://two:4222', 'tls://10.0.0.1:4222', 'tls://[::1]:4222', 'tls://a:b@c'])
      expect(problemsOf({ ...production, NATS_URL, DB_SSL: 'true' })).toHaveLength(1);
    for (const NATS_URL of ['tls://nats:4222', 'tls://nats-0.bus.svc,tls://nats-1.bus.svc:4223'])
      expect(problemsOf({ ...production, NATS_URL, DB_SSL: 'true' })).toEqual([]);
    const allowed = { NATS_ALLOW_PLAINTEXT: 'true', DB_ALLOW_PLAINTEXT: 'true' };
    expect(load({ ...production, ...allowed })).toMatchObject({ NATS_URL: good.NATS_URL, DB_SSL: false });
  });

  test('takes the seed of a user as credential of the bus, not a public key, another kind of seed or a slip', () => {
    const pair = nkeys.createUser();
    const text = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);
    const seed = text(pair.getSeed());
    expect(problemsOf({ ...good, NATS_NKEY_SEED: seed })).toEqual([]);
    const wrong = [pair.getPublicKey(), text(nkeys.createAccount().getSeed()), `${seed.slice(0, -1)}!`, seed.slice(1)];
    for (const NATS_NKEY_SEED of wrong) {
      const problems = problemsOf({ ...good, NATS_NKEY_SEED });
      expect(problems).toEqual(['NATS_NKEY_SEED is not acceptable']);
    }
  });

  test('is described by its schema: name, type, default, unit, secret', () => {
    const described = describeEnv(schema);
    expect(described.find(({ name }) => name === 'SHUTDOWN_TIMEOUT_MS')).toMatchObject({
      type: 'integer',
      unit: 'milliseconds',
      default: '10000',
      secret: false,
      required: false,
    });
    expect(described.find(({ name }) => name === 'BILLING_DB_URL')).toMatchObject({ secret: true, required: true });
    expect(described.find(({ name }) => name === 'BILLING_MODE')).toMatchObject({
      type: 'fast | slow',
      description: 'How.',
    });
  });
});
