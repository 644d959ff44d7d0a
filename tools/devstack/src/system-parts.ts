import type { Exit } from './process.js';
import { killGroup } from './process.js';
import type { Secrets } from './secrets.js';
import type { ServerName, SystemServer } from './servers.js';
import type { ServiceLogs } from './service-logs.js';
import type { ServiceName } from './services.js';
import { settleAll } from './settle-all.js';
import { recordChildren, releaseHome } from './state.js';
import type { SystemState } from './state.js';
import type { Supervised, SupervisorEvents } from './supervisor.js';
import type { LaunchedSystem, Observer } from './system.js';

/** Everything of a system that has been started so far, so that it can be stopped at any moment, in order. */
export class SystemParts {
  readonly startedAt = new Date().toISOString();
  readonly events: SupervisorEvents;
  private readonly servers = new Map<ServerName, SystemServer>();
  private readonly services = new Map<string, { readonly service: ServiceName; readonly process: Supervised }>();
  private changed: () => void = () => undefined;
  private stopping: Promise<void> | undefined;
  private readonly last: (() => Promise<void>)[] = [];

  constructor(
    private readonly home: string,
    readonly logs: ServiceLogs,
    observer: Observer,
  ) {
    const seconds = (ms: number): string => `${ms / 1000} s`;
    this.events = {
      ended: (name, exit, ms) => observer.note(`${name} ended (${how(exit)}); starting it again in ${seconds(ms)}`),
      failed: (name, error, ms) => observer.note(`${name} did not start; again in ${seconds(ms)}. ${text(error)}`),
      restarted: (name) => {
        // Whoever reads the note finds the new process in the state.
        this.record();
        observer.note(`${name} is ready again`);
      },
    };
  }

  addServer(server: SystemServer): SystemServer {
    this.servers.set(server.name as ServerName, server);
    this.record();
    return server;
  }

  addService(service: ServiceName, process: Supervised): void {
    this.services.set(process.name, { service, process });
    this.record();
  }

  /** Runs when everything that is supervised has ended. */
  afterStop(fn: () => Promise<void>): void {
    this.last.push(fn);
  }

  /** Called at once, and again whenever a process got another id. */
  onChange(changed: () => void): void {
    this.changed = changed;
    changed();
  }

  pids(): Record<string, number> {
    const all = [...this.all()].map((part) => [part.name, part.pid()] as const);
    return Object.fromEntries(all.filter((entry): entry is readonly [string, number] => entry[1] !== undefined));
  }

  system(state: SystemState, secrets: Secrets): LaunchedSystem {
    return {
      state,
      secrets,
      services: new Map(
        [...this.services].map(([name, { process }]) => [name, recording(process, () => this.record())]),
      ),
      servers: this.servers,
      logs: this.logs,
      stop: () => this.stop(),
      killAll: () => this.killAll(),
    };
  }

  /** Callers before what they call; the home is free for another launcher afterwards. */
  stop(): Promise<void> {
    this.stopping ??= (async () => {
      const services = [...this.services.values()];
      const ofKind = (isGateway: boolean): Supervised[] =>
        services.filter(({ service }) => (service === 'gateway') === isGateway).map(({ process }) => process);
      await settleAll(ofKind(true).map((process) => process.stop()));
      await settleAll(ofKind(false).map((process) => process.stop()));
      for (const name of ['nats', 'redis', 'postgres'] as const) await this.servers.get(name)?.stop();
      for (const fn of this.last) await fn();
      await this.logs.close();
      releaseHome(this.home);
    })();
    return this.stopping;
  }

  killAll(): void {
    for (const pid of Object.values(this.pids())) killGroup(pid);
    releaseHome(this.home);
  }

  private *all(): Iterable<Supervised> {
    yield* this.servers.values();
    for (const { process } of this.services.values()) yield process;
  }

  private record(): void {
    if (this.stopping !== undefined) return;
    recordChildren(this.home, Object.values(this.pids()));
    this.changed();
  }
}

/** The same process, with its new id written down when it was started by hand. */
function recording(process: Supervised, record: () => void): Supervised {
  const after = async (work: Promise<void>): Promise<void> => {
    await work;
    record();
  };
  return { ...process, start: () => after(process.start()), restart: () => after(process.restart()) };
}

function how({ code, signal, reason }: Exit): string {
  return reason ?? (signal === null ? `exit ${code}` : signal);
}

function text(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
