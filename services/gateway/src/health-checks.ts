import { busHealth } from '@prime-nest/kit/bus/connection';
import { readiness } from '@prime-nest/kit/health';
import type { HealthChecks } from '@prime-nest/kit/health';
import type { Logger } from '@prime-nest/kit/log';
import type { NatsConnection } from '@nats-io/transport-node';
import type { KeyFeed } from './access/key-feed.consumer.js';
import type { RevocationFeed } from './access/revocation-feed.consumer.js';
import type { RateLimit } from './limits/rate-limit.guard.js';
import type { Spool } from './spool/spool.job.js';

export interface Readiness {
  readonly status: 'ready' | 'not_ready' | 'draining';
  /** Names of what must work and does not. */
  readonly failing: readonly string[];
  /** Names of what is missing without stopping the service. */
  readonly degraded: readonly string[];
}

export interface GatewayChecksOptions {
  readonly connection: NatsConnection;
  readonly keyFeed: KeyFeed;
  readonly revocationFeed: RevocationFeed;
  readonly limit: RateLimit;
  readonly spool: Pick<Spool, 'isDegraded'>;
  readonly log: Logger;
  readonly isDraining: () => boolean;
}

/**
 * Whether this gateway should get traffic: connected, able to verify, and sure of what is revoked. Without Redis it
 * is degraded (limits are local and stricter) and still ready: taking every gateway out would be the larger outage. The
 * same holds while events cannot be kept on disk.
 */
export class GatewayChecks {
  readonly #options: GatewayChecksOptions;
  readonly #checks: HealthChecks;

  constructor(options: GatewayChecksOptions) {
    this.#options = options;
    this.#checks = {
      bus: () => busHealth(options.connection).check(),
      keys: () => options.keyFeed.check(),
      revocations: () => options.revocationFeed.check(),
    };
  }

  async readiness(): Promise<Readiness> {
    const { limit, spool } = this.#options;
    const degraded = [...(limit.isDegraded ? ['redis'] : []), ...(spool.isDegraded ? ['events'] : [])];
    if (this.#options.isDraining()) return { status: 'draining', failing: [], degraded };
    const failing = await readiness(this.#checks, this.#options.log);
    return { status: failing.length === 0 ? 'ready' : 'not_ready', failing, degraded };
  }
}
