import { createHash, createHmac, type KeyObject, timingSafeEqual } from 'node:crypto';

/**
 * A refresh token: `rt1_` and the base64url form of session id and account id (16 bytes each), generation (4), keyed
 * hash (32) and checksum (4). It is derived from the session's own key and so need not be stored; minting the same generation again
 * gives the same token. The checksum refuses typing errors and noise before anything is looked up.
 */
export interface RefreshToken {
  readonly sessionId: string;
  readonly accountId: string;
  readonly generation: number;
  readonly mac: Buffer;
}

/** What a token is minted for. */
export type TokenSubject = Omit<RefreshToken, 'mac'>;

const prefix = 'rt1_';
const generationStart = 32;
const macStart = 36;
const checksumStart = 68;
const length = 72;

export function mintRefreshToken(sessionKey: KeyObject, subject: TokenSubject): string {
  const body = bodyOf(subject);
  const payload = Buffer.concat([body, macOf(sessionKey, body)]);
  return prefix + Buffer.concat([payload, checksum(payload)]).toString('base64url');
}

/** The parts of a well-formed token, undefined otherwise. Nothing is verified yet: see {@link isMintedBy}. */
export function parseRefreshToken(text: string): RefreshToken | undefined {
  if (!text.startsWith(prefix)) return undefined;
  const encoded = text.slice(prefix.length);
  const bytes = Buffer.from(encoded, 'base64url');
  // One accepted spelling: decoding is lenient about foreign characters and spare bits.
  if (bytes.length !== length || bytes.toString('base64url') !== encoded) return undefined;
  const payload = bytes.subarray(0, checksumStart);
  if (!checksum(payload).equals(bytes.subarray(checksumStart))) return undefined;
  return {
    sessionId: uuidAt(bytes, 0),
    accountId: uuidAt(bytes, 16),
    generation: bytes.readUInt32BE(generationStart),
    mac: bytes.subarray(macStart, checksumStart),
  };
}

/** Whether the token was minted with this session's key; compared in constant time. */
export function isMintedBy(sessionKey: KeyObject, token: RefreshToken): boolean {
  return timingSafeEqual(token.mac, macOf(sessionKey, bodyOf(token)));
}

/**
 * What is kept of a client's Idempotency-Key: enough to recognise the same request, which comes with the same token,
 * and useless without that token.
 */
export function retryKeyOf({ mac }: RefreshToken, idempotencyKey: string): Buffer {
  return createHmac('sha256', mac).update(`retry\n${idempotencyKey}`).digest();
}

function bodyOf({ sessionId, accountId, generation }: TokenSubject): Buffer {
  const body = Buffer.alloc(macStart);
  body.write(sessionId.replaceAll('-', ''), 0, 16, 'hex');
  body.write(accountId.replaceAll('-', ''), 16, 16, 'hex');
  body.writeUInt32BE(generation, generationStart);
  return body;
}

function uuidAt(bytes: Buffer, start: number): string {
  const hex = bytes.toString('hex', start, start + 16);
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
}

function macOf(sessionKey: KeyObject, body: Buffer): Buffer {
  return createHmac('sha256', sessionKey).update('rt1').update(body).digest();
}

function checksum(payload: Buffer): Buffer {
  return createHash('sha256').update(payload).digest().subarray(0, 4);
}
