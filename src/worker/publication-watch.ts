import type { Queryable } from '../connect/queryable.js';
import type { Log } from '../observe/log.js';
import { findPublications } from '../source/catalog/catalog.js';

const EVERY_MS = 60_000;

/**
 * Says once of each publication made while tables are captured that it publishes the outboxes too. Nothing fails here: it is the
 * subscribers who meet tables that they do not have. `add` refuses while there is one.
 */
export class PublicationWatch {
  readonly #log: Log;
  readonly #everyMs: number;
  #known: readonly string[] = [];
  #nextAtMs = 0;

  constructor(log: Log, everyMs = EVERY_MS) {
    this.#log = log;
    this.#everyMs = everyMs;
  }

  /** Once a minute, however often it is called. */
  async look(pg: Queryable): Promise<void> {
    if (Date.now() < this.#nextAtMs) return;
    const found = await findPublications(pg);
    this.#nextAtMs = Date.now() + this.#everyMs;
    for (const publication of found.filter((each) => !this.#known.includes(each)))
      this.#log.warn(
        { publication, remedy: 'Let it name its tables, or schemas other than pg2click.' },
        'a publication publishes the outboxes of pg2click too: its subscribers stop at tables that they do not have, and no table can be added',
      );
    this.#known = found;
  }
}
