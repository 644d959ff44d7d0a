import type { NatsConnection } from '@nats-io/transport-node';
import { rbacNotify } from '@prime-nest/contracts/rbac';
import { publishNotify, subscribeNotify } from '@prime-nest/kit/bus/notify';
import type { Logger } from '@prime-nest/kit/log';

export interface FleetListener {
  readonly onRevision: (revision: number) => void | Promise<void>;
  readonly onApplied: (memberId: string, revision: number) => void;
}

/** What the replicas tell one another. Any of it may be lost or late; all of it only saves somebody a wait. */
export interface Fleet {
  tellRevision(revision: number): void;
  tellApplied(memberId: string, revision: number): void;
  listen(listener: FleetListener): Promise<void>;
  /** A readiness check. */
  check(): Promise<void>;
  stop(): Promise<void>;
}

/** The other replicas by way of NATS broadcasts. Telling never throws: without the bus nobody listens. */
export function connectFleet(connection: NatsConnection, log: Logger): Fleet {
  const listening: Awaited<ReturnType<typeof subscribeNotify>>[] = [];
  const [moved, applied] = ['notify.rbac.revision.v1', 'notify.rbac.applied.v1'] as const;
  const attempt = (tell: () => void) => {
    try {
      tell();
    } catch (error) {
      log.debug({ err: error }, 'fleet.untold');
    }
  };
  return {
    tellRevision: (revision) => {
      attempt(() => {
        publishNotify(connection, moved, rbacNotify[moved], { revision });
      });
    },
    tellApplied: (memberId, revision) => {
      attempt(() => {
        publishNotify(connection, applied, rbacNotify[applied], { memberId, revision });
      });
    },
    listen: async ({ onRevision, onApplied }) => {
      listening.push(
        await subscribeNotify({
          connection,
          subject: moved,
          schema: rbacNotify[moved],
          onNotify: ({ revision }) => onRevision(revision),
          log,
        }),
        await subscribeNotify({
          connection,
          subject: applied,
          schema: rbacNotify[applied],
          onNotify: ({ memberId, revision }) => {
            onApplied(memberId, revision);
          },
          log,
        }),
      );
    },
    check: async () => {
      for (const one of listening) await one.check();
    },
    stop: async () => {
      for (const one of listening) await one.stop();
    },
  };
}
