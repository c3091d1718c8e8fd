import type { Followed, Path } from './path.js';
import { freshName } from './stack.js';

export const LOG = { capture: 'wal', engine: 'log' } as const;

/** A table whose old rows are whole in the WAL. @returns its name */
export async function createWhole(path: Path, columns: string): Promise<string> {
  const table = freshName('log');
  await path.source.query(`create table ${table} (${columns}); alter table ${table} replica identity full`);
  return table;
}

/** All rows of a log, when nothing waits any more. */
export async function rowsOf(followed: Followed, columns: string, order = '_seq'): Promise<string[]> {
  await followed.settle();
  const text = await followed.sink(`select ${columns} from {target} order by ${order}`);
  return text === '' ? [] : text.split('\n');
}
