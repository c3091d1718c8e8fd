import { connectKafka } from '../connect/kafka.js';
import { withTimeout } from '../connect/with-timeout.js';
import type { TableView } from '../control/table-view.js';
import { createLogger } from '../observe/log.js';
import { withAdmin } from '../topic/admin.js';
import { findLate } from '../topic/retention.js';
import type { Session } from './session.js';

/** Kafka is only asked by the way: without an answer the view says what the ledger knows. */
const ANSWER_MS = 3_000;

/** The view of a table, with what Kafka knows of its loaders: whether one is so far behind that messages may be deleted unread. */
export async function withLateLoaders({ settings }: Session, view: TableView): Promise<TableView> {
  const { topic, loaders } = view;
  if (topic === null || loaders.length === 0) return view;
  try {
    const kafka = connectKafka(settings, createLogger({ ...settings.log, level: 'silent' }));
    const places = loaders.map(({ offsets }) => ({ topic, offsets: offsets ?? {} }));
    const late = await withTimeout(
      withAdmin(kafka, (admin) => findLate(admin, places, settings.kafka.retentionMs)),
      ANSWER_MS,
      () => new Error('Kafka did not answer in time'),
    );
    return { ...view, loaders: loaders.map((loader, index) => ({ ...loader, late: late[index] ?? null })) };
  } catch {
    return view;
  }
}
