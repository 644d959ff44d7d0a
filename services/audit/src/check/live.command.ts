import { z } from 'zod';
import type { SignedCheckpoint, VerifierKey } from '@prime-nest/kit/tlog/checkpoint';
import { verifyConsistency } from '@prime-nest/kit/tlog/proof';
import { readCheckpoint } from './files.js';
import type { FileCheck } from './files.js';
import type { Fault } from './log-check.js';

export interface LiveOptions {
  /** Address of the API, such as `https://example.com/api`. */
  readonly url: string;
  readonly token: string | undefined;
  /** Keys of which one must have signed what the system shows. */
  readonly keys: readonly VerifierKey[];
  /** Checkpoints that were kept, with the names by which they are reported. */
  readonly kept: readonly { readonly name: string; readonly checkpoint: SignedCheckpoint }[];
}

export interface LiveCheck extends FileCheck {
  /** The checkpoint that the system shows now: to be kept for the next time when there is no fault. */
  readonly note: string;
}

const timeoutMs = 10_000;
const bytesMax = 1_000_000;
const Consistency = z.object({ proof: z.array(z.base64().transform((text) => Buffer.from(text, 'base64'))) });

/**
 * Holds a live system against checkpoints that were kept: what it shows now is signed, not shorter, and begins with
 * what it showed then. Throws when it gives no answer, or another than the API's; that shows nothing either way.
 */
export async function checkLive({ url, token, keys, kept }: LiveOptions): Promise<LiveCheck> {
  const ask = (route: string) => askApi(`${url.replace(/\/+$/, '')}${route}`, token);
  const note = await ask('/audit/checkpoint');
  const { checkpoint: now, faults: unsigned } = readCheckpoint(note, keys);
  const faults: Fault[] = [...unsigned];
  for (const { name, checkpoint: old } of kept) {
    const [fault] = await compare({ name, old, now, ask });
    if (fault !== undefined) faults.push(fault);
  }
  const since = kept.map(({ name, checkpoint }) => `begins with the ${checkpoint.size} of ${name}`).join(', ');
  return { faults, note, summary: `${now.origin} has ${now.size} entries${since === '' ? '' : ` and ${since}`}` };
}

interface Comparison {
  readonly name: string;
  readonly old: SignedCheckpoint;
  readonly now: SignedCheckpoint;
  readonly ask: (route: string) => Promise<string>;
}

async function compare({ name, old, now, ask }: Comparison): Promise<Fault[]> {
  const fork = (detail: string): Fault[] => [{ kind: 'fork', index: 0, detail }];
  if (old.origin !== now.origin) return fork(`${name} is of the log ${old.origin}, and this is ${now.origin}`);
  if (now.size < old.size)
    return [
      {
        kind: 'rollback',
        index: Number(now.size),
        detail: `the log has ${now.size} entries, and had ${old.size} in ${name}: it was set back or cut`,
      },
    ];
  // Everything begins with the empty log.
  if (old.size === 0n) return [];
  if (now.size === old.size)
    return now.root.equals(old.root) ? [] : fork(`the log of ${now.size} entries is another one than in ${name}`);
  const { proof } = Consistency.parse(
    JSON.parse(await ask(`/audit/consistency?from=${String(old.size)}&to=${String(now.size)}`)),
  );
  const isGrown = verifyConsistency({ oldSize: old.size, oldRoot: old.root, size: now.size, root: now.root, proof });
  return isGrown ? [] : fork(`the log of ${now.size} entries is not shown to begin with the ${old.size} of ${name}`);
}

async function askApi(address: string, token: string | undefined): Promise<string> {
  const response = await fetch(address, {
    headers: { ...(token === undefined ? {} : { authorization: `Bearer ${token}` }) },
    // Nobody is told the token but who was named.
    redirect: 'error',
    signal: AbortSignal.timeout(timeoutMs),
  });
  if (!response.ok) throw new Error(`${address} answered ${response.status}`);
  const text = await response.text();
  if (text.length > bytesMax) throw new Error(`${address} answered more than a proof`);
  return text;
}
