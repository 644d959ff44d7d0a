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
  // Twice: the memory behind arrays is given back only after the first.
  for (let i = 0; i < 2; i++) globalThis.gc?.();
  const { heapUsed, arrayBuffers } = process.memoryUsage();
  return heapUsed + arrayBuffers;
};

function policyOf(principals, distinctPairs) {
  const ids = (count) => Array.from({ length: count }, newId);
  const [features, permissions, roles, users] = [ids(20), ids(1_000), ids(1_000), ids(principals)];
  const some = (count) => [...new Set(Array.from({ length: count }, () => pick(permissions)))];
  const pairOf = () => [...new Set([pick(roles), pick(roles)])];
  const pairs = Array.from({ length: distinctPairs ?? 0 }, pairOf);
  const delta = [
    ...features.map((id, i) => ({ op: 'feature.put', id, name: `f${i}`, isActive: true })),
    ...permissions.map((id, i) => ({ op: 'permission.put', id, featureId: features[i % 20], action: `a${i}` })),
    ...roles.map((id, i) => ({ op: 'role.put', id, name: `r${i}`, isActive: true, receivesNew: false })),
    ...roles.map((id) => ({ op: 'role.grant', id, permissionIds: some(20) })),
    ...users.map((id) => ({
      op: 'principal.put',
      id,
      isActive: true,
      roles: (distinctPairs === undefined ? pairOf() : pick(pairs)).map((role) => ({ id: role, expiresAtMs: null })),
    })),
  ];
  return { delta, users, roles };
}

/** Questions as they arrive: text, so that every string is new to the process and its hash not yet known. */
function messagesFor(users) {
  return Array.from({ length: 6_000 }, () =>
    JSON.stringify(
      Array.from({ length: 50 }, () => {
        const i = below(1_000);
        return { principalId: pick(users), permission: `f${i % 20}:a${i}` };
      }),
    ),
  );
}

/** Nanoseconds for each question of `messages`, the reading of the text not counted. */
function nanosecondsEach(messages, answer) {
  let took = 0;
  let count = 0;
  for (const text of messages) {
    const questions = JSON.parse(text);
    const startedAt = performance.now();
    for (const question of questions) answer(question);
    took += performance.now() - startedAt;
    count += questions.length;
  }
  return (took / count) * 1e6;
}

/**
 * 1,000 roles of some 20 out of 1,000 permissions, two random roles for each principal: nearly every principal has a
 * set of roles of its own, unless `distinctPairs` says how many there are to choose from.
 */
export function measurePolicy(principals, distinctPairs) {
  const { delta, users, roles } = policyOf(principals, distinctPairs);
  const before = heap();
  let startedAt = performance.now();
  let snapshot = compile(1, delta);
  const compileMs = performance.now() - startedAt;
  const bytes = heap() - before;
  const messages = messagesFor(users);
  const inMap = new Map(users.map((id, i) => [id, i]));
  // Turn by turn, and the first of each warms up.
  const [decided, looked] = [[], []];
  for (let turn = 0; turn < 4; turn++) {
    decided.push(nanosecondsEach(messages, (question) => decide(snapshot, question, 0)));
    looked.push(nanosecondsEach(messages, ({ principalId }) => inMap.get(principalId)));
  }
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
  return {
    decisionNs: median(decided.slice(1)),
    mapNs: median(looked.slice(1)),
    compileMs,
    changeMs: median(changes),
    megabytes: bytes / 1e6,
    sets: snapshot.sets.filter((set) => set !== undefined).length,
  };
}
