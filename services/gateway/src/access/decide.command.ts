import { setTimeout as wait } from 'node:timers/promises';
import type { CallContext } from '@prime-nest/contracts/context';
import { AppError } from '@prime-nest/contracts/errors';
import type { Check, Decision } from '@prime-nest/contracts/rbac';
import type { RpcRequest, RpcResponse } from '@prime-nest/contracts/rpc';
import type { Rpc } from '@prime-nest/contracts/subjects';
import { startSpan } from '@prime-nest/kit/telemetry';
import type { Span } from '@prime-nest/kit/telemetry';
import type { Calls } from '../calls.js';
import { decisions as decisionTimes, mark } from '../telemetry.js';

export interface Decided {
  readonly decision: Decision;
  readonly revision: number;
}

type DecideRequest = RpcRequest<Rpc, 'rbac.access.decide.v1'>;
type Decisions = RpcResponse<Rpc, 'rbac.access.decide.v1'>;

interface Waiting {
  readonly check: Check;
  readonly context: CallContext;
  readonly resolve: (decided: Decided) => void;
  readonly reject: (error: unknown) => void;
  readonly startedAtMs: number;
  /** Only in traces that are recorded: this is the busiest path there is. */
  readonly span: Span | undefined;
}

const checksMax = 256;
/** Only an answer that came this soon leaves time for another question; a silence has used up the deadline. */
const soonMs = 250;
/** Long enough for a replica that is being replaced to leave the queue group. */
const pauseMs = 20;

/**
 * Asks rbac. Checks that come up in the same turn of the event loop travel in one message and are decided at one
 * revision; equal ones are asked once. An error is the error of every check in the message and never a decision; a quick
 * `unavailable` is asked about once more, because another replica may know, and a decision never is. The message carries
 * the context of its first recorded check; the spans of the others point there.
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
      const { trace } = context;
      const attributes = { [mark.permission]: check.permission };
      const span = trace.isSampled ? startSpan('access.decide', { parent: trace, attributes }) : undefined;
      this.#waiting.push({ check, context, resolve, reject, startedAtMs: performance.now(), span });
    });
  }

  #flush(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (let i = 0; i < waiting.length; i += checksMax) void this.#ask(waiting.slice(i, i + checksMax));
  }

  async #ask(batch: readonly Waiting[]): Promise<void> {
    const carrier = batch.find(({ span }) => span !== undefined) ?? batch[0];
    if (carrier === undefined) return;
    const { context, span: carrying } = carrier;
    const carried = carrying === undefined ? context : { ...context, trace: carrying.trace };
    const checks = new Map<string, { readonly check: Check; readonly place: number }>();
    for (const { check } of batch) {
      const key = `${check.principalId} ${check.permission}`;
      if (!checks.has(key)) checks.set(key, { check, place: checks.size });
    }
    try {
      const request = { checks: [...checks.values()].map(({ check }) => check) };
      const { revision, decisions } = await this.#decide(request, carried);
      if (decisions.length !== checks.size)
        throw new AppError('internal', { internal: { reason: 'decisions missing' } });
      for (const waiting of batch) {
        const { check, resolve, reject } = waiting;
        const place = checks.get(`${check.principalId} ${check.permission}`)?.place;
        const decision = place === undefined ? undefined : decisions[place];
        if (waiting !== carrier && carrying !== undefined) waiting.span?.link(carrying.trace);
        report(waiting, batch.length, decision === undefined ? undefined : { decision, revision });
        if (decision === undefined) reject(new AppError('internal', { internal: { reason: 'no decision' } }));
        else resolve({ decision, revision });
      }
    } catch (error) {
      for (const waiting of batch) {
        waiting.span?.fail(error);
        report(waiting, batch.length, undefined);
        waiting.reject(error);
      }
    }
  }

  async #decide(request: DecideRequest, context: CallContext): Promise<Decisions> {
    const startedAtMs = performance.now();
    try {
      return await this.#calls.call('rbac.access.decide.v1', request, context);
    } catch (error) {
      const isUnavailable = error instanceof AppError && error.code === 'unavailable';
      if (!isUnavailable || performance.now() - startedAtMs > soonMs) throw error;
    }
    await wait(pauseMs);
    return this.#calls.call('rbac.access.decide.v1', request, context);
  }
}

function report({ span, startedAtMs }: Waiting, batchSize: number, decided: Decided | undefined): void {
  const effect = decided?.decision.effect ?? 'error';
  decisionTimes.observe({ effect }, (performance.now() - startedAtMs) / 1000);
  if (span === undefined) return;
  span.setAttribute(mark.effect, effect);
  span.setAttribute(mark.batchSize, batchSize);
  if (decided !== undefined) {
    span.setAttribute(mark.revision, decided.revision);
    if ('reason' in decided.decision) span.setAttribute(mark.reason, decided.decision.reason);
  }
  span.end();
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
