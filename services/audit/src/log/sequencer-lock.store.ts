import type { Database } from '@prime-nest/kit/database';

type Session = Awaited<ReturnType<Database['connectDedicated']>>;

/**
 * Which of several processes sequences. An advisory lock on a connection of its own: it goes with the connection, so
 * a process that dies is replaced within a second. It spares the others the work and no more than that; what makes
 * two at once harmless is the lock on the tree's state.
 */
export class SequencerLock {
  readonly #database: Database;
  #session: Session | undefined;
  #isHeld = false;

  constructor(database: Database) {
    this.#database = database;
  }

  get isHeld(): boolean {
    return this.#isHeld;
  }

  /** Takes the lock if it is free. Throws `unavailable` when PostgreSQL cannot be asked. */
  async tryAcquire(): Promise<boolean> {
    if (this.#isHeld) return true;
    const session = this.#session ?? (await this.#connect());
    try {
      const { rows } = await session.query<{ locked: boolean }>(
        "SELECT pg_try_advisory_lock(hashtextextended('audit:sequencer', 0)) AS locked",
      );
      this.#isHeld = rows[0]?.locked === true;
      return this.#isHeld;
    } catch (error) {
      await this.release();
      throw error;
    }
  }

  async release(): Promise<void> {
    const session = this.#session;
    this.#session = undefined;
    this.#isHeld = false;
    await session?.end().catch(() => undefined);
  }

  async #connect(): Promise<Session> {
    const session = await this.#database.connectDedicated('audit-sequencer');
    this.#session = session;
    const lost = (): void => {
      if (this.#session !== session) return;
      this.#session = undefined;
      this.#isHeld = false;
    };
    session.on('error', lost);
    session.on('end', lost);
    // A machine that vanished says no farewell: PostgreSQL notices within seconds and gives the lock away.
    await session.query('SET tcp_keepalives_idle = 3; SET tcp_keepalives_interval = 2; SET tcp_keepalives_count = 3');
    return session;
  }
}
