import { backfillSpec, describeBackfill, isBackfill, type BackfillTerms } from '../src/domain/backfill.js';
import { DEFAULT_PRIORITY, type CopyPriority } from '../src/domain/copy-priority.js';
import { isResync } from '../src/domain/resync.js';
import { count } from '../src/domain/figures.js';
import type { BackfillReceipt, CopyReceipt } from '../src/domain/receipt.js';
import type { StageId, StageSpec } from '../src/domain/route.js';
import { plain } from './plain.js';
import type { TableState } from './table-state.js';

/** A range of the table that is read again, beside the live flow; or all of it, into a fresh table: a resync. */
export interface Backfill extends BackfillReceipt {
  readonly requestId: string;
  readonly terms: BackfillTerms;
  readonly at: string;
  /** `cancelled`: what it has written stays. */
  readonly status: 'running' | 'finished' | 'cancelled';
  readonly endedAt: string | null;
  /** Absent before its first slice has ended. */
  readonly copy?: CopyReceipt;
}

type State = Pick<TableState, 'backfills' | 'priority'>;

/** Those that ended and are still shown. */
const SHOWN = 5;

export function backfillsOf({ backfills = [] }: State): readonly Backfill[] {
  return backfills;
}

export function runningBackfills(state: State): readonly Backfill[] {
  return backfillsOf(state).filter(({ status }) => status === 'running');
}

/** A resync that has not ended: there is one at most. */
export function runningResync(state: State): Backfill | undefined {
  return runningBackfills(state).find(({ stage }) => isResync(stage));
}

export function backfillStages(state: State): readonly StageSpec[] {
  return runningBackfills(state).map(({ stage }) => backfillSpec(stage));
}

export function addBackfill(state: State, backfill: Backfill): readonly Backfill[] {
  const all = [...backfillsOf(state).filter(({ stage }) => stage !== backfill.stage), backfill];
  const ended = all.filter(({ status }) => status !== 'running').slice(-SHOWN);
  return all.filter((each) => each.status === 'running' || ended.includes(each));
}

/** A slice of it has ended. */
export function moveBackfill(state: State, stage: StageId, copy: CopyReceipt): readonly Backfill[] {
  return backfillsOf(state).map((each) => (each.stage === stage ? { ...each, copy } : each));
}

export function endBackfill(
  state: State,
  stage: StageId,
  status: 'finished' | 'cancelled',
  endedAt: string,
): readonly Backfill[] {
  return backfillsOf(state).map((each) => (each.stage === stage ? { ...each, status, endedAt } : each));
}

/** Its target is not the table's any more. */
export function loseLoader(state: State, loader: string, endedAt: string): readonly Backfill[] {
  return backfillsOf(state).map((each) =>
    each.loader === loader && each.status === 'running' ? { ...each, status: 'cancelled', endedAt } : each,
  );
}

/** Of the copies of a table; of one of them, where that has another. */
export function priorityOf(state: State, stage?: StageId): CopyPriority {
  const { priority } = backfillsOf(state).find((each) => each.stage === stage)?.terms ?? {};
  return priority ?? state.priority ?? DEFAULT_PRIORITY;
}

/** Gives all copies of a table a priority, those that run too. */
export function prioritize(state: State, priority: CopyPriority): Pick<TableState, 'backfills' | 'priority'> {
  const { backfills } = state;
  if (backfills === undefined) return { priority };
  const isOther = ({ status, terms }: Backfill): boolean => status === 'running' && terms.priority !== undefined;
  return {
    priority,
    backfills: backfills.map((each) => (isOther(each) ? { ...each, terms: { ...each.terms, priority } } : each)),
  };
}

/** The one that is meant, where it runs: `backfill:2`, or `2`; the only one where no name is given. */
export function backfillNamed(state: State, name: string | null): StageId | undefined {
  const running = runningBackfills(state).flatMap(({ stage }) => (isBackfill(stage) ? [stage] : []));
  if (name === null) return running.length === 1 ? running[0] : undefined;
  return running.find((stage) => stage === name || stage === `backfill:${name}`);
}

/** For the page of the table. */
export function backfillLine({ stage, target, terms, status, at, endedAt, copy }: Backfill): string {
  const { rows = 0, pruned = 0, progress } = copy ?? {};
  const chunks = progress === undefined ? '' : `, ${count(progress.chunksDone)} of ${count(progress.chunks)} chunks`;
  const gone = pruned === 0 ? '' : `, ${count(pruned)} tombstones`;
  const how =
    status === 'running'
      ? `${count(rows)} rows so far${chunks}`
      : `${status} at ${endedAt ?? ''}, ${count(rows)} rows${gone}`;
  return `\`${stage}\` into \`${target}\`, ${plain(describeBackfill(terms))}, since ${at}: ${how}.`;
}
