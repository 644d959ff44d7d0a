import { counter, histogram, observed } from '@prime-nest/kit/telemetry-metrics';

/** Names of our own in the spans of identity. Neither accounts nor sessions nor what was typed are among them. */
export const mark = {
  hashWaitMs: 'password.wait_ms',
  rotation: 'rotation.outcome',
} as const;

export const hashWait = histogram({
  name: 'prime_nest_password_hash_wait_seconds',
  help: 'Time that a password waited for a thread before it was hashed or compared',
});

export const hashQueue = observed({
  name: 'prime_nest_password_hash_queue_jobs',
  help: 'Passwords that wait for a thread',
});

export const lockouts = counter({
  name: 'prime_nest_lockouts_total',
  help: 'Lanes locked after too many failed sign-ins, by kind of lane',
  labels: ['lane'],
  known: [{ lane: 'stranger' }, { lane: 'device' }, { lane: 'reauth' }, { lane: 'source' }],
});

export const rotations = counter({
  name: 'prime_nest_refreshes_total',
  help: 'Refresh tokens presented, by outcome',
  labels: ['outcome'],
});

export const reuses = counter({
  name: 'prime_nest_reuse_incidents_total',
  help: 'Sessions ended because a superseded refresh token was presented, by its age',
  labels: ['age'],
  known: [{ age: 'recent' }, { age: 'stale' }],
});

export const barrierTimes = histogram({
  name: 'prime_nest_revocation_barrier_seconds',
  help: 'Time from the commit of a revocation until no gateway accepted its tokens any more',
});

export const fencedGateways = counter({
  name: 'prime_nest_revocation_fenced_gateways_total',
  help: 'Gateways that a revocation waited for until their lease had ended',
});
