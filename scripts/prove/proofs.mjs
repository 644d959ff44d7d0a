/** The proofs of this repository. Each ends by itself within its limit and reports through `report.mjs`. */
export const proofs = [
  {
    name: 'revocation',
    args: ['services/rbac/prove/revocation.mjs'],
    limitSeconds: 240,
    takesSeed: true,
  },
  {
    name: 'audit',
    args: ['services/audit/prove/outages.mjs', '--seconds', '60'],
    limitSeconds: 300,
    takesSeed: true,
  },
  {
    name: 'attacks',
    args: ['services/gateway/prove/attacks.mjs'],
    limitSeconds: 300,
  },
  {
    name: 'refresh',
    args: [
      'scripts/prove/suites.mjs',
      'identity',
      'session/session.int|account/lockout.*int',
      'IDENTITY_PROVE_ROUNDS=50',
    ],
    limitSeconds: 180,
  },
  {
    name: 'password',
    args: ['scripts/prove/suites.mjs', 'identity', 'account/races.int', 'IDENTITY_PROVE_ROUNDS=300'],
    limitSeconds: 180,
  },
  {
    name: 'sessions',
    args: ['scripts/prove/suites.mjs', 'tests', 'tests/revocation.int', 'REVOCATION_PROVE_ROUNDS=200'],
    limitSeconds: 180,
  },
  { name: 'keys', args: ['scripts/prove/suites.mjs', 'tests', 'tests/key-rotation.int'], limitSeconds: 180 },
  { name: 'timing', args: ['scripts/prove/suites.mjs', 'identity', 'session/timing.int'], limitSeconds: 180 },
  {
    name: 'tampering',
    args: ['scripts/prove/suites.mjs', 'audit', 'check/check-(log|numbers).int'],
    limitSeconds: 180,
  },
  {
    name: 'policy',
    args: ['scripts/prove/suites.mjs', 'rbac', 'policy/(judge|compile|sets|tables|guarantee)'],
    limitSeconds: 180,
  },
  {
    name: 'failures',
    args: ['scripts/prove/suites.mjs', 'gateway', 'gateway/src/fail-closed.int', 'SHOW_MEASURED=1'],
    limitSeconds: 180,
  },
  { name: 'outages', args: ['scripts/prove/suites.mjs', 'tests', 'tests/outages.int'], limitSeconds: 240 },
  { name: 'rolling', args: ['tests/prove/rolling.mjs'], limitSeconds: 240 },
];
