import { AppError } from '@prime-nest/contracts/errors';
import type { RpcRequest, RpcResponse, RpcSubject } from '@prime-nest/contracts/rpc';
import type { CallContext } from '@prime-nest/contracts/context';
import type { Rpc } from '@prime-nest/contracts/subjects';
import type { BusClient } from '@prime-nest/kit/bus/client';
import type { Logger } from '@prime-nest/kit/log';
import { Circuit } from './access/circuit.js';

/** How the gateway talks to the services behind it: every subject of the contracts, typed, with its deadline. */
export type Calls = BusClient<Rpc>;

/**
 * The same calls with one circuit per subject: when calls of a subject have run into their deadline a few times in a
 * row, further ones are `unavailable` at once until one that is let through as a probe gets an answer. Per subject,
 * so that a slow query of a service does not stop its decisions.
 */
export function withCircuits(calls: Calls, log: Logger): Calls {
  const circuits = new Map<string, Circuit>();
  const circuitOf = (subject: string) => {
    const known = circuits.get(subject) ?? new Circuit();
    circuits.set(subject, known);
    return known;
  };
  return {
    async call<S extends RpcSubject<Rpc>>(
      subject: S,
      request: RpcRequest<Rpc, S>,
      context: CallContext,
    ): Promise<RpcResponse<Rpc, S>> {
      const circuit = circuitOf(subject);
      const startedAtMs = performance.now();
      if (!circuit.admits(startedAtMs)) {
        throw new AppError('unavailable', { internal: { subject, reason: 'circuit open' } });
      }
      try {
        const response = await calls.call(subject, request, context);
        if (circuit.onAnswer()) log.info({ subject }, 'circuit.closed');
        return response;
      } catch (error) {
        const isUnanswered = error instanceof AppError && error.code === 'unavailable';
        const changed = isUnanswered ? circuit.onSilence(startedAtMs, performance.now()) : circuit.onAnswer();
        if (changed) log.warn({ subject }, isUnanswered ? 'circuit.opened' : 'circuit.closed');
        throw error;
      }
    },
  };
}
