import { afterAll, beforeAll } from 'vitest';
import { startBackfill } from '../../activities/change-backfills.js';
import { copyTable } from '../../activities/copy-table.js';
import type { CopyReceipt } from '../../src/domain/receipt.js';
import type { TableOptions } from '../../src/domain/replicated-table.js';
import type { Resync } from '../../src/domain/resync.js';
import { findTable } from '../../src/ledger/tables.js';
import { openPath, type Followed, type Path } from './path.js';
import { freshName } from './stack.js';

/** Four chunks of 1 MB. */
export const ROWS = 10_000;

/** Resyncs of tables of `ROWS` rows, slice by slice, on a path that is there for the whole file. */
export interface Resyncs {
  readonly path: () => Path;
  /** A table that is copied and equal. */
  readonly add: (options?: TableOptions) => Promise<Followed>;
  /** @returns its stage */
  readonly begin: (orders: Followed, requestId?: string, keep?: string) => Promise<string>;
  /** Slices until it has ended; the live flow moves between them. */
  readonly run: (orders: Followed, stage: string) => Promise<CopyReceipt>;
  /** Rows that are gone, changed, twice, and there without reason, one of them with a version above all of ours. */
  readonly damage: (orders: Followed) => Promise<void>;
  /** Names in ClickHouse that begin with that of the table. */
  readonly tablesOf: (orders: Followed) => Promise<string>;
  /** What `tablesOf` gives where nothing is left over. @param more endings of names */
  readonly onlyThose: (orders: Followed, ...more: readonly string[]) => string;
  /** As the ledger has it. @throws Error where there is none */
  readonly resyncOf: (orders: Followed) => Promise<Resync>;
}

export function openResyncs(): Resyncs {
  let path: Path;
  beforeAll(async () => {
    path = await openPath({ env: { PG2CLICK_COPY_CHUNK_MB: '1', PG2CLICK_COPY_READERS: '1' } });
  });
  afterAll(() => path.close());
  const add = async (options: TableOptions = {}): Promise<Followed> => {
    const table = freshName('orders');
    await path.source.query(`create table ${table} (id int primary key, v text)`);
    await path.source.query(
      `insert into ${table} (id, v) select i, repeat('x', 300) from generate_series(1, ${ROWS}) i`,
    );
    const orders = await path.add(table, options);
    await orders.copy();
    await orders.expectEqual();
    return orders;
  };
  let requests = 0;
  const begin = async (orders: Followed, requestId = `r${(requests += 1)}`, keep?: string): Promise<string> =>
    (await orders.call(startBackfill, { resync: true, keep, requestId })).stage;
  const run = async (orders: Followed, stage: string): Promise<CopyReceipt> => {
    for (;;) {
      const receipt = await orders.slice(copyTable, stage, 200);
      if (receipt.finished === true) return receipt;
      await orders.settle();
    }
  };
  const damage = async (orders: Followed): Promise<void> => {
    await orders.sink(`alter table {target} delete where id % 100 = 7 settings mutations_sync = 1`);
    await orders.sink(`alter table {target} update v = 'wrong' where id % 100 = 8 settings mutations_sync = 1`);
    await orders.sink(`insert into {target} select * from {target} where id % 100 = 9`);
    await orders.sink(`insert into {target} (id, v, _version) select -number, 'not in PostgreSQL', 5 from numbers(3)`);
    await orders.sink(
      `insert into {target} (id, v, _version) select 9, 'by hand', toUInt128('2') * toUInt128(pow(2, 126)) from numbers(1)`,
    );
  };
  const tablesOf = async (orders: Followed): Promise<string> =>
    orders.sink(
      `select arraySort(groupArray(name)) from system.tables
        where database = currentDatabase() and startsWith(name, '${orders.name.table}')`,
    );
  const onlyThose = ({ name: { table } }: Followed, ...more: string[]): string =>
    `[${[table, `${table}_current`, `${table}_floor`, ...more.map((each) => `${table}${each}`)]
      .toSorted()
      .map((each) => `'${each}'`)
      .join()}]`;
  const resyncOf = async (orders: Followed): Promise<Resync> => {
    const table = await findTable(path.ledger, path.settings.pipeline, orders.name);
    const resync = table?.route.loaders[0]?.resync;
    if (resync === undefined) throw new Error('no resync');
    return resync;
  };
  return { path: () => path, add, begin, run, damage, tablesOf, onlyThose, resyncOf };
}
