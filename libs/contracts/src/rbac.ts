import { z } from 'zod';
import { Id } from './ids.js';
import { page, PageRequest } from './page.js';
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
  version: z.int(),
  createdAt: Instant,
  updatedAt: Instant,
});
export type Role = z.infer<typeof Role>;
export const RoleWithPermissions = Role.extend({ permissions: z.array(z.object({ id: Id, name: z.string() })) });
export type RoleWithPermissions = z.infer<typeof RoleWithPermissions>;

/**
 * How a mutation took effect: every decision sent after this answer is made at `revision` or later. `barrierMs` is
 * how long the answer waited until that was true on every replica.
 */
export const Effect = z.object({ revision: Revision, barrierMs: z.number() });
export type Effect = z.infer<typeof Effect>;
const changed = <T extends z.ZodRawShape>(shape: T) => z.object({ ...shape, effect: Effect });

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
  },
  /** The roles that grant, or why nothing does, at the stated revision. */
  'rbac.access.explain.v1': {
    request: Check,
    response: z.object({
      revision: Revision,
      decision: Decision,
      grantedBy: z.array(z.object({ roleId: Id, roleName: z.string() })),
      /** Roles the principal holds that do not grant, each with why not. */
      notGrantedBy: z.array(
        z.object({ roleId: Id, roleName: z.string(), reason: z.enum(['role_inactive', 'no_grant', 'expired']) }),
      ),
    }),
    errors: [],
    timeoutMs: 1000,
  },
  'rbac.principal.get.v1': {
    request: z.strictObject({ principalId: Id }),
    response: z.object({
      principalId: Id,
      isActive: z.boolean(),
      roles: z.array(z.object({ id: Id, name: z.string(), isActive: z.boolean() })),
      permissions: z.array(z.string()),
      revision: Revision,
    }),
    errors: [],
    timeoutMs: 1000,
  },
  /** Replaces all roles of the principal. An unknown role id changes nothing. */
  'rbac.principal.replace_roles.v1': {
    request: z.strictObject({ principalId: Id, roleIds: z.array(Id).max(200) }),
    response: changed({ roles: z.array(z.object({ id: Id, name: z.string() })) }),
    errors: ['forbidden', 'reference_missing', 'escalation_refused', 'last_administrator'],
    timeoutMs: 4000,
  },
  /** An inactive principal is denied everything, whatever roles it holds. */
  'rbac.principal.set_active.v1': {
    request: z.strictObject({ principalId: Id, isActive: z.boolean() }),
    response: changed({}),
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
    }),
    response: changed({ role: Role }),
    errors: ['forbidden', 'not_found', 'name_taken', 'version_conflict', 'escalation_refused', 'last_administrator'],
    timeoutMs: 4000,
  },
  /** Refused with `in_use` while any principal holds the role. */
  'rbac.role.delete.v1': {
    request: z.strictObject({ id: Id, version }),
    response: changed({}),
    errors: ['forbidden', 'not_found', 'in_use', 'version_conflict', 'last_administrator'],
    timeoutMs: 4000,
  },
  /** Replaces the whole set of permissions of the role. */
  'rbac.role.replace_permissions.v1': {
    request: z.strictObject({ id: Id, permissionIds: z.array(Id).max(5000), version }),
    response: changed({ role: RoleWithPermissions }),
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
  /** Refused with `in_use` while any role grants it. */
  'rbac.permission.delete.v1': {
    request: z.strictObject({ id: Id, version }),
    response: changed({}),
    errors: ['forbidden', 'not_found', 'in_use', 'version_conflict'],
    timeoutMs: 4000,
  },
} as const satisfies RpcContracts;

/** Tells the other rbac replicas that the policy moved. It only hastens; no promise rests on it. */
export const rbacNotify = {
  'notify.rbac.revision.v1': z.object({ revision: Revision }),
} as const;
