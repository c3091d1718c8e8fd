import type { BatchName } from '../../domain/batch.js';
import type { BatchSource } from '../../pipeline/batch.js';
import type { StageContext } from '../../pipeline/stage.js';
import { saveFingerprint } from '../../ledger/tables.js';
import type { Capture } from '../capture.js';
import { inspectTable } from '../catalog/inspect.js';
import { allocatePosition } from '../settle.js';
import { readOutboxBacklog } from './backlog.js';
import { installOutbox, removeOutbox } from './install.js';
import { OutboxSource, type OutboxServices } from './outbox-source.js';
import type { OutboxReader } from './reader.js';
import { RowReader } from './row-reader.js';
import { StreamReader } from './stream-reader.js';
import type { OutboxRow } from './steps.js';
import { outboxSharing } from './sharing.js';
import { refuseLeftovers } from './refuse-leftovers.js';
import { refreshCapture } from './refresh.js';
import { captureFormOf } from './capture-form.js';

/** Triggers write the keys of changed rows into an outbox table, in the user's transaction. */
export const outboxCapture: Capture = {
  kind: 'outbox',

  async inspect(pg, name, options) {
    const { triggerLevel, isTree, subscribed: _, ...inspection } = await inspectTable(pg, name, options);
    const appliedRows = triggerLevel === 'statement';
    const form = { triggerLevel, ...(appliedRows ? { appliedRows } : {}), ...(isTree ? { isTree } : {}) };
    return { ...inspection, capture: { kind: 'outbox', ...form } };
  },

  refuseLeftovers,
  install: (pg, table, options) => installOutbox(pg, { ...table, ...captureFormOf(table) }, options),
  async renew(pg, ledger, table) {
    const before = { ...table, ...captureFormOf(table) };
    const fingerprint = await refreshCapture(pg, before, (text) => saveFingerprint(ledger, table.id, text));
    return fingerprint !== table.fingerprint;
  },

  remove: (pg, table, options) => removeOutbox(pg, table, options),

  installationOf(table) {
    const key = table.key.map((name) => table.columns.find((column) => column.name === name));
    return JSON.stringify([table.relation, key, table.route.capture]);
  },

  allocatePosition: (pg, table) => allocatePosition(pg, table.id),
  backlog: readOutboxBacklog,
  sharing: outboxSharing,

  open: (services, stage, content) => openSource(services, stage, new RowReader(services, content)),
  openStream: (services, stage) => openSource(services, stage, new StreamReader(services)),
};

/** The names of its batches are its own business. */
function openSource<Content>(
  services: OutboxServices,
  stage: StageContext,
  reader: OutboxReader<Content>,
): BatchSource<BatchName, Content> {
  return new OutboxSource(services, stage as StageContext<OutboxRow>, reader) as BatchSource<BatchName, Content>;
}
