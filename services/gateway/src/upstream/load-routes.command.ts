import { readFile } from 'node:fs/promises';
import { ConfigError } from '@prime-nest/kit/config';
import type { Logger } from '@prime-nest/kit/log';
import { isError } from '@prime-nest/kit/redact';
import { routeReloads, upstreamRoutes } from '../telemetry.js';
import { checkRouteFile } from './check-route-file.js';
import type { BuiltInRoutes } from './check-route-file.js';
import type { Connections } from './connections.js';
import { UpstreamTable } from './upstream-table.js';

export interface LoadRoutesOptions {
  readonly file: string;
  readonly connections: Connections;
  readonly log: Logger;
}

/**
 * Holds the routes of the route file. A file takes effect as a whole or not at all: it is read and checked completely,
 * then one assignment replaces the table. Requests keep the table that they were matched with.
 */
export class LoadRoutesCommand {
  readonly #options: LoadRoutesOptions;
  #builtIn: BuiltInRoutes | undefined;
  #table: UpstreamTable | undefined;
  #turn: Promise<unknown> = Promise.resolve();

  constructor(options: LoadRoutesOptions) {
    this.#options = options;
  }

  get table(): UpstreamTable | undefined {
    return this.#table;
  }

  /** Loads the file for the first time. Throws a `ConfigError` with everything that is wrong with it. */
  async start(builtIn: BuiltInRoutes): Promise<void> {
    this.#builtIn = builtIn;
    const problems = await this.#load(builtIn);
    if (problems.length > 0) {
      throw new ConfigError(
        'gateway',
        problems.map((problem) => `GATEWAY_ROUTES_FILE: ${problem}`),
      );
    }
  }

  /** Loads the file again; with any problem the routes stay as they are. One reload after the other. */
  reload(): Promise<void> {
    const turn = this.#turn.then(async () => {
      const problems: readonly string[] =
        this.#builtIn === undefined ? ['was not loaded yet'] : await this.#load(this.#builtIn);
      routeReloads.inc({ result: problems.length === 0 ? 'loaded' : 'refused' });
      if (problems.length > 0) {
        this.#options.log.error({ problems, digest: this.#table?.digest }, 'routes.refused');
      }
    });
    this.#turn = turn;
    return turn;
  }

  async #load(builtIn: BuiltInRoutes): Promise<readonly string[]> {
    const { file: path, connections, log } = this.#options;
    let bytes: Buffer;
    try {
      bytes = await readFile(path);
    } catch (error) {
      const code = isError(error) && 'code' in error ? String(error.code) : 'unknown error';
      return [`cannot be read (${code})`];
    }
    const checked = checkRouteFile(bytes, builtIn);
    if ('problems' in checked) return checked.problems;
    const table = new UpstreamTable(checked.file, bytes, builtIn.prefix);
    connections.use(checked.file);
    this.#table = table;
    upstreamRoutes.reset();
    upstreamRoutes.set({ digest: table.digest }, table.routes.length);
    const upstreams = Object.keys(checked.file.upstreams);
    log.info({ digest: table.digest, routes: table.routes.length, upstreams }, 'routes.loaded');
    return [];
  }
}
