/**
 * `npm run mutation [area …]`: changes the code in small ways and demands that a test fails each time. Prints killed
 * and survived by area, writes the survivors to reports/mutation, and fails below 85 % in any area.
 */
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { Stryker } from '@stryker-mutator/core';
import { areas } from './areas.mjs';

const root = path.resolve(import.meta.dirname, '../..');
const least = 85;
const chosen = process.argv.length > 2 ? process.argv.slice(2) : Object.keys(areas);
process.chdir(root);
process.env.TEST_WALKS ??= '100';

/** Counts and survivors of a report in the common format of mutation testing tools. */
function judge(file) {
  const { files } = JSON.parse(readFileSync(file, 'utf8'));
  const mutants = Object.entries(files).flatMap(([name, { source, mutants }]) =>
    mutants.map((mutant) => ({ ...mutant, name, source })),
  );
  const count = (...states) => mutants.filter(({ status }) => states.includes(status)).length;
  const killed = count('Killed', 'Timeout');
  const survivors = mutants.filter(({ status }) => ['Survived', 'NoCoverage'].includes(status));
  return { killed, survivors, share: (100 * killed) / (killed + survivors.length) };
}

const results = [];
for (const name of chosen) {
  const area = areas[name];
  if (area === undefined) throw new Error(`no such area: ${name}; there are ${Object.keys(areas).join(', ')}`);
  process.env.MUTATION_AREA = name;
  const file = `reports/mutation/${name}.json`;
  await new Stryker({
    mutate: area.mutate.map((pattern) => `${area.folder}/${pattern}`),
    testRunner: 'jest',
    testRunnerNodeArgs: ['--experimental-vm-modules', '--no-warnings'],
    jest: { projectType: 'custom', configFile: 'scripts/mutation/jest.config.mjs' },
    plugins: ['@stryker-mutator/jest-runner', './scripts/mutation/messages.mjs'],
    ignorers: ['messages'],
    // Generous: a change that only a slow machine catches must not count as noticed.
    timeoutMS: area.timeoutMs ?? 20_000,
    coverageAnalysis: 'perTest',
    concurrency: Number(process.env.MUTATION_CONCURRENCY ?? 1),
    ignorePatterns: ['.cache', '.nx', '.prime-nest', 'bench', 'deploy', 'docs', 'tests', 'tools'],
    tempDirName: `.cache/mutation-${name}`,
    reporters: ['json', ...(process.env.CI === undefined ? ['progress-append-only'] : [])],
    jsonReporter: { fileName: file },
    allowEmpty: false,
    logLevel: 'warn',
  }).runMutationTest();
  const result = judge(path.join(root, file));
  results.push({ name, ...result });
  for (const { name: source, location, mutatorName, replacement, status } of result.survivors) {
    const { line, column } = location.start;
    console.log(`${status.toLowerCase()} ${source}:${line}:${column} ${mutatorName} -> ${replacement ?? ''}`);
  }
}

console.log('');
for (const { name, killed, survivors, share } of results) {
  const verdict = share >= least ? 'holds' : `below ${least} %`;
  console.log(`${name.padEnd(22)} ${killed} killed, ${survivors.length} survived: ${share.toFixed(1)} %, ${verdict}`);
}
process.exit(results.every(({ share }) => share >= least) ? 0 : 1);
