/** One way of living and stopping, chosen by the first argument, for the tests of the life cycle. */
import { loadConfig } from '@prime-nest/kit/config';
import { runService } from '@prime-nest/kit/lifecycle';
import Joi from 'joi';

const say = (text) => process.stdout.write(`${text}\n`);
const cases = {
  config: () => {
    const schema = Joi.object({ DEMO_A: Joi.string().required(), DEMO_B: Joi.number().required() });
    loadConfig({ service: 'demo', schema, env: { DEMO_B: 'canary-value' }, prefixes: ['DEMO_'] });
  },
  'start-fails': () => Promise.reject(new Error('no such luck')),
  clean: (life) => {
    life.onDrain(() => say(`drain ${life.isDraining()}`));
    life.onStop('first', () => say('stop first'));
    life.onStop('second', async () => {
      await new Promise((resolve) => setTimeout(resolve, 20));
      say('stop second');
    });
  },
  'stop-fails': (life) => {
    life.onStop('first', () => say('stop first'));
    life.onStop('second', () => Promise.reject(new Error('stuck')));
  },
  overrun: (life) => {
    life.configure({ shutdownTimeoutMs: 200 });
    life.onStop('slow', () => new Promise((resolve) => setTimeout(resolve, 60_000)));
  },
  twice: (life) => {
    life.configure({ shutdownTimeoutMs: 60_000 });
    life.onStop('slow', () => {
      say('stopping');
      return new Promise((resolve) => setTimeout(resolve, 60_000));
    });
  },
  rejection: () => {
    setTimeout(() => void Promise.reject(new Error('forgotten')), 10);
  },
  exception: () => {
    setTimeout(() => {
      throw new Error('thrown');
    }, 10);
  },
  'never-starts': () => {
    say('waiting');
    return new Promise(() => undefined);
  },
};

// A service is kept alive by its connections; this one has none.
const stayAlive = () => setTimeout(stayAlive, 1_000);
stayAlive();
runService({
  service: 'demo',
  start: async (life) => {
    await cases[process.argv[2]](life);
    say('up');
  },
});
