import type { Database } from '@prime-nest/kit/database';
import type { Logger } from '@prime-nest/kit/log';
import type { Outbox } from '@prime-nest/kit/outbox/outbox';
import { RevisionBarrier } from './barrier.command.js';
import type { Fleet } from './fleet.consumer.js';
import type { Guarantee } from './guarantee.js';
import { Heartbeat } from './heartbeat.job.js';
import { type Clocks, Lease, momentOf, systemClocks } from '@prime-nest/kit/lease';
import { Mutator } from './mutate.command.js';
import { leaseAge, leaseLeft, revision as heldRevision } from '../telemetry.js';
import { Replica } from './replica.store.js';

export interface PolicyParts {
  readonly database: Database;
  /** Connections of its own for leases and proofs, so that no load of other queries can make decisions unavailable. */
  readonly freshness: Database;
  readonly outbox: Outbox;
  readonly log: Logger;
  /** New for every process: an acknowledgement of an earlier life must not count for this one. */
  readonly memberId: string;
  readonly guarantee: Guarantee;
  readonly clocks: Clocks;
  readonly fleet: Fleet;
}

export interface Policy {
  readonly replica: Replica;
  readonly mutator: Mutator;
  readonly heartbeat: Heartbeat;
  /** Listens, compiles, and takes the first lease. Serve afterwards. */
  start(): Promise<void>;
  /** Gives the lease back. Call it when no question is answered any more. */
  stop(): Promise<void>;
}

export { systemClocks };

/** Puts one process's share of the policy together: its replica, its lease, and its way to change things. */
export function createPolicy(parts: PolicyParts): Policy {
  const { database, freshness, outbox, log, memberId, guarantee, clocks, fleet } = parts;
  const lease = new Lease(guarantee.leaseMs);
  const replica = new Replica({ database: freshness, clocks, log, lease });
  const barrier = new RevisionBarrier({
    database: freshness,
    clocks,
    log,
    announce: (revision) => fleet.tellRevision(revision),
  });
  const heartbeat = new Heartbeat({ database: freshness, replica, lease, clocks, log, memberId, ...guarantee });
  replica.onInstalled((revision) => {
    barrier.noteApplied(memberId, revision);
    fleet.tellApplied(memberId, revision);
  });
  leaseAge.from(() => seconds(lease.ageMs(momentOf(clocks))));
  leaseLeft.from(() => seconds(lease.leftMs(momentOf(clocks))));
  heldRevision.from(() => replica.snapshot.revision);
  return {
    replica,
    heartbeat,
    mutator: new Mutator({ database, replica, outbox, barrier }),
    start: async () => {
      await fleet.listen({
        onRevision: (revision) => replica.advanceTo(revision),
        onApplied: (member, revision) => {
          barrier.noteApplied(member, revision);
        },
      });
      await replica.load();
      await heartbeat.start();
    },
    stop: async () => {
      await fleet.stop();
      await heartbeat.stop();
    },
  };
}

function seconds(ms: number | undefined): number | undefined {
  return ms === undefined ? undefined : ms / 1000;
}

/**
 * What the seed changes the policy with. It holds no lease and decides nothing, and nobody waits for it: it only
 * gives, and replicas learn of it with their next heartbeat.
 */
export async function createSeedMutator(parts: Pick<PolicyParts, 'database' | 'outbox' | 'log'>): Promise<Mutator> {
  const replica = new Replica({ ...parts, clocks: systemClocks });
  await replica.load();
  const barrier = {
    liveMembers: () => Promise.resolve(new Map<string, number>()),
    wait: (revision: number) =>
      Promise.resolve({ revision, effective: 'none' as const, barrierMs: 0, acked: [], fenced: [] }),
  };
  return new Mutator({ ...parts, replica, barrier });
}
