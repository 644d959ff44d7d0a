import { describe, expect, test } from '@jest/globals';
import { applyDelta, compile } from './compile.js';
import type { DeltaStep } from './delta.js';
import { attainableBits, givenBits, grantableBits } from './escalation.js';
import { namesOf } from './snapshot.js';

const holding = (id: string, roles: string[], isActive = true): DeltaStep => ({
  op: 'principal.put',
  id,
  isActive,
  roles: roles.map((role) => ({ id: role, expiresAtMs: null })),
});
const role = (id: string, isActive = true): DeltaStep => ({
  op: 'role.put',
  id,
  name: id,
  isActive,
  receivesNew: false,
});

const before = compile(1, [
  { op: 'feature.put', id: 'f', name: 'f', isActive: true },
  { op: 'feature.put', id: 'off', name: 'off', isActive: false },
  { op: 'permission.put', id: 'a', featureId: 'f', action: 'a' },
  { op: 'permission.put', id: 'b', featureId: 'f', action: 'b' },
  { op: 'permission.put', id: 'x', featureId: 'off', action: 'x' },
  role('small'),
  role('big'),
  role('asleep', false),
  { op: 'role.grant', id: 'small', permissionIds: ['a'] },
  { op: 'role.grant', id: 'big', permissionIds: ['b', 'x'] },
  { op: 'role.grant', id: 'asleep', permissionIds: ['b'] },
  holding('somebody', ['big']),
  holding('retired', ['big'], false),
]);

/** What the guard says is given by the steps. */
function given(...delta: DeltaStep[]): string[] {
  const after = applyDelta(before, { revision: 2, delta });
  return namesOf(after, givenBits(before, after));
}

/** The guard has to see everything that is given; that it sees no more is what lets limited administrators work. */
describe('of a change, only what it gives counts', () => {
  test.each<[string, DeltaStep[], string[]]>([
    ['another role, to somebody who holds more', [holding('somebody', ['big', 'small'])], ['f:a']],
    [
      'another permission, to a role that grants more',
      [{ op: 'role.grant', id: 'big', permissionIds: ['a'] }],
      ['f:a'],
    ],
    ['a new name for a role that grants much', [{ ...role('big'), name: 'other' } as DeltaStep], []],
    ['a role taken away', [holding('somebody', [])], []],
    ['a role that wakes up', [role('asleep')], ['f:b']],
    ['a principal that wakes up', [holding('retired', ['big'])], ['f:b', 'off:x']],
    ['another role, to a principal that stays asleep', [holding('retired', ['big', 'small'], false)], ['f:a']],
    ['a principal without an account before', [holding('new', ['small'])], ['f:a']],
    ['a feature that wakes up', [{ op: 'feature.put', id: 'off', name: 'off', isActive: true }], ['off:x']],
    ['a feature that goes to sleep', [{ op: 'feature.put', id: 'f', name: 'f', isActive: false }], []],
    [
      'a permission that did not exist',
      [
        { op: 'permission.put', id: 'n', featureId: 'f', action: 'n' },
        { op: 'role.grant', id: 'small', permissionIds: ['n'] },
      ],
      [],
    ],
  ])('%s', (_name, delta, names) => {
    expect(given(...delta)).toEqual(names);
  });
});

test('nothing can be given by who is unknown or not active', () => {
  const grantable = (id: string) => namesOf(before, grantableBits(before, id));
  expect(grantable('somebody')).toEqual(['f:b', 'off:x']);
  expect(grantable('retired')).toEqual([]);
  expect(grantable('nobody')).toEqual([]);
});

describe('who gets the means to sign in as another gets', () => {
  const ends = (expiresAtMs: number | null): DeltaStep => ({
    op: 'principal.put',
    id: 'temporary',
    isActive: true,
    roles: [{ id: 'big', expiresAtMs }],
  });
  const attainable = (id: string, snapshot = before, nowMs = 0) =>
    namesOf(snapshot, attainableBits(snapshot, id, nowMs));

  test('what is switched off now, too: the feature, the role, the principal', () => {
    expect(attainable('somebody')).toEqual(['f:b', 'off:x']);
    expect(attainable('retired')).toEqual(['f:b', 'off:x']);
    const sleeper = applyDelta(before, { revision: 2, delta: [holding('sleeper', ['asleep'])] });
    expect(attainable('sleeper', sleeper)).toEqual(['f:b']);
    expect(attainable('nobody')).toEqual([]);
  });

  test('what ends, until it has ended; and whoever holds it so cannot give it', () => {
    const snapshot = applyDelta(before, { revision: 2, delta: [ends(1_000)] });
    expect(attainable('temporary', snapshot, 999)).toEqual(['f:b', 'off:x']);
    expect(attainable('temporary', snapshot, 1_000)).toEqual([]);
    expect(namesOf(snapshot, grantableBits(snapshot, 'temporary'))).toEqual([]);
    // The control.
    const lasting = applyDelta(before, { revision: 2, delta: [ends(null)] });
    expect(namesOf(lasting, grantableBits(lasting, 'temporary'))).toEqual(['f:b', 'off:x']);
  });
});
