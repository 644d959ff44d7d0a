import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { TestNats } from '@prime-nest/testkit/nats';
import type { TestDatabase } from '@prime-nest/testkit/postgres';

/** The built service as it is started in earnest. */
export interface Started {
  readonly pid: number;
  readonly output: () => string;
  readonly healthPort: () => number;
  stop(signal?: NodeJS.Signals): Promise<number | null>;
}

export interface Surroundings {
  /** Not needed by what only talks to the database. */
  readonly nats?: TestNats;
  readonly server: Pick<TestDatabase, 'url' | 'ownerUrl'>;
}

export async function buildRbac(): Promise<void> {
  const script = new URL('../../../scripts/build-if-needed.mjs', import.meta.url).href;
  const build = (await import(script)) as { buildIfNeeded(projects: string[]): void };
  build.buildIfNeeded(['services/rbac']);
}

export function startProcess(
  entry: 'main' | 'migrate' | 'seed',
  { nats, server }: Surroundings,
  extra: Record<string, string> = {},
): Started {
  const env = {
    NODE_ENV: 'test',
    LOG_LEVEL: 'info',
    HEALTH_HOST: '127.0.0.1',
    HEALTH_PORT: '0',
    ...(nats === undefined ? {} : { NATS_URL: nats.servers, NATS_NKEY_SEED: nats.seed('rbac') }),
    RBAC_DB_URL: server.url,
    RBAC_DB_MIGRATION_URL: server.ownerUrl,
    ...extra,
  };
  const file = fileURLToPath(new URL(`../dist/${entry}.js`, import.meta.url));
  const child = spawn(process.execPath, [file], { env, stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => (output += chunk.toString()));
  const exited = new Promise<number | null>((resolve) => child.once('exit', resolve));
  return {
    pid: child.pid ?? 0,
    output: () => output,
    healthPort: () => Number(/"port":(\d+)[^\n]*health\.listening/.exec(output)?.[1] ?? 0),
    stop: (signal) => {
      if (signal !== undefined) child.kill(signal);
      return exited;
    },
  };
}

/** Migrates and seeds; throws with the output when one of them fails. */
export async function prepare(surroundings: Surroundings): Promise<void> {
  for (const entry of ['migrate', 'seed'] as const) {
    const step = startProcess(entry, surroundings);
    if ((await step.stop()) !== 0) throw new Error(step.output());
  }
}
