import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { parseAssertionKeys } from '@prime-nest/assertion/key-set';
import { ReplayMemory } from '@prime-nest/assertion/replay-memory';
import { verifyAssertion } from '@prime-nest/assertion/verify';
import { client, isReady } from './drill.mjs';
import { eventually } from './system.mjs';

const files = ['-f', 'docker-compose.yml', '-f', 'deploy/compose/routes.yaml'];
/** Says what the gateway vouched for. */
const upstream = `require('node:http').createServer((request, response) => {
  response.setHeader('content-type', 'application/json');
  response.end(JSON.stringify({ url: request.url, assertion: request.headers['prime-nest-assertion'] ?? null }));
}).listen(8080)`;

/**
 * A service of somebody else's behind the gateway: the route file is mounted over the compose file, the gateway signs
 * for whom it asks with the key that the first start made, and takes a changed file when it is told to.
 */
export async function routeFileChecks(system, administrator) {
  const { call, logIn } = client(system);
  const folder = path.join(system.home, 'routes');
  mkdirSync(folder);
  const writeRoutes = (accesses) => {
    const routes = Object.entries(accesses).map(([name, access]) => {
      return { methods: ['GET'], path: `/${name}`, access, target: { upstream: 'echo' } };
    });
    const file = { upstreams: { echo: { url: 'http://echo:8080' } }, routes };
    writeFileSync(path.join(folder, 'routes.json'), JSON.stringify(file), { mode: 0o644 });
  };
  writeRoutes({ mine: 'authenticated' });
  const place = ['--network', `${system.project}_edge`, '--network-alias', 'echo'];
  const image = ['--entrypoint', 'node', 'prime-nest/gateway:0.1.0', '-e', upstream];
  const echo = system.docker('run', '--detach', '--rm', '--read-only', ...place, ...image).trim();
  try {
    system.compose(...files, 'up', '--detach', 'gateway');
    await isReady(system);
    const token = (await logIn(administrator)).access_token;
    const answer = await eventually(async () => {
      const found = await call('GET', '/api/mine', { token });
      return found.status === 200 && found;
    });
    const anonymous = await call('GET', '/api/mine');
    const keys = parseAssertionKeys((await call('GET', '/.well-known/assertion-jwks.json')).body);
    const judge = (target) => {
      const options = { keys, audience: 'echo', now: new Date(), replays: new ReplayMemory() };
      return verifyAssertion(answer.body.assertion, { method: 'GET', target, body: new Uint8Array() }, options);
    };
    const me = (await call('GET', '/api/auth/me', { token })).body;
    const before = await call('GET', '/api/everybody');
    writeRoutes({ mine: 'authenticated', everybody: 'public' });
    // The short form: an older compose knows no other.
    system.compose(...files, 'kill', '-s', 'HUP', 'gateway');
    const after = await eventually(async () => {
      const found = await call('GET', '/api/everybody');
      return found.status === 200 && found;
    });
    return {
      'it is reached, for the account that asks': judge('/mine').principal?.id === me.id && me.id !== undefined,
      'what the gateway signed is good for nothing else (control)': 'code' in judge('/everybody'),
      'nobody gets there without a token': anonymous.status === 401,
      'a changed file is taken without a restart': before.status === 404 && after.body.url === '/everybody',
    };
  } finally {
    system.compose('up', '--detach', 'gateway');
    system.docker('rm', '--force', echo);
    await isReady(system);
  }
}
