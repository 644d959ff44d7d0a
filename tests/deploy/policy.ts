import { at, entries, list, selects, text, workloads } from './manifests.js';
import type { Json, Manifest, Workload } from './manifests.js';

type Rule = (workload: Workload, all: readonly Manifest[]) => string[];
const unless = (condition: boolean, problem: string): string[] => (condition ? [] : [problem]);
const ofKind = (all: readonly Manifest[], kind: string): Manifest[] => all.filter((object) => object.kind === kind);
const isService = ({ manifest }: Workload): boolean => manifest.kind === 'Deployment';

/** The restricted Pod Security Standard, and a little more: numeric user, no token, no links. */
const isolation: Rule = ({ pod }) => [
  ...unless(at(pod, 'securityContext', 'runAsNonRoot') === true, 'may run as root'),
  ...unless(Number(at(pod, 'securityContext', 'runAsUser') ?? 0) >= 10_000, 'has no numeric user above 10000'),
  ...unless(at(pod, 'securityContext', 'seccompProfile', 'type') === 'RuntimeDefault', 'has no seccomp profile'),
  ...unless(at(pod, 'automountServiceAccountToken') === false, 'mounts a service account token'),
  ...unless(at(pod, 'enableServiceLinks') === false, 'gets the addresses of all Services in its environment'),
  ...['hostNetwork', 'hostPID', 'hostIPC'].filter((key) => at(pod, key) === true).map((key) => `uses ${key}`),
  ...list(at(pod, 'volumes')).flatMap((volume) => [
    ...unless(at(volume, 'hostPath') === undefined, 'mounts a host path'),
    ...secretMode(volume),
  ]),
];

/** Secrets as files are there for the group of the pod to read (0440), and for nobody else. */
function secretMode(volume: Json): string[] {
  const projected = list(at(volume, 'projected', 'sources')).some((source) => at(source, 'secret') !== undefined);
  const source = projected ? at(volume, 'projected') : at(volume, 'secret');
  const mode = Number(at(source, 'defaultMode') ?? 0o644);
  return unless(source === undefined || mode === 0o440, `mounts secrets with mode 0${mode.toString(8)}`);
}

const containers: Rule = ({ containers }) =>
  containers.flatMap((container) => {
    const security = at(container, 'securityContext');
    const image = text(at(container, 'image'));
    const secretValues = list(at(container, 'env')).filter(
      (variable) =>
        /PASSWORD$|_KEY$|_SEED$|SECRET$|_URL$/.test(text(at(variable, 'name'))) &&
        /:\/\/[^/]*:[^/]*@|BEGIN|^[^/:]{12,}$/.test(text(at(variable, 'value'))),
    );
    return [
      ...unless(at(security, 'allowPrivilegeEscalation') === false, 'may gain privileges'),
      ...unless(at(security, 'readOnlyRootFilesystem') === true, 'can write its root file system'),
      ...unless(list(at(security, 'capabilities', 'drop')).includes('ALL'), 'keeps capabilities'),
      ...unless(list(at(security, 'capabilities', 'add')).length === 0, 'adds capabilities'),
      ...unless(at(security, 'privileged') !== true, 'is privileged'),
      ...unless(at(container, 'resources', 'limits', 'memory') !== undefined, 'has no memory limit'),
      ...unless(at(container, 'resources', 'requests', 'cpu') !== undefined, 'requests no CPU'),
      ...unless(at(container, 'resources', 'requests', 'memory') !== undefined, 'requests no memory'),
      ...unless(
        /(:[^/:]+|@sha256:[0-9a-f]{64})$/.test(image) && !image.endsWith(':latest'),
        `runs a moving image ${image}`,
      ),
      ...secretValues.map((variable) => `has a secret in plain sight: ${text(at(variable, 'name'))}`),
    ];
  });

/** A probe that asks others must not kill: an outage elsewhere would restart everything. */
const probes: Rule = (workload) => {
  if (!isService(workload)) return [];
  return workload.containers.flatMap((container) => {
    const path = (probe: string) => text(at(container, probe, 'httpGet', 'path'));
    const port = text(at(container, 'readinessProbe', 'httpGet', 'port'));
    return [
      ...unless(path('livenessProbe') === '/health/liveness', 'has no liveness probe of its own'),
      ...unless(path('readinessProbe') === '/health/readiness', 'has no readiness probe'),
      ...unless(path('startupProbe') === '/health/liveness', 'has no startup probe'),
      ...unless(
        list(at(container, 'ports')).some((one) => at(one, 'name') === port),
        `probes a port that it does not have (${port})`,
      ),
    ];
  });
};

const endsWell: Rule = (workload, all) => {
  if (!isService(workload)) return [];
  const config = ofKind(all, 'ConfigMap').find(({ metadata }) => metadata.name === workload.manifest.metadata.name);
  const drain = Number(at(config, 'data', 'SHUTDOWN_TIMEOUT_MS') ?? 10_000) / 1000;
  const preStop = Number(at(workload.containers[0], 'lifecycle', 'preStop', 'sleep', 'seconds') ?? 0);
  const grace = Number(at(workload.pod, 'terminationGracePeriodSeconds') ?? 30);
  return [
    ...unless(preStop > 0, 'is stopped while it still gets traffic'),
    ...unless(grace > preStop + drain, `is killed after ${grace} s, in the middle of its drain`),
  ];
};

const staysUp: Rule = (workload, all) => {
  if (!isService(workload)) return [];
  const { manifest } = workload;
  const hpa = ofKind(all, 'HorizontalPodAutoscaler').filter(
    (one) => at(one, 'spec', 'scaleTargetRef', 'name') === manifest.metadata.name,
  );
  const replicas = at(manifest, 'spec', 'replicas');
  const count = Number(hpa.length > 0 ? at(hpa[0], 'spec', 'minReplicas') : replicas);
  const pdbs = ofKind(all, 'PodDisruptionBudget').filter((one) =>
    selects(at(one, 'spec', 'selector'), workload.labels),
  );
  return [
    ...unless(hpa.length === 0 || replicas === undefined, 'is scaled by two: HPA and replicas'),
    ...unless(count <= 1 || pdbs.length === 1, 'has no disruption budget'),
    ...unless(
      pdbs.every((one) => Number.parseInt(text(at(one, 'spec', 'maxUnavailable')), 10) >= 1),
      'can never be evicted: nodes cannot be drained',
    ),
    ...unless(
      at(manifest, 'spec', 'strategy', 'rollingUpdate', 'maxUnavailable') === 0,
      'loses pods while rolling out',
    ),
    ...unless(list(at(workload.pod, 'topologySpreadConstraints')).length >= 2, 'is not spread over nodes and zones'),
  ];
};

const references: Rule = (workload, all) => {
  const configMaps = new Set(ofKind(all, 'ConfigMap').map(({ metadata }) => metadata.name));
  const named = [
    ...workload.containers.flatMap((one) =>
      list(at(one, 'envFrom')).map((from) => text(at(from, 'configMapRef', 'name'))),
    ),
    ...list(at(workload.pod, 'volumes')).map((volume) => text(at(volume, 'configMap', 'name'))),
  ].filter((name) => name !== '');
  const account = text(at(workload.pod, 'serviceAccountName'));
  const accounts = ofKind(all, 'ServiceAccount').filter(({ metadata }) => metadata.name === account);
  const annotations = at(workload.manifest, 'spec', 'template', 'metadata', 'annotations');
  return [
    ...named.filter((name) => !configMaps.has(name)).map((name) => `refers to an absent ConfigMap ${name}`),
    ...unless(account === '' || accounts.length === 1, `runs as an absent account ${account}`),
    ...accounts.flatMap((one) =>
      unless(at(one, 'automountServiceAccountToken') === false, 'has an account with a token'),
    ),
    ...unless(account !== '', 'runs as the default account'),
    ...unless(
      !isService(workload) || at(annotations, 'checksum/config') !== undefined,
      'is not replaced when its configuration changes',
    ),
    ...list(at(workload.pod, 'volumes'))
      .filter((volume) => isService(workload) && at(volume, 'configMap') !== undefined)
      .flatMap((volume) =>
        unless(
          at(annotations, `checksum/${text(at(volume, 'name'))}`) !== undefined,
          `is not replaced when its ${text(at(volume, 'name'))} change`,
        ),
      ),
  ];
};

function services(all: readonly Manifest[]): string[] {
  return ofKind(all, 'Service').flatMap((service) => {
    const selector: Json = { matchLabels: at(service, 'spec', 'selector') ?? {} };
    const targets = workloads(all).filter(
      ({ labels, manifest }) => manifest.kind !== 'Job' && selects(selector, labels),
    );
    const ports = targets.flatMap((one) => one.containers.flatMap((container) => list(at(container, 'ports'))));
    const label = `Service/${service.metadata.name}`;
    return [
      ...unless(targets.length === 1, `${label} selects ${targets.length} workloads`),
      ...unless(at(service, 'spec', 'type') === 'ClusterIP', `${label} is reachable from outside`),
      ...list(at(service, 'spec', 'ports')).flatMap((port) =>
        unless(
          ports.some((one) => at(one, 'name') === at(port, 'targetPort')),
          `${label} leads to no port`,
        ),
      ),
    ];
  });
}

function inventory(all: readonly Manifest[]): string[] {
  const seen = new Set<string>();
  return all.flatMap((object) => {
    const key = `${object.kind}/${object.metadata.name}`;
    const isTwice = seen.has(key);
    seen.add(key);
    const wanted = ['name', 'instance', 'component', 'part-of', 'version', 'managed-by'];
    const held = new Set(entries(at(object, 'metadata', 'labels')).map(([label]) => label));
    return [
      ...unless(!isTwice, `${key} is there twice`),
      ...unless(object.kind !== 'Secret', `${key}: secrets are never rendered`),
      ...unless(object.metadata.name.length <= 63, `${key} has too long a name`),
      ...wanted
        .filter((label) => !held.has(`app.kubernetes.io/${label}`))
        .map((label) => `${key} lacks the label ${label}`),
    ];
  });
}

/** Everything that a security review would send back, as sentences; none when there is nothing. */
export function policyProblems(all: readonly Manifest[]): string[] {
  const rules: Rule[] = [isolation, containers, probes, endsWell, staysUp, references];
  return [
    ...workloads(all).flatMap((workload) =>
      rules.flatMap((rule) => rule(workload, all).map((problem) => `${workload.label} ${problem}`)),
    ),
    ...services(all),
    ...inventory(all),
  ];
}
