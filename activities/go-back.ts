import { readServerStart, feedsViews, wasRestarted } from '../src/clickhouse/server-start.js';
import { targetEngine } from '../src/clickhouse/target-engines.js';
import type { TargetTable } from '../src/domain/replicated-table.js';
import { loaderNamed } from '../src/domain/replicated-table.js';
import { loaderOf, MAIN_LOADER } from '../src/domain/route.js';
import { formatTableName } from '../src/domain/table-name.js';
import { notePosition, setStageBack } from '../src/ledger/stages.js';
import type { BatchWriter } from '../src/pipeline/batch.js';
import { retryTransient, SINK_RETRY } from '../src/pipeline/retry.js';
import type { StageContext } from '../src/pipeline/stage.js';
import { goBackTo, safePosition } from '../src/topic/earlier-positions.js';
import type { TopicRow } from '../src/topic/topic-source.js';
import type { Deps } from './deps.js';

/** Servers that answer under one address. */
const MOST_SERVERS = 16;

/** The server of the target was started while the slice ran: the stage is to be opened again. */
export class ServerRestarted extends Error {}

/**
 * After ClickHouse was started again it may lack what it had acknowledged and not yet written to its disk. So the loader goes back to
 * offsets that were confirmed some minutes before. Rows that are there already lose nothing by it: they arrive again with their
 * versions. Not where a repeat would do harm or cannot be read: plain MergeTree, materialized views, topics of others.
 * @returns the row of the stage to go on with
 */
export async function goBackIfRestarted(
  deps: Deps,
  { table, stage, slice, row, claim }: StageContext<TopicRow>,
  target: TargetTable,
  topic: string,
): Promise<{ readonly row: TopicRow; readonly isFollowed: boolean }> {
  const { clickhouse, parts } = deps.sink(target);
  const loader = loaderNamed(table, loaderOf(stage) ?? MAIN_LOADER);
  if (!targetEngine(loader).versions || table.route.capture.foreignTopic === true) return { row, isFollowed: false };
  const server = await retryTransient(slice, () => readServerStart(clickhouse), SINK_RETRY);
  const restarted = wasRestarted(server, row.position.servers);
  // Another worker may have gone back: parts that this one has seen since are gone, and their rows are yet to come.
  if (row.position.returns !== undefined) parts.forgetAbove(target.target, BigInt(row.position.highest ?? '0'));
  if (restarted === false) return { row, isFollowed: true };
  const others = Object.entries(row.position.servers ?? {}).filter(([id]) => id !== server.id);
  const servers = Object.fromEntries([...others.slice(1 - MOST_SERVERS), [server.id, server.startedAt]]);
  const safe = restarted === true ? safePosition(row.position, Date.now() - server.uptimeSeconds * 1_000) : undefined;
  if (safe === undefined || (await feedsViews(clickhouse, target.target))) {
    await notePosition(deps.ledger, claim, { servers });
    return { row: { ...row, position: { ...row.position, servers } }, isFollowed: true };
  }
  const reader = deps.reader(topic, { subscriber: `${table.id}/${stage}` });
  // From there on nothing is known to compare with: the topic must be what it was.
  using reading = await reader.start(row.position.offsets, {
    generation: table.generation,
    headers: row.position.headers,
  });
  const location = await reader.locate();
  const position = { ...goBackTo(row.position, safe, location?.offsets ?? {}), servers };
  await setStageBack(deps.ledger, claim, position);
  parts.forgetAbove(target.target, BigInt(position.highest ?? '0'));
  deps.log.warn(
    { table: formatTableName(table.name), stage, waiting: reading.waiting() },
    'ClickHouse was started again, and rows may be lost: what was loaded in the last minutes before is loaded again',
  );
  return { row: { ...row, position, pending: null, proof: null }, isFollowed: true };
}

/** A writer that ends with `ServerRestarted` where the server was started since the stage was opened. */
export function followRestarts<Content>(
  deps: Deps,
  target: TargetTable,
  { position }: TopicRow,
  writer: BatchWriter<Content>,
): BatchWriter<Content> {
  const { clickhouse } = deps.sink(target);
  return {
    retry: writer.retry,
    async verify(confirmed, proof) {
      if (wasRestarted(await readServerStart(clickhouse), position.servers) === true)
        throw new ServerRestarted(`The server of ${target.target.database}.${target.target.table} was started again.`);
      return writer.verify(confirmed, proof);
    },
    write: (name, content, options) => writer.write(name, content, options),
    rest: (written, tookMs, signal) => writer.rest(written, tookMs, signal),
  };
}
