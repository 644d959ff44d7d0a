import { setTimeout as delay } from 'node:timers/promises';
import { consoleObserver } from './console-observer.js';
import type { OutputMode } from './console-observer.js';
import { homeFolder } from './folders.js';
import type { Env } from './folders.js';
import type { Replicas } from './service-plan.js';
import { ancestors } from './process-identity.js';
import { holderOf, HomeTakenError, readState } from './state.js';
import { summary } from './summary.js';
import { launchSystem } from './system.js';
import type { LaunchedSystem } from './system.js';
import { tracedByDefault } from './tracing.js';

export interface StartCommand {
  readonly env: Env;
  readonly replicas: Replicas;
  readonly mode: OutputMode;
}

/** npm passes a terminal's Ctrl-C on to us, which got it already: two signals this close are one press. */
const samePressMs = 700;

/** Runs the system until it is told to stop. Exit code: 0 stopped, 1 could not start, 130 told twice. */
export async function startCommand({ env, replicas, mode }: StartCommand): Promise<number> {
  const home = homeFolder(env);
  const colour = process.stdout.isTTY && env['NO_COLOR'] === undefined;
  const print = (text: string): void => void process.stdout.write(`${text}\n`);
  const observer = consoleObserver(mode, colour, print);
  const abort = new AbortController();
  let system: LaunchedSystem | undefined;
  const stopped = onStopRequest(
    () => abort.abort(new Error('stopped before everything was started')),
    () => {
      system?.killAll();
      process.exit(130);
    },
  );
  try {
    system = await launchSystem({
      home,
      env: tracedByDefault(env),
      replicas,
      ports: 'fixed',
      observer,
      abort: abort.signal,
    });
  } catch (error) {
    if (error instanceof HomeTakenError) return showRunning(home, mode, colour, print);
    print(error instanceof Error ? error.message : String(error));
    return abort.signal.aborted ? 0 : 1;
  }
  if (mode === 'json') print(JSON.stringify({ event: 'ready', state: system.state }));
  else print(summary(system.state, { newAdminPassword: system.secrets.newAdminPassword, colour }));
  observer.follow();
  await stopped;
  observer.note('stopping');
  const since = performance.now();
  await system.stop();
  observer.note(`stopped in ${((performance.now() - since) / 1000).toFixed(1)} s; the data stay in ${home}`);
  return 0;
}

/** Resolves at the first request to stop; `again` is called at the second. */
function onStopRequest(first: () => void, again: () => void): Promise<void> {
  return new Promise((resolve) => {
    let requestedAt: number | undefined;
    const request = (): void => {
      const now = performance.now();
      if (requestedAt === undefined) {
        requestedAt = now;
        first();
        resolve();
      } else if (now - requestedAt > samePressMs) again();
    };
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, request);
    // A reader that went away (npm start | head) ends the system like Ctrl-C.
    process.stdout.on('error', request);
    // Started by npm, we end with it, even when it had no chance to tell us.
    const parents = String(ancestors());
    const byNpm = process.env['npm_lifecycle_event'] !== undefined;
    setInterval(() => byNpm && requestedAt === undefined && String(ancestors()) !== parents && request(), 1000);
  });
}

/** A second start shows what runs already, once it does. */
async function showRunning(home: string, mode: OutputMode, colour: boolean, print: (text: string) => void) {
  for (let waited = 0; waited < 120_000; waited += 200) {
    const state = readState(home);
    if (state !== undefined) {
      print(mode === 'json' ? JSON.stringify({ event: 'running', state }) : summary(state, { colour }));
      return 0;
    }
    if (holderOf(home) === undefined) break;
    await delay(200);
  }
  print(`another launcher held ${home} and did not get ready; start again`);
  return 1;
}
