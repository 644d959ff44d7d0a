/** One migration as what it sends to PostgreSQL. */
export interface RecordedMigration {
  readonly name: string;
  readonly sql: readonly string[];
}

type Rule = readonly [pattern: RegExp, problem: string];

/** Wherever it stands, the pods of the version before miss it. */
const never: readonly Rule[] = [
  [
    /\bDROP\s+(TABLE|COLUMN|SCHEMA|(MATERIALIZED\s+)?VIEW|TYPE|DOMAIN|SEQUENCE|FUNCTION|PROCEDURE|DEFAULT|ROLE)\b/i,
    'takes something away',
  ],
  [/\bRENAME\b/i, 'renames something'],
  [/^\s*(TRUNCATE|DELETE\s+FROM)\b/i, 'removes rows'],
  [/\bREVOKE\b(?![^;]*\bFROM\s+PUBLIC\b)/i, 'takes a right away'],
  [/\bALTER\s+TYPE\b/i, 'changes a type'],
];

/** On a table that was there before: its old writers may be refused, or its old readers surprised. */
const onExisting: readonly Rule[] = [
  [/\bDROP\s+(?!CONSTRAINT\b|NOT\s+NULL\b|EXPRESSION\b|IDENTITY\b)/i, 'takes something away'],
  [/\bALTER\s+(COLUMN\s+)?"?\w+"?\s+(SET\s+DATA\s+)?TYPE\b/i, 'changes the type of a column'],
  [/\bSET\s+NOT\s+NULL\b/i, 'demands a value'],
  [/\bADD\s+(CONSTRAINT\s+"?\w+"?\s+)?(CHECK|UNIQUE|FOREIGN\s+KEY|EXCLUDE|PRIMARY\s+KEY)\b/i, 'adds a rule'],
  [/^\s*CREATE\s+UNIQUE\s+INDEX\b/i, 'adds a rule'],
];

/**
 * What the pods of the version before could not live with, as sentences: migrations run while those still serve, and a
 * rollback brings them back onto the new schema. Reads the SQL as text, so it takes a form of words that it does not
 * know for a break rather than the other way round only where it can; reviews look at the rest.
 */
export function contractions({ name, sql }: RecordedMigration): string[] {
  const statements = sql.flatMap(statementsOf);
  const created = new Set(
    statements.flatMap((one) =>
      tableOf(one, /^\s*CREATE\s+(?:UNLOGGED\s+)?TABLE\s+(?:IF\s+NOT\s+EXISTS\s+)?([\w."]+)/i),
    ),
  );
  return statements.flatMap((statement) => {
    const table = tableOf(
      statement,
      /^\s*(?:ALTER\s+TABLE\s+(?:IF\s+EXISTS\s+)?(?:ONLY\s+)?|CREATE\s+UNIQUE\s+INDEX\s+(?:[\w\s]+?\s)?ON\s+(?:ONLY\s+)?)([\w."]+)/i,
    )[0];
    const isExisting = table !== undefined && !created.has(table);
    const broken = [...never, ...(isExisting ? onExisting : [])].filter(([pattern]) => pattern.test(statement));
    const problems = new Set(broken.map(([, problem]) => problem));
    if (
      isExisting &&
      addedColumns(statement).some(
        (column) => /\bNOT\s+NULL\b/i.test(column) && !/\b(DEFAULT|GENERATED)\b/i.test(column),
      )
    )
      problems.add('adds a column that old writers leave empty');
    return [...problems].map((problem) => `${name} ${problem}: ${statement.trim().replace(/\s+/g, ' ').slice(0, 120)}`);
  });
}

function tableOf(statement: string, pattern: RegExp): string[] {
  const found = pattern.exec(statement)?.[1];
  return found === undefined ? [] : [(found.split('.').at(-1) ?? found).replaceAll('"', '')];
}

function addedColumns(statement: string): string[] {
  const clauses = statement.replace(/\([^()]*\)/g, '()').split(',');
  return clauses.filter((clause) =>
    /\bADD\s+(COLUMN\b|(?!CONSTRAINT|CHECK|UNIQUE|FOREIGN|EXCLUDE|PRIMARY)\w)/i.test(clause),
  );
}

/** Statements without comments and without the bodies of functions, whose text changes nothing by being stored. */
function statementsOf(sql: string): string[] {
  const plain = sql.replace(/--[^\n]*/g, '').replace(/\/\*[\s\S]*?\*\//g, '');
  const parts = plain.split(/(\$\w*\$)/);
  let open: string | undefined;
  let statement = '';
  const done: string[] = [];
  for (const part of parts) {
    if (/^\$\w*\$$/.test(part)) {
      open = open === undefined ? part : open === part ? undefined : open;
      continue;
    }
    if (open !== undefined) {
      if (!/\bFUNCTION\b|\bPROCEDURE\b/i.test(statement)) statement += part.replaceAll(';', ' ');
      continue;
    }
    const [first = '', ...rest] = part.split(';');
    statement += first;
    for (const next of rest) {
      done.push(statement);
      statement = next;
    }
  }
  return [...done, statement].filter((one) => one.trim() !== '');
}
