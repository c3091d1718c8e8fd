import type { Checkpoint, PrepareReceipt, SliceReceipt } from '../src/domain/receipt.js';
import { FIRST_ROUTE, loadStage, MAIN_LOADER, stagesOf } from '../src/domain/route.js';
import type { StageTotals } from './stage-totals.js';
import type { Prepared, TableState, TaskFailure } from './table-state.js';

/** The stages of every table in releases before stages were data. */
const FIRST_STAGES = stagesOf(FIRST_ROUTE);

/**
 * Reads the state that an older release carried over continue-as-new. Every older `stateVersion` has its case here.
 * @throws RangeError for a version of a newer release: the workflow task fails and waits for a worker that knows it
 */
export function upgradeState(carried: TableState | FirstState): TableState {
  switch (carried.stateVersion) {
    case 2:
      return carried;
    case 1:
      return upgradeFirst(carried);
    default:
      throw new RangeError(
        `state version ${String((carried as { stateVersion: unknown }).stateVersion)} is newer than this worker: upgrade the worker`,
      );
  }
}

/** Receipts of releases before stages were data name no stages. */
export function upgradePrepared(receipt: PrepareReceipt): Prepared {
  return { ...receipt, stages: receipt.stages ?? FIRST_STAGES };
}

/** Receipts of older releases call the checkpoint `witness`. */
export function upgradeReceipt(receipt: SliceReceipt): SliceReceipt {
  const { witness } = receipt as { readonly witness?: Checkpoint };
  return witness === undefined ? receipt : { ...receipt, checkpoint: witness };
}

/** Version 1: only these two stages, and other names of fields. */
interface FirstState extends Omit<
  TableState,
  'stateVersion' | 'lifecycle' | 'lastTransientFailure' | 'prepared' | 'stages'
> {
  readonly stateVersion: 1;
  readonly life: TableState['lifecycle'];
  readonly hiccup: TaskFailure | null;
  readonly prepared: PrepareReceipt | null;
  readonly stages: Readonly<Record<'publish' | 'load', FirstTotals>>;
}

type FirstTotals = Omit<StageTotals, 'checkpoint'> & { readonly witness: Checkpoint | null };

function upgradeFirst({ life: lifecycle, hiccup: lastTransientFailure, stages, ...carried }: FirstState): TableState {
  return {
    ...carried,
    stateVersion: 2,
    lifecycle,
    parks: carried.parks.map(upgradeFailure),
    lastTransientFailure: lastTransientFailure === null ? null : upgradeFailure(lastTransientFailure),
    prepared: carried.prepared === null ? null : upgradePrepared(carried.prepared),
    stages: { publish: upgradeTotals(stages.publish), [loadStage(MAIN_LOADER)]: upgradeTotals(stages.load) },
  };
}

function upgradeFailure(failure: TaskFailure): TaskFailure {
  return failure.where === 'load' ? { ...failure, where: loadStage(MAIN_LOADER) } : failure;
}

function upgradeTotals({ witness, ...totals }: FirstTotals): StageTotals {
  return { ...totals, checkpoint: witness };
}
