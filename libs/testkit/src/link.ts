import { connect, createServer } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';

/** A way to a server that a test can spoil as networks do. */
export interface Link {
  readonly port: number;
  /** Everything in both directions takes so long from now on, in order. */
  slow(ms: number): void;
  /** Nothing passes any more and nobody is told: connections stay open, new ones are accepted and stay silent. */
  partition(): void;
  /** What was held back arrives, as TCP sends again what was not acknowledged, and the way is as before. */
  heal(): void;
  close(): Promise<void>;
}

/** A TCP proxy to `127.0.0.1:port`. */
export async function openLink(port: number): Promise<Link> {
  const state = { delayMs: 0, isPartitioned: false };
  const lanes = new Set<Lane>();
  const sockets = new Set<Socket>();
  const server = createServer((near) => {
    const far = connect(port, '127.0.0.1');
    for (const [from, to] of [
      [near, far],
      [far, near],
    ] as const) {
      const lane = new Lane(state);
      lanes.add(lane);
      sockets.add(from);
      from.on('data', (bytes) => lane.add(() => void to.write(bytes)));
      from.on('error', () => undefined);
      // The end takes the same way as the bytes before it.
      from.on('close', () => {
        sockets.delete(from);
        lane.add(() => {
          to.destroy();
          lanes.delete(lane);
        });
      });
    }
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    port: (server.address() as AddressInfo).port,
    slow: (ms) => {
      state.delayMs = ms;
    },
    partition: () => {
      state.isPartitioned = true;
    },
    heal: () => {
      state.isPartitioned = false;
      state.delayMs = 0;
      for (const lane of lanes) lane.release();
    },
    close: () =>
      new Promise((resolve) => {
        for (const socket of sockets) socket.destroy();
        server.close(() => resolve());
      }),
  };
}

/** One direction of one connection: in order, whatever happens to the link. */
class Lane {
  readonly #state: { readonly delayMs: number; readonly isPartitioned: boolean };
  #queue: { atMs: number; readonly deliver: () => void }[] = [];
  #timer: NodeJS.Timeout | undefined;

  constructor(state: { readonly delayMs: number; readonly isPartitioned: boolean }) {
    this.#state = state;
  }

  add(deliver: () => void): void {
    this.#queue.push({ atMs: performance.now() + this.#state.delayMs, deliver });
    this.#pump();
  }

  release(): void {
    for (const item of this.#queue) item.atMs = 0;
    this.#pump();
  }

  #pump(): void {
    clearTimeout(this.#timer);
    if (this.#state.isPartitioned) return;
    const now = performance.now();
    for (let next = this.#queue[0]; next !== undefined && next.atMs <= now; next = this.#queue[0]) {
      this.#queue.shift();
      next.deliver();
    }
    const [next] = this.#queue;
    if (next !== undefined) this.#timer = setTimeout(() => this.#pump(), next.atMs - now);
  }
}
