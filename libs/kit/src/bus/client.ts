import { errors as natsErrors } from '@nats-io/transport-node';
import type { Msg, NatsConnection } from '@nats-io/transport-node';
import type { CallContext } from '@prime-nest/contracts/context';
import { AppError, commonErrors, isErrorCode } from '@prime-nest/contracts/errors';
import type { ErrorCode } from '@prime-nest/contracts/errors';
import type { RpcContract, RpcContracts, RpcRequest, RpcResponse, RpcSubject } from '@prime-nest/contracts/rpc';
import { runInContext } from '../context.js';
import type { Logger } from '../log.js';
import { attribute, rpcAttributes } from '../telemetry-names.js';
import { startSpan } from '../telemetry.js';
import { busHealth } from './connection.js';
import { clientCalls } from './metrics.js';
import { decodeBody, decodeError, encodeBody, encodeContext, replyBytesMax } from './wire.js';

export interface BusClientOptions<C extends RpcContracts> {
  readonly connection: NatsConnection;
  readonly contracts: C;
  readonly log: Logger;
}

export interface BusClient<C extends RpcContracts> {
  /**
   * Calls a subject and answers its parsed response within the contract's deadline. Throws an `AppError` always:
   * a declared code as the service gave it; `unavailable` when nobody answers (at once when disconnected or when
   * nobody listens), which says nothing about what the service would have decided; `internal` for an undeclared code
   * or a response that breaks the contract. A call is never sent twice.
   */
  call<S extends RpcSubject<C>>(
    subject: S,
    request: RpcRequest<C, S>,
    context: CallContext,
  ): Promise<RpcResponse<C, S>>;
}

export function createBusClient<C extends RpcContracts>({
  connection,
  contracts,
  log,
}: BusClientOptions<C>): BusClient<C> {
  const health = busHealth(connection);
  const waiting = new Set<() => void>();
  // Whoever waits when the connection is lost waits in vain: the reply inbox is gone with it.
  health.onLost(() => {
    for (const giveUp of waiting) giveUp();
  });

  async function exchange(
    subject: string,
    contract: RpcContract,
    request: unknown,
    context: CallContext,
  ): Promise<unknown> {
    if (!health.isConnected) throw unavailable(subject, 'disconnected');
    const deadline = Date.now() + contract.timeoutMs;
    const reply = connection.request(subject, encodeBody(request), {
      timeout: contract.timeoutMs,
      headers: encodeContext(context, deadline),
    });
    const message = await orLost(reply, subject);
    const failure = decodeError(message);
    if (failure !== undefined) throw failureOf(subject, contract, failure);
    const answer = decodeBody(message.data, replyBytesMax);
    if (contract.hot?.isResponse(answer) === true) return answer;
    const response = contract.response.safeParse(answer);
    if (response.success) return response.data;
    const paths = response.error.issues.slice(0, 5).map((issue) => issue.path.join('.'));
    throw new AppError('internal', { internal: { subject, reason: 'the response breaks the contract', paths } });
  }

  function orLost(reply: Promise<Msg>, subject: string): Promise<Msg> {
    return new Promise((resolve, reject) => {
      const giveUp = () => {
        reject(unavailable(subject, 'connection lost'));
      };
      waiting.add(giveUp);
      reply.then(resolve, (error: unknown) => {
        reject(unavailable(subject, reasonOf(error), error));
      });
      void reply.catch(() => undefined).finally(() => waiting.delete(giveUp));
    });
  }

  return {
    async call<S extends RpcSubject<C>>(subject: S, request: RpcRequest<C, S>, context: CallContext) {
      const contract = contracts[subject];
      if (contract === undefined) throw new AppError('internal', { internal: { subject, reason: 'no such contract' } });
      const span = startSpan(subject, { kind: 'client', parent: context.trace, attributes: rpcAttributes(subject) });
      const startedAt = performance.now();
      let outcome = 'ok';
      try {
        return (await exchange(subject, contract, request, { ...context, trace: span.trace })) as RpcResponse<C, S>;
      } catch (error) {
        const failure = asAppError(subject, error);
        outcome = failure.code;
        span.fail(failure);
        runInContext({ ...context, trace: span.trace }, () => {
          if (failure.code === 'internal') log.error({ subject, err: failure }, 'rpc.call_failed');
          else if (failure.code === 'unavailable') log.warn({ subject, err: failure }, 'rpc.call_failed');
        });
        throw failure;
      } finally {
        span.setAttribute(attribute.rpcStatusCode, outcome);
        span.end();
        const labels = { rpc_method: subject, rpc_status_code: outcome };
        clientCalls.observe(labels, (performance.now() - startedAt) / 1000);
      }
    },
  };
}

function failureOf(
  subject: string,
  contract: RpcContract,
  { code, details }: NonNullable<ReturnType<typeof decodeError>>,
): AppError {
  const declared: readonly ErrorCode[] = [...commonErrors, ...contract.errors];
  if (isErrorCode(code) && declared.includes(code)) return new AppError(code, { details, internal: { subject } });
  return new AppError('internal', { internal: { subject, reason: 'undeclared error code', code: code.slice(0, 64) } });
}

function asAppError(subject: string, error: unknown): AppError {
  if (error instanceof AppError && error.code !== 'validation_failed') return error;
  // A reply that cannot even be parsed is the service's fault, whatever the parser calls it.
  if (error instanceof AppError && 'subject' in error.internal) return error;
  return new AppError('internal', { internal: { subject }, cause: error });
}

function unavailable(subject: string, reason: string, cause?: unknown): AppError {
  return new AppError('unavailable', { internal: { subject, reason }, ...(cause === undefined ? {} : { cause }) });
}

function reasonOf(error: unknown): string {
  const inner = error instanceof natsErrors.RequestError && error.cause !== undefined ? error.cause : error;
  if (inner instanceof natsErrors.NoRespondersError) return 'no responders';
  if (inner instanceof natsErrors.TimeoutError) return 'deadline passed';
  if (inner instanceof natsErrors.PermissionViolationError) return 'not allowed to call';
  return 'request failed';
}
