import chalk from 'chalk';
import { BUDGET_WARN_FROM, duration, megabytes } from '../domain/figures.js';
import type { SlotState } from '../domain/slot-state.js';

/** One that is read comes to this between two looks, and goes again. */
const GROWS_FROM = 100_000;
/** Before that the mean is that of what PostgreSQL keeps anyway. */
const MEAN_AFTER_S = 60;

/** @param growth of the WAL that is kept, bytes a second; where that is not known and nobody reads it, the mean since then is taken */
export function slotText(slot: SlotState, growth: number | undefined): string {
  const { name, retainedBytes, safeBytes, unreadSeconds, failover } = slot;
  const detached = slot.detached === null ? '' : chalk.red(`; this table is detached since ${slot.detached.at}`);
  if (retainedBytes === null) return `${name}, ${chalk.red('which is gone, or has lost WAL that it needs')}${detached}`;
  const mean = unreadSeconds !== null && unreadSeconds >= MEAN_AFTER_S ? retainedBytes / unreadSeconds : 0;
  const rate = growth ?? mean;
  const grows = rate >= GROWS_FROM;
  const left = grows && safeBytes !== null ? `, in about ${duration(safeBytes / rate)}` : '';
  const limit =
    safeBytes === null
      ? ', without a limit (max_slot_wal_keep_size)'
      : `, given up by PostgreSQL after ${megabytes(safeBytes)} more${left}`;
  return [
    `${name}, for which PostgreSQL keeps ${megabytes(retainedBytes)} of WAL`,
    grows ? `, ${megabytes(rate)} more each second` : '',
    limit,
    budgetText(slot, retainedBytes),
    unreadSeconds === null ? '' : chalk.yellow(`; nobody has read it for ${duration(unreadSeconds)}`),
    failover === false ? '; no standby gets it (failover is off)' : '',
    detached,
  ].join('');
}

/** In red where a table will be detached, or no table holds it back. */
function budgetText({ budgetBytes, outboxBytes }: SlotState, walBytes: number): string {
  if (budgetBytes === null) return '';
  const taken = walBytes + outboxBytes;
  const text = `${megabytes(taken)} with outboxes, of a budget of ${megabytes(budgetBytes)}`;
  if (taken <= budgetBytes * BUDGET_WARN_FROM) return `; ${text}`;
  return `; ${taken > budgetBytes ? chalk.red(text) : chalk.yellow(text)}`;
}
