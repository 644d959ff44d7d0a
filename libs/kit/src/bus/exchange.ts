import { AppError } from '@prime-nest/contracts/errors';
import type { RpcContract } from '@prime-nest/contracts/rpc';
import { decodeBody, encodeBody, replyBytesMax, requestBytesMax, violationsOf } from './wire.js';

/** How far the clocks of two machines may be apart before a deadline looks made up. */
const clockToleranceMs = 5_000;

/**
 * Why a request with this deadline is not served, if it is not. A message is good for as long as its subject's calls
 * may take: one that was held back or recorded and is played again later finds that over (`unavailable`), and none can
 * be made to last longer (`validation_failed`). Both times in epoch milliseconds.
 */
export function refusalByDeadline(contract: RpcContract, deadline: number, now: number): AppError | undefined {
  if (deadline - now > contract.timeoutMs + clockToleranceMs) {
    const message = 'the deadline is further away than calls of this subject may take';
    return new AppError('validation_failed', { details: { violations: [{ pointer: '', message }] } });
  }
  return now > deadline ? new AppError('unavailable') : undefined;
}

/** The request as its schema hands it out. Throws `validation_failed`. */
export function parsedRequest(contract: RpcContract, body: Uint8Array): unknown {
  const value = decodeBody(body, requestBytesMax);
  if (contract.hot?.isRequest(value) === true) return value;
  const request = contract.request.safeParse(value);
  if (request.success) return request.data;
  throw new AppError('validation_failed', { details: { violations: violationsOf(request.error.issues) } });
}

/** By answer, and by the contract that it was checked against. */
const encoded = new WeakMap<object, { readonly contract: RpcContract; readonly body: Uint8Array }>();

/**
 * The answer with what its schema declares and no more. Throws `internal` when it breaks the schema or is too large.
 * One that is frozen (with all that it holds: who freezes it answers for that) is checked and encoded only once.
 */
export function encodedAnswer(contract: RpcContract, answer: unknown): Uint8Array {
  if (typeof answer !== 'object' || answer === null || !Object.isFrozen(answer)) return encode(contract, answer);
  const known = encoded.get(answer);
  if (known?.contract === contract) return known.body;
  const body = encode(contract, answer);
  encoded.set(answer, { contract, body });
  return body;
}

function encode(contract: RpcContract, answer: unknown): Uint8Array {
  const body = Buffer.from(encodeBody(checkedAnswer(contract, answer)));
  if (body.length > replyBytesMax) {
    throw new AppError('internal', { internal: { reason: 'the answer is too large', bytes: body.length } });
  }
  return body;
}

function checkedAnswer(contract: RpcContract, answer: unknown): unknown {
  if (contract.hot?.isResponse(answer) === true) return answer;
  const response = contract.response.safeParse(answer);
  if (response.success) return response.data;
  const paths = response.error.issues.slice(0, 5).map((issue) => `${issue.path.join('.')}: ${issue.message}`);
  throw new AppError('internal', { internal: { reason: 'the answer breaks the contract', paths } });
}
