import type { RouteFile } from '@prime-nest/contracts/route-file';
import { Circuit } from '../access/circuit.js';
import type { HttpUpstream } from './call-http.command.js';

/** One way to one service: its connections, how it has answered lately, how much is under way. */
export interface Line {
  readonly name: string;
  /** Absent for NATS, which has one connection for everything. */
  readonly http: HttpUpstream | undefined;
  readonly circuit: Circuit;
  readonly concurrencyMax: number;
  underWay: number;
}

export interface ConnectionsOptions {
  readonly open: (origin: string, connections: number) => HttpUpstream;
  /** Runs `fn` when every request that is under way now has ended. */
  readonly later: (fn: () => void) => void;
}

/**
 * The lines to all upstreams of the current file. What a new file leaves as it was keeps its connections and its
 * circuit; what it drops is closed only when no request of the old file can still need it.
 */
export class Connections {
  readonly #options: ConnectionsOptions;
  readonly #lines = new Map<string, Line>();
  #wanted: ReadonlySet<string> = new Set();

  constructor(options: ConnectionsOptions) {
    this.#options = options;
  }

  /** Makes the lines of a file ready. Those of the file before stay for the requests that still use them. */
  use({ upstreams }: RouteFile): void {
    const wanted = new Set<string>();
    for (const [name, { url, concurrencyMax }] of Object.entries(upstreams)) {
      const origin = url === undefined ? undefined : new URL(url).origin;
      for (const via of ['nats', ...(origin === undefined ? [] : [origin])]) {
        const key = keyOf(name, via, concurrencyMax);
        wanted.add(key);
        if (this.#lines.has(key)) continue;
        const http = via === 'nats' ? undefined : this.#options.open(via, concurrencyMax);
        this.#lines.set(key, { name, http, circuit: new Circuit(), concurrencyMax, underWay: 0 });
      }
    }
    this.#wanted = wanted;
    this.#options.later(() => {
      this.#drop();
    });
  }

  /** `origin` undefined: over NATS. */
  line(name: string, origin: string | undefined, concurrencyMax: number): Line | undefined {
    return this.#lines.get(keyOf(name, origin ?? 'nats', concurrencyMax));
  }

  async close(): Promise<void> {
    await Promise.all([...this.#lines.values()].flatMap(({ http }) => (http === undefined ? [] : [http.destroy()])));
    this.#lines.clear();
  }

  #drop(): void {
    for (const [key, { http }] of this.#lines) {
      if (this.#wanted.has(key)) continue;
      this.#lines.delete(key);
      void http?.close();
    }
  }
}

function keyOf(name: string, via: string, concurrencyMax: number): string {
  return `${name} ${via} ${concurrencyMax}`;
}
