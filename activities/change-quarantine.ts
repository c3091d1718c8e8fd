import { clip } from '../src/domain/clip.js';
import { plural } from '../src/domain/figures.js';
import type { QuarantineReceipt, QuarantineRequest } from '../src/domain/receipt.js';
import {
  loaderNamed,
  physicalName,
  shownName,
  targetOf,
  type ReplicatedTable,
  type TargetTable,
} from '../src/domain/replicated-table.js';
import { replayStage, type ReplayPosition } from '../src/domain/replay.js';
import { engineOf, loaderOf } from '../src/domain/route.js';
import { columnName, formatTableName, shellName, shellWord, sqlName } from '../src/domain/table-name.js';
import { Failure } from '../src/failure/failure.js';
import { retryAppended } from '../src/clickhouse/quarantine/retry-appended.js';
import { retryRows, type Retried } from '../src/clickhouse/quarantine/retry-rows.js';
import { closeRows, countOpen } from '../src/ledger/quarantine.js';
import { dropRows, findUnknownRows, rowsToRetry, type RetriedRow } from '../src/ledger/quarantine-rows.js';
import { readStages } from '../src/ledger/stages.js';
import { UNBOUNDED, runSlice, type Slice } from '../src/pipeline/slice.js';
import { stepsOf } from '../src/pipeline/steps.js';
import { readByKey } from '../src/source/by-key/read-by-key.js';
import type { Deps } from './deps.js';
import { findPreparedTable } from './find-prepared-table.js';

/** Of one request: their bytes are in memory. */
const MOST_ROWS = 1_000;

/** Inserts rows of the quarantine again, or gives them up. Idempotent: a row that was inserted already is in ClickHouse once. */
export async function changeQuarantine(deps: Deps, request: QuarantineRequest): Promise<QuarantineReceipt> {
  return runSlice(UNBOUNDED, async (slice) => {
    const steps = stepsOf(slice, `${request.action} quarantine`);
    const table = await findPreparedTable(deps.ledger, request, await deps.deployment());
    await requireKnown(deps, table, request.ids ?? []);
    const marked: string[] = [];
    let [retried, refused, dropped] = [0, 0, 0];
    if (request.action === 'drop') dropped = await dropRows(deps.ledger, table.id, request.ids);
    else {
      const rows = await rowsToRetry(deps.ledger, table.id, request.ids, MOST_ROWS);
      for (const loader of new Set(rows.map((row) => row.loader))) {
        const its = rows.filter((row) => row.loader === loader);
        steps.begin(`inserting ${its.length} rows again into the target of ${loader}`);
        const inserted = await retry(deps, table, { loader, rows: its }, slice);
        retried += await closeRows(deps.ledger, table.id, inserted.ids, 'retried');
        refused += its.length - inserted.ids.length;
        marked.push(...inserted.marked);
      }
    }
    if (marked.length > 0) throw markedFailure(table, marked);
    return { retried, refused, dropped, open: await countOpen(deps.ledger, table.id) };
  });
}

/** @throws Failure `Misconfigured` */
async function requireKnown({ ledger }: Deps, { id, name }: ReplicatedTable, ids: readonly string[]): Promise<void> {
  const unknown = ids.length === 0 ? [] : await findUnknownRows(ledger, id, ids);
  if (unknown.length === 0) return;
  const rows = `${unknown.length === 1 ? 'row' : 'rows'} ${clip(unknown.join(', '), 200)}`;
  throw new Failure('Misconfigured', {
    message: `${sqlName(name)} has no ${rows} in quarantine: nothing was changed.`,
    remedy: `See them with "pg2click quarantine list ${shellName(name)} --all".`,
  });
}

/** @param marked a column for each row that was left out */
function markedFailure({ name, columns: known }: ReplicatedTable, marked: readonly string[]): Failure {
  const columns = [...new Set(marked)];
  const policies = columns
    .map((column) => known.find((each) => [shownName(each), physicalName(each)].includes(column))?.name ?? column)
    .map((column) => `--policy ${shellWord(`${columnName(column)}=text`)}`)
    .join(' ');
  return new Failure('Misconfigured', {
    message:
      `${plural(marked.length, 'row')} of ${formatTableName(name)} cannot be inserted again: what was kept of column ` +
      `${columns.map((column) => `"${column}"`).join(', ')} is a mark in place of a value that its ClickHouse type has no place for.`,
    remedy: `Correct the values in PostgreSQL, or remove the table and add it again with ${policies}.`,
  });
}

async function retry(
  deps: Deps,
  table: ReplicatedTable,
  { loader, rows }: { readonly loader: string; readonly rows: readonly RetriedRow[] },
  { signal }: Slice,
): Promise<Retried> {
  const target = await findTarget(deps, table, loader);
  if (target === undefined) return { ids: [], marked: [] };
  const { clickhouse } = deps.sink(target);
  const engine = engineOf(target);
  const growsOnly = table.route.capture.appendOnly === true;
  if (engine === 'replacing' && !growsOnly) return retryRows(clickhouse, target, rows, signal);
  // PostgreSQL does not have a change any more.
  if (engine === 'log') return { ids: [], marked: [] };
  // Of a table that only grows nobody sees a correction: its rows are read again.
  const read = (values: readonly Buffer[]) =>
    readByKey(
      deps,
      table,
      { values, bytes: values.reduce((sum, each) => sum + each.length + 1, 0), shape: table.shape },
      {
        signal,
      },
    );
  return retryAppended(clickhouse, target, rows, { versions: engine === 'replacing', read, signal });
}

/** @returns undefined for a replay that is forgotten: nobody knows any more where it wrote to */
async function findTarget(deps: Deps, table: ReplicatedTable, loader: string): Promise<TargetTable | undefined> {
  const { id } = await deps.deployment();
  if (table.route.loaders.some(({ name }) => name === loader)) return targetOf(table, loaderNamed(table, loader), id);
  const rows = await readStages(deps.ledger, table.id);
  const replay = rows.find(({ stage }) => stage === replayStage(loader) && loaderOf(stage) === undefined);
  const position = replay?.position as ReplayPosition | undefined;
  return position === undefined ? undefined : { ...targetOf(table, position.loader, id), loader };
}
