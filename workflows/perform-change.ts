import { ApplicationFailure } from '@temporalio/workflow';
import type { TableAddress } from '../src/domain/receipt.js';
import { runningBackfills } from './backfills.js';
import { type ChangeEvent, runningReplays } from './changes.js';
import type { tableActivities } from './policies.js';
import type { TableState } from './table-state.js';

type Activities = Pick<
  ReturnType<typeof tableActivities>,
  | 'addLoader'
  | 'removeLoader'
  | 'startReplay'
  | 'cancelReplay'
  | 'startBackfill'
  | 'cancelBackfill'
  | 'changeKept'
  | 'changeQuarantine'
>;

/** Makes the change that is asked for, by one activity. @returns the event that tells how it ended */
export async function performChange(
  activities: Activities,
  address: TableAddress,
  state: TableState,
  options: { readonly summary: string },
): Promise<ChangeEvent> {
  const { addLoader, removeLoader, startReplay, cancelReplay, startBackfill, cancelBackfill } = activities;
  const { changeKept, changeQuarantine } = activities;
  const change = state.change ?? null;
  switch (change?.task) {
    case 'addLoader': {
      const receipt = await addLoader.executeWithOptions(options, [{ ...address, loader: change.loader }]);
      return { type: 'loadersChanged', task: 'addLoader', at: now(), receipt };
    }
    case 'removeLoader': {
      const { name, dropTarget } = change;
      const receipt = await removeLoader.executeWithOptions(options, [{ ...address, name, dropTarget }]);
      return { type: 'loadersChanged', task: 'removeLoader', at: now(), receipt };
    }
    case 'startReplay': {
      const { terms, requestId } = change;
      const request = { ...address, ...terms, requestId, running: runningReplays(state) };
      const receipt = await startReplay.executeWithOptions(options, [request]);
      return { type: 'replayStarted', at: now(), receipt };
    }
    case 'cancelReplay':
      await cancelReplay.executeWithOptions(options, [{ ...address, replay: change.replay }]);
      return { type: 'replayCancelled', at: now() };
    case 'startBackfill': {
      const { terms, requestId } = change;
      const running = runningBackfills(state).map(({ stage }) => stage);
      const receipt = await startBackfill.executeWithOptions(options, [{ ...address, ...terms, requestId, running }]);
      return { type: 'backfillStarted', at: now(), receipt };
    }
    case 'cancelBackfill':
      await cancelBackfill.executeWithOptions(options, [{ ...address, backfill: change.backfill }]);
      return { type: 'backfillCancelled', at: now() };
    case 'dropKept': {
      const receipt = await changeKept.executeWithOptions(options, [{ ...address, names: change.names }]);
      return { type: 'keptChanged', at: now(), receipt };
    }
    case 'keepLonger': {
      const { name, until } = change;
      const receipt = await changeKept.executeWithOptions(options, [{ ...address, names: [name], until }]);
      return { type: 'keptChanged', at: now(), receipt };
    }
    case 'retryQuarantined':
    case 'dropQuarantined': {
      const action = change.task === 'retryQuarantined' ? 'retry' : 'drop';
      const request = { ...address, action, ...(change.ids === null ? {} : { ids: change.ids }) } as const;
      const receipt = await changeQuarantine.executeWithOptions(options, [request]);
      return { type: 'quarantineChanged', at: now(), receipt };
    }
    case undefined:
      throw ApplicationFailure.nonRetryable('No change of loaders or replays is asked for.', 'Unexpected');
    default:
      return change satisfies never;
  }
}

function now(): string {
  return new Date().toISOString();
}
