import type { Pool, ClientBase } from 'pg';
import type { StageId } from '../../src/domain/route.js';
import type { ReplicatedTable } from '../../src/domain/replicated-table.js';
import { until } from '../demo/until.js';
import { readStages, type StageRow } from '../../src/ledger/stages.js';

const DEADLINE_MS = 300_000;
const START_LOOK_MS = 10;
/** A look costs PostgreSQL 0.2 ms: a thousandth of what a backlog does to it meanwhile. */
const LOOK_MS = 25;

type Row = StageRow<{ readonly last?: string; readonly done?: string; readonly rows?: string }>;

/** Watches a stage of a table in the ledger: what the slices themselves say of their work. */
export class LedgerWatch {
  readonly #pg: ClientBase | Pool;
  readonly #replica: Pick<ReplicatedTable, 'id'>;
  readonly #signal: AbortSignal;

  constructor(pg: ClientBase | Pool, table: Pick<ReplicatedTable, 'id'>, signal: AbortSignal) {
    this.#pg = pg;
    this.#replica = table;
    this.#signal = signal;
  }

  async look(stage: StageId): Promise<Row> {
    const row = (await readStages(this.#pg, this.#replica.id)).find((each) => each.stage === stage);
    if (row === undefined) throw new Error(`the ledger has no stage ${stage} of replica ${this.#replica.id}`);
    return row as Row;
  }

  /** Resolves once a slice has taken the stage on that had not at `before`. */
  async claimed(before: Row): Promise<void> {
    await this.until(`A ${before.stage} slice`, before.stage, ({ epoch }) => epoch !== before.epoch, START_LOOK_MS);
  }

  async until(
    what: string,
    stage: StageId,
    condition: (row: Row) => boolean | Promise<boolean>,
    everyMs = LOOK_MS,
  ): Promise<void> {
    const options = { deadlineMs: DEADLINE_MS, everyMs, signal: this.#signal };
    await until(what, options, async () => condition(await this.look(stage)));
  }
}
