import { describe, expect, test } from '@jest/globals';
import { Turns } from './turns.js';

describe('turns', () => {
  test('work of one key never overlaps and keeps its order, work of other keys does not wait', async () => {
    const turns = new Turns<unknown>();
    const order: string[] = [];
    let running = 0;
    let release: () => void = () => undefined;
    const gate = new Promise<void>((resolve) => (release = resolve));
    const work = (name: string) => () =>
      gate.then(async () => {
        running += 1;
        expect(running).toBe(1);
        await Promise.resolve();
        order.push(name);
        running -= 1;
      });
    const all = ['1', '2', '3'].map((name) => turns.take('a', work(name)));
    expect(await turns.take('b', () => Promise.resolve('other'))).toBe('other');
    release();
    await Promise.all(all);
    expect(order).toEqual(['1', '2', '3']);
    expect(turns.size).toBe(0);
  });

  test('a failure is its own and does not stop the next', async () => {
    const turns = new Turns<string>();
    const failing = turns.take('a', () => Promise.reject(new Error('mine')));
    const next = turns.take('a', () => Promise.resolve('fine'));
    await expect(failing).rejects.toThrow('mine');
    expect(await next).toBe('fine');
    expect(turns.size).toBe(0);
  });

  test('each is told what came out for the one before it, unless that failed or is long gone', async () => {
    const turns = new Turns<string>();
    const told: (string | undefined)[] = [];
    const work = (name: string) => (before?: string) => {
      told.push(before);
      return name === 'broken' ? Promise.reject(new Error(name)) : Promise.resolve(name);
    };
    await Promise.allSettled(['1', '2', 'broken', '4'].map((name) => turns.take('a', work(name))));
    await turns.take('a', work('5'));
    expect(told).toEqual([undefined, '1', '2', undefined, undefined]);
  });
});
