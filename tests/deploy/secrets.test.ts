import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { nkeys } from '@nats-io/transport-node';
import { busUsers } from '@prime-nest/contracts/bus';
import { X509Certificate, createPublicKey, createPrivateKey } from 'node:crypto';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, readdirSync, rmSync, statSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { parseAllDocuments } from 'yaml';
import { at, entries, list, manifestsOf, repositoryRoot, text, variants, workloads } from './manifests.js';
import type { Json } from './manifests.js';

let folder: string;
const script = (name: string, env: Record<string, string> = {}): string =>
  execFileSync('sh', [path.join(repositoryRoot, 'deploy/secrets', name), folder], {
    encoding: 'utf8',
    env: { ...process.env, ...env },
  });
const read = (file: string): string => readFileSync(path.join(folder, file), 'utf8');
const files = (): string[] =>
  readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter((file) =>
    statSync(path.join(folder, file)).isFile(),
  );

beforeAll(() => {
  folder = mkdtempSync(path.join(os.tmpdir(), 'prime-nest-secrets-'));
  script('generate.sh', { NATS_HOST: 'nats.bus.svc' });
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe('the secrets of an installation', () => {
  test('are readable by their owner alone', () => {
    const open = files().filter((file) => (statSync(path.join(folder, file)).mode & 0o077) !== 0);
    expect(open).toEqual([]);
  });

  test('are made once: a second run changes nothing', () => {
    const before = files().map((file) => [file, read(file)]);
    expect(script('generate.sh')).toContain('0 new secrets');
    expect(files().map((file) => [file, read(file)])).toEqual(before);
  });

  test('are all different, and long', () => {
    const passwords = files().filter((file) => /password$/.test(file) && !file.startsWith('roles/superuser'));
    const values = passwords.map(read);
    expect(values.length).toBeGreaterThanOrEqual(9);
    expect(new Set(values).size).toBe(values.length);
    expect(values.every((value) => value.length >= 24)).toBe(true);
  });

  const busKeys = (): Record<string, string> =>
    Object.fromEntries(
      [...read('bus/nkeys.env').matchAll(/^NATS_([A-Z]+)_NKEY=(U[A-Z2-7]{55})$/gm)].map(([, user = '', key = '']) => [
        user.toLowerCase(),
        key,
      ]),
    );
  const publicHalf = (user: string): string =>
    nkeys.fromSeed(readFileSync(path.join(folder, user, 'nkey-seed'))).getPublicKey();

  test('the bus knows the public half of each user’s key, and no private one', () => {
    const known = busKeys();
    expect(Object.keys(known).sort()).toEqual([...busUsers].sort());
    for (const [user, key] of Object.entries(known)) expect(publicHalf(user)).toBe(key);
    const ofTheServer = files().filter((file) => file.startsWith('bus/'));
    expect(ofTheServer.map(read).filter((content) => /SU[A-Z2-7]{56}/.test(content))).toEqual([]);
  });

  test('a user whose seed is taken away gets another pair, and the others keep theirs', () => {
    const before = busKeys();
    rmSync(path.join(folder, 'rbac/nkey-seed'));
    script('generate.sh');
    const after = busKeys();
    expect(publicHalf('rbac')).toBe(after['rbac']);
    expect(Object.keys(before).filter((user) => before[user] !== after[user])).toEqual(['rbac']);
  });

  test('certificates name their hosts and come from the authority, whose key no reader holds', () => {
    const authority = new X509Certificate(read('authority/ca.crt'));
    const certificate = new X509Certificate(read('bus/server.crt'));
    expect(certificate.verify(authority.publicKey)).toBe(true);
    expect(certificate.checkHost('nats.bus.svc')).toBe('nats.bus.svc');
    expect(certificate.checkHost('elsewhere')).toBeUndefined();
    expect(files().filter((file) => file.endsWith('ca.key'))).toEqual(['authority/ca.key']);
  });

  test('keys are of the kinds that the services demand', () => {
    const rsa = createPrivateKey(read('identity/private-key'));
    expect([rsa.asymmetricKeyType, rsa.asymmetricKeyDetails?.modulusLength]).toEqual(['rsa', 3072]);
    expect(createPublicKey(rsa).export({ type: 'spki', format: 'pem' })).toBe(read('identity/public-key'));
    expect(createPrivateKey(read('audit/signing-key')).asymmetricKeyType).toBe('ed25519');
    expect(createPrivateKey(read('gateway/assertion-key')).asymmetricKeyType).toBe('ed25519');
    expect(Buffer.from(read('identity/key-encryption-key'), 'base64')).toHaveLength(32);
  });
});

/** Secret and key, for everything that a pod mounts or reads. */
function wanted(pod: Json, containers: readonly Json[]): [string, string][] {
  const paths = containers.flatMap((container) =>
    list(at(container, 'env')).map((variable) => text(at(variable, 'value')).replace('/run/prime-nest/', '')),
  );
  const whole = list(at(pod, 'volumes')).flatMap((volume) => {
    const name = text(at(volume, 'secret', 'secretName'));
    return name === ''
      ? []
      : paths
          .filter((one) => /^[a-z-]+(\.crt)?$/.test(one) && /key|seed|password|url|crt/.test(one))
          .map((one): [string, string] => [name, one]);
  });
  const items = list(at(pod, 'volumes')).flatMap((volume) =>
    list(at(volume, 'projected', 'sources')).flatMap((source) =>
      list(at(source, 'secret', 'items')).map((item): [string, string] => [
        text(at(source, 'secret', 'name')),
        text(at(item, 'key')),
      ]),
    ),
  );
  const references = containers.flatMap((container) =>
    list(at(container, 'env')).flatMap((variable): [string, string][] => {
      const reference = at(variable, 'valueFrom', 'secretKeyRef');
      return reference === undefined ? [] : [[text(at(reference, 'name')), text(at(reference, 'key'))]];
    }),
  );
  return [...whole, ...items, ...references];
}

test.each(variants)('as Secret objects they are all that %s reads', (variant) => {
  const objects = parseAllDocuments(script('kubernetes.sh')).map((document) => document.toJS() as Json);
  const held = new Set(
    objects.flatMap((object) =>
      entries(at(object, 'data')).map(([key]) => `${text(at(object, 'metadata', 'name'))} ${key}`),
    ),
  );
  const needed = workloads(manifestsOf(variant)).flatMap(({ pod, containers }) => wanted(pod, containers));
  expect(needed.length).toBeGreaterThan(20);
  expect(needed.map(([name, key]) => `${name} ${key}`).filter((one) => !held.has(one))).toEqual([]);
  expect([...held].filter((one) => one.includes('authority') || one.includes('ca.key'))).toEqual([]);
});
