/** Runs jest in ESM mode on the pinned Node: `node scripts/jest.mjs [project] [jest arguments]`. */
import { spawn } from 'node:child_process';
import path from 'node:path';

const root = path.resolve(import.meta.dirname, '..');
const [project, ...rest] = process.argv.slice(2);
const select = project === undefined || project.startsWith('-') ? [] : ['--selectProjects', project];
const passed = select.length === 0 && project !== undefined ? [project, ...rest] : rest;
const bin = path.join(root, 'node_modules', '.bin');
const child = spawn(
  path.join(bin, 'node'),
  ['--experimental-vm-modules', '--no-warnings', 'node_modules/jest/bin/jest.js', ...passed, ...select],
  { cwd: root, stdio: 'inherit', env: { ...process.env, PATH: `${bin}${path.delimiter}${process.env.PATH}` } },
);
child.on('exit', (code, signal) => process.exit(code ?? (signal === null ? 1 : 130)));
