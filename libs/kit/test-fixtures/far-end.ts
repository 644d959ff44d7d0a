import type { JetStreamManager } from '@nats-io/jetstream';
import { expect } from '@jest/globals';
import { storedMessages } from './stream-events.js';

/** What takes events at the other end: what it has, by epoch and number, and the answer to who asks. */
export class FarEnd {
  isAway = false;
  readonly #taken = new Map<string, Map<number, string>>();

  forget(): void {
    this.#taken.clear();
    this.isAway = false;
  }

  held(epoch: string): Map<number, string> {
    const known = this.#taken.get(epoch) ?? new Map<number, string>();
    this.#taken.set(epoch, known);
    return known;
  }

  ask({ epoch }: { epoch: string }): Promise<{ sequence: number; checkpoint: string | null }> {
    if (this.isAway) return Promise.reject(new Error('away'));
    let sequence = 0;
    while (this.held(epoch).has(sequence + 1)) sequence++;
    return Promise.resolve({ sequence, checkpoint: `signed ${sequence}` });
  }

  /** Takes everything that the stream holds now. Fails when one number stands for two events: equivocation. */
  async take(manager: JetStreamManager): Promise<void> {
    for (const { seq, id, epoch } of (await storedMessages(manager)).flat()) {
      const held = this.held(epoch);
      expect(held.get(seq) ?? id).toBe(id);
      held.set(seq, id);
    }
  }
}
