import type { CallContext } from '@prime-nest/contracts/context';
import { AppError } from '@prime-nest/contracts/errors';
import type { Check, Decision } from '@prime-nest/contracts/rbac';
import type { Calls } from '../calls.js';

export interface Decided {
  readonly decision: Decision;
  readonly revision: number;
}

interface Waiting {
  readonly check: Check;
  readonly context: CallContext;
  readonly resolve: (decided: Decided) => void;
  readonly reject: (error: unknown) => void;
}

const checksMax = 256;

/**
 * Asks rbac. Checks that come up in the same turn of the event loop travel in one message and are decided at one
 * revision; equal ones are asked once. An error is the error of every check in the message and never a decision. The
 * message carries the context of its first check.
 */
export class DecideCommand {
  readonly #calls: Calls;
  #waiting: Waiting[] = [];

  constructor(calls: Calls) {
    this.#calls = calls;
  }

  run(check: Check, context: CallContext): Promise<Decided> {
    return new Promise((resolve, reject) => {
      if (this.#waiting.length === 0) setImmediate(() => this.#flush());
      this.#waiting.push({ check, context, resolve, reject });
    });
  }

  #flush(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (let i = 0; i < waiting.length; i += checksMax) void this.#ask(waiting.slice(i, i + checksMax));
  }

  async #ask(batch: readonly Waiting[]): Promise<void> {
    const [first] = batch;
    if (first === undefined) return;
    const checks = new Map<string, { readonly check: Check; readonly place: number }>();
    for (const { check } of batch) {
      const key = `${check.principalId} ${check.permission}`;
      if (!checks.has(key)) checks.set(key, { check, place: checks.size });
    }
    try {
      const request = { checks: [...checks.values()].map(({ check }) => check) };
      const { revision, decisions } = await this.#calls.call('rbac.access.decide.v1', request, first.context);
      if (decisions.length !== checks.size)
        throw new AppError('internal', { internal: { reason: 'decisions missing' } });
      for (const { check, resolve, reject } of batch) {
        const place = checks.get(`${check.principalId} ${check.permission}`)?.place;
        const decision = place === undefined ? undefined : decisions[place];
        if (decision === undefined) reject(new AppError('internal', { internal: { reason: 'no decision' } }));
        else resolve({ decision, revision });
      }
    } catch (error) {
      for (const { reject } of batch) reject(error);
    }
  }
}

/** Resolves only for an explicit allow. A deny throws `forbidden`; whatever is neither throws, and never passes. */
export function requireAllow({ decision, revision }: Decided): void {
  switch (decision.effect) {
    case 'allow':
      return;
    case 'deny':
      throw new AppError('forbidden', { internal: { reason: decision.reason, revision } });
    default:
      throw new AppError('internal', { internal: { reason: 'unknown decision' } });
  }
}
