/**
 * Makes package-lock.json complete: npm leaves out of the lock those optional platform packages that the registry at
 * hand does not serve, and `npm ci` then refuses the lock. This adds an entry for each, with the real os and cpu
 * taken from its name, so that every platform can install from the same file. `--check` changes nothing and exits 1
 * when an entry is missing.
 */
import { readFileSync, writeFileSync } from 'node:fs';

const path = new URL('../package-lock.json', import.meta.url);
const lock = JSON.parse(readFileSync(path, 'utf8'));
const systems = ['darwin', 'linux', 'win32', 'freebsd', 'android', 'openharmony', 'aix', 'sunos', 'netbsd', 'openbsd'];
const processors = {
  x64: 'x64',
  arm64: 'arm64',
  arm: 'arm',
  armv7: 'arm',
  ia32: 'ia32',
  ppc64: 'ppc64',
  s390x: 's390x',
};
processors.riscv64 = 'riscv64';
processors.loong64 = 'loong64';
processors.ppc64le = 'ppc64';
processors.wasm32 = 'wasm32';

const platform = (name) => {
  const words = name.split(/[/-]/);
  const os = words.find((word) => systems.includes(word));
  const cpu = words.map((word) => processors[word]).find((word) => word !== undefined);
  const libc = words.some((word) => word.startsWith('musl')) ? 'musl' : words.includes('gnu') ? 'glibc' : undefined;
  return {
    ...(cpu === undefined ? {} : { cpu: [cpu] }),
    ...(os === undefined ? {} : { os: [os] }),
    ...(libc === undefined || os !== 'linux' ? {} : { libc: [libc] }),
  };
};

const isInstalled = (parent, name) => {
  for (let folder = parent; ; folder = folder.slice(0, folder.lastIndexOf('/node_modules/'))) {
    if (lock.packages[`${folder === '' ? '' : `${folder}/`}node_modules/${name}`] !== undefined) return true;
    if (!folder.includes('/node_modules/')) return lock.packages[`node_modules/${name}`] !== undefined;
  }
};

const missing = new Map();
for (const [parent, entry] of Object.entries(lock.packages)) {
  for (const [name, version] of Object.entries(entry.optionalDependencies ?? {})) {
    if (!isInstalled(parent, name)) missing.set(name, version.replace(/^[~^]/, ''));
  }
}

if (process.argv.includes('--check')) {
  for (const [name, version] of missing) console.error(`package-lock.json lacks ${name}@${version}`);
  process.exit(missing.size === 0 ? 0 : 1);
}
for (const [name, version] of missing) {
  lock.packages[`node_modules/${name}`] = { version, ...platform(name), optional: true };
}
const rest = Object.entries(lock.packages).filter(([key]) => key !== '');
rest.sort(([a], [b]) => a.localeCompare(b, 'en'));
lock.packages = { '': lock.packages[''], ...Object.fromEntries(rest) };
writeFileSync(path, `${JSON.stringify(lock, null, 2)}\n`);
console.log(`package-lock.json: ${missing.size} platform entries added`);
