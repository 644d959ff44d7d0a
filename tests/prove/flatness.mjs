/** Whether a series of samples stays flat. Values in, verdict out; nothing here reads a clock or a process. */
import { median } from '../../scripts/statistics.mjs';

/**
 * Compares the last third with the first one, after a warm-up fifth: by the least value of each third where a series
 * is a sawtooth (heap between collections), else by the median. Flat as long as the last third does not exceed the
 * first by more than `share` of it plus `slack`, in the series' own unit.
 *
 * @param {readonly number[]} series oldest first, at least ten samples
 * @param {{ share: number, slack: number, isSawtooth?: boolean }} allowed
 * @returns {{ first: number, last: number, isFlat: boolean }}
 */
export function judgeFlatness(series, { share, slack, isSawtooth = false }) {
  if (series.length < 10) throw new RangeError('too few samples to judge');
  const settled = series.slice(Math.floor(series.length / 5));
  const third = Math.floor(settled.length / 3);
  const level = isSawtooth ? (values) => Math.min(...values) : median;
  const first = level(settled.slice(0, third));
  const last = level(settled.slice(-third));
  return { first, last, isFlat: last <= first * (1 + share) + slack };
}
