import { ReplayMemory } from '@prime-nest/assertion/replay-memory';
import { verifyAssertion } from '@prime-nest/assertion/verify';
import type { AssertionVerdict, ReceivedRequest } from '@prime-nest/assertion/verify';
import type { GatewayKeys } from './gateway-keys.ts';

/** The name of this service in the gateway's route file. */
const audience = 'invoices';

/** The one door of this service: nothing runs for a request that the gateway did not make, now, for us, and once. */
export class Door {
  readonly #keys: GatewayKeys;
  /** For HTTP and NATS together: an assertion of the one must not be used up apart from the other. */
  readonly #replays = new ReplayMemory();

  constructor(keys: GatewayKeys) {
    this.#keys = keys;
  }

  async judge(assertion: string | undefined, request: ReceivedRequest): Promise<AssertionVerdict> {
    const options = { audience, replays: this.#replays };
    const verdict = verifyAssertion(assertion, request, {
      ...options,
      keys: await this.#keys.current(),
      now: new Date(),
    });
    if (!('code' in verdict) || verdict.code !== 'unknown_key') return verdict;
    const keys = await this.#keys.current(true);
    return verifyAssertion(assertion, request, { ...options, keys, now: new Date() });
  }
}
