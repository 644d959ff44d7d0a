import type { FastifyReply, FastifyRequest } from 'fastify';

interface Served {
  readonly request: FastifyRequest;
  readonly reply: FastifyReply;
}

/**
 * The requests being served, so that the few that take too long are found without a timer for each of the many that do
 * not. Places in an array and not a Map: a Map that has been emptied and filled often enough moves to a new table, and
 * its old one points there. As soon as one such table is old to the garbage collector, all that follow are kept until
 * its next full run, with every request that was in them: a fifth of the processor's time.
 */
export class InFlight {
  readonly #places: (Served | undefined)[] = [];
  readonly #free: number[] = [];

  /** Answers the place, for {@link remove}. */
  add(request: FastifyRequest, reply: FastifyReply): number {
    const place = this.#free.pop() ?? this.#places.length;
    this.#places[place] = { request, reply };
    return place;
  }

  /** Has no effect when `request` is not there any more. */
  remove(place: number, request: FastifyRequest): void {
    if (this.#places[place]?.request !== request) return;
    this.#places[place] = undefined;
    this.#free.push(place);
  }

  /** Removes and answers those that arrived before `momentMs` (`performance.now()`). */
  takeOlderThan(momentMs: number): readonly Served[] {
    const old: Served[] = [];
    for (const [place, served] of this.#places.entries()) {
      if (served === undefined || served.request.state.startedAtMs >= momentMs) continue;
      old.push(served);
      this.remove(place, served.request);
    }
    return old;
  }
}
