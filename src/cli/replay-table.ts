import { randomUUID } from 'node:crypto';
import type { Client } from '@temporalio/client';
import chalk from 'chalk';
import { count } from '../domain/figures.js';
import { replayName } from '../domain/replay.js';
import { copyStage } from '../domain/route.js';
import { parseTableName, type TableName } from '../domain/table-name.js';
import { Failure } from '../failure/failure.js';
import type { Replay } from '../../workflows/changes.js';
import { bar } from './bar.js';
import { makeChange } from './change-loaders.js';
import type { Exit } from './exit-code.js';
import { openLiveText } from './live-text.js';
import { requestChange } from './request-change.js';
import { showAnswer } from './request.js';
import { withTemporal } from './servers.js';
import type { Session } from './session.js';
import { holdOf } from './hold-of.js';
import { pollStatus } from './poll-status.js';

export interface ReplayOptions {
  readonly from?: string;
  readonly to?: string;
  readonly loader?: string;
  readonly into?: string;
  readonly topicOnly?: boolean;
  readonly cancel?: boolean;
  readonly replay?: string;
  readonly wait?: boolean;
}

/** Starts a replay and follows it to its end, or cancels one. */
export async function replayTable(session: Session, table: string, options: ReplayOptions): Promise<Exit> {
  const { from, to, loader, into, topicOnly, cancel, replay, wait = true } = options;
  if (cancel === true) {
    const message = replay === undefined ? {} : { replay };
    return makeChange(session, table, { action: 'cancelReplay', message });
  }
  if (from === undefined)
    throw new Failure('Misconfigured', {
      message: 'A replay needs --from: where its range begins.',
      remedy: 'Give --from beginning, an offset or a time; or --cancel to end one.',
    });
  const fields = { from, to, loader, into, topicOnly };
  const message = Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as Record<
    string,
    string | boolean
  >;
  const name = parseTableName(table);
  const requestId = randomUUID();
  return withTemporal(session, async ({ client }) => {
    const outcome = await requestChange(session, client, name, { action: 'replay', message, requestId });
    if (typeof outcome === 'string') return outcome;
    if (!wait) {
      session.print(session.json ? JSON.stringify(outcome) : `${chalk.green('✔')} ${outcome.message}`);
      return 'done';
    }
    return follow(session, client, name, requestId);
  });
}

interface Ended {
  readonly replay: Replay;
  readonly rows: number;
  readonly parked: string | undefined;
  /** Why it waits for a person, as a sentence. */
  readonly held: string | undefined;
}

/** Ctrl-C ends the watching, and not the replay. */
async function follow(session: Session, client: Client, name: TableName, requestId: string): Promise<Exit> {
  let picture = 'copying the table';
  const live = session.json ? undefined : openLiveText(process.stderr, (frame) => `${frame} ${picture}`);
  let most = 0;
  let ended: Ended | undefined;
  try {
    ended = await pollStatus<Ended>(session, client, name, (status, pending) => {
      const { replays, stages, parks } = status;
      const replay = replays.find((each) => each.requestId === requestId);
      if (replay === undefined) return undefined;
      // Totals are as of the end of the last slice; the heartbeat of the running one knows more.
      const now = pending.find(({ task }) => task === replay.stage)?.progress;
      const copy = pending.find(({ task }) => task === copyStage(replayName(replay.stage)))?.progress;
      const copied = replay.copied ?? copy?.rows ?? 0;
      const rows = copied + (stages[replay.stage]?.rows ?? 0) + (now?.rows ?? 0);
      const waiting = now?.waiting ?? lengthOf(replay);
      most = Math.max(most, waiting, lengthOf(replay));
      picture = `${replay.stage}  ${bar(most - waiting, most)}  ${count(rows)} rows, ${count(waiting)} messages to go`;
      const parked = parks.find(({ where }) => replay.stages.some(({ id }) => id === where))?.message;
      const held =
        replay.status === 'running' ? holdOf(status, name, replay.stage, replayName(replay.stage)) : undefined;
      const runs = replay.status === 'running' && parked === undefined && held === undefined;
      return runs ? undefined : { replay, rows, parked, held };
    });
  } finally {
    live?.close(false);
    if (session.signal.aborted) session.tell('No longer watching; the replay goes on. End it with --cancel.');
  }
  if (ended === undefined) return showAnswer(session, undefined);
  const { replay, rows, parked, held } = ended;
  if (session.json) session.print(JSON.stringify({ ...replay, rows, parked: parked ?? null, waits: held ?? null }));
  else if (parked !== undefined) session.print(`${chalk.red('✖')} ${replay.stage} is parked: ${parked}`);
  else if (held !== undefined) session.print(held);
  else
    session.print(
      `${chalk.green('✔')} ${replay.stage} is ${replay.status}: ${count(rows)} rows into ${replay.target}.`,
    );
  if (parked !== undefined) return 'unhealthy';
  if (held !== undefined) return 'waiting';
  return replay.status === 'finished' ? 'done' : 'failed';
}

/** Messages in its range; 0 while its end is not known. */
function lengthOf({ start, end }: Replay): number {
  return Object.entries(end ?? {}).reduce((sum, [of, last]) => sum + Number(last) - Number(start[of] ?? last), 0);
}
