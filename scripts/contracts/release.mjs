/**
 * `npm run contracts:release`: keeps what this version says on the bus under libs/contracts/released/<version>, as
 * schemas and as examples. From then on tests/contracts holds every later version against it. Run it once, when the
 * version is released; a kept version is never made anew.
 */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describeContracts, messages } from './schemas.mjs';
import { examplesOf } from './examples.mjs';

const root = path.resolve(import.meta.dirname, '../..');
const { version } = JSON.parse(readFileSync(path.join(root, 'package.json'), 'utf8'));
const folder = path.join(root, 'libs/contracts/released', version);
if (existsSync(path.join(folder, 'contracts.json')) && !process.argv.includes('--again')) {
  console.error(`${version} is kept already; --again only before anybody runs it`);
  process.exit(1);
}
const contracts = describeContracts();
const examples = {};
for (const [name, { sent }] of Object.entries(contracts.messages)) {
  const found = examplesOf(sent)
    .filter((example) => messages[name].schema.safeParse(example).success)
    .slice(0, 6);
  if (found.length === 0)
    throw new Error(`no example of ${name}: ${String(messages[name].schema.safeParse(examplesOf(sent)[1]).error)}`);
  examples[name] = found;
}
mkdirSync(folder, { recursive: true });
const write = (file, value) => writeFileSync(path.join(folder, file), `${JSON.stringify(value, null, 1)}\n`);
write('contracts.json', contracts);
write('examples.json', examples);
console.log(`${Object.keys(examples).length} kinds of message of ${version} kept`);
