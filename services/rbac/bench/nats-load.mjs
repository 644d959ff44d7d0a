/** The asking side of the benches over NATS: the same headers as the gateway sends, whoever answers. */
import { readFileSync } from 'node:fs';
import { performance } from 'node:perf_hooks';
import { connect } from '@nats-io/transport-node';
import { bootstrapAdministratorId } from '@prime-nest/contracts/ids';
import { encodeContext } from '@prime-nest/kit/bus/wire';
import { freshContext } from '@prime-nest/kit/context';

const context = { ...freshContext({ type: 'user', id: bootstrapAdministratorId }), ip: '203.0.113.7' };

export function connectPlain(nats, user) {
  return connect({ ...nats.plain(user), noAsyncTraces: true });
}

export function requestOf(checks) {
  const check = { principalId: bootstrapAdministratorId, permission: 'users:view' };
  return JSON.stringify({ checks: Array.from({ length: checks }, () => check) });
}

/** `inFlight` requests at a time until the time is over. An error reply ends the bench. */
export async function load(connection, { subject, body, inFlight = 64, seconds }) {
  const [times, until] = [[], performance.now() + seconds * 1_000];
  await Promise.all(
    Array.from({ length: inFlight }, async () => {
      while (performance.now() < until) {
        const startedAt = performance.now();
        const headers = encodeContext(context, Date.now() + 5_000);
        const reply = await connection.request(subject, body, { timeout: 5_000, headers });
        if (reply.headers?.has('Nats-Service-Error-Code')) throw new Error(reply.string());
        times.push(performance.now() - startedAt);
      }
    }),
  );
  times.sort((a, b) => a - b);
  const share = (part) => times[Math.floor((times.length - 1) * part)] ?? 0;
  return { perSecond: times.length / seconds, p50: share(0.5), p99: share(0.99) };
}

/** Processor time of a process so far, user and system. Linux; elsewhere NaN. */
export function cpuMicroseconds(pid) {
  try {
    const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ').at(-1).split(' ');
    // Ticks of 10 ms.
    return (Number(fields[11]) + Number(fields[12])) * 10_000;
  } catch {
    return NaN;
  }
}
