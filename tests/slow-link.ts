import { createServer, connect, type Socket } from 'node:net';
import type { AddressInfo } from 'node:net';

export interface SlowLink {
  readonly port: number;
  /** How long everything from the server is held back on its way from now on, in milliseconds; in order always. */
  setDelay(ms: number): void;
  close(): void;
}

/** A TCP connection to `127.0.0.1:port` that can be made slow in the direction from the server. */
export async function openSlowLink(port: number): Promise<SlowLink> {
  let delayMs = 0;
  const sockets = new Set<Socket>();
  const server = createServer((near) => {
    const far = connect(port, '127.0.0.1');
    for (const socket of [near, far]) {
      sockets.add(socket);
      socket.on('error', () => undefined);
      socket.on('close', () => {
        sockets.delete(socket);
        near.destroy();
        far.destroy();
      });
    }
    near.on('data', (bytes) => far.write(bytes));
    let releaseAtMs = 0;
    far.on('data', (bytes) => {
      releaseAtMs = Math.max(releaseAtMs, performance.now() + delayMs);
      setTimeout(() => near.write(bytes), releaseAtMs - performance.now());
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    port: (server.address() as AddressInfo).port,
    setDelay: (ms) => (delayMs = ms),
    close: () => {
      server.close();
      for (const socket of sockets) socket.destroy();
    },
  };
}
