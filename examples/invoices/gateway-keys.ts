import { parseAssertionKeys } from '@prime-nest/assertion/key-set';
import type { AssertionKeys } from '@prime-nest/assertion/key-set';

const refreshMs = 60_000;
/** An unknown key may be a new one, or somebody's invention: the gateway is asked no more often than this. */
const askAgainMs = 1_000;

/** The gateway's keys, fetched from the one address that this service was configured with and from nowhere else. */
export class GatewayKeys {
  #keys: AssertionKeys = new Map();
  #askedAt = Number.NEGATIVE_INFINITY;
  #asking: Promise<void> | undefined;
  readonly #url: string;

  constructor(gatewayUrl: string) {
    this.#url = `${gatewayUrl}/.well-known/assertion-jwks.json`;
  }

  /** What is known; asks first when that is nothing, old, or (`isMissing`) not enough. */
  async current(isMissing = false): Promise<AssertionKeys> {
    const age = performance.now() - this.#askedAt;
    if (age > refreshMs || ((isMissing || this.#keys.size === 0) && age > askAgainMs)) {
      this.#asking ??= this.#ask().finally(() => (this.#asking = undefined));
    }
    await this.#asking;
    return this.#keys;
  }

  async #ask(): Promise<void> {
    this.#askedAt = performance.now();
    try {
      const response = await fetch(this.#url, { redirect: 'error', signal: AbortSignal.timeout(2_000) });
      const keys = parseAssertionKeys(await response.json());
      if (keys.size > 0) this.#keys = keys;
    } catch {
      // The keys that are known go on; without any, every request is refused.
    }
  }
}
