import { AppError } from '@prime-nest/contracts/errors';
import type { Database } from '@prime-nest/kit/database';
import type { Logger } from '@prime-nest/kit/log';
import { applyDelta, compile } from './compile.js';
import { type Clocks, type Lease, type Moment, databaseTimeMax, momentOf } from '@prime-nest/kit/lease';
import { type Head, readChangesSince, readHead, readPolicy } from './policy.store.js';
import { ReadIndex } from './read-index.js';
import { type PolicySnapshot, emptySnapshot } from './snapshot.js';

/** A snapshot that was proven fresh, and the latest that the database's clock can show. */
export interface Fresh {
  readonly snapshot: PolicySnapshot;
  readonly nowMs: number;
}

export interface ReplicaOptions {
  readonly database: Database;
  readonly clocks: Clocks;
  readonly log: Logger;
  /** Held by the heartbeat. Without one every decision is proven by reading the head revision. */
  readonly lease?: Lease;
  /** How long a proof may take before the answer is `unavailable`, milliseconds. */
  readonly proofTimeoutMs?: number;
}

const advanceAttemptsMax = 5;

/**
 * The policy as this process holds it. The snapshot is replaced by one assignment, never emptied first; what
 * {@link fresh} answers holds every mutation that was answered before the question was asked, or it throws
 * `unavailable`. That is neither a deny nor an allow.
 */
export class Replica {
  readonly #database: Database;
  readonly #clocks: Clocks;
  readonly #log: Logger;
  readonly #lease: Lease | undefined;
  readonly #proofTimeoutMs: number;
  readonly #heads: ReadIndex<void>;
  readonly #installed: ((revision: number) => void)[] = [];
  #snapshot: PolicySnapshot = emptySnapshot();
  #isLoaded = false;
  #anchor: { readonly databaseMs: number; readonly sent: Moment } | undefined;
  #catchingUp: Promise<void> | undefined;

  constructor({ database, clocks, log, lease, proofTimeoutMs = 800 }: ReplicaOptions) {
    this.#database = database;
    this.#clocks = clocks;
    this.#log = log;
    this.#lease = lease;
    this.#proofTimeoutMs = proofTimeoutMs;
    this.#heads = new ReadIndex(() => this.#within(this.#readHead()));
  }

  /** What is held now, fresh or not: for reports, for tests, and as a starting point under the lock. */
  get snapshot(): PolicySnapshot {
    return this.#snapshot;
  }

  /** Compiles the whole policy from one consistent read. Call it before serving. */
  async load({ isBackwardsAllowed = false } = {}): Promise<void> {
    const sent = momentOf(this.#clocks);
    const policy = await this.#database.transaction((tx) => readPolicy(tx), { isolation: 'REPEATABLE READ' });
    const compiled = compile(policy.revision, policy.delta);
    // A mutation may have installed a newer one meanwhile.
    if (compiled.revision < this.#snapshot.revision && !isBackwardsAllowed) return;
    if (compiled.revision < this.#snapshot.revision) this.#lease?.drop();
    this.#snapshot = compiled;
    this.#isLoaded = true;
    this.#log.info(
      {
        revision: compiled.revision,
        principals: compiled.principals.size,
        roles: compiled.roles.size,
        durationMs: Math.round(this.#clocks.monoMs() - sent.monoMs),
      },
      'policy.compiled',
    );
    this.#announce();
  }

  /** A readiness check. */
  check(): Promise<void> {
    return this.#isLoaded ? Promise.resolve() : Promise.reject(new Error('the policy has not been compiled'));
  }

  /**
   * A snapshot that may be decided by now: under the lease at once, else after the head revision has been read by a
   * statement sent after this call. `minRevision` is a floor that the caller has seen elsewhere; a database that
   * has not reached it cannot be trusted to know everything, so that is `unavailable` as well.
   */
  async fresh(minRevision = 0): Promise<Fresh> {
    const held = this.held(minRevision);
    if (held !== undefined) return held;
    await this.#within(this.#heads.ask());
    if (this.#snapshot.revision < minRevision) {
      throw new AppError('unavailable', { internal: { minRevision, revision: this.#snapshot.revision } });
    }
    if (!this.#isLoaded || this.#anchor === undefined)
      throw new AppError('unavailable', { internal: { reason: 'not compiled' } });
    return { snapshot: this.#snapshot, nowMs: databaseTimeMax(this.#anchor, momentOf(this.#clocks)) };
  }

  /** What {@link fresh} answers when nobody has to be asked: under the lease, with the floor reached. */
  held(minRevision = 0): Fresh | undefined {
    const now = momentOf(this.#clocks);
    if (this.#lease?.isHeld(now) !== true || this.#snapshot.revision < minRevision) return undefined;
    if (!this.#isLoaded || this.#anchor === undefined) return undefined;
    return { snapshot: this.#snapshot, nowMs: databaseTimeMax(this.#anchor, now) };
  }

  /** Whether decisions can still be made in a moment: the lease lasts that long, or the database answers. */
  async isAble(): Promise<boolean> {
    if ((this.#lease?.leftMs(momentOf(this.#clocks)) ?? 0) > this.#proofTimeoutMs) return true;
    return this.#within(this.#heads.ask()).then(
      () => true,
      () => false,
    );
  }

  /** Applies everything up to `revision` and possibly more. Throws `unavailable` when that cannot be done now. */
  async advanceTo(revision: number): Promise<void> {
    for (let attempt = 0; this.#snapshot.revision < revision; attempt++) {
      // From nothing only {@link load} begins: what the history alone makes would be newer than what it reads, and stand
      // in its way.
      if (!this.#isLoaded) throw new AppError('unavailable', { internal: { reason: 'not compiled' } });
      if (attempt >= advanceAttemptsMax) {
        throw new AppError('unavailable', { internal: { revision, reached: this.#snapshot.revision } });
      }
      // One that was under way may have been sent before the revision existed: then the loop asks once more.
      this.#catchingUp ??= this.#catchUp().finally(() => {
        this.#catchingUp = undefined;
      });
      await this.#catchingUp;
    }
  }

  /** Takes over a snapshot that a committed mutation of this process has made, unless a newer one is there already. */
  install(next: PolicySnapshot): void {
    if (next.revision <= this.#snapshot.revision) return;
    this.#snapshot = next;
    this.#announce();
  }

  /** Calls `fn` whenever a newer revision has been applied. */
  onInstalled(fn: (revision: number) => void): void {
    this.#installed.push(fn);
  }

  /** Remembers what the database's clock showed in the answer to a request sent at `sent`. */
  anchor(databaseMs: number, sent: Moment): void {
    this.#anchor = { databaseMs, sent };
  }

  /**
   * Judges a head revision that was read by a statement sent when this process held `heldAtSend`. Everything held is
   * committed, so a lower head means that the database went back in time: then all that is held is thrown away.
   */
  async follow(head: Head, heldAtSend: number): Promise<void> {
    if (head.revision < heldAtSend) {
      this.#log.error({ head: head.revision, held: heldAtSend }, 'policy.database_went_back');
      await this.load({ isBackwardsAllowed: true });
    }
    await this.advanceTo(head.revision);
  }

  async #readHead(): Promise<void> {
    const sent = momentOf(this.#clocks);
    const held = this.#snapshot.revision;
    const head = await readHead(this.#database);
    await this.follow(head, held);
    this.anchor(head.nowMs, sent);
  }

  async #catchUp(): Promise<void> {
    const from = this.#snapshot;
    try {
      const changes = await readChangesSince(this.#database, from.revision);
      const revision = changes.at(-1)?.revision;
      if (revision === undefined) return;
      this.install(applyDelta(from, { revision, delta: changes.flatMap((change) => change.delta) }));
    } catch (error) {
      if (error instanceof AppError && error.code === 'unavailable') throw error;
      // What is held does not fit the history: nothing is built on it any more.
      this.#log.error({ err: error, revision: from.revision }, 'policy.replay_failed');
      await this.load();
    }
  }

  #announce(): void {
    for (const fn of this.#installed) fn(this.#snapshot.revision);
  }

  async #within<T>(work: Promise<T>): Promise<T> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_resolve, reject) => {
      timer = setTimeout(() => {
        reject(new AppError('unavailable', { internal: { reason: 'freshness was not proven in time' } }));
      }, this.#proofTimeoutMs);
    });
    try {
      return await Promise.race([work, late]);
    } finally {
      clearTimeout(timer);
      // The loser may still fail; nobody listens to it any more.
      work.catch(() => undefined);
    }
  }
}
