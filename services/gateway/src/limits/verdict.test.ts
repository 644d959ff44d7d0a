import { expect, test } from '@jest/globals';
import { rateHeaders, refusing, verdicts } from './verdict.js';

const address = { name: 'address', max: 100, windowSeconds: 900 };
const login = { name: 'login', max: 30, windowSeconds: 60 };

test('of equal requests the first ones fit, and each is told what is left after it', () => {
  const found = [{ taken: 2, used: 100, freeInMs: 1_200 }];
  const answers = verdicts([address], found, 3);
  expect(answers.map(({ isAllowed }) => isAllowed)).toEqual([true, true, false]);
  expect(answers.map(({ standings: [standing] }) => standing?.remaining)).toEqual([1, 0, 0]);
  expect(answers.map(({ standings: [standing] }) => standing?.resetSeconds)).toEqual([2, 2, 2]);
});

test('headers name every quota; the older ones tell about the one with the least left', () => {
  const found = [
    { taken: 1, used: 60, freeInMs: 30_000 },
    { taken: 1, used: 21, freeInMs: 100 },
  ];
  const [answer] = verdicts([address, login], found, 1);
  expect(answer === undefined ? undefined : rateHeaders(answer)).toEqual({
    ratelimit: '"address";r=40;t=30, "login";r=9;t=1',
    'ratelimit-policy': '"address";q=100;w=900, "login";q=30;w=60',
    'ratelimit-limit': '30',
    'ratelimit-remaining': '9',
    'ratelimit-reset': '1',
  });
});

test('the quota that refuses is the one without room, of two the one that takes longer', () => {
  const standing = (quota: typeof login, remaining: number, resetSeconds: number) => ({
    quota,
    remaining,
    resetSeconds,
  });
  const name = (...standings: ReturnType<typeof standing>[]) => refusing({ isAllowed: false, standings })?.quota.name;
  expect(name(standing(address, 5, 900), standing(login, 0, 3))).toBe('login');
  expect(name(standing(address, 0, 900), standing(login, 0, 3))).toBe('address');
});
