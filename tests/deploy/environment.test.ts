import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { readAuditConfig, readStorageConfig } from '@prime-nest/audit/config';
import { assertionKey, readGatewayConfig } from '@prime-nest/gateway/config';
import { checkRouteFile } from '@prime-nest/gateway/upstream/check-route-file';
import { readIdentityConfig, readIdentityStorageConfig } from '@prime-nest/identity/config';
import { readRbacConfig, readRbacStorageConfig } from '@prime-nest/rbac/config';
import { nkeys } from '@nats-io/transport-node';
import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { composeFile, composeServices, withRoutes } from './compose.js';
import { at, entries, list, manifestsOf, text, variants, workloads } from './manifests.js';
import type { Json, Manifest, Workload } from './manifests.js';

type Env = Record<string, string>;
let folder: string;

const pem = {
  publicKeyEncoding: { type: 'spki', format: 'pem' },
  privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
};

beforeAll(() => {
  folder = mkdtempSync(path.join(os.tmpdir(), 'prime-nest-environment-'));
  const rsa = generateKeyPairSync('rsa', { modulusLength: 2048, ...pem } as never) as unknown as Env;
  const ed25519 = generateKeyPairSync('ed25519', pem as never) as unknown as Env;
  const url = 'postgres://role:test-only@postgres:5432/prime_nest';
  const secrets: Env = {
    'nkey-seed': new TextDecoder().decode(nkeys.createUser().getSeed()),
    'redis-url': 'rediss://:test-only@redis:6379',
    'ca.crt': 'test-only',
    'db-url': url,
    'db-migration-url': url,
    'private-key': rsa['privateKey'] ?? '',
    'public-key': rsa['publicKey'] ?? '',
    'signing-key': ed25519['privateKey'] ?? '',
    'audit-public-key': ed25519['publicKey'] ?? '',
    'assertion-key': ed25519['privateKey'] ?? '',
    'key-encryption-key': randomBytes(32).toString('base64'),
    password: 'a password of the test',
  };
  for (const [name, value] of Object.entries(secrets)) writeFileSync(path.join(folder, name), value);
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** Where containers find their secrets, the test has its own. */
const here = (env: Env): Env =>
  Object.fromEntries(
    Object.entries(env).map(([name, value]) => [name, value.replace(/^\/run\/prime-nest(-owner)?(?=\/)/, folder)]),
  );

const readers: Record<string, (env: Env) => unknown> = {
  gateway: readGatewayConfig,
  identity: readIdentityConfig,
  rbac: readRbacConfig,
  audit: readAuditConfig,
  'migrate-identity': readIdentityStorageConfig,
  'migrate-rbac': readRbacStorageConfig,
  'migrate-audit': readStorageConfig,
  'seed-identity': readIdentityStorageConfig,
  'seed-rbac': readRbacStorageConfig,
};

function clusterEnv(all: readonly Manifest[], { containers }: Workload): Env {
  const [container] = containers;
  const maps = list(at(container, 'envFrom')).map((from) => text(at(from, 'configMapRef', 'name')));
  const plain = maps.flatMap((name) =>
    entries(
      at(
        all.find(({ kind, metadata }) => kind === 'ConfigMap' && metadata.name === name),
        'data',
      ),
    ),
  );
  const own = list(at(container, 'env')).map((variable): [string, Json] => [
    text(at(variable, 'name')),
    at(variable, 'value') ?? '',
  ]);
  return here(Object.fromEntries([...plain, ...own].map(([name, value]) => [name, text(value)])));
}

describe.each(variants)('what %s gives to the services', (variant) => {
  const all = manifestsOf(variant);
  const configured = workloads(all).filter(({ component }) => component in readers);

  test.each(configured.map((workload) => [workload.component, workload] as const))(
    'is accepted by %s',
    (component, one) => {
      const config = readers[component]?.(clusterEnv(all, one));
      expect(config).toMatchObject({ NODE_ENV: 'production' });
    },
  );

  test('covers every service and job', () => {
    expect(configured.length).toBeGreaterThanOrEqual(Object.keys(readers).length - 1);
  });
});

test.each(['production', 'everything'] as const)(
  'the route file that %s mounts is one that the gateway takes',
  (variant) => {
    const found = manifestsOf(variant).find(
      ({ kind, metadata }) => kind === 'ConfigMap' && metadata.name.endsWith('-gateway-routes'),
    );
    const bytes = Buffer.from(text(at(found, 'data', 'routes.json')));
    expect(checkRouteFile(bytes, { prefix: 'api', routes: [] })).toHaveProperty('file.routes.0.methods', ['GET']);
  },
);

describe('what the compose file gives', () => {
  const known = composeServices(composeFile()).filter(([name]) => name in readers);

  test.each(known)('is accepted by %s', (name, service) => {
    const env = Object.fromEntries(
      entries(at(service, 'environment')).map(([key, value]) => [key, String(value as string)]),
    );
    const config = readers[name]?.(here(env));
    expect(config).toMatchObject({ NODE_ENV: 'production' });
  });
});

test('what the compose file gives to a gateway with a route file is accepted, with the key that it signs with', () => {
  const gateway = at(withRoutes(composeFile()), 'services', 'gateway');
  const env = Object.fromEntries(entries(at(gateway, 'environment')).map(([key, value]) => [key, text(value)]));
  const config = readGatewayConfig(here(env));
  expect(config.GATEWAY_ROUTES_FILE).toBe('/etc/prime-nest/routes.json');
  expect(assertionKey(config)?.asymmetricKeyType).toBe('ed25519');
  const folders = list(at(gateway, 'volumes')).map((volume) => text(volume).replace(/^.*(?=:\/etc)/, ''));
  expect(folders).toContain(':/etc/prime-nest:ro');
});

test('a variable that no service knows would be found (control)', () => {
  const all = manifestsOf('production');
  const rbac = workloads(all).find(({ component }) => component === 'rbac') as Workload;
  expect(() => readRbacConfig({ ...clusterEnv(all, rbac), RBAC_LEASE: '3' })).toThrow(/RBAC_LEASE/);
});
