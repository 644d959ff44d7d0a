import { z } from 'zod';

/** One page of a list by position. `search` matches anywhere in the name-like fields, case-insensitively. */
export const PageRequest = z.strictObject({
  limit: z.number().int().min(1).max(100).default(20),
  offset: z.number().int().min(0).max(100_000).default(0),
  search: z.string().trim().min(1).max(100).optional(),
});
export type PageRequest = z.infer<typeof PageRequest>;

/** A page of a list: the items and how many there are in all. */
export function page<T extends z.ZodType>(item: T) {
  return z.object({ data: z.array(item), total: z.number().int() });
}
