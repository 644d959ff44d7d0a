import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import Joi from 'joi';
import { baseKeys } from './config-keys.js';
import { ConfigError, loadConfig } from './config.js';

const schema = Joi.object({
  ...baseKeys,
  DEMO_COUNT: Joi.number().integer().min(1).max(10).default(3),
  DEMO_SECRET: Joi.string().min(8).meta({ secret: true }).required(),
  DEMO_KIND: Joi.string().valid('one', 'two').default('one'),
});
const load = (env: Record<string, string>) =>
  loadConfig<{ DEMO_COUNT: number; DEMO_KIND: string }>({ service: 'demo', schema, env, prefixes: ['DEMO_'] });
const names = ['DEMO_COUNT', 'DEMO_SECRET', 'DEMO_KIND', 'LOG_LEVEL', 'HEALTH_PORT', 'NODE_ENV'];

describe('a configuration', () => {
  test('is either complete, within its rules and frozen, or refused with names and never values', () => {
    // The mark cannot stand in a rule or a name, so finding it in the message means a value was repeated.
    const value = fc.oneof(
      fc.constantFrom('1', '11', 'one', 'three', 'info', '8080', 'production', ''),
      fc.string().map((text) => `§${text}§`),
    );
    const env = fc.dictionary(fc.constantFrom(...names), value);
    let refused = 0;
    let accepted = 0;
    fc.assert(
      fc.property(env, fc.boolean(), (variables, isWhole) => {
        const given = isWhole ? { ...variables, DEMO_SECRET: 'long enough' } : variables;
        try {
          const config = load(given);
          accepted++;
          expect(Object.isFrozen(config)).toBe(true);
          expect(config.DEMO_COUNT).toBeGreaterThanOrEqual(1);
          expect(config.DEMO_COUNT).toBeLessThanOrEqual(10);
          expect(['one', 'two']).toContain(config.DEMO_KIND);
          expect(JSON.stringify(config)).not.toContain('long enough');
        } catch (error) {
          refused++;
          if (!(error instanceof ConfigError)) throw error;
          expect(error.message).not.toContain('§');
          expect(error.message).not.toContain('long enough');
        }
      }),
      { numRuns: 300 },
    );
    // The control: both happen.
    expect(Math.min(refused, accepted)).toBeGreaterThan(5);
  });

  test('with a variable of ours that nobody knows is refused, whatever the variable holds', () => {
    fc.assert(
      fc.property(fc.stringMatching(/^[A-Z_]{1,20}$/), fc.string({ minLength: 1 }), (suffix, value) => {
        if (names.includes(`DEMO_${suffix}`) || /_FILE$/.test(suffix) || value.trim() === '') return;
        expect(() => load({ DEMO_SECRET: 'long enough', [`DEMO_${suffix}`]: value })).toThrow(ConfigError);
      }),
    );
  });
});
