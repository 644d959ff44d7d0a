/** The value below which `share` (0 to 1) of the others lie, by nearest rank; 0 of nothing. */
export function percentile(values, share) {
  return values.toSorted((a, b) => a - b)[Math.floor((values.length - 1) * share)] ?? 0;
}

/** Of an even number of values, the lower of the two in the middle. */
export const median = (values) => percentile(values, 0.5);
