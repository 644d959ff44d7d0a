import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface Canary {
  readonly url: string;
  /** Connections so far. */
  readonly touched: () => number;
  stop(): void;
}

/** An address that nobody must ever ask. It counts who does. */
export async function startCanary(): Promise<Canary> {
  let connections = 0;
  const server = createServer((_request, response) => response.end('{"keys":[]}'));
  server.on('connection', () => (connections += 1));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/keys`,
    touched: () => connections,
    stop: () => {
      server.close();
      server.closeAllConnections();
    },
  };
}
