import { Failure } from '../failure/failure.js';

/** What this build has of one part of a route, by kind. A new kind is a new file and one line where the registry is made. */
export class Registry<Entry extends { readonly kind: string }> {
  readonly #what: string;
  readonly #entries: readonly Entry[];

  /** @param what one of them is called, as in "This worker knows no capture "x"" */
  constructor(what: string, entries: readonly Entry[]) {
    this.#what = what;
    this.#entries = entries;
  }

  get kinds(): readonly string[] {
    return this.#entries.map(({ kind }) => kind);
  }

  /** @throws Failure `Misconfigured` for a kind that another release has added */
  named(kind: string): Entry {
    const entry = this.#entries.find((each) => each.kind === kind);
    if (entry !== undefined) return entry;
    throw new Failure('Misconfigured', {
      message: `This worker knows no ${this.#what} "${kind}": it knows ${this.kinds.join(', ')}.`,
      remedy: 'Start a worker of the release that the table was added with, or of a newer one, then resume.',
    });
  }
}
