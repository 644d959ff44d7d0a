import { Counter, Gauge, Histogram, Registry, collectDefaultMetrics } from 'prom-client';

/**
 * The metrics of one process, for Prometheus. Names carry their unit (`_seconds`, `_bytes`, `_total`), labels name
 * kinds and never individuals. Metrics are made at module load, once each; reading them is cheap and asks nobody
 * except the gauges made by {@link observed}.
 */
const registry = new Registry();

/** Seconds: from a lookup in memory to the longest deadline of a call. */
export const durationBuckets = [
  0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10,
] as const;

export interface MetricOptions<L extends string> {
  readonly name: string;
  readonly help: string;
  readonly labels?: readonly L[];
}

/** `known` are label values that are exported from the start with 0: the first one counted is then seen as a rise. */
export function counter<L extends string = never>({
  name,
  help,
  labels = [],
  known = [],
}: MetricOptions<L> & { readonly known?: readonly Readonly<Record<L, string>>[] }): Counter<L> {
  const made = new Counter({ name: checked(name, labels), help, labelNames: labels, registers: [registry] });
  for (const values of known) made.inc(values, 0);
  return made;
}

export function gauge<L extends string = never>({ name, help, labels = [] }: MetricOptions<L>): Gauge<L> {
  return new Gauge({ name: checked(name, labels), help, labelNames: labels, registers: [registry] });
}

export function histogram<L extends string = never>({
  name,
  help,
  labels = [],
  buckets = durationBuckets,
}: MetricOptions<L> & { readonly buckets?: readonly number[] }): Histogram<L> {
  return new Histogram({
    name: checked(name, labels),
    help,
    labelNames: labels,
    buckets: [...buckets],
    registers: [registry],
  });
}

const readTimeoutMs = 1_000;

export interface Observed {
  /** Says where the value comes from. Undefined or an error: not known now, and then nothing is exported. */
  from(read: () => number | undefined | Promise<number | undefined>): void;
}

/** A gauge that is read when somebody asks for it. Until `from` has been called nothing is exported but its name. */
export function observed({ name, help }: Omit<MetricOptions<never>, 'labels'>): Observed {
  let source: (() => number | undefined | Promise<number | undefined>) | undefined;
  new Gauge({
    name: checked(name, []),
    help,
    registers: [registry],
    async collect() {
      const value = source === undefined ? undefined : await within(source).catch(() => undefined);
      // The last known value would look like a present one.
      if (value === undefined) this.remove();
      else this.set(value);
    },
  });
  return {
    from: (read) => {
      source = read;
    },
  };
}

async function within(read: () => number | undefined | Promise<number | undefined>): Promise<number | undefined> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<undefined>((resolve) => {
    timer = setTimeout(resolve, readTimeoutMs, undefined);
  });
  try {
    return await Promise.race([read(), late]);
  } finally {
    clearTimeout(timer);
  }
}

let isStarted = false;

/** Adds the process's own: CPU, memory, event-loop delay, garbage collection; and the service's name to every line. */
export function startMetrics(service: string): void {
  registry.setDefaultLabels({ service });
  if (isStarted) return;
  isStarted = true;
  collectDefaultMetrics({ register: registry });
}

/** Every metric in the text format of Prometheus, with its media type. */
export async function renderMetrics(): Promise<{ readonly contentType: string; readonly body: string }> {
  return { contentType: registry.contentType, body: await registry.metrics() };
}

const unit = /_(seconds|bytes|total|ratio|events|requests|calls|connections|revision|jobs|messages)$/;

/** A metric without a unit, or with a label that counts individuals, is a mistake to find at the first start. */
function checked(name: string, labels: readonly string[]): string {
  if (!/^[a-z][a-z0-9_]*$/.test(name) || !unit.test(name)) throw new TypeError(`the metric ${name} names no unit`);
  const id = labels.find((label) => /(^|_)(id|uuid|address|name)$/.test(label));
  if (id !== undefined) throw new TypeError(`the label ${id} of ${name} would count individuals`);
  return name;
}
