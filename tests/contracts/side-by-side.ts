import { type Schema, notIncluded } from './inclusion.js';

/** What one version says on the bus, as libs/contracts/released keeps it. */
export interface Contracts {
  readonly messages: Readonly<Record<string, { readonly sent: Schema; readonly taken: Schema }>>;
  readonly subjects: Readonly<Record<string, { readonly timeoutMs: number; readonly errors: readonly string[] }>>;
  readonly errors: Readonly<Record<string, { readonly status: number }>>;
  readonly events: Readonly<Record<string, unknown>>;
  readonly bus: Readonly<
    Record<string, { readonly publish: readonly string[]; readonly subscribe: readonly string[] }>
  >;
}

const clockToleranceMs = 5_000;

/**
 * Messages that one version sends and the other does not understand. Whole messages that only the new version knows are
 * no problem by rule: nobody listens on the subject of a new request, so it is answered `unavailable`, as any route of a
 * server that is not there yet; and nobody hears a new broadcast. New types of events are in the schema of `event`.
 */
export function messageProblems(old: Contracts, next: Contracts): string[] {
  return Object.entries(old.messages).flatMap(([name, before]) => {
    const after = next.messages[name];
    if (after === undefined) return [`${name} is gone`];
    return [
      ...notIncluded(before.sent, after.taken).map((problem) => `${name} of the old, to the new ${problem}`),
      ...notIncluded(after.sent, before.taken).map((problem) => `${name} of the new, to the old ${problem}`),
    ];
  });
}

/** What is agreed beside the messages: errors, deadlines, events, and rights. The bus of the new version comes first. */
export function tableProblems(old: Contracts, next: Contracts): string[] {
  const subjects = Object.entries(old.subjects).flatMap(([subject, before]) => {
    const after = next.subjects[subject];
    if (after === undefined) return [];
    const missing = (from: readonly string[], known: readonly string[]) => from.filter((code) => !known.includes(code));
    return [
      ...missing(after.errors, before.errors).map(
        (code) => `${subject} may answer ${code}, which an old caller takes for a fault of the server`,
      ),
      ...missing(before.errors, after.errors).map(
        (code) => `${subject} of the old may answer ${code}, which a new caller takes for a fault of the server`,
      ),
      // A server refuses a deadline that is further away than its own calls may take.
      ...(before.timeoutMs > after.timeoutMs + clockToleranceMs
        ? [`${subject} refuses the deadlines of old callers`]
        : []),
      ...(after.timeoutMs > before.timeoutMs + clockToleranceMs
        ? [`${subject} of the old refuses the deadlines of new callers`]
        : []),
    ];
  });
  const gone = (what: string, before: object, after: object): string[] =>
    Object.keys(before).flatMap((name) => (name in after ? [] : [`${what} ${name} is gone`]));
  const rights = Object.entries(old.bus).flatMap(([user, before]) =>
    (['publish', 'subscribe'] as const).flatMap((verb) =>
      before[verb]
        .filter((entry) => !next.bus[user]?.[verb].includes(entry))
        .map((entry) => `an old ${user} may no longer ${verb} ${entry}`),
    ),
  );
  return [...subjects, ...gone('error', old.errors, next.errors), ...gone('event', old.events, next.events), ...rights];
}
