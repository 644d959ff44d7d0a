import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { parseAssertionKeys } from '@prime-nest/assertion/key-set';
import { ReplayMemory } from '@prime-nest/assertion/replay-memory';
import { verifyAssertion } from '@prime-nest/assertion/verify';
import type { AssertionVerdict } from '@prime-nest/assertion/verify';
import type { Gateway } from './harness.js';

export interface ReceivedRequest {
  readonly method: string;
  readonly url: string;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: string;
}

export interface TestUpstream {
  readonly url: string;
  readonly received: ReceivedRequest[];
  /** How the next requests are answered. */
  answer: (response: ServerResponse, request: ReceivedRequest) => void;
  stop(): Promise<void>;
  /** Listens again where it did. */
  restart(): Promise<void>;
}

/** A service of an adopter: it keeps what it received and answers what the test decides. */
export async function startUpstream(): Promise<TestUpstream> {
  const received: ReceivedRequest[] = [];
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const { method = '', url = '', headers } = request;
      const seen = { method, url, headers, body: Buffer.concat(chunks).toString('utf8') };
      received.push(seen);
      upstream.answer(response, seen);
    });
  });
  const listen = (port: number) => new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
  await listen(0);
  const { port } = server.address() as AddressInfo;
  const upstream: TestUpstream = {
    url: `http://127.0.0.1:${port}`,
    received,
    answer: answerJson,
    stop: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
    restart: () => listen(port),
  };
  return upstream;
}

export const answerJson = (response: ServerResponse) => {
  response.setHeader('content-type', 'application/json');
  response.end('{"ok":true}');
};

/** The verdict of a service that knows the gateway's published keys, as it would judge the request. */
export async function judge(
  gateway: Gateway,
  { method, url, headers, body }: ReceivedRequest,
  options: { readonly audience: string; readonly now?: Date; readonly replays?: ReplayMemory },
): Promise<AssertionVerdict> {
  const keys = parseAssertionKeys(await (await gateway.fetch('/.well-known/assertion-jwks.json')).json());
  const assertion = headers['prime-nest-assertion'];
  return verifyAssertion(
    typeof assertion === 'string' ? assertion : undefined,
    { method, target: url, body: Buffer.from(body) },
    { keys, now: new Date(), replays: new ReplayMemory(), ...options },
  );
}

/** A route file that tests write again and again. */
export async function routeFile(
  content: unknown,
): Promise<{ file: string; write(next: unknown): Promise<void>; remove(): Promise<void> }> {
  const folder = await mkdtemp(path.join(tmpdir(), 'prime-nest-routes-'));
  const file = path.join(folder, 'routes.json');
  const write = (next: unknown) => writeFile(file, typeof next === 'string' ? next : JSON.stringify(next));
  await write(content);
  return { file, write, remove: () => rm(folder, { recursive: true, force: true }) };
}
