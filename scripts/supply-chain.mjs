/**
 * `npm run supply-chain -- [--offline]`: what other people's code comes with. Reads the lock file: versions are pinned,
 * every package has a checksum and comes from a registry, no licence outside of the list, no install script that was
 * not decided on. Then the bill of materials of each image, and the known vulnerabilities (`npm audit`, high and
 * above), which a registry has to answer. Exit code 1 for any finding, 2 when there is none but the question about
 * vulnerabilities was not answered: that is no clean bill.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { globSync, readFileSync } from 'node:fs';
import path from 'node:path';

const root = path.resolve(import.meta.dirname, '..');
const readJson = (file) => JSON.parse(readFileSync(path.join(root, file), 'utf8'));
const lock = readJson('package-lock.json');
const { allowScripts } = readJson('package.json');

// Permissive licences. What ships may have these only; tools may also have those of `forTools`.
const forAll = [
  '0BSD',
  'Apache-2.0',
  'BlueOak-1.0.0',
  'BSD-2-Clause',
  'BSD-3-Clause',
  'CC0-1.0',
  'ISC',
  'MIT',
  'Python-2.0',
  'Unlicense',
];
const forTools = [...forAll, 'CC-BY-4.0', 'MPL-2.0', 'PostgreSQL'];
/** Packages that name their licence in a form that npm does not keep; each was read. */
const read = { buildcheck: 'MIT', 'cpu-features': 'MIT', ssh2: 'MIT' };

const all = Object.entries(lock.packages).flatMap(([place, entry]) => {
  const name = place.split('node_modules/').at(-1);
  return place.includes('node_modules/') && entry.link !== true ? [{ name, ...entry }] : [];
});

/** Builds of a tool for other platforms, which the lock only names: npm fills in the rest where one is installed. */
const isNamedOnly = ({ integrity, resolved, optional, os }) =>
  integrity === undefined && resolved === undefined && optional === true && os !== undefined;
const installed = all.filter((one) => !isNamedOnly(one));

/** `(MIT OR X)` needs one good alternative, `MIT AND X` needs all. */
function isAllowed(expression, list) {
  const text = String(expression ?? '').replace(/[()]/g, '');
  return text.split(' OR ').some((way) => way.split(' AND ').every((one) => list.includes(one.trim())));
}

const manifests = globSync('{package.json,{libs,services,tools}/*/package.json,tests/package.json}', { cwd: root });
const findings = {
  'versions are exact': manifests.flatMap((file) => {
    const { dependencies = {}, devDependencies = {}, optionalDependencies = {} } = readJson(file);
    return Object.entries({ ...dependencies, ...devDependencies, ...optionalDependencies })
      .filter(([name, version]) => !/^\d+\.\d+\.\d+(-[\w.]+)?$/.test(version) && !name.startsWith('@prime-nest/'))
      .map(([name, version]) => `${file}: ${name} ${version}`);
  }),
  'every package has a checksum': installed
    .filter((one) => one.integrity === undefined && !one.inBundle)
    .map((one) => one.name),
  'no package comes from elsewhere': installed
    .filter((one) => one.resolved !== undefined && !one.resolved.startsWith('https://registry.npmjs.org/'))
    .map((one) => one.name),
  'licences are on the list': installed
    .filter((one) => !isAllowed(read[one.name] ?? one.license, one.dev === true ? forTools : forAll))
    .map((one) => `${one.name} ${one.version}: ${one.license ?? 'none named'}${one.dev === true ? ' (tool)' : ''}`),
  'install scripts are decided on': installed
    .filter((one) => one.hasInstallScript === true && allowScripts[one.name] === undefined)
    .map((one) => one.name),
};

let isGood = true;
for (const [rule, broken] of Object.entries(findings)) {
  console.log(`${rule}: ${broken.length === 0 ? 'yes' : 'NO'}`);
  for (const one of [...new Set(broken)]) console.log(`  ${one}`);
  isGood &&= broken.length === 0;
}
console.log(`${installed.length} packages, ${installed.filter((one) => one.dev !== true).length} of them ship`);
console.log(`${all.length - installed.length} builds of tools for other platforms are named without a checksum`);
console.log(`install scripts that run: ${Object.values(allowScripts).filter(Boolean).length}`);

/** Of `npm audit`: its counts and findings, or why there are none. */
function knownVulnerabilities() {
  const { stdout, error } = spawnSync('npm', ['audit', '--json', '--audit-level=high', '--loglevel=error'], {
    cwd: root,
    encoding: 'utf8',
    timeout: 120_000,
  });
  try {
    const said = JSON.parse(stdout);
    if (said.metadata?.vulnerabilities !== undefined) return said;
    return { refusal: said.message ?? said.error?.summary ?? 'an answer without counts' };
  } catch {
    return { refusal: error?.message ?? 'no answer that can be read' };
  }
}

let isAnswered = true;
if (process.argv.includes('--offline')) {
  console.log('known vulnerabilities: not asked (--offline)');
} else {
  execFileSync(process.execPath, ['scripts/deploy/sbom.mjs'], { cwd: root, stdio: 'inherit' });
  const { metadata, vulnerabilities = {}, refusal } = knownVulnerabilities();
  if (metadata === undefined) {
    isAnswered = false;
    console.log(`known vulnerabilities: UNKNOWN, the registry did not answer the question: ${refusal}`);
  } else {
    const { critical, high, moderate, low } = metadata.vulnerabilities;
    console.log(`known vulnerabilities: ${critical} critical, ${high} high, ${moderate} moderate, ${low} low`);
    for (const { name, severity } of Object.values(vulnerabilities)) console.log(`  ${name}: ${severity}`);
    isGood &&= critical + high === 0;
  }
}
process.exit(isGood ? (isAnswered ? 0 : 2) : 1);
