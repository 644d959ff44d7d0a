import type { FastifyReply, FastifyRequest } from 'fastify';

/**
 * The requests being served, oldest first, so that the few that take too long are found without a timer for each of the
 * many that do not.
 */
export class InFlight {
  readonly #replies = new Map<FastifyRequest, FastifyReply>();

  add(request: FastifyRequest, reply: FastifyReply): void {
    this.#replies.set(request, reply);
  }

  remove(request: FastifyRequest): void {
    this.#replies.delete(request);
  }

  /** Removes and answers those that arrived before `momentMs` (`performance.now()`). */
  takeOlderThan(momentMs: number): [FastifyRequest, FastifyReply][] {
    const old: [FastifyRequest, FastifyReply][] = [];
    for (const [request, reply] of this.#replies) {
      if (request.state.startedAtMs >= momentMs) break;
      old.push([request, reply]);
    }
    for (const [request] of old) this.#replies.delete(request);
    return old;
  }
}
