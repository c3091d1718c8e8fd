import type { Lease } from '../../../connect/reading-pool.js';
import type { IdRange, OutboxBatch } from '../../../domain/batch.js';
import { SEQ_COLUMN } from '../../../domain/log-columns.js';
import { formatTableName } from '../../../domain/table-name.js';
import { classifyPostgres } from '../../../failure/classify-postgres.js';
import { Failure } from '../../../failure/failure.js';
import type { ReadOptions } from '../../../pipeline/batch.js';
import type { RowRange, RowStream, RowText } from '../../../pipeline/row-batch.js';
import { explainMissing, sourceChanged } from '../../catalog/row-schema.js';
import { copyOut, type CopyOut } from '../../copy/copy-out.js';
import { countedText } from '../../copy/counted-text.js';
import { ensureFlushed } from '../../flush.js';
import { beginDrain, type ReadTable } from '../../outbox/drain-transaction.js';
import type { OutboxReader, ReadingServices } from '../../outbox/reader.js';
import { giveBack } from '../../outbox/stream-reader.js';
import { BEGIN_SNAPSHOT } from '../../session.js';
import { readForms, readNames, type Form } from './forms.js';
import { logBatchSql, logSql, type LogBatch } from './log-sql.js';
import { placeForm } from './place-form.js';

const NEWLINE = 0x0a;

/** Reads batches of changes with their values, for a log: the rows of a batch never change. */
export class LogReader implements OutboxReader<RowStream> {
  readonly #services: ReadingServices;
  readonly #forms = new Map<number, Form>();
  /** Names of columns that are left out. */
  #leftOut: readonly string[] = [];
  #rows: RowText | undefined;
  #events = 0;

  constructor(services: ReadingServices) {
    this.#services = services;
  }

  async read(table: ReadTable, name: OutboxBatch, { signal, onProgress }: ReadOptions): Promise<RowStream> {
    const { reading } = this.#services;
    this.#rows = undefined;
    const lease = await reading.lease({ signal, onWait: () => onProgress() });
    try {
      const { sql, batch } = await this.#begin(lease, table, name);
      let copy: CopyOut | undefined;
      const begin = (): CopyOut => (copy = copyOut(lease.client, sql, { signal }));
      const rows = countedText(readWhole(begin, table, name, signal), () => copy?.rows ?? 0);
      this.#rows = rows;
      this.#events = batch.events;
      rows.once('close', () => void giveBack(lease, rows.readableEnded));
      return { rows, floor: undefined, range: rangeOf(name, batch) };
    } catch (error) {
      await lease[Symbol.asyncDispose]();
      signal.throwIfAborted();
      throw explain(table, name, error);
    }
  }

  events(): number {
    if (this.#rows?.readableEnded !== true) throw new Error('the batch was not read to its end');
    return this.#events;
  }

  async #begin(
    { client }: Lease,
    table: ReadTable,
    name: OutboxBatch,
  ): Promise<{ readonly sql: string; readonly batch: LogBatch }> {
    const [batch] = await beginDrain<LogBatch>(client, table, BEGIN_SNAPSHOT, logBatchSql(table.id, name));
    if (batch === undefined) throw new Error('a count returned no row');
    if (batch.unknown > 0) throw await sourceChanged(client, table, 'has changes whose values cannot be known');
    if (!batch.flushed) await ensureFlushed(this.#services.source);
    if (!batch.forms.every((form) => this.#forms.has(form))) {
      for (const form of await readForms(client, table.id)) this.#forms.set(form.form, form);
      const leftOut = table.excluded?.map(({ position }) => position) ?? [];
      this.#leftOut = await readNames(client, table.relation, leftOut);
    }
    const forms = batch.forms.flatMap((number) => this.#forms.get(number) ?? []);
    return {
      batch,
      sql: logSql(
        table,
        name,
        forms.map((form) => placeForm(table, form, this.#leftOut)),
      ),
    };
  }
}

async function* readWhole(
  begin: () => CopyOut,
  table: ReadTable,
  name: OutboxBatch,
  signal: AbortSignal,
): AsyncGenerator<Buffer, void, undefined> {
  let last: number | undefined = NEWLINE;
  try {
    signal.throwIfAborted();
    for await (const chunk of begin() as AsyncIterable<Buffer>) {
      last = chunk.at(-1);
      yield chunk;
    }
  } catch (error) {
    signal.throwIfAborted();
    throw explain(table, name, error);
  }
  if (last !== NEWLINE)
    throw new Failure('SourceUnavailable', {
      message: `PostgreSQL cut batch ${name.batch} of ${formatTableName(table.name)} short.`,
    });
}

function explain(table: ReadTable, { batch }: OutboxBatch, error: unknown): Failure {
  return explainMissing(classifyPostgres(error, `reading batch ${batch} of ${formatTableName(table.name)}`), error);
}

/** Rows of the snapshot have negative numbers. */
function rangeOf({ first, last }: OutboxBatch, batch: LogBatch): RowRange {
  const negative: readonly IdRange[] = batch.hasSnapshot ? [[`-${last}`, `-${first}`]] : [];
  const { rows, last: highest } = batch;
  return {
    column: SEQ_COLUMN,
    ids: [...negative, [first, last]],
    known: { rows, last: highest ?? undefined },
  };
}
