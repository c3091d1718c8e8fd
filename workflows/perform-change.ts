import { ApplicationFailure } from '@temporalio/workflow';
import type { TableAddress } from '../src/domain/receipt.js';
import { type ChangeEvent, runningReplays } from './changes.js';
import type { tableActivities } from './policies.js';
import type { TableState } from './table-state.js';

type Activities = Pick<
  ReturnType<typeof tableActivities>,
  'addLoader' | 'removeLoader' | 'startReplay' | 'cancelReplay' | 'changeQuarantine'
>;

/** Makes the change of loaders or replays that is asked for, by one activity. @returns the event that tells how it ended */
export async function performChange(
  { addLoader, removeLoader, startReplay, cancelReplay, changeQuarantine }: Activities,
  address: TableAddress,
  state: TableState,
  options: { readonly summary: string },
): Promise<ChangeEvent> {
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
