import { Controller, Get } from '@nestjs/common';
import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import { gatewayNotify } from '@prime-nest/contracts/identity';
import { subscribeNotify } from '@prime-nest/kit/bus/notify';
import { silentLogger } from '@prime-nest/kit/log';
import { eventually } from '@prime-nest/testkit/eventually';
import { serviceContext } from '@prime-nest/kit/context';
import { newId } from '@prime-nest/kit/ids';
import {
  allowOnly,
  connectDecide,
  newUser,
  problemOf,
  startGateway,
  startServers,
  unavailable,
} from '../../test/harness.js';
import type { Gateway, Servers } from '../../test/harness.js';
import { newSigningKey } from '../../test/tokens.js';

let servers: Servers;
let gateway: Gateway;
const roles = { data: [], total: 0 };

beforeAll(async () => {
  servers = await startServers();
  servers.peers.answer('rbac.role.list.v1', () => roles);
  gateway = await startGateway(servers);
});
afterAll(async () => {
  await gateway?.stop();
  await servers?.stop();
});
afterEach(() => {
  servers.peers.forget();
});

const list = (headers: Record<string, string> = {}) => gateway.fetch('/api/roles', { headers });

describe('a route with a permission', () => {
  test('answers when rbac allows, and the handler is called for the principal in the trace of the response', async () => {
    allowOnly(servers.peers, ['rbac:view']);
    const user = newUser(servers.key);
    const response = await list(user.headers);
    expect([response.status, await response.json()]).toEqual([200, roles]);
    const [decided] = servers.peers.calls('rbac.access.decide.v1');
    expect(decided?.request).toEqual({ checks: [{ principalId: user.id, permission: 'rbac:view' }] });
    const [called] = servers.peers.calls('rbac.role.list.v1');
    expect(called?.context.actor).toEqual({ type: 'user', id: user.id, sessionId: user.sessionId });
    expect(called?.context.trace.traceId).toBe(response.headers.get('x-trace-id'));
    expect(called?.context.correlationId).toBe(response.headers.get('x-correlation-id'));
    expect(called?.context.ip).toBe('127.0.0.1');
  });

  test('answers 403 when rbac denies, and the handler is not called', async () => {
    allowOnly(servers.peers, ['rbac:edit']);
    const response = await list(newUser(servers.key).headers);
    expect([response.status, (await problemOf(response)).code]).toEqual([403, 'forbidden']);
    expect(servers.peers.calls('rbac.role.list.v1')).toEqual([]);
  });

  test('answers 503, never 403 and never the resource, when rbac cannot decide', async () => {
    servers.peers.answer('rbac.access.decide.v1', unavailable);
    const response = await list(newUser(servers.key).headers);
    expect([response.status, (await problemOf(response)).code]).toEqual([503, 'unavailable']);
    expect(response.headers.get('retry-after')).toBe('1');
    expect(servers.peers.calls('rbac.role.list.v1')).toEqual([]);
    expect(servers.peers.calls('rbac.access.decide.v1')).toHaveLength(2);
  });

  test('asks once more when rbac says at once that it cannot decide: another replica may know', async () => {
    let asked = 0;
    servers.peers.answer('rbac.access.decide.v1', (request) => {
      asked += 1;
      if (asked === 1) return unavailable();
      return { revision: 7, decisions: request.checks.map(() => ({ effect: 'allow' as const })) };
    });
    expect((await list(newUser(servers.key).headers)).status).toBe(200);
    expect(asked).toBe(2);
  });

  test('never asks again about a deny, nor after a silence', async () => {
    allowOnly(servers.peers, []);
    expect((await list(newUser(servers.key).headers)).status).toBe(403);
    expect(servers.peers.calls('rbac.access.decide.v1')).toHaveLength(1);
    servers.peers.silence('rbac.access.decide.v1');
    expect((await list(newUser(servers.key).headers)).status).toBe(503);
    expect(servers.peers.calls('rbac.access.decide.v1')).toHaveLength(2);
  });

  test.each([
    ['an effect it does not know', { revision: 1, decisions: [{ effect: 'maybe' }] }],
    ['fewer decisions than checks', { revision: 1, decisions: [] }],
    ['no revision', { decisions: [{ effect: 'allow' }] }],
    ['nothing', {}],
  ])('answers 5xx and lets nobody through when rbac answers %s', async (_name, answer) => {
    servers.peers.answer('rbac.access.decide.v1', () => answer);
    const response = await list(newUser(servers.key).headers);
    expect(response.status).toBe(500);
    expect(servers.peers.calls('rbac.role.list.v1')).toEqual([]);
  });

  test('answers 503 within the deadline when rbac hangs', async () => {
    servers.peers.silence('rbac.access.decide.v1');
    const startedAt = performance.now();
    const response = await list(newUser(servers.key).headers);
    expect(response.status).toBe(503);
    // The deadline of the contract is 1 s; the bound of the system is 1.5 s.
    expect(performance.now() - startedAt).toBeLessThan(1_500);
  });

  test('answers 401 without a token and does not ask rbac', async () => {
    allowOnly(servers.peers, ['rbac:view']);
    const response = await list();
    expect([response.status, (await problemOf(response)).code]).toEqual([401, 'token_missing']);
    expect(response.headers.get('www-authenticate')).toBe('Bearer realm="prime-nest"');
    expect(servers.peers.received).toEqual([]);
  });

  test('checks of the same moment travel in one message, equal ones once, each with its own answer', async () => {
    const allowed = newId();
    servers.peers.answer('rbac.access.decide.v1', ({ checks }) => ({
      revision: 1,
      decisions: checks.map(({ principalId }) =>
        principalId === allowed ? { effect: 'allow' } : { effect: 'deny', reason: 'no_grant' },
      ),
    }));
    const { decide, stop } = await connectDecide(servers);
    const principals = Array.from({ length: 200 }, (_, i) => (i % 4 === 0 ? allowed : newId()));
    const context = serviceContext('gateway');
    const decided = await Promise.all(
      principals.map((principalId) => decide.run({ principalId, permission: 'rbac:view' }, context)),
    );
    expect(decided.map(({ decision }) => decision.effect)).toEqual(
      principals.map((principalId) => (principalId === allowed ? 'allow' : 'deny')),
    );
    const messages = servers.peers.calls('rbac.access.decide.v1');
    expect(messages.length).toBe(1);
    expect((messages[0]?.request as { checks: unknown[] }).checks.length).toBe(151);
    await stop();
  });
});

describe('tokens', () => {
  test('a token of an unknown key costs one question to identity, however many there are', async () => {
    allowOnly(servers.peers, ['rbac:view']);
    const stranger = newSigningKey();
    const responses = await Promise.all(Array.from({ length: 20 }, () => list(newUser(stranger).headers)));
    expect(new Set(responses.map(({ status }) => status))).toEqual(new Set([401]));
    expect(servers.peers.calls('identity.key.list.v1').length).toBeLessThanOrEqual(1);
    expect((await list(newUser(servers.key).headers)).status).toBe(200);
  });

  test('a revoked session is refused on its next request, although its token is remembered', async () => {
    allowOnly(servers.peers, ['rbac:view']);
    const user = newUser(servers.key);
    const other = newUser(servers.key);
    expect((await list(user.headers)).status).toBe(200);
    servers.identity.revokeSession(user.sessionId);
    const refused = await eventually(async () => {
      const response = await list(user.headers);
      expect(response.status).not.toBe(200);
      return response;
    });
    expect([refused.status, (await problemOf(refused)).code]).toEqual([401, 'session_revoked']);
    expect((await list(other.headers)).status).toBe(200);
  });

  test('a missed revocation is found by the gap in the sequence', async () => {
    allowOnly(servers.peers, ['rbac:view']);
    const missed = newUser(servers.key);
    servers.identity.revocations.push({
      kind: 'session',
      sessionId: missed.sessionId,
      until: new Date(Date.now() + 900_000).toISOString(),
    });
    servers.identity.sequence += 1; // and no message
    await eventually(async () => (await list(missed.headers)).status === 401);
  });

  test('when its lease cannot be renewed for 2 s routes that need a token answer 503, public ones still answer', async () => {
    allowOnly(servers.peers, ['rbac:view']);
    servers.identity.stopBeating();
    servers.peers.silence('identity.revocation.renew_lease.v1');
    const user = newUser(servers.key);
    expect((await list(user.headers)).status).toBe(200);
    const refused = await eventually(async () => {
      const response = await list(user.headers);
      expect(response.status).not.toBe(200);
      return response;
    });
    expect([refused.status, (await problemOf(refused)).code]).toEqual([503, 'unavailable']);
    expect((await gateway.fetch('/health/readiness')).status).toBe(503);
    expect((await gateway.fetch('/.well-known/jwks.json')).status).toBe(200);
    servers.identity.serve();
    await eventually(async () => (await list(user.headers)).status === 200);
  });
});

@Controller('forgotten')
class Forgotten {
  @Get()
  show() {
    return 'open by oversight';
  }
}

describe('the lease', () => {
  test('begins only when everything up to the head that the renewal named is refused here', async () => {
    allowOnly(servers.peers, ['rbac:view']);
    servers.identity.stopBeating();
    servers.peers.silence('identity.revocation.list.v1');
    const other = newUser(servers.key);
    expect((await list(other.headers)).status).toBe(200);
    // A head that nothing leads to: neither a message nor a list.
    servers.identity.sequence += 1;
    await eventually(async () => (await list(other.headers)).status === 503);
    servers.identity.serve();
    await eventually(async () => (await list(other.headers)).status === 200);
  });

  test('a revocation is acknowledged at once, whatever order messages come in', async () => {
    const acks: number[] = [];
    const subject = 'notify.gateway.applied.v1';
    const connection = servers.peers.connection('identity');
    const listening = await subscribeNotify({
      connection,
      subject,
      schema: gatewayNotify[subject],
      onNotify: ({ sequence }) => void acks.push(sequence),
      log: silentLogger(),
    });
    await connection.flush();
    const before = servers.identity.sequence;
    servers.peers.silence('identity.revocation.list.v1');
    const first = newUser(servers.key);
    const second = newUser(servers.key);
    servers.identity.sequence = before + 2;
    servers.identity.announce([servers.identity.revocationOf(second.sessionId)]);
    servers.identity.sequence = before + 1;
    servers.identity.announce([servers.identity.revocationOf(first.sessionId)]);
    servers.identity.sequence = before + 2;
    await eventually(() => acks.includes(before + 2));
    expect((await list(first.headers)).status).toBe(401);
    expect((await list(second.headers)).status).toBe(401);
    servers.identity.serve();
    await listening.stop();
  });
});

describe('a route that declares no access', () => {
  test('keeps the gateway from starting, and the message names it', async () => {
    await expect(startGateway(servers, { controllers: [Forgotten] })).rejects.toMatchObject({
      internal: { reason: expect.stringContaining('Forgotten.show') },
    });
  });
});
