import { describe, expect, test } from '@jest/globals';
import { explore, variants } from '../../prove/model.js';

describe('the protocol of leases and barrier', () => {
  test('reaches no state in which a replica decides by something older than what was answered', () => {
    const { states, counterexample } = explore('as built');
    expect(counterexample).toBeUndefined();
    expect(states).toBeGreaterThan(10_000);
  });

  test.each(variants.filter((variant) => variant !== 'as built'))(
    'the control: broken by "%s" it reaches one',
    (variant) => {
      expect(explore(variant).counterexample?.at(-1)).toBe('it decides');
    },
  );
});
