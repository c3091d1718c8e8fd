import type { TargetTable } from '../../domain/replicated-table.js';
import { Failure } from '../../failure/failure.js';
import { formatTableName } from '../../domain/table-name.js';
import { requireClaim, type StageClaim } from '../../ledger/stages.js';
import type { ClickHouseServices } from '../clickhouse-writer.js';
import { targetNames } from '../names.js';
import { fenceEpoch, type FenceEpoch } from './epoch.js';
import { endOlderInserts, readFence, writeFence } from './fence.js';
import { ensureFence } from './target.js';

/** The right of one attempt of a stage to insert into the target. */
export class HeldFence {
  readonly #services: Pick<ClickHouseServices, 'clickhouse' | 'ledger'>;
  readonly #table: TargetTable;
  readonly #claim: StageClaim;
  #takeOvers = 0;
  #isHeld = false;

  constructor(services: Pick<ClickHouseServices, 'clickhouse' | 'ledger'>, table: TargetTable, claim: StageClaim) {
    this.#services = services;
    this.#table = table;
    this.#claim = claim;
  }

  get isHeld(): boolean {
    return this.#isHeld;
  }

  /** Carried by every insert. It rises with each `take`. */
  get epoch(): FenceEpoch {
    return fenceEpoch(this.#table.generation, this.#claim.epoch, this.#takeOvers);
  }

  /**
   * Takes the fence: when it returns, no insert of before is running, and none that comes late will pass. Called again before a batch
   * is sent again: the insert of before may still be on its way.
   * @throws Failure `Fenced` a newer attempt has it; `LedgerSetBack` it was taken under a claim that the ledger does not know
   */
  async take(signal?: AbortSignal, onWait: () => void = () => undefined): Promise<void> {
    this.#isHeld = false;
    const { clickhouse } = this.#services;
    const { target } = this.#table;
    await ensureFence(clickhouse, this.#table);
    const standing = await readFence(clickhouse, target);
    // Counted before it is written: where the answer is lost, the next try must not take its own fence for somebody else's.
    this.#takeOvers += 1;
    const next = this.epoch;
    if (standing >= next) await this.#explainHigher();
    await writeFence(clickhouse, target, next);
    await endOlderInserts(clickhouse, target, signal, onWait);
    this.#isHeld = true;
  }

  /** A newer attempt claims in the ledger before it writes the fence. So where the claim still holds, the ledger is older than the fence. */
  async #explainHigher(): Promise<never> {
    await requireClaim(this.#services.ledger, this.#claim);
    const { shown } = targetNames(this.#table.target);
    throw new Failure('LedgerSetBack', {
      message: `${shown} in ClickHouse was written under a later claim of ${formatTableName(this.#table.name)} than the ledger knows.`,
    });
  }
}
