import { testKeyPair } from '@prime-nest/testkit/keys';
import { startTestNats } from '@prime-nest/testkit/nats';
import { createTestDatabase } from '@prime-nest/testkit/postgres';
import { migrations } from '../src/migrations/migrate.js';
import { type Fixture, type FixtureOptions, openFixture } from '../src/testing/identity-fixture.js';

export interface IdentityPlace {
  /** A process's worth of identity on this database and bus; whoever opens it closes it. */
  open(options?: Pick<FixtureOptions, 'env' | 'clock'>): Promise<Fixture>;
  stop(): Promise<void>;
}

/** A database and a bus of its own, with the key pair of all tests. */
export async function openPlace(): Promise<IdentityPlace> {
  const [nats, store] = await Promise.all([
    startTestNats({ streams: false }),
    createTestDatabase({ service: 'identity', migrations }),
  ]);
  const place = { databaseUrl: store.url, nats: nats.credentials('identity'), keyPair: testKeyPair() };
  return {
    open: (options = {}) => openFixture({ ...place, ...options }),
    stop: async () => {
      await Promise.all([nats.stop(), store.drop()]);
    },
  };
}
