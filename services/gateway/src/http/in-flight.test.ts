import { describe, expect, test } from '@jest/globals';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { InFlight } from './in-flight.js';

const reply = {} as FastifyReply;
const arrivedAt = (startedAtMs: number) => ({ state: { startedAtMs } }) as FastifyRequest;

describe('requests in flight', () => {
  test('are found once they are old, each once, and the young ones stay', () => {
    const inFlight = new InFlight();
    const [old, ended, young] = [arrivedAt(1), arrivedAt(2), arrivedAt(9)];
    inFlight.add(old, reply);
    inFlight.remove(inFlight.add(ended, reply), ended);
    inFlight.add(young, reply);
    expect(inFlight.takeOlderThan(5).map(({ request }) => request)).toEqual([old]);
    expect(inFlight.takeOlderThan(5)).toEqual([]);
    expect(inFlight.takeOlderThan(10).map(({ request }) => request)).toEqual([young]);
  });

  test('keep their place when one that had it before is removed late', () => {
    const inFlight = new InFlight();
    const [first, second] = [arrivedAt(1), arrivedAt(2)];
    const place = inFlight.add(first, reply);
    inFlight.takeOlderThan(2);
    expect(inFlight.add(second, reply)).toBe(place);
    inFlight.remove(place, first);
    expect(inFlight.takeOlderThan(3).map(({ request }) => request)).toEqual([second]);
  });
});
