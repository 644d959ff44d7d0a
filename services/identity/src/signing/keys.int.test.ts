import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type { PublicKey } from '@prime-nest/contracts/claims';
import { identityNotify, type TokenResponse } from '@prime-nest/contracts/identity';
import { connectBus } from '@prime-nest/kit/bus/connection';
import { subscribeNotify } from '@prime-nest/kit/bus/notify';
import { silentLogger } from '@prime-nest/kit/log';
import { eventually } from '@prime-nest/testkit/eventually';
import { newKeyPair, testKeyPair } from '@prime-nest/testkit/keys';
import { startTestNats, type TestNats } from '@prime-nest/testkit/nats';
import { createTestDatabase, type TestDatabase } from '@prime-nest/testkit/postgres';
import { createLocalJWKSet, decodeJwt, jwtVerify } from 'jose';
import { migrations } from '../migrations/migrate.js';
import { anonymous, eventsOf, openFixture, outcomeOf, type Fixture } from '../testing/identity-fixture.js';
import { createEnvelope } from './envelope.js';
import { ensureSigningKey } from './ensure-key.command.js';
import { listAllKeys, listLiveKeys } from './key.store.js';
import { SigningKeys } from './signing-keys.js';

let nats: TestNats;
let aheadMs = 0;
const clock = () => new Date(Date.now() + aheadMs);
const leadSeconds = 600;

beforeAll(async () => {
  nats = await startTestNats({ streams: false });
});
afterAll(() => nats.stop());

/** Several replicas of the service on one fresh database. */
async function replicas(count: number): Promise<{ store: TestDatabase; services: Fixture[]; close(): Promise<void> }> {
  const store = await createTestDatabase({ service: 'identity', migrations });
  const open = () =>
    openFixture({
      databaseUrl: store.url,
      nats: nats.credentials('identity'),
      keyPair: testKeyPair(),
      clock,
      env: { IDENTITY_KEY_LEAD_SECONDS: String(leadSeconds) },
    });
  const services = await Promise.all(Array.from({ length: count }, open));
  return {
    store,
    services,
    close: async () => {
      await Promise.all(services.map((service) => service.close()));
      await store.drop();
    },
  };
}

/** What a gateway knows: the keys it was last told. */
async function listener(initial: PublicKey[]) {
  const log = silentLogger();
  const connection = await connectBus({ ...nats.credentials('gateway'), log });
  let keys = initial;
  const subject = 'notify.identity.keys.v1';
  await subscribeNotify({
    connection,
    subject,
    schema: identityNotify[subject],
    onNotify: (message) => void (keys = message.keys),
    log,
  });
  return {
    keys: () => keys,
    verify: (compact: string) =>
      jwtVerify(compact, createLocalJWKSet({ keys }), { typ: 'at+jwt', algorithms: ['RS256'], currentDate: clock() }),
    close: () => connection.close(),
  };
}

describe('signing keys', () => {
  test('20 rotations under traffic on two replicas fail no token that is alive', async () => {
    const { services, close } = await replicas(2);
    const [one, two] = services as [Fixture, Fixture];
    const gateway = await listener(one.keys.published());
    const issued: string[] = [];
    let isOver = false;
    const failures: string[] = [];
    let verified = 0;
    const check = async (compact: string) => {
      // The clock leaps: a token may be old by the time it gets here, and that is no failure of a key.
      if ((decodeJwt(compact).exp ?? 0) * 1000 <= clock().getTime()) return;
      verified += 1;
      await gateway.verify(compact).catch((error: unknown) => failures.push(String(error)));
    };
    const client = async (service: Fixture) => {
      let tokens: TokenResponse = await service.login.run(await service.newAccount(), anonymous());
      while (!isOver) {
        tokens = await service.refresh.run({ refreshToken: tokens.refresh_token }, anonymous());
        issued.push(tokens.access_token);
        await check(tokens.access_token);
      }
    };
    const clients = [client(one), client(two)];
    for (let rotation = 0; rotation < 20; rotation++) {
      const kid = await one.rotation.announceNext(anonymous());
      await Promise.all(services.map((service) => service.keepKeys.beat()));
      await eventually(() => gateway.keys().some((key) => key.kid === kid));
      aheadMs += leadSeconds * 1000;
      await Promise.all(services.map((service) => service.keepKeys.beat()));
      expect(one.keys.signer().kid).toBe(kid);
      expect(two.keys.signer().kid).toBe(kid);
      // Whatever was handed out and has not expired must still verify, now that another key signs.
      for (const compact of issued.slice(-20)) await check(compact);
    }
    isOver = true;
    await Promise.all(clients);
    expect(failures).toEqual([]);
    expect(verified).toBeGreaterThan(400);
    const rows = await listAllKeys(one.database);
    expect(rows.filter(({ state }) => state === 'active')).toHaveLength(1);
    expect(rows.filter(({ state }) => state === 'retired').length).toBeGreaterThanOrEqual(17);
    expect(rows.filter(({ sealedPrivateKey }) => sealedPrivateKey !== null)).toHaveLength(1);
    await gateway.close();
    await close();
  });

  test('signing with a key that nobody has been told, as the control does, fails', async () => {
    const { services, close } = await replicas(1);
    const [service] = services as [Fixture];
    const gateway = await listener(service.keys.published());
    const { database } = service;
    await service.rotation.announceNext(anonymous());
    await database.query("UPDATE signing_key SET state = 'retiring' WHERE state = 'active'");
    await database.query("UPDATE signing_key SET state = 'active' WHERE state = 'pending'");
    service.keys.adopt(await listLiveKeys(database));
    const { access_token } = await service.login.run(await service.newAccount(), anonymous());
    await expect(gateway.verify(access_token)).rejects.toThrow();
    await gateway.close();
    await close();
  });

  test('replicas that rotate, import and move keys on at the same time leave one active key and lose none', async () => {
    const { services, close } = await replicas(3);
    for (let round = 0; round < 4; round++) {
      const { privateKey } = newKeyPair();
      const outcomes = await Promise.all(
        services.flatMap((service) => [
          outcomeOf(service.rotation.announceNext(anonymous())),
          outcomeOf(ensureSigningKey(service.keyParts, privateKey, anonymous())),
          outcomeOf(service.rotation.runDue(anonymous())),
        ]),
      );
      expect(new Set(outcomes)).toEqual(new Set(['ok']));
      aheadMs += leadSeconds * 1000;
      await Promise.all(services.map((service) => service.keepKeys.beat()));
      expect(new Set(services.map((service) => service.keys.signer().kid)).size).toBe(1);
    }
    await close();
  });

  test('a compromised key is gone from the published set at once, another signs, and it does not come back', async () => {
    const { services, close } = await replicas(2);
    const [one, two] = services as [Fixture, Fixture];
    const bad = one.keys.signer().kid;
    const gateway = await listener(one.keys.published());
    const before = await one.login.run(await one.newAccount(), anonymous());
    await one.rotation.compromise(bad, anonymous());
    await one.keepKeys.reload();
    await eventually(() => gateway.keys().every(({ kid }) => kid !== bad));
    await two.keepKeys.reload();
    await expect(gateway.verify(before.access_token)).rejects.toThrow();
    const after = await two.login.run(await two.newAccount(), anonymous());
    await gateway.verify(after.access_token);
    // The environment still holds it: the next start must not believe it.
    await ensureSigningKey(one.keyParts, testKeyPair().privateKey, anonymous());
    expect((await listLiveKeys(one.database)).map(({ kid }) => kid)).not.toContain(bad);
    expect((await eventsOf(one.database, bad)).map(({ type }) => type)).toEqual([
      'identity.key.created.v1',
      'identity.key.activated.v1',
      'identity.key.compromised.v1',
    ]);
    expect(await outcomeOf(one.rotation.compromise('no-such-key-anywhere', anonymous()))).toBe('not_found');
    await gateway.close();
    await close();
  });

  test('a row that was damaged or exchanged, or another encryption key, signs nothing', async () => {
    const { services, close } = await replicas(1);
    const [service] = services as [Fixture];
    const [active] = await listLiveKeys(service.database);
    if (active === undefined || active.sealedPrivateKey === null) throw new Error('no key');
    const damaged = Buffer.from(active.sealedPrivateKey);
    damaged[damaged.length - 1] = (damaged[damaged.length - 1] ?? 0) ^ 1;
    const cases: [SigningKeys, Buffer, string][] = [
      [new SigningKeys(service.envelope), damaged, active.kid],
      [new SigningKeys(service.envelope), active.sealedPrivateKey.subarray(0, 40), active.kid],
      [new SigningKeys(service.envelope), active.sealedPrivateKey, 'another-kid-altogether'],
      [new SigningKeys(createEnvelope(Buffer.alloc(32, 9))), active.sealedPrivateKey, active.kid],
    ];
    for (const [keys, sealedPrivateKey, kid] of cases) {
      keys.adopt([{ ...active, kid, sealedPrivateKey }]);
      await expect(keys.check()).rejects.toThrow('cannot be decrypted');
      expect(() => keys.signer()).toThrow('unavailable');
    }
    await close();
  });

  test('an empty ring is an error and never an empty set', () => {
    const keys = new SigningKeys(createEnvelope(Buffer.alloc(32, 9)));
    expect(() => keys.published()).toThrow('unavailable');
    keys.adopt([]);
    expect(() => keys.published()).toThrow('unavailable');
  });
});
