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

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new AppError('malformed_json', { cause: error });
  }
}
