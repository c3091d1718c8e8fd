import type { BatchName, IdRange, RangeBatch } from '../../src/domain/batch.js';
import { byPosition, columnType } from '../../src/domain/column-type.js';
import { quotePg } from '../../src/domain/identifier.js';
import { advanceStage, type StageRow } from '../../src/ledger/stages.js';
import type { BatchSource, ReadOptions, SourceState, Written } from '../../src/pipeline/batch.js';
import type { RowStream } from '../../src/pipeline/row-batch.js';
import type { StageContext } from '../../src/pipeline/stage.js';
import type { Capture, CaptureServices } from '../../src/source/capture.js';
import { copyOut } from '../../src/source/copy/copy-out.js';
import { inspectTable } from '../../src/source/catalog/inspect.js';

/** What a test does to the batches on their way. */
export interface GrowingOptions {
  readonly rows?: number;
  /** After a batch is named, before its first row is read. */
  readonly beforeRead?: (name: RangeBatch, owner: string) => Promise<void>;
  /** After a batch is written, before it is confirmed. */
  readonly beforeConfirm?: (name: RangeBatch) => Promise<void>;
}

type GrowingRow = StageRow<{ readonly last?: string }, RangeBatch>;

/** Tables with one writer that only grow: no row appears below one that was seen. So it settles nothing. */
class GrowingSource implements BatchSource<RangeBatch, RowStream> {
  readonly isFinished = false;
  readonly pending: RangeBatch | undefined;
  readonly #services: CaptureServices;
  readonly #stage: StageContext<GrowingRow>;
  readonly #options: GrowingOptions;
  #batch: number;
  #last: string;
  /** Until a look finds nothing. */
  #waits = true;

  constructor(services: CaptureServices, stage: StageContext<GrowingRow>, options: GrowingOptions) {
    this.#services = services;
    this.#stage = stage;
    this.#options = options;
    this.pending = stage.row.pending ?? undefined;
    this.#batch = stage.row.batch;
    this.#last = stage.row.position.last ?? '0';
  }

  verify = (): Promise<void> => Promise.resolve();

  async nameNext({ signal }: ReadOptions): Promise<RangeBatch | undefined> {
    const { table, claim } = this.#stage;
    const { rows } = await this.#services.source.query<{ first: string; last: string }>(
      `select min(id)::text as first, max(id)::text as last
       from (select id, id - row_number() over (order by id) as island
         from (select ${quotePg('id')} as id from ${this.#from} where id > $1 order by id limit $2) new) numbered
       group by island order by min(id)`,
      [this.#last, this.#options.rows ?? 10_000],
    );
    this.#waits = rows.length > 0;
    if (rows.length === 0 || signal.aborted) return undefined;
    const ids = rows.map(({ first, last }): IdRange => [first, last]);
    const { generation, shape } = table;
    const name: RangeBatch = { batch: this.#batch + 1, generation, shape, ids };
    await advanceStage(this.#services.ledger, claim, null, name);
    return name;
  }

  async read(name: RangeBatch, { signal }: ReadOptions): Promise<RowStream> {
    await this.#options.beforeRead?.(name, this.#stage.claim.epoch);
    const columns = byPosition(this.#stage.table.columns).map((each) => columnType(each).copy(quotePg(each.name)));
    const between = name.ids.map(([first, last]) => `id between ${BigInt(first)} and ${BigInt(last)}`);
    const lease = await this.#services.reading.lease({ signal });
    const rows = copyOut(
      lease.client,
      `copy (select ${columns.join(', ')} from ${this.#from} where ${between.join(' or ')}) to stdout`,
    );
    // Destroyed before it is read, it fails with nobody listening.
    rows.on('error', () => undefined);
    rows.once('end', () => lease.keep());
    rows.once('close', () => void lease[Symbol.asyncDispose]());
    return { rows, floor: undefined, range: { column: 'id', ids: name.ids } };
  }

  async confirm(name: RangeBatch, { rows, bytes, proof }: Written): Promise<undefined> {
    await this.#options.beforeConfirm?.(name);
    const last = name.ids.at(-1)?.[1] ?? this.#last;
    const { batch } = name;
    await advanceStage(
      this.#services.ledger,
      this.#stage.claim,
      { batch, position: { last }, proof, rows, bytes },
      null,
    );
    this.#batch = batch;
    this.#last = last;
  }

  state = (): SourceState => ({
    moved: `..${this.#last}`,
    waiting: this.#waits ? 1 : 0,
    lagSeconds: 0,
    checkpoint: { batch: this.#batch, highest: this.#last },
  });

  [Symbol.asyncDispose] = (): Promise<void> => Promise.resolve();

  get #from(): string {
    const { schema, table } = this.#stage.table.name;
    return `${quotePg(schema)}.${quotePg(table)}`;
  }
}

export function growingCapture(options: GrowingOptions = {}): Capture {
  return {
    kind: 'growing',
    inspect: async (pg, name) => {
      const {
        triggerLevel: _triggers,
        isTree: _tree,
        subscribed: _subscribed,
        ...inspection
      } = await inspectTable(pg, name);
      return { ...inspection, capture: { kind: 'growing', appendOnly: true } };
    },
    install: () => Promise.resolve(''),
    remove: () => Promise.resolve(),
    installationOf: () => '',
    allocatePosition: () => Promise.resolve('0'),
    open: () => {
      throw new Error('it has no topic');
    },
    openStream: (services, stage) =>
      new GrowingSource(services, stage as StageContext<GrowingRow>, options) as BatchSource<BatchName, RowStream>,
  };
}
