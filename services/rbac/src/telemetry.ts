import { counter, histogram, observed } from '@prime-nest/kit/telemetry-metrics';

/** Names of our own in the spans of rbac. Principals and what they ask about individually are not among them. */
export const mark = {
  checks: 'decision.checks',
  allowed: 'decision.allowed',
  denied: 'decision.denied',
  revision: 'decision.revision',
  operation: 'mutation.operation',
  changedTo: 'mutation.revision',
  waitedFor: 'barrier.revision',
  live: 'barrier.live_members',
  acked: 'barrier.acknowledged',
  fenced: 'barrier.fenced',
} as const;

export const decisions = counter({
  name: 'prime_nest_decisions_total',
  help: 'Checks decided, by effect',
  labels: ['effect'],
  known: [{ effect: 'allow' }, { effect: 'deny' }],
});

export const barrierTimes = histogram({
  name: 'prime_nest_barrier_duration_seconds',
  help: 'Time that a mutation waited until no replica decided by an older revision',
});

export const fenced = counter({
  name: 'prime_nest_barrier_fenced_total',
  help: 'Replicas that did not answer a barrier, so that the end of their lease had to be awaited',
});

export const leaseAge = observed({
  name: 'prime_nest_lease_age_seconds',
  help: 'Time since the lease of this replica was renewed; nothing while it holds none',
});

export const leaseLeft = observed({
  name: 'prime_nest_lease_left_seconds',
  help: 'Time that this replica may still decide without asking; 0 while every decision is proven one by one',
});

export const revision = observed({
  name: 'prime_nest_policy_revision',
  help: 'The revision of the policy that this replica holds',
});
