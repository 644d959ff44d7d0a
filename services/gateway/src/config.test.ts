import { generateKeyPairSync } from 'node:crypto';
import { describe, expect, test } from '@jest/globals';
import { nkeys } from '@nats-io/transport-node';
import { ConfigError } from '@prime-nest/kit/config';
import { assertionKey, readGatewayConfig } from './config.js';

const development = { NODE_ENV: 'development', NATS_URL: 'nats://127.0.0.1:4222', REDIS_URL: 'redis://127.0.0.1:6379' };
const production = {
  ...development,
  NODE_ENV: 'production',
  NATS_URL: 'tls://nats:4222',
  NATS_NKEY_SEED: new TextDecoder().decode(nkeys.createUser().getSeed()),
  REDIS_URL: 'rediss://redis:6379',
  ALLOWED_ORIGINS: 'https://app.example.com, https://admin.example.com:8443',
  GATEWAY_SPOOL_DIR: '/var/spool/prime-nest',
  AUDIT_PUBLIC_KEY: generateKeyPairSync('ed25519').publicKey.export({ type: 'spki', format: 'pem' }).toString(),
};

function problems(env: Record<string, string | undefined>): string[] {
  try {
    readGatewayConfig(env);
    return [];
  } catch (error) {
    if (error instanceof ConfigError) return [...error.problems];
    throw error;
  }
}

describe('the configuration', () => {
  test('of a developer needs two addresses', () => {
    expect(readGatewayConfig(development)).toMatchObject({ PORT: 3000, API_PREFIX: 'api', ALLOWED_ORIGINS: [] });
  });

  test('of a route file needs the key that signs assertions, and it must be an Ed25519 key', () => {
    expect(problems({ ...development, GATEWAY_ROUTES_FILE: '/routes.json' })).toEqual([
      'GATEWAY_ASSERTION_KEY is required',
    ]);
    const pem = (type: 'ed25519' | 'x25519') =>
      generateKeyPairSync(type as 'ed25519')
        .privateKey.export({ type: 'pkcs8', format: 'pem' })
        .toString();
    const withKey = (key: string) =>
      assertionKey(
        readGatewayConfig({ ...development, GATEWAY_ROUTES_FILE: '/routes.json', GATEWAY_ASSERTION_KEY: key }),
      );
    expect(withKey(pem('ed25519'))?.asymmetricKeyType).toBe('ed25519');
    expect(withKey(pem('ed25519').replaceAll('\n', '\\n'))?.asymmetricKeyType).toBe('ed25519');
    for (const key of [pem('x25519'), 'not a key']) expect(() => withKey(key)).toThrow(ConfigError);
    expect(problems({ ...development, GATEWAY_SERVICE_HOST: '10.0.0.1', GATEWAY_PORT: 'tcp://10.0.0.1:3000' })).toEqual(
      [],
    );
    expect(problems({ ...development, GATEWAY_ROUTE_FILE: '/x' })).toHaveLength(1);
  });

  test('of production is complete with these', () => {
    expect(readGatewayConfig(production).ALLOWED_ORIGINS).toEqual([
      'https://app.example.com',
      'https://admin.example.com:8443',
    ]);
  });

  test.each([
    undefined,
    '*',
    'http://app.example.com',
    'https://app.example.com/',
    'https://app.example.com/path',
    'https://APP.example.com',
    'https://*.example.com',
    'https://user@app.example.com',
    'https://app.example.com:443',
    'https://app.example.com,http://b.example.com',
    'null',
  ])('of production with the origins %s refuses to boot and does not repeat them', (ALLOWED_ORIGINS) => {
    const found = problems({ ...production, ALLOWED_ORIGINS });
    expect(found.join()).toContain('ALLOWED_ORIGINS');
    expect(found.join()).not.toContain('example.com');
  });

  test('of production speaks to Redis in the clear only where a variable says so by name', () => {
    const REDIS_URL = 'redis://:secret@redis:6379';
    expect(problems({ ...production, REDIS_URL })).toEqual([
      'REDIS_URL does not have the required format (rediss:// only, unless REDIS_ALLOW_PLAINTEXT is set)',
    ]);
    const config = readGatewayConfig({ ...production, REDIS_URL, REDIS_ALLOW_PLAINTEXT: 'true' });
    expect(config.REDIS_URL.reveal()).toBe(REDIS_URL);
    expect(JSON.stringify(config)).not.toContain('secret@');
  });

  test('lists every problem at once, with names and without values', () => {
    const found = problems({ NODE_ENV: 'production', PORT: '99999', RATE_LIMIT_ANONIMOUS_MAX: '5' }).join('\n');
    for (const name of ['NATS_URL', 'NATS_NKEY_SEED', 'REDIS_URL', 'ALLOWED_ORIGINS', 'PORT', 'GATEWAY_SPOOL_DIR']) {
      expect(found).toContain(name);
    }
    expect(found).toContain('did you mean RATE_LIMIT_ANONYMOUS_MAX');
    expect(found).not.toContain('99999');
  });

  test('the documentation is shown by default, but in production only where that is said', () => {
    expect(readGatewayConfig({ ...production, NODE_ENV: 'development' }).API_DOCS).toBe(true);
    expect(readGatewayConfig(production).API_DOCS).toBe(false);
    expect(readGatewayConfig({ ...production, API_DOCS: 'true' }).API_DOCS).toBe(true);
  });
});
