/** Texts of which at least one fits every text field of the contracts. */
const texts = [
  'a',
  'users',
  'users:view',
  'A name with ümlauts',
  '01a20879-dc88-7794-908e-494b5317cbe3',
  '2026-01-31T12:00:00.000Z',
  '69437c3a9dc7ba32f173f1f25083bd9e',
  '69437c3a9dc7ba32',
  'somebody@example.com',
  '192.0.2.7',
  '2001:db8::7',
  'order-4711-abc',
  'rbac.role.created.v1',
  'rbac.policy.imported.v1',
  'YWJjZA==',
  'a'.repeat(43),
  `${'a'.repeat(42)}A=`,
  `${'a'.repeat(85)}A==`,
  'x'.repeat(64),
  '69437c3a9dc7ba32f173f1f25083bd9e'.repeat(2),
  'x'.repeat(256),
];
const formats = {
  email: /^[^@\s]+@[^@\s]+$/,
  uuid: /^[0-9a-f-]{36}$/,
  'date-time': /T.*Z$/,
  ipv4: /^\d+(\.\d+){3}$/,
  ipv6: /:.*:/,
};

/** Messages of a schema: the least one, the fullest one, and one per alternative; equal ones once. */
export function examplesOf(schema) {
  const found = [];
  for (let turn = 0; turn < 24; turn++) found.push(JSON.stringify(make(schema, { root: schema, turn, depth: 0 })));
  return [...new Set(found)].map((text) => JSON.parse(text));
}

function make(schema, at) {
  if (schema.$ref !== undefined)
    return make(
      schema.$ref
        .split('/')
        .slice(1)
        .reduce((inside, part) => inside[part], at.root),
      { ...at, depth: at.depth + 1 },
    );
  const branches = Array.isArray(schema.type)
    ? schema.type.map((type) => ({ ...schema, type }))
    : (schema.anyOf ?? schema.oneOf);
  // A schema that holds itself ends with its simplest alternative.
  if (branches !== undefined) return make(branches[at.depth > 1 ? 0 : at.turn % branches.length], at);
  if (schema.const !== undefined) return schema.const;
  if (schema.enum !== undefined) return schema.enum[at.turn % schema.enum.length];
  switch (schema.type) {
    case 'object':
      return makeObject(schema, at);
    case 'array': {
      const count = Math.min(Math.max(schema.minItems ?? 0, at.turn % 3), schema.maxItems ?? 2);
      return Array.from({ length: count }, (_, index) => make(schema.items ?? {}, { ...at, turn: at.turn + index }));
    }
    case 'string':
      return makeText(schema, at);
    case 'integer':
    case 'number':
      return Math.min(Math.max(at.turn, schema.minimum ?? (schema.exclusiveMinimum ?? -1) + 1), schema.maximum ?? 1e9);
    case 'boolean':
      return at.turn % 2 === 1;
    case 'null':
      return null;
    default:
      return at.turn;
  }
}

function makeObject({ properties = {}, required = [], additionalProperties }, at) {
  const names = Object.keys(properties).filter((name) => at.turn % 2 === 1 || required.includes(name));
  const own = names.map((name) => [name, make(properties[name], { ...at, name })]);
  const isOpen = typeof additionalProperties === 'object' && at.turn % 2 === 1;
  return Object.fromEntries(isOpen ? [...own, ['extra', make(additionalProperties, at)]] : own);
}

function makeText({ pattern, format, minLength = 0, maxLength = 1e9 }, { turn, name }) {
  // Some rules are beyond what a JSON Schema says; the field's name tells them.
  const form = formats[format ?? name];
  const fitting = texts.filter(
    (text) =>
      text.length >= minLength &&
      text.length <= maxLength &&
      (pattern === undefined || new RegExp(pattern, 'u').test(text)) &&
      (form?.test(text) ?? true),
  );
  if (fitting.length === 0) throw new Error(`no text fits ${pattern ?? format ?? `${minLength}-${maxLength}`}`);
  return fitting[turn % fitting.length];
}
