import { Catch, UseFilters } from '@nestjs/common';
import type { ExceptionFilter } from '@nestjs/common';
import { MessagePattern } from '@nestjs/microservices';
import type { MessageHandler } from '@nestjs/microservices';
import { PARAM_ARGS_METADATA } from '@nestjs/microservices/constants';
import type { CallContext } from '@prime-nest/contracts/context';
import type { RpcContract, RpcContracts, RpcParsed, RpcSubject } from '@prime-nest/contracts/rpc';
import { throwError } from 'rxjs';
import type { Observable } from 'rxjs';
import type { z } from 'zod';

/** What a handler may answer: the response before its schema strips what it does not declare. */
export type RpcAnswer<C extends RpcContracts, S extends keyof C> = z.input<C[S]['response']>;

export type RpcHandler<C extends RpcContracts, S extends keyof C> = (
  request: RpcParsed<C, S>,
  context: CallContext,
) => Promise<RpcAnswer<C, S>>;

/**
 * The answer to a parsed request when nothing has to be waited for, else `undefined`: then the handler is called.
 * What it throws is answered like an error of the handler.
 */
export type AnswerAtOnce = (request: unknown) => object | undefined;

/** What a server knows about a subject before a request comes. */
export interface Route {
  readonly subject: string;
  readonly contract: RpcContract;
  readonly handler: MessageHandler;
  readonly atOnce: AnswerAtOnce | undefined;
}

/** {@link AnswerAtOnce}, typed by the contracts. */
export type RpcAtOnce<C extends RpcContracts> = {
  readonly [S in RpcSubject<C>]?: (request: RpcParsed<C, S>) => (RpcAnswer<C, S> & object) | undefined;
};

type MethodDecoratorFor<H> = <T extends H>(
  target: object,
  name: string | symbol,
  method: TypedPropertyDescriptor<T>,
) => void;

/** Nest's own filter would replace every error by a text; the server needs the error itself, for its code. */
@Catch()
class PassErrors implements ExceptionFilter {
  catch(error: unknown): Observable<never> {
    return throwError(() => error);
  }
}

/**
 * Makes the `@Rpc` decorator of one service's contracts. The method gets the parsed request and the call's context
 * and answers what the contract declares; both are checked by the compiler. Parameters need no decorators:
 *
 *     const Rpc = createRpc(billingRpc);
 *     class BillingRpc { @Rpc('billing.invoice.get.v1') get(request: …, context: CallContext) { … } }
 */
export function createRpc<C extends RpcContracts>(contracts: C) {
  return function Rpc<S extends RpcSubject<C>>(subject: S): MethodDecoratorFor<RpcHandler<C, S>> {
    if (!Object.hasOwn(contracts, subject)) throw new TypeError(`no contract for subject ${subject}`);
    return (target, name, method) => {
      MessagePattern(subject)(target, name, method);
      UseFilters(new PassErrors())(target, name, method);
      // No parameter is described: Nest then passes both arguments on as they are, without a pipe for each of them.
      Reflect.defineMetadata(PARAM_ARGS_METADATA, {}, target.constructor, name);
    };
  };
}
