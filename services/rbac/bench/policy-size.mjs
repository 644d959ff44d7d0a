/** What the compiled policy costs in process as the number of principals grows. Run with --expose-gc for the memory. */
import { performance } from 'node:perf_hooks';
import process from 'node:process';
import { newId } from '@prime-nest/kit/ids';
import { applyDelta, compile } from '@prime-nest/rbac/policy/compile';
import { decide } from '@prime-nest/rbac/policy/decide';
import { median } from '../../../scripts/statistics.mjs';

const below = (n) => Math.floor(Math.random() * n);
const pick = (list) => list[below(list.length)];
const heap = () => {
  globalThis.gc?.();
  const { heapUsed, arrayBuffers } = process.memoryUsage();
  return heapUsed + arrayBuffers;
};

function policyOf(principals) {
  const ids = (count) => Array.from({ length: count }, newId);
  const [features, permissions, roles, users] = [ids(20), ids(1_000), ids(1_000), ids(principals)];
  const some = (count) => [...new Set(Array.from({ length: count }, () => pick(permissions)))];
  const delta = [
    ...features.map((id, i) => ({ op: 'feature.put', id, name: `f${i}`, isActive: true })),
    ...permissions.map((id, i) => ({ op: 'permission.put', id, featureId: features[i % 20], action: `a${i}` })),
    ...roles.map((id, i) => ({ op: 'role.put', id, name: `r${i}`, isActive: true, receivesNew: false })),
    ...roles.map((id) => ({ op: 'role.grant', id, permissionIds: some(20) })),
    ...users.map((id) => ({
      op: 'principal.put',
      id,
      isActive: true,
      roles: [...new Set([pick(roles), pick(roles)])].map((role) => ({ id: role, expiresAtMs: null })),
    })),
  ];
  return { delta, users, roles };
}

/** 1,000 roles of some 20 out of 1,000 permissions, two random roles for each principal. */
export function measurePolicy(principals) {
  const { delta, users, roles } = policyOf(principals);
  const before = heap();
  let startedAt = performance.now();
  let snapshot = compile(1, delta);
  const compileMs = performance.now() - startedAt;
  const bytes = heap() - before;
  const questions = Array.from({ length: 300_000 }, () => {
    const i = below(1_000);
    return { principalId: pick(users), permission: `f${i % 20}:a${i}` };
  });
  for (const question of questions.slice(0, 50_000)) decide(snapshot, question, 0);
  startedAt = performance.now();
  for (const question of questions) decide(snapshot, question, 0);
  const decisionNs = ((performance.now() - startedAt) / questions.length) * 1e6;
  const changes = Array.from({ length: 40 }, () => {
    const step = {
      op: 'principal.put',
      id: pick(users),
      isActive: true,
      roles: [{ id: pick(roles), expiresAtMs: null }],
    };
    startedAt = performance.now();
    snapshot = applyDelta(snapshot, { revision: snapshot.revision + 1, delta: [step] });
    return performance.now() - startedAt;
  });
  return { decisionNs, compileMs, changeMs: median(changes), megabytes: bytes / 1e6 };
}
