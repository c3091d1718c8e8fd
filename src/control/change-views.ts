import type { FailureKind } from '../failure/kinds.js';
import { describeChange } from '../../workflows/describe-change.js';
import type { TableStatus } from '../../workflows/messages.js';
import { withdrawalCommand } from './withdrawal-command.js';

export interface ChangeView {
  /** `backfill, from 1 to 100` */
  readonly what: string;
  /** ISO 8601: when it was asked for. */
  readonly since: string;
  /** The table is paused, and nothing of it runs: it begins, or goes on, after `resume`. */
  readonly waits: boolean;
  /** The command that withdraws it; null where it has begun, or nothing does. */
  readonly withdrawal: string | null;
}

export interface RefusedView {
  readonly what: string;
  /** ISO 8601 */
  readonly at: string;
  readonly kind: FailureKind;
  readonly message: string;
  readonly remedy: string;
}

export function changeView(status: TableStatus | undefined): ChangeView | null {
  const change = status?.change ?? null;
  if (status === undefined || change === null) return null;
  const waits = status.paused !== null && !status.running.includes(change.task);
  const withdrawal = withdrawalCommand(status, change);
  return { what: describeChange(change), since: change.at, waits, withdrawal };
}

export function refusedView(status: TableStatus | undefined): RefusedView | null {
  const { change = null, changed = null } = status ?? {};
  if (change !== null || changed === null || changed.failure === null) return null;
  const { task, what = task, at, failure } = changed;
  return { what, at, ...failure };
}
