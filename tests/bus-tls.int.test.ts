import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { connect, nkeyAuthenticator, nkeys, type NatsConnection } from '@nats-io/transport-node';
import { type BusUser, busUsers } from '@prime-nest/contracts/bus';
import { natsConfig } from '@prime-nest/devstack/nats-config';
import { startNats } from '@prime-nest/devstack/provider-nats';
import type { RunningServer } from '@prime-nest/devstack/server';
import { type BusOptions, busTarget, connectBus, drainBus } from '@prime-nest/kit/bus/connection';
import { loadConfig } from '@prime-nest/kit/config';
import { baseKeys, natsKeys, type NatsEnv } from '@prime-nest/kit/config-keys';
import { createLogger, silentLogger } from '@prime-nest/kit/log';
import { Secret } from '@prime-nest/kit/secret';
import { eventually } from '@prime-nest/testkit/eventually';
import { runFolder } from '@prime-nest/testkit/test-run';
import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { createConnection } from 'node:net';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import Joi from 'joi';

/** A bus as it is deployed: the secrets of an installation, made by the script that makes them, and TLS. */
const generate = fileURLToPath(new URL('../deploy/secrets/generate.sh', import.meta.url));
let secrets: string;
let strangers: string;
let server: RunningServer;
let otherServer: RunningServer;
let plainServer: RunningServer;
const open: NatsConnection[] = [];

const file = (name: string, folder = secrets): string => path.join(folder, name);
const publicKeys = (): Record<BusUser, string> =>
  Object.fromEntries(
    busUsers.map((user) => {
      const line = new RegExp(`^NATS_${user.toUpperCase()}_NKEY=(U\\w+)$`, 'm').exec(
        readFileSync(file('bus/nkeys.env'), 'utf8'),
      );
      return [user, line?.[1] ?? ''];
    }),
  ) as Record<BusUser, string>;

async function makeSecrets(name: string): Promise<string> {
  const folder = path.join(await runFolder(name), 'secrets');
  execFileSync('sh', [generate, folder], { env: { ...process.env, NATS_HOST: 'localhost' }, stdio: 'ignore' });
  return folder;
}

/** Signed by the authority of the installation, for another name than the one the bus is reached by. */
function certificateFor(host: string): { certFile: string; keyFile: string } {
  const certFile = file(`${host}.crt`);
  const keyFile = file(`${host}.key`);
  const openssl = (...args: string[]): void => void execFileSync('openssl', args, { cwd: secrets, stdio: 'ignore' });
  writeFileSync(file('ext'), `subjectAltName=DNS:${host}\n`);
  openssl('genpkey', '-algorithm', 'EC', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-out', keyFile);
  openssl('req', '-new', '-key', keyFile, '-subj', `/CN=${host}`, '-out', 'csr');
  const signer = ['-CA', 'authority/ca.crt', '-CAkey', 'authority/ca.key', '-set_serial', '7', '-days', '2'];
  openssl('x509', '-req', '-in', 'csr', ...signer, '-extfile', 'ext', '-out', certFile);
  return { certFile, keyFile };
}

beforeAll(async () => {
  [secrets, strangers] = await Promise.all([makeSecrets('bus-tls'), makeSecrets('bus-tls-strangers')]);
  const start = async (tls?: { certFile: string; keyFile: string }): Promise<RunningServer> =>
    startNats({
      dataDir: await runFolder('bus-tls-nats'),
      port: 0,
      env: { ...process.env, NATS_URL: undefined },
      configText: (place) => natsConfig({ ...place, users: publicKeys(), ...(tls === undefined ? {} : { tls }) }),
    });
  server = await start({ certFile: file('bus/server.crt'), keyFile: file('bus/server.key') });
  otherServer = await start(certificateFor('elsewhere'));
  plainServer = await start();
}, 60_000);
afterAll(async () => {
  for (const connection of open) await drainBus(connection);
  await server?.stop();
  await otherServer?.stop();
  await plainServer?.stop();
});

/** What a service makes of its environment in production. */
function production(user: BusUser, env: Record<string, string> = {}): Omit<BusOptions, 'log'> {
  const config = loadConfig<NatsEnv>({
    service: user,
    schema: Joi.object({ ...baseKeys, ...natsKeys }),
    env: {
      NODE_ENV: 'production',
      NATS_URL: `tls://localhost:${server.port}`,
      NATS_NKEY_SEED_FILE: file(`${user}/nkey-seed`),
      NATS_TLS_CA_FILE: file(`${user}/ca.crt`),
      ...env,
    },
    prefixes: [],
  });
  return { ...busTarget(config), name: user };
}

/** Why a connection that is tried again for ever does not come about. */
async function failureOf(options: Omit<BusOptions, 'log'>): Promise<string> {
  const lines: string[] = [];
  const log = createLogger({ service: 'test', level: 'warn', destination: { write: (line) => lines.push(line) } });
  const end = new AbortController();
  const attempt = connectBus({ ...options, log, signal: end.signal }).then(
    (connection) => open.push(connection),
    () => undefined,
  );
  await Promise.race([attempt, eventually(() => lines.length > 0, { deadlineMs: 10_000 })]);
  end.abort();
  return lines[0] ?? 'connected';
}

describe('a bus with TLS and nkeys', () => {
  test('lets in who holds the seed of a user, and requests go through', async () => {
    const identity = await connectBus({ ...production('identity'), log: silentLogger() });
    const gateway = await connectBus({ ...production('gateway'), log: silentLogger() });
    open.push(identity, gateway);
    const subject = 'identity.key.list.v1';
    identity.subscribe(subject, { queue: 'identity', callback: (_error, message) => void message.respond('yes') });
    await identity.flush();
    expect((await gateway.request(subject, '', { timeout: 5_000 })).string()).toBe('yes');
  });

  test('refuses a seed that it does not know, and one of another installation', async () => {
    const nkeySeed = new Secret(new TextDecoder().decode(nkeys.createUser().getSeed()));
    expect(await failureOf({ ...production('gateway'), nkeySeed })).toMatch(/authorization violation/i);
    const foreign = production('gateway', { NATS_NKEY_SEED_FILE: file('gateway/nkey-seed', strangers) });
    expect(await failureOf(foreign)).toMatch(/authorization violation/i);
  });

  test('refuses who names a known public key without holding its seed', async () => {
    const authenticator = (nonce?: string) => {
      const answer = nkeyAuthenticator(nkeys.createUser().getSeed())(nonce);
      return { ...(answer as { sig: string }), nkey: publicKeys().gateway };
    };
    const tls = { caFile: file('gateway/ca.crt') };
    const attempt = connect({ servers: `localhost:${server.port}`, authenticator, tls, reconnect: false });
    await expect(attempt).rejects.toThrow(/authorization violation/i);
  });

  test('refuses a client that does not encrypt, before it could sign in', async () => {
    const socket = createConnection(server.port, '127.0.0.1');
    let said = '';
    const ended = new Promise<void>((resolve) => socket.once('close', () => resolve()));
    socket
      .on('error', () => undefined)
      .on('data', (bytes: Buffer) => {
        said += bytes.toString();
        if (said.startsWith('INFO') && !said.includes('-ERR'))
          socket.write('CONNECT {"verbose":false,"pedantic":false}\r\nPING\r\n');
      });
    await ended;
    expect(said).toContain('"tls_required":true');
    expect(said).not.toContain('PONG');
  });
});

describe('a service of production', () => {
  test('refuses a bus whose certificate another authority signed', async () => {
    const foreign = production('gateway', { NATS_TLS_CA_FILE: file('gateway/ca.crt', strangers) });
    expect(await failureOf(foreign)).toMatch(/self.signed|unable to verify|signature|certificate/i);
  });

  test('refuses a bus whose certificate is for another host, and an address that no certificate names', async () => {
    const elsewhere = production('gateway', { NATS_URL: `tls://localhost:${otherServer.port}` });
    expect(await failureOf(elsewhere)).toMatch(/altnames|does not match/i);
    const number = { NATS_URL: `tls://127.0.0.1:${server.port}` };
    expect(() => production('gateway', number)).toThrow(/NATS_URL .*host names only/);
  });

  test('refuses a bus that offers no TLS', async () => {
    const plain = production('gateway', { NATS_URL: `tls://localhost:${plainServer.port}` });
    expect(await failureOf(plain)).toMatch(/does not support 'tls'/);
  });

  test('goes there only when a variable says so by name (control)', async () => {
    const NATS_URL = `nats://localhost:${plainServer.port}`;
    const withoutTls = { NATS_URL, NATS_TLS_CA_FILE: '' };
    expect(() => production('gateway', withoutTls)).toThrow(/NATS_ALLOW_PLAINTEXT/);
    const allowed = production('gateway', { ...withoutTls, NATS_ALLOW_PLAINTEXT: 'true' });
    const connection = await connectBus({ ...allowed, log: silentLogger() });
    open.push(connection);
    await connection.flush();
  });
});
