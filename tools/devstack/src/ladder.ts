/** A way to get a server: somebody else's (by URL), a program on this machine, or a container. */
export type Source =
  | { readonly kind: 'url'; readonly rung: string; readonly url: string }
  | { readonly kind: 'binary'; readonly rung: string; readonly path: string; readonly version: string }
  | { readonly kind: 'docker'; readonly rung: string; readonly image: string; readonly version: string };

/** One way to get a server. `detect` answers with the source, or with the reason why this way is closed. */
export interface Rung {
  readonly name: string;
  detect(): Source | string | Promise<Source | string>;
}

export interface Ladder {
  readonly server: string;
  readonly rungs: readonly Rung[];
  /** What a person can do when no rung holds. */
  readonly advice: readonly string[];
}

export interface Attempt {
  readonly rung: string;
  readonly why: string;
}

/** Thrown by whoever starts a source when that source turns out not to work: the next rung is tried. */
export class UnusableSource extends Error {
  override readonly name = 'UnusableSource';
}

/** No rung holds. The message names each one, why it was skipped, and what to do. */
export class NoServerError extends Error {
  override readonly name = 'NoServerError';
  constructor(
    ladder: Ladder,
    readonly attempts: readonly Attempt[],
  ) {
    const width = Math.max(...attempts.map(({ rung }) => rung.length));
    const tried = attempts.map(({ rung, why }) => `  ${rung.padEnd(width)}  ${why}`);
    const advice = ladder.advice.map((line) => `  - ${line}`);
    super([`No ${ladder.server} found. Tried:`, ...tried, 'One of these helps:', ...advice].join('\n'));
  }
}

/** Uses the first rung that holds. Nothing that merely listens on a default port is ever adopted. */
export async function climb<T>(ladder: Ladder, use: (source: Source) => Promise<T>): Promise<T> {
  const attempts: Attempt[] = [];
  for (const rung of ladder.rungs) {
    const found = await rung.detect();
    if (typeof found === 'string') {
      attempts.push({ rung: rung.name, why: found });
      continue;
    }
    try {
      return await use(found);
    } catch (error) {
      if (!(error instanceof UnusableSource)) throw error;
      attempts.push({ rung: rung.name, why: error.message });
    }
  }
  throw new NoServerError(ladder, attempts);
}
