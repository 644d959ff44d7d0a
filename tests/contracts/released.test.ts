import { beforeAll, describe, expect, test } from '@jest/globals';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import type { z } from 'zod';
import { type Schema, notIncluded } from './inclusion.js';

/** During an upgrade pods of two versions run beside each other: what one says, the other has to understand. */
interface Contracts {
  readonly messages: Readonly<Record<string, { readonly sent: Schema; readonly taken: Schema }>>;
  readonly subjects: Readonly<Record<string, { readonly timeoutMs: number; readonly errors: readonly string[] }>>;
  readonly errors: Readonly<Record<string, { readonly status: number }>>;
  readonly events: Readonly<Record<string, unknown>>;
  readonly bus: Readonly<
    Record<string, { readonly publish: readonly string[]; readonly subscribe: readonly string[] }>
  >;
}

/** A difference that somebody has looked at: exact sentence, and why pods of both versions live with it. */
interface Accepted {
  readonly version: string;
  readonly problem: string;
  readonly reason: string;
}

const folder = fileURLToPath(new URL('../../libs/contracts/released', import.meta.url));
const read = <T>(...parts: string[]): T => JSON.parse(readFileSync(path.join(folder, ...parts), 'utf8')) as T;
const versions = readdirSync(folder).filter((name) => existsSync(path.join(folder, name, 'contracts.json')));
const accepted = read<Accepted[]>('accepted.json');
const clockToleranceMs = 5_000;

let now: Contracts;
let schemas: Record<string, { schema: z.ZodType }>;

beforeAll(async () => {
  const script = new URL('../../scripts/contracts/schemas.mjs', import.meta.url).href;
  const today = (await import(script)) as { describeContracts(): Contracts; messages: typeof schemas };
  now = structuredClone(today.describeContracts());
  schemas = today.messages;
});

/** Both ways, but for requests and events: servers and readers are there first, so only the old ones have to fit. */
function messageProblems(old: Contracts, next: Contracts): string[] {
  return Object.entries(old.messages).flatMap(([name, before]) => {
    const after = next.messages[name];
    if (after === undefined) return [`${name} is gone`];
    const forwards = notIncluded(before.sent, after.taken).map(
      (problem) => `${name} of the old, to the new ${problem}`,
    );
    if (name.startsWith('request ') || name === 'event') return forwards;
    return [
      ...forwards,
      ...notIncluded(after.sent, before.taken).map((one) => `${name} of the new, to the old ${one}`),
    ];
  });
}

function tableProblems(old: Contracts, next: Contracts): string[] {
  const subjects = Object.entries(old.subjects).flatMap(([subject, before]) => {
    const after = next.subjects[subject];
    if (after === undefined) return [];
    const unknown = after.errors.filter((code) => !before.errors.includes(code));
    return [
      ...unknown.map((code) => `${subject} may answer ${code}, which an old caller takes for a fault of the server`),
      // A server refuses a deadline that is further away than its own calls may take.
      ...(before.timeoutMs > after.timeoutMs + clockToleranceMs
        ? [`${subject} refuses the deadlines of old callers`]
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

describe.each(versions)('beside version %s', (version) => {
  const old = read<Contracts>(version, 'contracts.json');
  const examples = read<Record<string, unknown[]>>(version, 'examples.json');

  test('everything that is said is understood on the other side', () => {
    const known = accepted.filter((one) => one.version === version).map(({ problem }) => problem);
    const problems = [...messageProblems(old, now), ...tableProblems(old, now)];
    expect(problems.filter((problem) => !known.includes(problem))).toEqual([]);
    expect(known.filter((problem) => !problems.includes(problem))).toEqual([]);
  });

  test('the messages that it sent are taken as they are', () => {
    const refused = Object.entries(examples).flatMap(([name, list]) =>
      list.flatMap((example) => {
        const parsed = schemas[name]?.schema.safeParse(example);
        return parsed?.success === true ? [] : [`${name}: ${JSON.stringify(example)}`];
      }),
    );
    expect(refused).toEqual([]);
    expect(Object.keys(examples)).toEqual(Object.keys(old.messages));
  });
});

describe('a break is found (controls)', () => {
  const subject = 'rbac.role.create.v1';
  const request = `request ${subject}`;
  const response = `response ${subject}`;
  const part = (
    contracts: Contracts,
    name: string,
    side: 'sent' | 'taken',
  ): Record<string, Record<string, unknown>> & { required: string[] } => contracts.messages[name]?.[side] as never;

  test.each<[string, (next: Contracts) => void, string]>([
    [
      'a subject taken away',
      (next) => delete (next.messages as Record<string, unknown>)[request],
      `${request} is gone`,
    ],
    [
      'a field that becomes required',
      (next) => part(next, request, 'taken').required.push('owner'),
      '.owner: is required',
    ],
    [
      'a field taken away',
      (next) => delete part(next, request, 'taken')['properties']?.['name'],
      '.name: is not known',
    ],
    [
      'another type',
      (next) => (part(next, request, 'taken')['properties'] = { name: { type: 'integer' } }),
      '.name: is "string"',
    ],
    [
      'a bound that narrows',
      (next) => ((part(next, request, 'taken')['properties']?.['name'] as Record<string, unknown>)['maxLength'] = 3),
      'maxLength',
    ],
    ['an answer without a field', (next) => part(next, response, 'sent').required.splice(0, 1), 'is required'],
    [
      'an answer with another value',
      (next) => {
        const { properties, required } = part(next, response, 'sent');
        if (properties !== undefined) properties[required[0] ?? ''] = { type: 'null' };
      },
      'is "null"',
    ],
  ])('%s', (_name, breakIt, sentence) => {
    const next = structuredClone(now);
    breakIt(next);
    expect(messageProblems(now, next).join('\n')).toContain(sentence);
    expect(messageProblems(now, structuredClone(now))).toEqual([]);
  });

  test.each<[string, (next: Contracts) => void, string]>([
    [
      'an error that old callers do not know',
      (next) => (next.subjects[subject]?.errors as string[]).push('account_locked'),
      'may answer account_locked',
    ],
    [
      'an event taken away',
      (next) => delete (next.events as Record<string, unknown>)['rbac.role.created.v1'],
      'event rbac.role.created.v1 is gone',
    ],
    [
      'a right taken away',
      (next) => (next.bus['gateway']?.publish as string[]).shift(),
      'an old gateway may no longer publish',
    ],
    [
      'a much shorter deadline',
      (next) => ((next.subjects[subject] as { timeoutMs: number }).timeoutMs = -60_000),
      'refuses the deadlines',
    ],
  ])('%s', (_name, breakIt, sentence) => {
    const next = structuredClone(now);
    breakIt(next);
    expect(tableProblems(now, next).join('\n')).toContain(sentence);
    expect(tableProblems(now, structuredClone(now))).toEqual([]);
  });
});
