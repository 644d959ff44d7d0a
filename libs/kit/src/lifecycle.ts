import { ConfigError } from './config.js';
import { createLogger } from './log.js';
import type { Logger } from './log.js';
import { startMetrics } from './telemetry-metrics.js';
import { stopTelemetry } from './telemetry.js';

/** Exit codes: 0 stopped cleanly, 1 failed, 78 bad configuration (sysexits EX_CONFIG), 130 told to stop twice. */
export const exitCode = { clean: 0, failed: 1, configuration: 78, interrupted: 130 } as const;

export interface Life {
  /** Uses the service's own logger and deadline once its configuration is known. */
  configure(settings: { readonly log?: Logger; readonly shutdownTimeoutMs?: number }): void;
  /** Runs `fn` at the stop; the last registered runs first. An error in one is logged and the others still run. */
  onStop(name: string, fn: () => unknown): void;
  /** Runs `fn` at the very beginning of a stop, before anything is taken down: readiness turns negative here. */
  onDrain(fn: () => void): void;
  isDraining(): boolean;
}

export interface RunServiceOptions {
  readonly service: string;
  readonly start: (life: Life) => Promise<void>;
}

/**
 * Runs a service until SIGTERM or SIGINT, then takes it down in reverse order within its deadline and exits; a second
 * signal exits at once. Ends the process with the codes of {@link exitCode}, also for a failed start and for errors
 * that nobody caught: a process that has lost track of its own state stops, and is started again from outside.
 */
export function runService({ service, start }: RunServiceOptions): void {
  const process_ = new ServiceProcess(service);
  startMetrics(service);
  process.on('SIGTERM', () => void process_.stop());
  process.on('SIGINT', () => void process_.stop());
  process.on('unhandledRejection', (error) => {
    process_.fail(error, 'process.unhandled_rejection');
  });
  process.on('uncaughtException', (error) => {
    process_.fail(error, 'process.uncaught_exception');
  });
  start(process_).then(
    () => {
      process_.started();
    },
    (error: unknown) => {
      process_.startFailed(error);
    },
  );
}

class ServiceProcess implements Life {
  readonly #service: string;
  readonly #stops: { readonly name: string; readonly fn: () => unknown }[] = [];
  readonly #drains: (() => void)[] = [];
  #log: Logger;
  #timeoutMs = 10_000;
  #isDraining = false;

  constructor(service: string) {
    this.#service = service;
    this.#log = createLogger({ service, level: 'info' });
  }

  configure({ log, shutdownTimeoutMs }: { readonly log?: Logger; readonly shutdownTimeoutMs?: number }): void {
    this.#log = log ?? this.#log;
    this.#timeoutMs = shutdownTimeoutMs ?? this.#timeoutMs;
  }

  onStop(name: string, fn: () => unknown): void {
    this.#stops.push({ name, fn });
  }

  onDrain(fn: () => void): void {
    this.#drains.push(fn);
  }

  isDraining(): boolean {
    return this.#isDraining;
  }

  started(): void {
    if (!this.#isDraining) this.#log.info('service.started');
  }

  startFailed(error: unknown): void {
    if (error instanceof ConfigError) {
      process.stderr.write(`${error.message}\n`);
      process.exit(exitCode.configuration);
    }
    // A stop that interrupts the start makes the start fail; that is the stop's affair.
    if (!this.#isDraining) this.fail(error, 'service.start_failed');
  }

  fail(error: unknown, event: string): void {
    this.#log.fatal({ err: error }, event);
    process.exit(exitCode.failed);
  }

  async stop(): Promise<void> {
    if (this.#isDraining) process.exit(exitCode.interrupted);
    this.#isDraining = true;
    const startedAt = performance.now();
    this.#log.info({ timeoutMs: this.#timeoutMs }, 'service.stopping');
    for (const drain of this.#drains) drain();
    let current = 'start';
    setTimeout(() => {
      this.#log.error({ waitingFor: current, timeoutMs: this.#timeoutMs }, 'service.stop_overrun');
      process.exit(exitCode.failed);
    }, this.#timeoutMs);
    let hasFailed = false;
    for (let next = this.#stops.pop(); next !== undefined; next = this.#stops.pop()) {
      current = next.name;
      try {
        await next.fn();
      } catch (error) {
        hasFailed = true;
        this.#log.error({ part: current, err: error }, 'service.stop_failed');
      }
    }
    current = 'telemetry';
    await stopTelemetry();
    this.#log.info(
      { service: this.#service, durationMs: Math.round(performance.now() - startedAt) },
      'service.stopped',
    );
    process.exit(hasFailed ? exitCode.failed : exitCode.clean);
  }
}
