import { describe, expect, test } from '@jest/globals';
import { eventually } from '@prime-nest/testkit/eventually';
import { MemberBarrier } from './member-barrier.js';

function barrierOf(recorded: () => string[] = () => []) {
  const clock = { nowMs: 1_000 };
  const clocks = { monoMs: () => clock.nowMs, wallMs: () => clock.nowMs };
  let polls = 0;
  const readAcked = () => {
    polls++;
    return Promise.resolve(recorded());
  };
  const barrier = new MemberBarrier({ clocks, leaseMsMax: 2_000, readAcked });
  /** Until the barrier has looked at everything it knows since now: it asks the table only when it stays closed. */
  const looked = () => {
    const before = polls;
    return eventually(() => polls > before + 1);
  };
  return { barrier, clock, looked };
}

describe('the barrier', () => {
  test('is open when nobody holds a lease', async () => {
    const { barrier } = barrierOf();
    expect(await barrier.wait(7, barrier.deadlines([]))).toMatchObject({ acked: [], fenced: [] });
  });

  test('waits for the position, and an acknowledgement of an older one does not count', async () => {
    const { barrier, looked } = barrierOf();
    const live = barrier.deadlines([{ memberId: 'a', leftMs: 2_000 }]);
    barrier.noteApplied('a', 6);
    let isOpen = false;
    const waiting = barrier.wait(7, live).then((effect) => {
      isOpen = true;
      return effect;
    });
    barrier.noteApplied('b', 7);
    await looked();
    expect(isOpen).toBe(false);
    barrier.noteApplied('a', 7);
    expect(await waiting).toMatchObject({ acked: ['a'], fenced: [] });
  });

  test('goes on without a member when its lease has ended on the slowest clock, and not before', async () => {
    const { barrier, clock, looked } = barrierOf();
    const live = barrier.deadlines([{ memberId: 'a', leftMs: 1_000 }]);
    let isOpen = false;
    const waiting = barrier.wait(7, live).then((effect) => {
      isOpen = true;
      return effect;
    });
    clock.nowMs += 1_019;
    await looked();
    expect(isOpen).toBe(false);
    clock.nowMs += 1;
    expect(await waiting).toMatchObject({ acked: [], fenced: ['a'] });
  });

  test('finds an acknowledgement whose message was lost', async () => {
    const { barrier } = barrierOf(() => ['a']);
    const live = barrier.deadlines([{ memberId: 'a', leftMs: 2_000 }]);
    expect(await barrier.wait(7, live)).toMatchObject({ acked: ['a'], fenced: [] });
  });

  test('a database whose clock was set back does not stretch a lease', () => {
    const { barrier } = barrierOf();
    const live = barrier.deadlines([{ memberId: 'a', leftMs: 3_600_000 }]);
    expect(live.get('a')).toBe(1_000 + 2_030);
  });
});
