import { inspect } from 'node:util';

const mask = '[secret]';

/**
 * A value that cannot be printed by accident: string conversion, JSON and `util.inspect` all answer `[secret]`.
 * `reveal()` is the one way to the value; call it where the value is used and keep the result nowhere.
 */
export class Secret {
  readonly #value: string;

  constructor(value: string) {
    this.#value = value;
  }

  reveal(): string {
    return this.#value;
  }

  toString(): string {
    return mask;
  }

  toJSON(): string {
    return mask;
  }

  [Symbol.toPrimitive](): string {
    return mask;
  }

  [inspect.custom](): string {
    return mask;
  }
}
