import { isUtf8 } from 'node:buffer';
import type { Session } from 'chdb';
import { run, type Outcome } from './engine.js';
import type { Running } from './running.js';
import { literal } from './settings.js';
import type { Complete } from './spool.js';
import type { DataInsert, InputInsert } from './statement.js';

/**
 * Inserts a complete body. One read of the whole by the engine itself: up to about a million rows are one block,
 * as `max_insert_block_size` and its relatives say. When it returns, the rows are in a part in the data directory.
 *
 * @returns the outcome, with the rows that were parsed
 * @throws the engine's error
 */
export async function insertBody(
  session: Session,
  statement: DataInsert | InputInsert,
  body: Complete,
  running: Running,
): Promise<Outcome> {
  if ('path' in body) return run(session, insertSql(statement, body.path, running.mark), 'Null');
  const text = body.small.toString('utf8').trimEnd();
  const sql = `${running.mark} ${statement.before} ${statement.after} format ${statement.format}\n${text}`;
  // Of rows that are part of a statement the engine counts none.
  return { ...(await run(session, sql, 'Null')), rows: text.split('\n').length };
}

/**
 * Whether the rows may be part of the statement, which spares the engine half of its time for a few rows: there an empty line
 * ends them, and they are not counted. So one JSON object a line; where one looks as if it might be two, a file it is.
 */
export function fitsInStatement(
  statement: DataInsert | InputInsert,
  settings: ReadonlyMap<string, string>,
  body: Buffer,
): boolean {
  if (statement.kind !== 'data-insert' || statement.format !== 'JSONEachRow' || !isUtf8(body) || body.includes(0))
    return false;
  for (const name of ['input_format_allow_errors_num', 'input_format_allow_errors_ratio'])
    if (Number(settings.get(name) ?? 0) !== 0) return false;
  const lines = body.toString('latin1').trimEnd().split('\n');
  return lines.every((line) => line.startsWith('{') && line.endsWith('}') && !/\}\s*,?\s*\{/u.test(line));
}

function insertSql(statement: DataInsert | InputInsert, path: string, mark: string): string {
  const { before, after, format } = statement;
  switch (statement.kind) {
    case 'data-insert':
      return `${before}\n${mark} from infile ${literal(path)} ${after} format ${format}`;
    case 'input-insert':
      return `${before}\n${mark} file(${literal(path)}, ${literal(format)}, ${after}`;
  }
}
