import { describe, expect, test } from '@jest/globals';
import { applyDelta, compile } from './compile.js';
import type { DeltaStep } from './delta.js';
import { givenBits, grantableBits } from './escalation.js';
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
