import type { JetStreamManager } from '@nats-io/jetstream';
import { expect } from '@jest/globals';
import { eventHeaders, eventStream } from '@prime-nest/contracts/events';

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
    const { state } = await manager.streams.info(eventStream);
    for (let seq = Math.max(1, state.first_seq); seq <= state.last_seq; seq++) {
      const header = (await manager.streams.getMessage(eventStream, { seq }))?.header;
      const number = Number(header?.get(eventHeaders.sequence));
      const id = header?.get('Nats-Msg-Id').split('.')[0] ?? '';
      const held = this.held(header?.get(eventHeaders.epoch) ?? '');
      expect(held.get(number) ?? id).toBe(id);
      held.set(number, id);
    }
  }
}
