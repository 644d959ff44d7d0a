import type { SystemState } from './state.js';

export interface SummaryOptions {
  /** A password that was generated just now: shown this once. */
  readonly newAdminPassword?: string | undefined;
  readonly colour: boolean;
}

/** What a person needs to use the system, as aligned `Name: value` rows. */
export function summary(state: SystemState, { newAdminPassword, colour }: SummaryOptions): string {
  const rows: [string, string][] = [
    ['API', state.apiUrl],
    ['Swagger', `${state.apiUrl}/docs`],
    ['Postgres', `${masked(state.databaseUrl)}  ${state.servers['postgres'] ?? ''}`],
    ['NATS', `${masked(state.natsUrl)}  ${state.servers['nats'] ?? ''}`],
    ['Redis', `${masked(state.redisUrl)}  ${state.servers['redis'] ?? ''}`],
    ['Data', `${state.home} (kept between starts; npm run reset empties it)`],
    ['Logs', `${state.home}/logs`],
    ['Traces', traces(state)],
    ['Metrics', Object.values(state.metrics).join('  ')],
    ['Admin', state.adminEmail],
    ['Password', password(state, newAdminPassword)],
  ];
  const bold = (text: string): string => (colour ? `\u001b[1m${text}\u001b[0m` : text);
  const width = Math.max(...rows.map(([name]) => name.length)) + 1;
  return [
    '',
    bold('Prime Nest is running'),
    '',
    ...rows.map(([name, value]) => `  ${`${name}:`.padEnd(width)}  ${value.trimEnd()}`),
    '',
    `Try it: ${bold('npm run demo')}    Ctrl-C stops everything.`,
    '',
  ].join('\n');
}

function password(state: SystemState, fresh: string | undefined): string {
  return fresh === undefined
    ? `in ${state.adminPasswordFile}`
    : `${fresh}  (shown this once; kept in ${state.adminPasswordFile})`;
}

function traces({ jaegerUrl, spansFolder }: SystemState): string {
  const terminal = 'npm run trace -- <X-Trace-Id of a response>, or without an id for the newest';
  if (jaegerUrl !== undefined) return `${jaegerUrl}  or ${terminal}`;
  return spansFolder === undefined ? 'off, or exported by OTEL_EXPORTER_OTLP_ENDPOINT' : terminal;
}

function masked(address: string): string {
  const url = new URL(address);
  if (url.password !== '') url.password = '***';
  return url.href.replace(/\/$/, '');
}
