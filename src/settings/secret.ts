import { inspect } from 'node:util';

/** A value that prints as `[secret]` wherever it is logged, shown or turned into JSON by mistake. */
export class Secret<T = string> {
  readonly #value: T;

  constructor(value: T) {
    this.#value = value;
  }

  /** The value itself, for the one place that needs it. */
  reveal(): T {
    return this.#value;
  }

  toString(): string {
    return '[secret]';
  }

  toJSON(): string {
    return '[secret]';
  }

  [inspect.custom](): string {
    return '[secret]';
  }
}

/** A URL may hold a password. One that holds nothing but an address is said in logs: who looks for a server needs it. */
export function isBareAddress(value: string): boolean {
  if (!URL.canParse(value)) return false;
  const { host, username, password, search } = new URL(value);
  return host !== '' && username === '' && password === '' && search === '';
}
