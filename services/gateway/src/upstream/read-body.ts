import type { Readable } from 'node:stream';
import { AppError } from '@prime-nest/contracts/errors';

/** All bytes of a body. Throws `body_too_large` as soon as there is one more than allowed. */
export async function readBody(payload: Readable, bytesMax: number): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let size = 0;
  // Left open when it is too long: the connection is still needed for the answer.
  for await (const chunk of payload.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > bytesMax) throw new AppError('body_too_large');
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}
