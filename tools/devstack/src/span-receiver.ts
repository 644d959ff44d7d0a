import { createServer } from 'node:http';
import type { IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { gunzipSync } from 'node:zlib';
import { spansOf } from './otlp.js';
import type { SpanStore } from './span-store.js';

export interface SpanReceiver {
  /** For OTEL_EXPORTER_OTLP_ENDPOINT. */
  readonly url: string;
  close(): Promise<void>;
}

const bodyBytesMax = 16 * 1024 * 1024;

/**
 * A small OTLP/HTTP collector on loopback: what services export is kept in the store, and passed on unchanged to
 * `forward` (another collector) when there is one. It answers before either, so that nobody waits for a disk.
 */
export async function startSpanReceiver(store: SpanStore, forward?: string): Promise<SpanReceiver> {
  const server = createServer((request, response) => {
    const isExport = request.method === 'POST' && request.url === '/v1/traces';
    const isJson = request.headers['content-type']?.startsWith('application/json') === true;
    if (!isExport || !isJson) {
      response.writeHead(isExport ? 415 : 404).end();
      return;
    }
    bodyOf(request).then(
      (body) => {
        response.writeHead(200, { 'content-type': 'application/json' }).end('{}');
        keep(store, body);
        if (forward !== undefined) void pass(forward, body);
      },
      () => response.writeHead(400).end(),
    );
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(0, '127.0.0.1', resolve);
  });
  // Spans of a system that has ended keep nobody running.
  server.unref();
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

function keep(store: SpanStore, body: Buffer): void {
  try {
    store.add(spansOf(body.toString('utf8')));
  } catch {
    // Not an export, or no room on the disk: tracing is a convenience here and must not take the system down.
  }
}

async function pass(forward: string, body: Buffer): Promise<void> {
  await fetch(`${forward}/v1/traces`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: new Uint8Array(body),
    signal: AbortSignal.timeout(2000),
  }).catch(() => undefined);
}

async function bodyOf(request: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > bodyBytesMax) throw new Error('too large');
    chunks.push(chunk);
  }
  const body = Buffer.concat(chunks);
  return request.headers['content-encoding'] === 'gzip' ? gunzipSync(body) : body;
}
