import type { TableName } from '../../domain/table-name.js';
import { quotePg } from '../../domain/identifier.js';

/** What can happen to a table, each with a trigger of its own. */
export const OUTBOX_EVENTS = ['insert', 'update', 'delete', 'truncate'] as const;
export type OutboxEvent = (typeof OUTBOX_EVENTS)[number];

/** Everything of an outbox is named by the ledger id: a table's own name may already have all 63 bytes. */
export function outboxTable(id: string): string {
  return `pg2click.${quotePg(`outbox_${id}`)}`;
}

export function captureFunction(id: string, event: OutboxEvent): string {
  return `pg2click.${quotePg(`capture_${id}_${event}`)}`;
}

export function triggerName(id: string, event: OutboxEvent): string {
  return `pg2click_${id}_${event}`;
}

/** The column of the outbox that holds the key's column number `index`, from 0. */
export function keyColumn(index: number): string {
  return `k${index + 1}`;
}

export function qualified(name: TableName): string {
  return `${quotePg(name.schema)}.${quotePg(name.table)}`;
}
