import { mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { serviceUrls } from './bootstrap.js';
import { homeFolder, serviceFolder } from './folders.js';
import type { Env } from './folders.js';
import { createLogView } from './log-view.js';
import { databaseName, databaseServices } from './roles-sql.js';
import type { DatabaseService } from './roles-sql.js';
import { loadSecrets } from './secrets.js';
import { runProgram } from './service-process.js';
import { createServiceLogs } from './service-logs.js';
import { seedEnv, serviceEnv } from './services.js';
import { readState } from './state.js';

const seeded: readonly DatabaseService[] = ['identity', 'rbac'];

/**
 * Runs `migrate` or `seed` of the services: with the addresses in the environment when they are given, else on the
 * local system that runs now.
 */
export async function dataCommand(program: 'migrate' | 'seed', env: Env): Promise<number> {
  const services = program === 'seed' ? seeded : databaseServices;
  const explicit = services.filter((service) => isGiven(service, env));
  const local = explicit.length > 0 ? undefined : await localEnv(env);
  if (explicit.length === 0 && local === undefined) {
    const names = services.map((service) => `${service.toUpperCase()}_DB_URL`).join(', ');
    console.error(`no system runs in ${homeFolder(env)}: run npm start first, or set ${names}`);
    return 1;
  }
  const folder = mkdtempSync(path.join(os.tmpdir(), 'prime-nest-data-'));
  const view = createLogView(false);
  const logs = createServiceLogs(folder, (name, line) => console.log(view(name, line)));
  try {
    for (const service of explicit.length > 0 ? explicit : services) {
      await runProgram(program, { service, folder: serviceFolder(service, env), env: local?.(service) ?? env, logs });
      console.log(`${service}: ${program} done`);
    }
    return 0;
  } catch (error) {
    console.error(error instanceof Error ? error.message : error);
    return 1;
  } finally {
    await logs.close();
    rmSync(folder, { recursive: true, force: true });
  }
}

function isGiven(service: DatabaseService, env: Env): boolean {
  const name = `${service.toUpperCase()}_DB`;
  return ['URL', 'MIGRATION_URL'].some((kind) => env[`${name}_${kind}`] ?? env[`${name}_${kind}_FILE`]);
}

async function localEnv(env: Env): Promise<((service: DatabaseService) => Env) | undefined> {
  const home = homeFolder(env);
  const state = readState(home);
  if (state === undefined) return undefined;
  const secrets = await loadSecrets(home, env);
  const databases = serviceUrls(state.databaseUrl, { database: databaseName, passwords: secrets.database });
  const around = { home, natsUrl: state.natsUrl, redisUrl: state.redisUrl, databases };
  return (service) => seedEnv(service, serviceEnv(service, around, secrets, env), secrets);
}
