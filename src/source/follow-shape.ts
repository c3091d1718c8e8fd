import type { ClientBase } from 'pg';
import type { Queryable } from '../connect/queryable.js';
import { sourceName, type ReplicatedTable } from '../domain/replicated-table.js';
import type { ShapeChange } from '../domain/shape.js';
import { formatTableName, isSameName, type TableName } from '../domain/table-name.js';
import { classifyPostgres } from '../failure/classify-postgres.js';
import { noteShape, type NewShape } from '../ledger/shapes.js';
import { replaceFingerprint } from '../ledger/tables.js';
import { readColumns } from './catalog/catalog.js';
import { fingerprintTable, type Fingerprint } from './catalog/fingerprint.js';
import { changesOfFilter } from './catalog/filter-changes.js';
import { findMissingValues } from './catalog/missing-values.js';
import { findPlace, requirePlace } from './catalog/place.js';
import { changedBy, lockRowSchemaSql, requireSameTable } from './catalog/row-schema.js';
import { newName, shapeDifference } from './catalog/shape-difference.js';
import { refuseByRoute } from './follow-refusal.js';
import { BEGIN_SNAPSHOT } from './session.js';
import { inTransaction } from './transaction.js';

/** `noted`: by this attempt. `known`: another attempt has noted one. `settled`: the columns are what they were. `same`: so is all else. */
export type Followed =
  { readonly kind: 'noted'; readonly change: ShapeChange } | { readonly kind: 'known' | 'settled' | 'same' };

/** A table gets hardly more than one new name between two looks. */
const MOST_NAMES = 3;
const UNDEFINED_TABLE = '42P01';

/** Those who write behind an ALTER that waits for this lock wait no longer than for a batch that is read. */
const BEGIN_LOOKING = `${BEGIN_SNAPSHOT}; set local lock_timeout = '2s'`;

/**
 * Looks what became of the columns and the name of a table, and gives them the next number if they changed. The lock is that of a SELECT: no ALTER
 * gets past it, so what is noted is what is there, and numbers have the order of the ALTERs.
 *
 * A crash before the ledger has the shape leaves nothing, and after it a shape that the next attempt finds. No row is read here: the
 * reader that met the change has read none either, and reads under the new shape when it begins again.
 * @param pg a connection of its own
 * @param table as the ledger has it now
 * @throws Failure `SourceChanged` says what cannot be followed; `MissingTable`, `Unauthorized`, `LockTimeout`; those of the ledger
 */
export async function followShape(pg: ClientBase, ledger: Queryable, table: ReplicatedTable): Promise<Followed> {
  try {
    for (let tries = 1; ; tries += 1) {
      // Before the transaction, whose first look comes under the lock: under another name by then, the table is looked for again.
      const name = requirePlace(table, await findPlace(pg, table));
      try {
        return await inTransaction(pg, BEGIN_LOOKING, () => follow(pg, ledger, table, name));
      } catch (error) {
        const isGone = (error as { code?: unknown }).code === UNDEFINED_TABLE;
        if (!isGone || tries >= MOST_NAMES) throw error;
      }
    }
  } catch (error) {
    throw classifyPostgres(error, `looking at the columns of ${formatTableName(table.name)}`);
  }
}

async function follow(pg: ClientBase, ledger: Queryable, table: ReplicatedTable, source: TableName): Promise<Followed> {
  const { relation } = table;
  const isRenamed = !isSameName(source, sourceName(table));
  const now = { ...table, source };
  await requireSameTable(pg, await pg.query(lockRowSchemaSql(now)), now);
  const isExcluded = ({ position }: { position: number }): boolean =>
    table.excluded?.some((column) => column.position === position) === true;
  const all = await readColumns(pg, relation);
  const found = all.filter((column) => !isExcluded(column));
  const isAdded = ({ position }: { position: number }): boolean =>
    !table.columns.some((column) => column.position === position);
  const columns = [
    ...found.filter((column) => !isAdded(column)),
    ...(await findMissingValues(pg, relation, found.filter(isAdded))),
  ];
  const key = table.key.map((name) => newName(table.columns, found, name));
  const before = JSON.parse(table.fingerprint) as Fingerprint;
  const after = JSON.parse(await fingerprintTable(pg, { ...table, key })) as Fingerprint;
  const difference = shapeDifference({ table, columns, before, after });
  const ofFilter = changesOfFilter(table, before, after);
  const changes = [
    ...(isRenamed ? [`the table was renamed to ${formatTableName(source)}`] : []),
    ...difference.changes,
    ...ofFilter,
  ];
  // What is not of the columns stays as it was noted, for the comparison of fingerprints to find.
  const fingerprint = JSON.stringify({
    ...before,
    name: after.name,
    columns: after.columns,
    file: after.file,
    labels: after.labels,
    ...partitionsNow(before, after),
  } satisfies Fingerprint);
  if (changes.length === 0) {
    if (fingerprint === table.fingerprint) return { kind: 'same' };
    const isSaved = await replaceFingerprint(ledger, table, fingerprint);
    return { kind: isSaved ? 'settled' : 'known' };
  }
  // A name is the source's alone: no loader has to know it.
  const byRoute = difference.changes.length === 0 ? [] : refuseByRoute(table, difference);
  const refused = [...difference.refused, ...ofFilter, ...byRoute];
  if (refused.length > 0)
    throw changedBy(
      refused,
      // With the names of now: `add` finds them.
      {
        ...now,
        ...whereNow(table, all),
        columns: difference.columns,
        key: keyNow(key, found),
        excluded: all.filter(isExcluded),
      },
      'was changed',
    );
  const change = changes.join('; ');
  const next: NewShape = {
    ...difference,
    change,
    fingerprint,
    ...renamedCursor(table, found),
    ...(isSameName(source, table.name) ? {} : { source }),
  };
  if (!(await noteShape(ledger, table, next))) return { kind: 'known' };
  const { class: kind } = difference;
  return { kind: 'noted', change: { shape: table.shape + 1, class: kind, change, notedAt: new Date().toISOString() } };
}

/** Empty where a column of it is gone: then `add` looks for the primary key. */
function keyNow(key: readonly string[], found: ReplicatedTable['columns']): readonly string[] {
  return key.every((name) => found.some((column) => column.name === name)) ? key : [];
}

/** The filter, with the names of now of columns that are left out. */
function whereNow({ where }: ReplicatedTable, all: ReplicatedTable['columns']): Pick<ReplicatedTable, 'where'> {
  if (where?.hidden === undefined) return {};
  const hidden = all.filter(({ position }) => where.hidden?.some((column) => column.position === position));
  return { where: { ...where, hidden } };
}

/** The files of partitions that a trigger of ours guards: of the others a TRUNCATE would go by unseen with it. */
function partitionsNow(before: Fingerprint, after: Fingerprint): Pick<Fingerprint, 'partitions'> {
  if (before.partitions === undefined) return {};
  const partitions = Object.entries(before.partitions).map(([oid, was]) => {
    const file = after.partitions?.[oid]?.file;
    return [oid, was.guarded && file !== undefined ? { ...was, file } : was] as const;
  });
  return { partitions: Object.fromEntries(partitions) };
}

function renamedCursor(table: ReplicatedTable, found: ReplicatedTable['columns']): Pick<NewShape, 'cursor'> {
  const { cursor } = table.route.capture as { readonly cursor?: string };
  if (cursor === undefined) return {};
  const name = newName(table.columns, found, cursor);
  return name === cursor ? {} : { cursor: name };
}
