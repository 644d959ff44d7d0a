import { readFileSync } from 'node:fs';
import { homeFolder } from './folders.js';
import type { Env } from './folders.js';
import { drawTrace, treesOf } from './span-tree.js';
import { readSpans } from './span-store.js';
import type { KeptSpan } from './span-store.js';
import { readState } from './state.js';
import type { SystemState } from './state.js';
import { spansFolderOf } from './tracing.js';

export interface TraceCommand {
  readonly env: Env;
  readonly traceId: string | undefined;
  readonly isJson: boolean;
}

const listed = 20;

/**
 * Draws one trace, and the audit entries that were written in it. Without an id: the newest traces. The beginning of
 * an id is enough. Exit code 1 when there is no such trace.
 */
export async function traceCommand({ env, traceId, isJson }: TraceCommand): Promise<number> {
  const home = homeFolder(env);
  const folder = spansFolderOf(home);
  if (traceId === undefined) return listTraces(readSpans(folder));
  if (!/^[0-9a-f]{4,32}$/.test(traceId)) {
    console.error('a trace id is 32 hexadecimal digits (X-Trace-Id of a response); its first digits are enough');
    return 2;
  }
  const spans = readSpans(folder, traceId);
  const ids = [...new Set(spans.map((span) => span.traceId))];
  const [id] = ids;
  if (id === undefined || ids.length > 1) {
    console.error(
      ids.length > 1 ? `several traces begin with ${traceId}:\n${ids.join('\n')}` : notKept(traceId, folder),
    );
    return 1;
  }
  const entries = await auditEntries(readState(home), id);
  if (isJson) {
    console.log(JSON.stringify({ traceId: id, spans, audit: entries }));
    return 0;
  }
  const services = [...new Set(spans.map(({ service }) => service))];
  console.log(`trace ${id}  ${spans.length} spans of ${services.join(', ')}\n`);
  const colour = process.stdout.isTTY && env['NO_COLOR'] === undefined;
  const width = process.stdout.isTTY ? process.stdout.columns : 160;
  for (const line of drawTrace(spans, { colour, width })) console.log(line);
  console.log(`\n${auditText(entries)}`);
  return 0;
}

function listTraces(spans: readonly KeptSpan[]): number {
  const traces = new Map<string, KeptSpan[]>();
  for (const span of spans) traces.set(span.traceId, [...(traces.get(span.traceId) ?? []), span]);
  // Requests only: relays, checkpoints and batches have traces of their own, which a request's points to.
  const roots = [...traces.values()].flatMap((trace) =>
    treesOf(trace).flatMap(({ span }) => (span.kind === 'server' ? [{ span, trace }] : [])),
  );
  const newest = roots.toSorted((a, b) => b.span.startUs - a.span.startUs).slice(0, listed);
  if (newest.length === 0) {
    console.log('no trace is kept: start the system (npm start) and make a request');
    return 1;
  }
  for (const { span, trace } of newest) {
    const at = new Date(span.startUs / 1000).toISOString().slice(11, 23);
    const result = String(span.attributes['http.response.status_code'] ?? '');
    const took = `${(span.durationUs / 1000).toFixed(1)} ms`.padStart(10);
    console.log(`${span.traceId}  ${at}  ${took}  ${String(trace.length).padStart(3)} spans  ${span.name}  ${result}`);
  }
  return 0;
}

function notKept(traceId: string, folder: string): string {
  return (
    `no span of trace ${traceId} is kept in ${folder}. Spans arrive a second after the request; a load test is ` +
    `recorded in part only (OTEL_TRACES_PER_SECOND_MAX); with OTEL_ENABLED=false there are none.`
  );
}

export interface AuditLine {
  readonly index: number;
  readonly id: string;
  readonly type: string;
  readonly outcome: string;
  readonly occurredAt: string;
  readonly actor: { readonly type: string; readonly id?: string };
}

/** By the public API, as the administrator: the reading is recorded as anybody's would be. */
async function auditEntries(state: SystemState | undefined, traceId: string): Promise<AuditLine[] | string> {
  if (state === undefined) return 'the system does not run; its audit entries can be read when it does';
  try {
    const password = readFileSync(state.adminPasswordFile, 'utf8').trim();
    const tokens = (await post(`${state.apiUrl}/auth/login`, { email: state.adminEmail, password })) as {
      access_token: string;
    };
    const authorization = `Bearer ${tokens.access_token}`;
    const answer = await fetch(`${state.apiUrl}/audit/events?traceId=${traceId}`, { headers: { authorization } });
    if (!answer.ok) throw new Error(`the API answers ${answer.status}`);
    const { data } = (await answer.json()) as { data: AuditLine[] };
    await fetch(`${state.apiUrl}/auth/logout`, { method: 'POST', headers: { authorization } });
    return data.toSorted((a, b) => a.index - b.index);
  } catch (error) {
    return `audit entries cannot be read: ${error instanceof Error ? error.message : String(error)}`;
  }
}

async function post(url: string, body: unknown): Promise<unknown> {
  const headers = { 'content-type': 'application/json' };
  const answer = await fetch(url, { method: 'POST', headers, body: JSON.stringify(body) });
  if (!answer.ok) throw new Error(`the administrator cannot sign in (${answer.status})`);
  return answer.json();
}

function auditText(entries: AuditLine[] | string): string {
  if (typeof entries === 'string') return entries;
  if (entries.length === 0) return 'audit: no entry in this trace';
  const line = ({ index, type, outcome, actor, id }: AuditLine): string =>
    `  #${index}  ${type}  ${outcome}  by ${actor.type}${actor.id === undefined ? '' : ` ${actor.id}`}  id ${id}`;
  return ['audit entries in this trace:', ...entries.map(line)].join('\n');
}
