import { columnsOfShape } from '../../domain/shape.js';
import { pipeline, type Readable } from 'node:stream';
import { targetColumns } from '../../domain/column-type.js';
import { isLog, SEQ_COLUMN } from '../../domain/log-columns.js';
import type { BatchName } from '../../domain/batch.js';
import { holeOf, lackingTarget, type RefusedRow } from '../../domain/quarantine.js';
import type { Part } from '../../domain/part.js';
import type { Checkpoint } from '../../domain/receipt.js';
import type { TargetTable } from '../../domain/replicated-table.js';
import { composeVersion, generationOf, majorOf, type Version } from '../../domain/version.js';
import { ClickHouseAnswer } from '../../failure/classify-clickhouse.js';
import { Failure } from '../../failure/failure.js';
import { countOpen, readQuarantine, setAside } from '../../ledger/quarantine.js';
import type { StageClaim } from '../../ledger/stages.js';
import type { Log } from '../../observe/log.js';
import type { BatchWriter, RereadOptions, Written } from '../../pipeline/batch.js';
import type { RetryPolicy } from '../../pipeline/retry.js';
import { appendColumns } from '../append/fit.js';
import type { InsertValues } from '../clickhouse-writer.js';
import { closeSuperseded, type QuarantineServices } from './close-superseded.js';
import { findRefused } from './find-refused.js';
import { Holes } from './holes.js';
import { identifyRow, originOf } from './identify-row.js';
import { HoleFilter } from './lines.js';
import { mayBeCutShort, Probe, refusalOf, type LineFormat } from './probe.js';
import { probeStream } from './probe-stream.js';
import { RefusedRows, type RefusedRowsOptions } from './refused-rows.js';
import { linesOf, withoutHoles } from './values.js';
import { formatTableName } from '../../domain/table-name.js';

/** Rows that go by once, as COPY text. */
export interface StreamedRows {
  readonly rows: Readable;
}

export interface QuarantineOptions extends Pick<RefusedRowsOptions, 'limits'> {
  readonly table: TargetTable;
  readonly claim: StageClaim;
  /** Whether the rows of the target have versions: see `StreamContent.versions`. */
  readonly versions: boolean;
  readonly log: Log;
}

/** Rows that are read again may have changed, and be bad by then. More often than this it is something else. */
const ROUNDS = 5;
/** Between two looks for rows that are not missing any more, in units of the time that the last one took. */
const REST = 20;

/**
 * A writer around a writer: a row that ClickHouse refuses is found by probes, which write nothing, and set aside in the ledger; then the
 * batch is inserted once without it, under the token of the whole batch.
 *
 * - A crash while it probes: nothing was written. The next attempt probes again.
 * - A crash between setting aside and inserting, or after that: the name of the batch has the holes. The next attempt inserts the
 *   same rest. Rows with versions that are read again need no such name.
 * - A frozen attempt that inserts the whole batch, or the rest: both have one token, and the first one counts.
 * - Over a limit nothing is set aside, and the table parks.
 */
export class QuarantineWriter<Content extends InsertValues | StreamedRows> implements BatchWriter<Content> {
  readonly retry: RetryPolicy;
  readonly #inner: BatchWriter<Content>;
  readonly #services: QuarantineServices;
  readonly #options: QuarantineOptions;
  /** What rows that go by once look like. */
  readonly #streamed: LineFormat;
  #holes = new Holes({ batch: 0, generation: 0 });
  /** Of the table, as last seen. */
  #open = 0;
  #nextLookAt = 0;

  constructor(inner: BatchWriter<Content>, services: QuarantineServices, options: QuarantineOptions) {
    const { table, versions } = options;
    this.#inner = inner;
    this.#services = services;
    // Of a log each change of a key is a row of its own.
    this.#options = isLog(table) ? { ...options, table: { ...table, key: [SEQ_COLUMN] } } : options;
    this.retry = inner.retry;
    const columns = (versions ? targetColumns(table) : appendColumns(table)).map(({ name }) => name);
    this.#streamed = { format: 'TabSeparated', columns };
  }

  async verify(checkpoint: Checkpoint, proof: unknown): Promise<unknown> {
    const { ledger } = this.#services;
    const { table, versions } = this.#options;
    const { open, isSetAside } = await readQuarantine(ledger, lackingTarget(table), versionsOf(table, checkpoint));
    const loaded = isSetAside && versions ? { ...checkpoint, highest: highestOf(table, proof) } : checkpoint;
    const next = await this.#inner.verify(loaded, proof);
    this.#open = open;
    if (open > 0) await this.#closeSuperseded();
    return next;
  }

  async write(name: BatchName, content: Content, options: RereadOptions<Content>): Promise<Written> {
    const written = await this.#write(name, content, options);
    if (this.#open > 0 && Date.now() >= this.#nextLookAt) await this.#closeSuperseded();
    return written;
  }

  rest(written: Written, tookMs: number, signal: AbortSignal): Promise<void> {
    return this.#inner.rest(written, tookMs, signal);
  }

  async #write(name: BatchName, content: Content, options: RereadOptions<Content>): Promise<Written> {
    if (this.#holes.batch !== name.batch) this.#holes = new Holes(name);
    let fresh = content;
    const readAgain = async (): Promise<Content> => this.#without(await options.readAgain());
    for (let round = 1; ; round += 1)
      try {
        return await this.#inner.write(name, this.#without(fresh), { ...options, readAgain });
      } catch (error) {
        const refusal = refusalOf(error);
        if (refusal === undefined || round === ROUNDS || (mayBeCutShort(refusal) && !isInMemory(fresh))) throw error;
        try {
          if (isInMemory(fresh)) await this.#isolateValues(name, fresh, error, options);
          else await this.#isolateStream(name, (await options.readAgain()) as StreamedRows, error, options);
        } catch (failure) {
          throw isHelpless(failure) ? error : failure;
        }
        if (!isInMemory(fresh)) fresh = await options.readAgain();
      }
  }

  /** The content without its holes. */
  #without(content: Content): Content {
    if (this.#holes.isEmpty) return content;
    if (isInMemory(content)) return withoutHoles(content, this.#holes.names) as Content;
    const filter = new HoleFilter(this.#holes.finder(this.#options.table, this.#streamed));
    // Ends both when either fails.
    pipeline((content as StreamedRows).rows, filter, () => undefined);
    return { ...content, rows: filter };
  }

  /** @param error of the insert of the whole batch, or of what was thought to be its rest */
  async #isolateValues(
    name: BatchName,
    content: InsertValues,
    error: unknown,
    { signal, onProgress }: RereadOptions<Content>,
  ): Promise<void> {
    const { table } = this.#options;
    const shape = columnsOfShape(table, content.shape);
    const format: LineFormat = { format: content.encoding, columns: content.names, shape };
    const refused = await this.#collect(error, false);
    const probe = await Probe.open(this.#services.clickhouse, table, format);
    const { lines, originOf: placeOf } = linesOf(content);
    const { names } = this.#holes;
    const all = lines.map((_, line) => line);
    const numbers = names.size === 0 ? all : all.filter((line) => !names.has(holeOf(placeOf(line))));
    const probed = numbers.map((line) => lines[line] ?? Buffer.alloc(0));
    for await (const { index, refusal } of findRefused(probed, probe, signal)) {
      const raw = probed[index] ?? Buffer.alloc(0);
      const origin = placeOf(numbers[index] ?? 0);
      refused.add({ ...identifyRow(table, format, raw, refusal), ...describe(format), origin, raw });
      onProgress();
    }
    await this.#setAside(name, refused.finish(numbers.length), true);
  }

  /** @param content is read to its end */
  async #isolateStream(
    name: BatchName,
    content: StreamedRows,
    error: unknown,
    { signal, onProgress }: RereadOptions<Content>,
  ): Promise<void> {
    const { table, versions } = this.#options;
    const format = this.#streamed;
    const refused = await this.#collect(error, true, versions ? name : undefined);
    const probe = await Probe.open(this.#services.clickhouse, table, format);
    const rows = await probeStream(content.rows, {
      probe,
      signal,
      isHole: this.#holes.finder(table, format),
      onRefused: (line, refusal) => {
        const row = identifyRow(table, format, line, refusal);
        refused.add({ ...row, ...describe(format), origin: originOf(row, line), raw: Buffer.from(line) });
      },
      onProgress: () => onProgress(),
    });
    const found = refused.finish(rows);
    await this.#setAside(name, found, !versions);
    this.#holes.addKeys(table, format, found);
  }

  /** @param again the batch, where rows are found again that an earlier attempt has set aside */
  async #collect(error: unknown, rereads: boolean, again?: BatchName): Promise<RefusedRows> {
    const { limits, table, claim } = this.#options;
    const except = again === undefined ? undefined : { stage: claim.stage, batch: again.batch };
    this.#open = await countOpen(this.#services.ledger, table.id, except);
    return new RefusedRows({ limits, table, open: this.#open, error, rereads });
  }

  /** @param named whether the name of the batch keeps them: see `SetAside` */
  async #setAside(name: BatchName, rows: readonly RefusedRow[], named: boolean): Promise<void> {
    const { claim, table, log } = this.#options;
    const { batch, generation } = name;
    const lacking = lackingTarget(table);
    await setAside(this.#services.ledger, { claim, batch, generation, lacking, rows, named });
    this.#open += rows.length;
    if (named) this.#holes.addNames(rows);
    const columns = [...new Set(rows.map(({ column }) => column ?? '?'))].join(', ');
    log.warn(
      { table: formatTableName(table.name), stage: claim.stage, batch, rows: rows.length, columns },
      'rows were set aside',
    );
  }

  /** Best effort: rows that flow do not wait for it. */
  async #closeSuperseded(): Promise<void> {
    const { table, versions, log } = this.#options;
    const startedAt = Date.now();
    try {
      this.#open = await closeSuperseded(this.#services, table, versions);
    } catch (error) {
      log.warn(
        { error, table: formatTableName(table.name) },
        'rows in quarantine could not be compared with ClickHouse',
      );
    }
    const now = Date.now();
    this.#nextLookAt = now + REST * (now - startedAt);
  }
}

/** All versions of a position. */
function versionsOf({ generation }: TargetTable, { highest }: Checkpoint): readonly [first: Version, after: Version] {
  const first = composeVersion(generation, BigInt(highest));
  return [first, composeVersion(generation, BigInt(highest) + 1n)];
}

/** The row with the highest position is not in ClickHouse. What is there for sure is in the part that was seen last. */
function highestOf({ generation }: TargetTable, proof: unknown): string {
  const { highest = '0' } = (proof ?? {}) as Partial<Part>;
  const version = BigInt(highest);
  return generationOf(version) === generation ? String(majorOf(version)) : '0';
}

/**
 * ClickHouse answers that the probe itself does not work, for example for a type that a function does not take. Then the row is all that
 * is known. Another failure, of a connection or of the ledger, says nothing of the probe, and may pass.
 */
function isHelpless(failure: unknown): boolean {
  if (!(failure instanceof Failure && failure.cause instanceof ClickHouseAnswer)) return false;
  return failure.kind === 'Unexpected' || failure.kind === 'SchemaMismatch' || failure.kind === 'Misconfigured';
}

function isInMemory<Content extends InsertValues | StreamedRows>(content: Content): content is Content & InsertValues {
  return 'values' in content;
}

function describe({ format, columns = [] }: LineFormat): Pick<RefusedRow, 'format' | 'columns'> {
  return { format, columns: format === 'TabSeparated' ? columns : null };
}
