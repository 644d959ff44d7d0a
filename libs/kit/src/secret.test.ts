import { inspect } from 'node:util';
import { expect, test } from '@jest/globals';
import { Secret } from './secret.js';

test('a secret shows itself only when it is asked to', () => {
  const secret = new Secret('canary');
  const shown = [
    String(secret),
    '' + String(secret),
    JSON.stringify({ secret }),
    inspect({ secret }, { depth: 9, showHidden: true }),
    JSON.stringify(Object.entries(secret)),
    String(structuredCloneKeys(secret)),
  ];
  for (const text of shown) expect(text).not.toContain('canary');
  expect(secret.reveal()).toBe('canary');
});

function structuredCloneKeys(secret: Secret): string[] {
  return Object.getOwnPropertyNames(secret);
}
