import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { newId } from '@prime-nest/kit/ids';
import { eventually } from '@prime-nest/testkit/eventually';
import { anonymous, outcomeOf, type Fixture } from '../testing/identity-fixture.js';
import { openPlace, type IdentityPlace } from '../../test/identity-place.js';

let place: IdentityPlace;
let identity: Fixture;
/** What identity has done with its database so far. */
const done = { looks: 0, transactions: 0 };

beforeAll(async () => {
  place = await openPlace();
  identity = await place.open();
  const { database } = identity;
  const query = database.query.bind(database);
  database.query = (sql, params) => {
    if (typeof sql === 'string' && sql.includes('acked_sequence >=')) done.looks++;
    return query(sql, params);
  };
  const transaction = database.transaction.bind(database);
  database.transaction = async (fn, options) => {
    const result = await transaction(fn, options);
    done.transactions++;
    return result;
  };
});
afterAll(async () => {
  await identity.close();
  await place.stop();
});

async function signIn() {
  const account = await identity.newAccount();
  const tokens = await identity.login.run(account, anonymous());
  return { account, tokens, session: { accountId: account.id, sessionId: tokens.session_id } };
}

/** A gateway that holds a lease and has acknowledged everything so far. */
async function join(leaseMs = 2_000) {
  const memberId = newId();
  const head = await identity.force.renew({ memberId, appliedSequence: 0, leaseMs });
  await identity.force.renew({ memberId, appliedSequence: head, leaseMs });
  return { memberId, head, leave: () => identity.force.end(memberId) };
}

/** Answers the outcome, once it is there, and the time it took. */
function watch(call: Promise<unknown>) {
  const startedAtMs = performance.now();
  const watched = { tookMs: undefined as number | undefined, outcome: outcomeOf(call) };
  void watched.outcome.then(() => (watched.tookMs = performance.now() - startedAtMs));
  return watched;
}

/**
 * Until identity has looked so many times more for acknowledgements: whoever waits goes on looking, and whoever has
 * answered does not.
 */
async function looked(times: number): Promise<void> {
  const since = done.looks;
  await eventually(() => done.looks >= since + times, { intervalMs: 5 });
}

describe('an answer to what ends sessions', () => {
  const ends: [string, (one: Awaited<ReturnType<typeof signIn>>) => Promise<unknown>, string][] = [
    ['a logout', ({ session }) => identity.ending.one({ ...session, reason: 'logout' }, anonymous()), 'ok'],
    [
      'a logout everywhere',
      ({ account }) => identity.ending.all({ accountId: account.id, reason: 'logout_all' }, anonymous()),
      'ok',
    ],
    [
      'a password change',
      ({ account }) =>
        identity.passwords.run(
          { accountId: account.id, currentPassword: account.password, newPassword: 'another-orchid-43-quay' },
          anonymous(),
        ),
      'ok',
    ],
    [
      'a deactivation',
      ({ account }) => identity.management.update({ id: account.id, isActive: false }, anonymous()),
      'ok',
    ],
    ['a deletion', ({ account }) => identity.management.remove(account.id, anonymous()), 'ok'],
    [
      'a reset',
      async ({ account }) => {
        const { resetCode } = await identity.resets.issue(account.id, anonymous());
        await identity.resets.redeem({ resetCode, newPassword: 'another-orchid-43-quay' }, anonymous());
      },
      'ok',
    ],
    [
      'a reuse',
      async ({ tokens }) => {
        const refresh = () => identity.refresh.run({ refreshToken: tokens.refresh_token }, anonymous());
        await refresh();
        await refresh();
      },
      'invalid_grant',
    ],
  ];

  test.each(ends)('%s waits until every gateway has acknowledged it, and no longer', async (_name, end, expected) => {
    const one = await signIn();
    const gateway = await join();
    const ending = watch(end(one));
    await looked(3);
    expect(ending.tookMs).toBeUndefined();
    identity.force.noteApplied(gateway.memberId, gateway.head);
    await looked(1);
    expect(ending.tookMs).toBeUndefined();
    identity.force.noteApplied(gateway.memberId, gateway.head + 1);
    expect(await ending.outcome).toBe(expected);
    expect(ending.tookMs).toBeLessThan(1_900);
    await gateway.leave();
  });

  test('waits for the lease of a gateway that says nothing, and then goes on without it', async () => {
    const { session } = await signIn();
    await join(700);
    const joinedAtMs = performance.now();
    await identity.ending.one({ ...session, reason: 'logout' }, anonymous());
    expect(performance.now() - joinedAtMs).toBeGreaterThan(650);
  });

  test('an acknowledgement that only the database has heard of is found', async () => {
    const { session } = await signIn();
    const gateway = await join();
    const ending = watch(identity.ending.one({ ...session, reason: 'logout' }, anonymous()));
    await looked(1);
    await identity.database.query(`UPDATE gateway_member SET acked_sequence = $2 WHERE id = $1`, [
      gateway.memberId,
      gateway.head + 1,
    ]);
    expect(await ending.outcome).toBe('ok');
    expect(ending.tookMs).toBeLessThan(1_900);
    await gateway.leave();
  });

  test('a repetition waits for the same gateways as the call whose answer was lost', async () => {
    const { session, tokens } = await signIn();
    const gateway = await join();
    const logout = () => identity.ending.one({ ...session, reason: 'logout' }, anonymous());
    const calls = [watch(logout())];
    await looked(1);
    const { transactions } = done;
    calls.push(watch(logout()));
    calls.push(watch(identity.refresh.run({ refreshToken: tokens.refresh_token }, anonymous())));
    // Both have found the work done, and wait as well.
    await eventually(() => done.transactions >= transactions + 2, { intervalMs: 5 });
    await looked(3);
    expect(calls.map(({ tookMs }) => tookMs)).toEqual([undefined, undefined, undefined]);
    identity.force.noteApplied(gateway.memberId, gateway.head + 1);
    expect(await Promise.all(calls.map(({ outcome }) => outcome))).toEqual(['ok', 'ok', 'invalid_grant']);
    await gateway.leave();
  });

  test('a member that knows more than there is has acknowledged nothing that is still to come', async () => {
    const { session } = await signIn();
    const memberId = newId();
    const head = await identity.force.renew({ memberId, appliedSequence: 1_000_000, leaseMs: 2_000 });
    const ending = watch(identity.ending.one({ ...session, reason: 'logout' }, anonymous()));
    await looked(3);
    expect(ending.tookMs).toBeUndefined();
    identity.force.noteApplied(memberId, head + 1);
    expect(await ending.outcome).toBe('ok');
    await identity.force.end(memberId);
  });

  test('a lease and a revocation never miss each other: one of them knows of the other', async () => {
    const rounds = 100;
    let seenByRenewal = 0;
    for (let i = 0; i < rounds; i++) {
      const { session } = i === 0 ? await signIn() : { session: undefined };
      const memberId = newId();
      const revoke = identity.database.transaction(async (tx) => {
        const { appendRevocations } = await import('./revocation.store.js');
        return appendRevocations(tx, [{ kind: 'session', sessionId: session?.sessionId ?? newId() }], new Date());
      });
      const [revoked, head] = await Promise.all([
        revoke,
        identity.force.renew({ memberId, appliedSequence: 0, leaseMs: 2_000 }),
      ]);
      const isSeenByRenewal = head >= revoked.sequence;
      const isSeenByRevocation = revoked.leases.some((lease) => lease.memberId === memberId);
      expect(isSeenByRenewal || isSeenByRevocation).toBe(true);
      if (isSeenByRenewal) seenByRenewal++;
      await identity.force.end(memberId);
    }
    expect(seenByRenewal).toBeGreaterThan(0);
  });
});
