import { parseTableName, shellName } from '../domain/table-name.js';
import { Failure } from '../failure/failure.js';
import { makeChange } from './change-loaders.js';
import type { Exit } from './exit-code.js';
import type { Session } from './session.js';

export function retryRows(session: Session, table: string, ids: readonly string[], _options: object): Promise<Exit> {
  return makeChange(session, table, { action: 'retryQuarantined', message: ids.length === 0 ? {} : { ids } });
}

/** @throws Failure `Misconfigured` unless rows are named, or all are meant */
export async function dropRows(
  session: Session,
  table: string,
  ids: readonly string[],
  { all = false }: { readonly all?: boolean },
): Promise<Exit> {
  if ((ids.length === 0) !== all)
    throw new Failure('Misconfigured', {
      message: 'Say which rows are to be dropped: their numbers, or --all.',
      remedy: `See them with "pg2click quarantine list ${shellName(parseTableName(table))}".`,
    });
  return makeChange(session, table, { action: 'dropQuarantined', message: all ? {} : { ids } });
}
