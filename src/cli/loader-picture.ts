import chalk from 'chalk';
import type { LoaderView } from '../control/loader-views.js';
import { describeBackfill } from '../domain/backfill.js';
import { copyLine, waitOf } from './copy-picture.js';
import type { BackfillView, ReplayView, TableView } from '../control/table-view.js';
import { count, duration, plural } from '../domain/figures.js';

/** Lines of a table's page: each loader, where it has several or one is paused. */
export function loaderFacts({ loaders }: TableView): (readonly [string, string])[] {
  if (loaders.length <= 1 && loaders.every(({ paused, late }) => paused === null && late !== true)) return [];
  return loaders.map((loader) => [`loader ${loader.name}`, loaderText(loader)]);
}

export function loaderText({ target, server, copied, waiting, lagSeconds, paused, late }: LoaderView): string {
  const where = server === null ? target : `${target} on ${server}`;
  const state =
    paused === null
      ? copied
        ? ''
        : chalk.cyan(', copying')
      : chalk.blue(`, paused since ${paused.since}${why(paused.reason)}`);
  const waits = waiting === null || waiting === 0 ? '' : `, ${plural(waiting, 'change')} behind`;
  const age = lagSeconds === null || lagSeconds === 0 ? '' : ` for ${duration(lagSeconds)}`;
  const risk =
    late === true ? chalk.red(', older than half of what Kafka keeps: its messages may be deleted unread') : '';
  return `${where}${state}${waits}${age}${risk}`;
}

export function replayFacts({ replays }: TableView): (readonly [string, string])[] {
  return replays.map((replay) => [replay.id, replayText(replay)]);
}

export function backfillFacts({ backfills }: TableView): (readonly [string, string])[] {
  return backfills.map((backfill) => [backfill.id, backfillText(backfill)]);
}

/** Old tables of resyncs, and when they go. */
export function keptFacts({ kept }: TableView): (readonly [string, string])[] {
  return kept.map(({ name, until }) => [
    'kept',
    `${name}, the old table of a resync, until ${until ?? 'you drop it: resync --drop-kept'}`,
  ]);
}

function backfillText({ status, target, rows, pruned, terms, copy, doing }: BackfillView): string {
  const gone = pruned === 0 ? '' : `, ${count(pruned)} deleted`;
  const done = status === 'running' ? copyLine({ copiedRows: rows, estimatedRows: null, copy }) : `${count(rows)} rows`;
  return `${status === 'running' ? chalk.cyan(status) : status}, ${done} into ${target}${gone}${waitOf(doing)}; ${describeBackfill(terms)}`;
}

function replayText({ status, target, rows, waiting, start, end }: ReplayView): string {
  const range = `offsets ${offsets(start)} to ${end === null ? 'where its copy is complete' : offsets(end)}`;
  const left = status === 'running' && waiting !== null ? `, ${count(waiting)} messages to go` : '';
  return `${status === 'running' ? chalk.cyan(status) : status}, ${count(rows)} rows into ${target}${left}; ${range}`;
}

function offsets(of: Readonly<Record<string, string>>): string {
  return Object.entries(of)
    .map((pair) => pair.join(':'))
    .join(',');
}

function why(reason: string | null): string {
  return reason === null ? '' : `: ${reason}`;
}
