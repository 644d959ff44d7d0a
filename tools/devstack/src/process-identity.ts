import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';

/** A process that cannot be mistaken for a later one with the same number. */
export interface ProcessIdentity {
  readonly pid: number;
  readonly startTime: string;
}

export function identify(pid: number): ProcessIdentity | undefined {
  const startTime = startTimeOf(pid);
  return startTime === undefined ? undefined : { pid, startTime };
}

export function isRunning({ pid, startTime }: ProcessIdentity): boolean {
  return startTimeOf(pid) === startTime;
}

/** Ends a process that is still the one we mean: asks, waits five seconds, kills. */
export async function endProcess(identity: ProcessIdentity): Promise<void> {
  if (!isRunning(identity)) return;
  signalQuietly(identity.pid, 'SIGTERM');
  for (let waited = 0; waited < 5000 && isRunning(identity); waited += 50) await delay(50);
  if (isRunning(identity)) signalQuietly(identity.pid, 'SIGKILL');
}

function signalQuietly(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch {
    // ESRCH: it ended by itself in between.
  }
}

/** Our parent and its parent: npm runs a script through a shell that may stand in between. */
export function ancestors(): readonly (number | undefined)[] {
  const parent = process.ppid;
  return [parent, process.platform === 'linux' ? Number(statFields(parent)?.[1]) : undefined];
}

function startTimeOf(pid: number): string | undefined {
  try {
    if (process.platform !== 'linux') {
      return execFileSync('ps', ['-o', 'lstart=', '-p', String(pid)], { encoding: 'utf8' }).trim();
    }
    const fields = statFields(pid);
    return fields?.[0] === 'Z' ? undefined : fields?.[19]; // a zombie has ended
  } catch {
    return undefined;
  }
}

/** Of /proc/<pid>/stat, from the state on: the name before it (in brackets) may hold anything. */
function statFields(pid: number): string[] | undefined {
  try {
    return readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ').at(-1)?.split(' ');
  } catch {
    return undefined;
  }
}
