import type { ReplicatedTable } from '../../src/domain/replicated-table.js';
import { composeVersion } from '../../src/domain/version.js';
import { byKeySql, SET_KEYS } from '../../src/source/by-key/by-key-sql.js';
import { BEGIN_READING, LOOK_UP_BY_INDEX } from '../../src/source/session.js';
import { ceilingOf, type Ceiling } from './ceiling.js';
import { timed } from './clock.js';
import { copyToNowhere } from './drain-ceiling.js';
import type { BenchEnvironment } from './environment.js';

/** As many as the loader takes at once. */
const BATCH_KEYS = 50_000;

/** The rows of all keys to nowhere: the loader's own statement, batch after batch, on one connection. */
export async function byKeyCeiling(
  environment: BenchEnvironment,
  table: ReplicatedTable,
  rows: number,
): Promise<Ceiling> {
  await using pg = await environment.connect('by key ceiling');
  const sql = byKeySql(table, { types: ['bigint'], names: ['id'], shape: table.shape });
  const timing = await timed(environment, async () => {
    for (let first = 1; first <= rows; first += BATCH_KEYS) {
      const keys = Array.from({ length: Math.min(BATCH_KEYS, rows - first + 1) }, (_, index) => {
        const version = composeVersion(table.generation, BigInt(first + index), BigInt(table.shape));
        return `{"id":${first + index},"_version":"${version}"}`;
      });
      await pg.query(`${BEGIN_READING};${LOOK_UP_BY_INDEX};set local enable_hashagg = off`);
      await pg.query(SET_KEYS, [Buffer.from(`[${keys.join(',')}]`)]);
      await copyToNowhere(pg, sql);
      await pg.query('commit');
    }
  });
  return ceilingOf('read by key to nowhere', rows, timing);
}
