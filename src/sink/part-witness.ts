import type { ClickHouseClient } from '@clickhouse/client';
import type { Version } from '../domain/version.js';
import { select } from './catalog.js';
import { quoteText, targetNames, type Target } from './names.js';

/** More unknown parts than this are not asked for one by one: the whole table is as quick. */
const MOST_ASKED = 500;

/**
 * The highest versions of the parts of a worker's targets. Asking a table for its highest version reads a column of it, 7 ms a
 * million rows; but parts never change, so each has to be read once only. An idle table's are all known.
 *
 * Its invariant: what it says is held by a part that was active when it was asked. It may say less than the table holds.
 */
export class PartWitness {
  readonly #clickhouse: ClickHouseClient;
  readonly #known = new Map<string, ReadonlyMap<string, Version>>();

  constructor(clickhouse: ClickHouseClient) {
    this.#clickhouse = clickhouse;
  }

  /** @returns the highest version of the parts that are known now; 0 for none. @throws Failure those of ClickHouse */
  async highest(target: Target): Promise<Version> {
    const { shown, sql } = targetNames(target);
    const what = `reading the highest version of ${shown}`;
    // A table made anew numbers its parts from 1 again: the path tells it apart.
    const parts = await select<{ name: string; identity: string }>(
      this.#clickhouse,
      /* sql */ `select name, concat(path, ' ', toString(modification_time)) as identity from system.parts
        where active and database = {database: String} and table = {table: String}`,
      { database: target.database, table: target.table },
      what,
    );
    const known = this.#known.get(shown);
    const versions = new Map(parts.map(({ identity }) => [identity, known?.get(identity)]));
    const unknown = parts.filter(({ identity }) => versions.get(identity) === undefined);
    if (unknown.length > 0 && unknown.length <= MOST_ASKED) {
      const names = unknown.map(({ name }) => quoteText(name));
      const read = await select<{ part: string; highest: string }>(
        this.#clickhouse,
        /* sql */ `select _part as part, toString(max(_version)) as highest from ${sql.table}
          where _part in (${names.join()}) group by _part`,
        {},
        what,
      );
      const byName = new Map(read.map(({ part, highest }) => [part, BigInt(highest)]));
      // A part that was merged away in between is not read, and stays unknown.
      for (const { name, identity } of unknown) versions.set(identity, byName.get(name));
    }
    const found = [...versions].filter((entry): entry is [string, Version] => entry[1] !== undefined);
    this.#known.set(shown, new Map(found));
    return found.reduce((highest, [, version]) => (version > highest ? version : highest), 0n);
  }
}
