import { existsSync, readdirSync, rmSync, rmdirSync } from 'node:fs';
import path from 'node:path';
import { createInterface } from 'node:readline/promises';
import { homeFolder, standInFolder } from './folders.js';
import type { Env } from './folders.js';
import { holderOf } from './state.js';

/** What the launcher makes in its home. Nothing else is ever removed: the home may be any folder. */
const ours = [
  ...['postgres', 'postgres.password', 'nats', 'redis', 'logs', 'secrets', 'admin-password'],
  ...['state.json', 'launcher.json', 'state.json.new', 'launcher.json.new'],
];

/** Removes the local system's data, after naming them and asking. Refuses while the system runs. */
export async function resetCommand(env: Env, isAgreed: boolean): Promise<number> {
  const home = homeFolder(env);
  const holder = holderOf(home);
  if (holder !== undefined) {
    console.error(`a system runs in ${home} (process ${holder.pid}); stop it first`);
    return 1;
  }
  const standIn = standInFolder(path.join(home, 'postgres'));
  const found = [...ours.map((name) => path.join(home, name)), standIn].filter(existsSync);
  if (found.length === 0) {
    console.log(`nothing to remove in ${home}`);
    return 0;
  }
  console.log(`This removes all data of the local system in ${home}:`);
  for (const entry of found) console.log(`  ${entry}`);
  if (!isAgreed && !(await confirm())) {
    console.error('nothing was removed (answer yes, or pass --yes)');
    return 1;
  }
  for (const entry of found) rmSync(entry, { recursive: true, force: true });
  for (const folder of [home, path.dirname(standIn)]) {
    if (existsSync(folder) && readdirSync(folder).length === 0) rmdirSync(folder);
  }
  console.log('removed; the next npm start begins anew');
  return 0;
}

async function confirm(): Promise<boolean> {
  if (!process.stdin.isTTY) return false;
  const prompt = createInterface({ input: process.stdin, output: process.stdout });
  const answer = await prompt.question('Remove them? [yes/no] ');
  prompt.close();
  return /^y(es)?$/i.test(answer.trim());
}
