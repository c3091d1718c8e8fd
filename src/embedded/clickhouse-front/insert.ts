import type { Session } from 'chdb';
import { run, type Outcome } from './engine.js';
import type { Running } from './running.js';
import { literal } from './settings.js';
import type { Spooled } from './spool.js';
import type { DataInsert, InputInsert } from './statement.js';

/**
 * Inserts a spooled body. One read of the whole file by the engine itself: up to about a million rows are one block,
 * as `max_insert_block_size` and its relatives say. When it returns, the rows are in a part in the data directory.
 *
 * @throws the engine's error
 */
export async function insertFile(
  session: Session,
  statement: DataInsert | InputInsert,
  spooled: Spooled,
  running: Running,
): Promise<Outcome> {
  return run(session, insertSql(statement, spooled.path, running.mark), 'Null');
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
