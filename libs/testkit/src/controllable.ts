import type { RunningServer } from '@prime-nest/devstack/server';

/** A server that a test may break in every way a machine does. */
export interface TestServer {
  readonly port: number;
  /** Freezes the process: connections stay open, nothing is answered. */
  pause(): void;
  resume(): void;
  /** Ends the process at once, without a farewell, and waits until it is gone. */
  kill(): Promise<void>;
  /** Starts it again on the same port with the same data; a running one is stopped first. */
  restart(): Promise<void>;
  stop(): Promise<void>;
}

export async function controllable(start: (port: number) => Promise<RunningServer>): Promise<TestServer> {
  let server = await start(0);
  const { port } = server;
  return {
    port,
    pause: () => server.signal('SIGSTOP'),
    resume: () => server.signal('SIGCONT'),
    async kill() {
      server.signal('SIGKILL');
      await server.exited;
    },
    async restart() {
      await server.stop();
      server = await start(port);
      if (server.port !== port) throw new Error(`port ${port} was taken while the server was down`);
    },
    async stop() {
      server.signal('SIGCONT'); // a paused server would not see the request to stop
      await server.stop();
    },
  };
}
