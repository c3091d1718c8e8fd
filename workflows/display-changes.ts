import { plural } from '../src/domain/figures.js';
import { backfillLine, backfillsOf } from './backfills.js';
import { type Change, type Replay, replaysOf } from './changes.js';
import { describeChange } from './describe-change.js';
import { keptLine, keptOf } from './kept-tables.js';
import { plain } from './plain.js';
import type { TableState } from './table-state.js';
import { cancellingAction } from './withdraw-change.js';

/** Paragraphs about loaders and replays for the page of a table in the Temporal UI; none where there is nothing to say. */
export function changeLines(state: TableState): readonly string[] {
  const { change = null, changed = null, loaderPauses = {} } = state;
  const pauses = Object.entries(loaderPauses).map(([name, { since, reason }]) => {
    const why = reason === null ? '' : `: ${plain(reason)}`;
    return `Loader \`${name}\` is paused since ${since}${why}. Its messages wait in Kafka.`;
  });
  const refused =
    changed === null || changed.failure === null || change !== null
      ? []
      : [
          `> **${plain(changed.what ?? changed.task)}: refused (${changed.failure.kind})** at ${changed.at}\n>\n> ${plain(changed.message)}\n>\n> **What to do:** ${plain(changed.failure.remedy)}`,
        ];
  const pending = change === null ? [] : [pendingLine(change, state.pause !== null)];
  return [
    ...pauses,
    ...quarantineLines(state),
    ...pending,
    ...refused,
    ...replaysOf(state).map((replay) => replayLine(state, replay)),
    ...backfillsOf(state).map(backfillLine),
    ...keptOf(state).map(keptLine),
  ];
}

function pendingLine(change: Change, isPaused: boolean): string {
  const what = plain(describeChange(change));
  if (!isPaused) return `Being made since ${change.at}: ${what}.`;
  const action = cancellingAction(change);
  const way = action === null ? '' : `, the signal \`${action}\` withdraws it`;
  return `Waits since ${change.at}: ${what}. It goes on after the signal \`resume\`${way}.`;
}

function quarantineLines({ quarantined = 0 }: TableState): readonly string[] {
  if (quarantined === 0) return [];
  return [
    `> **${plural(quarantined, 'row')} in quarantine**: ClickHouse refuses them, and the others go on.\n>\n> **What to do:** ` +
      'see `pg2click quarantine list`. Correct the values in PostgreSQL: the correction clears them by itself. Or alter the ClickHouse table ' +
      'and send the signal `retryQuarantined`; `dropQuarantined` gives them up.',
  ];
}

function replayLine(state: TableState, { stage, target, start, end, status, at, endedAt, copied = 0 }: Replay): string {
  const range = `${rangeOf(start)} to ${end === null ? 'where its copy is complete' : rangeOf(end)}`;
  const { rows: loaded = 0, waiting = 0 } = state.stages[stage] ?? {};
  const rows = copied + loaded;
  const how =
    status === 'running'
      ? `${rows} rows so far, ${waiting} messages to go`
      : `${status} at ${endedAt ?? ''}, ${rows} rows`;
  return `\`${stage}\` into \`${target}\`, offsets ${range}, since ${at}: ${how}.`;
}

function rangeOf(offsets: Readonly<Record<string, string>>): string {
  return Object.entries(offsets)
    .map((pair) => pair.join(':'))
    .join(',');
}
