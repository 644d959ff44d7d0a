/**
 * Regenerates everything that is generated and committed. With `--check` it then fails if that changed a file:
 * what is committed must be what the code says.
 */
import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const generated = [
  'libs/contracts/golden',
  'docs/reference.md',
  'docs/en/configuration.md',
  'docs/pt-br/configuration.md',
  '.env.example',
  'deploy/nats',
  'deploy/postgres',
  'services/gateway/openapi.json',
];
const steps = [
  'scripts/generate-contracts.mjs',
  'scripts/generate-configuration.mjs',
  'tools/devstack/dist/generate-nats-conf.js',
  'tools/devstack/dist/generate-roles-sql.js',
  'services/gateway/dist/generate-openapi.js',
];

for (const step of steps) execFileSync(process.execPath, [step], { cwd: root, stdio: 'inherit' });
if (process.argv.includes('--check')) {
  const changed = execFileSync('git', ['status', '--porcelain', '--', ...generated], { cwd: root, encoding: 'utf8' });
  if (changed !== '') {
    console.error(`Generated files differ from what is committed; run "npm run gen" and review:\n${changed}`);
    process.exit(1);
  }
  console.log('generated files are up to date');
}
