import { AppError } from '@prime-nest/contracts/errors';
import { hasAdministrator } from './administrators.js';
import { isSubset } from './bitset.js';
import { givenBits, grantableBits } from './escalation.js';
import type { PolicySnapshot } from './snapshot.js';

/**
 * The two rules above permissions, for any change by anybody: throws `escalation_refused` when the actor gives, by
 * whatever path, something that it does not hold, and `last_administrator` when nobody would be left who manages
 * access. Without an administrator before there is none to lose: then a repair must be possible.
 */
export function judge(before: PolicySnapshot, after: PolicySnapshot, actorId: string): void {
  if (before === after) return;
  if (!isSubset(givenBits(before, after), grantableBits(before, actorId))) throw new AppError('escalation_refused');
  if (hasAdministrator(before) && !hasAdministrator(after)) throw new AppError('last_administrator');
}
