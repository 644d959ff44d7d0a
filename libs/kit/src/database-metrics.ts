import type pg from 'pg';
import type { DataSource } from 'typeorm';
import { observed } from './telemetry-metrics.js';

const used = observed({ name: 'db_client_used_connections', help: 'Pooled connections in use' });
const idle = observed({ name: 'db_client_idle_connections', help: 'Pooled connections that wait for work' });
const limit = observed({ name: 'db_client_max_connections', help: 'Most connections the pool opens' });
const pending = observed({ name: 'db_client_pending_requests', help: 'Requests that wait for a pooled connection' });

/** Lets the metrics of the pool speak of this one. */
export function watchPool(dataSource: DataSource): void {
  const pool = () => Reflect.get(dataSource.driver, 'master') as pg.Pool | undefined;
  const read = (value: (pool: pg.Pool) => number) => () => {
    const current = pool();
    return current === undefined ? undefined : value(current);
  };
  used.from(read(({ totalCount, idleCount }) => totalCount - idleCount));
  idle.from(read(({ idleCount }) => idleCount));
  limit.from(read(({ options }) => options.max));
  pending.from(read(({ waitingCount }) => waitingCount));
}
