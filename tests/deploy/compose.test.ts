import { readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, test } from '@jest/globals';
import { databaseServices } from '@prime-nest/devstack/roles-sql';
import { composeFile, composeProblems, composeServices, composeSettings, withRoutes } from './compose.js';
import { at, entries, list, repositoryRoot, text } from './manifests.js';
import type { JsonObject } from './manifests.js';

const file = composeFile();
const members = (network: string): string[] =>
  composeServices(file)
    .filter(([, service]) => list(at(service, 'networks')).includes(network))
    .map(([name]) => name)
    .sort();
const jobsOfDatabase = ['roles', ...databaseServices.map((one) => `migrate-${one}`), 'seed-identity', 'seed-rbac'];

describe('the compose file', () => {
  test('passes the review, and both generations of compose know its keys', () => {
    expect(composeProblems(file)).toEqual([]);
    expect(composeProblems(withRoutes(file))).toEqual([]);
  });

  test('publishes the gateway and the trace pages, and nothing else', () => {
    const published = composeServices(file).filter(([, service]) => list(at(service, 'ports')).length > 0);
    expect(published.map(([name]) => name).sort()).toEqual(['gateway', 'jaeger']);
  });

  test('puts on a network only who needs it', () => {
    const tools = ['backup', 'restore'];
    expect(members('database')).toEqual(['postgres', ...databaseServices, ...jobsOfDatabase, ...tools].sort());
    expect(members('bus')).toEqual(['nats', 'gateway', ...databaseServices, 'streams'].sort());
    expect(members('cache')).toEqual(['gateway', 'redis']);
    expect(members('edge')).toEqual(['gateway', 'jaeger']);
    for (const network of ['database', 'bus', 'cache', 'traces']) {
      expect([network, at(file, 'networks', network, 'internal')]).toEqual([network, true]);
    }
  });

  test('shows each secret to its readers alone', () => {
    const readers = new Map<string, string[]>();
    for (const [name, service] of composeServices(file)) {
      for (const volume of list(at(service, 'volumes')).map(text)) {
        const [source = '', , mode] = volume.split(':');
        if (!source.startsWith('secrets-') || name === 'prepare') continue;
        expect([volume, mode]).toEqual([volume, 'ro']);
        readers.set(source.slice('secrets-'.length), [...(readers.get(source.slice('secrets-'.length)) ?? []), name]);
      }
    }
    expect(Object.fromEntries(readers)).toEqual({
      roles: ['roles', 'backup', 'restore'],
      provisioner: ['streams'],
      bus: ['nats'],
      database: ['postgres'],
      cache: ['redis'],
      administrator: ['seed-identity', 'administrator'],
      gateway: ['gateway'],
      identity: ['identity'],
      'identity-owner': ['migrate-identity'],
      rbac: ['seed-rbac', 'rbac'],
      'rbac-owner': ['migrate-rbac'],
      audit: ['audit'],
      'audit-owner': ['migrate-audit'],
    });
  });

  test('starts a service only when what it needs is done or healthy', () => {
    for (const service of databaseServices) {
      const waits = entries(at(file, 'services', service, 'depends_on'));
      expect(waits.map(([on]) => on)).toEqual(expect.arrayContaining(['nats', 'streams']));
      expect(waits.every(([, one]) => text(at(one, 'condition')) !== 'service_started')).toBe(true);
    }
  });

  test.each(['en', 'pt-br'])('takes the settings that the guide names (%s)', (language) => {
    const guide = readFileSync(path.join(repositoryRoot, 'docs', language, 'operations.md'), 'utf8');
    const chapter = guide.slice(guide.indexOf('\n## 3.'), guide.indexOf('\n## 4.'));
    const named = [...chapter.matchAll(/`([A-Z*][A-Z_*]+)`/g)].map(([, name = '']) => name);
    const taken = composeSettings();
    const isLike = (pattern: string, name: string): boolean =>
      new RegExp(`^${pattern.replace('*', '\\w+')}$`).test(name);
    expect(named.filter((pattern) => !taken.some((name) => isLike(pattern, name)))).toEqual([]);
    expect(taken.filter((name) => !named.some((pattern) => isLike(pattern, name)))).toEqual([]);
    expect(taken).toContain('RATE_LIMIT_ROUTES');
  });

  test('declares every volume it mounts', () => {
    const declared = new Set(entries(file['volumes']).map(([name]) => name));
    const mounted = composeServices(file).flatMap(([, one]) => list(at(one, 'volumes')).map((volume) => text(volume)));
    const named = mounted.map((volume) => volume.split(':')[0] ?? '').filter((source) => !source.startsWith('.'));
    expect(named.filter((name) => !declared.has(name))).toEqual([]);
  });
});

describe('the review finds (controls)', () => {
  const weakened = (change: (gateway: JsonObject, all: JsonObject) => void): string => {
    const all = structuredClone(file);
    change(at(all, 'services', 'gateway') as JsonObject, all);
    return composeProblems(all).join('\n');
  };

  test.each<[string, (gateway: JsonObject, all: JsonObject) => void, string]>([
    ['a port for everybody', (one) => (one['ports'] = ['3000:3000']), 'to everybody'],
    ['a writable root', (one) => (one['read_only'] = false), 'can write'],
    ['capabilities', (one) => (one['cap_drop'] = []), 'keeps capabilities'],
    ['escalation', (one) => (one['security_opt'] = []), 'gain privileges'],
    ['no limit', (one) => delete one['mem_limit'], 'memory limit'],
    ['a secret in the environment', (one) => (one['environment'] = { NATS_NKEY_SEED: 'x' }), 'NATS_NKEY_SEED'],
    ['a newer key', (_one, all) => (all['name'] = 'prime-nest'), 'older compose'],
  ])('%s', (_name, change, problem) => {
    expect(weakened(change)).toContain(problem);
  });
});
