import { describe, expect, test } from '@jest/globals';
import { seededRandom } from '../../test/harness.js';
import { NaivePolicy, baseMs, randomStart, randomSteps } from '../../test/random-policy.js';
import { applyDelta, compile } from './compile.js';
import { decide } from './decide.js';
import type { DeltaStep } from './delta.js';
import { difference } from './difference.js';
import { explain } from './explain.js';
import { type PolicySnapshot, effectiveBits, emptySnapshot, namesOf } from './snapshot.js';

const seed = Number(process.env['TEST_SEED'] ?? 20_260_301);

/** Everything that decisions depend on, in a form that does not show how it came to be. */
function contentOf(snapshot: PolicySnapshot, nowMs: number) {
  const ids = [...snapshot.principals.entries()].map(([id]) => id).sort();
  return {
    features: [...snapshot.features.values()].sort((a, b) => (a.id < b.id ? -1 : 1)),
    permissions: [...snapshot.permissionsByName.keys()].sort(),
    roles: [...snapshot.roles.values()]
      .map(({ id, isActive, grants }) => ({ id, isActive, grants: namesOf(snapshot, grants) }))
      .sort((a, b) => (a.id < b.id ? -1 : 1)),
    principals: ids.map((id) => {
      const principal = snapshot.principals.get(id);
      return { id, isActive: principal?.isActive, may: namesOf(snapshot, effectiveBits(snapshot, principal, nowMs)) };
    }),
    sets: snapshot.sets
      .filter((set) => set !== undefined)
      .map(({ key, holderCount, activeHolderCount }) => ({ key, holderCount, activeHolderCount }))
      .sort((a, b) => (a.key < b.key ? -1 : 1)),
  };
}

interface Step {
  readonly policy: NaivePolicy;
  readonly before: PolicySnapshot;
  readonly after: PolicySnapshot;
  readonly random: ReturnType<typeof seededRandom>;
}

/** At most a tenth of TEST_WALKS, which mutation testing sets: it runs these tests some hundred times. */
const walksMax = Number(process.env['TEST_WALKS'] ?? 10_000) / 10;

/** Random walks through policies; `visit` sees every step with the naive rows beside the snapshots. */
function walk(walks: number, steps: number, visit: (step: Step) => void): void {
  for (let i = 0; i < Math.min(walks, walksMax); i++) {
    const random = seededRandom(seed + i);
    let counter = 0;
    // As ids are, but for one in eight: the compiled policy keeps ids of any other form apart.
    const newId = () => {
      const tail = `${i}${(counter++).toString().padStart(6, '0')}`;
      return counter % 8 === 0 ? `odd-${tail}` : `01890000-0000-7000-8000-${tail.padStart(12, '0')}`;
    };
    const policy = new NaivePolicy();
    let snapshot = emptySnapshot();
    for (let step = 0; step < steps; step++) {
      const delta: DeltaStep[] = step === 0 ? randomStart(random, newId) : randomSteps(policy, random, newId);
      for (const one of delta) policy.apply(one);
      const before = snapshot;
      snapshot = applyDelta(snapshot, { revision: snapshot.revision + 1, delta });
      visit({ policy, before, after: snapshot, random });
    }
  }
}

describe('the compiled policy', () => {
  test('decides as an evaluator over plain rows does, for 100,000 random policies and questions', () => {
    let allows = 0;
    let count = 0;
    const walks = Math.min(100, walksMax);
    walk(walks, 50, ({ policy, after, random }) => {
      const principals = [...policy.principals.keys(), 'nobody'];
      const names = [...policy.names(), 'none:such'];
      for (let i = 0; i < 20; i++) {
        const principalId = random.pick(principals);
        const permission = random.pick(names);
        const nowMs = baseMs + random.below(5) - 2;
        const isAllowed = decide(after, { principalId, permission }, nowMs).effect === 'allow';
        if (isAllowed !== policy.isAllowed(principalId, permission, nowMs)) {
          throw new Error(`seed ${seed}: ${principalId} ${permission} differs at revision ${after.revision}`);
        }
        count++;
        if (isAllowed) allows++;
      }
    });
    expect(count).toBe(walks * 1_000);
    // The control: the questions are not all answered the same way.
    expect(allows / count).toBeGreaterThan(0.05);
    expect(allows / count).toBeLessThan(0.95);
  });

  test('built step by step it is the same as compiled at once, in any order, at every revision', () => {
    walk(25, 60, ({ policy, after, random }) => {
      const shuffle = <T>(list: T[]): T[] =>
        list
          .map((one) => ({ one, at: random.next() }))
          .sort((a, b) => a.at - b.at)
          .map(({ one }) => one);
      const whole = compile(after.revision, policy.steps(shuffle));
      expect(contentOf(after, baseMs)).toEqual(contentOf(whole, baseMs));
    });
  });

  test('a snapshot is never changed by what is made from it', () => {
    const seen: { snapshot: PolicySnapshot; content: string }[] = [];
    walk(1, 80, ({ after }) => seen.push({ snapshot: after, content: JSON.stringify(contentOf(after, baseMs)) }));
    for (const { snapshot, content } of seen) expect(JSON.stringify(contentOf(snapshot, baseMs))).toBe(content);
  });

  test('the difference of two revisions is exactly what their decisions differ in', () => {
    walk(20, 40, ({ policy, before, after }) => {
      const asked = [...policy.principals.keys()].flatMap((principalId) =>
        [...after.permissionsByName.keys(), ...before.permissionsByName.keys()].map((permission) => ({
          principalId,
          permission,
        })),
      );
      const differs = (from: PolicySnapshot, to: PolicySnapshot) =>
        new Set(
          asked
            .filter(
              (check) => decide(to, check, baseMs).effect === 'allow' && decide(from, check, baseMs).effect === 'deny',
            )
            .map(({ principalId, permission }) => `${principalId} ${permission}`),
        );
      const found = difference(before, after, baseMs);
      const names = (pairs: typeof found.gained) =>
        new Set(pairs.map((pair) => `${pair.principalId} ${pair.permission}`));
      expect(names(found.gained)).toEqual(differs(before, after));
      expect(names(found.lost)).toEqual(differs(after, before));
    });
  });

  test('an explanation names a granting role if and only if an active principal is allowed on an active feature', () => {
    walk(20, 40, ({ policy, after, random }) => {
      if (policy.principals.size === 0 || policy.permissions.size === 0) return;
      const check = {
        principalId: random.pick([...policy.principals.keys()]),
        permission: random.pick(policy.names()),
      };
      const { decision, grantedBy, notGrantedBy } = explain(after, check, baseMs);
      const isOpen = decision.effect === 'allow' || decision.reason === 'no_grant';
      if (isOpen) expect(grantedBy.length > 0).toBe(decision.effect === 'allow');
      expect(grantedBy.length + notGrantedBy.length).toBe(policy.principals.get(check.principalId)?.roles.size);
    });
  });

  const whole: DeltaStep[] = [
    { op: 'feature.put', id: 'f', name: 'f', isActive: true },
    { op: 'permission.put', id: 'p', featureId: 'f', action: 'a' },
    { op: 'role.put', id: 'r', name: 'r', isActive: true, receivesNew: false },
  ];
  const givenTo = (id: string): DeltaStep => ({
    op: 'principal.put',
    id: 'u',
    isActive: true,
    roles: [{ id, expiresAtMs: null }],
  });

  test.each<DeltaStep[][]>([
    [[{ op: 'feature.delete', id: 'gone' }]],
    [[{ op: 'permission.put', id: 'q', featureId: 'gone', action: 'b' }]],
    [[{ op: 'permission.delete', id: 'gone' }]],
    [[{ op: 'role.delete', id: 'gone' }]],
    [[{ op: 'role.grant', id: 'gone', permissionIds: [] }]],
    [[{ op: 'role.grant', id: 'r', permissionIds: ['gone'] }]],
    [[givenTo('gone')]],
    [
      [
        { op: 'permission.delete', id: 'p' },
        { op: 'role.grant', id: 'r', permissionIds: ['p'] },
      ],
    ],
    [[{ op: 'role.delete', id: 'r' }, givenTo('r')]],
  ])('steps that refer to something unknown throw instead of guessing: %j', (steps) => {
    expect(() => compile(1, whole)).not.toThrow();
    expect(() => compile(1, [...whole, ...steps])).toThrow(TypeError);
  });
});

describe('each kind of inactivity denies by itself', () => {
  const policy = (changed: DeltaStep[]) =>
    compile(1, [
      { op: 'feature.put', id: 'f', name: 'f', isActive: true },
      { op: 'permission.put', id: 'p', featureId: 'f', action: 'a' },
      { op: 'role.put', id: 'r', name: 'r', isActive: true, receivesNew: false },
      { op: 'role.grant', id: 'r', permissionIds: ['p'] },
      { op: 'principal.put', id: 'u', isActive: true, roles: [{ id: 'r', expiresAtMs: null }] },
      ...changed,
    ]);
  const answer = (changed: DeltaStep[], check = { principalId: 'u', permission: 'f:a' }) =>
    decide(policy(changed), check, baseMs);

  test('the control: with everything active it is allowed', () => {
    expect(answer([])).toEqual({ effect: 'allow' });
  });
  test.each<[string, DeltaStep]>([
    ['feature_inactive', { op: 'feature.put', id: 'f', name: 'f', isActive: false }],
    ['no_grant', { op: 'role.put', id: 'r', name: 'r', isActive: false, receivesNew: false }],
    ['principal_inactive', { op: 'principal.put', id: 'u', isActive: false, roles: [{ id: 'r', expiresAtMs: null }] }],
    ['no_grant', { op: 'principal.put', id: 'u', isActive: true, roles: [{ id: 'r', expiresAtMs: baseMs }] }],
    ['no_grant', { op: 'role.revoke', id: 'r', permissionIds: ['p'] }],
  ])('%s', (reason, step) => {
    expect(answer([step])).toEqual({ effect: 'deny', reason });
  });
  test('an assignment holds until its end and not at it', () => {
    const until = (expiresAtMs: number): DeltaStep[] => [
      { op: 'principal.put', id: 'u', isActive: true, roles: [{ id: 'r', expiresAtMs }] },
    ];
    expect(answer(until(baseMs + 1)).effect).toBe('allow');
    expect(answer(until(baseMs)).effect).toBe('deny');
  });
  test('unknown principals and permissions are denied with their own reasons', () => {
    expect(answer([], { principalId: 'x', permission: 'f:a' })).toEqual({
      effect: 'deny',
      reason: 'unknown_principal',
    });
    expect(answer([], { principalId: 'u', permission: 'f:b' })).toEqual({
      effect: 'deny',
      reason: 'unknown_permission',
    });
    expect(answer([], { principalId: '__proto__', permission: 'constructor' }).effect).toBe('deny');
  });
});
