/**
 * Checks the chart without a cluster: lint, every variant rendered for the oldest and the newest Kubernetes, forbidden
 * values refused, the committed manifests equal to what the chart makes, every object against the API's schema.
 * `--write` renders the committed manifests anew. The policy of what is rendered is checked by tests/deploy.
 * Ends with `N passed, N failed`; without helm or the schemas it says so in one line and exits 0.
 */
import { existsSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { parseAllDocuments } from 'yaml';
import { chart, kubeVersions, manifests, template, valuesOf, variants } from './render.mjs';
import { schemaProblems } from './schemas.mjs';
import { UnavailableError, helm, helmPath, modelsFolder } from './tools.mjs';

const root = path.resolve(import.meta.dirname, '../..');
const rendered = path.join(root, 'deploy/k8s/rendered');
/** Files of the chart that are made or kept elsewhere: a chart cannot read outside its own folder. */
const copies = {
  'roles.sql': 'deploy/postgres/roles.sql',
  'nats.conf': 'deploy/nats/nats.conf',
  ...Object.fromEntries(
    ['roles.sh', 'nats-server.conf', 'nats.sh', 'pg_hba.conf'].map((file) => [file, `deploy/compose/${file}`]),
  ),
  ...Object.fromEntries(
    readdirSync(path.join(root, 'deploy/observability/alerts'))
      .filter((file) => file.endsWith('.yaml'))
      .map((file) => [`alerts/${file}`, `deploy/observability/alerts/${file}`]),
  ),
};
const refused = [
  ['a tag that moves', ['image.tag=latest']],
  ['a misspelt value', ['gateway.replcas=3']],
  ['an unbounded container', ['rbac.resources.limits=null']],
  ['bundled servers with jobs that run before them', ['bundled.enabled=true']],
  ['a route to nowhere', ['httpRoute.enabled=true', 'gateway.env.TRUSTED_PROXY_HOPS=1']],
  ['a proxy whose address stands for all clients', ['ingress.enabled=true']],
  ['more pods than the most', ['audit.autoscaling.minReplicas=9']],
  ['a way to an upstream that no route has', ['gateway.upstreams.nobody.port=8080']],
  ['a route file without routes', ['gateway.routes.upstreams.x.url=http://x']],
  ['no origins', ['gateway.env.ALLOWED_ORIGINS=']],
];

/** Every variable that a schema calls a secret; the reference is made from the schemas. */
const secrets = [
  ...readFileSync(path.join(root, 'docs/en/configuration.md'), 'utf8').matchAll(/^\| `(\w+)` \(secret\)/gm),
].map(([, name]) => name);

let passed = 0;
let failed = 0;
async function check(name, run) {
  const problems = await Promise.resolve()
    .then(run)
    .catch((error) => [error.message]);
  if (problems?.length) {
    failed += 1;
    console.log(`FAILED  ${name}\n${problems.map((problem) => `        ${problem}`).join('\n')}`);
  } else {
    passed += 1;
    console.log(`ok      ${name}`);
  }
}

function sync() {
  rmSync(path.join(chart, 'files'), { recursive: true, force: true });
  mkdirSync(path.join(chart, 'files/alerts'), { recursive: true });
  for (const [file, source] of Object.entries(copies))
    writeFileSync(path.join(chart, 'files', file), readFileSync(path.join(root, source)));
}

function write() {
  sync();
  rmSync(rendered, { recursive: true, force: true });
  for (const variant of variants) {
    mkdirSync(path.join(rendered, variant), { recursive: true });
    for (const [file, text] of Object.entries(manifests(template(variant, kubeVersions.at(-1)))))
      writeFileSync(path.join(rendered, variant, file), text);
  }
  console.log(`${variants.length} variants rendered into deploy/k8s/rendered`);
}

function differing(variant, kubeVersion) {
  return Object.entries(manifests(template(variant, kubeVersion)))
    .filter(([file, text]) => readFileSync(path.join(rendered, variant, file), 'utf8') !== text)
    .map(([file]) => `deploy/k8s/rendered/${variant}/${file} is not what the chart makes: npm run deploy:render`);
}

function isRefused(values) {
  try {
    template('minimal', kubeVersions.at(-1), ...values.flatMap((value) => ['--set', value]));
    return false;
  } catch {
    return true;
  }
}

async function checkAll() {
  await check('the files of the chart are those of the repository', () =>
    Object.entries(copies)
      .filter(([file, from]) => {
        const copy = path.join(chart, 'files', file);
        return !existsSync(copy) || readFileSync(copy, 'utf8') !== readFileSync(path.join(root, from), 'utf8');
      })
      .map(([file, from]) => `chart/files/${file} differs from ${from}: npm run deploy:render`),
  );
  const objects = [];
  for (const variant of variants) {
    for (const kubeVersion of kubeVersions) {
      await check(`helm lint: ${variant}, Kubernetes ${kubeVersion}`, () => {
        helm('lint', '--strict', '--quiet', chart, '--values', valuesOf(variant), '--kube-version', kubeVersion);
      });
      await check(`the committed manifests: ${variant}, Kubernetes ${kubeVersion}`, () =>
        differing(variant, kubeVersion),
      );
    }
    const all = parseAllDocuments(template(variant, kubeVersions.at(-1))).map((document) => document.toJS());
    objects.push(...all.filter((object) => object !== null).map((object) => [variant, object]));
  }
  const network = readFileSync(path.join(root, 'deploy/k8s/examples/operators/network.yaml'), 'utf8');
  objects.push(...parseAllDocuments(network).map((document) => ['examples/operators', document.toJS()]));
  for (const [name, values] of refused)
    await check(`refused: ${name}`, () => (isRefused(values) ? [] : [`rendered with ${values.join(', ')}`]));
  await check(`refused: ${secrets.length} secrets as values, for all services and for each`, () => {
    const [first] = secrets;
    const ofEach = ['gateway', 'identity', 'rbac', 'audit'].map((service) => `${service}.env.${first}=x`);
    const taken = [...secrets.map((name) => `env.${name}=x`), ...ofEach].filter((value) => !isRefused([value]));
    return secrets.length < 10 ? ['the reference of the variables was not understood'] : taken;
  });
  await check('a file of a secret and what is no secret are taken (control)', () =>
    ['identity.env.ADMIN_PASSWORD_FILE=x', 'identity.env.IDENTITY_KEY_BITS=2048', 'gateway.env.API_DOCS=true'].filter(
      (value) => isRefused([value]),
    ),
  );
  await check(`${objects.length} objects against the schemas of the API`, () => schemaProblems(objects));
  await check('the schemas find what is wrong (control)', async () => {
    const broken = JSON.parse(JSON.stringify(objects.find(([, object]) => object.kind === 'Deployment')[1]));
    broken.spec.replicas = 'two';
    broken.spec.template.spec.containers[0].readinesProbe = {};
    const found = await schemaProblems([['control', broken]]);
    return ['replicas', 'readinesProbe']
      .filter((field) => !found.some((text) => text.includes(field)))
      .map((field) => `${field} was not found: ${found.join(' | ')}`);
  });
}

try {
  helmPath();
  if (process.argv.includes('--write')) write();
  else {
    modelsFolder();
    await checkAll();
    console.log(`${passed} passed, ${failed} failed`);
    process.exitCode = failed === 0 ? 0 : 1;
  }
} catch (error) {
  if (!(error instanceof UnavailableError)) throw error;
  console.log(`deploy:check skipped: ${error.message}`);
}
