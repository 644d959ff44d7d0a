import { createPublicKey, hash, sign, verify } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import { hashBytes } from './tree.js';

/** Size and root of a tree, under the name of its log (C2SP tlog-checkpoint). */
export interface Checkpoint {
  readonly origin: string;
  readonly size: bigint;
  readonly root: Buffer;
}

export interface NoteSignature {
  readonly name: string;
  readonly keyId: Buffer;
  readonly signature: Buffer;
}

/** A checkpoint in its signed note (C2SP signed-note). `text` is what the signatures cover. */
export interface SignedCheckpoint extends Checkpoint {
  readonly text: string;
  readonly signatures: readonly NoteSignature[];
}

/** A name and an Ed25519 key that a signature is checked by. */
export interface VerifierKey {
  readonly name: string;
  readonly keyId: Buffer;
  readonly publicKey: KeyObject;
}

/** What is wrong with a note or a key; the message names the rule. */
export class MalformedNote extends Error {
  override readonly name = 'MalformedNote';
}

const ed25519 = 0x01;
const keyIdBytes = 4;
const signatureLinesMax = 100;
const spkiPrefix = Buffer.from('302a300506032b6570032100', 'hex');

/** The signed note of a checkpoint: three lines, an empty one, and one Ed25519 signature by the key of that name. */
export function signCheckpoint({ origin, size, root }: Checkpoint, privateKey: KeyObject): string {
  assertKeyName(origin);
  const text = `${origin}\n${String(size)}\n${root.toString('base64')}\n`;
  const signature = sign(null, Buffer.from(text, 'utf8'), privateKey);
  const { keyId } = verifierKeyOf(origin, privateKey);
  return `${text}\n\u2014 ${origin} ${Buffer.concat([keyId, signature]).toString('base64')}\n`;
}

/** The key that checks what a private key signs under this name; either half will do. */
export function verifierKeyOf(name: string, key: KeyObject): VerifierKey {
  const publicKey = key.type === 'private' ? createPublicKey(key) : key;
  return { name, publicKey, keyId: keyIdOf(name, rawPublicKey(publicKey)) };
}

/** A verifier key as text: `<name>+<key id, 8 hex digits>+<base64 of 0x01 and the key>`. */
export function formatVerifierKey({ name, keyId, publicKey }: VerifierKey): string {
  const key = Buffer.concat([Buffer.of(ed25519), rawPublicKey(publicKey)]);
  return `${name}+${keyId.toString('hex')}+${key.toString('base64')}`;
}

/** Reads {@link formatVerifierKey}. Throws {@link MalformedNote} for anything else, a wrong key id included. */
export function parseVerifierKey(text: string): VerifierKey {
  const match = /^([^+]+)\+([0-9a-f]{8})\+(.+)$/.exec(text.trim());
  const [, name = '', id = '', encoded = ''] = match ?? [];
  assertKeyName(name);
  const key = decodeBase64(encoded);
  if (key?.length !== 33 || key[0] !== ed25519) throw new MalformedNote('the verifier key is not an Ed25519 key');
  const raw = key.subarray(1);
  const keyId = keyIdOf(name, raw);
  if (keyId.toString('hex') !== id) throw new MalformedNote('the verifier key does not have its key id');
  return {
    name,
    keyId,
    publicKey: createPublicKey({ key: Buffer.concat([spkiPrefix, raw]), format: 'der', type: 'spki' }),
  };
}

/**
 * Reads a signed checkpoint without checking its signatures. Throws {@link MalformedNote} for anything that C2SP
 * signed-note or tlog-checkpoint does not allow.
 */
export function parseCheckpoint(note: string): SignedCheckpoint {
  // eslint-disable-next-line no-control-regex -- the specification forbids exactly these
  if (/[\u0000-\u0009\u000b-\u001f\p{Surrogate}]/u.test(note)) throw new MalformedNote('the note is not plain text');
  const split = note.lastIndexOf('\n\n');
  if (split === -1 || !note.endsWith('\n')) throw new MalformedNote('the note has no signatures');
  const text = note.slice(0, split + 1);
  const lines = note.slice(split + 2, -1).split('\n');
  if (lines.length > signatureLinesMax) throw new MalformedNote('the note has too many signatures');
  const [origin = '', size = '', root = '', ...extensions] = text.slice(0, -1).split('\n');
  if (origin === '') throw new MalformedNote('the checkpoint has no origin');
  if (!/^(0|[1-9][0-9]{0,18})$/.test(size)) throw new MalformedNote('the checkpoint has no size');
  const rootHash = decodeBase64(root);
  if (rootHash?.length !== hashBytes) throw new MalformedNote('the checkpoint has no root hash');
  if (extensions.includes('')) throw new MalformedNote('the checkpoint has an empty line');
  return { origin, size: BigInt(size), root: rootHash, text, signatures: lines.map(parseSignature) };
}

/** Whether the note carries a valid signature by this key, over this key's own name. */
export function isSignedBy({ text, signatures }: SignedCheckpoint, { name, keyId, publicKey }: VerifierKey): boolean {
  const own = signatures.filter((line) => line.name === name && line.keyId.equals(keyId));
  return own.length > 0 && own.every(({ signature }) => verify(null, Buffer.from(text, 'utf8'), publicKey, signature));
}

function parseSignature(line: string): NoteSignature {
  const [, name = '', encoded = ''] = /^\u2014 ([^\s+]+) ([A-Za-z0-9+/=]+)$/.exec(line) ?? [];
  const bytes = decodeBase64(encoded);
  if (name === '' || bytes === undefined || bytes.length <= keyIdBytes)
    throw new MalformedNote('a signature line is not one');
  return { name, keyId: bytes.subarray(0, keyIdBytes), signature: bytes.subarray(keyIdBytes) };
}

function keyIdOf(name: string, rawKey: Buffer): Buffer {
  return hash(
    'sha256',
    Buffer.concat([Buffer.from(`${name}\n`, 'utf8'), Buffer.of(ed25519), rawKey]),
    'buffer',
  ).subarray(0, keyIdBytes);
}

function rawPublicKey(publicKey: KeyObject): Buffer {
  if (publicKey.asymmetricKeyType !== 'ed25519') throw new MalformedNote('the key is not an Ed25519 key');
  return publicKey.export({ format: 'der', type: 'spki' }).subarray(spkiPrefix.length);
}

function assertKeyName(name: string): void {
  if (name === '' || /[\s+]/u.test(name))
    throw new MalformedNote('a key name is not empty and has no spaces and no plus');
}

/** Undefined unless the text is exactly the standard encoding of some bytes, padding included. */
function decodeBase64(text: string): Buffer | undefined {
  const bytes = Buffer.from(text, 'base64');
  return bytes.toString('base64') === text ? bytes : undefined;
}
