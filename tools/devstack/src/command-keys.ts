import { mkdir } from 'node:fs/promises';
import path from 'node:path';
import { newKeyPair, writeKeyPair } from './secrets.js';

/** Makes a key pair for RS256 (RSA, 3072 bits), as two PEM files that only we can read, or on standard output. */
export async function keysCommand(target: string | undefined): Promise<number> {
  if (target === undefined) {
    console.error('usage: npm run keys -- <folder>    (or --stdout)');
    return 1;
  }
  if (target === '--stdout') {
    const { privateKey, publicKey } = await newKeyPair();
    process.stdout.write(privateKey + publicKey);
    return 0;
  }
  const folder = path.resolve(target);
  const files = { privateKeyFile: path.join(folder, 'private.pem'), publicKeyFile: path.join(folder, 'public.pem') };
  await mkdir(folder, { recursive: true, mode: 0o700 });
  await writeKeyPair(files);
  console.log(`PRIVATE_KEY_FILE=${files.privateKeyFile}\nPUBLIC_KEY_FILE=${files.publicKeyFile}`);
  return 0;
}
