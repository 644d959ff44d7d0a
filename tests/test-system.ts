import { type RunningSystem, type StartSystemOptions, startSystem } from '@prime-nest/devstack/start-system';
import { readdirSync, readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { type Call, logIn, restClient } from './rest-client.js';

export interface TestSystem {
  readonly system: RunningSystem;
  readonly call: Call;
  /** An access token of the first administrator. */
  readonly admin: string;
  stop(): Promise<void>;
}

/** The whole system as `npm start` runs it, in a folder and on ports of its own, with limits that no suite reaches. */
export async function startTestSystem(options: Omit<StartSystemOptions, 'home'> = {}): Promise<TestSystem> {
  const home = await mkdtemp(path.join(tmpdir(), 'prime-nest-system-'));
  const env = { RATE_LIMIT_ANONYMOUS_MAX: '100000', RATE_LIMIT_PRINCIPAL_MAX: '1000000', ...options.env };
  const system = await startSystem({ ...options, home, env });
  const stop = async () => {
    await system.stop();
    await rm(home, { recursive: true, force: true });
  };
  try {
    const call = restClient(system.gatewayUrl);
    const admin = await logIn(call, system.state.adminEmail, (await system.adminPassword()).trim());
    return { system, call, admin, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

/**
 * Stops a server in its tracks, with all its processes (PostgreSQL answers from one per connection), and answers what
 * lets it go on. Linux only: the processes are found in /proc.
 */
export function freeze(system: RunningSystem, server: 'nats' | 'postgres' | 'redis'): () => void {
  const root = system.server(server).pid;
  if (root === undefined) throw new Error(`${server} is not running`);
  process.kill(root, 'SIGSTOP');
  const pids = [root, ...childrenOf(root)];
  for (const pid of pids) process.kill(pid, 'SIGSTOP');
  return () => {
    for (const pid of pids) process.kill(pid, 'SIGCONT');
  };
}

function childrenOf(parent: number): number[] {
  const pids = readdirSync('/proc').filter((name) => /^\d+$/.test(name));
  return pids
    .filter((pid) => {
      try {
        // After the name in parentheses: state, then the parent.
        return Number(readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ').at(-1)?.split(' ')[1]) === parent;
      } catch {
        return false;
      }
    })
    .map(Number);
}
