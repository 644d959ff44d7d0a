import { busPermissions, busUsers, upstreamPermissions } from '@prime-nest/contracts/bus';
import type { BusPermissions, BusUser } from '@prime-nest/contracts/bus';
import { UpstreamName } from '@prime-nest/contracts/route-file';

/** The public half of a user's nkey, or the environment variable that the server reads it from. */
export type NatsUser = string | { readonly variable: string };

export interface NatsConfigOptions {
  readonly users: Readonly<Record<BusUser, NatsUser>>;
  /** Services of others behind the gateway, by their names in its route file. */
  readonly upstreams?: Readonly<Record<string, NatsUser>> | undefined;
  readonly port: number;
  readonly storeDir: string;
  /** Default 127.0.0.1. */
  readonly host?: string;
  readonly tls?: { readonly certFile: string; readonly keyFile: string; readonly caFile?: string };
  readonly monitorPort?: number;
}

/**
 * The bus's configuration: one user per service with exactly the subjects its contracts need, known by its public key;
 * nothing in it is secret. An unauthenticated client can do nothing. There is no `accounts` or `system_account` beside
 * `authorization`: that combination opened servers to anybody (CVE-2023-47090).
 */
export function natsConfig(options: NatsConfigOptions): string {
  const host = options.host ?? '127.0.0.1';
  const lines = [
    'server_name: prime-nest',
    `listen: ${quote(`${host}:${options.port}`)}`,
    ...(options.monitorPort === undefined ? [] : [`http: ${quote(`${host}:${options.monitorPort}`)}`]),
    'max_payload: 1MB',
    'write_deadline: "10s"',
    'ping_interval: "20s"',
    '',
    'jetstream {',
    `  store_dir: ${quote(options.storeDir)}`,
    '}',
    ...(options.tls === undefined ? [] : ['', ...tlsBlock(options.tls)]),
    '',
    ...authorization(options),
  ];
  return lines.join('\n');
}

function authorization({ users, upstreams = {} }: Pick<NatsConfigOptions, 'users' | 'upstreams'>): string[] {
  const blocks = [
    ...busUsers.map((name) => userBlock(name, users[name], busPermissions[name])),
    ...Object.entries(upstreams).map(([name, key]) =>
      userBlock(`ext-${UpstreamName.parse(name)}`, key, upstreamPermissions(name)),
    ),
  ];
  return ['authorization {', '  timeout: 2', '  users: [', ...blocks.flat(), '  ]', '}', ''];
}

function userBlock(name: string, key: NatsUser, user: BusPermissions): string[] {
  return [
    `    # ${name}`,
    '    {',
    `      nkey: ${typeof key === 'string' ? key : `$${key.variable}`}`,
    '      permissions: {',
    `        publish: ${subjects(user.publish)}`,
    `        subscribe: ${subjects(user.subscribe)}`,
    // One reply per request, as long as the request can live: a responder publishes nowhere else.
    ...(user.allowResponses ? ['        allow_responses: { max: 1, expires: "1m" }'] : []),
    '      }',
    '    }',
  ];
}

/** An empty allow list would mean "everything" to the server, so it is written as a denial of everything. */
function subjects(list: readonly string[]): string {
  if (list.length === 0) return '{ deny: [">"] }';
  return `{ allow: [\n${list.map((subject) => `          ${quote(subject)}`).join('\n')}\n        ] }`;
}

function tlsBlock(tls: NonNullable<NatsConfigOptions['tls']>): string[] {
  return [
    'tls {',
    `  cert_file: ${quote(tls.certFile)}`,
    `  key_file: ${quote(tls.keyFile)}`,
    ...(tls.caFile === undefined ? [] : [`  ca_file: ${quote(tls.caFile)}`]),
    '}',
  ];
}

function quote(text: string): string {
  return JSON.stringify(text);
}

const deployedUsers = perBusUser((name) => ({ variable: `NATS_${name.toUpperCase()}_NKEY` }));

/** The users alone, for a server whose other settings somebody else makes. */
export function deployedNatsUsers(): string {
  const notice = '# The users of the bus of Prime Nest. Generated from the contracts by `npm run gen`.';
  return [notice, ...authorization({ users: deployedUsers })].join('\n');
}

/** The file for containers: port 4222, monitoring on 8222, public keys from the server's environment. */
export function deployedNatsConfig(upstreams?: Readonly<Record<string, NatsUser>>): string {
  const place = { host: '0.0.0.0', port: 4222, storeDir: '/data', monitorPort: 8222 };
  const config = natsConfig({ users: deployedUsers, upstreams, ...place });
  return [
    '# The bus of Prime Nest. Generated from the contracts by `npm run gen`.',
    '# Nothing in here is secret: each user is known by the public half of its nkey (U...), which the server takes from',
    '# its environment; the private half (SU...) is with the service alone.',
    config,
  ].join('\n');
}

/** One of something per bus user. */
export function perBusUser<T>(make: (user: BusUser) => T): Readonly<Record<BusUser, T>> {
  return Object.fromEntries(busUsers.map((name) => [name, make(name)])) as Record<BusUser, T>;
}
