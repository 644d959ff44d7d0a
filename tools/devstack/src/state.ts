import { readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { endProcess, identify, isRunning } from './process-identity.js';
import type { ProcessIdentity } from './process-identity.js';

/** What a running system tells tools about itself: `state.json` in its home, readable by us only. */
export interface SystemState {
  readonly home: string;
  readonly startedAt: string;
  readonly gatewayUrl: string;
  /** The gateway with the prefix of its routes. */
  readonly apiUrl: string;
  readonly natsUrl: string;
  /** The database of the services, as a role that may do everything. */
  readonly databaseUrl: string;
  readonly redisUrl: string;
  readonly adminEmail: string;
  readonly adminPasswordFile: string;
  readonly pids: Readonly<Record<string, number>>;
  readonly ports: Readonly<Record<string, number>>;
  /** Readiness address of each service. */
  readonly health: Readonly<Record<string, string>>;
  /** Metrics address of each service, for Prometheus. */
  readonly metrics: Readonly<Record<string, string>>;
  /** Where the newest spans are kept, while tracing is on and they are kept here. */
  readonly spansFolder?: string;
  /** The user interface of the Jaeger that runs beside the system. */
  readonly jaegerUrl?: string;
  /** What runs as servers, for people. */
  readonly servers: Readonly<Record<string, string>>;
}

/** Another launcher has the home. */
export class HomeTakenError extends Error {
  override readonly name = 'HomeTakenError';
  constructor(readonly pid: number) {
    super(`a system runs here already (process ${pid})`);
  }
}

interface LauncherFile {
  readonly launcher: ProcessIdentity;
  readonly children: readonly ProcessIdentity[];
}

const stateFile = (home: string): string => path.join(home, 'state.json');
const launcherFile = (home: string): string => path.join(home, 'launcher.json');

/**
 * Takes the home for this process, or answers who has it. What a killed launcher left running is ended first, but
 * only processes that are provably its own.
 */
export async function claimHome(home: string): Promise<{ holder?: ProcessIdentity }> {
  const left = readJson<LauncherFile>(launcherFile(home));
  if (left !== undefined) {
    if (isRunning(left.launcher)) return { holder: left.launcher };
    await Promise.all(left.children.map(endProcess));
    releaseHome(home);
  }
  const self = identify(process.pid);
  if (self === undefined) throw new Error('cannot read the start time of this very process');
  try {
    writeFileSync(launcherFile(home), json({ launcher: self, children: [] }), { mode: 0o600, flag: 'wx' });
    return {};
  } catch (error) {
    const winner = readJson<LauncherFile>(launcherFile(home));
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST' || winner === undefined) throw error;
    return { holder: winner.launcher };
  }
}

/** Notes the children, so that a later start can end them should this process be killed. */
export function recordChildren(home: string, pids: readonly number[]): void {
  const launcher = identify(process.pid);
  const children = pids.map(identify).filter((one) => one !== undefined);
  if (launcher !== undefined) replace(launcherFile(home), json({ launcher, children }));
}

export function releaseHome(home: string): void {
  rmSync(stateFile(home), { force: true });
  rmSync(launcherFile(home), { force: true });
}

export function writeState(state: SystemState): void {
  replace(stateFile(state.home), json(state));
}

/** The state of a system that runs in `home` now; undefined when none does. */
export function readState(home: string): SystemState | undefined {
  return holderOf(home) === undefined ? undefined : readJson<SystemState>(stateFile(home));
}

export function holderOf(home: string): ProcessIdentity | undefined {
  const launcher = readJson<LauncherFile>(launcherFile(home))?.launcher;
  return launcher !== undefined && isRunning(launcher) ? launcher : undefined;
}

function json(value: unknown): string {
  return `${JSON.stringify(value, null, 2)}\n`;
}

/** Readers see the old file or the new one, never half of it. */
function replace(file: string, text: string): void {
  writeFileSync(`${file}.new`, text, { mode: 0o600 });
  renameSync(`${file}.new`, file);
}

function readJson<T>(file: string): T | undefined {
  try {
    return JSON.parse(readFileSync(file, 'utf8')) as T;
  } catch {
    return undefined; // absent, or cut off by a crash: the same as absent
  }
}
