import type { Preview } from '@prime-nest/contracts/rbac';
import type { Mutated } from './mutate.command.js';

const shownMax = 1_000;

/**
 * The answer to a dry run: exact counts, and as many pairs as fit; none for an actor that may not see who holds what.
 * Absent when nothing was only tried.
 */
export function previewOf(found: Mutated<unknown>['preview']): { preview?: Preview } {
  if (found === undefined) return {};
  const { gained, lost, isListed } = found;
  return {
    preview: {
      gained: isListed ? gained.slice(0, shownMax) : [],
      lost: isListed ? lost.slice(0, shownMax) : [],
      gainedCount: gained.length,
      lostCount: lost.length,
    },
  };
}
