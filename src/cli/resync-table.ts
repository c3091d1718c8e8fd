import { randomUUID } from 'node:crypto';
import type { CopyPriority } from '../domain/copy-priority.js';
import { given } from '../domain/given.js';
import { parseTableName } from '../domain/table-name.js';
import { startAndFollow } from './backfill-table.js';
import { makeChange } from './change-loaders.js';
import type { Exit } from './exit-code.js';
import type { Session } from './session.js';

export interface ResyncOptions {
  readonly loader?: string;
  readonly keep?: string;
  readonly dropKept?: boolean;
  readonly keepLonger?: string;
  readonly kept?: string;
  readonly priority?: CopyPriority;
  readonly cancel?: boolean;
  readonly wait?: boolean;
}

/** Starts a resync and follows it to its end, cancels one, or changes what becomes of its old table. */
export async function resyncTable(session: Session, table: string, options: ResyncOptions): Promise<Exit> {
  const { loader, keep, dropKept = false, keepLonger, kept: name, priority, cancel = false, wait = true } = options;
  if (cancel) return makeChange(session, table, { action: 'cancelResync', message: {} });
  if (dropKept) return makeChange(session, table, { action: 'dropKept', message: given({ name }) });
  if (keepLonger !== undefined)
    return makeChange(session, table, { action: 'keepLonger', message: given({ name, keep: keepLonger }) });
  const message = given({ loader, keep, priority });
  return startAndFollow(session, parseTableName(table), { action: 'resync', message, requestId: randomUUID() }, wait);
}
