import type { GatewayEventDraft } from './record-event.js';

/** Why events could not be kept. */
export type LossReason = 'spool_full' | 'spool_unwritable' | 'spool_gone' | 'invalid_event';

/** Counts what could not be kept, until it can be said in an event. */
export class Losses {
  readonly #byType = new Map<string, number>();
  #reason: LossReason | undefined;
  #firstAt: Date | undefined;
  #lastAt: Date | undefined;

  get isEmpty(): boolean {
    return this.#byType.size === 0;
  }

  add(loss: { readonly type: string; readonly count: number; readonly reason: LossReason; readonly at: Date }): void {
    this.#byType.set(loss.type, (this.#byType.get(loss.type) ?? 0) + loss.count);
    this.#reason ??= loss.reason;
    this.#firstAt ??= loss.at;
    this.#lastAt = loss.at;
  }

  /** The event that says what was lost, and starts counting anew: whoever takes it has to keep it. */
  take(): GatewayEventDraft | undefined {
    if (this.#reason === undefined || this.#firstAt === undefined || this.#lastAt === undefined) return undefined;
    const draft: GatewayEventDraft = {
      type: 'gateway.recording.lost.v1',
      outcome: 'failure',
      reasonCode: this.#reason,
      change: {
        after: {
          lost: Object.fromEntries(this.#byType),
          firstAt: this.#firstAt.toISOString(),
          lastAt: this.#lastAt.toISOString(),
        },
      },
    };
    this.#byType.clear();
    this.#reason = this.#firstAt = this.#lastAt = undefined;
    return draft;
  }
}
