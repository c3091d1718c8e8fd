import { setTimeout as sleep } from 'node:timers/promises';
import { ClickHouseError, type ClickHouseClient } from '@clickhouse/client';
import type { Client } from 'pg';
import { quoteCh, quotePg } from '../../src/domain/identifier.js';
import type { TableName } from '../../src/domain/table-name.js';

/** A replicated table as the demo looks at it. */
export interface WatchedTable {
  readonly name: TableName;
  /** As people read it. */
  readonly title: string;
  /** Live rows in ClickHouse. */
  readonly view: { readonly database: string; readonly table: string };
  /** Whether changes wait in an outbox; else in the table itself. */
  readonly hasOutbox: boolean;
  /** The ledger's id, once it is prepared. */
  ledgerId: string | undefined;
}

/** Rows on both sides and in between; undefined where the side did not answer. */
export interface Level {
  readonly source: number | undefined;
  readonly target: number | undefined;
  readonly outbox: number | undefined;
}

/** Looks at both sides every so often, each on a connection of its own, so that one that is down hides only itself. */
export interface Gauges {
  levels(): ReadonlyMap<WatchedTable, Level>;
  /** One look at all tables, now. */
  look(): Promise<ReadonlyMap<WatchedTable, Level>>;
  stop(): Promise<void>;
}

export function startGauges(options: {
  readonly postgres: Client;
  readonly clickhouse: ClickHouseClient;
  readonly tables: readonly WatchedTable[];
  readonly everyMs: number;
}): Gauges {
  const { tables } = options;
  const stopping = new AbortController();
  let levels: ReadonlyMap<WatchedTable, Level> = new Map();
  let looking = Promise.resolve(levels);

  const measure = async (): Promise<ReadonlyMap<WatchedTable, Level>> => {
    const [sources, targets] = await Promise.all([
      oneByOne(tables, (table) => levelOfSource(options.postgres, table)),
      oneByOne(tables, (table) => countTarget(options.clickhouse, table.view)),
    ]);
    levels = new Map(tables.map((table, at) => [table, { ...(sources[at] ?? NOTHING), target: targets[at] }]));
    return levels;
  };
  // One after the other: two looks at once would only wait for each other.
  const look = (): Promise<ReadonlyMap<WatchedTable, Level>> => (looking = looking.then(measure));
  const running = (async () => {
    while (!stopping.signal.aborted) {
      await look();
      await sleep(options.everyMs, undefined, { signal: stopping.signal }).catch(() => undefined);
    }
  })();
  return {
    levels: () => levels,
    look,
    async stop() {
      stopping.abort();
      await running;
    },
  };
}

/** Whether nothing is under way that can be counted. Changes of rows that are there on both sides cannot. */
export function isQuiet(levels: ReadonlyMap<WatchedTable, Level>): boolean {
  return [...levels.values()].every(
    ({ source, target, outbox }) => source !== undefined && source === target && outbox === 0,
  );
}

const NOTHING = { source: undefined, outbox: undefined };

/** A connection answers one question at a time; what is not answered is not known. */
async function oneByOne<T>(
  tables: readonly WatchedTable[],
  ask: (table: WatchedTable) => Promise<T>,
): Promise<readonly (T | undefined)[]> {
  const answers: (T | undefined)[] = [];
  for (const table of tables) answers.push(await ask(table).catch(() => undefined));
  return answers;
}

/** Both counts of one moment. */
async function levelOfSource(pg: Client, table: WatchedTable): Promise<Omit<Level, 'target'>> {
  const { schema, table: name } = table.name;
  const events = `(select count(*) from pg2click.${quotePg(`outbox_${table.ledgerId ?? ''}`)})`;
  const outbox = table.ledgerId === undefined ? 'null' : table.hasOutbox ? events : '0';
  const { rows } = await pg.query<{ source: string; outbox: string | null }>(
    /* sql */ `select (select count(*) from ${quotePg(schema)}.${quotePg(name)}) as source, ${outbox} as outbox`,
  );
  const [row] = rows;
  return { source: Number(row?.source), outbox: row?.outbox === null ? undefined : Number(row?.outbox) };
}

/** UNKNOWN_TABLE: not made yet, which is something else than a server that is down. */
const UNKNOWN_TABLE = '60';

async function countTarget(ch: ClickHouseClient, { database, table }: WatchedTable['view']): Promise<number> {
  try {
    const answer = await ch.query({
      query: /* sql */ `select count() from ${quoteCh(database)}.${quoteCh(table)}`,
      format: 'TabSeparated',
    });
    return Number(await answer.text());
  } catch (error) {
    if (error instanceof ClickHouseError && error.code === UNKNOWN_TABLE) return 0;
    throw error;
  }
}
