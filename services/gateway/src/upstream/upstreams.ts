import type { KeyObject } from 'node:crypto';
import type { NatsConnection } from '@nats-io/transport-node';
import type { Clock } from '@prime-nest/kit/clock';
import type { Logger } from '@prime-nest/kit/log';
import type { RecordEvent } from '../spool/record-event.js';
import { BusUpstreams } from './call-bus.command.js';
import { HttpUpstream } from './call-http.command.js';
import { Connections } from './connections.js';
import { ForwardCommand } from './forward.command.js';
import { LoadRoutesCommand } from './load-routes.command.js';
import { assertionSigner } from './sign-assertion.js';
import type { AssertionSigner } from './sign-assertion.js';

export interface UpstreamsOptions {
  readonly file: string;
  readonly key: KeyObject;
  readonly connection: NatsConnection;
  readonly recordEvent: RecordEvent;
  readonly clock: Clock;
  readonly log: Logger;
}

/** Everything about the route file, wired. */
export interface Upstreams {
  readonly load: LoadRoutesCommand;
  readonly forward: ForwardCommand;
  readonly signer: AssertionSigner;
  /** Ends what is still under way. */
  stop(): Promise<void>;
}

/** No request lives as long: reading it, deciding and answering have shorter limits of their own. */
const longestRequestMs = 60_000;

export function createUpstreams({ file, key, connection, recordEvent, clock, log }: UpstreamsOptions): Upstreams {
  const connections = new Connections({
    open: (origin, count) => new HttpUpstream(origin, count),
    later: (fn) => {
      setTimeout(fn, longestRequestMs).unref();
    },
  });
  const signer = assertionSigner(key);
  return {
    signer,
    load: new LoadRoutesCommand({ file, connections, log }),
    forward: new ForwardCommand({ connections, bus: new BusUpstreams(connection), signer, recordEvent, clock, log }),
    stop: () => connections.close(),
  };
}
