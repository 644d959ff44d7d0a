import { createPublicKey, generateKeyPairSync } from 'node:crypto';
import { describe, expect, test } from '@jest/globals';
import {
  MalformedNote,
  formatVerifierKey,
  isSignedBy,
  parseCheckpoint,
  parseVerifierKey,
  signCheckpoint,
  verifierKeyOf,
} from './checkpoint.js';
import { emptyRoot } from './tree.js';

const { privateKey } = generateKeyPairSync('ed25519');
const origin = 'example.org/log';
const note = signCheckpoint({ origin, size: 42n, root: emptyRoot }, privateKey);
const key = verifierKeyOf(origin, privateKey);

describe('checkpoints', () => {
  test('a signed checkpoint is read and checked by the key that its verifier text names', () => {
    const parsed = parseCheckpoint(note);
    expect(parsed).toMatchObject({ origin, size: 42n, root: emptyRoot });
    expect(isSignedBy(parsed, parseVerifierKey(formatVerifierKey(key)))).toBe(true);
  });

  test('the public half makes the same verifier key, for whoever has no other', () => {
    const ofPublic = verifierKeyOf(origin, createPublicKey(privateKey));
    expect(formatVerifierKey(ofPublic)).toBe(formatVerifierKey(key));
    expect(isSignedBy(parseCheckpoint(note), ofPublic)).toBe(true);
  });

  test('another key, another name and every changed character are noticed', () => {
    const stranger = generateKeyPairSync('ed25519').privateKey;
    expect(isSignedBy(parseCheckpoint(note), verifierKeyOf(origin, stranger))).toBe(false);
    expect(isSignedBy(parseCheckpoint(note), verifierKeyOf('example.org/other', privateKey))).toBe(false);
    for (let i = 0; i < note.length; i++) {
      const changed = note.slice(0, i) + (note[i] === 'A' ? 'B' : 'A') + note.slice(i + 1);
      let isAccepted = false;
      try {
        isAccepted = isSignedBy(parseCheckpoint(changed), key);
      } catch (error) {
        expect(error).toBeInstanceOf(MalformedNote);
      }
      expect([i, isAccepted]).toEqual([i, false]);
    }
  });

  test('every signature of the key must hold, not one of several', () => {
    const line = note.slice(note.lastIndexOf('\u2014'));
    const other = signCheckpoint({ origin, size: 43n, root: emptyRoot }, privateKey);
    const forged = other.slice(other.lastIndexOf('\u2014'));
    expect(isSignedBy(parseCheckpoint(note + line), key)).toBe(true);
    expect(isSignedBy(parseCheckpoint(note + forged), key)).toBe(false);
    expect(isSignedBy(parseCheckpoint(other.replace(forged, forged + line)), key)).toBe(false);
  });

  test.each([
    ['something before it', `junk+${formatVerifierKey(key)}`],
    ['something on a line after it', `${formatVerifierKey(key)}\njunk`],
    ['nothing', ''],
    // The note could not tell where it ends.
    ['a space in its name', formatVerifierKey(verifierKeyOf('example.org log', privateKey))],
  ])('a verifier key with %s is none', (_name, text) => {
    expect(() => parseVerifierKey(text)).toThrow(MalformedNote);
  });

  test.each([
    ['no signature', note.slice(0, note.indexOf('\n\n') + 1)],
    ['no final line break', note.slice(0, -1)],
    ['a carriage return', note.replace('\n', '\r\n')],
    ['a lone surrogate', note.replace('example', '\ud800')],
    ['a size with a leading zero', note.replace('\n42\n', '\n042\n')],
    ['a negative size', note.replace('\n42\n', '\n-1\n')],
    ['a root of another length', note.replace(emptyRoot.toString('base64'), 'AAAA')],
    [
      'a root with sloppy padding',
      note.replace(emptyRoot.toString('base64'), emptyRoot.toString('base64').replace('=', '')),
    ],
    ['no origin', note.replace(origin, '')],
    ['an empty line before its extension', note.replace('\n\n', '\n\nextension\n\n')],
    ['a line that is no signature', `${note}hello\n`],
    ['a hyphen for the dash', note.replace('\u2014', '-')],
    ['too many signatures', note + note.slice(note.lastIndexOf('\u2014')).repeat(100)],
  ])('%s is refused', (_name, text) => {
    expect(() => parseCheckpoint(text)).toThrow(MalformedNote);
  });
});

describe('verifier keys', () => {
  test('a well-known key of another implementation has the key id that we compute', () => {
    const known = 'sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8';
    expect(formatVerifierKey(parseVerifierKey(known))).toBe(known);
  });

  test.each([
    '',
    'name',
    'a+00000000+AAAA',
    formatVerifierKey(key).replace(/\+[0-9a-f]{8}\+/, '+00000000+'),
    ` x+${formatVerifierKey(key)}`,
  ])('%j is refused', (text) => {
    expect(() => parseVerifierKey(text)).toThrow(MalformedNote);
  });
});
