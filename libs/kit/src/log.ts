import { AppError, errorDefinition } from '@prime-nest/contracts/errors';
import { pino } from 'pino';
import type { DestinationStream } from 'pino';
import { currentContext } from './context.js';
import { prettyStream } from './log-pretty.js';
import { isError, maskText, redact } from './redact.js';

export type Logger = pino.Logger;

export interface LoggerOptions {
  readonly service: string;
  readonly level: pino.LevelWithSilent;
  /** One readable line per entry for a terminal instead of JSON. */
  readonly pretty?: boolean;
  /** Where lines go; standard output by default. */
  readonly destination?: DestinationStream;
}

/**
 * A logger whose lines are always one JSON object each and never hold a credential: fields are copied through
 * {@link redact}, and the finished line is masked once more. Call it with fields first and a constant event name
 * second: `log.info({ subject }, 'rpc.served')`. Ids of the current context are added to every line.
 */
export function createLogger({ service, level, pretty = false, destination }: LoggerOptions): Logger {
  const stream = pretty
    ? prettyStream(destination ?? process.stdout)
    : (destination ?? pino.destination({ dest: 1, sync: true }));
  const log = pino(
    {
      level,
      base: { service },
      timestamp: pino.stdTimeFunctions.isoTime,
      mixin: contextFields,
      formatters: {
        level: (label) => ({ level: label }),
        log: safeFields,
      },
      // pino's own error serialiser would copy every own field of an error, statements and parameters included.
      serializers: { err: (value: unknown) => value },
      hooks: { streamWrite: maskText },
    },
    stream,
  );
  // Fields of child loggers bypass the formatters; children inherit this method.
  const makeChild = Reflect.get(log, 'child') as unknown as MakeChild;
  const safeChild: MakeChild = function child(this: Logger, fields, options) {
    return makeChild.call(this, safeFields(fields), options);
  };
  Object.assign(log, { child: safeChild });
  return log;
}

type MakeChild = (this: Logger, fields: object, options?: object) => Logger;

/** A logger that writes nothing, for callers that need one and have none. */
export function silentLogger(): Logger {
  return pino({ level: 'silent' });
}

/**
 * What a log line says about an error: the code of an `AppError` with its internal fields, the stack for bugs only,
 * and the chain of causes. Own fields of foreign errors are left out: drivers keep parameters there.
 */
export function describeError(error: unknown, depth = 0): Record<string, unknown> {
  if (!isError(error)) return { type: typeof error, message: 'not an Error' };
  const cause = error.cause === undefined || depth >= 5 ? {} : { cause: describeError(error.cause, depth + 1) };
  if (error instanceof AppError) {
    const isBug = errorDefinition(error.code).fault === 'bug';
    return {
      code: error.code,
      ...(Object.keys(error.internal).length === 0 ? {} : { internal: redact(error.internal, describeError) }),
      ...(isBug ? { stack: maskText(error.stack ?? '') } : {}),
      ...cause,
    };
  }
  const code: unknown = 'code' in error ? error.code : undefined;
  return {
    type: error.name,
    message: maskText(error.message),
    ...(typeof code === 'string' || typeof code === 'number' ? { code } : {}),
    stack: maskText(error.stack ?? ''),
    ...cause,
  };
}

function safeFields(fields: object): Record<string, unknown> {
  return redact(fields, describeError) as Record<string, unknown>;
}

function contextFields(): Record<string, string> {
  const context = currentContext();
  if (context === undefined) return {};
  return { correlationId: context.correlationId, traceId: context.trace.traceId, spanId: context.trace.spanId };
}
