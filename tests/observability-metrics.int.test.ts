import { existsSync, readFileSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { readSpans } from '@prime-nest/devstack/span-store';
import type { RunningSystem } from '@prime-nest/devstack/start-system';
import { eventually } from '@prime-nest/testkit/eventually';
import { parser } from '@prometheus-io/lezer-promql';
import { parse } from 'yaml';
import type { Call } from './rest-client.js';
import { startTestSystem } from './test-system.js';

const root = path.resolve(import.meta.dirname, '..');
const observability = path.join(root, 'deploy', 'observability');
const runbooks = path.join(root, 'docs', 'runbooks');

interface Rule {
  readonly alert: string;
  readonly expr: string;
  readonly for: string;
  readonly labels: { readonly severity: string };
  readonly annotations: { readonly summary: string; readonly runbook_url: string };
}

const alertFiles = readdirSync(path.join(observability, 'alerts'));
const rules = alertFiles.flatMap((file) => {
  const { groups } = parse(readFileSync(path.join(observability, 'alerts', file), 'utf8')) as {
    groups: { rules: Rule[] }[];
  };
  return groups.flatMap((group) => group.rules.map((rule) => ({ file, rule })));
});
const dashboard = JSON.parse(readFileSync(path.join(observability, 'dashboard.json'), 'utf8')) as {
  panels: { title: string; targets?: { expr: string }[] }[];
};
const queries = dashboard.panels.flatMap(({ targets = [] }) =>
  targets.map(({ expr }) => expr.replaceAll('$__rate_interval', '5m')),
);

/** Names of the metrics an expression reads, by the grammar of PromQL; throws when it is none. */
function metricsIn(expression: string): string[] {
  const names: string[] = [];
  parser.parse(expression).iterate({
    enter: ({ type, from, to }) => {
      if (type.isError) throw new Error(`not PromQL at ${from}: ${expression}`);
      if (type.name === 'VectorSelector')
        names.push(/^[a-z_:][a-z0-9_:]*/i.exec(expression.slice(from, to))?.[0] ?? '');
    },
  });
  return names;
}

let system: RunningSystem;
let call: Call;
let admin: string;
let stop: () => Promise<void>;

beforeAll(async () => {
  const env = { LOCKOUT_MAX_ATTEMPTS: '3', OTEL_ENABLED: 'true', OTEL_TRACES_SAMPLER: 'parentbased_always_off' };
  ({ system, call, admin, stop } = await startTestSystem({ env }));
}, 180_000);
afterAll(async () => {
  await stop?.();
}, 60_000);

const scrape = async (service: string): Promise<string> => (await fetch(system.state.metrics[service] ?? '')).text();
const everything = async (): Promise<string> =>
  (await Promise.all(Object.keys(system.state.metrics).map(scrape))).join('\n');

/** The sum of the samples of one name whose labels contain all of these texts. */
async function valueOf(service: string, name: string, ...labels: string[]): Promise<number> {
  const lines = (await scrape(service)).split('\n').filter((line) => line.startsWith(`${name}{`));
  const chosen = lines.filter((line) => labels.every((label) => line.includes(label)));
  return chosen.reduce((sum, line) => sum + Number(line.split(' ').at(-1)), 0);
}

describe('an alert', () => {
  test('is alone in its file, of its name, with a severity and a runbook that has every part', () => {
    expect(rules.length).toBe(alertFiles.length);
    expect(rules.length).toBeGreaterThan(15);
    for (const { file, rule } of rules) {
      expect(file).toBe(`${rule.alert}.yaml`);
      expect(['critical', 'warning', 'info']).toContain(rule.labels.severity);
      expect(rule.for).toMatch(/^\d+[sm]$/);
      expect(rule.annotations.runbook_url).toBe(`docs/runbooks/${rule.alert}.md`);
      const text = readFileSync(path.join(root, rule.annotations.runbook_url), 'utf8');
      const parts = [...text.matchAll(/^#+ (.*)$/gm)].map(([, title]) => title);
      expect(parts).toEqual([rule.alert, 'Meaning', 'Impact', 'Diagnosis', 'Mitigation']);
    }
  });

  test('has every runbook, and no runbook is without an alert', () => {
    const pages = readdirSync(runbooks).filter((file) => file !== 'README.md');
    expect(pages.toSorted()).toEqual(rules.map(({ rule }) => `${rule.alert}.md`).toSorted());
    const names = new Set(rules.map(({ rule }) => rule.alert));
    for (const page of pages) {
      const text = readFileSync(path.join(runbooks, page), 'utf8');
      const mentioned = [...text.matchAll(/\bsee ([A-Z][a-z]+[A-Z]\w+)/g)].map(([, name]) => name ?? '');
      expect(mentioned.filter((name) => !names.has(name))).toEqual([]);
    }
    const readme = readFileSync(path.join(runbooks, 'README.md'), 'utf8');
    const links = [...readme.matchAll(/\]\(([^)]+)\)/g)].map(([, target]) => target ?? '');
    expect(links.filter((target) => !existsSync(path.join(runbooks, target)))).toEqual([]);
  });

  test('and every panel of the dashboard reads metrics that a running system really exports', async () => {
    const text = await everything();
    const exported = new Set(
      [...text.matchAll(/^# TYPE (\S+) (\S+)$/gm)].flatMap(([, name = '', kind]) =>
        kind === 'histogram' ? [`${name}_bucket`, `${name}_sum`, `${name}_count`] : [name],
      ),
    );
    const expressions = [...rules.map(({ rule }) => rule.expr), ...queries];
    expect(expressions.flatMap(metricsIn).filter((name) => !exported.has(name))).toEqual([]);
    expect(queries.length).toBeGreaterThan(30);
    // The controls: a name that is not exported and a text that is no expression are found.
    expect(metricsIn('rate(made_up_total[5m]) > 1').filter((name) => !exported.has(name))).toEqual(['made_up_total']);
    expect(() => metricsIn('rate(made_up_total[5m]')).toThrow('not PromQL');
  });
});

describe('metrics', () => {
  test('are not on the public port, under no path', async () => {
    for (const address of ['/metrics', '/api/metrics', '/health/metrics']) {
      expect((await call('GET', address)).status).toBe(404);
    }
    expect(system.state.metrics['gateway']).not.toContain(new URL(system.gatewayUrl).port);
    expect(await scrape('gateway')).toContain('# TYPE http_server_request_duration_seconds histogram');
  });

  test('carry no ids: no label value is a UUID, an address or an e-mail', async () => {
    const text = await everything();
    expect(text).not.toMatch(/[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}/);
    expect(text).not.toMatch(/="[^"]*@[^"]*"/);
    expect(text).not.toMatch(/="\d+\.\d+\.\d+\.\d+"/);
  });

  test('count requests by route and status, decisions by effect, and calls by subject and outcome', async () => {
    const route = 'http_route="/api/users/:id"';
    const before = await valueOf('gateway', 'http_server_request_duration_seconds_count', route, '"404"');
    const answer = await call('GET', '/api/users/0190a6e2-5b7c-7c3d-9c1a-0123456789ab', { token: admin });
    expect(answer.status).toBe(404);
    expect(await valueOf('gateway', 'http_server_request_duration_seconds_count', route, '"404"')).toBe(before + 1);
    expect(await valueOf('gateway', 'prime_nest_decision_duration_seconds_count', 'effect="allow"')).toBeGreaterThan(0);
    const served = 'rpc_server_call_duration_seconds_count';
    expect(await valueOf('rbac', served, 'rbac.access.decide.v1', '"ok"')).toBeGreaterThan(0);
    expect(await valueOf('identity', served, 'identity.account.get.v1', '"not_found"')).toBeGreaterThan(0);
  });

  test('count lockouts, and begin at zero so that the first one shows', async () => {
    expect(await scrape('identity')).toMatch(/prime_nest_lockouts_total\{[^}]*lane="stranger"[^}]*\} 0/);
    expect(await scrape('identity')).toMatch(/prime_nest_reuse_incidents_total\{[^}]*age="recent"[^}]*\} 0/);
    for (let attempt = 0; attempt < 4; attempt++) {
      await call('POST', '/api/auth/login', { body: { email: 'nobody@example.com', password: 'guess number one' } });
    }
    expect(await valueOf('identity', 'prime_nest_lockouts_total', 'lane="stranger"')).toBe(1);
    expect(await valueOf('identity', 'prime_nest_password_hash_wait_seconds_count')).toBeGreaterThan(2);
  });

  test('show that events flow: published, recorded, signed, and nothing waits', async () => {
    expect((await call('POST', '/api/roles', { token: admin, body: { name: 'Counted' } })).status).toBe(201);
    await eventually(async () => {
      expect(await valueOf('rbac', 'outbox_relay_published_total')).toBeGreaterThan(0);
      expect(await valueOf('audit', 'prime_nest_audit_recorded_total', 'kind="entry"')).toBeGreaterThan(0);
      expect(await valueOf('audit', 'prime_nest_checkpoints_total', 'outcome="signed"')).toBeGreaterThan(0);
      expect(await valueOf('audit', 'prime_nest_sequencer_pending_messages')).toBe(0);
      expect(await valueOf('audit', 'prime_nest_checkpoint_age_seconds')).toBe(0);
      expect(await valueOf('audit', 'prime_nest_sequencer_leading_ratio')).toBe(1);
      expect(await valueOf('rbac', 'outbox_relay_lag_seconds')).toBe(0);
    });
    expect(await valueOf('rbac', 'prime_nest_barrier_duration_seconds_count')).toBeGreaterThan(0);
    expect(await valueOf('rbac', 'prime_nest_lease_left_seconds')).toBeGreaterThan(0);
    expect(await valueOf('identity', 'db_client_max_connections')).toBeGreaterThan(1);
  });

  test('are there while no trace is sampled; then nothing is exported and trace ids go on', async () => {
    const answer = await call('GET', '/api/auth/me', { token: admin });
    expect(answer.traceId).toMatch(/^(?!0+$)[0-9a-f]{32}$/);
    expect(readSpans(system.state.spansFolder ?? '')).toEqual([]);
    expect(await valueOf('gateway', 'telemetry_spans_total')).toBe(0);
    expect(system.logs('rbac').some((line) => line.includes(answer.traceId))).toBe(true);
  });
});
