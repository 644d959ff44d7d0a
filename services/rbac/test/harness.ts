import type { NatsConnection } from '@nats-io/transport-node';
import type { CallContext } from '@prime-nest/contracts/context';
import { bootstrapAdministratorId } from '@prime-nest/contracts/ids';
import { connectBus } from '@prime-nest/kit/bus/connection';
import { systemClock } from '@prime-nest/kit/clock';
import { freshContext, serviceContext } from '@prime-nest/kit/context';
import { type Database, openDatabase } from '@prime-nest/kit/database';
import { newId } from '@prime-nest/kit/ids';
import { silentLogger } from '@prime-nest/kit/log';
import { createOutbox } from '@prime-nest/kit/outbox/outbox';
import { Secret } from '@prime-nest/kit/secret';
import type { TestNats } from '@prime-nest/testkit/nats';
import { type TestDatabase, createTestDatabase } from '@prime-nest/testkit/postgres';
import { PrincipalCommands } from '../src/assignment/principal.command.js';
import { defaultPolicy } from '../src/catalog/default-policy.js';
import type { SeedPolicy } from '../src/catalog/policy-file.js';
import { FeatureCommands } from '../src/catalog/feature.command.js';
import { PermissionCommands } from '../src/catalog/permission.command.js';
import { RoleCommands } from '../src/catalog/role.command.js';
import { seed } from '../src/catalog/seed.command.js';
import { rbacMigrations } from '../src/migrations/list.js';
import type { Fleet, FleetListener } from '../src/policy/fleet.consumer.js';
import type { Clocks } from '@prime-nest/kit/lease';
import { type Policy, createPolicy, createSeedMutator, systemClocks } from '../src/policy/policy.module.js';

export const administratorId = bootstrapAdministratorId;
export const administrator: CallContext = freshContext({ type: 'user', id: administratorId });

export function actingAs(principalId: string): CallContext {
  return freshContext({ type: 'user', id: principalId });
}

/** Replicas of one process that hear one another at once, or not at all while `isCut`. */
export class LocalFleet {
  readonly #listeners = new Set<FleetListener>();
  isCut = false;

  connect(): Fleet {
    let own: FleetListener | undefined;
    return {
      tellRevision: (revision) => {
        this.#tell((listener) => void Promise.resolve(listener.onRevision(revision)).catch(() => undefined));
      },
      tellApplied: (memberId, revision) => {
        this.#tell((listener) => {
          listener.onApplied(memberId, revision);
        });
      },
      listen: (listener) => {
        own = listener;
        this.#listeners.add(listener);
        return Promise.resolve();
      },
      check: () => Promise.resolve(),
      stop: () => {
        if (own !== undefined) this.#listeners.delete(own);
        return Promise.resolve();
      },
    };
  }

  #tell(tell: (listener: FleetListener) => void): void {
    if (!this.isCut) setImmediate(() => [...this.#listeners].forEach(tell));
  }
}

export function openRbacDatabase(server: Pick<TestDatabase, 'url'>, poolMax = 6): Promise<Database> {
  return openDatabase({
    url: new Secret(server.url),
    schema: 'rbac',
    entities: [],
    ssl: false,
    poolMax,
    log: silentLogger(),
    applicationName: 'rbac-test',
  });
}

/** One process's share of rbac, as `main` puts it together, without the edge. */
export interface TestReplica extends Policy {
  readonly memberId: string;
  readonly database: Database;
  readonly features: FeatureCommands;
  readonly permissions: PermissionCommands;
  readonly roles: RoleCommands;
  readonly principals: PrincipalCommands;
  close(): Promise<void>;
}

export interface ReplicaOptions {
  readonly server: Pick<TestDatabase, 'url'>;
  readonly fleet?: Fleet;
  readonly leaseMs?: number;
  readonly heartbeatMs?: number;
  readonly clocks?: Clocks;
  /** Default true. Without it there is no heartbeat, and every decision is proven by a read. */
  readonly isLeased?: boolean;
}

export async function startReplica(options: ReplicaOptions): Promise<TestReplica> {
  const {
    server,
    fleet = new LocalFleet().connect(),
    leaseMs = 600,
    heartbeatMs = 100,
    clocks = systemClocks,
    isLeased = true,
  } = options;
  const database = await openRbacDatabase(server);
  const memberId = newId();
  const outbox = createOutbox({ service: 'rbac', clock: systemClock });
  const guarantee = { leaseMs, heartbeatMs };
  const freshness = await openRbacDatabase(server, 3);
  const policy = createPolicy({ database, freshness, outbox, log: silentLogger(), memberId, guarantee, clocks, fleet });
  if (isLeased) await policy.start();
  else await policy.replica.load();
  const { mutator } = policy;
  return {
    ...policy,
    memberId,
    database,
    features: new FeatureCommands({ mutator, newId }),
    permissions: new PermissionCommands({ mutator, newId }),
    roles: new RoleCommands({ mutator, newId }),
    principals: new PrincipalCommands({ mutator }),
    close: async () => {
      await policy.stop();
      await freshness.close();
      await database.close();
    },
  };
}

export async function createRbacDatabase({ isSeeded = true } = {}): Promise<TestDatabase> {
  const server = await createTestDatabase({ service: 'rbac', migrations: [...rbacMigrations] });
  if (isSeeded) await seedDatabase(server);
  return server;
}

export async function seedDatabase(server: TestDatabase, policy: SeedPolicy = defaultPolicy): Promise<string[]> {
  const database = await openRbacDatabase(server);
  try {
    const outbox = createOutbox({ service: 'rbac', clock: systemClock });
    const mutator = await createSeedMutator({ database, outbox, log: silentLogger() });
    return await seed(policy, { database, mutator, newId, context: serviceContext('rbac'), administratorId });
  } finally {
    await database.close();
  }
}

export function connectAs(nats: TestNats, user: 'rbac' | 'gateway'): Promise<NatsConnection> {
  return connectBus({ ...nats.credentials(user), log: silentLogger() });
}

/** Ids of permissions and roles by their names, as the replica holds them. */
export function permissionIds({ replica }: Policy, ...names: string[]): string[] {
  return names.map((name) => replica.snapshot.permissionsByName.get(name)?.id ?? `no permission ${name}`);
}

export function roleId({ replica }: Policy, name: string): string {
  return [...replica.snapshot.roles.values()].find((role) => role.name === name)?.id ?? `no role ${name}`;
}

/** Outbox events, oldest first. */
export async function readEvents(database: Database): Promise<{ type: string; event: StoredEvent }[]> {
  const rows = await database.query<{ type: string; entry: Buffer }>(`SELECT type, entry FROM outbox ORDER BY xid, id`);
  return rows.map(({ type, entry }) => ({ type, event: JSON.parse(entry.toString('utf8')) as StoredEvent }));
}

export interface StoredEvent {
  readonly actor: { readonly type: string; readonly id?: string };
  readonly resource: { readonly type: string; readonly id?: string };
  readonly change?: { readonly before?: unknown; readonly after?: unknown };
}

/** Small, fast, and the same for the same seed. */
export function seededRandom(seed: number): {
  next(): number;
  below(n: number): number;
  pick<T>(from: readonly T[]): T;
} {
  let state = seed >>> 0;
  const next = () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296;
  };
  const below = (n: number) => Math.floor(next() * n);
  return { next, below, pick: (from) => from[below(from.length)] as never };
}
