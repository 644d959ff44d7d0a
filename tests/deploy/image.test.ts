import { describe, expect, test } from '@jest/globals';
import { readFileSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { repositoryRoot } from './manifests.js';

const read = (file: string): string => readFileSync(path.join(repositoryRoot, file), 'utf8');
/** Instructions with their continuation lines joined, comments dropped. */
const instructions = (source: string): string[] =>
  source
    .replaceAll(/^\s*#.*\n/gm, '')
    .replaceAll(/\\\n\s*/g, '')
    .split('\n')
    .filter((line) => line.trim() !== '');

/** What the last stage, the image itself, does; and what the whole file may not. */
function dockerfileProblems(source: string): string[] {
  const all = instructions(source);
  const last = all.slice(all.findLastIndex((line) => line.startsWith('FROM ')));
  const value = (name: string) => last.findLast((line) => line.startsWith(`${name} `))?.slice(name.length + 1) ?? '';
  const presets = all.filter((line) => /^ARG \w+_IMAGE/.test(line)).map((line) => line.split('=')[1] ?? '');
  const problem = (condition: boolean, text: string): string[] => (condition ? [text] : []);
  return [
    ...problem(!/^\d{5,}:\d{5,}$/.test(value('USER')), 'the user is not a numeric one above 10000'),
    ...problem(!value('HEALTHCHECK').includes('healthcheck.mjs'), 'there is no health check'),
    ...problem(!value('ENTRYPOINT').startsWith('["node"'), 'the process is not node itself'),
    ...problem(
      last.some((line) => line.startsWith('RUN ')),
      'the image runs something while it is built',
    ),
    ...problem(
      last.some((line) => /^COPY (?!--from)/.test(line)),
      'the image copies from the folder',
    ),
    ...problem(
      presets.some((image) => !/:[a-z0-9.-]+$/.test(image) || image.endsWith(':latest')),
      'a base image moves',
    ),
    ...problem(/^#\s*syntax=|--mount=|--link\b|<</m.test(source), 'only one kind of builder understands it'),
    ...problem(
      all.some((line) => /npm (install|i) /.test(line)),
      'something is installed past the lock file',
    ),
    ...problem(
      all.some((line) => /npm ci/.test(line) && !line.includes('--ignore-scripts')),
      'scripts of packages run',
    ),
    ...problem(
      all.some((line) => /^(ARG|ENV) \w*(PASSWORD|SECRET|TOKEN|KEY)/.test(line)),
      'a secret is built in',
    ),
    ...problem(
      all.some((line) => /^ADD /.test(line) || /curl|wget/.test(line)),
      'something is fetched from elsewhere',
    ),
  ];
}

describe('the Dockerfile', () => {
  const source = read('Dockerfile');

  test('passes the review', () => {
    expect(dockerfileProblems(source)).toEqual([]);
  });

  test('knows every workspace of the lock file', () => {
    const { workspaces } = JSON.parse(read('package.json')) as { workspaces: string[] };
    const folders = workspaces.flatMap((pattern) => {
      const parent = pattern.replace('/*', '');
      if (parent === pattern) return [pattern];
      const found = readdirSync(path.join(repositoryRoot, parent), { withFileTypes: true });
      return found.filter((entry) => entry.isDirectory()).map(({ name }) => `${parent}/${name}`);
    });
    expect(folders.filter((folder) => !source.includes(`COPY ${folder}/package.json ${folder}/`))).toEqual([]);
  });

  test('is fed by an allow-list', () => {
    const lines = read('.dockerignore').split('\n');
    expect(lines.filter((line) => line !== '' && !line.startsWith('#'))[0]).toBe('*');
    expect(lines).toEqual(expect.arrayContaining(['**/node_modules', '**/.env']));
  });

  test.each([
    ['root', /USER 10001:10001/, 'USER root', 'numeric'],
    ['no health check', /HEALTHCHECK.*/, '', 'health'],
    ['a moving base', 'node:24.21.0-bookworm-slim', 'node:latest', 'moves'],
    ['scripts of packages', '--ignore-scripts ', '', 'scripts of packages'],
    ['a builder of its own', /^/, '# syntax=docker/dockerfile:1\n', 'kind of builder'],
    ['a built-in secret', 'ENV NODE_ENV=production', 'ENV API_TOKEN=x', 'secret'],
  ])('without care is found: %s (control)', (_name, from, to, problem) => {
    expect(dockerfileProblems(source.replace(from, to)).join('\n')).toContain(problem);
  });
});
