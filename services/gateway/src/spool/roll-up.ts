import type { CallContext } from '@prime-nest/contracts/context';
import { readIpAddress } from '@prime-nest/kit/ip-address';
import type { GatewayEventDraft } from './record-event.js';

/** One line of the spool before it has an id: an event, or several equal ones with their count. */
export interface Line {
  readonly draft: GatewayEventDraft;
  readonly context: CallContext;
  /** When the first of them happened. */
  readonly at: Date;
  /** How many it stands for. */
  readonly count: number;
}

export interface RollUpLimits {
  readonly windowMs: number;
  /** Equal events that get a line of their own in a window; the others are counted. */
  readonly eachMax: number;
  /** Kinds that are told apart in a window; further ones are counted together, by type. */
  readonly keysMax: number;
  /** Lines of single events per second, all kinds together; beyond it all are counted. */
  readonly linesPerSecond: number;
}

export const defaultLimits: RollUpLimits = { windowMs: 10_000, eachMax: 5, keysMax: 1_000, linesPerSecond: 200 };

interface Window {
  readonly openedAt: Date;
  readonly isShared: boolean;
  singles: number;
  count: number;
  /** The first that was counted. */
  draft: GatewayEventDraft;
  context: CallContext;
  firstAt: Date;
  lastAt: Date;
  last: CallContext;
}

/**
 * Turns any number of events into a bounded number of lines, and loses none: what {@link take} and {@link close} have
 * answered, together with {@link waiting}, counts exactly what was taken. The first events of a kind get lines of their
 * own; a kind is type, outcome, reason, resource, and the account or the network of the caller.
 */
export class RollUp {
  readonly #limits: RollUpLimits;
  readonly #windows = new Map<string, Window>();
  #tokens: number;
  #filledAtMs = 0;

  constructor(limits: RollUpLimits = defaultLimits) {
    this.#limits = limits;
    this.#tokens = limits.linesPerSecond;
  }

  /** Events that are counted and in no line yet. */
  get waiting(): number {
    return [...this.#windows.values()].reduce((sum, { count }) => sum + count, 0);
  }

  /** The line to write now, undefined when the event was counted. */
  take(draft: GatewayEventDraft, context: CallContext, at: Date): Line | undefined {
    const window = this.#windowOf(draft, context, at);
    if (!window.isShared && window.count === 0 && window.singles < this.#limits.eachMax && this.#spend(at)) {
      window.singles++;
      return { draft, context, at, count: 1 };
    }
    if (window.count === 0) {
      window.firstAt = at;
      window.draft = window.isShared ? sharedDraft(draft) : draft;
      window.context = window.isShared ? ownContext(context) : context;
    }
    window.count++;
    window.lastAt = at;
    window.last = context;
    return undefined;
  }

  /** The counts of the windows that have ended by `now`; of all of them when no instant is given. */
  close(now?: Date): Line[] {
    const lines: Line[] = [];
    for (const [key, window] of this.#windows) {
      if (now !== undefined && now.getTime() - window.openedAt.getTime() < this.#limits.windowMs) continue;
      this.#windows.delete(key);
      if (window.count > 0) lines.push(lineOf(window));
    }
    return lines;
  }

  #windowOf(draft: GatewayEventDraft, context: CallContext, at: Date): Window {
    const key = keyOf(draft, context);
    const known = this.#windows.get(key);
    if (known !== undefined) return known;
    const isShared = this.#windows.size >= this.#limits.keysMax;
    const shared = isShared ? this.#windows.get(draft.type) : undefined;
    if (shared !== undefined) return shared;
    const moments = { openedAt: at, firstAt: at, lastAt: at };
    const window = { isShared, singles: 0, count: 0, draft, context, last: context, ...moments };
    this.#windows.set(isShared ? draft.type : key, window);
    return window;
  }

  #spend(at: Date): boolean {
    const { linesPerSecond } = this.#limits;
    const nowMs = at.getTime();
    const elapsedMs = Math.max(0, nowMs - this.#filledAtMs);
    this.#filledAtMs = nowMs;
    this.#tokens = Math.min(linesPerSecond, this.#tokens + (elapsedMs / 1000) * linesPerSecond);
    if (this.#tokens < 1) return false;
    this.#tokens--;
    return true;
  }
}

function keyOf({ type, outcome, reasonCode, resourceId }: GatewayEventDraft, { actor, ip }: CallContext): string {
  const caller = actor.type === 'anonymous' ? ip && readIpAddress(ip).network : actor.id;
  return JSON.stringify([type, outcome, reasonCode, resourceId, caller]);
}

/** What is left of an event that there was no room to tell apart: its type and that it happened. */
function sharedDraft({ type, outcome }: GatewayEventDraft): GatewayEventDraft {
  return { type, ...(outcome === undefined ? {} : { outcome }), reasonCode: 'other' };
}

/** Many callers share the line: it names none of them. */
function ownContext({ correlationId, trace }: CallContext): CallContext {
  return { correlationId, trace, actor: { type: 'service', id: 'gateway' } };
}

function lineOf({ draft, context, count, firstAt, lastAt, last }: Window): Line {
  const after = draft.change?.after;
  const rollUp = {
    count,
    firstAt: firstAt.toISOString(),
    lastAt: lastAt.toISOString(),
    last: { correlationId: last.correlationId, traceId: last.trace.traceId },
  };
  const fields = typeof after === 'object' && after !== null ? after : {};
  return {
    draft: { ...draft, change: { ...draft.change, after: { ...fields, rollUp } } },
    context,
    at: firstAt,
    count,
  };
}
