import { serviceFolder } from './folders.js';
import type { Env } from './folders.js';
import { databaseServices } from './roles-sql.js';
import type { Secrets } from './secrets.js';
import type { ServiceLogs } from './service-logs.js';
import { runProgram } from './service-process.js';
import { seedEnv, serviceEnv } from './services.js';
import type { Surroundings } from './services.js';
import { settleAll } from './settle-all.js';

export interface Preparation {
  readonly step: (name: string, work: () => Promise<unknown>) => Promise<unknown>;
  readonly around: Surroundings;
  readonly secrets: Secrets;
  readonly env: Env;
  readonly logs: ServiceLogs;
}

/** Migrations, then the first administrator: his account and his role come from two services, in any order. */
export async function prepareData({ step, around, secrets, env, logs }: Preparation): Promise<void> {
  const folder = (service: string): string => serviceFolder(service, env);
  const base = (service: (typeof databaseServices)[number]): Env => serviceEnv(service, around, secrets, env);
  await settleAll(
    databaseServices.map((service) =>
      step(`${service} migrations`, () =>
        runProgram('migrate', { service, folder: folder(service), env: base(service), logs }),
      ),
    ),
  );
  await settleAll(
    (['identity', 'rbac'] as const).map((service) =>
      step(`${service} seed`, () =>
        runProgram('seed', { service, folder: folder(service), env: seedEnv(service, base(service), secrets), logs }),
      ),
    ),
  );
}
