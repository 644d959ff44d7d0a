/**
 * Proof by attack: three replicas of rbac, as they are deployed, decide while rights are granted and revoked, and
 * replicas are stopped, killed and cut off. Counts the answers "allow" to questions that were asked after the
 * revocation had been answered. Has to be 0; the same load on a build without lease and barrier has to show more.
 *
 *     node services/rbac/prove/revocation.mjs [--seconds 20] [--seed 1]
 */
import { spawn } from 'node:child_process';
import { performance } from 'node:perf_hooks';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { buildIfNeeded } from '../../../scripts/build-if-needed.mjs';
import { createReport } from '../../../scripts/prove/report.mjs';
import { explore, variants } from './model.ts';
import { numberOption } from '../../../scripts/arguments.mjs';
import { seededRandom } from '../../../scripts/prove/random.mjs';
import { percentile } from '../../../scripts/statistics.mjs';

buildIfNeeded(['services/rbac', 'libs/testkit']);
const { natsConfig } = await import('@prime-nest/devstack/nats-config');
const { busCredentials, newBusSeeds, publicKeys } = await import('@prime-nest/devstack/nats-keys');
const { freePort } = await import('@prime-nest/devstack/ports');
const { provisionStreams } = await import('@prime-nest/devstack/provision');
const { startNats } = await import('@prime-nest/devstack/provider-nats');
const { createBusClient } = await import('@prime-nest/kit/bus/client');
const { connectBus } = await import('@prime-nest/kit/bus/connection');
const { freshContext } = await import('@prime-nest/kit/context');
const { newId } = await import('@prime-nest/kit/ids');
const { silentLogger } = await import('@prime-nest/kit/log');
const { bootstrapAdministratorId } = await import('@prime-nest/contracts/ids');
const { rbacRpc } = await import('@prime-nest/contracts/rbac');
const { createTestDatabase } = await import('@prime-nest/testkit/postgres');
const { runFolder, startTestRun } = await import('@prime-nest/testkit/test-run');

const seconds = numberOption('seconds', 20);
const random = seededRandom(numberOption('seed', 1));
const leaseMs = 600;
const seeds = newBusSeeds();
const administrator = freshContext({ type: 'user', id: bootstrapAdministratorId });
const entry = {
  main: fileURLToPath(new URL('../dist/main.js', import.meta.url)),
  migrate: fileURLToPath(new URL('../dist/migrate.js', import.meta.url)),
  seed: fileURLToPath(new URL('../dist/seed.js', import.meta.url)),
  control: fileURLToPath(new URL('./control-service.mjs', import.meta.url)),
};
const msAt = (values, share) => Math.round(percentile(values, share) * 10) / 10;

/** A bus with the deployed permissions; without messages between replicas when `isMute`. */
async function startBus(isMute) {
  const dataDir = await runFolder('nats');
  const configText = (place) => {
    const text = natsConfig({ ...place, users: publicKeys(seeds) });
    return isMute ? text.replace(/"notify\.rbac\.(revision|applied)\.v1"/g, '"notify.rbac.nobody.v1"') : text;
  };
  const launch = (port) => startNats({ dataDir, port, env: { ...process.env, NATS_URL: undefined }, configText });
  const bus = { server: await launch(0) };
  const servers = `nats://127.0.0.1:${bus.server.port}`;
  await provisionStreams(busCredentials('provisioner', servers, seeds));
  return {
    servers,
    restart: async () => {
      bus.server.signal('SIGKILL');
      await bus.server.exited;
      bus.server = await launch(bus.server.port);
    },
    stop: () => bus.server.stop(),
  };
}

const alive = new Set();
// Whatever ends this process: no replica outlives it.
process.on('exit', () => {
  for (const child of alive) child.kill('SIGKILL');
});
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => process.exit(1));

async function startReplica(file, bus, database) {
  const healthPort = await freePort();
  const env = {
    PATH: process.env.PATH,
    NODE_ENV: 'test',
    LOG_LEVEL: 'error',
    HEALTH_HOST: '127.0.0.1',
    HEALTH_PORT: String(healthPort),
    NATS_URL: bus.servers,
    NATS_NKEY_SEED: seeds.rbac,
    RBAC_DB_URL: database.url,
    RBAC_DB_MIGRATION_URL: database.ownerUrl,
    RBAC_LEASE_MS: String(leaseMs),
    RBAC_HEARTBEAT_MS: '100',
  };
  const child = spawn(process.execPath, ['--no-warnings', file], { env, stdio: ['ignore', 'ignore', 'inherit'] });
  const exited = new Promise((resolve) => child.once('exit', resolve));
  alive.add(child);
  void exited.then(() => alive.delete(child));
  if (file === entry.migrate || file === entry.seed) {
    if ((await exited) !== 0) throw new Error(`${file} failed`);
    return undefined;
  }
  // Generous: a loaded machine takes its time, and only a replica that never comes up is a fault.
  const end = performance.now() + 120_000;
  for (;;) {
    const isUp = await fetch(`http://127.0.0.1:${healthPort}/health/liveness`).then(
      (response) => response.ok,
      () => false,
    );
    if (isUp) return { child, exited };
    if (performance.now() > end) throw new Error('a replica did not start');
    await pause(50);
  }
}

/** Grants and revokes one right over and over; `truth` says whether a revocation has been answered and no grant begun. */
async function changeRights({ bus, truth, roleId, until, record }) {
  const set = async (roleIds) => {
    for (;;) {
      try {
        const startedAt = performance.now();
        const { effect } = await bus.call(
          'rbac.principal.replace_roles.v1',
          { principalId: truth.id, roleIds },
          administrator,
        );
        record({ tookMs: performance.now() - startedAt, effect });
        return;
      } catch (error) {
        if (error.code !== 'unavailable' && error.code !== 'overloaded') throw error;
        await pause(20);
      }
    }
  };
  while (performance.now() < until) {
    truth.isRevoked = false;
    truth.round++;
    await set([roleId]);
    await pause(random() * 40);
    await set([]);
    truth.isRevoked = true;
    await pause(5 + random() * 40);
  }
}

async function askQuestions({ bus, truths, until, tally }) {
  while (performance.now() < until) {
    const truth = truths[Math.floor(random() * truths.length)];
    const { isRevoked, round } = truth;
    const checks = [{ principalId: truth.id, permission: 'audit:view' }];
    try {
      const { decisions } = await bus.call('rbac.access.decide.v1', { checks }, administrator);
      tally[decisions[0].effect]++;
      if (isRevoked && truth.isRevoked && truth.round === round && decisions[0].effect === 'allow') tally.stale++;
    } catch (error) {
      if (error.code !== 'unavailable' && error.code !== 'overloaded') throw error;
      tally.unavailable++;
      await pause(1);
    }
  }
}

async function disturb({ replicas, restart, bus, until, done }) {
  let hasBusRestarted = false;
  while (performance.now() < until - 2_500) {
    await pause(200 + random() * 600);
    const at = Math.floor(random() * replicas.length);
    const { child, exited } = replicas[at];
    if (!hasBusRestarted && until - performance.now() < seconds * 500) {
      hasBusRestarted = true;
      await bus.restart();
      done.busRestarts++;
    } else if (random() < 0.75) {
      child.kill('SIGSTOP');
      await pause(100 + random() * 1_400);
      child.kill('SIGCONT');
      done.stops++;
    } else {
      child.kill('SIGKILL');
      await exited;
      replicas[at] = await restart();
      done.kills++;
    }
  }
}

async function phase(name, { file = entry.main, isMute = false, isDisturbed = true }) {
  const database = await createTestDatabase({ service: 'rbac' });
  const bus = await startBus(isMute);
  await startReplica(entry.migrate, bus, database);
  await startReplica(entry.seed, bus, database);
  const start = () => startReplica(file, bus, database);
  const replicas = await Promise.all([start(), start(), start()]);
  const connection = await connectBus({
    ...busCredentials('gateway', bus.servers, seeds),
    log: silentLogger(),
  });
  const client = createBusClient({ connection, contracts: rbacRpc, log: silentLogger() });
  const { data } = await client.call('rbac.role.list.v1', { search: 'viewer' }, administrator);
  const truths = Array.from({ length: 4 }, () => ({ id: newId(), isRevoked: true, round: 0 }));
  const tally = { allow: 0, deny: 0, unavailable: 0, stale: 0 };
  const [done, mutations] = [{ stops: 0, kills: 0, busRestarts: 0 }, []];
  const until = performance.now() + seconds * 1_000;
  await Promise.all([
    ...truths.map((truth) =>
      changeRights({ bus: client, truth, roleId: data[0].id, until, record: (one) => mutations.push(one) }),
    ),
    ...Array.from({ length: 8 }, () => askQuestions({ bus: client, truths, until, tally })),
    ...(isDisturbed ? [disturb({ replicas, restart: start, bus, until, done })] : []),
  ]);
  for (const { child, exited } of replicas) {
    child.kill('SIGKILL');
    await exited;
  }
  await connection.close();
  await bus.stop();
  await database.drop();
  const waits = mutations.map(({ effect }) => effect.barrierMs);
  const fenced = mutations.filter(({ effect }) => effect.fenced.length > 0).length;
  console.log(`\n${name}`);
  console.log(`  disturbances: ${done.stops} stops, ${done.kills} kills, ${done.busRestarts} restarts of NATS`);
  console.log(`  mutations ${mutations.length}, of them ${fenced} waited for a lease to end`);
  console.log(
    `  answered after p50 ${msAt(
      mutations.map(({ tookMs }) => tookMs),
      0.5,
    )} ms, p99 ${msAt(
      mutations.map(({ tookMs }) => tookMs),
      0.99,
    )} ms;` +
      ` barrier p50 ${msAt(waits, 0.5)} ms, p99 ${msAt(waits, 0.99)} ms, max ${msAt(waits, 1)} ms (lease ${leaseMs} ms)`,
  );
  console.log(`  decisions: ${tally.allow} allow, ${tally.deny} deny, ${tally.unavailable} unavailable`);
  console.log(`  stale allows: ${tally.stale}`);
  return tally;
}

const report = createReport();
const broken = [];
for (const variant of variants) {
  const { states, counterexample } = explore(variant);
  if (variant === 'as built') {
    report.add('No reachable state of the protocol decides by a revoked right', {
      figure: `${states} states`,
      isProven: counterexample === undefined,
    });
  } else broken.push({ variant, steps: counterexample?.length });
}
report.add('The model shows a stale decision for each step of the protocol that is left out', {
  figure: broken.map(({ variant, steps }) => `${variant}: ${steps ?? 'none'}`).join(', '),
  isProven: broken.every(({ steps }) => steps !== undefined),
});

const run = await startTestRun((line) => console.log(line));
Object.assign(process.env, run.env);
try {
  const quiet = await phase('Quiet', { isDisturbed: false });
  const attacked = await phase('Replicas stopped and killed, NATS restarted', {});
  const mute = await phase('The same with every message between the replicas lost', { isMute: true });
  const control = await phase('The control: pushed changes, no lease, no barrier', { file: entry.control });
  const told = ({ stale, allow, deny, unavailable }) =>
    `${stale} stale allows among ${allow} allowed, ${deny} denied, ${unavailable} unavailable`;
  for (const [claim, found] of [
    ['After a revocation is answered no replica allows by it', quiet],
    ['Nor while replicas are frozen and killed and NATS is restarted', attacked],
    ['Nor when in addition every message between replicas is lost', mute],
  ]) {
    const { stale, allow, deny } = found;
    report.add(claim, {
      figure: told(found),
      control: `without lease and barrier ${told(control)}`,
      isProven: stale === 0 && allow > 0 && deny > 0 && control.stale > 0,
    });
  }
} finally {
  await run.stop();
}
process.exit(report.finish());
