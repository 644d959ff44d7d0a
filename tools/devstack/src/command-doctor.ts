import { execFileSync } from 'node:child_process';
import { existsSync, statfsSync } from 'node:fs';
import path from 'node:path';
import { homeFolder } from './folders.js';
import type { Env } from './folders.js';
import type { Ladder } from './ladder.js';
import { choosePort } from './ports.js';
import { natsLadder } from './provider-nats.js';
import { postgresLadder } from './provider-postgres.js';
import { redisLadder } from './provider-redis.js';
import { firstLine } from './rungs.js';
import { fixedPorts } from './servers.js';
import { readState } from './state.js';

/** Shows what a start would find on this machine, and changes nothing. Exit code 1 when a server has no source. */
export async function doctorCommand(env: Env): Promise<number> {
  const home = homeFolder(env);
  const state = readState(home);
  console.log(`Node    ${process.version}`);
  console.log(`npm     ${npmVersion()}`);
  console.log(`System  ${process.platform} ${process.arch}, user ${process.getuid?.() ?? '-'}`);
  console.log(`Home    ${home} (${gigabytesFree(home)} GB free)`);
  console.log(`Running ${state === undefined ? 'no' : `yes, ${state.apiUrl}`}`);
  const context = { env, announce: () => undefined, dryRun: true };
  const usable: boolean[] = [];
  for (const ladder of [postgresLadder(context), natsLadder(context), redisLadder(context)]) {
    usable.push(await showLadder(ladder));
  }
  console.log('\nPorts');
  const ports = { gateway: Number(env['PORT'] ?? 3000), ...fixedPorts };
  for (const [name, port] of Object.entries(ports)) {
    const { busy } = await choosePort(port);
    console.log(`  ${name.padEnd(10)} ${String(port).padEnd(6)} ${busy === undefined ? 'free' : 'busy'}`);
  }
  return usable.every(Boolean) ? 0 : 1;
}

/** The first rung that holds is marked: it is the one a start takes. */
async function showLadder(ladder: Ladder): Promise<boolean> {
  console.log(`\n${ladder.server}`);
  const width = Math.max(...ladder.rungs.map(({ name }) => name.length));
  let taken = false;
  for (const rung of ladder.rungs) {
    const found = await rung.detect();
    const holds = typeof found !== 'string' || found.startsWith('would be fetched');
    const text = typeof found === 'string' ? found : found.kind === 'url' ? 'set' : found.version;
    console.log(`${holds && !taken ? '>' : ' '} ${rung.name.padEnd(width)}  ${text}`);
    taken ||= holds;
  }
  return taken;
}

function npmVersion(): string {
  try {
    return execFileSync('npm', ['--version'], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).trim();
  } catch (error) {
    return `does not answer: ${firstLine(error)}`;
  }
}

function gigabytesFree(folder: string): string {
  let at = folder;
  while (!existsSync(at)) at = path.dirname(at);
  const { bavail, bsize } = statfsSync(at);
  return ((bavail * bsize) / 1e9).toFixed(1);
}
