import { z } from 'zod';

/**
 * Ids are UUIDs; the ones we mint are time-ordered (RFC 9562 §5.7, version 7). Read in any case and kept in lower
 * case (§4): PostgreSQL takes both for the same id, and a map in memory must too.
 */
export const Id = z.uuid().toLowerCase();
export type Id = z.infer<typeof Id>;

/**
 * The account that a fresh installation starts with. A fixed id lets identity (the account) and rbac (its role) be
 * seeded independently, in any order and without a call between them. It is no secret: it opens nothing by itself.
 */
export const bootstrapAdministratorId: Id = '01900000-0000-7000-8000-000000000001';

/** A correlation id: ours are UUIDs; a client's own is kept when it fits this alphabet and length. */
const correlationId = /^[A-Za-z0-9._-]{8,128}$/;
export const CorrelationId = z.string().regex(correlationId);
export type CorrelationId = z.infer<typeof CorrelationId>;

export function isCorrelationId(text: string | undefined): text is CorrelationId {
  return text !== undefined && correlationId.test(text);
}
