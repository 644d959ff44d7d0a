/**
 * What an image contains of other people's work: `npm run deploy:sbom [folder]` writes one CycloneDX file per service
 * from the lock file, with the packages that the image installs and no others.
 */
import { execFileSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';

const root = path.resolve(import.meta.dirname, '../..');
const folder = path.resolve(process.argv[2] ?? path.join(root, '.cache/sbom'));
mkdirSync(folder, { recursive: true });
for (const service of ['gateway', 'identity', 'rbac', 'audit']) {
  const options = [
    '--package-lock-only',
    '--sbom-format',
    'cyclonedx',
    '--omit',
    'dev',
    '--workspace',
    `services/${service}`,
  ];
  const text = execFileSync('npm', ['sbom', '--loglevel=error', ...options], {
    cwd: root,
    encoding: 'utf8',
    maxBuffer: 64e6,
  });
  const { components } = JSON.parse(text);
  const file = path.join(folder, `${service}.cdx.json`);
  writeFileSync(file, text);
  console.log(`${file}: ${components.length} components`);
}
