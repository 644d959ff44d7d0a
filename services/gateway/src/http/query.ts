import { z } from 'zod';

/**
 * A whole number in a query string: decimal digits only, within bounds. Documented as the integer it means, not as
 * the text it travels as.
 */
export function queryInteger({ min, max, preset }: { min: number; max: number; preset: number }) {
  const digits = z.string().regex(/^\d{1,7}$/, { error: 'must be a whole number' });
  return digits
    .transform(Number)
    .pipe(z.int().min(min).max(max))
    .default(preset)
    .meta({ type: 'integer', minimum: min, maximum: max, default: preset });
}

/** `limit`, `offset` and `search` of a list. */
export const PageQuery = z.strictObject({
  limit: queryInteger({ min: 1, max: 100, preset: 20 }),
  offset: queryInteger({ min: 0, max: 100_000, preset: 0 }),
  search: z.string().trim().min(1).max(100).optional(),
});
export type PageQuery = z.output<typeof PageQuery>;

/** `dryRun=true`: everything is checked and answered as if it were done, and nothing is. */
export const TryQuery = z.strictObject({
  dryRun: z
    .enum(['true', 'false'])
    .default('false')
    .transform((text) => text === 'true')
    .meta({ type: 'boolean', default: false }),
});
export type TryQuery = z.output<typeof TryQuery>;
