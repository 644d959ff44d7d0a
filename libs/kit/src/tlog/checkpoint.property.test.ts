import { generateKeyPairSync } from 'node:crypto';
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import {
  MalformedNote,
  formatVerifierKey,
  isSignedBy,
  parseCheckpoint,
  parseVerifierKey,
  signCheckpoint,
  verifierKeyOf,
} from './checkpoint.js';
import { hashBytes } from './tree.js';

const { privateKey } = generateKeyPairSync('ed25519');
const origin = 'log.example/prime';
const key = verifierKeyOf(origin, privateKey);
const root = Buffer.alloc(hashBytes, 9);
const note = signCheckpoint({ origin, size: 12n, root }, privateKey);
const noise = fc.string({ unit: 'binary' });

/** What the parser says: the checkpoint, or that it is none. Any other exception fails the test. */
function read(text: string) {
  try {
    return parseCheckpoint(text);
  } catch (error) {
    if (error instanceof MalformedNote) return undefined;
    throw error;
  }
}

describe('a checkpoint', () => {
  test('of any size and root is read back as it was signed', () => {
    const size = fc.bigInt({ min: 0n, max: 9_007_199_254_740_991n });
    fc.assert(
      fc.property(size, fc.uint8Array({ minLength: hashBytes, maxLength: hashBytes }), (of, bytes) => {
        const signed = parseCheckpoint(signCheckpoint({ origin, size: of, root: Buffer.from(bytes) }, privateKey));
        expect(signed).toMatchObject({ origin, size: of, root: Buffer.from(bytes) });
        expect(isSignedBy(signed, key)).toBe(true);
      }),
    );
  });

  test('with any character changed, added or taken away is not one that this key signed', () => {
    const characters = fc.constantFrom(...'0aZ+/=\n \t—\u0000\u2028', '\ud800');
    fc.assert(
      fc.property(fc.nat(note.length - 1), characters, (at, character) => {
        for (const changed of [
          note.slice(0, at) + character + note.slice(at + 1),
          note.slice(0, at) + character + note.slice(at),
          note.slice(0, at) + note.slice(at + 1),
        ]) {
          if (changed === note) continue;
          const parsed = read(changed);
          expect(parsed !== undefined && isSignedBy(parsed, key)).toBe(false);
        }
      }),
      { numRuns: 400 },
    );
  });

  test('of another key, or under another name, is not one of this key', () => {
    const other = generateKeyPairSync('ed25519').privateKey;
    const signed = parseCheckpoint(note);
    expect(isSignedBy(signed, key)).toBe(true);
    expect(isSignedBy(signed, verifierKeyOf(origin, other))).toBe(false);
    expect(isSignedBy(signed, verifierKeyOf('log.example/other', privateKey))).toBe(false);
    expect(isSignedBy(signed, { ...verifierKeyOf(origin, other), keyId: key.keyId })).toBe(false);
  });

  test('is never found in noise, and no text makes the parser throw anything else', () => {
    const line = fc.oneof(noise, fc.constantFrom('', '0', '12', '01', root.toString('base64'), `— ${origin} AAAAAAAA`));
    fc.assert(
      fc.property(fc.array(line), (lines) => {
        const parsed = read(`${lines.join('\n')}\n`);
        expect(parsed !== undefined && isSignedBy(parsed, key)).toBe(false);
      }),
      { numRuns: 500 },
    );
  });

  test('may carry signatures of witnesses and lines of its own, and is still read', () => {
    const [text = '', signature = ''] = note.split('\n\n');
    const more = `${text}\n\n${signature}— witness.example ${Buffer.alloc(68, 1).toString('base64')}\n`;
    expect(parseCheckpoint(more).signatures.map(({ name }) => name)).toEqual([origin, 'witness.example']);
    expect(isSignedBy(parseCheckpoint(more), key)).toBe(true);
    expect(read(`${text}\nextension\n\n${signature}`)?.size).toBe(12n);
    // A hundred signatures are the limit, and a signature has more than its key id.
    const many = (count: number) => `${text}\n\n${`— w ${Buffer.alloc(5).toString('base64')}\n`.repeat(count)}`;
    expect(read(many(100))?.signatures).toHaveLength(100);
    expect(read(many(101))).toBeUndefined();
    expect(read(`${text}\n\n— w ${Buffer.alloc(4).toString('base64')}\n`)).toBeUndefined();
  });

  test.each([
    ['no final line feed', note.slice(0, -1)],
    ['no signature', `${note.split('\n\n')[0] ?? ''}\n`],
    ['no origin', note.replace(origin, '')],
    ['a size with a leading zero', note.replace('\n12\n', '\n012\n')],
    ['a negative size', note.replace('\n12\n', '\n-1\n')],
    ['a size of twenty digits', note.replace('\n12\n', `\n1${'0'.repeat(19)}\n`)],
    ['a short root', note.replace(root.toString('base64'), Buffer.alloc(31).toString('base64'))],
    ['a long root', note.replace(root.toString('base64'), Buffer.alloc(33).toString('base64'))],
    ['a root without padding', note.replace(root.toString('base64'), root.toString('base64').replace('=', ''))],
    ['a hyphen for a dash', note.replace('\n— ', '\n- ')],
    ['text before a signature', note.replace('\n— ', '\nx— ')],
    ['text after a signature', `${note.slice(0, -1)} x\n`],
    ['a control character', note.replace('\n12\n', '\n12\n\u0007\n')],
  ])('with %s is malformed', (_what, text) => {
    expect(text).not.toBe(note);
    expect(() => parseCheckpoint(text)).toThrow(MalformedNote);
  });
});

describe('a verifier key', () => {
  test('is read back from its text, spaces around it or not', () => {
    const text = formatVerifierKey(key);
    const read = parseVerifierKey(` ${text}\n`);
    expect(formatVerifierKey(read)).toBe(text);
    expect(isSignedBy(parseCheckpoint(note), read)).toBe(true);
    expect(text.split('+')[1]).toBe(key.keyId.toString('hex'));
  });

  test('with any character changed is refused, and noise is too', () => {
    const text = formatVerifierKey(key);
    fc.assert(
      fc.property(fc.nat(text.length - 1), fc.constantFrom(...'0aZ+/= \n'), (at, character) => {
        const changed = text.slice(0, at) + character + text.slice(at + 1);
        if (changed.trim() !== text) expect(() => parseVerifierKey(changed)).toThrow(MalformedNote);
      }),
      { numRuns: 200 },
    );
    fc.assert(fc.property(noise, (other) => expect(() => parseVerifierKey(other)).toThrow(MalformedNote)));
  });

  test('of another kind than Ed25519 neither signs nor verifies', () => {
    const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey;
    expect(() => verifierKeyOf(origin, rsa)).toThrow(MalformedNote);
    const [name = '', id = '', encoded = ''] = formatVerifierKey(key).split('+');
    const bytes = Buffer.from(encoded, 'base64');
    bytes[0] = 2;
    expect(() => parseVerifierKey(`${name}+${id}+${bytes.toString('base64')}`)).toThrow('Ed25519');
  });

  test.each(['', 'two words', 'a+b', 'tab\there'])('has no name like %j', (name) => {
    expect(() => signCheckpoint({ origin: name, size: 1n, root }, privateKey)).toThrow(MalformedNote);
  });
});
