import { createHash } from 'node:crypto';
import type { ClickHouseClient } from '@clickhouse/client';
import type { BatchName, IdRange } from '../../domain/batch.js';
import { quoteCh } from '../../domain/identifier.js';
import { rowKey } from '../../domain/log-columns.js';
import type { TargetTable } from '../../domain/replicated-table.js';
import { ClickHouseAnswer } from '../../failure/classify-clickhouse.js';
import { Failure } from '../../failure/failure.js';
import type { RowStream } from '../../pipeline/row-batch.js';
import { insertTimeoutMs } from '../insert-deadline.js';
import { fencedInsertSettings } from '../insert-settings.js';
import { insertText, type InsertedText, type TextOptions } from '../insert-text.js';
import { quoteText, targetNames } from '../names.js';
import type { FenceEpoch } from './epoch.js';
import { fenceCondition, insertMark, readFence } from './fence.js';
import { appendColumns } from './fit.js';

export type Range = NonNullable<RowStream['range']>;

/** More ranges than this are asked for as one, from the first id to the last: a longer list would fill the URL. */
const MOST_RANGES = 50;
const FENCE_CODE = 395; // FUNCTION_THROW_IF_VALUE_IS_NON_ZERO

/** How a batch is inserted. `token`: as a block that the table remembers. `missing`: only rows whose key is not there. */
export type InsertMode = { readonly token: string } | { readonly missing: Range };

export interface FencedInsert extends Pick<TextOptions, 'signal' | 'onProgress'> {
  /** 1 for the first try to insert these rows. */
  readonly attempt: number;
  readonly epoch: FenceEpoch;
  readonly mode: InsertMode;
}

/**
 * Streams COPY text into the target under the fence.
 * @throws Failure `Fenced` a newer attempt has taken over: nothing was inserted; else as `insertText`
 */
export async function insertFenced(
  ch: ClickHouseClient,
  table: TargetTable,
  rows: RowStream['rows'],
  { epoch, mode, attempt, ...options }: FencedInsert,
): Promise<InsertedText> {
  const token = 'token' in mode ? mode.token : undefined;
  try {
    return await insertText(ch, table, rows, {
      ...options,
      query: insertQuery(table, epoch, mode),
      settings: fencedInsertSettings(ch, { mark: insertMark(table.target), token }),
      timeoutMs: insertTimeoutMs(attempt),
    });
  } catch (error) {
    if (!(error instanceof Failure && error.cause instanceof ClickHouseAnswer && error.cause.code === FENCE_CODE))
      throw error;
    // A materialized view of the user's may throw the same code.
    if ((await readFence(ch, table.target)) === epoch) throw error;
    const { shown } = targetNames(table.target);
    throw new Failure('Fenced', { message: `Another attempt inserts into ${shown} now.`, cause: error });
  }
}

function insertQuery(table: TargetTable, epoch: FenceEpoch, mode: InsertMode): string {
  const columns = appendColumns(table);
  const list = columns.map(({ name }) => quoteCh(name)).join(', ');
  const structure = quoteText(columns.map(({ name, type }) => `${quoteCh(name)} ${type}`).join(', '));
  const missing = 'missing' in mode ? ` and ${missingCondition(table, mode.missing)}` : '';
  return (
    /* sql */ `insert into ${targetNames(table.target).sql.table} (${list}) select ${list} from input(${structure})` +
    ` where ${fenceCondition(table.target, epoch)}${missing} format TabSeparated`
  );
}

/** By key: the column that numbers the rows need not be unique, but in a log. */
function missingCondition(table: TargetTable, range: Range): string {
  const { target } = table;
  const key = rowKey(table);
  const columns = key.map(quoteCh).join(', ');
  const tuple = key.length === 1 ? columns : `(${columns})`;
  return /* sql */ `${tuple} not in (select ${columns} from ${targetNames(target).sql.table} where ${rangeCondition(range)})`;
}

/** Rows between the ranges may be among them: nothing in the batch is compared with those. */
export function rangeCondition({ column, ids }: Range): string {
  const between = ([first, last]: IdRange): string => `${quoteCh(column)} between ${BigInt(first)} and ${BigInt(last)}`;
  if (ids.length <= MOST_RANGES) return `(${ids.map(between).join(' or ')})`;
  return between([ids[0]?.[0] ?? '0', ids.at(-1)?.[1] ?? '0']);
}

/** The deduplication token of a batch of ids, which a retry reproduces row for row: see `loadToken`. */
export function rangeToken(
  table: Pick<TargetTable, 'pipeline' | 'id'>,
  stage: string,
  { generation, batch }: BatchName,
  { ids }: Range,
): string {
  const hash = createHash('sha256').update(JSON.stringify(ids)).digest('base64url');
  return `pg2click/${table.pipeline}/${table.id}/${stage}/${generation}/${batch}/${ids[0]?.[0]}-${ids.at(-1)?.[1]}/${hash}`;
}
