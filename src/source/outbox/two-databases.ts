import type { Databases } from '../../connect/databases.js';
import type { OutboxBatch } from '../../domain/batch.js';
import { formatTableName } from '../../domain/table-name.js';
import { Failure } from '../../failure/failure.js';
import { confirmOutbox, nameOutbox, type OutboxAdvance } from '../../ledger/outbox.js';
import { requireClaim } from '../../ledger/stages.js';
import type { StageContext } from '../../pipeline/stage.js';
import { advanceDrain, readDrainedBatch, type DrainStep } from './drain-row.js';
import type { OutboxPart } from './look-pace.js';
import type { MovedBatch, OpenOutboxSteps, OutboxRow, OutboxSteps } from './steps.js';

/**
 * Ledger and outbox in two databases. For batch n: (1) the source finds events, (2) the ledger takes their name, (3) they are moved,
 * (4) the ledger confirms n and keeps its name as `deleting`, (5) the source deletes the events and sets its marker to n, in one
 * transaction that also finds n + 1, (6) the ledger takes the next name and clears `deleting`.
 *
 * Confirm, then delete: a crash between the two leaves events of a confirmed batch, and the next attempt deletes them by the name
 * in `deleting`. The other order would lose a batch whose confirmation never came. Its invariant: the marker is at the last
 * confirmed batch, or one before it while `deleting` holds its name. Anything else is a database that was restored.
 */
class TwoDatabases implements OutboxSteps {
  readonly #databases: Databases;
  readonly #stage: StageContext<OutboxRow>;
  readonly #title: string;
  /** The last confirmed batch. */
  #batch: number;
  /** Its name, until its events are known to be deleted. */
  #deleting: OutboxBatch | null;

  constructor(databases: Databases, stage: StageContext<OutboxRow>) {
    this.#databases = databases;
    this.#stage = stage;
    this.#title = formatTableName(stage.table.name);
    this.#batch = stage.row.batch;
    this.#deleting = stage.row.deleting;
  }

  async verify(): Promise<void> {
    const drained = await readDrainedBatch(this.#databases.source, this.#stage.table.id);
    if (drained === this.#batch) this.#deleting = null;
    else if (drained === this.#batch - 1 && this.#deleting !== null) await this.#drain(0);
    else throw await this.#explain(drained);
  }

  async advance(moved: MovedBatch | null, limit: number, part: OutboxPart): Promise<OutboxAdvance> {
    if (moved !== null) await this.#confirm(moved);
    const { found, ...advanced } = await this.#drain(limit, part);
    if (found === undefined) return { ...advanced, next: undefined };
    const name = { batch: this.#batch + 1, ...found };
    const next = await nameOutbox(this.#databases.ledger, this.#stage.claim, name, advanced.lowWater);
    return { ...advanced, next };
  }

  async #confirm({ name, events, rows, bytes, proof }: MovedBatch): Promise<void> {
    if (events !== name.events)
      throw new Failure('OutboxInconsistent', {
        message: `The outbox of ${this.#title} lost or gained events by itself: batch ${name.batch} has ${name.events ?? 'no count of'} events by its name, and ${events} were read.`,
      });
    await confirmOutbox(this.#databases.ledger, this.#stage.claim, { batch: name.batch, rows, bytes, proof });
    this.#batch = name.batch;
    this.#deleting = name;
  }

  async #drain(limit: number, part: OutboxPart = {}): Promise<DrainStep> {
    const { source } = this.#databases;
    const step = await advanceDrain(source, this.#stage.table.id, {
      batch: this.#batch,
      deleting: this.#deleting,
      limit,
      part,
    });
    if (step === 'elsewhere') throw await this.#explain(await readDrainedBatch(source, this.#stage.table.id));
    this.#deleting = null;
    return step;
  }

  /** An attempt that was overtaken knows an older batch: it must not park the table. @throws Failure `Fenced` */
  async #explain(drained: number | undefined): Promise<Failure> {
    await requireClaim(this.#databases.ledger, this.#stage.claim);
    const ledger = `the ledger says that batch ${this.#batch} is the last published`;
    if (drained === undefined)
      return new Failure('SourceSetBack', {
        message: `The source does not know the outbox of ${this.#title} (no row in pg2click.drain), and ${ledger}.`,
      });
    return new Failure(drained > this.#batch ? 'LedgerSetBack' : 'SourceSetBack', {
      message: `The outbox of ${this.#title} is drained up to batch ${drained}, and ${ledger}.`,
    });
  }
}

export const stepsInTwoDatabases: OpenOutboxSteps = (databases, stage) => new TwoDatabases(databases, stage);
