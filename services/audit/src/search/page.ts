/** Entries of one page together: what fits into a reply of the bus, with room for the envelope. */
const pageBytesMax = 700_000;
const overheadBytes = 100;

/** As many of the entries, from the first, as one reply can carry; at least one. */
export function fittingEntries<E extends { readonly bytes: Uint8Array }>(entries: readonly E[]): E[] {
  let total = 0;
  const end = entries.findIndex(({ bytes }) => (total += bytes.length + overheadBytes) > pageBytesMax);
  return entries.slice(0, end === -1 ? undefined : Math.max(1, end));
}
