import { spawnSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { modelsFolder } from './tools.mjs';

const root = path.resolve(import.meta.dirname, '../..');
const packageOf = {
  'monitoring.coreos.com': '@kubernetes-models/prometheus-operator/',
  'gateway.networking.k8s.io': '@kubernetes-models/gateway-api/',
};

const moduleOf = ({ apiVersion, kind }) =>
  `${packageOf[apiVersion.split('/')[0]] ?? 'kubernetes-models/'}${apiVersion}/${kind}`;

/**
 * Sentences about every object that Kubernetes would not take as it is meant: wrong types and absent fields by the
 * validators of the API, misspelt fields by the compiler (the API server would drop them without a word).
 */
export async function schemaProblems(objects) {
  const modules = modelsFolder();
  const problems = [];
  for (const [label, object] of objects) {
    const module = await import(pathToFileURL(path.join(modules, `${moduleOf(object)}.js`)).href);
    try {
      new module[object.kind](object).validate();
    } catch (error) {
      problems.push(`${label} ${object.kind}/${object.metadata?.name}: ${error.message}`);
    }
  }
  return [...problems, ...misspelt(objects, modules)];
}

function misspelt(objects, modules) {
  const folder = path.join(path.dirname(modules), 'check');
  mkdirSync(folder, { recursive: true });
  const kinds = new Map(objects.map(([, object]) => [`${object.apiVersion} ${object.kind}`, object]));
  const names = new Map([...kinds.keys()].map((key, index) => [key, `Kind${index}`]));
  const lines = [...kinds].map(
    ([key, object]) => `import type { I${object.kind} as ${names.get(key)} } from '${moduleOf(object)}';`,
  );
  const label = [];
  for (const [from, object] of objects) {
    // One object per line, so that the line of an error names it.
    lines.push(
      `export const o${label.length} = ${JSON.stringify(object)} satisfies ${names.get(`${object.apiVersion} ${object.kind}`)};`,
    );
    label.push(`${from} ${object.kind}/${object.metadata.name}`);
  }
  writeFileSync(path.join(folder, 'objects.ts'), lines.join('\n'));
  writeFileSync(path.join(folder, 'package.json'), '{"type":"module"}');
  const options = [
    '--ignoreConfig',
    '--noEmit',
    '--strict',
    '--skipLibCheck',
    '--module',
    'nodenext',
    '--target',
    'es2023',
    '--pretty',
    'false',
  ];
  const tsc = path.join(root, 'node_modules/typescript/bin/tsc');
  const { status, stdout } = spawnSync(process.execPath, [tsc, ...options, 'objects.ts'], {
    cwd: folder,
    encoding: 'utf8',
  });
  if (status === 0) return [];
  const first = lines.length - label.length + 1;
  return stdout
    .split('\n')
    .filter((line) => line.includes('error TS'))
    .map((line) => {
      const number = Number(/\((\d+),/.exec(line)?.[1] ?? 0);
      return `${label[number - first] ?? ''}: ${line.replace(/^.*error TS\d+: /, '')}`;
    });
}
