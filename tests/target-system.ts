import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { type Call, logIn, restClient } from './rest-client.js';
import { startTestSystem } from './test-system.js';

/** What an end-to-end suite needs of a system: its REST API as a client sees it, and what its services log. */
export interface TargetSystem {
  readonly call: Call;
  /** An access token of the first administrator. */
  readonly admin: string;
  /** The JSON lines of one service so far. */
  logs(service: string): string[];
  stop(): Promise<void>;
}

interface State {
  readonly gatewayUrl: string;
  readonly adminEmail: string;
  readonly adminPasswordFile: string;
}

/**
 * The system that runs in the home `TEST_SYSTEM_HOME` (its `state.json`, and `logs/<service>.log`), which is left as it
 * is; else one of the suite's own. So the same promises are held to a system in containers and to a local one.
 */
export async function targetSystem(): Promise<TargetSystem> {
  const home = process.env['TEST_SYSTEM_HOME'];
  if (home === undefined || home === '') {
    const { system, call, admin, stop } = await startTestSystem();
    return { call, admin, logs: (service) => system.logs(service), stop };
  }
  const state = JSON.parse(readFileSync(path.join(home, 'state.json'), 'utf8')) as State;
  const call = restClient(state.gatewayUrl);
  const admin = await logIn(call, state.adminEmail, readFileSync(state.adminPasswordFile, 'utf8').trim());
  const logs = (service: string): string[] => {
    const file = path.join(home, 'logs', `${service}.log`);
    return existsSync(file) ? readFileSync(file, 'utf8').split('\n') : [];
  };
  return { call, admin, logs, stop: () => Promise.resolve() };
}
