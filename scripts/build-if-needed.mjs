import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, readdirSync, statSync } from 'node:fs';
import path from 'node:path';

const root = path.resolve(import.meta.dirname, '..');
const node = path.join(root, 'node_modules/.bin', process.platform === 'win32' ? 'node.cmd' : 'node');

/**
 * The named projects (default: all) and what they refer to are compiled afterwards. Comparing file times takes
 * milliseconds, so an up-to-date tree does not pay for starting the compiler. Throws when the build fails.
 */
export function buildIfNeeded(projects = ['.']) {
  const closure = new Set();
  for (const project of projects) collect(path.resolve(root, project), closure);
  if (![...closure].some(isStale)) return;
  const tsc = path.join(root, 'node_modules/typescript/bin/tsc');
  const { status } = spawnSync(node, [tsc, '-b', ...projects], { cwd: root, stdio: ['ignore', 2, 2] });
  if (status !== 0) throw new Error(`the build failed (tsc -b ${projects.join(' ')})`);
}

function collect(folder, closure) {
  const { references = [], files } = JSON.parse(readFileSync(path.join(folder, 'tsconfig.json'), 'utf8'));
  if (closure.has(folder)) return;
  if (files === undefined) closure.add(folder);
  for (const reference of references) collect(path.resolve(folder, reference.path), closure);
}

function isStale(folder) {
  const stamp = path.join(folder, 'tsconfig.tsbuildinfo');
  if (!existsSync(stamp) || !existsSync(path.join(folder, 'dist'))) return true;
  const built = statSync(stamp).mtimeMs;
  const sources = readdirSync(path.join(folder, 'src'), { recursive: true })
    .filter((name) => name.endsWith('.ts') && !name.endsWith('.test.ts'))
    .map((name) => path.join(folder, 'src', name));
  return [path.join(folder, 'tsconfig.json'), ...sources].some((file) => statSync(file).mtimeMs > built);
}
