import { describe, expect, test } from '@jest/globals';
import { busUsers } from '@prime-nest/contracts/bus';
import { databaseServices } from '@prime-nest/devstack/roles-sql';
import { at, list, manifestsOf, text, variants, workloads } from './manifests.js';
import type { Json, JsonObject, Manifest, Variant } from './manifests.js';
import { egressOf, ingressOf, internalEdges, openPods } from './network.js';
import { policyProblems } from './policy.js';

const ports = { bus: '4222', database: '5432', cache: '6379', sentinels: '26379', traces: '4318' };
const servers = ['postgres', 'nats', 'redis'];
/** The bus has a user for each service, and `provisioner` for the job that makes the streams. */
const onTheBus = new Set(busUsers.map((user) => (user === 'provisioner' ? 'streams' : user)));
const onTheDatabase = (component: string): boolean =>
  component === 'bootstrap' ||
  databaseServices.some((service) => component.replace(/^(migrate|seed)-/, '') === service);

/** Of the route file's upstreams, where there is one: the pods behind invoices.billing.svc, and reports.example.com. */
const upstreamPorts: Partial<Record<Variant, string>> = { production: '8080', everything: '443' };

/** Where a component has to be able to go, by the bus matrix, the database matrix and the route file. */
function neededPorts(component: string, variant: Variant): string[] {
  const isTraced = variant !== 'minimal';
  const upstream = upstreamPorts[variant];
  if (servers.includes(component)) return [];
  const isService = ['gateway', ...databaseServices].includes(component);
  return [
    ...(onTheBus.has(component as never) ? [ports.bus] : []),
    ...(onTheDatabase(component) ? [ports.database] : []),
    ...(component === 'gateway' ? [ports.cache, ...(variant === 'operators' ? [ports.sentinels] : [])] : []),
    ...(component === 'gateway' && upstream !== undefined ? [upstream] : []),
    ...(isService && isTraced ? [ports.traces] : []),
  ].sort();
}

describe.each(variants)('the manifests of %s', (variant) => {
  const all = manifestsOf(variant);

  test('pass the review', () => {
    expect(policyProblems(all)).toEqual([]);
  });

  test('leave no pod open', () => {
    expect(openPods(all)).toEqual([]);
  });

  test('open exactly the ways of the bus matrix and the database matrix', () => {
    const open = workloads(all).map((one) => [one.component, egressOf(all, one)]);
    const needed = workloads(all).map(({ component }) => [component, neededPorts(component, variant)]);
    expect(open).toEqual(needed);
    expect(open.length).toBeGreaterThanOrEqual(9);
  });

  test('give services no way to each other', () => {
    const between = internalEdges(all).filter(({ to }) => !servers.includes(to));
    expect(between).toEqual([]);
  });

  test('let nobody in behind the bus but who reads metrics', () => {
    for (const workload of workloads(all).filter(({ component }) => databaseServices.includes(component as never))) {
      expect(ingressOf(all, workload).filter((source) => !source.includes('monitoring'))).toEqual([]);
    }
  });

  test('start four services, the streams, three migrations and the policy seed', () => {
    const components = workloads(all).map(({ component }) => component);
    const jobs = ['streams', ...databaseServices.map((service) => `migrate-${service}`), 'seed-rbac'];
    expect(components).toEqual(expect.arrayContaining(['gateway', ...databaseServices, ...jobs]));
  });
});

test('bundled servers let in exactly those who may go there', () => {
  const edges = internalEdges(manifestsOf('everything')).map(({ from, to }) => `${from} ${to}`);
  const database = [
    'bootstrap',
    ...databaseServices.flatMap((one) => [one, `migrate-${one}`]),
    'seed-identity',
    'seed-rbac',
  ];
  const bus = ['gateway', ...databaseServices, 'streams'];
  expect(edges.sort()).toEqual(
    [...database.map((one) => `${one} postgres`), ...bus.map((one) => `${one} nats`), 'gateway redis'].sort(),
  );
});

/** Controls: each weakens one thing of a manifest that passes, and has to be found. */
const deployment = (all: readonly Manifest[], name = 'rbac'): Manifest =>
  all.find(({ kind, metadata }) => kind === 'Deployment' && metadata.name.endsWith(name)) as Manifest;
const pod = (all: readonly Manifest[]): JsonObject => at(deployment(all), 'spec', 'template', 'spec') as JsonObject;
const container = (all: readonly Manifest[]): JsonObject => list(pod(all)['containers'])[0] as JsonObject;
const drop = (all: Manifest[], kind: string): void => {
  all.splice(0, all.length, ...all.filter((object) => object.kind !== kind));
};
const put = (object: Json | undefined, key: string, value: Json): void => {
  (object as JsonObject)[key] = value;
};

const weakenings: [string, (all: Manifest[]) => void, string][] = [
  ['root', (all) => put(at(pod(all), 'securityContext'), 'runAsNonRoot', false), 'may run as root'],
  ['user 0', (all) => put(at(pod(all), 'securityContext'), 'runAsUser', 0), 'numeric user'],
  ['no seccomp', (all) => put(at(pod(all), 'securityContext'), 'seccompProfile', {}), 'seccomp'],
  ['a token', (all) => delete pod(all)['automountServiceAccountToken'], 'service account token'],
  ['the host’s network', (all) => put(pod(all), 'hostNetwork', true), 'hostNetwork'],
  ['a host path', (all) => list(pod(all)['volumes']).push({ name: 'x', hostPath: { path: '/' } }), 'host path'],
  [
    'a loose mode',
    (all) =>
      put(
        at(
          list(pod(all)['volumes']).find((volume) => at(volume, 'secret') !== undefined),
          'secret',
        ),
        'defaultMode',
        440,
      ),
    'mounts secrets with mode 0670',
  ],
  ['the default account', (all) => delete pod(all)['serviceAccountName'], 'default account'],
  ['privileged', (all) => put(container(all)['securityContext'], 'privileged', true), 'is privileged'],
  ['escalation', (all) => put(container(all)['securityContext'], 'allowPrivilegeEscalation', true), 'gain privileges'],
  ['a writable root', (all) => put(container(all)['securityContext'], 'readOnlyRootFilesystem', false), 'can write'],
  ['capabilities', (all) => put(container(all)['securityContext'], 'capabilities', { add: ['NET_ADMIN'] }), 'adds cap'],
  ['no limit', (all) => put(container(all)['resources'], 'limits', {}), 'no memory limit'],
  ['no request', (all) => put(container(all)['resources'], 'requests', {}), 'requests no CPU'],
  ['a moving tag', (all) => put(container(all), 'image', 'prime-nest/rbac:latest'), 'moving image'],
  ['no tag', (all) => put(container(all), 'image', 'registry:5000/prime-nest/rbac'), 'moving image'],
  [
    'a password in sight',
    (all) => list(container(all)['env']).push({ name: 'NATS_NKEY_SEED', value: 'correct-horse-battery' }),
    'plain sight',
  ],
  [
    'a deadly readiness',
    (all) => put(at(container(all), 'livenessProbe', 'httpGet'), 'path', '/health/readiness'),
    'liveness',
  ],
  ['no readiness', (all) => delete container(all)['readinessProbe'], 'readiness'],
  ['no preStop', (all) => delete container(all)['lifecycle'], 'still gets traffic'],
  ['a short grace', (all) => put(pod(all), 'terminationGracePeriodSeconds', 20), 'middle of its drain'],
  ['no budget', (all) => drop(all, 'PodDisruptionBudget'), 'no disruption budget'],
  ['two scalers', (all) => put(at(deployment(all, 'gateway'), 'spec'), 'replicas', 3), 'scaled by two'],
  ['no spread', (all) => delete pod(all)['topologySpreadConstraints'], 'not spread'],
  ['no checksum', (all) => put(at(deployment(all), 'spec', 'template', 'metadata'), 'annotations', {}), 'not replaced'],
  [
    'a route file without a checksum',
    (all) =>
      delete (at(deployment(all, 'gateway'), 'spec', 'template', 'metadata', 'annotations') as JsonObject)[
        'checksum/routes'
      ],
    'when its routes change',
  ],
  ['an absent configuration', (all) => drop(all, 'ConfigMap'), 'absent ConfigMap'],
  [
    'a public service',
    (all) =>
      put(
        at(
          all.find(({ kind }) => kind === 'Service'),
          'spec',
        ),
        'type',
        'LoadBalancer',
      ),
    'reachable from outside',
  ],
  [
    'a rendered secret',
    (all) => all.push({ apiVersion: 'v1', kind: 'Secret', metadata: { name: 'x' } }),
    'secrets are never rendered',
  ],
];

describe('the review finds (controls)', () => {
  test.each(weakenings)('%s', (_name, weaken, problem) => {
    const all = structuredClone(manifestsOf('production'));
    weaken(all);
    expect(policyProblems(all).join('\n')).toContain(problem);
  });

  test('an absent default deny', () => {
    const all = manifestsOf('production').filter(({ kind }) => kind !== 'NetworkPolicy');
    expect(openPods(all).length).toBe(workloads(all).length * 2);
  });

  test('a way that the matrix does not have', () => {
    const all = structuredClone(manifestsOf('production'));
    const policy = all.find(({ kind, metadata }) => kind === 'NetworkPolicy' && metadata.name.endsWith('-gateway'));
    list(at(policy, 'spec', 'egress')).push({ ports: [{ protocol: 'TCP', port: 5432 }] });
    const gateway = workloads(all).find(({ component }) => component === 'gateway');
    expect(gateway && egressOf(all, gateway)).toContain(ports.database);
    expect(neededPorts('gateway', 'production')).not.toContain(ports.database);
    expect(text(at(policy, 'kind'))).toBe('NetworkPolicy');
  });
});
