import { setTimeout as sleep } from 'node:timers/promises';
import type { ClickHouseClient } from '@clickhouse/client';
import type { Part } from '../domain/part.js';
import type { TargetTable } from '../domain/replicated-table.js';
import { formatTableName } from '../domain/table-name.js';
import { runningResync } from '../domain/resync.js';
import { generationOf, type Version } from '../domain/version.js';
import { Failure } from '../failure/failure.js';
import { copyAgainRemedy } from '../failure/remedies.js';
import { quoteCh } from '../domain/identifier.js';
import { findObject, select } from './catalog.js';
import { describeBehind, REPLICA_STATE, type ReplicaState } from './replica-state.js';
import { MARK_PREFIX, targetNames } from './names.js';
import type { PartsState, PartTracker } from './part-tracker.js';
import { sinkState } from './state.js';
import { deletesByTtl } from './storage-sql.js';
import { verifyTarget } from './target.js';

/** A replica of ClickHouse may be behind the one that answered before. */
const ATTEMPTS = 3;
const BETWEEN_ATTEMPTS_MS = 1_000;

/** What a target must hold. */
export interface Expected {
  /** The highest version that was confirmed; 0 for none. */
  readonly highest: Version;
  /** Of a copy that is done; 0 for none. */
  readonly copied: Version;
  /** Parts that were there. */
  readonly parts: readonly (Part | undefined)[];
}

/**
 * Compares what was confirmed with what ClickHouse holds: the highest version, and the parts that were there before.
 * @returns a part that is there now, to expect the next time; undefined where nothing was confirmed yet
 * @throws Failure `SinkSetBack`, `SchemaMismatch`, `TargetTaken`
 */
export async function verifySinkHistory(
  clickhouse: ClickHouseClient,
  tracker: PartTracker,
  table: TargetTable,
  expected: Expected,
): Promise<Part | undefined> {
  // After an ALTER to a narrower type ClickHouse would wrap values without an error.
  await verifyTarget(clickhouse, table);
  if (expected.highest === 0n) return undefined;
  for (let attempt = 1; ; attempt += 1) {
    const found = await inspectSink(clickhouse, tracker, table, expected);
    if (typeof found !== 'string') {
      await refuseHigherGeneration(clickhouse, table, found.highest);
      return found.newest;
    }
    // What is behind is not lost: it is waited for.
    await requireLevel(clickhouse, table.target);
    if (attempt >= ATTEMPTS)
      throw new Failure('SinkSetBack', {
        message: `${table.target.database}.${table.target.table} in ClickHouse ${found} for ${formatTableName(table.name)}.`,
      });
    await sleep(BETWEEN_ATTEMPTS_MS);
  }
}

/**
 * Only the newest life of a table writes to its target: rows of a later one are somebody else's, and no change would win over them. A
 * resync that is under way leaves them behind with the old table.
 * @throws Failure `TargetTaken`
 */
async function refuseHigherGeneration(
  clickhouse: ClickHouseClient,
  table: TargetTable,
  highest: Version,
): Promise<void> {
  if (generationOf(highest) <= table.generation) return;
  const loader = table.route?.loaders.find(({ name }) => name === table.loader);
  if (loader !== undefined && runningResync(loader) !== undefined) return;
  const { shown } = targetNames(table.target);
  const object = await findObject(clickhouse, table.target.database, table.target.table);
  const isOurs = object?.comment.startsWith(MARK_PREFIX) === true;
  throw new Failure('TargetTaken', {
    message: `The ClickHouse table ${shown} holds rows that pg2click did not write, and their _version wins over every change of ${formatTableName(table.name)}.`,
    remedy: copyAgainRemedy(table, {
      dropTarget: true,
      first: isOurs
        ? 'Find out who writes there.'
        : `Find out who writes there. Run truncate table ${shown} in ClickHouse.`,
    }),
  });
}

const REPLICATED = /^(?:Replicated|Shared)/u;

/**
 * On an engine with replicas: lets the replica that answers catch up with what the others have confirmed, and fails for what passes by
 * itself where it cannot.
 * @throws Failure `SinkUnavailable`
 */
async function requireLevel(clickhouse: ClickHouseClient, { database, table }: TargetTable['target']): Promise<void> {
  const object = await findObject(clickhouse, database, table);
  if (object === undefined || !REPLICATED.test(object.engine)) return;
  const shown = `${database}.${table}`;
  const what = `waiting for the replica of ${shown}`;
  const name = `${quoteCh(database)}.${quoteCh(table)}`;
  await select(
    clickhouse,
    /* sql */ `select 1 from ${name} limit 1 settings select_sequential_consistency = 1`,
    {},
    what,
  );
  const [state] = await select<ReplicaState>(clickhouse, REPLICA_STATE, { database, table }, what);
  const behind = state === undefined ? undefined : describeBehind(state);
  if (behind !== undefined)
    throw new Failure('SinkUnavailable', {
      message: `The replica of ${shown} in ClickHouse that answers ${behind}, so that it cannot tell what was confirmed.`,
      remedy:
        'Look at system.replicas and system.replication_queue there. The table goes on by itself when the replica is level.',
    });
}

/** @returns what is missing, as the middle of a sentence */
async function inspectSink(
  clickhouse: ClickHouseClient,
  tracker: PartTracker,
  table: TargetTable,
  { highest, copied, parts }: Expected,
): Promise<PartsState | string> {
  const state = await tracker.inspect(table.target, table.generation, parts, copied).catch(async (error: unknown) => {
    // The table was dropped in between: report that, and not the error of this query.
    if (error instanceof Failure && error.kind === 'SinkSetBack') await verifyTarget(clickhouse, table);
    throw error;
  });
  if (state.lost !== undefined)
    return `has lost the part ${state.lost.name}, and nothing that was merged from it is there: it held rows that were confirmed`;
  if (state.highest >= highest) return state;
  const sink = await sinkState(clickhouse, table.target);
  if ((sink.highest ?? 0n) >= highest) return state;
  // The newest change may be that of a row which expires first.
  const object = await findObject(clickhouse, table.target.database, table.target.table);
  if (deletesByTtl(object?.engineFull ?? '')) return state;
  const seen = parts.findLast((part) => part !== undefined);
  // The proof stays the part that was seen before the DELETE: from a newer one on, nothing would explain what is missing.
  if (await tracker.wasDeletedFrom(table.target, seen)) return { ...state, newest: seen ?? state.newest };
  return 'holds nothing of the newest batches that were confirmed';
}
