import { at, list, selects, text, workloads } from './manifests.js';
import type { Json, Manifest, Workload } from './manifests.js';

/** One way that is open: from a component, to a port. */
export interface Edge {
  readonly from: string;
  readonly to: string;
}

const policies = (all: readonly Manifest[]): Manifest[] => all.filter(({ kind }) => kind === 'NetworkPolicy');

function rulesFor(all: readonly Manifest[], workload: Workload, direction: 'ingress' | 'egress'): Json[] {
  return policies(all)
    .filter((policy) => selects(at(policy, 'spec', 'podSelector'), workload.labels))
    .flatMap((policy) => list(at(policy, 'spec', direction)));
}

/** What a workload may open a connection to, by port, DNS excepted. */
export function egressOf(all: readonly Manifest[], workload: Workload): string[] {
  const ports = rulesFor(all, workload, 'egress').flatMap((rule) => {
    const named = list(at(rule, 'ports')).map((port) => text(at(port, 'port')));
    return named.length === 0 ? ['any port'] : named;
  });
  return [...new Set(ports)].filter((port) => port !== '53').sort();
}

/** Sentences about pods that no policy closes, in one direction or the other. */
export function openPods(all: readonly Manifest[]): string[] {
  return workloads(all).flatMap((workload) =>
    (['Ingress', 'Egress'] as const)
      .filter(
        (type) =>
          !policies(all).some(
            (policy) =>
              selects(at(policy, 'spec', 'podSelector'), workload.labels) &&
              list(at(policy, 'spec', 'policyTypes')).includes(type),
          ),
      )
      .map((type) => `${workload.label} is closed by no policy for ${type}`),
  );
}

/** Pairs of our own workloads of which the first may reach the second, by both their policies. */
export function internalEdges(all: readonly Manifest[]): Edge[] {
  const own = workloads(all);
  const names = (rule: Json, direction: 'from' | 'to', other: Workload): boolean => {
    const peers = list(at(rule, direction));
    return peers.some(
      (peer) => at(peer, 'namespaceSelector') === undefined && selects(at(peer, 'podSelector'), other.labels),
    );
  };
  return own.flatMap((from) =>
    own
      .filter((to) => rulesFor(all, from, 'egress').some((rule) => names(rule, 'to', to)))
      .filter((to) =>
        rulesFor(all, to, 'ingress').some((rule) => at(rule, 'from') === undefined || names(rule, 'from', from)),
      )
      .map((to) => ({ from: from.component, to: to.component })),
  );
}

/** Who lets whom in: the sources that a workload's own policies name. `anybody` when they name none. */
export function ingressOf(all: readonly Manifest[], workload: Workload): string[] {
  return rulesFor(all, workload, 'ingress').flatMap((rule) => {
    const peers = list(at(rule, 'from'));
    return peers.length === 0 ? ['anybody'] : peers.map((peer) => JSON.stringify(peer));
  });
}
