import type { ClickHouseClient } from '@clickhouse/client';
import type { Part } from '../domain/part.js';
import { generationOf, majorOf, type Version } from '../domain/version.js';
import { select } from './catalog.js';
import { NO_UUID } from './identity.js';
import { quoteText, targetNames, type Target } from './names.js';

/** If more parts than this are unknown, none is read: the highest version of the whole table is as quick. */
const MOST_ASKED = 500;

/** Mutations that take rows away, newer than one. */
const DELETED_SINCE = /* sql */ `
  select 1 from system.mutations
  where database = {database: String} and table = {table: String}
    and (command ilike '%delete%' or command ilike '%_row_exists%')
    and arrayMax(block_numbers.number) > toInt64({mutation: String})`;

export interface PartsState {
  /** The highest version of the parts that are known now; 0 for none. */
  readonly highest: Version;
  /** A part that holds it. */
  readonly newest: Part | undefined;
  /** A part whose rows are gone without a reason. */
  readonly lost: Part | undefined;
}

/** As in `system.parts`. */
type ActivePart = Omit<Part, 'highest' | 'until'>;

/**
 * Remembers the parts of a worker's targets: the highest version in them, and whether a part that was there is gone.
 *
 * To read the highest version of a table takes 7 ms for a million rows. But parts never change, so each part is read once, and all
 * parts of an idle table are known. The highest version alone is not enough: a table that was emptied and then got one newer row
 * has a higher one. So a part that was seen must still be there, or be merged into one that is.
 *
 * Its invariant: the highest version that it returns is in a part that was active during the call. The table may hold a higher one.
 */
export class PartTracker {
  readonly #clickhouse: ClickHouseClient;
  readonly #known = new Map<string, readonly Part[]>();
  /** The last look at each target: a copy and a loader look at the same one, and each would forget what the other learnt meanwhile. */
  readonly #looking = new Map<string, Promise<unknown>>();

  constructor(clickhouse: ClickHouseClient) {
    this.#clickhouse = clickhouse;
  }

  /**
   * @param generation of the table: parts of older generations may go
   * @param seen parts that were seen by others, as kept in the ledger
   * @param copied version of a copy that is done: its parts do not explain one another. 0 for none
   * @throws Failure those of ClickHouse
   */
  inspect(
    target: Target,
    generation: number,
    seen: readonly (Part | undefined)[] = [],
    copied: Version = 0n,
  ): Promise<PartsState> {
    const key = keyOf(target);
    const look = (): Promise<PartsState> => this.#inspect(target, generation, seen, copied);
    const looking = (this.#looking.get(key) ?? Promise.resolve()).then(look, look);
    this.#looking.set(key, looking);
    // The last one leaves nothing behind.
    const end = (): void => void (this.#looking.get(key) === looking && this.#looking.delete(key));
    void looking.then(end, end);
    return looking;
  }

  async #inspect(
    target: Target,
    generation: number,
    seen: readonly (Part | undefined)[],
    copied: Version,
  ): Promise<PartsState> {
    const key = keyOf(target);
    const { active, expiring } = await this.#readActive(target);
    const known = this.#known.get(key) ?? [];
    const ends = endsOf(active);
    const parts = (await this.#readHighest(target, active, known)).map((part) => {
      const { until: _, ...rest } = part;
      return copied !== 0n && isOfCopy(part, copied) ? { ...rest, until: String(ends.get(placeOf(part))) } : rest;
    });
    const lasting = parts.filter((part) => !expiring.includes(part.name));
    const before = [...known, ...seen.filter((part) => part !== undefined)];
    const gone = before.filter(
      (part) => generationOf(BigInt(part.highest)) === generation && !active.some((each) => covers(each, part)),
    );
    const lost = await this.#firstLost(target, gone, active);
    // A lost part stays known: every later call reports it again.
    this.#known.set(key, lost === undefined ? lasting : [...lasting, ...gone]);
    const highest = parts.reduce((most, part) => (BigInt(part.highest) > most ? BigInt(part.highest) : most), 0n);
    return { highest, newest: lasting.find((part) => BigInt(part.highest) === highest), lost };
  }

  /** Forgets the parts with rows above a version: what they held is written again. */
  forgetAbove(target: Target, version: Version): void {
    const key = keyOf(target);
    const kept = (this.#known.get(key) ?? []).filter(({ highest }) => BigInt(highest) <= version);
    this.#known.set(key, kept);
  }

  /** Whether a DELETE came to the table after a part of it was seen: it may have taken any row. @param seen absent: at any time */
  async wasDeletedFrom({ database, table }: Target, seen: Part | undefined): Promise<boolean> {
    const [row] = await select<{ deleted: number }>(
      this.#clickhouse,
      /* sql */ `select exists (${DELETED_SINCE}) as deleted`,
      { database, table, mutation: seen?.mutation ?? '-1' },
      `looking for deletions in ${database}.${table}`,
    );
    return Boolean(row?.deleted);
  }

  /** @returns the parts that hold rows, and the names of those whose rows a TTL will delete */
  async #readActive({ database, table }: Target): Promise<{ active: readonly ActivePart[]; expiring: string[] }> {
    const rows = await select<ActivePart & { expires: number }>(
      this.#clickhouse,
      // The path ends in a slash; before it the part, and before that its table. A replica that was made by hand has a UUID of its own:
      // what all replicas of a table have in common is its path in Keeper, the first text in the definition of the engine. An engine
      // inside another process has no UUID: the place of its data does.
      /* sql */ `with splitByChar('/', path)[-3] as folder,
          (select any(if(startsWith(engine_full, 'Replicated'), splitByChar('''', engine_full)[2], ''))
            from system.tables where database = {database: String} and name = {table: String}) as keeper_path
        select name, partition_id as partition, folder as home,
          if(position(keeper_path, '{uuid}') > 0 or position(keeper_path, folder) > 0, '', keeper_path) as keeper,
          multiIf(keeper = '', '', serverUUID() = toUUID('${NO_UUID}'), splitByString('/store/', path)[1],
            toString(serverUUID())) as server,
          toString(min_block_number) as firstBlock, toString(max_block_number) as lastBlock,
          toString(data_version) as mutation, hash_of_all_files as hash,
          toUnixTimestamp(delete_ttl_info_max) > 0 or notEmpty(rows_where_ttl_info.expression) as expires
        from system.parts
        where active and rows > 0 and database = {database: String} and table = {table: String}`,
      { database, table },
      `looking at the parts of ${database}.${table}`,
    );
    return {
      active: rows.map(({ expires: _expires, ...part }) => part),
      expiring: rows.filter(({ expires }) => expires !== 0).map(({ name }) => name),
    };
  }

  async #readHighest(target: Target, active: readonly ActivePart[], known: readonly Part[]): Promise<readonly Part[]> {
    const { shown, sql } = targetNames(target);
    const seen = active.map((part) => ({ part, highest: known.find((each) => isSame(each, part))?.highest }));
    const unknown = seen.filter(({ highest }) => highest === undefined).map(({ part }) => part);
    const byName = new Map<string, string>();
    if (unknown.length > 0 && unknown.length <= MOST_ASKED) {
      const names = unknown.map(({ name }) => quoteText(name));
      const read = await select<{ part: string; highest: string }>(
        this.#clickhouse,
        /* sql */ `select _part as part, toString(max(_version)) as highest from ${sql.table}
          where _part in (${names.join()}) group by _part`,
        {},
        `reading the highest version of ${shown}`,
      );
      for (const { part, highest } of read) byName.set(part, highest);
    }
    // A part that was merged away in between is not read, and stays unknown.
    return seen.flatMap(({ part, highest = byName.get(part.name) }) =>
      highest === undefined ? [] : [{ ...part, highest }],
    );
  }

  /**
   * Good reasons for a missing part: a floor hides its rows, a DELETE came after it, or its newest row is in a part that came after it was
   * seen, as after DETACH and ATTACH. One that was there beside it explains nothing: all parts of a copy have the same version.
   */
  async #firstLost(target: Target, gone: readonly Part[], active: readonly ActivePart[]): Promise<Part | undefined> {
    const { sql, shown } = targetNames(target);
    const { database, table } = target;
    for (const part of gone) {
      const later = active.filter((each) => isLater(each, part)).map(({ name }) => quoteText(name));
      const [found] = await select<{ isExplained: number }>(
        this.#clickhouse,
        /* sql */ `select toUInt128({highest: String}) <= (select max(version) from ${sql.floor})
            or exists (${DELETED_SINCE})
            or exists (
              select 1 from ${sql.table} where _version = toUInt128({highest: String})
                and _part in (${later.length === 0 ? `''` : later.join()})) as isExplained`,
        { database, table, highest: part.highest, mutation: part.mutation },
        `looking for rows of ${shown} that were confirmed`,
      );
      if (found === undefined || !found.isExplained) return part;
    }
    return undefined;
  }
}

/** Parts never change: one of the same name and content is the same. */
function isSame(a: ActivePart, b: ActivePart): boolean {
  return a.name === b.name && a.hash === b.hash && isOfSameTable(a, b);
}

/** A path in Keeper may have been given again, and the numbers of the parts begin anew: one server never has two folders for one table. */
function isOfSameTable(a: ActivePart, b: ActivePart): boolean {
  if (a.home === b.home) return true;
  return a.keeper !== '' && a.keeper === b.keeper && a.server !== b.server;
}

const keyOf = (target: Target): string => `${targetNames(target).shown} ${target.uuid ?? ''}`;

const placeOf = ({ home, partition }: ActivePart): string => `${home}/${partition}`;

/** The last block of each partition. */
function endsOf(parts: readonly ActivePart[]): ReadonlyMap<string, bigint> {
  const ends = new Map<string, bigint>();
  for (const part of parts) {
    const last = BigInt(part.lastBlock);
    if (last >= (ends.get(placeOf(part)) ?? last)) ends.set(placeOf(part), last);
  }
  return ends;
}

/** Whether the newest rows of a part are those of a copy, of any shape. */
function isOfCopy({ highest }: Part, copied: Version): boolean {
  const version = BigInt(highest);
  return generationOf(version) === generationOf(copied) && majorOf(version) === majorOf(copied);
}

/** Whether all that is in a part came after another part was seen, as far as that is known. */
function isLater(now: ActivePart, seen: Part): boolean {
  if (seen.until === undefined || !isOfSameTable(now, seen)) return true;
  return now.partition === seen.partition && BigInt(now.firstBlock) > BigInt(seen.until);
}

function covers(now: ActivePart, before: Part): boolean {
  if (now.partition !== before.partition || !isOfSameTable(now, before)) return false;
  // After it was emptied and the server restarted, a table may number its parts from the beginning.
  if (now.name === before.name) return now.hash === before.hash;
  return BigInt(now.firstBlock) <= BigInt(before.firstBlock) && BigInt(now.lastBlock) >= BigInt(before.lastBlock);
}
