import type { ClickHouseClient } from '@clickhouse/client';
import type { BatchName } from '../../domain/batch.js';
import type { TargetTable } from '../../domain/replicated-table.js';
import { shellName } from '../../domain/table-name.js';
import { Failure } from '../../failure/failure.js';
import { targetNames } from '../names.js';
import type { InsertMode, Range } from './insert.js';
import type { AppendProof } from './proof.js';
import { filledTables, hasViews, type FilledTable } from './views.js';

export interface Repeat {
  readonly name: BatchName;
  readonly range: Range;
  readonly token: string;
  /** Of the batch before it; undefined for the first one. */
  readonly proof: AppendProof | undefined;
}

/**
 * How a batch is inserted that may be there already, all of it or a part. Called when no older insert runs any more.
 *
 * Without views: only rows that are not there. A view gets what is inserted, so it would lack what was there and had not reached it:
 * with views the same block goes again under its token, which every table that has it drops. That is safe only while they all
 * surely remember it.
 * @throws Failure `SchemaMismatch` with views, where a table may have forgotten it
 */
export async function modeOfRepeat(ch: ClickHouseClient, table: TargetTable, repeat: Repeat): Promise<InsertMode> {
  const filled = await filledTables(ch, table.target);
  if (!hasViews(filled)) return { missing: repeat.range };
  const doubtful = filled.find((each) => !remembers(each, repeat.proof));
  if (doubtful === undefined) return { token: repeat.token };
  throw parked(table, repeat, filled.find(({ view }) => view !== undefined)?.view ?? '', doubtful);
}

/**
 * Blocks are numbered as they are inserted, so the difference is the most that can have come since the batch before. Half of the window
 * is left for what others insert meanwhile.
 */
function remembers({ uuid, window, block }: FilledTable, proof: AppendProof | undefined): boolean {
  // Before the first batch nothing was remembered: all blocks of the table count.
  const before = proof === undefined ? 0 : proof.blocks?.[uuid];
  if (window === undefined || before === undefined || block < before) return false;
  return block - before <= window / 2;
}

function parked({ name, target }: TargetTable, repeat: Repeat, view: string, doubtful: FilledTable): Failure {
  const { shown } = targetNames(target);
  const { column, ids } = repeat.range;
  const first = ids[0]?.[0];
  const title = shellName(name);
  return new Failure('SchemaMismatch', {
    message: `Batch ${repeat.name.batch} may be in ${shown} and not in what its view ${view} fills: ${targetNames(doubtful).shown} may have forgotten its blocks.`,
    remedy:
      `Run detach table ${view} in ClickHouse, pg2click resume ${title}, and pg2click pause ${title} when rows move again: ${shown} is whole then. ` +
      `Compare what the view fills with ${shown} for ${column} from ${first} on and put in what is missing. Then run attach table ${view}, and pg2click resume ${title}.`,
  });
}
