import { readFileSync } from 'node:fs';
import type Joi from 'joi';
import { isError } from './redact.js';
import { Secret } from './secret.js';

/** Prefixes that every service owns; a variable that starts with one and is not in the schema is a misspelling. */
export const sharedPrefixes = ['NATS_', 'DB_', 'LOG_', 'HEALTH_', 'SHUTDOWN_'] as const;

/** Everything that is wrong with the environment, by variable name. Holds no value of any variable. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';
  readonly problems: readonly string[];

  constructor(service: string, problems: readonly string[]) {
    super(
      `${service}: the configuration has ${String(problems.length)} problem(s)\n${problems.map((p) => `  - ${p}`).join('\n')}`,
    );
    this.problems = problems;
  }
}

export type Environment = Readonly<Record<string, string | undefined>>;

export interface LoadConfigOptions {
  readonly service: string;
  readonly schema: Joi.ObjectSchema;
  readonly env: Environment;
  /** The service's own prefixes, such as `BILLING_`; {@link sharedPrefixes} are always added. */
  readonly prefixes: readonly string[];
}

export interface VariableDescription {
  readonly name: string;
  readonly type: string;
  readonly unit?: string;
  readonly default?: string;
  readonly secret: boolean;
  readonly required: boolean;
  readonly description: string;
}

/**
 * Reads the environment once and answers a deep-frozen object, or throws a {@link ConfigError} that lists every
 * problem at once. A key with `.meta({ secret: true })` arrives as {@link Secret} and may come from the file that
 * `<NAME>_FILE` points to (one trailing line break is dropped). Empty variables count as not set.
 */
export function loadConfig<T>({ service, schema, env, prefixes }: LoadConfigOptions): T {
  const variables = describeEnv(schema);
  const problems: string[] = [];
  const input: Record<string, string> = {};
  for (const variable of variables) {
    const value = readVariable(variable, env, problems);
    if (value !== undefined) input[variable.name] = value;
  }
  problems.push(...misspellings(variables, env, [...prefixes, ...sharedPrefixes]));

  const checked = schema.prefs({ abortEarly: false, convert: true, messages: safeMessages }).validate(input);
  for (const detail of checked.error?.details ?? []) {
    const name = detail.path.join('.');
    const rule = scrub(detail.message.replaceAll('"', ''), Object.values(input));
    if (!problems.some((problem) => problem.startsWith(`${name} `) || problem.startsWith(`${name}_FILE `)))
      problems.push(rule);
  }
  if (problems.length > 0) throw new ConfigError(service, problems);

  const config = { ...(checked.value as Record<string, unknown>) };
  for (const { name, secret } of variables) {
    const value = config[name];
    if (secret && typeof value === 'string') config[name] = new Secret(value);
  }
  return deepFreeze(config) as T;
}

/** The variables of a schema, in its order: the source of `.env.example` and of the configuration page. */
export function describeEnv(schema: Joi.ObjectSchema): VariableDescription[] {
  const keys = (schema.describe() as { keys?: Record<string, KeyDescription> }).keys ?? {};
  return Object.entries(keys).map(([name, key]) => {
    const unit = key.flags?.unit ?? key.metas?.find((meta) => meta.unit !== undefined)?.unit;
    const preset = key.flags?.default;
    return {
      name,
      type: typeName(key),
      ...(unit === undefined ? {} : { unit }),
      ...(isScalar(preset) ? { default: String(preset) } : {}),
      secret: key.metas?.some((meta) => meta.secret === true) ?? false,
      required: key.flags?.presence === 'required',
      description: key.flags?.description ?? '',
    };
  });
}

function isScalar(value: unknown): value is string | number | boolean {
  return ['string', 'number', 'boolean'].includes(typeof value);
}

interface KeyDescription {
  readonly type?: string;
  readonly flags?: { unit?: string; default?: unknown; presence?: string; description?: string; only?: boolean };
  readonly metas?: { secret?: boolean; unit?: string }[];
  readonly allow?: unknown[];
  readonly rules?: { name: string }[];
}

function typeName(key: KeyDescription): string {
  if (key.flags?.only === true) return (key.allow ?? []).filter((value) => typeof value !== 'object').join(' | ');
  if (key.rules?.some((rule) => rule.name === 'integer')) return 'integer';
  return key.type ?? 'any';
}

function readVariable(variable: VariableDescription, env: Environment, problems: string[]): string | undefined {
  const { name, secret } = variable;
  const direct = env[name] === '' ? undefined : env[name];
  const file = secret && env[`${name}_FILE`] !== '' ? env[`${name}_FILE`] : undefined;
  if (file === undefined) return direct;
  if (direct !== undefined) {
    problems.push(`${name} and ${name}_FILE are both set: keep one`);
    return direct;
  }
  try {
    return readFileSync(file, 'utf8').replace(/\r?\n$/, '');
  } catch (error) {
    const code = isError(error) && 'code' in error ? String(error.code) : 'unknown error';
    problems.push(`${name}_FILE points to a file that cannot be read (${code})`);
    return undefined;
  }
}

// Kubernetes adds these for each Service of the namespace, named after the Service: a Service `nats` gives NATS_PORT.
const serviceLink = /_SERVICE_HOST$|_SERVICE_PORT(_[A-Z0-9_]+)?$|_PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?$/;

function misspellings(
  variables: readonly VariableDescription[],
  env: Environment,
  prefixes: readonly string[],
): string[] {
  const known = new Set(variables.flatMap(({ name, secret }) => (secret ? [name, `${name}_FILE`] : [name])));
  const problems: string[] = [];
  for (const [name, value] of Object.entries(env)) {
    if (value === undefined || known.has(name) || !prefixes.some((prefix) => name.startsWith(prefix))) continue;
    if (serviceLink.test(name) || (name.endsWith('_PORT') && /^(tcp|udp|sctp):\/\//.test(value))) continue;
    const guess = closest(name, known);
    problems.push(`${name} is not a known variable${guess === undefined ? '' : `: did you mean ${guess}?`}`);
  }
  return problems;
}

function closest(name: string, known: ReadonlySet<string>): string | undefined {
  let best: string | undefined;
  let bestDistance = Math.max(2, Math.floor(name.length / 3)) + 1;
  for (const candidate of known) {
    const distance = editDistance(name, candidate);
    if (distance < bestDistance) [best, bestDistance] = [candidate, distance];
  }
  return best;
}

function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const cost = a[i - 1] === b[j - 1] ? 0 : 1;
      next.push(Math.min((row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1, (row[j - 1] ?? 0) + cost));
    }
    row = next;
  }
  return row[b.length] ?? 0;
}

// Joi's own texts for these rules print the value.
const safeMessages = {
  'string.pattern.base': '{{#label}} does not have the required format',
  'string.pattern.name': '{{#label}} does not have the required format ({{#name}})',
  'string.pattern.invert.base': '{{#label}} has a forbidden format',
  'string.pattern.invert.name': '{{#label}} has a forbidden format ({{#name}})',
  'any.custom': '{{#label}} is not acceptable',
  'any.required': '{{#label}} is required',
};

/** The last net: whatever a rule's text says, no value of the environment leaves in it. */
function scrub(message: string, values: readonly string[]): string {
  return values
    .filter((value) => value.length >= 4 && message.includes(value))
    .reduce((text, value) => text.replaceAll(value, '[value]'), message);
}

function deepFreeze(value: unknown): unknown {
  if (typeof value !== 'object' || value === null || Object.isFrozen(value)) return value;
  for (const nested of Object.values(value)) deepFreeze(nested);
  return Object.freeze(value);
}
