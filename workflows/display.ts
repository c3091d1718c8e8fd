import type { SearchAttributeName } from '../src/domain/search-attributes.js';
import type { TableAddress } from '../src/domain/receipt.js';
import { COPY_STAGE, type StageSpec } from '../src/domain/route.js';
import { clip } from '../src/domain/clip.js';
import { count } from '../src/domain/figures.js';
import { formatTableName } from '../src/domain/table-name.js';
import { CONFIGURE_TASK } from './route-change.js';
import { backfillsOf, priorityOf } from './backfills.js';
import { replaysOf } from './changes.js';
import { changeLines } from './display-changes.js';
import { keptOf } from './kept-tables.js';
import type { TableStatus } from './messages.js';
import { plain } from './plain.js';
import { type StageTotals, totalsOf } from './stage-totals.js';
import {
  failureOf,
  hasCopy,
  lagOf,
  phaseOf,
  stageSpecs,
  type TableState,
  type Task,
  type TaskFailure,
} from './table-state.js';

export function statusOf(state: TableState, address: TableAddress, running: readonly Task[]): TableStatus {
  return {
    ...address,
    phase: phaseOf(state),
    startedAt: state.startedAt,
    runs: state.runs,
    paused: state.pause,
    loaderPauses: state.loaderPauses ?? {},
    change: state.change ?? null,
    changed: state.changed ?? null,
    replays: replaysOf(state),
    backfills: backfillsOf(state),
    kept: keptOf(state),
    priority: priorityOf(state),
    quarantined: state.quarantined ?? 0,
    running,
    prepared: state.prepared,
    copied: state.copied,
    copying: state.copying?.[COPY_STAGE] ?? null,
    shape: state.shape ?? null,
    routeChange: state.routeChange ?? null,
    stages: Object.fromEntries([
      ...stageSpecs(state).flatMap((spec) => (isMoving(spec) ? [[spec.id, totalsOf(state, spec.id)]] : [])),
      // Those that ended, too.
      ...replaysOf(state).map(({ stage }) => [stage, totalsOf(state, stage)]),
    ]) as TableStatus['stages'],
    lagSeconds: lagOf(state),
    failure: failureOf(state),
    parks: state.parks,
    ignored: state.ignored,
    removal: state.lifecycle.step === 'removed' ? (state.lifecycle.receipt ?? null) : null,
  };
}

/** Characters. Names are at most 2 x 63 bytes, quoted twice that; the server takes 200 bytes. */
const SUMMARY_LIMIT = 150;

/** The label of an activity's bar in the timeline, at most 200 bytes. */
export function summaryOf(task: Task, state: TableState, address: TableAddress): string {
  const { checkpoint } = totalsOf(state, task);
  if (task === CONFIGURE_TASK)
    return `configure, ${state.routeChange?.step ?? ''} ${clip(formatTableName(address), SUMMARY_LIMIT)}`;
  const stage = stageSpecs(state).find(({ id }) => id === task);
  if (stage === undefined || !isMoving(stage)) return clip(`${task} ${formatTableName(address)}`, SUMMARY_LIMIT);
  return checkpoint === null ? `${task} from the start` : `${task} after batch ${checkpoint.batch}`;
}

/** Values of the search attributes; null unsets. */
export function searchAttributesOf(
  state: TableState,
  address: TableAddress,
): Readonly<Record<SearchAttributeName, string | number | null>> {
  return {
    Pg2clickTable: formatTableName(address),
    Pg2clickPipeline: address.pipeline,
    Pg2clickPhase: phaseOf(state),
    Pg2clickLagSeconds: Math.round(lagOf(state)),
    Pg2clickFailure: failureOf(state)?.kind ?? null,
  };
}

/** The page of a table in the Temporal UI, in Markdown. It is no event: it may change with every receipt. */
export function currentDetails(state: TableState, address: TableAddress): string {
  const target = state.prepared === null ? '' : ` → ClickHouse \`${state.prepared.target}\``;
  return [
    `### ${formatTableName(address)}${target}: **${phaseOf(state)}**`,
    pauseLine(state),
    ...troubles(state).map(troubleBlock),
    ...changeLines(state),
    copyLine(state),
    routeChangeLine(state),
    shapeLine(state),
    stageTable(state),
    state.ignored === null
      ? ''
      : `Ignored at ${state.ignored.at}: signal \`${state.ignored.name}\`. ${plain(state.ignored.problem)}`,
    footer(state),
  ]
    .filter((block) => block !== '')
    .join('\n\n');
}

function troubles(state: TableState): readonly TaskFailure[] {
  return state.lastTransientFailure === null ? state.parks : [...state.parks, state.lastTransientFailure];
}

function pauseLine({ pause }: TableState): string {
  if (pause === null) return '';
  const reason = pause.reason === null ? '' : `: ${plain(pause.reason)}`;
  return `Paused since ${pause.since}${reason}. Changes wait; none is lost.`;
}

function troubleBlock({ where, kind, message, remedy, since }: TaskFailure): string {
  return `> **${where}: ${kind}** since ${since}\n>\n> ${plain(message)}\n>\n> **What to do:** ${plain(remedy)}`;
}

function copyLine(state: TableState): string {
  const { copied, prepared, lifecycle: life } = state;
  if (copied !== null)
    return `First load: ${count(copied.rows)} rows, ${megabytes(copied.bytes)} in ${copied.seconds.toFixed(1)} s.`;
  if (life.step !== 'running' || !hasCopy(state)) return '';
  const { rows, progress } = state.copying?.[COPY_STAGE] ?? {};
  if (rows !== undefined && progress !== undefined) {
    const { chunks, chunksDone, bytes, bytesDone } = progress;
    const share = bytes === 0 ? '' : `, ${Math.floor((100 * bytesDone) / bytes)} %`;
    return `First load: under way, ${count(rows)} rows, ${count(chunksDone)} of ${count(chunks)} chunks${share}.`;
  }
  const guess = prepared?.estimatedRows ?? null;
  return `First load: under way${guess === null ? '' : `, about ${count(guess)} rows`}.`;
}

function routeChangeLine({ routeChange: change }: TableState): string {
  if (change === undefined) return '';
  const wish = Object.entries(change.options).map(([name, value]) => `${name} \`${String(value)}\``);
  return `Being changed since ${change.since}: ${wish.join(', ')} (${change.step}).`;
}

function shapeLine({ shape: change }: TableState): string {
  if (change === undefined) return '';
  const again = change.class === 'copy' ? ' The table is read again.' : '';
  return `Columns: shape ${change.shape} since ${change.notedAt}: ${plain(change.change)}.${again}`;
}

function stageTable(state: TableState): string {
  const rows = stageSpecs(state)
    .filter(isMoving)
    .map(({ id }) => stageRow(id, totalsOf(state, id)));
  if (rows.length === 0) return '';
  return [
    '| stage | last moved | rows | batches | bytes | waiting | lag |',
    '| --- | --- | ---: | ---: | ---: | ---: | ---: |',
    ...rows,
  ].join('\n');
}

function stageRow(stage: string, totals: StageTotals): string {
  const moved = totals.movedAt === null ? 'nothing yet' : `\`${totals.moved}\` at ${totals.movedAt}`;
  const { rows, batches, bytes, waiting, lagSeconds } = totals;
  return `| ${stage} | ${moved} | ${count(rows)} | ${count(batches)} | ${megabytes(bytes)} | ${count(waiting)} | ${Math.round(lagSeconds)} s |`;
}

/** It goes in batches for ever; a copy has a line of its own. */
function isMoving({ activity }: StageSpec): boolean {
  return activity !== 'copyTable';
}

function footer(state: TableState): string {
  const since = `Added ${state.startedAt}, run ${state.runs} of the workflow. Figures are as of the last slice.`;
  const phase = phaseOf(state);
  switch (phase) {
    case 'removed':
      return since;
    case 'removing':
      return `${since} What captures its changes goes; a topic stays.`;
    case 'paused':
    case 'parked':
      return `${since} Send the signal \`resume\` to go on, \`remove\` to end.`;
    case 'preparing':
    case 'copying':
    case 'configuring':
    case 'streaming':
      return `${since} Signals: \`pause\`, \`resume\`, \`configure\`, \`remove\`; each takes one JSON object, \`{}\` will do.`;
    default:
      return phase satisfies never;
  }
}

function megabytes(bytes: number): string {
  return bytes < 1_000_000 ? `${count(bytes / 1_000)} kB` : `${(bytes / 1_000_000).toFixed(1)} MB`;
}
