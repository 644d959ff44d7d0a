import type { RedisOptions } from 'ioredis';

const shape = /^(rediss?):\/\/(?:([^:@/]*):([^@/]*)@)?([^@/]+)(?:\/(\d+))?$/;

export interface RedisTarget {
  /** `redis[s]://[user:password@]host[:port][,host[:port]…][/database]`. */
  readonly url: string;
  /** The addresses are those of Sentinels, who know where this primary is. */
  readonly sentinelName?: string | undefined;
  /** PEM. */
  readonly ca?: string | undefined;
}

/** What the client is made with. `rediss` demands a certificate that `ca`, or a public authority, has signed. */
export function redisOptions({ url, sentinelName, ca }: RedisTarget): RedisOptions {
  const [, scheme, username, password, list = '', database] = shape.exec(url) ?? [];
  if (scheme === undefined) throw new TypeError('not the address of a Redis');
  const isTls = scheme === 'rediss';
  const tls = ca === undefined ? {} : { ca };
  const addresses = list.split(',').map((address) => addressOf(address, sentinelName === undefined ? 6379 : 26379));
  const secret = password === undefined || password === '' ? undefined : decodeURIComponent(password);
  return {
    ...(username === undefined || username === '' ? {} : { username: decodeURIComponent(username) }),
    ...(secret === undefined ? {} : { password: secret }),
    ...(database === undefined ? {} : { db: Number(database) }),
    ...(isTls ? { tls } : {}),
    ...(sentinelName === undefined
      ? addresses[0]
      : {
          sentinels: addresses,
          name: sentinelName,
          // One that is frozen must not keep the others from being asked.
          sentinelCommandTimeout: 1_000,
          ...(secret === undefined ? {} : { sentinelPassword: secret }),
          ...(isTls ? { enableTLSForSentinelMode: true, sentinelTLS: tls } : {}),
        }),
  };
}

function addressOf(text: string, preset: number): { host: string; port: number } {
  const [, host = text, port] = /^(.*?)(?::(\d+))?$/.exec(text.trim()) ?? [];
  return { host: host.replace(/^\[(.*)\]$/, '$1'), port: port === undefined ? preset : Number(port) };
}
