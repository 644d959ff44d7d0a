import { BitRows } from './bit-rows.js';
import { type Bitset, emptyBitset, hasBit, intersection, union } from './bitset.js';
import { type PrincipalEntry, PrincipalTable } from './principal-table.js';
import { ShardedMap } from './sharded-map.js';

export interface FeatureEntry {
  readonly id: string;
  readonly name: string;
  readonly isActive: boolean;
}

export interface PermissionEntry {
  readonly id: string;
  /** `feature:action`. */
  readonly name: string;
  readonly action: string;
  readonly featureId: string;
  /** Its bit in every bitset of the snapshot. A later permission may get the index of one that was deleted. */
  readonly index: number;
}

export interface RoleEntry {
  readonly id: string;
  readonly name: string;
  readonly isActive: boolean;
  /** A permission is granted to this role in the mutation that creates it. */
  readonly receivesNew: boolean;
  /** What the role grants when it is active. */
  readonly grants: Bitset;
}

/** One distinct set of roles, shared by every principal that holds exactly these (without an end). */
export interface RoleSet {
  readonly key: string;
  readonly roleIds: readonly string[];
  readonly holderCount: number;
  readonly activeHolderCount: number;
}

/** The whole policy at one revision. Never changed once built: a newer policy is a new snapshot. */
export interface PolicySnapshot {
  readonly revision: number;
  readonly features: ReadonlyMap<string, FeatureEntry>;
  readonly permissions: ReadonlyMap<string, PermissionEntry>;
  readonly permissionsByName: ReadonlyMap<string, PermissionEntry>;
  readonly permissionAt: readonly (PermissionEntry | undefined)[];
  /** Permissions whose feature is active. */
  readonly live: Bitset;
  readonly roles: ReadonlyMap<string, RoleEntry>;
  readonly principals: PrincipalTable;
  readonly sets: readonly (RoleSet | undefined)[];
  /** Of each set, by its slot: what the active ones among its roles grant, features not considered. */
  readonly setGrants: BitRows;
  /** Slots without a set. */
  readonly freeSlots: readonly number[];
  readonly slotOf: ShardedMap<number>;
}

/** The policy of an empty installation: nobody may do anything. */
export function emptySnapshot(): PolicySnapshot {
  return {
    revision: 0,
    features: new Map(),
    permissions: new Map(),
    permissionsByName: new Map(),
    permissionAt: [],
    live: emptyBitset,
    roles: new Map(),
    principals: new PrincipalTable(),
    sets: [],
    setGrants: BitRows.empty(),
    freeSlots: [],
    slotOf: ShardedMap.empty(),
  };
}

/** The roles of a principal with their ends (`null`: none), those that have ended included, in no order. */
export function assignmentsOf(
  snapshot: PolicySnapshot,
  principalId: string,
): { roleId: string; expiresAtMs: number | null }[] {
  const principal = snapshot.principals.get(principalId);
  if (principal === undefined) return [];
  const lasting = snapshot.sets[principal.slot]?.roleIds ?? [];
  return [...lasting.map((roleId) => ({ roleId, expiresAtMs: null })), ...principal.timed];
}

/** Everything the principal may do at `nowMs`: empty for an unknown or inactive one. */
export function effectiveBits(snapshot: PolicySnapshot, principal: PrincipalEntry | undefined, nowMs: number): Bitset {
  if (principal === undefined || !principal.isActive) return emptyBitset;
  const lasting = snapshot.setGrants.row(principal.slot);
  if (principal.timed.length === 0) return intersection(lasting, snapshot.live);
  const timed = principal.timed
    .filter(({ expiresAtMs }) => expiresAtMs > nowMs)
    .map(({ roleId }) => snapshot.roles.get(roleId))
    .filter((role) => role?.isActive === true)
    .map((role) => role?.grants ?? emptyBitset);
  return intersection(union([lasting, ...timed]), snapshot.live);
}

/** Names of the permissions in `bits`, sorted. */
export function namesOf(snapshot: PolicySnapshot, bits: Bitset): string[] {
  return snapshot.permissionAt
    .filter((permission) => permission !== undefined)
    .filter(({ index }) => hasBit(bits, index))
    .map(({ name }) => name)
    .sort();
}
