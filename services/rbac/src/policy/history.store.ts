import { AppError } from '@prime-nest/contracts/errors';
import type { Database } from '@prime-nest/kit/database';
import { applyDelta } from './compile.js';
import { Delta } from './delta.js';
import { type PolicySnapshot, emptySnapshot } from './snapshot.js';

export interface PastPolicy {
  readonly snapshot: PolicySnapshot;
  /** When that revision began, database clock. */
  readonly atMs: number;
}

const chunk = 500;

/** The policy at any revision it ever had, replayed from the append-only changelog. */
export class HistoryStore {
  readonly #database: Database;

  constructor({ database }: { database: Database }) {
    this.#database = database;
  }

  /** Throws `not_found` for a revision that has not been reached. Costs a read of the changelog up to it. */
  async policyAt(revision: number): Promise<PastPolicy> {
    let snapshot = emptySnapshot();
    let atMs = 0;
    while (snapshot.revision < revision) {
      const rows = await this.#database.query<{ revision: string; at: string; delta: unknown }>(
        `SELECT revision, extract(epoch FROM at) * 1000 AS at, delta FROM rbac_changelog
          WHERE revision > $1 AND revision <= $2 ORDER BY revision LIMIT $3`,
        [snapshot.revision, revision, chunk],
      );
      if (rows.length === 0) throw new AppError('not_found');
      // All steps of a chunk at once: a snapshot for each revision would keep this process from its decisions.
      const last = rows.at(-1);
      const delta = rows.flatMap((row) => Delta.parse(row.delta));
      snapshot = applyDelta(snapshot, { revision: Number(last?.revision), delta });
      atMs = Number(last?.at);
    }
    return { snapshot, atMs };
  }
}
