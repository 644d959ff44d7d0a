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

const chunk = 2_000;

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
      for (const row of rows) {
        snapshot = applyDelta(snapshot, { revision: Number(row.revision), delta: Delta.parse(row.delta) });
        atMs = Number(row.at);
      }
    }
    return { snapshot, atMs };
  }
}
