import type { Queryable } from '../../connect/queryable.js';
import type { BatchName } from '../../domain/batch.js';
import { isTree, type CaptureOptions } from '../../domain/replicated-table.js';
import { formatTableName, type TableName } from '../../domain/table-name.js';
import { classifyPostgres } from '../../failure/classify-postgres.js';
import { Failure } from '../../failure/failure.js';
import type { BatchSource } from '../../pipeline/batch.js';
import type { RowBatch, RowStream } from '../../pipeline/row-batch.js';
import type { StageContext } from '../../pipeline/stage.js';
import type { Capture, Inspection } from '../capture.js';
import { readServer } from '../catalog/catalog.js';
import { inspectTable } from '../catalog/inspect.js';
import { refuseLeftovers } from '../outbox/refuse-leftovers.js';
import { RowReader } from '../outbox/row-reader.js';
import type { OutboxRow } from '../outbox/steps.js';
import { StreamReader } from '../outbox/stream-reader.js';
import { countedText } from '../copy/counted-text.js';
import { allocatePosition } from '../settle.js';
import { readWalBacklog } from './backlog.js';
import { readIdentity, requireIdentity, requireIdentityOfParts, requireWholeRows } from './identity.js';
import { installWal, removeWal } from './install.js';
import { LogReader } from './log/log-reader.js';
import { requireMayPublish } from './publication.js';
import { requireWrites } from './refused-writes.js';
import { walSharing } from './sharing.js';
import { wrongLevel } from './slot.js';
import type { RowOffer } from './rows/hand-over.js';
import { rowChanges } from './rows/row-changes.js';
import { rowLines } from './rows/row-lines.js';
import { WalSource, type WalReading, type WalServices } from './wal-source.js';

const WAL = 'wal';

/**
 * The keys of changed rows are read from the WAL into the outbox, after the user's transaction: it pays nothing, and no trigger is made.
 * From the outbox on it is as with triggers.
 */
export const walCapture: Capture = {
  kind: WAL,
  inspect,
  refuseLeftovers,
  install: installWal,
  async remove(pg, table, options) {
    await removeWal(pg, table, options);
  },

  installationOf(table) {
    const key = table.key.map((name) => table.columns.find((column) => column.name === name));
    return JSON.stringify([table.relation, key, table.route.capture]);
  },

  allocatePosition: (pg, table) => allocatePosition(pg, table.id),
  backlog: readWalBacklog,
  sharing: walSharing,

  open(services, stage, content) {
    const byKey = new RowReader(services, content);
    const { rows, key } = content;
    // Of envelopes PostgreSQL makes the values.
    if (rows === 'keys' || rows === 'envelope') return openSource(services, stage, { byKey });
    // The stream has what is on the disk, and nothing else.
    const durable = (): Promise<void> => Promise.resolve();
    const ofRows = ({ batch, first }: RowOffer): RowBatch => ({
      changes: rowChanges(batch, first, { rows, key }),
      durable,
    });
    return openSource(services, stage, { byKey, ofRows });
  },
  openStream: (services, stage) =>
    openSource(
      services,
      stage,
      stage.table.route.capture.everyChange === true
        ? { byKey: new LogReader(services) }
        : { byKey: new StreamReader(services), ofRows: streamOf },
    ),
};

function streamOf({ batch, first }: RowOffer): RowStream {
  let count = 0;
  const lines = rowLines(batch, first, (rows) => (count = rows));
  return { rows: countedText(lines, () => count), floor: undefined, range: undefined };
}

/** The names of its batches are its own business. */
function openSource<Content>(
  services: WalServices,
  stage: StageContext,
  reading: WalReading<Content>,
): BatchSource<BatchName, Content> {
  const { byKey } = reading;
  // A partition is emptied or taken out without a word in the stream: a row of it that comes later would stay in the target.
  const safe = isTree(stage.table) ? { byKey } : reading;
  return new WalSource(services, stage as StageContext<OutboxRow>, safe) as BatchSource<BatchName, Content>;
}

async function inspect(pg: Queryable, name: TableName, options: CaptureOptions): Promise<Inspection> {
  const title = formatTableName(name);
  try {
    await requireServer(pg);
    // What happens to a partition as a whole is not sent, and a log has every change.
    const isLog = options.engine === 'log';
    const {
      triggerLevel: _level,
      subscribed: _subscribed,
      isTree,
      ...inspection
    } = await inspectTable(pg, name, { ...options, makes: isLog ? 'nothing' : 'publication' });
    const identity = await readIdentity(pg, inspection.relation);
    const table = { name, ...inspection };
    if (identity !== undefined) requireIdentity(table, identity);
    if (isTree) await requireIdentityOfParts(pg, table);
    if (identity !== undefined) await requireWrites(pg, table, identity, { isLog });
    await requireMayPublish(pg, table);
    if (!isLog) return { ...inspection, capture: { kind: WAL, ...(isTree ? { isTree } : {}) } };
    if (identity !== undefined) requireWholeRows(table, identity);
    return { ...inspection, capture: { kind: WAL, everyChange: true } };
  } catch (error) {
    throw classifyPostgres(error, `looking at ${title}`);
  }
}

async function requireServer(pg: Queryable): Promise<void> {
  const { inRecovery, publications } = await readServer(pg);
  if (inRecovery)
    throw new Failure('UnsuitableTable', {
      message: 'This PostgreSQL server is a standby: the keys that are read from the WAL cannot be written there.',
      remedy: 'Set the address of the primary.',
    });
  const [publication] = publications;
  if (publication !== undefined)
    throw new Failure('UnsuitableTable', {
      message: `The publication ${publication} would publish the tables of pg2click too, and stop its subscribers.`,
      remedy: 'Let the publication name its tables, or schemas other than pg2click.',
    });
  const found = await pg.query<{ level: string }>(/* sql */ `select pg_catalog.current_setting('wal_level') as level`);
  const level = found.rows[0]?.level;
  if (level !== 'logical') throw wrongLevel(undefined, level);
}
