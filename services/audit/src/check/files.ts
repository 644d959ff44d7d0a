import { z } from 'zod';
import { isSignedBy, parseCheckpoint } from '@prime-nest/kit/tlog/checkpoint';
import type { SignedCheckpoint, VerifierKey } from '@prime-nest/kit/tlog/checkpoint';
import { verifyConsistency, verifyInclusion } from '@prime-nest/kit/tlog/proof';
import { leafHash } from '@prime-nest/kit/tlog/tree';
import type { Fault } from './log-check.js';

const Base64 = z.base64().transform((text) => Buffer.from(text, 'base64'));
export const ProofFile = z.object({
  index: z.int().min(0),
  entry: Base64,
  proof: z.array(Base64),
  checkpoint: z.string(),
});
const ConsistencyFile = z.object({ proof: z.array(Base64) });

export interface FileCheck {
  readonly faults: readonly Fault[];
  /** What was shown, in a sentence. */
  readonly summary: string;
}

/** Reads a checkpoint and checks that one of the keys has signed it, if any is given. Throws MalformedNote. */
export function readCheckpoint(
  note: string,
  keys: readonly VerifierKey[],
): { checkpoint: SignedCheckpoint; faults: Fault[] } {
  const checkpoint = parseCheckpoint(note);
  const isGood = keys.length === 0 || keys.some((key) => isSignedBy(checkpoint, key));
  const detail = `the checkpoint of ${checkpoint.size} is not signed by ${keys.map(({ name }) => name).join(' or ')}`;
  return { checkpoint, faults: isGood ? [] : [{ kind: 'signature', detail }] };
}

/** Checks the answer of the proof endpoint: the entry is in the tree that its checkpoint signs. */
export function checkProofFile(json: unknown, keys: readonly VerifierKey[]): FileCheck {
  const file = ProofFile.parse(json);
  const { checkpoint, faults } = readCheckpoint(file.checkpoint, keys);
  const { size, root } = checkpoint;
  const isIn = verifyInclusion({
    index: BigInt(file.index),
    size,
    root,
    leafHash: leafHash(file.entry),
    proof: file.proof,
  });
  const detail = `the proof does not lead from entry ${file.index} to the root of the checkpoint of ${size}`;
  const all: Fault[] = isIn ? faults : [...faults, { kind: 'altered', index: file.index, detail }];
  return { faults: all, summary: `entry ${file.index} is in the log of ${size} entries` };
}

/** Checks that the newer checkpoint's log begins with the older one's, by the answer of the consistency endpoint. */
export function checkConsistency(
  notes: { readonly older: string; readonly newer: string },
  json: unknown,
  keys: readonly VerifierKey[],
): FileCheck {
  const { proof } = ConsistencyFile.parse(json);
  const older = readCheckpoint(notes.older, keys);
  const newer = readCheckpoint(notes.newer, keys);
  const [old, now] = [older.checkpoint, newer.checkpoint];
  const isGrown = verifyConsistency({ oldSize: old.size, oldRoot: old.root, size: now.size, root: now.root, proof });
  const detail = `the log of ${now.size} entries is not shown to begin with the log of ${old.size}`;
  const faults: Fault[] = [...older.faults, ...newer.faults, ...(isGrown ? [] : [{ kind: 'fork', detail } as const])];
  return { faults, summary: `the log of ${now.size} entries begins with the log of ${old.size}` };
}
