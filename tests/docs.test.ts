import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, test } from '@jest/globals';
import { commandsOf, languages, linksOf, pagesOf, root, textOf } from './docs/pages.mjs';

const asvs = readFileSync(path.join(root, 'docs/assurance/asvs.md'), 'utf8');
const rows = asvs
  .split('\n')
  .map((line) => line.split(/(?<!\\)\|/).map((cell) => cell.trim()))
  .filter((cells) => /^\d+\.\d+\.\d+/.test(cells[1] ?? ''));

/** Files that a text names in backquotes, and the name of a test after it in quotation marks, if one stands there. */
function claimsOf(text: string): { file: string; name: string | undefined }[] {
  const pattern = /`([\w./-]+\/[\w.-]+\.(?:ts|mjs|md|json|yaml|txt))`(?: “([^”]+)”)?/g;
  return [...text.matchAll(pattern)].map(([, file = '', name]) => ({ file, name }));
}

/** What a text claims and the tree does not hold. */
function untrue(text: string): string[] {
  return claimsOf(text)
    .filter(({ file, name }) => {
      if (!existsSync(path.join(root, file))) return true;
      return name !== undefined && !readFileSync(path.join(root, file), 'utf8').includes(name);
    })
    .map(({ file, name }) => `${file} ${name ?? ''}`);
}

describe('the documents', () => {
  test('have the same pages in each language, with the same commands', () => {
    const required = ['architecture', 'authentication', 'rbac', 'audit', 'configuration', 'observability', 'security'];
    for (const language of languages) {
      expect(pagesOf(language)).toEqual(
        expect.arrayContaining([...required, 'operations', 'extending'].map((name) => `${name}.md`)),
      );
    }
    for (const page of pagesOf('pt-br')) {
      expect([page, commandsOf(textOf('pt-br', page))]).toEqual([page, commandsOf(textOf('en', page))]);
    }
  });

  test('link to files that exist', () => {
    const pages = [
      ...languages.flatMap((language) => pagesOf(language).map((name) => `docs/${language}/${name}`)),
      ...['README.md', 'ARCHITECTURE.md', 'SECURITY.md', 'CONTRIBUTING.md'],
      ...['docs/assurance/asvs.md', 'docs/assurance/mutation.md', 'docs/assurance/property-tests.md'],
    ];
    const broken = pages.flatMap((page) =>
      linksOf(readFileSync(path.join(root, page), 'utf8'))
        .filter((target) => !existsSync(path.resolve(root, path.dirname(page), target)))
        .map((target) => `${page}: ${target}`),
    );
    expect(broken).toEqual([]);
  });

  test('hold commands that work, as far as they need no running system', () => {
    // Those that do are run by `npm run docs:check`.
    const commands = new Set(
      languages.flatMap((language) => pagesOf(language).flatMap((page) => commandsOf(textOf(language, page)))),
    );
    const alone = [...commands].filter((block) => !/\$\{?(API|WORK|TOKEN|PRIME_NEST_HOME)/.test(block));
    expect(alone.length).toBeGreaterThan(1);
    for (const block of alone) {
      const { status, stderr } = spawnSync('bash', ['-euc', block], { cwd: root, encoding: 'utf8' });
      expect([block, status, status === 0 ? '' : stderr]).toEqual([block, 0, '']);
    }
  }, 120_000);
});

describe('the tables of what is assured', () => {
  test('name every requirement of ASVS 5.0, levels 1 and 2, once', () => {
    const numbers = rows.flatMap((cells) => (cells[1] ?? '').split(', ').map((number) => [number, cells[2]]));
    expect(new Set(numbers.map(([number]) => number)).size).toBe(numbers.length);
    expect(numbers.filter(([, level]) => level === '1')).toHaveLength(70);
    expect(numbers.filter(([, level]) => level === '2')).toHaveLength(183);
  });

  test('say for each whether it is held, and by what or why not', () => {
    for (const cells of rows) {
      expect(['yes', 'partly', 'no', 'n/a']).toContain(cells[4]);
      expect((cells[5] ?? '').length).toBeGreaterThan(2);
    }
  });

  test.each(['asvs', 'property-tests', 'mutation'])('name files and tests that exist: %s', (name) => {
    const text = readFileSync(path.join(root, `docs/assurance/${name}.md`), 'utf8');
    expect(claimsOf(text).length).toBeGreaterThan(3);
    expect(untrue(text)).toEqual([]);
    // The controls: a file that is not there and a test that is not in its file are found.
    expect(untrue('`tests/nowhere.test.ts`')).toHaveLength(1);
    expect(untrue('`tests/docs.test.ts` “a promise ' + 'that nobody made”')).toHaveLength(1);
  });
});
