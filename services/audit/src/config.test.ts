import { generateKeyPairSync } from 'node:crypto';
import { describe, expect, test } from '@jest/globals';
import { ConfigError } from '@prime-nest/kit/config';
import { readAuditConfig, readStorageConfig, signingKey } from './config.js';

const base = {
  NODE_ENV: 'test',
  NATS_URL: 'nats://127.0.0.1:4222',
  AUDIT_DB_URL: 'postgres://audit@127.0.0.1/prime_nest',
};
const pem = (type: 'ed25519' | 'x25519') =>
  (type === 'ed25519' ? generateKeyPairSync('ed25519') : generateKeyPairSync('x25519')).privateKey
    .export({ format: 'pem', type: 'pkcs8' })
    .toString();

describe('the signing key', () => {
  test('production does not start without one, nor with TLS and credentials missing', () => {
    const read = () => readAuditConfig({ ...base, NODE_ENV: 'production' });
    expect(read).toThrow(ConfigError);
    expect(read).toThrow(/AUDIT_SIGNING_KEY/);
    expect(read).toThrow(/DB_SSL/);
  });

  test('elsewhere it is made up when absent, and read in either form of PEM when given', () => {
    expect(signingKey(readAuditConfig(base)).asymmetricKeyType).toBe('ed25519');
    const text = pem('ed25519');
    for (const AUDIT_SIGNING_KEY of [text, text.replaceAll('\n', '\\n')]) {
      const key = signingKey(readAuditConfig({ ...base, AUDIT_SIGNING_KEY }));
      expect(key.export({ format: 'pem', type: 'pkcs8' })).toBe(text);
    }
  });

  test.each([
    ['another kind of key', pem('x25519')],
    ['no key', 'hunter2hunter2'],
  ])('%s is refused without being shown', (_name, AUDIT_SIGNING_KEY) => {
    const config = readAuditConfig({ ...base, AUDIT_SIGNING_KEY });
    expect(() => signingKey(config)).toThrow(ConfigError);
    expect(() => signingKey(config)).not.toThrow(AUDIT_SIGNING_KEY.slice(0, 10));
  });

  test('a misspelt variable is named', () => {
    expect(() => readAuditConfig({ ...base, AUDIT_SINGING_KEY: 'x' })).toThrow(/did you mean AUDIT_SIGNING_KEY/);
  });
});

describe('what touches the tables only', () => {
  const { AUDIT_DB_URL } = base;

  test('needs neither the bus nor the signing key', () => {
    const config = readStorageConfig({ AUDIT_DB_URL, NODE_ENV: 'production', DB_SSL: 'true' });
    expect(config.AUDIT_DB_URL.reveal()).toBe(AUDIT_DB_URL);
    expect(() => readStorageConfig({ NODE_ENV: 'test' })).toThrow(/AUDIT_DB_URL is required/);
  });

  test('does not read a key that is there, and still names what is misspelt', () => {
    const given = { ...base, NATS_NKEY_SEED_FILE: '/nowhere', AUDIT_SIGNING_KEY_FILE: '/nowhere' };
    expect(readStorageConfig(given)).not.toHaveProperty('AUDIT_SIGNING_KEY');
    expect(() => readStorageConfig({ ...base, AUDIT_DB_MIGRATE_ON_STAR: 'true' })).toThrow(/did you mean/);
  });
});
