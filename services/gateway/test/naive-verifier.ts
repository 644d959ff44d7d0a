import { createHmac, createPublicKey, verify } from 'node:crypto';
import type { JsonWebKey, KeyObject } from 'node:crypto';

type Json = Record<string, unknown>;

/**
 * What careless verifiers do, as a control: it believes the header about algorithm, key and address of the key, takes
 * any spelling, and looks at no claim but `exp`. Answers whether it accepts.
 */
export async function naiveAccepts(authorization: string, publicKeyPem: string): Promise<boolean> {
  try {
    const token = authorization.split(' ').at(-1)?.trim() ?? '';
    const [head = '', body = '', mac = ''] = token.split('.');
    const header = JSON.parse(Buffer.from(head, 'base64').toString()) as Json;
    const claims = JSON.parse(Buffer.from(body, 'base64').toString()) as Json;
    if (typeof claims['exp'] === 'number' && claims['exp'] * 1000 < Date.now()) return false;
    return await isSigned(
      header,
      { input: Buffer.from(`${head}.${body}`), mac: Buffer.from(mac, 'base64') },
      publicKeyPem,
    );
  } catch {
    return false;
  }
}

async function isSigned(header: Json, { input, mac }: { input: Buffer; mac: Buffer }, pem: string): Promise<boolean> {
  const alg = String(header['alg']).toUpperCase().trim();
  if (alg === 'NONE') return true;
  if (alg.startsWith('HS'))
    return createHmac(`sha${alg.slice(2)}`, pem)
      .update(input)
      .digest()
      .equals(mac);
  const key = await keyOf(header, pem);
  if (alg.startsWith('ES')) return verify('sha256', input, { key, dsaEncoding: 'ieee-p1363' }, mac);
  if (alg === 'EDDSA') return verify(null, input, key, mac);
  const pss = alg.startsWith('PS') ? { padding: 6 } : {};
  return verify(`sha${alg.slice(2)}`, input, { key, ...pss }, mac);
}

async function keyOf(header: Json, pem: string): Promise<KeyObject> {
  if (typeof header['jwk'] === 'object') return createPublicKey({ key: header['jwk'] as JsonWebKey, format: 'jwk' });
  const address = header['jku'] ?? header['x5u'];
  if (typeof address === 'string') await fetch(address);
  return createPublicKey(pem);
}
