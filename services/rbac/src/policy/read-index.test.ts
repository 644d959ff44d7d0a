import { describe, expect, test } from '@jest/globals';
import { ReadIndex } from './read-index.js';

describe('a read index', () => {
  /** Reads that end when the test says so; each answers its number. */
  function controlled() {
    const open: ((fail?: Error) => void)[] = [];
    let count = 0;
    const index = new ReadIndex(
      () =>
        new Promise<number>((resolve, reject) => {
          const number = ++count;
          open.push((fail) => {
            if (fail === undefined) resolve(number);
            else reject(fail);
          });
        }),
    );
    return { index, open, count: () => count };
  }
  const turn = () => new Promise(setImmediate);

  test('shares one read among everybody who asked before it was sent', async () => {
    const { index, open, count } = controlled();
    const answers = Promise.all([index.ask(), index.ask(), index.ask()]);
    await turn();
    open[0]?.();
    expect(await answers).toEqual([1, 1, 1]);
    expect(count()).toBe(1);
  });

  test('never answers a question by a read that was sent before it', async () => {
    const { index, open } = controlled();
    const early = index.ask();
    await turn();
    const late = [index.ask(), index.ask()];
    open[0]?.();
    expect(await early).toBe(1);
    await turn();
    open[1]?.();
    expect(await Promise.all(late)).toEqual([2, 2]);
  });

  test('a read that fails fails those who asked for it and nobody else', async () => {
    const { index, open } = controlled();
    const early = index.ask();
    await turn();
    const late = index.ask();
    open[0]?.(new Error('gone'));
    await expect(early).rejects.toThrow('gone');
    await turn();
    open[1]?.();
    expect(await late).toBe(2);
  });
});
