import { setTimeout as sleep } from 'node:timers/promises';
import { chalkStderr } from 'chalk';
import { viewTable, type TableView, type ViewSource } from '../control/table-view.js';
import { sqlName, shellName, type TableName } from '../domain/table-name.js';
import { copyLine, waitOf } from './copy-picture.js';
import type { Exit } from './exit-code.js';
import { openLiveText } from './live-text.js';
import { viewSource, type Servers } from './servers.js';
import type { Session } from './session.js';

/** A small table streams within a second: at first the view is often refreshed. */
const EVERY_MS = { first: 50, later: 400 };
const FIRST_MS = 5_000;
/** A query costs a worker a task. */
const QUERY_EVERY_MS = 1_500;
/** A worker that does not answer for this long is gone: the table waits for the next one. */
const SILENCE_MS = 15_000;
/** Without a terminal a line is written when something else happens, and this often. */
const REPEAT_MS = 15_000;

export interface FollowedEnd {
  readonly end: Exit;
  readonly view: TableView | undefined;
}

export interface FollowOptions {
  readonly signal: AbortSignal;
  readonly onView: (view: TableView | undefined) => void;
  /** Milliseconds between two looks: in the first seconds, and later. */
  readonly everyMs?: { readonly first: number; readonly later: number };
  /** A worker that does not answer for this long is gone. */
  readonly silenceMs?: number;
}

/** Looks at a table again and again until it streams, is parked, is paused, or ends. */
export async function followTable(
  source: ViewSource,
  name: TableName,
  { signal, onView, everyMs = EVERY_MS, silenceMs = SILENCE_MS }: FollowOptions,
): Promise<FollowedEnd> {
  const startedAt = Date.now();
  let answeredAt = startedAt;
  let queriedAt = startedAt;
  for (let asks = false; ;) {
    signal.throwIfAborted();
    const view = await viewTable(source, name, { asks });
    const now = Date.now();
    if (asks) queriedAt = now;
    if (view?.answering === true) answeredAt = now;
    onView(view);
    const end = endOf(view) ?? (now - answeredAt > silenceMs ? 'waiting' : undefined);
    // Why it is parked, only the workflow knows.
    if (end === 'done' || (end !== undefined && asks)) return { end, view };
    asks = end !== undefined || now - queriedAt > QUERY_EVERY_MS;
    const pauseMs = now - startedAt < FIRST_MS ? everyMs.first : everyMs.later;
    if (end === undefined) await sleep(pauseMs, undefined, { signal });
  }
}

/**
 * Shows a table's first load, or a change of its route, until it streams, is parked, is paused, or ends.
 * @returns how that went; a park or an end is explained to the person
 */
export async function watchTable(session: Session, servers: Servers, name: TableName): Promise<Exit> {
  const { signal } = session;
  const show = shower(session);
  const title = sqlName(name);
  try {
    const onView = (view: TableView | undefined): void => show.view(view, title);
    const { end, view } = await followTable(viewSource(session, servers), name, { signal, onView });
    show.close();
    explain(session, view, end, name);
    return end;
  } finally {
    show.close();
    if (signal.aborted) session.tell(`No longer watching; ${title} goes on by itself.`);
  }
}

function endOf(view: TableView | undefined): Exit | undefined {
  const phase = view?.phase;
  switch (phase) {
    case 'streaming':
    case 'paused':
      return 'done';
    case 'parked':
      return 'unhealthy';
    case undefined:
    case 'stopped':
    case 'removing':
    case 'removed':
      return 'failed';
    case 'preparing':
    case 'copying':
    case 'configuring':
    case 'unknown':
      return undefined;
    default:
      return phase satisfies never;
  }
}

/** Why a table does not stream, or that it does. */
export function explain(session: Session, view: TableView | undefined, end: Exit, name: TableName): void {
  const title = sqlName(name);
  if (end === 'waiting')
    session.tell(`No worker answers any more: ${title} goes on as soon as one runs. Start one: pg2click worker`);
  else if (view?.phase === 'streaming')
    session.tell(`${chalkStderr.green('✔')} ${title} is streaming. Look at it: pg2click status ${shellName(name)}`);
  else if (view?.phase === 'removing')
    session.tell(`${title} is being removed. See what it waits for: pg2click status ${shellName(name)}`);
  else if (view === undefined || ['stopped', 'removed'].includes(view.phase))
    session.tell(`${title} is not replicated any more: its workflow was ended or removed meanwhile.`);
  else if (view.phase === 'paused')
    session.tell(`${title} is paused; "pg2click resume ${shellName(name)}" lets it go on.`);
  else if (view.failure !== null && view.phase === 'parked') {
    session.tell(`${chalkStderr.red('✖')} ${title} is parked (${view.failure.kind}): ${view.failure.message}`);
    session.tell(`  ${view.failure.remedy}`);
  }
}

/** What a first load looks like in one line. */
export function lineOf(view: TableView | undefined, title: string): string {
  if (view === undefined) return `${title}  starting`;
  const { failure } = view;
  const trouble =
    failure?.retrying !== true || failure.attempt === null
      ? ''
      : `  ${chalkStderr.yellow(`retrying (attempt ${failure.attempt}): ${failure.message}`)}`;
  const rows = view.phase === 'copying' ? `  ${copyLine(view)}${waitOf(view.doing)}` : '';
  const doing =
    (view.phase === 'preparing' || view.phase === 'configuring') && trouble === '' && view.doing !== null
      ? `  ${view.doing}`
      : '';
  return `${view.table}  ${view.phase}${rows}${doing}${trouble}`;
}

interface Shower {
  view(view: TableView | undefined, title: string): void;
  close(): void;
}

function shower(session: Session): Shower {
  if (session.json) return { view: () => undefined, close: () => undefined };
  const startedAt = Date.now();
  let line = '';
  const live = openLiveText(process.stderr, (frame) =>
    line === '' ? '' : `${chalkStderr.cyan(frame)} ${line}  ${Math.floor((Date.now() - startedAt) / 1_000)} s`,
  );
  if (live === undefined) return lines(session);
  return {
    view: (view, title) => (line = lineOf(view, title)),
    close: () => live.close(false),
  };
}

function lines(session: Session): Shower {
  let last = { subject: '', at: 0 };
  return {
    view(view, title) {
      // Why it is parked is told at the end, and not in its line.
      const trouble = view?.failure?.retrying === true ? view.failure.message : '';
      const subject = `${view?.phase ?? ''} ${trouble}`;
      if (subject === last.subject && Date.now() - last.at < REPEAT_MS) return;
      last = { subject, at: Date.now() };
      session.tell(lineOf(view, title));
    },
    close: () => undefined,
  };
}
