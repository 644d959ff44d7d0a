import { readFileSync, writeFileSync } from 'node:fs';
import { expect, test } from '@jest/globals';
import { compile } from '../policy/compile.js';
import { decide } from '../policy/decide.js';
import type { DeltaStep } from '../policy/delta.js';
import { defaultPolicy } from './default-policy.js';

/**
 * Who may do what on the first day, as a table that anybody can review: a change of the default policy is a change of
 * this file. `UPDATE_GOLDEN=1` writes it.
 */
test('the default roles allow what services/rbac/access-matrix.txt says and nothing else', () => {
  const names = defaultPolicy.features.flatMap(({ name, actions }) =>
    Object.keys(actions).map((action) => `${name}:${action}`),
  );
  const steps: DeltaStep[] = [
    ...defaultPolicy.features.map(({ name }): DeltaStep => ({ op: 'feature.put', id: name, name, isActive: true })),
    ...names.map((name): DeltaStep => {
      const [featureId = '', action = ''] = name.split(':');
      return { op: 'permission.put', id: name, featureId, action };
    }),
    ...defaultPolicy.roles.flatMap(({ name, grants }): DeltaStep[] => [
      { op: 'role.put', id: name, name, isActive: true, receivesNew: grants === 'all' },
      { op: 'role.grant', id: name, permissionIds: grants === 'all' ? names : grants },
      { op: 'principal.put', id: name, isActive: true, roles: [{ id: name, expiresAtMs: null }] },
    ]),
    { op: 'principal.put', id: 'no role', isActive: true, roles: [] },
  ];
  const policy = compile(1, steps);
  const columns = [...defaultPolicy.roles.map(({ name }) => name), 'no role'];
  const width = Math.max(...names.map((name) => name.length)) + 2;
  const mark = (principalId: string, permission: string) =>
    (decide(policy, { principalId, permission }, 0).effect === 'allow' ? 'allow' : '-').padEnd(principalId.length + 2);
  const rows = names.map((name) => name.padEnd(width) + columns.map((column) => mark(column, name)).join(''));
  const head = ''.padEnd(width) + columns.map((column) => column.padEnd(column.length + 2)).join('');
  const table = [head, ...rows].map((line) => `${line.trimEnd()}\n`).join('');
  const file = new URL('../../access-matrix.txt', import.meta.url);
  if (process.env['UPDATE_GOLDEN'] === '1') writeFileSync(file, table);
  expect(table).toBe(readFileSync(file, 'utf8'));
});
