import { type Bitset, bitsetOf, emptyBitset, intersection, minus, union } from './bitset.js';
import { type PolicySnapshot, type RoleEntry, assignmentsOf } from './snapshot.js';

/**
 * Every permission that somebody is given, by whatever path, between two neighbouring snapshots: by a role that
 * grants more or becomes active, by a role that is assigned or whose end moves, by a principal or a feature that
 * becomes active. It holds at least what anybody can now do and could not before, and also what is only prepared (a
 * role that nobody holds yet, a feature still switched off), so that giving cannot be split into harmless halves.
 * A permission that did not exist before is not counted: nobody could have held it.
 */
export function givenBits(before: PolicySnapshot, after: PolicySnapshot): Bitset {
  const given = [...byRoles(before, after), ...byPrincipals(before, after), ...byFeatures(before, after)];
  const existing = after.permissionAt.filter((one) => one !== undefined && before.permissions.has(one.id));
  return intersection(union(given), bitsetOf(existing.map((one) => one?.index ?? 0)));
}

/**
 * What an actor may give: what its active roles grant it without an end. Features do not count: who holds a right
 * on a feature that is switched off may still pass it on. A right that ends may be used but not given: a gift
 * would outlive it.
 */
export function grantableBits(snapshot: PolicySnapshot, actorId: string): Bitset {
  const actor = snapshot.principals.get(actorId);
  if (actor === undefined || !actor.isActive) return emptyBitset;
  return snapshot.setGrants.row(actor.slot);
}

/**
 * What somebody who can act as the principal may come to: everything that its roles grant until they end, whether the
 * principal, the roles and the features are switched on now or not. The counterpart of {@link grantableBits} for whoever
 * is about to hand somebody the means to sign in as another.
 */
export function attainableBits(snapshot: PolicySnapshot, principalId: string, nowMs: number): Bitset {
  const lasting = assignmentsOf(snapshot, principalId).filter(({ expiresAtMs }) => (expiresAtMs ?? Infinity) > nowMs);
  return union(lasting.map(({ roleId }) => grantsOf(snapshot.roles.get(roleId))));
}

function* byRoles(before: PolicySnapshot, after: PolicySnapshot): IterableIterator<Bitset> {
  for (const role of after.roles.values()) {
    const old = before.roles.get(role.id);
    if (old === role) continue;
    yield role.isActive && old?.isActive === false ? role.grants : minus(role.grants, old?.grants ?? emptyBitset);
  }
}

function* byPrincipals(before: PolicySnapshot, after: PolicySnapshot): IterableIterator<Bitset> {
  for (const id of after.principals.changedSince(before.principals)) {
    const isRevived = after.principals.get(id)?.isActive === true && before.principals.get(id)?.isActive === false;
    const held = new Map(assignmentsOf(before, id).map((one) => [one.roleId, one.expiresAtMs ?? Infinity]));
    for (const { roleId, expiresAtMs } of assignmentsOf(after, id)) {
      if (isRevived || (expiresAtMs ?? Infinity) > (held.get(roleId) ?? -Infinity))
        yield grantsOf(after.roles.get(roleId));
    }
  }
}

function* byFeatures(before: PolicySnapshot, after: PolicySnapshot): IterableIterator<Bitset> {
  for (const feature of after.features.values()) {
    if (!feature.isActive || before.features.get(feature.id)?.isActive !== false) continue;
    const own = after.permissionAt.filter((one) => one?.featureId === feature.id).map((one) => one?.index ?? 0);
    yield intersection(bitsetOf(own), union([...after.roles.values()].map((role) => role.grants)));
  }
}

function grantsOf(role: RoleEntry | undefined): Bitset {
  return role?.grants ?? emptyBitset;
}
