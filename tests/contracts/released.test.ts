import { beforeAll, describe, expect, test } from '@jest/globals';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { z } from 'zod';
import type { Schema } from './inclusion.js';
import { type Contracts, messageProblems, tableProblems } from './side-by-side.js';

/**
 * A difference that somebody has looked at: exact sentence, and why pods of both versions live with it. A new field of
 * a request is one: its servers know it in this version, and its callers send it from the next one on.
 */
interface Accepted {
  readonly version: string;
  readonly problem: string;
  readonly reason: string;
}

const folder = fileURLToPath(new URL('../../libs/contracts/released', import.meta.url));
const read = <T>(...parts: string[]): T => JSON.parse(readFileSync(path.join(folder, ...parts), 'utf8')) as T;
const versions = readdirSync(folder).filter((name) => existsSync(path.join(folder, name, 'contracts.json')));
const accepted = read<Accepted[]>('accepted.json');

let now: Contracts;
let schemas: Record<string, { schema: z.ZodType }>;
let examplesOf: (schema: Schema) => unknown[];

beforeAll(async () => {
  const script = (file: string) => new URL(`../../scripts/contracts/${file}`, import.meta.url).href;
  const today = (await import(script('schemas.mjs'))) as { describeContracts(): Contracts; messages: typeof schemas };
  const maker = (await import(script('examples.mjs'))) as { examplesOf: typeof examplesOf };
  now = structuredClone(today.describeContracts());
  schemas = today.messages;
  examplesOf = maker.examplesOf;
});

/** Messages of today that the other version refuses when it reads them by its own schemas. */
function refusedBy(old: Contracts, name: string): unknown[] {
  const after = now.messages[name];
  const before = old.messages[name];
  if (after === undefined || before === undefined) return [];
  const valid = examplesOf(after.sent).filter((example) => schemas[name]?.schema.safeParse(example).success);
  const reader = z.fromJSONSchema(before.taken);
  if (valid.length === 0) throw new Error(`no example of ${name}`);
  return valid.filter((example) => !reader.safeParse(example).success);
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

  test('it takes the messages of today: calls, answers, broadcasts and events', () => {
    const isKnown = (name: string) =>
      accepted.some((one) => one.version === version && one.problem.startsWith(`${name} of the new, `));
    const refused = Object.keys(old.messages)
      .filter((name) => !isKnown(name))
      .flatMap((name) => refusedBy(old, name).map((example) => `${name}: ${JSON.stringify(example)}`));
    expect(refused).toEqual([]);
  });

  test('it takes an event of a type that it does not list', () => {
    const reader = z.fromJSONSchema(old.messages['event']?.taken ?? {});
    const [event] = examples['event'] ?? [];
    const newer = { ...(event as object), type: 'rbac.policy.imported.v1' };
    expect(Object.keys(old.events)).not.toContain(newer.type);
    expect(reader.safeParse(newer).success).toBe(true);
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
    [
      'a call with a field that old servers refuse',
      (next) => (part(next, request, 'sent')['properties'] = { name: { type: 'string' }, owner: { type: 'string' } }),
      `${request} of the new, to the old .owner: is not known`,
    ],
    [
      'a call that may be longer than old servers take',
      (next) => ((part(next, request, 'sent')['properties']?.['name'] as Record<string, unknown>)['maxLength'] = 9999),
      `${request} of the new, to the old .name: maxLength`,
    ],
    [
      'an event with a field that old readers refuse',
      (next) => (part(next, 'event', 'sent')['properties'] = { ...part(next, 'event', 'sent')['properties'], geo: {} }),
      'event of the new, to the old .geo: is not known',
    ],
    [
      'a broadcast with less than old listeners need',
      (next) => part(next, 'broadcast notify.identity.keys.v1', 'sent').required.splice(0, 1),
      'is required',
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
      'an error of old servers that callers forgot',
      (next) => (next.subjects[subject]?.errors as string[]).splice(0, 1),
      'of the old may answer',
    ],
    [
      'a much longer deadline',
      (next) => ((next.subjects[subject] as { timeoutMs: number }).timeoutMs = 60_000),
      'of the old refuses the deadlines',
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

  test('a message that an old reader refuses, by its schema as kept', () => {
    const old = structuredClone(now);
    delete part(old, request, 'taken')['properties']?.['name'];
    expect(refusedBy(old, request).length).toBeGreaterThan(0);
    expect(refusedBy(structuredClone(now), request)).toEqual([]);
  });
});
