import type { EventFilter } from '@prime-nest/contracts/audit';
import { eventTable } from '@prime-nest/contracts/events';
import { storable } from '../log/columns.js';

/** A WHERE clause over `event`: SQL with `$n` placeholders from `firstParam` on, and their values. */
export interface Condition {
  readonly sql: string;
  readonly params: readonly unknown[];
}

/**
 * All conditions of the filter, joined by AND; `TRUE` for none. A type also names its action, because actions are
 * what the index knows.
 */
export function filterCondition(filter: EventFilter, firstParam: number): Condition {
  const parts: [string, unknown][] = [];
  const equal = (column: string, value: unknown): void => {
    if (value !== undefined) parts.push([`${column} = `, value]);
  };
  equal('actor_id', filter.actorId);
  equal('action', filter.action ?? actionOf(filter.type));
  equal('type', filter.type);
  equal('resource_type', filter.resourceType);
  equal('resource_id', filter.resourceId);
  equal('outcome', filter.outcome);
  equal('trace_id', filter.traceId);
  equal('correlation_id', filter.correlationId);
  if (filter.occurredFrom !== undefined) parts.push(['occurred_at >= ', filter.occurredFrom]);
  if (filter.occurredTo !== undefined) parts.push(['occurred_at < ', filter.occurredTo]);
  if (parts.length === 0) return { sql: 'TRUE', params: [] };
  return {
    sql: parts.map(([condition], index) => `${condition}$${firstParam + index}`).join(' AND '),
    params: parts.map(([, value]) => (typeof value === 'string' ? storable(value) : value)),
  };
}

function actionOf(type: string | undefined): string | undefined {
  return type !== undefined && Object.hasOwn(eventTable, type)
    ? eventTable[type as keyof typeof eventTable].action
    : undefined;
}

const cursorPattern = /^[0-9]{1,15}$/;

/** The position that a cursor stands for: the page holds entries below it. Undefined for what is no cursor of ours. */
export function parseCursor(cursor: string): number | undefined {
  return cursorPattern.test(cursor) ? Number(cursor) : undefined;
}
