import { copyInsertSettings } from '../../src/clickhouse/insert-settings.js';
import { copyOut } from '../../src/source/copy/copy-out.js';
import { removeOutbox } from '../../src/source/outbox/install.js';
import { capture } from './captured.js';
import { ceilingOf, type Ceiling } from './ceiling.js';
import { timed } from './clock.js';
import { drainSteps } from './drain-ceiling.js';
import { count, type BenchEnvironment } from './environment.js';
import { createOrders, fillOrders } from './orders.js';

const TABLE = 'way_ceiling';
const OUTBOX_ID = '900003';

/** What the ways of a row are made of, bare, on the same servers and rows. */
export interface WayCeilings {
  /** The outbox joined to its table, as the two kinds of rows, to nowhere. */
  readonly drainText: Ceiling;
  readonly drainJson: Ceiling;
  /** The table as COPY text into one insert, as `psql -c 'copy ..' | curl` does it. */
  readonly copyPipe: Ceiling;
}

export async function wayCeilings(environment: BenchEnvironment, rows: number): Promise<WayCeilings> {
  const { postgres } = environment;
  await createOrders(postgres, TABLE);
  const table = await capture(postgres, TABLE, OUTBOX_ID);
  try {
    await fillOrders(postgres, TABLE, rows, environment);
    return {
      drainText: await drainSteps(environment, table, rows, { rows: 'text', key: false }),
      drainJson: await drainSteps(environment, table, rows, { rows: 'json', key: false }),
      copyPipe: await copyPipe(environment, rows),
    };
  } finally {
    await removeOutbox(postgres, table);
    await postgres.query(/* sql */ `drop table ${TABLE}`);
  }
}

async function copyPipe(environment: BenchEnvironment, rows: number): Promise<Ceiling> {
  const { clickhouse } = environment;
  await clickhouse.command({
    query: /* sql */ `create table ${TABLE} (id Int64, customer Int32, status String, total Decimal(12, 2), paid Bool,
      placed DateTime64(6, 'UTC'), shipped Nullable(DateTime64(6, 'UTC')), weight Nullable(Float64), note Nullable(String), tracking UUID)
      engine = MergeTree order by id`,
  });
  try {
    await using pg = await environment.connect('copy ceiling');
    const settings = await copyInsertSettings(clickhouse);
    const timing = await timed(environment, async () => {
      const { stream } = await clickhouse.exec({
        query: /* sql */ `insert into ${TABLE} format TabSeparated`,
        values: copyOut(pg, /* sql */ `copy ${TABLE} to stdout`),
        clickhouse_settings: settings,
        abort_signal: environment.signal,
      });
      stream.resume();
    });
    const there = await count(clickhouse, /* sql */ `select count() as n from ${TABLE}`);
    if (there !== rows) throw new Error(`${there} of ${rows} rows came through the pipe`);
    return ceilingOf('COPY | insert', rows, timing);
  } finally {
    await clickhouse.command({ query: /* sql */ `drop table ${TABLE} sync` });
  }
}
