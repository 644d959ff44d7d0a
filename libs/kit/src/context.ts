import { AsyncLocalStorage } from 'node:async_hooks';
import type { Actor, CallContext } from '@prime-nest/contracts/context';
import type { TraceContext } from '@prime-nest/contracts/trace';
import { newId } from './ids.js';
import { idBytes } from './random.js';

interface Store {
  readonly context: CallContext;
  /** Epoch milliseconds after which nobody waits for the outcome. */
  readonly deadline: number | undefined;
}

const storage = new AsyncLocalStorage<Store>();

/**
 * Runs `fn`, and everything it awaits, with `context` as the current one; the deadline is the outer one's unless given.
 * A context given as a function is made when somebody asks for it, once.
 */
export function runInContext<T>(
  context: CallContext | (() => CallContext),
  fn: () => T,
  deadline = storage.getStore()?.deadline,
): T {
  const store = typeof context === 'function' ? new LaterStore(context, deadline) : { context, deadline };
  return storage.run(store, fn);
}

class LaterStore implements Store {
  readonly deadline: number | undefined;
  readonly #make: () => CallContext;
  #made: CallContext | undefined;

  constructor(make: () => CallContext, deadline: number | undefined) {
    this.#make = make;
    this.deadline = deadline;
  }

  get context(): CallContext {
    return (this.#made ??= this.#make());
  }
}

/** The context of the call being served, if any. For logs and spans; commands get theirs as a parameter. */
export function currentContext(): CallContext | undefined {
  return storage.getStore()?.context;
}

/** Whether the caller of the work in hand has stopped waiting: it has been told "unavailable" already. */
export function isPastDeadline(now: number): boolean {
  const deadline = storage.getStore()?.deadline;
  return deadline !== undefined && now > deadline;
}

/** A fresh, unsampled position in a fresh trace: valid W3C ids made from random bytes, never all zero. */
export function newTrace(): TraceContext {
  return { traceId: nonZeroHex(16), spanId: nonZeroHex(8), isSampled: false };
}

/** A new span id below `parent`, in the same trace and with the same sampling decision. */
export function childTrace(parent: TraceContext): TraceContext {
  return { ...parent, spanId: nonZeroHex(8) };
}

/** A context that begins here: new correlation id, new trace. */
export function freshContext(actor: Actor): CallContext {
  return { correlationId: newId(), trace: newTrace(), actor };
}

/** The context of work that a service does by itself: jobs, seeds, start-up. */
export function serviceContext(service: string): CallContext {
  return freshContext({ type: 'service', id: service });
}

function nonZeroHex(bytes: number): string {
  for (;;) {
    const hex = idBytes(bytes).toString('hex');
    if (!/^0+$/.test(hex)) return hex;
  }
}
