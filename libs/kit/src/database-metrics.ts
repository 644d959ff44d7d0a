import type pg from 'pg';
import type { DataSource } from 'typeorm';
import { observed } from './telemetry-metrics.js';

const used = observed({ name: 'db_client_used_connections', help: 'Pooled connections in use' });
const idle = observed({ name: 'db_client_idle_connections', help: 'Pooled connections that wait for work' });
const limit = observed({ name: 'db_client_max_connections', help: 'Most connections the pool opens' });
const pending = observed({ name: 'db_client_pending_requests', help: 'Requests that wait for a pooled connection' });

const watched = new Set<DataSource>();

/** Adds this pool to the metrics, which speak of all pools of the process together. One that was closed counts nothing. */
export function watchPool(dataSource: DataSource): void {
  watched.add(dataSource);
  used.from(sumOf(({ totalCount, idleCount }) => totalCount - idleCount));
  idle.from(sumOf(({ idleCount }) => idleCount));
  limit.from(sumOf(({ options }) => options.max));
  pending.from(sumOf(({ waitingCount }) => waitingCount));
}

function sumOf(value: (pool: pg.Pool) => number): () => number {
  return () => {
    let sum = 0;
    for (const dataSource of watched) {
      const pool = Reflect.get(dataSource.driver, 'master') as pg.Pool | undefined;
      if (!dataSource.isInitialized) watched.delete(dataSource);
      else if (pool !== undefined) sum += value(pool);
    }
    return sum;
  };
}
