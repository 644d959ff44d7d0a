import { generateKeyPairSync } from 'node:crypto';

export interface TestKeyPair {
  /** PKCS #8, PEM. */
  readonly privateKey: string;
  /** SPKI, PEM. */
  readonly publicKey: string;
}

let shared: TestKeyPair | undefined;

/** An RSA pair of the smallest size that is accepted (2048), the same one for the whole test file. */
export function testKeyPair(): TestKeyPair {
  shared ??= newKeyPair();
  return shared;
}

/** Another pair, for what must not verify with the first. */
export function newKeyPair(modulusLength = 2048): TestKeyPair {
  return generateKeyPairSync('rsa', {
    modulusLength,
    publicKeyEncoding: { type: 'spki', format: 'pem' },
    privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
  });
}
