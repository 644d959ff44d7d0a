import type { Database } from '@prime-nest/kit/database';
import type { Logger } from '@prime-nest/kit/log';
import { sessionContext } from '../session/login.command.js';
import type { Envelope } from './envelope.js';
import {
  replaceSessionKey,
  replaceSigningKey,
  type SealedRow,
  sessionsSealedOtherwise,
  signingKeysSealedOtherwise,
} from './reseal.store.js';
import { sealContext } from './signing-keys.js';

export interface ResealParts {
  readonly database: Database;
  readonly envelope: Envelope;
  readonly log: Logger;
}

export interface Resealed {
  readonly sessions: number;
  readonly signingKeys: number;
  /** Sealed with a key that is neither the one of today nor a previous one, or damaged. */
  readonly unreadable: number;
}

const firstId = '00000000-0000-0000-0000-000000000000';

/**
 * Seals everything anew that was sealed under a previous key-encryption key. When it has finished with nothing
 * unreadable, no row needs the previous key any more. Runs beside the service, any number of times, on any number of
 * replicas; a crash leaves some rows for the next run.
 */
export async function reseal({ database, envelope, log }: ResealParts, isStopped = () => false): Promise<Resealed> {
  let [sessions, signingKeys, unreadable] = [0, 0, 0];
  const again = async (context: string, row: SealedRow, replace: typeof replaceSessionKey): Promise<number> => {
    let plain: Buffer;
    try {
      plain = envelope.open(row.sealed, context);
    } catch {
      unreadable++;
      return 0;
    }
    await replace(database, row, envelope.seal(plain, context));
    return 1;
  };
  for (const row of await signingKeysSealedOtherwise(database, envelope.prefix)) {
    signingKeys += await again(sealContext(row.id), row, replaceSigningKey);
  }
  let after = firstId;
  while (!isStopped()) {
    const rows = await sessionsSealedOtherwise(database, envelope.prefix, after);
    for (const row of rows) sessions += await again(sessionContext(row.id), row, replaceSessionKey);
    const last = rows.at(-1);
    if (last === undefined) break;
    after = last.id;
  }
  const outcome = { sessions, signingKeys, unreadable };
  if (unreadable > 0) log.error(outcome, 'key_encryption_key.unreadable_rows');
  else if (!isStopped()) log.info(outcome, 'key_encryption_key.in_force');
  return outcome;
}
