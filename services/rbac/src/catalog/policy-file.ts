import { AppError } from '@prime-nest/contracts/errors';
import { PermissionName } from '@prime-nest/contracts/rbac';
import { z } from 'zod';

const Word = z.string().regex(/^[a-z][a-z0-9_]{0,47}$/, 'must be a lower-case word');
const Description = z.string().trim().max(500).default('');
const Name = z.string().trim().min(1).max(80);

/** The policy that a service brings along: what it protects, and who may do it on the first day. */
export const SeedPolicy = z.strictObject({
  features: z
    .array(z.strictObject({ name: Word, description: Description, actions: z.record(Word, Description) }))
    .default([]),
  roles: z
    .array(
      z.strictObject({
        name: Name,
        description: Description,
        /** Permission names, or every permission there is, those to come included. */
        grants: z.union([z.array(PermissionName), z.literal('all')]),
      }),
    )
    .default([]),
  /** What roles that exist already are granted: role name → permission names. */
  grants: z.record(Name, z.array(PermissionName)).default({}),
});
export type SeedPolicy = z.infer<typeof SeedPolicy>;
export type SeedRole = SeedPolicy['roles'][number];

/** Reads a policy file. Throws `validation_failed` with every place that is wrong. */
export function parsePolicyFile(text: string): SeedPolicy {
  const parsed = SeedPolicy.safeParse(jsonOf(text));
  if (parsed.success) return parsed.data;
  const violations = parsed.error.issues.map(({ path, message }) => ({ pointer: `/${path.join('/')}`, message }));
  throw new AppError('validation_failed', { details: { violations } });
}

/**
 * Several files as one policy, so that a file may grant what another one declares, whatever their order. Throws
 * `validation_failed` for a feature or a role that two of them declare: one would silently win.
 */
export function combinePolicies(policies: readonly SeedPolicy[]): SeedPolicy {
  const features = policies.flatMap((policy) => policy.features);
  const roles = policies.flatMap((policy) => policy.roles);
  const violations = [
    ...repeated(features).map((name) => ({ pointer: `/features/${name}`, message: 'is declared twice' })),
    ...repeated(roles).map((name) => ({ pointer: `/roles/${name}`, message: 'is declared twice' })),
  ];
  if (violations.length > 0) {
    const paths = violations.map(({ pointer }) => `${pointer} is declared twice`);
    throw new AppError('validation_failed', { details: { violations }, internal: { paths } });
  }
  const grants = new Map<string, readonly string[]>();
  for (const [role, names] of policies.flatMap((policy) => Object.entries(policy.grants)))
    grants.set(role, [...new Set([...(grants.get(role) ?? []), ...names])]);
  return { features, roles, grants: Object.fromEntries([...grants].map(([role, names]) => [role, [...names]])) };
}

function repeated(named: readonly { readonly name: string }[]): string[] {
  const names = named.map(({ name }) => name.toLowerCase());
  return [...new Set(names.filter((name, index) => names.indexOf(name) !== index))];
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new AppError('malformed_json', { cause: error });
  }
}
