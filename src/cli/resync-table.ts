import { randomUUID } from 'node:crypto';
import { parseTableName } from '../domain/table-name.js';
import { startAndFollow } from './backfill-table.js';
import { makeChange } from './change-loaders.js';
import type { Exit } from './exit-code.js';
import type { Session } from './session.js';

export interface ResyncOptions {
  readonly loader?: string;
  readonly keepOld?: boolean;
  readonly cancel?: boolean;
  readonly wait?: boolean;
}

/** Starts a resync and follows it to its end, or cancels one. */
export async function resyncTable(
  session: Session,
  table: string,
  { loader, keepOld = false, cancel = false, wait = true }: ResyncOptions,
): Promise<Exit> {
  if (cancel) return makeChange(session, table, { action: 'cancelResync', message: {} });
  const message = { ...(loader === undefined ? {} : { loader }), ...(keepOld ? { keepOld } : {}) };
  return startAndFollow(session, parseTableName(table), { action: 'resync', message, requestId: randomUUID() }, wait);
}
