import { setTimeout as sleep } from 'node:timers/promises';
import type { ClickHouseClient } from '@clickhouse/client';
import type { Resync } from '../domain/resync.js';
import type { TargetTable } from '../domain/replicated-table.js';
import type { Target } from '../domain/route.js';
import { Failure } from '../failure/failure.js';
import { execute, findObject, select } from './catalog.js';
import { dropTarget } from './drop-target.js';
import { quoteText, targetNames } from './names.js';
import { createTarget, refuseLongName } from './target.js';

const NO_UUID = '00000000-0000-0000-0000-000000000000';

/** Where the tables of a resync are now. */
export interface Places {
  /** UUID of the table that has the live name. */
  readonly live: string | undefined;
  /** Name of the shadow; undefined where it is gone. */
  readonly shadow: string | undefined;
}

/** UUIDs of tables by their names. @throws Failure those of ClickHouse */
async function uuidsOf(ch: ClickHouseClient, database: string): Promise<ReadonlyMap<string, string>> {
  const query = /* sql */ `select name, toString(uuid) as id from system.tables where database = {database:String}`;
  const found = await select<{ name: string; id: string }>(ch, query, { database }, `reading UUIDs of ${database}`);
  return new Map(found.map(({ name, id }) => [name, id]));
}

/** Looks before a table counts as gone: `system.tables` may miss one that is renamed or exchanged while it is read. */
const LOOKS = 4;
const BETWEEN_LOOKS_MS = 50;

/** @throws Failure those of ClickHouse */
export async function findPlaces(ch: ClickHouseClient, live: Target, resync: Pick<Resync, 'uuid'>): Promise<Places> {
  for (let look = 1; ; look += 1) {
    const places = await readPlaces(ch, live, resync);
    if (places.shadow !== undefined || look === LOOKS) return places;
    await sleep(BETWEEN_LOOKS_MS);
  }
}

async function readPlaces(ch: ClickHouseClient, live: Target, { uuid }: Pick<Resync, 'uuid'>): Promise<Places> {
  // Not `as uuid`: ClickHouse would take the alias for the column.
  const query = /* sql */ `select name, toString(uuid) as id from system.tables
    where database = {database:String} and (name = {table:String} or uuid = toUUID({uuid:String}))`;
  const { database, table } = live;
  const what = `looking for the shadow of ${targetNames(live).shown}`;
  const found = await select<{ name: string; id: string }>(ch, query, { database, table, uuid }, what);
  return {
    live: found.find(({ name }) => name === table)?.id,
    shadow: found.find(({ id }) => id === uuid)?.name,
  };
}

/**
 * Makes an empty table like the live one: its columns, keys, partitions, TTL, settings and markers of shapes are those of the moment. One that
 * an attempt left, which nobody knows of, is made again.
 * @param after numbers up to it are not used @returns a name that is free, and both UUIDs
 * @throws Failure `UnsuitableTable` in a database without UUIDs; those of `createTarget`
 */
export async function makeShadow(
  ch: ClickHouseClient,
  live: TargetTable,
  after: number,
): Promise<Pick<Resync, 'number' | 'table' | 'uuid' | 'replaces'>> {
  const { database, table } = live.target;
  const { sql, shown } = targetNames(live.target);
  const uuids = await uuidsOf(ch, database);
  const replaces = uuids.get(table);
  if (replaces === undefined)
    throw new Failure('SinkSetBack', { message: `The ClickHouse table ${shown} does not exist.` });
  if (replaces === NO_UUID) throw withoutUuids(database, shown);
  for (let number = after + 1; ; number += 1) {
    const name = `${table}__r${number}`;
    const target = { database, table: name };
    const names = targetNames(target);
    if ([...uuids.keys()].some((each) => each.startsWith(`${name}_`) && ![names.floor, names.view].includes(each)))
      continue;
    if (uuids.has(name) && !(await isEmpty(ch, names.sql.table))) continue;
    await refuseLongName(ch, { ...live, target: { database, table: `${name}_${'9'.repeat(19)}` } }, 'table');
    const comment = (await findObject(ch, database, table))?.comment ?? '';
    await execute(ch, /* sql */ `drop table if exists ${names.sql.table} sync`, `dropping ${names.shown}`);
    const statement = /* sql */ `create table ${names.sql.table} as ${sql.table} comment ${quoteText(comment)}`;
    await execute(ch, statement, `creating ${names.shown}`);
    const { layout: _, ...owner } = live;
    await createTarget(ch, { ...owner, target });
    const uuid = (await uuidsOf(ch, database)).get(name);
    if (uuid === undefined || uuid === NO_UUID) throw withoutUuids(database, shown);
    return { number, table: name, uuid, replaces };
  }
}

async function isEmpty(ch: ClickHouseClient, table: string): Promise<boolean> {
  const query = /* sql */ `select count() = 0 as empty from ${table}`;
  const [found] = await select<{ empty: number }>(ch, query, {}, `counting ${table}`);
  return Boolean(found?.empty);
}

function withoutUuids(database: string, shown: string): Failure {
  return new Failure('UnsuitableTable', {
    message: `${database} is a ClickHouse database without UUIDs, so ${shown} cannot be exchanged for another table.`,
    remedy:
      'Use pg2click backfill TABLE --prune, which repairs the rows in place. Rows with versions above those of pg2click stay: for ' +
      'them, remove the table with --drop-target and add it with a --target in a database that is Atomic.',
  });
}

/** Rounds in which other attempts rename the shadow. */
const ROUNDS = 5;

/**
 * Renames the shadow to a name of this epoch: a compare-and-set. From here on an EXCHANGE of an older attempt names a table that is gone.
 * @returns `swapped` where it is in the live place already; `gone` where it is dropped
 * @throws Failure `Fenced` where a newer attempt has renamed it
 */
export async function takeShadow(
  ch: ClickHouseClient,
  live: Target,
  resync: Resync,
  epoch: bigint,
): Promise<'taken' | 'swapped' | 'gone'> {
  const own = ownName(resync, epoch);
  for (let round = 1; round <= ROUNDS; round += 1) {
    const { live: found, shadow } = await findPlaces(ch, live, resync);
    if (found === resync.uuid) return 'swapped';
    if (shadow === undefined) return 'gone';
    if (shadow === own) return 'taken';
    if (epochOf(resync, shadow) > epoch) break;
    const [from, to] = [shadow, own].map((table) => targetNames({ database: live.database, table }).sql.table);
    await unlessGone(execute(ch, /* sql */ `rename table ${from} to ${to}`, `renaming ${shadow} to ${own}`));
  }
  throw new Failure('Fenced', { message: `Another attempt puts ${resync.table} in the place of ${live.table}.` });
}

/**
 * Puts the shadow in the place of the live table. Two attempts that both look and then exchange would swap there and back: so each
 * exchanges a name of its own epoch, which the next attempt takes away first.
 * @throws Failure `Fenced`; `SinkSetBack` where the shadow is gone; those of ClickHouse
 */
export async function swapShadow(ch: ClickHouseClient, live: Target, resync: Resync, epoch: bigint): Promise<void> {
  const { sql, shown } = targetNames(live);
  const own = targetNames({ database: live.database, table: ownName(resync, epoch) });
  for (let round = 1; round <= ROUNDS; round += 1) {
    const state = await takeShadow(ch, live, resync, epoch);
    if (state === 'swapped') return;
    if (state === 'gone') throw shadowGone(live, resync);
    const statement = /* sql */ `exchange tables ${sql.table} and ${own.sql.table}`;
    await unlessGone(execute(ch, statement, `exchanging ${shown} and ${own.shown}`));
  }
  throw new Failure('Fenced', { message: `Another attempt puts ${resync.table} in the place of ${shown}.` });
}

export function shadowGone({ database, table }: Target, resync: Resync): Failure {
  return new Failure('SinkSetBack', {
    message: `The table ${database}.${resync.table}, which a resync fills beside ${database}.${table}, is gone.`,
    remedy: 'Run pg2click resync TABLE --cancel, then resume the table, then start the resync again.',
  });
}

/** Drops what is left of a resync: the table with this UUID, unless it is the live one, and the floor and the view of the shadow. Idempotent. */
export async function dropLeft(ch: ClickHouseClient, live: TargetTable, resync: Resync, uuid: string): Promise<void> {
  await dropByUuid(ch, live.target, uuid);
  await dropTarget(ch, { ...live, target: { database: live.target.database, table: resync.table } });
}

/**
 * Drops a table of which only the UUID is sure, unless it is the live one. Idempotent.
 * @param named drops it only under this name: under another it is somebody else's
 */
export async function dropByUuid(ch: ClickHouseClient, live: Target, uuid: string, named?: string): Promise<void> {
  const { live: found, shadow: name } = await findPlaces(ch, live, { uuid });
  if (name === undefined || found === uuid || (named !== undefined && name !== named)) return;
  const { sql, shown } = targetNames({ database: live.database, table: name });
  const statement = /* sql */ `drop table if exists ${sql.table} settings max_table_size_to_drop = 0`;
  await execute(ch, statement, `dropping ${shown}`);
}

/** Renames the old table to a name that people know. Idempotent. */
export async function keepOld(ch: ClickHouseClient, live: Target, resync: Resync, kept: string): Promise<void> {
  const { shadow: name } = await findPlaces(ch, live, { uuid: resync.replaces });
  if (name === undefined || name === kept || name === live.table) return;
  const [from, to] = [name, kept].map((table) => targetNames({ database: live.database, table }).sql.table);
  await unlessGone(execute(ch, /* sql */ `rename table ${from} to ${to}`, `renaming ${name} to ${kept}`));
}

function ownName({ table }: Resync, epoch: bigint): string {
  return `${table}_${epoch}`;
}

function epochOf({ table }: Resync, name: string): bigint {
  const epoch = name.slice(table.length + 1);
  return /^\d+$/u.test(epoch) ? BigInt(epoch) : -1n;
}

/** A statement about a table that another attempt has renamed meanwhile changes nothing: the caller looks again. */
async function unlessGone(statement: Promise<void>): Promise<void> {
  await statement.catch((error: unknown) => {
    if (!(error instanceof Failure && error.kind === 'SinkSetBack')) throw error;
  });
}
