import type { ClickHouseClient } from '@clickhouse/client';
import { Failure } from '../../failure/failure.js';
import { select } from '../catalog.js';
import { targetNames, type Target } from '../names.js';

/**
 * Blocks that each table behind a view must remember. An insert is one block in each partition that it touches, by default 100 at
 * most, and another insert may come before the repeat.
 */
const LEAST_WINDOW = 100;

/** A table that an insert reaches: the target, or one that a materialized view of it fills. */
export interface FilledTable extends Target {
  readonly uuid: string;
  /** `database.table` of the view that fills it; undefined for the target itself. */
  readonly view: string | undefined;
  readonly engine: string;
  /** Blocks whose tokens it remembers; undefined for an engine that remembers none. */
  readonly window: number | undefined;
  /** The highest number of a block; it grows by at least one with each block that is inserted. 0 for none. */
  readonly block: number;
}

interface Listed extends Target {
  readonly uuid: string;
  readonly engine: string;
  readonly engineFull: string;
  readonly create: string;
  readonly viewDatabases: readonly string[];
  readonly viewTables: readonly string[];
}

/**
 * The target and every table behind a materialized view of it, through chains of views.
 * @throws Failure `Unauthorized` a view fills a table that this user may not see
 */
export async function filledTables(ch: ClickHouseClient, target: Target): Promise<readonly FilledTable[]> {
  const filled: (Listed & Pick<FilledTable, 'view'>)[] = [];
  const seen = new Set<string>();
  let level: readonly Reached[] = [{ ...target, view: undefined }];
  while (level.length > 0) {
    const known = await list(ch, level);
    const next: Reached[] = [];
    for (const { view, ...name } of level) {
      const { shown } = targetNames(name);
      if (seen.has(shown)) continue;
      seen.add(shown);
      const found = known.get(shown);
      if (found === undefined) {
        // The target itself is looked for before.
        if (view === undefined) continue;
        throw invisible(shown, view);
      }
      // A refreshable view reads when its time has come, not when rows are inserted.
      if (REFRESHABLE.test(found.create)) continue;
      if (found.engine === 'MaterializedView') next.push({ ...storeOf(found), view: shown });
      else if (found.engine !== 'Null') filled.push({ ...found, view });
      for (const [index, database] of found.viewDatabases.entries())
        next.push({ database, table: found.viewTables[index] ?? '', view: shown });
    }
    level = next;
  }
  // A target without views needs no window, and its blocks are not counted.
  if (filled.length <= 1) return filled.map((each) => ({ ...each, window: undefined, block: 0 }));
  const blocks = await countBlocks(ch, filled);
  const standard = filled.every(({ engineFull }) => windowIn(engineFull) !== undefined) ? 0 : await standardWindow(ch);
  return filled.map(({ database, table, uuid, view, engine, engineFull }) => ({
    database,
    table,
    uuid,
    view,
    engine,
    window: REMEMBERING.test(engine) ? (windowIn(engineFull) ?? standard) : undefined,
    block: blocks[uuid] ?? 0,
  }));
}

/** A table that an insert reaches. */
type Reached = Target & Pick<FilledTable, 'view'>;

/** Replicated ones forget after a time, and whether they have is not to be seen. */
const REMEMBERING = /^(?!Replicated|Shared).*MergeTree$/u;

function windowIn(engineFull: string): number | undefined {
  const set = /\bnon_replicated_deduplication_window = (\d+)/u.exec(engineFull)?.[1];
  return set === undefined ? undefined : Number(set);
}

async function standardWindow(ch: ClickHouseClient): Promise<number> {
  const query = /* sql */ `select value from system.merge_tree_settings where name = 'non_replicated_deduplication_window'`;
  const [found] = await select<{ value: string }>(ch, query, {}, 'reading the deduplication window');
  return Number(found?.value ?? 0);
}

function invisible(shown: string, view: string): Failure {
  return new Failure('Unauthorized', {
    message: `The materialized view ${view} fills ${shown}, which this user of ClickHouse may not see.`,
    remedy: `Grant SHOW TABLES on ${shown} to it, then resume the table.`,
  });
}

/**
 * @throws Failure `SchemaMismatch` a table behind a view remembers too few blocks, or none
 */
export async function requireWindows(ch: ClickHouseClient, target: Target): Promise<readonly FilledTable[]> {
  const filled = await filledTables(ch, target);
  // Without views a repeat inserts what is not there yet, and needs no token.
  if (hasViews(filled)) for (const table of filled) requireWindow(table, target);
  return filled;
}

export function hasViews(filled: readonly FilledTable[]): boolean {
  return filled.some(({ view }) => view !== undefined);
}

function requireWindow(table: FilledTable, target: Target): void {
  const { view, engine, window } = table;
  const { shown, sql } = targetNames(table);
  const { shown: filler } = targetNames(target);
  const why =
    view === undefined
      ? `a materialized view hangs on it, and a repeat must reach neither twice`
      : `the materialized view ${view} fills it from ${filler}, and a repeat must not fill it twice`;
  if (window === undefined)
    throw new Failure('SchemaMismatch', {
      message: `Table ${shown} has the engine ${engine}, which remembers no blocks: ${why}.`,
      remedy: `Let the view fill a table of the MergeTree family that is not replicated, or drop the view, then resume.`,
    });
  if (window >= LEAST_WINDOW) return;
  throw new Failure('SchemaMismatch', {
    message: `Table ${shown} remembers ${window} blocks, ${LEAST_WINDOW} are needed: ${why}.`,
    remedy: `Run: alter table ${sql.table} modify setting non_replicated_deduplication_window = 1000. Then resume.`,
  });
}

async function list(ch: ClickHouseClient, tables: readonly Target[]): Promise<ReadonlyMap<string, Listed>> {
  const rows = await select<Listed>(
    ch,
    /* sql */ `
    select database, name as table, toString(uuid) as uuid, engine, engine_full as engineFull,
      create_table_query as create, dependencies_database as viewDatabases, dependencies_table as viewTables
    from system.tables where ${NAMED} and has(JSONExtract({tables:String}, 'Array(String)'), name)`,
    parametersOf(tables),
    `looking for what ${tables.map((each) => targetNames(each).shown).join(', ')} fill`,
  );
  return new Map(rows.map((row) => [targetNames(row).shown, row]));
}

/** Of several databases: the caller looks for the pairs. */
const NAMED = `has(JSONExtract({databases:String}, 'Array(String)'), database)`;

function parametersOf(tables: readonly Target[]): Record<'databases' | 'tables', string> {
  return {
    databases: JSON.stringify(tables.map(({ database }) => database)),
    tables: JSON.stringify(tables.map(({ table }) => table)),
  };
}

const NAME = '(?:`((?:[^`\\\\]|\\\\.)+)`|([A-Za-z_][A-Za-z0-9_]*))';
const REFRESHABLE = new RegExp(`^CREATE MATERIALIZED VIEW ${NAME}\\.${NAME}(?: UUID '[^']*')? REFRESH `, 'u');
const TO = new RegExp(`^CREATE MATERIALIZED VIEW ${NAME}\\.${NAME}(?: UUID '[^']*')? TO ${NAME}\\.${NAME}`, 'u');

/** The highest block number of each table, by its UUID. */
export async function countBlocks(
  ch: ClickHouseClient,
  tables: readonly (Target & Pick<FilledTable, 'uuid'>)[],
): Promise<Readonly<Record<string, number>>> {
  const rows = await select<Target & { block: string }>(
    ch,
    /* sql */ `select database, table, toString(max(max_block_number)) as block from system.parts
      where ${NAMED} and has(JSONExtract({tables:String}, 'Array(String)'), table) group by database, table`,
    parametersOf(tables),
    'counting blocks',
  );
  const blocks = new Map(rows.map((row) => [targetNames(row).shown, Number(row.block)]));
  return Object.fromEntries(tables.map((each) => [each.uuid, blocks.get(targetNames(each).shown) ?? 0]));
}

/** The table that a view fills: the one after TO, or one of its own. */
function storeOf({ database, table, uuid, create }: Listed): Target {
  const [, , , , , quotedDatabase, plainDatabase, quotedTable, plainTable] = TO.exec(create) ?? [];
  const into = plainTable ?? unescape(quotedTable);
  if (into !== undefined) return { database: plainDatabase ?? unescape(quotedDatabase) ?? database, table: into };
  const isAtomic = uuid !== '00000000-0000-0000-0000-000000000000';
  return { database, table: isAtomic ? `.inner_id.${uuid}` : `.inner.${table}` };
}

function unescape(quoted: string | undefined): string | undefined {
  return quoted?.replaceAll(/\\(.)/gsu, '$1');
}
