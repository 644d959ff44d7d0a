/**
 * `npm run observability:check`: Prometheus's own tool reads the alerts, those that the chart renders among them, the
 * scrape configuration and every query of the dashboard, and runs the unit tests of the alerts. Skipped with a line where there is no promtool (PROMTOOL, PATH).
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { parseAllDocuments } from 'yaml';

const folder = path.resolve(import.meta.dirname, '../deploy/observability');
const promtool = process.env.PROMTOOL ?? 'promtool';

const found = spawnSync(promtool, ['--version'], { encoding: 'utf8' });
if (found.status !== 0) {
  console.log('observability: skipped, there is no promtool here (PROMTOOL or PATH)');
  process.exit(0);
}
console.log(found.stdout.split('\n')[0] || found.stderr.split('\n')[0]);

function demand(what, args) {
  const { status, stdout, stderr } = spawnSync(promtool, args, { cwd: folder, encoding: 'utf8' });
  if (status !== 0) {
    console.error(`${what}: failed\n${stdout}${stderr}`);
    process.exit(1);
  }
  console.log(`${what}: good`);
}

const alerts = readdirSync(path.join(folder, 'alerts')).map((file) => path.join('alerts', file));
const dashboard = JSON.parse(readFileSync(path.join(folder, 'dashboard.json'), 'utf8'));
// Grafana fills in its variables; promtool reads the rest as the recording rules they could be.
const queries = dashboard.panels
  .flatMap(({ targets = [] }) => targets.map(({ expr }) => expr))
  .map((expr, index) => ({ record: `panel:query_${index}`, expr: expr.replaceAll('$__rate_interval', '5m') }));

const scratch = mkdtempSync(path.join(tmpdir(), 'prime-nest-promtool-'));
try {
  const file = path.join(scratch, 'dashboard.yaml');
  // JSON is YAML.
  writeFileSync(file, JSON.stringify({ groups: [{ name: 'dashboard', rules: queries }] }));
  demand(`${alerts.length} alerts`, ['check', 'rules', ...alerts]);
  const rendered = readFileSync(path.join(folder, '../k8s/rendered/production/2-system.yaml'), 'utf8');
  const rules = parseAllDocuments(rendered).find((document) => document.get('kind') === 'PrometheusRule');
  const ofChart = path.join(scratch, 'chart.yaml');
  writeFileSync(ofChart, JSON.stringify({ groups: rules.toJS().spec.groups }));
  demand('alerts of the chart', ['check', 'rules', ofChart]);
  demand('scrape configuration', ['check', 'config', 'prometheus.yaml']);
  demand(`${queries.length} queries of the dashboard`, ['check', 'rules', file]);
  demand('unit tests of the alerts', ['test', 'rules', 'alerts-test.yaml']);
} finally {
  rmSync(scratch, { recursive: true, force: true });
}
