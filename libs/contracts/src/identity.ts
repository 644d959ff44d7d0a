import { z } from 'zod';
import { PublicKey } from './claims.js';
import { Id } from './ids.js';
import { page, PageRequest } from './page.js';
import type { RpcContracts } from './rpc.js';

const Instant = z.iso.datetime();

/** An e-mail address as an identifier: trimmed and lower-cased, at most 254 octets (RFC 5321 §4.5.3.1.3). */
export const Email = z.string().trim().toLowerCase().max(254).pipe(z.email());
/** A password as sent. Its rules (length, common list) are identity's; the cap here only bounds the work. */
export const Password = z.string().min(1).max(1024);
export const PersonName = z.string().trim().min(1).max(120);

/** A stored person with credentials. `isActive: false` cannot sign in and has no live session. */
export const Account = z.object({
  id: Id,
  email: z.string(),
  name: z.string(),
  isActive: z.boolean(),
  lockedUntil: Instant.nullable(),
  createdAt: Instant,
  updatedAt: Instant,
});
export type Account = z.infer<typeof Account>;

/** Token answer of RFC 6749 §5.1; `session_id` names the refresh token family. Lifetimes are in seconds. */
export const TokenResponse = z.object({
  access_token: z.string(),
  token_type: z.literal('Bearer'),
  expires_in: z.int(),
  refresh_token: z.string(),
  refresh_expires_in: z.int(),
  session_id: Id,
});
export type TokenResponse = z.infer<typeof TokenResponse>;

export const Session = z.object({
  id: Id,
  accountId: Id,
  ip: z.string().nullable(),
  userAgent: z.string().nullable(),
  createdAt: Instant,
  lastUsedAt: Instant,
  expiresAt: Instant,
});
export type Session = z.infer<typeof Session>;

/**
 * What gateways must refuse although the signature holds: one session until its last access token has expired, or
 * every token of an account below a credential epoch.
 */
export const Revocation = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('session'), sessionId: Id, until: Instant }),
  z.object({ kind: z.literal('epoch'), accountId: Id, minEpoch: z.int(), until: Instant }),
]);
export type Revocation = z.infer<typeof Revocation>;

/** A client's own key for one refresh, so that a retry gets the same answer instead of counting as reuse. */
export const IdempotencyKey = z.string().regex(/^[\x21-\x7e]{8,128}$/);

/** Where a signing key stands; `since` is when it came there. */
export const KeyStatus = z.object({
  kid: z.string(),
  state: z.enum(['pending', 'active', 'retiring', 'retired', 'compromised']),
  origin: z.enum(['imported', 'generated']),
  since: Instant,
});
export type KeyStatus = z.infer<typeof KeyStatus>;

const none = z.object({});

/**
 * How long a gateway that has renewed its lease may go by the revocations it knows, in milliseconds. A command that
 * revokes answers when every gateway has said that it knows, or this long later.
 */
export const revocationLeaseMs = 2_000;
/** Deadline of what ends sessions: its own work, and a lease of a gateway that does not answer. */
const revokingMs = 3_600;
/** Revocations in one answer; the rest is asked for with `after`. */
export const revocationsPerListMax = 2_000;

export const identityRpc = {
  'identity.session.login.v1': {
    request: z.strictObject({ email: Email, password: Password, deviceToken: z.string().max(512).optional() }),
    response: TokenResponse.extend({ deviceToken: z.string().optional() }),
    errors: ['invalid_credentials', 'login_locked', 'rate_limited'],
    timeoutMs: 1400,
  },
  'identity.session.refresh.v1': {
    request: z.strictObject({ refreshToken: z.string().min(1).max(512), idempotencyKey: IdempotencyKey.optional() }),
    response: TokenResponse,
    errors: ['invalid_grant'],
    timeoutMs: 1400,
  },
  'identity.session.list.v1': {
    request: z.strictObject({ accountId: Id }),
    response: z.object({ data: z.array(Session) }),
    errors: ['not_found'],
    timeoutMs: 1000,
  },
  /** Ends one session of the account. Answering success means that no gateway accepts its tokens any more. */
  'identity.session.revoke.v1': {
    request: z.strictObject({ accountId: Id, sessionId: Id, reason: z.enum(['logout', 'revoked', 'administrator']) }),
    response: none,
    errors: ['not_found'],
    timeoutMs: revokingMs,
  },
  'identity.session.revoke_all.v1': {
    request: z.strictObject({ accountId: Id, reason: z.enum(['logout_all', 'administrator']) }),
    response: z.object({ revoked: z.int() }),
    errors: ['not_found'],
    timeoutMs: revokingMs,
  },
  'identity.password.change.v1': {
    request: z.strictObject({ accountId: Id, currentPassword: Password, newPassword: Password }),
    response: none,
    errors: ['invalid_credentials', 'login_locked', 'rate_limited', 'password_rejected', 'not_found'],
    timeoutMs: revokingMs,
  },
  /**
   * Makes a one-time code with which the account's password can be set for 30 minutes, for an administrator to pass
   * on. It replaces an earlier one. The answer is the only place where the code ever appears.
   */
  'identity.password.issue_reset.v1': {
    request: z.strictObject({ accountId: Id }),
    response: z.object({ resetCode: z.string(), expiresAt: Instant }),
    errors: ['not_found'],
    timeoutMs: 1000,
  },
  /** Sets the password with such a code, once. Every session of the account ends and its locks are opened. */
  'identity.password.reset.v1': {
    request: z.strictObject({ resetCode: z.string().min(1).max(128), newPassword: Password }),
    response: none,
    errors: ['reset_code_invalid', 'password_rejected'],
    timeoutMs: revokingMs,
  },
  'identity.account.create.v1': {
    request: z.strictObject({ id: Id, email: Email, name: PersonName, password: Password }),
    response: Account,
    errors: ['email_taken', 'password_rejected'],
    timeoutMs: 1400,
  },
  'identity.account.get.v1': {
    request: z.strictObject({ id: Id }),
    response: Account,
    errors: ['not_found'],
    timeoutMs: 1000,
  },
  'identity.account.list.v1': {
    request: PageRequest,
    response: page(Account),
    errors: [],
    timeoutMs: 1000,
  },
  /** Changes name or activity. Deactivation ends every session of the account before it answers. */
  'identity.account.update.v1': {
    request: z.strictObject({ id: Id, name: PersonName.optional(), isActive: z.boolean().optional() }),
    response: Account,
    errors: ['not_found'],
    timeoutMs: revokingMs,
  },
  /** Soft delete: the e-mail address becomes free, every session ends, the row stays for the audit trail. */
  'identity.account.delete.v1': {
    request: z.strictObject({ id: Id }),
    response: none,
    errors: ['not_found'],
    timeoutMs: revokingMs,
  },
  'identity.account.unlock.v1': {
    request: z.strictObject({ id: Id }),
    response: none,
    errors: ['not_found'],
    timeoutMs: 1000,
  },
  /** Every key that may have signed a token that is still alive, and keys published ahead of use. Never empty. */
  'identity.key.list.v1': {
    request: z.strictObject({}),
    response: z.object({ keys: z.array(PublicKey).min(1) }),
    errors: [],
    timeoutMs: 1000,
  },
  /** The signing keys with their states, also the ones that nothing is signed or verified with any more. */
  'identity.key.status.v1': {
    request: z.strictObject({}),
    response: z.object({ keys: z.array(KeyStatus) }),
    errors: [],
    timeoutMs: 1000,
  },
  /** Begins a rotation: the new key is published at once and signs after its lead. One at a time: again is no new one. */
  'identity.key.rotate.v1': {
    request: z.strictObject({}),
    response: z.object({ kid: z.string() }),
    errors: [],
    timeoutMs: 8000,
  },
  /** Nothing that the key signed is accepted any more; if it was the active one, another takes over at once. */
  'identity.key.compromise.v1': {
    request: z.strictObject({ kid: z.string().min(16).max(64) }),
    response: none,
    errors: ['not_found'],
    timeoutMs: 8000,
  },
  /**
   * The revocations after `after` (all of them without it) that still matter, oldest first, for a gateway that starts
   * or missed some. Everything up to `sequence` is included; while that is below `head`, ask again after it.
   */
  'identity.revocation.list.v1': {
    request: z.strictObject({ after: z.int().min(0).optional() }),
    response: z.object({ sequence: z.int(), head: z.int(), revocations: z.array(Revocation) }),
    errors: [],
    timeoutMs: 1000,
  },
  /**
   * Renews (or takes) a gateway's lease, and says what the gateway knows. The lease counts from before this was sent,
   * and not before everything up to `sequence` is known there. `memberId` is new for every process.
   */
  'identity.revocation.renew_lease.v1': {
    request: z.strictObject({
      memberId: Id,
      appliedSequence: z.int().min(0),
      leaseMs: z.int().min(1).max(revocationLeaseMs),
    }),
    response: z.object({ sequence: z.int() }),
    errors: [],
    timeoutMs: 700,
  },
  /** Ends the lease of a gateway that serves nobody any more, so that no command has to wait for it. */
  'identity.revocation.end_lease.v1': {
    request: z.strictObject({ memberId: Id }),
    response: none,
    errors: [],
    timeoutMs: 1000,
  },
} as const satisfies RpcContracts;

/** Broadcasts to every gateway. They only hasten: a gateway that missed one recovers by asking. */
export const identityNotify = {
  'notify.identity.keys.v1': z.object({ keys: z.array(PublicKey).min(1) }),
  /** `sequence` rises by one per revocation; a gap means "ask for the list". Heartbeats carry no revocations. */
  'notify.identity.revocations.v1': z.object({ sequence: z.int(), revocations: z.array(Revocation) }),
} as const;

/** Broadcasts of gateways to every identity process. They only hasten: a lost one is found in the next renewal. */
export const gatewayNotify = {
  /** The member knows every revocation up to `sequence`, and refuses accordingly. */
  'notify.gateway.applied.v1': z.object({ memberId: Id, sequence: z.int() }),
} as const;
