import { serviceFolder } from './folders.js';
import type { Env } from './folders.js';
import { choosePort, freePort } from './ports.js';
import { portEnv, serviceNames } from './services.js';
import type { ServiceName } from './services.js';

export type Replicas = Readonly<Partial<Record<ServiceName, number>>>;

export interface PlannedProcess {
  readonly service: ServiceName;
  readonly name: string;
  readonly folder: string;
  readonly env: Env;
  readonly healthUrl: string;
  readonly metricsUrl: string;
}

export interface ServicePlan {
  readonly processes: readonly PlannedProcess[];
  readonly gatewayUrl: string;
  readonly ports: Readonly<Record<string, number>>;
  /** Sentences about wanted ports that were taken. */
  readonly busy: readonly string[];
}

export interface PlanOptions {
  readonly env: Env;
  readonly replicas: Replicas;
  readonly ports: 'fixed' | 'any';
}

const gatewayPort = 3000;

/** Which processes run, where each listens and with which environment. The first gateway takes PORT. */
export async function planServices(options: PlanOptions, envOf: (service: ServiceName) => Env): Promise<ServicePlan> {
  const processes: PlannedProcess[] = [];
  const ports: Record<string, number> = {};
  const busy: string[] = [];
  for (const service of serviceNames) {
    const count = options.replicas[service] ?? 1;
    for (let number = 1; number <= count; number += 1) {
      const name = count === 1 ? service : `${service}-${number}`;
      const wanted = service === 'gateway' && number === 1 ? wantedGatewayPort(options) : 0;
      const chosen = await choosePort(wanted);
      if (chosen.busy !== undefined) busy.push(`port ${chosen.busy} is busy: ${name} listens on ${chosen.port}`);
      ports[name] = chosen.port;
      const metricsPort = service === 'gateway' ? await freePort() : chosen.port;
      processes.push({
        service,
        name,
        folder: serviceFolder(service, options.env),
        env: { ...envOf(service), ...portEnv(service, { port: chosen.port, metricsPort }) },
        healthUrl: `http://127.0.0.1:${chosen.port}/health/readiness`,
        metricsUrl: `http://127.0.0.1:${metricsPort}/metrics`,
      });
    }
  }
  const first = ports['gateway'] ?? ports['gateway-1'];
  return { processes, ports, busy, gatewayUrl: `http://127.0.0.1:${first}` };
}

function wantedGatewayPort({ env, ports }: PlanOptions): number {
  if (ports === 'any') return 0;
  const port = Number(env['PORT'] ?? gatewayPort);
  if (!Number.isInteger(port) || port < 0 || port > 65_535) throw new Error('PORT must be a number from 0 to 65535');
  return port;
}

/** Reads `rbac=3,audit=2`. */
export function parseReplicas(text: string): Replicas {
  const entries = text.split(',').filter((part) => part !== '');
  return Object.fromEntries(
    entries.map((entry) => {
      const [name, count] = entry.split('=');
      const service = serviceNames.find((known) => known === name);
      const number = Number(count);
      if (service === undefined || !Number.isInteger(number) || number < 1 || number > 20) {
        throw new Error(`--replicas ${entry}: write <service>=<1..20>, services are ${serviceNames.join(', ')}`);
      }
      return [service, number];
    }),
  );
}
