/**
 * Asks a running gateway, from outside, what a client would: `node smoke.mjs http://gateway:3000`. Reads nothing
 * secret and changes nothing. Prints one line per check; exits 1 when one fails.
 */
const base = process.argv[2] ?? process.env.GATEWAY_URL;
if (base === undefined) throw new Error('usage: node smoke.mjs <address of the gateway>');

const ask = (path, init = {}) => fetch(new URL(path, base), { ...init, signal: AbortSignal.timeout(10_000) });
const checks = {
  'the gateway is ready': async () => (await ask('/health/readiness')).status === 200,
  'the public keys are served': async () => (await (await ask('/.well-known/jwks.json')).json()).keys.length > 0,
  'a request without a token is refused': async () => (await ask('/api/users')).status === 401,
  'identity answers a wrong sign-in': async () => {
    const body = JSON.stringify({ email: 'nobody@example.com', password: 'not a password of anybody' });
    const answer = await ask('/api/auth/login', {
      method: 'POST',
      body,
      headers: { 'content-type': 'application/json' },
    });
    return [401, 429].includes(answer.status);
  },
  'the log has a signed checkpoint': async () => (await ask('/api/audit/checkpoint')).status === 200,
  'a response names its trace': async () => (await ask('/health/liveness')).headers.has('x-trace-id'),
};
for (const [name, check] of Object.entries(checks)) {
  const holds = await check().catch((error) => console.error(String(error)));
  console.log(`${holds ? 'ok    ' : 'FAILED'}  ${name}`);
  if (!holds) process.exitCode = 1;
}
