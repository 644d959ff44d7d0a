import { createHmac, type KeyObject } from 'node:crypto';
import { readIpAddress } from '@prime-nest/kit/ip-address';

/**
 * Where a guess came from decides which counter it is charged to, so that strangers can lock strangers out, and
 * nobody else:
 * - `stranger`: an identifier from a place it is not known at, whether or not such an account exists;
 * - `device`: an account from a device that has signed in to it before;
 * - `source`: everything from one address (IPv4) or /64 network (IPv6);
 * - `reauth`: the current password asked of somebody who is signed in.
 */
export type LaneKind = 'stranger' | 'device' | 'source' | 'reauth';

export interface Lane {
  readonly kind: LaneKind;
  /** Keyed hash: what people type as an e-mail address is not stored. */
  readonly key: Buffer;
  /** Keyed hash of the identifier that the lane belongs to, to find all lanes of an account; null for `source`. */
  readonly identifier: Buffer | null;
}

export interface LockoutPolicy {
  /** Failed attempts that lock a lane. */
  readonly attemptsMax: number;
  /** Length of a first lock, and of the window in which failures add up. */
  readonly lockSeconds: number;
  readonly sourceAttemptsMax: number;
}

/**
 * How long an attempt may take from its charge to its settlement. What has not been settled by then belongs to a
 * process that died or stands still, and holds nobody up any longer. It can be dropped without giving a guess away,
 * because nothing is answered unless its charge is still there to be settled.
 */
export const chargeSeconds = 10;

/** What a lane holds at an instant: failures of its window, and charges that are neither settled nor given up. */
export interface LaneState {
  readonly failures: number;
  readonly charges: number;
  readonly lockedUntil: Date | null;
  /** When its failures are forgotten. */
  readonly windowEndsAt: Date;
}

/**
 * - `open`: one more attempt may be compared.
 * - `busy`: every attempt that is left is being compared right now; how they end decides.
 * - `locked`: attempts have failed, as many as may.
 */
export type Standing =
  { readonly kind: 'open' } | { readonly kind: 'busy' } | { readonly kind: 'locked'; readonly until: Date };

/**
 * Whether a lane has an attempt left. Charges count like failures here, or many guesses at once would all be compared;
 * they lock nothing, because nothing has failed.
 */
export function standingOf(lane: LaneState, attemptsMax: number, now: Date): Standing {
  if (lane.lockedUntil !== null && lane.lockedUntil > now) return { kind: 'locked', until: lane.lockedUntil };
  // Not locked when it failed, since more attempts were allowed then.
  if (lane.failures >= attemptsMax) return { kind: 'locked', until: lane.windowEndsAt };
  return { kind: lane.failures + lane.charges < attemptsMax ? 'open' : 'busy' };
}

/** A lock that follows a lock within a day is twice as long, up to four hours (or the configured length if longer). */
export const escalation = { capSeconds: 4 * 3600, decaySeconds: 24 * 3600 } as const;

export function strangerLane(key: KeyObject, email: string): Lane {
  return { kind: 'stranger', key: mac(key, 'stranger', email), identifier: identifierOf(key, email) };
}

export function deviceLane(key: KeyObject, email: string, deviceId: string): Lane {
  return { kind: 'device', key: mac(key, 'device', `${email}\n${deviceId}`), identifier: identifierOf(key, email) };
}

export function reauthLane(key: KeyObject, email: string): Lane {
  return { kind: 'reauth', key: mac(key, 'reauth', email), identifier: identifierOf(key, email) };
}

export function sourceLane(key: KeyObject, ip: string): Lane {
  return { kind: 'source', key: mac(key, 'source', readIpAddress(ip).network), identifier: null };
}

export function identifierOf(key: KeyObject, email: string): Buffer {
  return mac(key, 'identifier', email);
}

function mac(key: KeyObject, kind: string, value: string): Buffer {
  return createHmac('sha256', key).update(`${kind}\n${value}`).digest();
}

/** Whole seconds to wait, at least one. */
export function secondsUntil(until: Date, now: Date): number {
  return Math.max(1, Math.ceil((until.getTime() - now.getTime()) / 1000));
}
