import type { BitRowsDraft } from './bit-rows.js';
import { type Bitset, bitsetOf, emptyBitset, members, union } from './bitset.js';
import type { Delta, DeltaStep, Revised } from './delta.js';
import { type PrincipalTableDraft, type Seat, isSeatActive, noSeat, slotOfSeat } from './principal-table.js';
import type { ShardedMapDraft } from './sharded-map.js';
import {
  type FeatureEntry,
  type PermissionEntry,
  type PolicySnapshot,
  type RoleEntry,
  type RoleSet,
  emptySnapshot,
} from './snapshot.js';

/**
 * The snapshot of `revision`, made from `before` and the steps between. `before` is untouched and stays valid. A step
 * that refers to something unknown throws: then the policy in memory is not what the database holds, and only a
 * full load helps.
 */
export function applyDelta(before: PolicySnapshot, { revision, delta }: Revised): PolicySnapshot {
  const draft = new PolicyDraft(before);
  for (const step of delta) draft.apply(step);
  return draft.seal(revision);
}

/** The snapshot of a whole policy, given as the steps that build it from nothing, in order of dependence. */
export function compile(revision: number, policy: Delta): PolicySnapshot {
  return applyDelta(emptySnapshot(), { revision, delta: policy });
}

class PolicyDraft {
  readonly #features: Map<string, FeatureEntry>;
  readonly #permissions: Map<string, PermissionEntry>;
  readonly #permissionsByName: Map<string, PermissionEntry>;
  readonly #permissionAt: (PermissionEntry | undefined)[];
  readonly #roles: Map<string, RoleEntry>;
  readonly #principals: PrincipalTableDraft;
  readonly #sets: (RoleSet | undefined)[];
  readonly #setGrants: BitRowsDraft;
  readonly #slotOf: ShardedMapDraft<number>;
  readonly #free: number[];
  /** Roles whose grants or state changed: every set that contains one is computed again, and no other. */
  readonly #touched = new Set<string>();

  constructor(before: PolicySnapshot) {
    this.#features = new Map(before.features);
    this.#permissions = new Map(before.permissions);
    this.#permissionsByName = new Map(before.permissionsByName);
    this.#permissionAt = [...before.permissionAt];
    this.#roles = new Map(before.roles);
    this.#principals = before.principals.edit();
    this.#sets = [...before.sets];
    this.#setGrants = before.setGrants.edit();
    this.#slotOf = before.slotOf.edit();
    this.#free = [...before.freeSlots];
  }

  apply(step: DeltaStep): void {
    switch (step.op) {
      case 'feature.put':
        this.#features.set(step.id, { id: step.id, name: step.name, isActive: step.isActive });
        return;
      case 'feature.delete':
        known(this.#features, step.id);
        this.#features.delete(step.id);
        return;
      case 'permission.put':
        this.#putPermission(step);
        return;
      case 'permission.delete': {
        const permission = known(this.#permissions, step.id);
        this.#permissions.delete(step.id);
        this.#permissionsByName.delete(permission.name);
        this.#permissionAt[permission.index] = undefined;
        return;
      }
      case 'role.put': {
        const { id, name, isActive, receivesNew } = step;
        this.#roles.set(id, { id, name, isActive, receivesNew, grants: this.#roles.get(id)?.grants ?? emptyBitset });
        this.#touched.add(id);
        return;
      }
      case 'role.delete':
        known(this.#roles, step.id);
        this.#roles.delete(step.id);
        return;
      case 'role.grant':
        this.#regrant(step.id, (held) => [...held, ...step.permissionIds]);
        return;
      case 'role.revoke': {
        const gone = new Set(step.permissionIds);
        this.#regrant(step.id, (held) => held.filter((id) => !gone.has(id)));
        return;
      }
      case 'principal.put':
        this.#putPrincipal(step);
        return;
    }
  }

  seal(revision: number): PolicySnapshot {
    if (this.#touched.size > 0) {
      for (const [slot, set] of this.#sets.entries()) {
        if (set?.roleIds.some((id) => this.#touched.has(id))) this.#setGrants.set(slot, this.#bitsOf(set.roleIds));
      }
    }
    const live = this.#permissionAt.filter(
      (one) => one !== undefined && this.#features.get(one.featureId)?.isActive === true,
    );
    return {
      revision,
      features: this.#features,
      permissions: this.#permissions,
      permissionsByName: this.#permissionsByName,
      permissionAt: this.#permissionAt,
      live: bitsetOf(live.map((one) => one?.index ?? 0)),
      roles: this.#roles,
      principals: this.#principals.seal(),
      sets: this.#sets,
      setGrants: this.#setGrants.seal(),
      freeSlots: this.#free,
      slotOf: this.#slotOf.seal(),
    };
  }

  #putPermission({ id, featureId, action }: Extract<DeltaStep, { op: 'permission.put' }>): void {
    const hole = this.#permissionAt.indexOf(undefined);
    const index = this.#permissions.get(id)?.index ?? (hole === -1 ? this.#permissionAt.length : hole);
    const permission = { id, featureId, action, index, name: `${known(this.#features, featureId).name}:${action}` };
    this.#permissions.set(id, permission);
    this.#permissionsByName.set(permission.name, permission);
    this.#permissionAt[index] = permission;
  }

  #regrant(roleId: string, change: (held: string[]) => string[]): void {
    const role = known(this.#roles, roleId);
    const held = [...members(role.grants)].map((index) => this.#permissionAt[index]?.id ?? '');
    const grants = bitsetOf(change(held).map((id) => known(this.#permissions, id).index));
    this.#roles.set(roleId, { ...role, grants });
    this.#touched.add(roleId);
  }

  #putPrincipal({ id, isActive, roles }: Extract<DeltaStep, { op: 'principal.put' }>): void {
    for (const role of roles) known(this.#roles, role.id);
    const timed = roles.flatMap((role) =>
      role.expiresAtMs === null ? [] : [{ roleId: role.id, expiresAtMs: role.expiresAtMs }],
    );
    const before = this.#principals.seatOf(id);
    // Taken before the old one is left: a set that stays in use keeps its slot.
    const slot = this.#take(
      roles.filter((role) => role.expiresAtMs === null).map((role) => role.id),
      isActive,
    );
    if (before !== noSeat) this.#leave(before);
    this.#principals.set(id, { isActive, slot, timed });
  }

  #take(roleIds: readonly string[], isActive: boolean): number {
    const sorted = [...roleIds].sort();
    const key = sorted.join(' ');
    const existing = this.#slotOf.get(key);
    const slot = existing ?? this.#free.pop() ?? this.#sets.length;
    const set = this.#sets[slot] ?? { key, roleIds: sorted, holderCount: 0, activeHolderCount: 0 };
    this.#sets[slot] = count(set, 1, isActive);
    if (existing === undefined) {
      this.#slotOf.set(key, slot);
      this.#setGrants.set(slot, this.#bitsOf(sorted));
    }
    return slot;
  }

  #leave(seat: Seat): void {
    const slot = slotOfSeat(seat);
    const set = this.#sets[slot];
    if (set === undefined) throw new TypeError('a principal points to no set of roles');
    const left = count(set, -1, isSeatActive(seat));
    if (left.holderCount > 0) {
      this.#sets[slot] = left;
      return;
    }
    this.#sets[slot] = undefined;
    this.#setGrants.set(slot, emptyBitset);
    this.#slotOf.delete(set.key);
    this.#free.push(slot);
  }

  #bitsOf(roleIds: readonly string[]): Bitset {
    return union(
      roleIds.map((id) => this.#roles.get(id)).map((role) => (role?.isActive === true ? role.grants : emptyBitset)),
    );
  }
}

function count(set: RoleSet, by: 1 | -1, isActive: boolean): RoleSet {
  return {
    ...set,
    holderCount: set.holderCount + by,
    activeHolderCount: set.activeHolderCount + (isActive ? by : 0),
  };
}

function known<V>(map: ReadonlyMap<string, V>, id: string): V {
  const value = map.get(id);
  if (value === undefined) throw new TypeError('a step refers to something that the policy does not have');
  return value;
}
