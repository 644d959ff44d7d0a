/**
 * A guided tour of a running system: log in, be denied, be allowed, be denied again, and find all of it in the audit
 * log and in every service's own log by one trace id. Talks to the public REST API only. Exits 1 when a step does
 * not do what it says.
 */
import { readFileSync, readdirSync } from 'node:fs';
import { randomBytes } from 'node:crypto';
import path from 'node:path';

const home = path.resolve(process.env.PRIME_NEST_HOME ?? path.join(import.meta.dirname, '..', '.prime-nest'));
const paint = (code) => (text) => (process.stdout.isTTY ? `\u001b[${code}m${text}\u001b[0m` : String(text));
const [bold, dim, green, red] = [paint(1), paint(2), paint(32), paint(31)];

let state;
try {
  state = JSON.parse(readFileSync(path.join(home, 'state.json'), 'utf8'));
} catch {
  console.error('No running system found. Start one first: npm start');
  process.exit(1);
}

let step = 0;
const title = (text) => console.log(`\n${bold(`${++step}. ${text}`)}`);
const expect = (condition, text) => {
  console.log(`   ${condition ? green('ok') : red('FAILED')}  ${text}`);
  if (!condition) process.exitCode = 1;
};

/** One REST call; prints method, path, status and the trace id that the response carries. */
async function call(method, route, { token, body, headers = {} } = {}) {
  const response = await fetch(`${state.gatewayUrl}${route}`, {
    method,
    headers: {
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
      ...headers,
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    signal: AbortSignal.timeout(10_000),
  });
  const text = await response.text();
  const json = text === '' ? undefined : JSON.parse(text);
  const traceId = response.headers.get('x-trace-id');
  const code = json?.code === undefined ? '' : ` ${json.code}`;
  console.log(`   ${method} ${route.split('?')[0]} → ${response.status}${code}  ${dim(`trace ${traceId}`)}`);
  return {
    status: response.status,
    json,
    traceId,
    correlationId: response.headers.get('x-correlation-id'),
    revision: response.headers.get('x-revision'),
  };
}

/** Repeats until the answer satisfies the condition: events reach the audit log shortly after the response. */
async function eventually(attempt, isDone) {
  const deadline = Date.now() + 10_000;
  for (;;) {
    const answer = await attempt();
    if (isDone(answer) || Date.now() > deadline) return answer;
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
}

const logsWith = (id) =>
  readdirSync(path.join(home, 'logs'))
    .filter((file) => file.endsWith('.log'))
    .flatMap((file) => {
      const lines = readFileSync(path.join(home, 'logs', file), 'utf8').split('\n');
      return lines.filter((line) => line.includes(id)).map((line) => ({ file, line }));
    });

const suffix = randomBytes(3).toString('hex');
const guest = {
  email: `guest-${suffix}@example.com`,
  name: `Guest ${suffix}`,
  password: `tour ${randomBytes(12).toString('base64url')}`,
};

title('The administrator logs in');
const login = await call('POST', '/api/auth/login', {
  body: { email: state.adminEmail, password: readFileSync(state.adminPasswordFile, 'utf8').trim() },
});
expect(login.status === 200, `an RS256 access token for ${login.json?.expires_in} s and a refresh token`);
if (login.status !== 200) process.exit(1);
const admin = login.json.access_token;

title('A new user without any role, and what that user may do');
const user = await call('POST', '/api/users', { token: admin, body: guest });
const guestLogin = await call('POST', '/api/auth/login', { body: { email: guest.email, password: guest.password } });
const token = guestLogin.json?.access_token;
const before = await call('GET', '/api/users', { token });
expect(before.status === 403 && before.json.code === 'forbidden', 'denied: the user holds no permission');

title('A role with one permission, given to the user');
const permissions = await call('GET', '/api/permissions?search=users&limit=100', { token: admin });
const view = permissions.json?.data.find((permission) => permission.name === 'users:view');
const role = await call('POST', '/api/roles', { token: admin, body: { name: `Tour guide ${suffix}` } });
await call('PUT', `/api/roles/${role.json?.id}/permissions`, { token: admin, body: { permissionIds: [view?.id] } });
const assigned = await call('PUT', `/api/users/${user.json?.id}/roles`, {
  token: admin,
  body: { roleIds: [role.json?.id] },
});
expect(assigned.status === 200, `role assigned; answer after every replica knows revision ${assigned.revision}`);

title('The same access token, without a new login');
const after = await call('GET', '/api/users', { token });
expect(after.status === 200, 'allowed at once: permissions are asked per request, they are not in the token');
const why = await call('GET', `/api/rbac/explain?userId=${user.json?.id}&permission=users:view`, { token: admin });
expect(why.json?.decision?.effect === 'allow', `explained: granted by "${why.json?.grantedBy?.[0]?.roleName}"`);

title('The role is taken away again');
await call('PUT', `/api/users/${user.json?.id}/roles`, { token: admin, body: { roleIds: [] } });
const revoked = await call('GET', '/api/users', { token });
expect(revoked.status === 403, 'denied at once, with the same token');

title('One trace id joins the response, the logs and the audit log');
const found = await eventually(
  () => call('GET', `/api/audit/events?traceId=${assigned.traceId}`, { token: admin }),
  (answer) => answer.json?.data?.some((entry) => entry.type === 'rbac.principal.roles_replaced.v1'),
);
const entry = found.json?.data?.find((event) => event.type === 'rbac.principal.roles_replaced.v1');
expect(
  entry !== undefined,
  `audit entry ${entry?.index}: ${entry?.action} on ${entry?.resource?.type} ${entry?.resource?.id}`,
);
expect(entry?.correlationId === assigned.correlationId, `the response's correlation id: ${entry?.correlationId}`);
expect(entry?.actor?.id !== undefined, `actor ${entry?.actor?.id} from ${entry?.ip}`);
const lines = await eventually(
  async () => logsWith(assigned.traceId),
  (hits) => new Set(hits.map((hit) => hit.file)).size >= 3,
);
for (const { file, line } of lines) {
  const { msg, route, subject, type, status, durationMs } = JSON.parse(line);
  const fields = Object.entries({ route, subject, type, status, durationMs }).filter(
    ([, value]) => value !== undefined,
  );
  console.log(`   ${file.padEnd(14)} ${msg} ${dim(fields.map(([key, value]) => `${key}=${value}`).join(' '))}`);
}
expect(
  new Set(lines.map((hit) => hit.file)).size >= 3,
  `the same trace id in the logs of ${new Set(lines.map((hit) => hit.file)).size} services`,
);

title('Tidy up');
await call('DELETE', `/api/users/${user.json?.id}`, { token: admin });
await call('DELETE', `/api/roles/${role.json?.id}`, { token: admin });
const out = await call('POST', '/api/auth/logout', { token: admin });
expect(out.status === 204, 'logged out');
console.log(
  process.exitCode === 1
    ? `\n${red('The tour did not go as it should.')}`
    : `\n${green('All steps did what they say.')}`,
);
