import { spawn, spawnSync } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { setTimeout as delay } from 'node:timers/promises';
import type { Env, ServerUser } from './folders.js';

/** All that a server inherits: no variable of ours may steer it. */
export const serverEnv: Env = { PATH: '/usr/local/bin:/usr/bin:/bin', LC_ALL: 'C', TZ: 'UTC' };

export interface ChildOptions {
  readonly name: string;
  readonly command: string;
  readonly args: readonly string[];
  readonly env?: Env;
  readonly cwd?: string;
  readonly user?: ServerUser | undefined;
  /** Standard output and error are appended here, unless `onLine` takes them. */
  readonly logFile: string;
  readonly onLine?: (line: string) => void;
  /** What the kernel sends to the child when this process dies (Linux); INT is PostgreSQL's fast shutdown. */
  readonly onParentDeath?: 'TERM' | 'INT';
}

export interface Exit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly reason?: string;
}

export interface Child {
  readonly pid: number;
  readonly exited: Promise<Exit>;
  running(): boolean;
  signal(signal: NodeJS.Signals): void;
  /** Asks with `signal`; after `graceMs` the whole process group is killed. Safe to call twice. */
  stop(signal: NodeJS.Signals, graceMs: number): Promise<Exit>;
  /** The last lines of the log, for an error message. */
  tail(lines: number): string;
}

/**
 * Starts a program in its own process group, so that a terminal's Ctrl-C reaches only the launcher, and (on Linux)
 * bound to this process's life, so that even a killed launcher leaves nothing behind.
 */
export function spawnChild(options: ChildOptions): Child {
  const log = openSync(options.logFile, 'a', 0o600);
  const wrapped = bindToParent([options.command, ...options.args], options.onParentDeath ?? 'TERM');
  const child = spawn(wrapped[0] as string, wrapped.slice(1), {
    detached: true,
    cwd: options.cwd,
    env: options.env,
    stdio: options.onLine === undefined ? ['ignore', log, log] : ['ignore', 'pipe', 'pipe'],
    ...(options.user ?? {}),
  });
  closeSync(log);
  if (options.onLine !== undefined) readLines(child, options.onLine);
  // A server alone keeps nobody waiting: a test run ends when its tests have.
  else child.unref();
  return childHandle(child, options.logFile);
}

function childHandle(child: ChildProcess, logFile: string): Child {
  let done = false;
  const exited = new Promise<Exit>((resolve) => {
    child.once('error', (error) => resolve({ code: 127, signal: null, reason: error.message }));
    child.once('exit', (code, signal) => resolve({ code, signal }));
  }).finally(() => (done = true));
  const pid = child.pid ?? -1;
  return {
    pid,
    exited,
    running: () => !done && pid > 0,
    signal: (signal) => void (done || child.kill(signal)),
    async stop(signal, graceMs) {
      if (done || pid < 0) return exited;
      child.ref();
      child.kill(signal);
      const timer = new AbortController();
      const late = delay(graceMs, 'late' as const, { signal: timer.signal }).catch(() => undefined);
      if ((await Promise.race([exited, late])) === 'late') killGroup(pid);
      timer.abort();
      return exited;
    },
    tail: (lines) => lastLines(logFile, lines),
  };
}

/** Kills a whole process group; one that has ended already is no error. */
export function killGroup(pid: number): void {
  try {
    process.kill(-pid, 'SIGKILL');
  } catch {
    // ESRCH: it ended between the deadline and this line.
  }
}

export function lastLines(file: string, lines: number): string {
  try {
    return readFileSync(file, 'utf8').trimEnd().split('\n').slice(-lines).join('\n');
  } catch {
    return ''; // the program died before it wrote anything
  }
}

function readLines(child: ChildProcess, onLine: (line: string) => void): void {
  for (const stream of [child.stdout, child.stderr]) {
    if (stream === null) continue;
    createInterface({ input: stream }).on('line', onLine);
  }
}

let setpriv: string | undefined | false;

function bindToParent(command: string[], signal: string): string[] {
  setpriv ??= findSetpriv();
  return setpriv === false || setpriv === undefined ? command : [setpriv, '--pdeathsig', signal, '--', ...command];
}

/** Alpine's setpriv has no --pdeathsig, so the program itself is asked. */
function findSetpriv(): string | false {
  if (process.platform !== 'linux') return false;
  const works = (file: string): boolean => spawnSync(file, ['--pdeathsig', 'keep', 'true']).status === 0;
  return ['/usr/bin/setpriv', '/bin/setpriv'].find(works) ?? false;
}
