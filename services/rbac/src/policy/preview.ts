import type { Preview } from '@prime-nest/contracts/rbac';
import type { Difference } from './difference.js';

const shownMax = 1_000;

/** The answer to a dry run: exact counts, and as many pairs as fit. Absent when nothing was only tried. */
export function previewOf(found: Difference | undefined): { preview?: Preview } {
  if (found === undefined) return {};
  const { gained, lost } = found;
  return {
    preview: {
      gained: gained.slice(0, shownMax),
      lost: lost.slice(0, shownMax),
      gainedCount: gained.length,
      lostCount: lost.length,
    },
  };
}
