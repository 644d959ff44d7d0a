import type { BusServer } from '@prime-nest/kit/bus/server';
import type { Logger } from '@prime-nest/kit/log';
import type { Replica } from './replica.store.js';

export interface AttendanceOptions {
  readonly replica: Pick<Replica, 'isAble'>;
  readonly server: Pick<BusServer, 'leave' | 'rejoin'>;
  readonly intervalMs: number;
  readonly log: Logger;
}

/**
 * Takes this process out of the queue group while it could only answer `unavailable`, so that requests reach the
 * replicas that can answer, and brings it back by itself. It looks ahead: it leaves when the lease is about to end
 * and the database does not answer, not when the first caller has been turned away. Nothing rests on it for safety.
 */
export class Attendance {
  readonly #options: AttendanceOptions;
  #timer: NodeJS.Timeout | undefined;
  #looking: Promise<void> = Promise.resolve();
  #isStopped = false;
  #isAway = false;

  constructor(options: AttendanceOptions) {
    this.#options = options;
  }

  start(): void {
    this.#timer = setTimeout(() => {
      this.#looking = this.#look().finally(() => {
        if (!this.#isStopped) this.start();
      });
    }, this.#options.intervalMs);
  }

  /** Whoever is away stays away. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    clearTimeout(this.#timer);
    await this.#looking;
  }

  async #look(): Promise<void> {
    const { replica, server, log } = this.#options;
    try {
      const isAble = await replica.isAble();
      if (isAble === !this.#isAway || this.#isStopped) return;
      if (isAble) await server.rejoin();
      else await server.leave();
      this.#isAway = !isAble;
      log.warn({}, isAble ? 'rpc.rejoined' : 'rpc.left');
    } catch (error) {
      // The bus is away too: then nothing arrives, and the next look tries again.
      log.warn({ err: error }, 'rpc.attendance_failed');
    }
  }
}
