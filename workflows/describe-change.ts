import { describeBackfill } from '../src/domain/backfill.js';
import { plural } from '../src/domain/figures.js';
import type { Change } from './changes.js';

/** What was asked for, in the words of the commands: `backfill, from 1 to 100`. */
export function describeChange(change: Change): string {
  switch (change.task) {
    case 'addLoader':
      return `loader add ${change.loader.name}`;
    case 'removeLoader':
      return `loader remove ${change.name}`;
    case 'startReplay': {
      const { from, to } = change.terms;
      return `replay, from ${from}${to === undefined ? '' : ` to ${to}`}`;
    }
    case 'cancelReplay':
      return `cancel ${change.replay}`;
    case 'startBackfill':
      return `${change.terms.resync === true ? 'resync' : 'backfill'}, ${describeBackfill(change.terms)}`;
    case 'cancelBackfill':
      return `cancel ${change.backfill}`;
    case 'dropKept':
      return `drop ${change.names.join(', ')}`;
    case 'keepLonger':
      return `keep ${change.name}${change.until === null ? '' : ` until ${change.until}`}`;
    case 'retryQuarantined':
    case 'dropQuarantined': {
      const { task, ids } = change;
      const rows = ids === null ? 'all rows' : plural(ids.length, 'row');
      return `quarantine ${task === 'retryQuarantined' ? 'retry' : 'drop'}, ${rows}`;
    }
    default:
      return change satisfies never;
  }
}
