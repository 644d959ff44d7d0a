/** More sign-ins of one account than ever stand in their last transaction at the same time: each has a connection. */
const simultaneousMax = 64;

/**
 * Whether a session that was just opened may be one too many, and the rest has to be counted while the account is
 * held. `others` were live when its statement began; sign-ins that were under way then are not among them.
 */
export function isNearCap(others: number, max: number): boolean {
  return others + 1 + simultaneousMax > max;
}
