import type { ClickHouseClient } from '@clickhouse/client';
import type { ReplicatedTable, TargetTable } from '../domain/replicated-table.js';
import { Failure } from '../failure/failure.js';
import type { FailureKind } from '../failure/kinds.js';
import { findObject } from './catalog.js';
import { readSinkIdentity } from './identity.js';
import { isOwnMark, MARK_PREFIX, targetNames } from './names.js';

/** What a server that never had the target, or has one of somebody else under its name, looks like. */
const EXPLAINED: readonly FailureKind[] = ['SinkSetBack', 'SchemaMismatch'];

/**
 * A target that is missing is no loss where this is another server than the one that it was made on: a worker has the address
 * of a wrong ClickHouse.
 * @throws Failure `WrongWorker`, or what was met
 */
export async function explainOtherServer(ch: ClickHouseClient, table: TargetTable, met: unknown): Promise<never> {
  if (!(met instanceof Failure) || !EXPLAINED.includes(met.kind) || table.server === undefined) throw met;
  const { target, server } = table;
  const object = await findObject(ch, target.database, target.table);
  if (object !== undefined && isPossiblyOwn(object.comment, table)) throw met;
  const here = await readSinkIdentity(ch);
  if (here === server) throw met;
  throw new Failure('WrongWorker', {
    message: `${targetNames(target).shown} was made on the ClickHouse server ${server}, and this worker is connected to ${here}, where there is another table of that name, or none.`,
    remedy:
      'Stop the worker whose CH_URL or CH_HOST names another server: the table goes on by itself. If the server of before is ' +
      'lost for good, remove the table and add it again.',
    cause: met,
  });
}

/** A target that a user made has no mark. */
function isPossiblyOwn(comment: string, table: TargetTable): boolean {
  return !comment.startsWith(MARK_PREFIX) || isOwnMark(comment, table, 'table');
}

/**
 * Before a worker begins: at least one target of its tables is on its ClickHouse server, or was made there.
 * @param url the server's, for the sentence
 * @throws Failure `Misconfigured`
 */
export async function requireKnownSink(
  ch: ClickHouseClient,
  tables: readonly ReplicatedTable[],
  url: string,
): Promise<void> {
  const loaders = tables.flatMap(({ route }) => route.loaders).filter(({ connection }) => connection === undefined);
  const [first] = loaders;
  // Tables of an older release do not say where their targets are.
  if (first === undefined || loaders.some(({ server }) => server === undefined)) return;
  const here = await readSinkIdentity(ch);
  if (loaders.some(({ server }) => server === here)) return;
  for (const { target } of loaders) if ((await findObject(ch, target.database, target.table)) !== undefined) return;
  throw new Failure('Misconfigured', {
    message: `The targets of this pipeline, ${targetNames(first.target).shown} for one, were made on the ClickHouse server ${first.server}. The one at ${url} is ${here}, and has none of them.`,
    remedy:
      'Correct CH_URL or CH_HOST. If the server of before is lost for good, run "pg2click worker --new-clickhouse", then ' +
      'remove each table and add it again.',
  });
}
