import { readFile } from 'node:fs/promises';
import { UpstreamName } from '@prime-nest/contracts/route-file';
import type { Env } from './folders.js';

/** Reads `invoices=UB…` words: names of upstreams with the public halves of their nkeys. */
export function parseUpstreamUsers(words: readonly string[]): Readonly<Record<string, string>> {
  const users = words.map((word): [string, string] => {
    const [name = '', key = ''] = word.split('=', 2);
    if (!UpstreamName.safeParse(name).success || !/^U[A-Z2-7]{55}$/.test(key)) {
      throw new Error(`${word}: write <upstream>=<public nkey>, such as invoices=UB…`);
    }
    return [name, key];
  });
  return Object.fromEntries(users);
}

/** The upstreams of the gateway's route file that answer over NATS. A file that is wrong is the gateway's to refuse. */
export async function upstreamsOverNats({ GATEWAY_ROUTES_FILE: file }: Env): Promise<readonly string[]> {
  if (file === undefined) return [];
  try {
    const { routes } = JSON.parse(await readFile(file, 'utf8')) as { routes: { target: Record<string, string> }[] };
    const names = routes.flatMap(({ target }) => (target['subject'] === undefined ? [] : [target['upstream']]));
    return [...new Set(names)].filter((name) => name !== undefined && UpstreamName.safeParse(name).success) as string[];
  } catch {
    return [];
  }
}
