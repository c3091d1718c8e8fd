import type { CopyPriority } from '../domain/copy-priority.js';
import type { Exit } from './exit-code.js';
import { sendRequest } from './request.js';
import type { Session } from './session.js';

export function prioritizeTable(
  session: Session,
  table: string,
  priority: CopyPriority,
  _options: object,
): Promise<Exit> {
  return sendRequest(session, table, { action: 'prioritize', message: { priority } });
}
