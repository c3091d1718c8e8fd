import { randomUUID } from 'node:crypto';
import type { Client } from '@temporalio/client';
import chalk from 'chalk';
import type { CopyPriority } from '../domain/copy-priority.js';
import { count } from '../domain/figures.js';
import { given } from '../domain/given.js';
import { parseTableName, type TableName } from '../domain/table-name.js';
import type { Backfill } from '../../workflows/backfills.js';
import { bar } from './bar.js';
import { makeChange } from './change-loaders.js';
import { waitOf } from './copy-picture.js';
import type { Exit } from './exit-code.js';
import { openLiveText } from './live-text.js';
import { requestChange } from './request-change.js';
import { showAnswer } from './request.js';
import { withTemporal } from './servers.js';
import type { Session } from './session.js';
import { holdOf } from './hold-of.js';
import { pollStatus } from './poll-status.js';

export interface BackfillOptions {
  readonly from?: string;
  readonly to?: string;
  readonly where?: string;
  readonly prune?: boolean;
  readonly loader?: string;
  readonly priority?: CopyPriority;
  readonly cancel?: boolean;
  readonly backfill?: string;
  readonly wait?: boolean;
}

/** Starts a backfill and follows it to its end, or cancels one. */
export async function backfillTable(session: Session, table: string, options: BackfillOptions): Promise<Exit> {
  const { from, to, where, prune, loader, priority, cancel, backfill, wait = true } = options;
  if (cancel === true) {
    const message = backfill === undefined ? {} : { backfill };
    return makeChange(session, table, { action: 'cancelBackfill', message });
  }
  const message = given({ from, to, where, prune, loader, priority });
  const name = parseTableName(table);
  const requestId = randomUUID();
  return startAndFollow(session, name, { action: 'backfill', message, requestId }, wait);
}

/** @param wait until it has ended, and not only until it has begun */
export async function startAndFollow(
  session: Session,
  name: TableName,
  request: {
    readonly action: 'backfill' | 'resync';
    readonly message: object;
    readonly requestId: string;
  },
  wait: boolean,
): Promise<Exit> {
  return withTemporal(session, async ({ client }) => {
    const outcome = await requestChange(session, client, name, request);
    if (typeof outcome === 'string') return outcome;
    if (!wait) {
      session.print(session.json ? JSON.stringify(outcome) : `${chalk.green('✔')} ${outcome.message}`);
      return 'done';
    }
    return follow(session, client, name, request.requestId);
  });
}

interface Ended {
  readonly backfill: Backfill;
  readonly parked: string | undefined;
  /** Why it waits for a person, as a sentence. */
  readonly held: string | undefined;
}

/** Ctrl-C ends the watching, and nothing else. */
async function follow(session: Session, client: Client, name: TableName, requestId: string): Promise<Exit> {
  let picture = 'reading the table';
  const live = session.json ? undefined : openLiveText(process.stderr, (frame) => `${frame} ${picture}`);
  let ended: Ended | undefined;
  try {
    ended = await pollStatus<Ended>(session, client, name, (status, pending) => {
      const { backfills, parks } = status;
      const backfill = backfills.find((each) => each.requestId === requestId);
      if (backfill === undefined) return undefined;
      // What is known of it is as of the end of the last slice; the heartbeat of the running one knows more.
      const now = pending.find(({ task }) => task === backfill.stage)?.progress;
      const copy = now?.copy ?? backfill.copy?.progress;
      const { bytesDone = 0, bytes = 0, chunksDone = 0, chunks = 0 } = copy ?? {};
      const rows = now?.rows ?? backfill.copy?.rows ?? 0;
      picture = `${backfill.stage}  ${bar(bytesDone, bytes)}  ${count(rows)} rows, ${count(chunksDone)} of ${count(chunks)} chunks${waitOf(now?.moved ?? null)}`;
      const parked = parks.find(({ where }) => where === backfill.stage)?.message;
      const held = backfill.status === 'running' ? holdOf(status, name, backfill.stage, backfill.loader) : undefined;
      const runs = backfill.status === 'running' && parked === undefined && held === undefined;
      return runs ? undefined : { backfill, parked, held };
    });
  } finally {
    live?.close(false);
    if (session.signal.aborted) session.tell('No longer watching; it goes on. End it with --cancel.');
  }
  if (ended === undefined) return showAnswer(session, undefined);
  const { backfill, parked, held } = ended;
  const { rows = 0, pruned = 0 } = backfill.copy ?? {};
  if (session.json)
    session.print(JSON.stringify({ ...backfill, rows, pruned, parked: parked ?? null, waits: held ?? null }));
  else if (parked !== undefined) session.print(`${chalk.red('✖')} ${backfill.stage} is parked: ${parked}`);
  else if (held !== undefined) session.print(held);
  else {
    const gone = pruned === 0 ? '' : `, ${count(pruned)} deleted`;
    session.print(
      `${chalk.green('✔')} ${backfill.stage} is ${backfill.status}: ${count(rows)} rows into ${backfill.target}${gone}.`,
    );
  }
  if (parked !== undefined) return 'unhealthy';
  if (held !== undefined) return 'waiting';
  return backfill.status === 'finished' ? 'done' : 'failed';
}
