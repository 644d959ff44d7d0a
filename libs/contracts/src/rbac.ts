import { z } from 'zod';
import { Id } from './ids.js';
import { page, PageRequest } from './page.js';
import { isPlainDecideRequest, isPlainDecideResponse } from './rbac-decide.js';
import type { RpcContracts } from './rpc.js';

const Instant = z.iso.datetime();

/** A name of the permission grammar: lower-case letters, digits and `_`, starting with a letter. */
const Word = z.string().regex(/^[a-z][a-z0-9_]{0,47}$/);
/** `feature:action`, for example `users:create`. */
export const PermissionName = z.string().regex(/^[a-z][a-z0-9_]{0,47}:[a-z][a-z0-9_]{0,47}$/);
export type PermissionName = z.infer<typeof PermissionName>;
const Description = z.string().trim().max(500);
const RoleName = z.string().trim().min(1).max(80);

/** The policy as a whole has one integer revision, raised by every committed mutation. */
const Revision = z.int().min(0);

export const Feature = z.object({
  id: Id,
  name: z.string(),
  description: z.string(),
  isActive: z.boolean(),
  version: z.int(),
  createdAt: Instant,
  updatedAt: Instant,
});
export type Feature = z.infer<typeof Feature>;

export const Permission = z.object({
  id: Id,
  /** `feature:action`. */
  name: z.string(),
  featureId: Id,
  action: z.string(),
  description: z.string(),
  version: z.int(),
  createdAt: Instant,
  updatedAt: Instant,
});
export type Permission = z.infer<typeof Permission>;

export const Role = z.object({
  id: Id,
  name: z.string(),
  description: z.string(),
  isActive: z.boolean(),
  /** Every new permission is granted to this role in the mutation that creates it, so that somebody can pass it on. */
  receivesNewPermissions: z.boolean(),
  version: z.int(),
  createdAt: Instant,
  updatedAt: Instant,
});
export type Role = z.infer<typeof Role>;
export const RoleWithPermissions = Role.extend({ permissions: z.array(z.object({ id: Id, name: z.string() })) });
export type RoleWithPermissions = z.infer<typeof RoleWithPermissions>;

/**
 * How a mutation took effect: every decision sent after this answer is made at `revision` or later, by every replica.
 * `acked` replicas have applied it; the leases of `fenced` ones have ended, so that they cannot decide before they
 * have caught up. `barrierMs` is how long the answer waited for that. `none` is the answer of a dry run.
 */
export const Effect = z.object({
  revision: Revision,
  effective: z.enum(['all', 'none']),
  barrierMs: z.number(),
  acked: z.array(Id),
  fenced: z.array(Id),
});
export type Effect = z.infer<typeof Effect>;

const Pair = z.object({ principalId: Id, permission: z.string() });
/**
 * What a dry run found: who would gain and lose what. The counts are exact; the lists end at 1,000 entries, and are
 * empty for who does not hold users:view and rbac:view.
 */
export const Preview = z.object({
  gained: z.array(Pair),
  lost: z.array(Pair),
  gainedCount: z.int(),
  lostCount: z.int(),
});
export type Preview = z.infer<typeof Preview>;

const changed = <T extends z.ZodRawShape>(shape: T) => z.object({ ...shape, effect: Effect });
/** Of a mutation that can be tried: with `dryRun` everything is checked and answered, and nothing is written. */
const tried = <T extends z.ZodRawShape>(shape: T) =>
  z.object({ ...shape, effect: Effect, preview: Preview.optional() });
const dryRun = z.boolean().default(false);

export const Check = z.strictObject({ principalId: Id, permission: PermissionName });
export type Check = z.infer<typeof Check>;

export const DenyReason = z.enum([
  'unknown_principal',
  'principal_inactive',
  'unknown_permission',
  'feature_inactive',
  'no_grant',
]);
export type DenyReason = z.infer<typeof DenyReason>;

export const Decision = z.discriminatedUnion('effect', [
  z.object({ effect: z.literal('allow') }),
  z.object({ effect: z.literal('deny'), reason: DenyReason }),
]);
export type Decision = z.infer<typeof Decision>;

const version = z.int().min(1).optional();

export const rbacRpc = {
  /** Decides all checks at one revision, in the order asked. A state that cannot be proven fresh is `unavailable`. */
  'rbac.access.decide.v1': {
    request: z.strictObject({ checks: z.array(Check).min(1).max(1000), minRevision: Revision.optional() }),
    response: z.object({ revision: Revision, decisions: z.array(Decision) }),
    errors: [],
    timeoutMs: 1000,
    hot: { isRequest: isPlainDecideRequest, isResponse: isPlainDecideResponse, servedLevel: 'debug' },
  },
  /** The roles that grant, or why nothing does: now, or as it was at an earlier revision (`not_found` beyond head). */
  'rbac.access.explain.v1': {
    request: Check.extend({ atRevision: Revision.optional() }),
    response: z.object({
      revision: Revision,
      decision: Decision,
      grantedBy: z.array(z.object({ roleId: Id, roleName: z.string() })),
      /** Roles the principal holds that do not grant, each with why not. */
      notGrantedBy: z.array(
        z.object({ roleId: Id, roleName: z.string(), reason: z.enum(['role_inactive', 'no_grant', 'expired']) }),
      ),
    }),
    errors: ['not_found'],
    timeoutMs: 1000,
  },
  /** How fast and how surely changes take effect now: the replicas that decide, and the longest a mutation may wait. */
  'rbac.guarantee.get.v1': {
    request: z.strictObject({}),
    response: z.object({
      revision: Revision,
      leaseMs: z.int(),
      heartbeatMs: z.int(),
      /** The bound of `barrierMs`, whatever happens to the replicas. */
      barrierMsMax: z.number(),
      members: z.array(
        z.object({ id: Id, leaseLeftMs: z.number(), isLive: z.boolean(), ackedRevision: Revision, startedAt: Instant }),
      ),
    }),
    errors: [],
    timeoutMs: 1000,
  },
  /** Of a principal without any record: active, no roles, no permissions. */
  'rbac.principal.get.v1': {
    request: z.strictObject({ principalId: Id, withReach: z.boolean().optional() }),
    response: z.object({
      principalId: Id,
      isActive: z.boolean(),
      /** Also those that have ended and grant nothing any more; `expiresAt` is absent when there is no end. */
      roles: z.array(z.object({ id: Id, name: z.string(), isActive: z.boolean(), expiresAt: Instant.optional() })),
      permissions: z.array(z.string()),
      /** Only if asked for, by what decides whether one may stand in for another. */
      reach: z
        .object({
          /** What its roles may give it: also those that are switched off, and on features that are. */
          attainable: z.array(z.string()),
          /** What it may give on: without what ends. */
          grantable: z.array(z.string()),
        })
        .optional(),
      revision: Revision,
    }),
    errors: [],
    timeoutMs: 1000,
  },
  /**
   * Replaces all roles of the principal. An unknown role id changes nothing. `expiresAt` (role id → instant) ends
   * some of the assignments by themselves; a right that ends can be used but not given on. Needs users:assign_roles;
   * to take every role away users:delete will do. `isLeaving`, with no roles and by users:delete: the account is about
   * to be deleted, and the principal is inactive from here on, so that a role which is given to it meanwhile gives nothing
   * and makes no administrator of somebody who is gone.
   */
  'rbac.principal.replace_roles.v1': {
    request: z.strictObject({
      principalId: Id,
      roleIds: z.array(Id).max(200),
      expiresAt: z.record(Id, Instant).optional(),
      isLeaving: z.boolean().optional(),
      dryRun,
    }),
    response: tried({ roles: z.array(z.object({ id: Id, name: z.string(), expiresAt: Instant.optional() })) }),
    errors: ['forbidden', 'reference_missing', 'escalation_refused', 'last_administrator'],
    timeoutMs: 4000,
  },
  /** An inactive principal is denied everything, whatever roles it holds. */
  'rbac.principal.set_active.v1': {
    request: z.strictObject({ principalId: Id, isActive: z.boolean(), dryRun }),
    response: tried({}),
    errors: ['forbidden', 'last_administrator', 'escalation_refused'],
    timeoutMs: 4000,
  },
  'rbac.role.list.v1': { request: PageRequest, response: page(Role), errors: [], timeoutMs: 1000 },
  'rbac.role.get.v1': {
    request: z.strictObject({ id: Id }),
    response: RoleWithPermissions,
    errors: ['not_found'],
    timeoutMs: 1000,
  },
  'rbac.role.create.v1': {
    request: z.strictObject({
      name: RoleName,
      description: Description.default(''),
      isActive: z.boolean().default(true),
    }),
    response: changed({ role: Role }),
    errors: ['forbidden', 'name_taken'],
    timeoutMs: 4000,
  },
  'rbac.role.update.v1': {
    request: z.strictObject({
      id: Id,
      name: RoleName,
      description: Description.default(''),
      isActive: z.boolean().default(true),
      version,
      dryRun,
    }),
    response: tried({ role: Role }),
    errors: ['forbidden', 'not_found', 'name_taken', 'version_conflict', 'escalation_refused', 'last_administrator'],
    timeoutMs: 4000,
  },
  /** Refused with `in_use` while any principal holds the role, and for a role that receives new permissions. */
  'rbac.role.delete.v1': {
    request: z.strictObject({ id: Id, version, dryRun }),
    response: tried({}),
    errors: ['forbidden', 'not_found', 'in_use', 'version_conflict', 'last_administrator'],
    timeoutMs: 4000,
  },
  /** Replaces the whole set of permissions of the role. */
  'rbac.role.replace_permissions.v1': {
    request: z.strictObject({ id: Id, permissionIds: z.array(Id).max(5000), version, dryRun }),
    response: tried({ role: RoleWithPermissions }),
    errors: [
      'forbidden',
      'not_found',
      'reference_missing',
      'version_conflict',
      'escalation_refused',
      'last_administrator',
    ],
    timeoutMs: 4000,
  },
  'rbac.feature.list.v1': { request: PageRequest, response: page(Feature), errors: [], timeoutMs: 1000 },
  'rbac.feature.get.v1': {
    request: z.strictObject({ id: Id }),
    response: Feature,
    errors: ['not_found'],
    timeoutMs: 1000,
  },
  'rbac.feature.create.v1': {
    request: z.strictObject({
      name: Word,
      description: Description.default(''),
      isActive: z.boolean().default(true),
    }),
    response: changed({ feature: Feature }),
    errors: ['forbidden', 'name_taken'],
    timeoutMs: 4000,
  },
  /** The name is part of every permission name and cannot change; make a new feature instead. */
  'rbac.feature.update.v1': {
    request: z.strictObject({
      id: Id,
      description: Description.default(''),
      isActive: z.boolean().default(true),
      version,
    }),
    response: changed({ feature: Feature }),
    errors: ['forbidden', 'not_found', 'version_conflict', 'last_administrator', 'escalation_refused'],
    timeoutMs: 4000,
  },
  /** Refused with `in_use` while the feature has permissions. */
  'rbac.feature.delete.v1': {
    request: z.strictObject({ id: Id, version }),
    response: changed({}),
    errors: ['forbidden', 'not_found', 'in_use', 'version_conflict'],
    timeoutMs: 4000,
  },
  'rbac.permission.list.v1': {
    request: PageRequest.extend({ featureId: Id.optional() }),
    response: page(Permission),
    errors: [],
    timeoutMs: 1000,
  },
  'rbac.permission.get.v1': {
    request: z.strictObject({ id: Id }),
    response: Permission,
    errors: ['not_found'],
    timeoutMs: 1000,
  },
  'rbac.permission.create.v1': {
    request: z.strictObject({ featureId: Id, action: Word, description: Description.default('') }),
    response: changed({ permission: Permission }),
    errors: ['forbidden', 'name_taken', 'reference_missing'],
    timeoutMs: 4000,
  },
  'rbac.permission.update.v1': {
    request: z.strictObject({ id: Id, description: Description.default(''), version }),
    response: changed({ permission: Permission }),
    errors: ['forbidden', 'not_found', 'version_conflict'],
    timeoutMs: 4000,
  },
  /** Refused with `in_use` while any role grants it, roles that receive every new permission not counted. */
  'rbac.permission.delete.v1': {
    request: z.strictObject({ id: Id, version }),
    response: changed({}),
    errors: ['forbidden', 'not_found', 'in_use', 'version_conflict', 'last_administrator'],
    timeoutMs: 4000,
  },
} as const satisfies RpcContracts;

/** Between the replicas of rbac. They only hasten; no promise rests on their arrival. */
export const rbacNotify = {
  /** The policy moved. */
  'notify.rbac.revision.v1': z.object({ revision: Revision }),
  /** A replica has applied everything up to `revision` and decides by nothing older. */
  'notify.rbac.applied.v1': z.object({ memberId: Id, revision: Revision }),
} as const;
