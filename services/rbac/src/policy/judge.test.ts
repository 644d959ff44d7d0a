import { describe, expect, test } from '@jest/globals';
import type { AppError } from '@prime-nest/contracts/errors';
import { seededRandom } from '../../test/harness.js';
import { NaivePolicy, baseMs, randomSteps } from '../../test/random-policy.js';
import { administratorPermissions, hasAdministrator } from './administrators.js';
import { hasBit } from './bitset.js';
import { applyDelta, compile } from './compile.js';
import type { DeltaStep } from './delta.js';
import { difference } from './difference.js';
import { givenBits } from './escalation.js';
import { judge } from './judge.js';
import { type PolicySnapshot, emptySnapshot } from './snapshot.js';

const seed = Number(process.env['TEST_SEED'] ?? 20_260_302);
/** Fewer in mutation testing, which runs these tests some hundred times. */
const walks = Number(process.env['TEST_WALKS'] ?? 10_000);
const verdict = (before: PolicySnapshot, after: PolicySnapshot, actorId: string) => {
  try {
    judge(before, after, actorId);
    return 'ok';
  } catch (error) {
    return (error as AppError).code;
  }
};

/** Permissions that active roles give a principal without an end: the rows, not the code under test. */
function lastingRights(policy: NaivePolicy, principalId: string): Set<string> {
  const principal = policy.principals.get(principalId);
  if (!principal?.isActive) return new Set();
  const lasting = [...principal.roles].filter(([, end]) => end === null).map(([roleId]) => policy.roles.get(roleId));
  return new Set(lasting.filter((role) => role?.isActive).flatMap((role) => [...(role?.grants ?? [])]));
}

function heldByAnybody(policy: NaivePolicy): Map<string, Set<string>> {
  return new Map(
    [...policy.principals].map(([id, { roles }]) => [
      id,
      new Set([...roles.keys()].flatMap((role) => [...(policy.roles.get(role)?.grants ?? [])])),
    ]),
  );
}

describe('nobody can give what he does not hold', () => {
  test('what anybody gains by a change is part of what the guard says is given, for every kind of change', () => {
    for (let i = 0; i < Math.min(60, walks / 20); i++) {
      const random = seededRandom(seed + i);
      let counter = 0;
      const policy = new NaivePolicy();
      let snapshot = emptySnapshot();
      for (let step = 0; step < 60; step++) {
        const delta = randomSteps(policy, random, () => `${i}-${counter++}`);
        for (const one of delta) policy.apply(one);
        const after = applyDelta(snapshot, { revision: step + 1, delta });
        const given = givenBits(snapshot, after);
        for (const { permission } of difference(snapshot, after, baseMs).gained) {
          const entry = after.permissionsByName.get(permission);
          if (entry === undefined || !snapshot.permissions.has(entry.id)) continue;
          if (!hasBit(given, entry.index)) throw new Error(`seed ${seed + i}: ${permission} was given unseen`);
        }
        snapshot = after;
      }
    }
  });

  test('random walks by limited actors never bring anybody a right that none of the actors had', () => {
    let accepted = 0;
    let refused = 0;
    for (let i = 0; i < walks; i++) {
      const random = seededRandom(seed + i);
      const { policy, steps } = startingPolicy(random);
      let snapshot = compile(1, steps);
      const actors = ['u0', 'u1'];
      const heldAtStart = heldByAnybody(policy);
      const ofActors = new Set(actors.flatMap((id) => [...lastingRights(policy, id)]));
      for (let step = 0; step < 12; step++) {
        const actor = random.pick(actors);
        const rights = lastingRights(policy, actor);
        const delta = randomAdministration(policy, random);
        const after = applyDelta(snapshot, { revision: snapshot.revision + 1, delta });
        if (verdict(snapshot, after, actor) !== 'ok') {
          refused++;
          continue;
        }
        accepted++;
        const gained = difference(snapshot, after, baseMs).gained.map(
          ({ permission }) => after.permissionsByName.get(permission)?.id ?? '',
        );
        if (gained.some((id) => !rights.has(id)))
          throw new Error(`seed ${seed + i}: ${actor} gave what it did not hold`);
        for (const one of delta) policy.apply(one);
        snapshot = after;
      }
      for (const [id, held] of heldByAnybody(policy)) {
        const isWithin = [...held].every((right) => ofActors.has(right) || heldAtStart.get(id)?.has(right));
        if (!isWithin) throw new Error(`seed ${seed + i}: ${id} ended with a right that no actor had`);
      }
    }
    // The control: both verdicts occur often, so the walks do go somewhere and do run into the guard.
    expect(accepted).toBeGreaterThan(walks);
    expect(refused).toBeGreaterThan(walks);
  });

  test.each<[string, DeltaStep[], DeltaStep[]]>([
    ['a role is assigned', [], [put('u', ['strong'])]],
    [
      'a role that somebody holds grants more',
      [put('u', ['weak'])],
      [{ op: 'role.grant', id: 'weak', permissionIds: ['p'] }],
    ],
    ['a role that nobody holds grants more', [], [{ op: 'role.grant', id: 'weak', permissionIds: ['p'] }]],
    ['a sleeping role is woken', [role('strong', false), put('u', ['strong'])], [role('strong', true)]],
    ['a sleeping principal is woken', [put('u', ['strong'], false)], [put('u', ['strong'], true)]],
    ['a sleeping feature is woken', [feature(false), put('u', ['strong'])], [feature(true)]],
    ['an end is moved', [put('u', ['strong'], true, baseMs + 5)], [put('u', ['strong'], true, baseMs + 9)]],
    ['an end is removed', [put('u', ['strong'], true, baseMs + 5)], [put('u', ['strong'])]],
    ['a role is assigned to the actor itself', [], [put('limited', ['weak', 'strong'])]],
  ])('it is refused when %s, and accepted from somebody who holds it', (_path, prepared, change) => {
    const before = applyDelta(paths(), { revision: 2, delta: prepared });
    const after = applyDelta(before, { revision: 3, delta: change });
    expect(verdict(before, after, 'limited')).toBe('escalation_refused');
    expect(verdict(before, after, 'ended')).toBe('escalation_refused');
    expect(verdict(before, after, 'owner')).toBe('ok');
  });

  test('taking away is no gift', () => {
    const before = applyDelta(paths(), { revision: 2, delta: [put('u', ['strong'])] });
    for (const change of [[put('u', [])], [put('u', ['strong'], false)], [role('strong', false)], [feature(false)]]) {
      expect(verdict(before, applyDelta(before, { revision: 3, delta: change }), 'limited')).toBe('ok');
    }
  });
});

describe('the last administrator', () => {
  const grants = administratorPermissions.map((_, index) => `p${index}`);
  const base = (): PolicySnapshot =>
    compile(1, [
      { op: 'feature.put', id: 'rbac', name: 'rbac', isActive: true },
      { op: 'feature.put', id: 'users', name: 'users', isActive: true },
      ...administratorPermissions.map((name, index): DeltaStep => {
        const [featureId = '', action = ''] = name.split(':');
        return { op: 'permission.put', id: `p${index}`, featureId, action };
      }),
      role('admin', true),
      { op: 'role.grant', id: 'admin', permissionIds: grants },
      put('root', ['admin']),
    ]);
  test.each<[string, DeltaStep[]]>([
    ['loses the role', [put('root', [])]],
    ['gets an end', [put('root', ['admin'], true, baseMs + 1_000_000)]],
    ['is deactivated', [put('root', ['admin'], false)]],
    ['finds the role switched off', [role('admin', false)]],
    ['finds the role weakened', [{ op: 'role.revoke', id: 'admin', permissionIds: ['p3'] }]],
    ['finds the feature switched off', [{ op: 'feature.put', id: 'users', name: 'users', isActive: false }]],
  ])('cannot go: refused when it %s, accepted when another one is there', (_how, change) => {
    const alone = base();
    expect(verdict(alone, applyDelta(alone, { revision: 2, delta: change }), 'root')).toBe('last_administrator');
    const isAboutOne = change.every((step) => step.op === 'principal.put');
    const other: DeltaStep[] = isAboutOne
      ? [put('second', ['admin'])]
      : [role('spare', true), { op: 'role.grant', id: 'spare', permissionIds: grants }, put('second', ['spare'])];
    const two = applyDelta(alone, { revision: 2, delta: other });
    const after = applyDelta(two, { revision: 3, delta: change });
    expect(hasAdministrator(after)).toBe(change[0]?.op !== 'feature.put');
    if (change[0]?.op !== 'feature.put') expect(verdict(two, after, 'root')).toBe('ok');
  });

  test('where there is none, nothing is refused for the lack of one', () => {
    const none = compile(1, [put('u', [])]);
    expect(verdict(none, applyDelta(none, { revision: 2, delta: [put('u', [], false)] }), 'u')).toBe('ok');
  });
});

function put(id: string, roles: string[], isActive = true, expiresAtMs: number | null = null): DeltaStep {
  return { op: 'principal.put', id, isActive, roles: roles.map((one) => ({ id: one, expiresAtMs })) };
}
function role(id: string, isActive: boolean): DeltaStep {
  return { op: 'role.put', id, name: id, isActive, receivesNew: false };
}
function feature(isActive: boolean): DeltaStep {
  return { op: 'feature.put', id: 'f', name: 'f', isActive };
}

/** `strong` grants p; `owner` holds it, `ended` holds it with an end, `limited` does not. */
function paths(): PolicySnapshot {
  return compile(1, [
    feature(true),
    { op: 'permission.put', id: 'p', featureId: 'f', action: 'a' },
    { op: 'permission.put', id: 'q', featureId: 'f', action: 'b' },
    role('strong', true),
    role('owning', true),
    role('weak', true),
    { op: 'role.grant', id: 'strong', permissionIds: ['p'] },
    { op: 'role.grant', id: 'owning', permissionIds: ['p', 'q'] },
    { op: 'role.grant', id: 'weak', permissionIds: ['q'] },
    put('owner', ['owning']),
    put('ended', ['owning'], true, baseMs + 60_000),
    put('limited', ['weak']),
  ]);
}

type Random = ReturnType<typeof seededRandom>;

function startingPolicy(random: Random): { policy: NaivePolicy; steps: DeltaStep[] } {
  const permissionIds = Array.from({ length: 6 }, (_, index) => `p${index}`);
  const steps: DeltaStep[] = [
    feature(true),
    { op: 'feature.put', id: 'g', name: 'g', isActive: random.next() < 0.7 },
    ...permissionIds.map((id, index): DeltaStep => ({
      op: 'permission.put',
      id,
      featureId: index < 3 ? 'f' : 'g',
      action: id,
    })),
  ];
  for (let i = 0; i < 4; i++) {
    steps.push(role(`r${i}`, random.next() < 0.75));
    steps.push({ op: 'role.grant', id: `r${i}`, permissionIds: permissionIds.filter(() => random.next() < 0.35) });
  }
  for (let i = 0; i < 4; i++) steps.push(randomPrincipal(random, `u${i}`, ['r0', 'r1', 'r2', 'r3']));
  const policy = new NaivePolicy();
  for (const step of steps) policy.apply(step);
  return { policy, steps };
}

function randomPrincipal(random: Random, id: string, roleIds: string[]): DeltaStep {
  const roles = roleIds
    .filter(() => random.next() < 0.35)
    .map((one) => ({ id: one, expiresAtMs: random.next() < 0.25 ? baseMs + random.below(100) - 20 : null }));
  return { op: 'principal.put', id, isActive: random.next() < 0.85, roles };
}

/** Any one thing that the API can do to roles, features and principals. */
function randomAdministration(policy: NaivePolicy, random: Random): DeltaStep[] {
  const roleIds = [...policy.roles.keys()];
  const id = random.pick(roleIds);
  switch (random.below(5)) {
    case 0:
      return [role(id, random.next() < 0.7)];
    case 1: {
      const change = [...policy.permissions.keys()].filter(() => random.next() < 0.3);
      return [{ op: random.next() < 0.7 ? 'role.grant' : 'role.revoke', id, permissionIds: change }];
    }
    case 2: {
      const [featureId, { name }] = random.pick([...policy.features]);
      return [{ op: 'feature.put', id: featureId, name, isActive: random.next() < 0.7 }];
    }
    default:
      return [randomPrincipal(random, `u${random.below(5)}`, roleIds)];
  }
}
