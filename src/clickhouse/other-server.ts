import type { ClickHouseClient } from '@clickhouse/client';
import type { TargetTable } from '../domain/replicated-table.js';
import { Failure } from '../failure/failure.js';
import { findObject } from './catalog.js';
import { readSinkIdentity } from './identity.js';
import { targetNames } from './names.js';

/**
 * A target that is missing is no loss where this is another server than the one that it was made on: a worker has the address
 * of a wrong ClickHouse.
 * @throws Failure `WrongWorker`, or what was met
 */
export async function explainOtherServer(ch: ClickHouseClient, table: TargetTable, met: unknown): Promise<never> {
  if (!(met instanceof Failure) || met.kind !== 'SinkSetBack' || table.server === undefined) throw met;
  const { target, server } = table;
  if ((await findObject(ch, target.database, target.table)) !== undefined) throw met;
  const here = await readSinkIdentity(ch);
  if (here === server) throw met;
  throw new Failure('WrongWorker', {
    message: `${targetNames(target).shown} was made on the ClickHouse server ${server}, and this worker is connected to ${here}, which has no such table.`,
    cause: met,
  });
}
