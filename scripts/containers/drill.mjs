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
  return { call, logIn, newUser };
}

export const isReady = (system) =>
  eventually(async () => (await fetch(`${system.gatewayUrl}/health/readiness`)).status === 200, 90_000);

/**
 * Loses the database and the stream, and comes back from a backup: what was there then is there again, what came later
 * is not, sessions and keys still work, and the log verifies against the checkpoint that was kept.
 */
export async function restoreDrill(system, administrator) {
  const { call, logIn, newUser } = client(system);
  const session = await logIn(administrator);
  const keys = (await call('GET', '/.well-known/jwks.json')).text;
  const kept = await newUser('before', session.access_token);
  // Sealed: the log holds the last mutation, so the backup's checkpoint covers it.
  const trace = kept.headers.get('x-trace-id');
  await eventually(
    async () =>
      (await call('GET', `/api/audit/events?traceId=${trace}`, { token: session.access_token })).body.data.length > 0,
  );
  const said = [system.compose('run', '--rm', 'backup', '/backups/drill').trim()];
  const lost = await newUser('after', session.access_token);

  system.compose('stop', 'gateway', 'identity', 'rbac', 'audit', 'nats');
  system.compose('rm', '--force', 'nats', 'audit', 'streams', 'prepare');
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
  const verify = `printf '%s\\n' "$KEPT" >/tmp/kept; export AUDIT_DB_URL="$(cat /run/prime-nest/db-url)"; exec node dist/verify-log.js database --kept /tmp/kept`;
  const keptNote = ['-e', `KEPT=${note.trimEnd()}`];
  said.push(system.compose('run', '--rm', ...keptNote, '--entrypoint', 'sh', 'migrate-audit', '-c', verify).trim());
  // It gives up on a service that a crowded machine starts slowly; the next attempt goes on where it stopped.
  await eventually(() => system.compose('up', '--detach') !== undefined, 300_000);
  await isReady(system);

  const token = (await logIn(administrator)).access_token;
  const refreshed = await call('POST', '/api/auth/refresh', { body: { refresh_token: session.refresh_token } });
  const again = await eventually(() => call('GET', `/api/users/${kept.body.id}`, { token }));
  const gone = await call('GET', `/api/users/${lost.body.id}`, { token });
  const next = await newUser('next', token);
  await eventually(async () => {
    const found = await call('GET', `/api/audit/events?traceId=${next.headers.get('x-trace-id')}`, { token });
    return found.body.data.some((entry) => entry.type === 'identity.account.created.v1');
  });
  return {
    said,
    checks: {
      'a database that holds something is not overwritten': !isOverwritten,
      'what was saved is there again': again.status === 200,
      'what came after the backup is not': gone.status === 404,
      'a session of before goes on': refreshed.status === 200,
      'the signing keys are the same': (await call('GET', '/.well-known/jwks.json')).text === keys,
      'the restored system records what happens next': next.status === 201,
    },
  };
}
