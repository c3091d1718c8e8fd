import { isRowId, MOST_IDS } from '../domain/quarantine.js';
import { clip } from '../domain/clip.js';
import { count } from '../domain/figures.js';
import { parseTableName, shellName } from '../domain/table-name.js';
import { Failure } from '../failure/failure.js';
import { makeChange } from './change-loaders.js';
import type { Exit } from './exit-code.js';
import type { Session } from './session.js';

/** @throws Failure `Misconfigured` for what is no id */
export async function retryRows(
  session: Session,
  table: string,
  ids: readonly string[],
  _options: object,
): Promise<Exit> {
  requireIds(table, ids);
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
  requireIds(table, ids);
  return makeChange(session, table, { action: 'dropQuarantined', message: all ? {} : { ids } });
}

function requireIds(table: string, ids: readonly string[]): void {
  const list = `pg2click quarantine list ${shellName(parseTableName(table))}`;
  const other = ids.find((id) => !isRowId(id));
  if (other !== undefined)
    throw new Failure('Misconfigured', { message: `"${clip(other, 50)}" is no id: "${list}" shows them.` });
  if (ids.length > MOST_IDS)
    throw new Failure('Misconfigured', {
      message: `${count(ids.length)} ids are too many for one command: it takes ${count(MOST_IDS)}.`,
      remedy: 'Give them to several commands, or none to mean all rows.',
    });
}
