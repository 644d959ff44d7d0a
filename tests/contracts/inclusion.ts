/** A JSON Schema as the contracts generate it (draft 2020-12, the keywords that zod writes). */
export type Schema = { readonly [keyword: string]: unknown };

interface Side {
  readonly root: Schema;
  readonly schema: Schema;
}

/**
 * Why not every message that `produced` describes is one that `accepted` takes, as sentences with the place in front;
 * none when all are. Errs on the safe side: two patterns that are written differently count as different.
 */
export function notIncluded(produced: Schema, accepted: Schema): string[] {
  return compare({ root: produced, schema: produced }, { root: accepted, schema: accepted }, '', new Set());
}

function compare(from: Side, into: Side, at: string, open: Set<string>): string[] {
  const key = `${String(from.schema['$ref'])} ${String(into.schema['$ref'])}`;
  if (from.schema['$ref'] !== undefined && into.schema['$ref'] !== undefined) {
    if (open.has(key)) return [];
    open.add(key);
  }
  const [a, b] = [resolved(from), resolved(into)];
  const sources = branches(a);
  if (sources !== undefined) return sources.flatMap((one) => compare({ ...from, schema: one }, into, at, open));
  const targets = branches(b);
  if (targets !== undefined) {
    const attempts = targets.map((one) => compare(from, { ...into, schema: one }, at, open));
    if (attempts.some((problems) => problems.length === 0)) return [];
    const closest = attempts.reduce((best, one) => (one.length < best.length ? one : best));
    return closest.length === 0 ? [] : [`${at}: fits none of ${targets.length} alternatives (${closest[0] ?? ''})`];
  }
  if (takesAnything(b)) return [];
  return [
    ...values(a, b, at),
    ...bounds(a, b, at),
    ...members({ ...from, schema: a }, { ...into, schema: b }, at, open),
  ];
}

function resolved({ root, schema }: Side): Schema {
  const reference = schema['$ref'];
  if (typeof reference !== 'string') return schema;
  const parts = reference.split('/').slice(1);
  return parts.reduce<Schema>((at, part) => at[part] as Schema, root);
}

function branches(schema: Schema): Schema[] | undefined {
  if (Array.isArray(schema['type'])) return schema['type'].map((type: unknown) => ({ ...schema, type }));
  return (schema['anyOf'] ?? schema['oneOf']) as Schema[] | undefined;
}

const notes = ['default', 'title', 'description', '$defs'];
const takesAnything = (schema: Schema): boolean => Object.keys(schema).every((keyword) => notes.includes(keyword));

function listed(schema: Schema): unknown[] | undefined {
  if (schema['const'] !== undefined) return [schema['const']];
  return schema['enum'] as unknown[] | undefined;
}

function values(a: Schema, b: Schema, at: string): string[] {
  const isKnown = a['type'] === b['type'] || (a['type'] === 'integer' && b['type'] === 'number');
  if (b['type'] !== undefined && a['type'] !== undefined && !isKnown)
    return [`${at}: is ${text(a['type'])}, not ${text(b['type'])}`];
  if (a['type'] === undefined && listed(a) === undefined) return [`${at}: may be anything, not ${text(b['type'])}`];
  const [given, taken] = [listed(a), listed(b)];
  if (taken === undefined) return [];
  if (given === undefined) return [`${at}: only ${text(taken)} is taken`];
  return given.filter((one) => !taken.includes(one)).map((one) => `${at}: ${text(one)} is not taken`);
}

function bounds(a: Schema, b: Schema, at: string): string[] {
  const given = listed(a)?.filter((one) => typeof one === 'string');
  if (given !== undefined) return given.flatMap((one) => literal(one, b, at));
  const least = (keyword: string) =>
    ((a[keyword] as number | undefined) ?? Number.NEGATIVE_INFINITY) <
    ((b[keyword] as number | undefined) ?? Number.NEGATIVE_INFINITY);
  const most = (keyword: string) =>
    ((a[keyword] as number | undefined) ?? Number.POSITIVE_INFINITY) >
    ((b[keyword] as number | undefined) ?? Number.POSITIVE_INFINITY);
  const change = (keyword: string) => `${at}: ${keyword} was ${text(a[keyword] ?? 'open')} and is ${text(b[keyword])}`;
  return [
    ...['minimum', 'exclusiveMinimum', 'minLength', 'minItems'].filter(least).map(change),
    ...['maximum', 'exclusiveMaximum', 'maxLength', 'maxItems'].filter(most).map(change),
    ...['pattern', 'format', 'contentEncoding', 'multipleOf', 'uniqueItems']
      .filter((keyword) => b[keyword] !== undefined && b[keyword] !== a[keyword])
      .map(change),
  ];
}

function literal(value: string, b: Schema, at: string): string[] {
  const {
    pattern,
    minLength = 0,
    maxLength = Number.POSITIVE_INFINITY,
  } = b as { pattern?: string; minLength?: number; maxLength?: number };
  const fits =
    value.length >= minLength &&
    value.length <= maxLength &&
    (pattern === undefined || new RegExp(pattern, 'u').test(value));
  return fits ? [] : [`${at}: "${value}" is not taken`];
}

function members(from: Side, into: Side, at: string, open: Set<string>): string[] {
  const [a, b] = [from.schema, into.schema];
  const inside = (one: unknown, other: unknown, place: string): string[] =>
    compare({ ...from, schema: one as Schema }, { ...into, schema: other as Schema }, place, open);
  if (a['type'] === 'array') return b['items'] === undefined ? [] : inside(a['items'] ?? {}, b['items'], `${at}[]`);
  if (a['type'] !== 'object') return [];
  const [own, known] = [properties(a), properties(b)];
  const [always, wanted] = [required(a), required(b)];
  const rest = b['additionalProperties'];
  const problems = wanted.filter((name) => !always.includes(name)).map((name) => `${at}.${name}: is required`);
  for (const [name, schema] of Object.entries(own)) {
    if (known[name] !== undefined) problems.push(...inside(schema, known[name], `${at}.${name}`));
    else if (rest === false) problems.push(`${at}.${name}: is not known`);
    else if (typeof rest === 'object') problems.push(...inside(schema, rest, `${at}.${name}`));
  }
  const more = a['additionalProperties'];
  if (typeof more === 'object' && more !== null) {
    if (rest === false) problems.push(`${at}: names that are not listed are not taken`);
    else if (typeof rest === 'object') problems.push(...inside(more, rest, `${at}.*`));
  }
  return problems;
}

const properties = (schema: Schema): Record<string, unknown> => (schema['properties'] ?? {}) as Record<string, unknown>;
const required = (schema: Schema): string[] => (schema['required'] ?? []) as string[];
const text = (value: unknown): string => JSON.stringify(value);
