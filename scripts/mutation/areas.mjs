/**
 * Code where a small mistake is a hole, and the tests that must notice it: pure rules only, so that a run needs no
 * server. `mutate` and `tests` are relative to the folder of the project. `timeoutMs`: how long a change may keep the
 * tests from ending, beyond one and a half times what they take; 20 seconds unless said.
 */
export const areas = {
  'token-verification': {
    project: 'gateway',
    folder: 'services/gateway',
    mutate: ['src/access/{access-token,key-set,revocation-set,claims-cache,principal}.ts'],
    tests: ['src/access/*.test.ts'],
  },
  'rotation-and-lockout': {
    project: 'identity',
    folder: 'services/identity',
    mutate: ['src/session/{redemption,refresh-token}.ts', 'src/account/lockout.ts'],
    tests: ['src/session/*.test.ts', 'src/account/*.test.ts'],
  },
  'client-address': {
    project: 'kit',
    folder: 'libs/kit',
    mutate: ['src/ip-address.ts'],
    tests: ['src/ip-address*.test.ts'],
  },
  decision: {
    project: 'rbac',
    folder: 'services/rbac',
    mutate: ['src/policy/{judge,decide,compile,bitset,escalation,administrators}.ts'],
    tests: ['src/policy/*.test.ts'],
  },
  // What the decision looks into: a row of somebody else would be somebody else's permissions.
  'decision-rows': {
    project: 'rbac',
    folder: 'services/rbac',
    mutate: ['src/policy/{bit-rows,principal-table}.ts'],
    tests: ['src/policy/tables.property.test.ts'],
  },
  'decision-ids': {
    project: 'rbac',
    folder: 'services/rbac',
    mutate: ['src/policy/uuid-table.ts'],
    tests: ['src/policy/tables.property.test.ts'],
    // One change in six makes a search endless; without it the tests take a second.
    timeoutMs: 6_000,
  },
  'audit-proofs': {
    project: 'kit',
    folder: 'libs/kit',
    mutate: ['src/tlog/{tree,proof,checkpoint}.ts'],
    tests: ['src/tlog/*.test.ts'],
  },
};
