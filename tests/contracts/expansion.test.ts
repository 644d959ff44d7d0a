import { describe, expect, test } from '@jest/globals';
import { auditMigrations } from '@prime-nest/audit/migrations/list';
import { migrations as identityMigrations } from '@prime-nest/identity/migrations/migrate';
import { rbacMigrations } from '@prime-nest/rbac/migrations/list';
import { type RecordedMigration, contractions } from './expansion.js';

interface Migration {
  readonly name?: string;
  up(runner: unknown): Promise<void>;
}

/**
 * A contraction that is safe where it stands, by the start of its sentence, with the reason: nothing of the version
 * before needs what it takes away. Empty as long as every migration only adds.
 */
const accepted: readonly { readonly problem: string; readonly reason: string }[] = [];

async function record(service: string, migration: Migration): Promise<RecordedMigration> {
  const sql: string[] = [];
  await migration.up({ query: (text: string) => Promise.resolve(sql.push(text) > 0 ? [] : []) });
  return { name: `${service} ${String(migration.name)}`, sql };
}

const all = Object.entries({ identity: identityMigrations, rbac: rbacMigrations, audit: auditMigrations });

describe.each(all)('the migrations of %s', (service, classes) => {
  test.each(classes.map((one) => [one.name, one] as const))('%s only adds', async (_name, one) => {
    const recorded = await record(service, new one());
    expect(recorded.sql.join('').length).toBeGreaterThan(10);
    const problems = contractions(recorded).filter(
      (problem) => !accepted.some((one) => problem.startsWith(one.problem)),
    );
    expect(problems).toEqual([]);
  });
});

describe('what takes something from the version before is found (controls)', () => {
  test.each([
    ['ALTER TABLE role DROP COLUMN name', 'takes something away'],
    ['ALTER TABLE role DROP name', 'takes something away'],
    ['DROP TABLE rbac.role', 'takes something away'],
    ["DO $$ BEGIN EXECUTE format('DROP TABLE %I', x); END $$", 'takes something away'],
    ['ALTER TABLE role RENAME COLUMN name TO title', 'renames something'],
    ['ALTER TABLE role ALTER COLUMN name TYPE varchar(20)', 'changes the type'],
    ['ALTER TABLE role ALTER name SET NOT NULL', 'demands a value'],
    ['ALTER TABLE role ADD COLUMN owner uuid NOT NULL', 'leave empty'],
    ["ALTER TABLE role ADD a int, ADD owner uuid NOT NULL CHECK (owner <> '')", 'leave empty'],
    ['ALTER TABLE role ADD CONSTRAINT short CHECK (length(name) < 9)', 'adds a rule'],
    ['CREATE UNIQUE INDEX role_title ON rbac.role (title)', 'adds a rule'],
    ['REVOKE INSERT ON role FROM rbac', 'takes a right away'],
    ["UPDATE role SET name = upper(name); DELETE FROM role WHERE name = ''", 'removes rows'],
  ])('%s', (sql, problem) => {
    expect(contractions({ name: 'control', sql: [sql] }).join('\n')).toContain(problem);
  });

  test.each([
    'ALTER TABLE role ADD COLUMN owner uuid',
    'ALTER TABLE role ADD COLUMN position int NOT NULL DEFAULT 0',
    'ALTER TABLE role ALTER COLUMN name DROP NOT NULL',
    'CREATE TABLE fresh (a int NOT NULL); ALTER TABLE fresh ADD CONSTRAINT positive CHECK (a > 0)',
    'CREATE UNIQUE INDEX CONCURRENTLY x ON fresh (a); CREATE TABLE fresh (a int)',
    'CREATE FUNCTION f() RETURNS void LANGUAGE sql AS $$ DELETE FROM role; DROP TABLE x $$',
    '-- DROP TABLE role\nREVOKE ALL ON FUNCTION f() FROM PUBLIC',
  ])('and what adds is not: %s', (sql) => {
    expect(contractions({ name: 'control', sql: [sql] })).toEqual([]);
  });
});
