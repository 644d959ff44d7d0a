import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { root } from './engine.mjs';
import { eventually } from './system.mjs';

const json = { 'content-type': 'application/json' };

/** REST calls against a system. */
export function client(system) {
  const call = async (method, route, { token, body } = {}) => {
    const answer = await fetch(`${system.gatewayUrl}${route}`, {
      method,
      // A connection of its own: while a program is waited for, nobody notices that an idle one was closed.
      headers: { connection: 'close', ...(body ? json : {}), ...(token ? { authorization: `Bearer ${token}` } : {}) },
      ...(body ? { body: JSON.stringify(body) } : {}),
      signal: AbortSignal.timeout(20_000),
    });
    const text = await answer.text();
    return {
      status: answer.status,
      text,
      body: text.startsWith('{') ? JSON.parse(text) : undefined,
      headers: answer.headers,
    };
  };
  /** 503 says that nothing was decided: on a crowded machine a password is not hashed within the time of a call. */
  const logIn = ({ email, password }) =>
    eventually(async () => {
      const answer = await call('POST', '/api/auth/login', { body: { email, password } });
      if (answer.status !== 200) throw new Error(`login answered ${answer.status}: ${answer.text}`);
      return answer.body;
    });
  /** One that is there when this returns; an attempt without an answer may have made another. */
  const newUser = (name, token) =>
    eventually(async () => {
      const body = { email: `${name}-${Date.now()}@example.com`, name, password: `a drill for ${name} 7421` };
      const answer = await call('POST', '/api/users', { token, body });
      return answer.status === 201 ? answer : undefined;
    });
  call.url = (route) => `${system.gatewayUrl}${route}`;
  return { call, logIn, newUser };
}

export const isReady = (system) =>
  eventually(async () => (await fetch(`${system.gatewayUrl}/health/readiness`)).status === 200, 90_000);

/** Exit code of `audit-verify` for entries that a checkpoint covers and the log does not hold. */
const missing = 6;

/** The note of the newest checkpoint that covers the entries of a request, and the key it verifies by. */
async function checkpointAfter(call, token, trace) {
  const { data } = await eventually(async () => {
    const found = (await call('GET', `/api/audit/events?traceId=${trace}`, { token })).body;
    return found?.data.length > 0 && found;
  });
  const last = Math.max(...data.map(({ index }) => index));
  return eventually(async () => {
    const answer = await fetch(call.url('/api/audit/checkpoint'), { headers: { accept: 'application/json' } });
    const signed = answer.status === 200 && (await answer.json());
    return signed && signed.treeSize > last && { note: signed.checkpoint, key: signed.verifierKey };
  });
}

/**
 * Loses the database and the stream, and comes back from a backup: what was there then is there again, what came later
 * is not, sessions go on or stay ended, tokens of before are still good, and the log verifies, signatures included,
 * against the checkpoint that was kept; against one of after the backup it does not.
 */
export async function restoreDrill(system, administrator) {
  const { call, logIn, newUser } = client(system);
  const session = await logIn(administrator);
  const ended = await logIn(administrator);
  await eventually(async () =>
    // 401: an attempt before this one, whose answer was lost, has ended it.
    [204, 401].includes((await call('POST', '/api/auth/logout', { token: ended.access_token })).status),
  );
  const keys = (await call('GET', '/.well-known/jwks.json')).text;
  const kept = await newUser('before', session.access_token);
  // Sealed: a signed checkpoint covers the last mutation, so the backup's does.
  const before = await checkpointAfter(call, session.access_token, kept.headers.get('x-trace-id'));
  const said = [system.compose('run', '--rm', 'backup', '/backups/drill').trim()];
  const lost = await newUser('after', session.access_token);
  const after = await checkpointAfter(call, session.access_token, lost.headers.get('x-trace-id'));

  system.compose('stop', 'gateway', 'identity', 'rbac', 'audit', 'nats');
  system.compose('rm', '--force', '-v', 'nats', 'audit', 'streams', 'prepare');
  system.docker('volume', 'rm', `${system.project}_bus-data`, `${system.project}_audit-state`);
  const psql =
    'cd /run/prime-nest; PGPASSWORD=$(cat superuser-password) psql -h postgres -d postgres -c "DROP DATABASE prime_nest"';
  system.compose('run', '--rm', '--entrypoint', 'sh', 'restore', '-c', psql);
  system.compose('run', '--rm', 'roles');
  said.push(system.compose('run', '--rm', 'restore', '/backups/drill').trim());

  const refuses = (...args) => {
    try {
      system.compose(...args);
    } catch {
      return true;
    }
    return false;
  };
  const isOverwritten = !refuses('run', '--rm', 'restore', '/backups/drill');
  const note = system.compose('run', '--rm', '--entrypoint', 'cat', 'restore', '/backups/drill/checkpoint.txt');
  const verify = `printf '%s\\n' "$KEPT" >/tmp/kept; export AUDIT_DB_URL="$(cat /run/prime-nest/db-url)"; node dist/verify-log.js database --kept /tmp/kept --key "$KEY"; echo "exit $?"`;
  const verified = (kept) => {
    const given = ['-e', `KEPT=${kept.trimEnd()}`, '-e', `KEY=${before.key}`];
    return system.compose('run', '--rm', ...given, '--entrypoint', 'sh', 'migrate-audit', '-c', verify).trim();
  };
  said.push(verified(note));
  const isCaught = verified(after.note).endsWith(`exit ${missing}`);
  // It gives up on a service that a crowded machine starts slowly; the next attempt goes on where it stopped.
  await eventually(() => system.compose('up', '--detach') !== undefined, 300_000);
  await isReady(system);

  const me = await eventually(() => call('GET', '/api/auth/me', { token: session.access_token }));
  const endedAgain = await call('POST', '/api/auth/refresh', { body: { refresh_token: ended.refresh_token } });
  const token = (await logIn(administrator)).access_token;
  const refreshed = await call('POST', '/api/auth/refresh', { body: { refresh_token: session.refresh_token } });
  const again = await eventually(() => call('GET', `/api/users/${kept.body.id}`, { token }));
  const gone = await call('GET', `/api/users/${lost.body.id}`, { token });
  const next = await newUser('next', token);
  await eventually(async () => {
    const found = await call('GET', `/api/audit/events?traceId=${next.headers.get('x-trace-id')}`, { token });
    return found.body.data.some((entry) => entry.type === 'identity.account.created.v1');
  });
  const live = auditor(system, before);
  said.push(live.said);
  return {
    said,
    checks: {
      'the stored log verifies, signatures included':
        said[2].startsWith('ok:') && !said[2].includes('not checked') && said[2].endsWith('exit 0'),
      'it is found to be shorter than what was signed after the backup (control)': isCaught,
      'the running log has grown from the checkpoint that was kept': live.status === 0,
      'a database that holds something is not overwritten': !isOverwritten,
      'what was saved is there again': again.status === 200,
      'what came after the backup is not': gone.status === 404,
      'a session of before goes on': refreshed.status === 200,
      'a session that had ended stays ended': endedAgain.status === 401,
      'an access token of before is still good': me.status === 200,
      'the signing keys are the same': (await call('GET', '/.well-known/jwks.json')).text === keys,
      'the restored system records what happens next': next.status === 201,
    },
  };
}

/** What somebody outside finds who kept a checkpoint and the key. */
function auditor(system, { note, key }) {
  const file = path.join(system.home, 'kept.txt');
  writeFileSync(file, note);
  const program = path.join(root, 'services/audit/dist/verify-log.js');
  const args = [program, 'live', `${system.gatewayUrl}/api`, '--key', key, '--kept', file];
  const { status, stdout, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8', timeout: 120_000 });
  return { status, said: `${stdout}${stderr}`.trim() };
}
