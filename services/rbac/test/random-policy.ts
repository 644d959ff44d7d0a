import type { DeltaStep } from '../src/policy/delta.js';
import type { seededRandom } from './harness.js';

export type Random = ReturnType<typeof seededRandom>;

/** A policy as plain rows, for an evaluator so simple that it is right at sight. */
export class NaivePolicy {
  readonly features = new Map<string, { name: string; isActive: boolean }>();
  readonly permissions = new Map<string, { featureId: string; action: string }>();
  readonly roles = new Map<string, { name: string; isActive: boolean; grants: Set<string> }>();
  readonly principals = new Map<string, { isActive: boolean; roles: Map<string, number | null> }>();

  isAllowed(principalId: string, permissionName: string, nowMs: number): boolean {
    const principal = this.principals.get(principalId);
    if (!principal?.isActive) return false;
    for (const [roleId, end] of principal.roles) {
      const role = this.roles.get(roleId);
      if (!role?.isActive || (end !== null && end <= nowMs)) continue;
      for (const id of role.grants) {
        const permission = this.permissions.get(id);
        const feature = permission === undefined ? undefined : this.features.get(permission.featureId);
        if (feature?.isActive && `${feature.name}:${permission?.action}` === permissionName) return true;
      }
    }
    return false;
  }

  names(): string[] {
    return [...this.permissions.values()].map(
      ({ featureId, action }) => `${this.features.get(featureId)?.name}:${action}`,
    );
  }

  apply(step: DeltaStep): void {
    switch (step.op) {
      case 'feature.put':
        this.features.set(step.id, { name: step.name, isActive: step.isActive });
        return;
      case 'feature.delete':
        this.features.delete(step.id);
        return;
      case 'permission.put':
        this.permissions.set(step.id, { featureId: step.featureId, action: step.action });
        return;
      case 'permission.delete':
        this.permissions.delete(step.id);
        return;
      case 'role.put':
        this.roles.set(step.id, {
          name: step.name,
          isActive: step.isActive,
          grants: this.roles.get(step.id)?.grants ?? new Set(),
        });
        return;
      case 'role.delete':
        this.roles.delete(step.id);
        return;
      case 'role.grant':
        for (const id of step.permissionIds) this.roles.get(step.id)?.grants.add(id);
        return;
      case 'role.revoke':
        for (const id of step.permissionIds) this.roles.get(step.id)?.grants.delete(id);
        return;
      case 'principal.put':
        this.principals.set(step.id, {
          isActive: step.isActive,
          roles: new Map(step.roles.map((role) => [role.id, role.expiresAtMs])),
        });
        return;
    }
  }

  /** The steps that build this policy from nothing, in an order of the caller's choice. */
  steps(shuffle: <T>(list: T[]) => T[]): DeltaStep[] {
    const all = <V>(map: Map<string, V>) => shuffle([...map]);
    return [
      ...all(this.features).map(([id, one]) => ({ op: 'feature.put' as const, id, ...one })),
      ...all(this.permissions).map(([id, one]) => ({ op: 'permission.put' as const, id, ...one })),
      ...all(this.roles).map(([id, { name, isActive }]) => ({
        op: 'role.put' as const,
        id,
        name,
        isActive,
        receivesNew: false,
      })),
      ...all(this.roles).map(([id, { grants }]) => ({ op: 'role.grant' as const, id, permissionIds: [...grants] })),
      ...all(this.principals).map(([id, { isActive, roles }]) => ({
        op: 'principal.put' as const,
        id,
        isActive,
        roles: [...roles].map(([roleId, expiresAtMs]) => ({ id: roleId, expiresAtMs })),
      })),
    ];
  }
}

export const baseMs = 1_800_000_000_000;

/** A policy to begin with, large enough that many questions are allowed. */
export function randomStart(random: Random, newId: () => string): DeltaStep[] {
  const make = (count: number) => Array.from({ length: count }, newId);
  const [features, permissions, roles] = [make(4), make(12), make(6)];
  return [
    ...features.map((id): DeltaStep => ({ op: 'feature.put', id, name: `f${id}`, isActive: random.next() < 0.85 })),
    ...permissions.map((id): DeltaStep => ({
      op: 'permission.put',
      id,
      featureId: random.pick(features),
      action: `a${id}`,
    })),
    ...roles.map((id): DeltaStep => ({
      op: 'role.put',
      id,
      name: `r${id}`,
      isActive: random.next() < 0.85,
      receivesNew: false,
    })),
    ...roles.map((id): DeltaStep => ({
      op: 'role.grant',
      id,
      permissionIds: permissions.filter(() => random.next() < 0.4),
    })),
    ...make(10).map((id): DeltaStep => ({
      op: 'principal.put',
      id,
      isActive: random.next() < 0.85,
      roles: roles.filter(() => random.next() < 0.35).map((role) => ({ id: role, expiresAtMs: null })),
    })),
  ];
}

/** One random change that the database would accept: it respects references and unique names. */
export function randomSteps(policy: NaivePolicy, random: Random, newId: () => string): DeltaStep[] {
  const one = <V>(map: Map<string, V>): [string, V] | undefined => (map.size === 0 ? undefined : random.pick([...map]));
  const some = (ids: Iterable<string>, share: number) => [...ids].filter(() => random.next() < share);
  const isActive = random.next() < 0.75;
  switch (random.below(10)) {
    case 0: {
      const id = newId();
      return [{ op: 'feature.put', id, name: `f${id}`, isActive }];
    }
    case 1: {
      const feature = one(policy.features);
      if (feature === undefined) return [];
      const isUsed = [...policy.permissions.values()].some(({ featureId }) => featureId === feature[0]);
      return isUsed
        ? [{ op: 'feature.put', id: feature[0], name: feature[1].name, isActive }]
        : [{ op: 'feature.delete', id: feature[0] }];
    }
    case 2: {
      const feature = one(policy.features);
      const id = newId();
      return feature === undefined ? [] : [{ op: 'permission.put', id, featureId: feature[0], action: `a${id}` }];
    }
    case 3: {
      const permission = one(policy.permissions);
      if (permission === undefined) return [];
      const holders = [...policy.roles].filter(([, { grants }]) => grants.has(permission[0])).map(([id]) => id);
      const revokes = holders.map((id) => ({ op: 'role.revoke' as const, id, permissionIds: [permission[0]] }));
      return [...revokes, { op: 'permission.delete', id: permission[0] }];
    }
    case 4: {
      const existing = random.next() < 0.6 ? one(policy.roles) : undefined;
      const id = existing?.[0] ?? newId();
      return [{ op: 'role.put', id, name: `r${id}`, isActive, receivesNew: false }];
    }
    case 5: {
      const free = [...policy.roles.keys()].filter(
        (id) => ![...policy.principals.values()].some(({ roles }) => roles.has(id)),
      );
      return free.length === 0 ? [] : [{ op: 'role.delete', id: random.pick(free) }];
    }
    case 6: {
      const role = one(policy.roles);
      if (role === undefined) return [];
      const revoked = some(role[1].grants, 0.4);
      const granted = some(policy.permissions.keys(), 0.3).filter(
        (id) => !role[1].grants.has(id) || revoked.includes(id),
      );
      return [
        { op: 'role.revoke', id: role[0], permissionIds: revoked },
        { op: 'role.grant', id: role[0], permissionIds: granted },
      ];
    }
    default: {
      const existing = random.next() < 0.7 ? one(policy.principals) : undefined;
      const roles = some(policy.roles.keys(), 0.3).map((id) => ({
        id,
        expiresAtMs: random.next() < 0.25 ? baseMs + random.below(5) - 2 : null,
      }));
      return [{ op: 'principal.put', id: existing?.[0] ?? newId(), isActive, roles }];
    }
  }
}
