import { describe, expect, it, vi } from 'vitest';
import { cancelBackfill, startBackfill } from '../../activities/change-backfills.js';
import { copySlice, copyTable } from '../../activities/copy-table.js';
import type { Deps } from '../../activities/deps.js';
import type { TableAddress } from '../../src/domain/receipt.js';
import { claimStage } from '../../src/ledger/stages.js';
import { swapShadow, takeShadow } from '../../src/clickhouse/shadow.js';
import { openResyncs, ROWS } from '../support/resyncs.js';
import { waitFor } from '../support/wait-for.js';

vi.setConfig({ testTimeout: 240_000 });

describe('a resync, when attempts die, freeze or come late', () => {
  const { path, add, begin, run, damage, tablesOf, onlyThose, resyncOf } = openResyncs();

  it('hides rows that an attempt from before inserts late', async () => {
    const orders = await add();
    const { table } = orders.name;
    const version = await orders.sink(`select toString(_version) from {target} where id = 5`);
    await path().source.query(`delete from ${table} where id = 5`);
    await orders.settle();
    await run(orders, await begin(orders));
    await orders.sink(
      `insert into {target} (id, v, _version) select 5, 'late', toUInt128('${version}') from numbers(1)`,
    );
    expect(await orders.expectEqual()).toBe(ROWS - 1);
  });

  it('that its workflow has forgotten goes on under the next request', async () => {
    const orders = await add();
    const stage = await begin(orders);
    await orders.slice(copyTable, stage, 10);
    const next = await orders.call(startBackfill, { resync: true, requestId: 'anew', running: [] });
    expect(next.stage).toBe(stage);
    await run(orders, stage);
    expect(await orders.expectEqual()).toBe(ROWS);
    expect(await tablesOf(orders)).toBe(onlyThose(orders));
  });

  it('goes on when its attempt dies between the copy, the renaming, the exchange and the ledger, while rows flow', async () => {
    const orders = await add();
    const { table } = orders.name;
    await damage(orders);
    const stage = await begin(orders);
    const live = { database: path().settings.clickhouse.database, table };
    const resync = await resyncOf(orders);
    let changes = 0;
    const change = async (): Promise<void> => {
      await path().source.query(`update ${table} set v = 'xx' where id = ${(changes += 1)}`);
      await orders.settle();
    };
    while ((await orders.slice(copySlice, stage, 10)).finished === false) await change();
    await change();
    expect(await takeShadow(path().deps.clickhouse, live, resync, 1n)).toBe('taken');
    await change();
    await swapShadow(path().deps.clickhouse, live, resync, 2n);
    await change();
    orders.forget();
    await change();
    await run(orders, stage);
    await change();
    expect(await orders.expectEqual()).toBe(ROWS);
    expect(await tablesOf(orders)).toBe(onlyThose(orders));
  });

  it('leaves nothing when its table is removed between the exchange and the ledger', async () => {
    const orders = await add();
    const { table } = orders.name;
    const stage = await begin(orders);
    while ((await orders.slice(copySlice, stage, 200)).finished === false);
    const live = { database: path().settings.clickhouse.database, table };
    await swapShadow(path().deps.clickhouse, live, await resyncOf(orders), 1n);
    await orders.remove(true);
    expect(await tablesOf(orders)).toBe('[]');
  });

  it('reads the table again when ClickHouse was started again without its last rows, and not otherwise', async () => {
    const orders = await add();
    const { table } = orders.name;
    const stage = await begin(orders);
    while ((await orders.slice(copySlice, stage, 200)).finished === false);
    await path().source.query(`update ${table} set v = 'xx' where id <= 100`);
    await orders.settle();
    const startedAgain = (): Promise<unknown> =>
      path().ledger.query(
        `update pg2click.stage set position = position || '{"filledSince": "2020-01-01T00:00:00Z"}' where table_id = $1 and stage = $2`,
        [orders.receipt.id, stage],
      );
    await startedAgain();
    await orders.sink(`alter table ${table}__r1 delete where id = 1 settings mutations_sync = 1`);
    expect((await orders.slice(copyTable, stage, 10_000)).finished).toBe(false);
    while ((await orders.slice(copySlice, stage, 200)).finished === false);
    await path().source.query(`update ${table} set v = 'xxx' where id <= 100`);
    await orders.settle();
    await startedAgain();
    expect((await orders.slice(copyTable, stage, 10_000)).finished).toBe(true);
    expect(await orders.expectEqual()).toBe(ROWS);
  });

  it('that was exchanged while it was cancelled counts as exchanged', async () => {
    const orders = await add();
    const { table } = orders.name;
    const stage = await begin(orders);
    while ((await orders.slice(copySlice, stage, 200)).finished === false);
    const { ledger, clickhouse } = path().deps;
    const live = { database: path().settings.clickhouse.database, table };
    const resync = await resyncOf(orders);
    const { id: tableId } = orders.receipt;
    let isSwapped = false;
    // Between the look of the one that cancels and its statement in the ledger.
    const late = Object.assign(Object.create(ledger) as typeof ledger, {
      query: async (...args: Parameters<typeof ledger.query>) => {
        const [text] = args as unknown as [string];
        if (!isSwapped && text.includes('set definition')) {
          isSwapped = true;
          const { epoch } = await claimStage(ledger, { tableId, stage, owner: 'late' });
          await swapShadow(clickhouse, live, resync, BigInt(epoch));
        }
        return ledger.query(...args);
      },
    });
    const cancel = (deps: Deps): Promise<void> =>
      orders.call((own, request: { backfill: string } & TableAddress) => cancelBackfill({ ...own, ...deps }, request), {
        backfill: stage,
      });
    await expect(cancel({ ledger: late } as Deps)).rejects.toMatchObject({ kind: 'Fenced' });
    await expect(cancel({} as Deps)).rejects.toMatchObject({ kind: 'Misconfigured' });
    await run(orders, stage);
    await path().source.query(`update ${table} set v = 'xx' where id = 1`);
    expect(await orders.expectEqual()).toBe(ROWS);
    expect(await tablesOf(orders)).toBe(onlyThose(orders));
  });

  for (const transport of ['kafka', 'direct'] as const)
    it(`over ${transport} waits until the live flow has loaded what came while it copied`, async () => {
      const orders = await add({ transport });
      const { table } = orders.name;
      const stage = await begin(orders);
      await orders.slice(copyTable, stage, 10);
      await path().source.query(`update ${table} set v = 'xx' where id % 100 = 1`);
      for (let slice = 1; slice <= 20; slice += 1)
        expect((await orders.slice(copyTable, stage, 100)).finished).toBe(false);
      if (transport === 'kafka') await orders.publish();
      expect((await orders.slice(copyTable, stage, 100)).finished).toBe(false);
      expect(await orders.sink(`select toString(uuid) from system.tables where name = '${table}'`)).toBe(
        (await resyncOf(orders)).replaces,
      );
      await orders.settle();
      expect((await orders.slice(copyTable, stage, 100)).finished).toBe(true);
      expect(await orders.expectEqual()).toBe(ROWS);
    });

  it('fences an attempt of the live flow that does not know of it', async () => {
    const orders = await add();
    await path().source.query(`update ${orders.name.table} set v = 'xx' where id = 1`);
    await orders.publish();
    let stage: string | undefined;
    const late: Partial<Deps> = {
      sink: (loader) => {
        const { clickhouse, ...rest } = path().deps.sink(loader);
        const insert: typeof clickhouse.insert = async (params) => {
          stage ??= await begin(orders);
          return clickhouse.insert(params);
        };
        const exec: typeof clickhouse.exec = async (params) => {
          stage ??= await begin(orders);
          return clickhouse.exec(params);
        };
        return { ...rest, clickhouse: Object.assign(Object.create(clickhouse) as typeof clickhouse, { insert, exec }) };
      },
    };
    // A slice may end before the broker has given it the message.
    const met = await waitFor(
      () =>
        orders.load(late).then(
          () => undefined,
          (error: unknown) => error,
        ),
      {
        deadlineMs: 30_000,
        what: 'a load of the change',
      },
    );
    expect(met).toMatchObject({ kind: 'Fenced' });
    await run(orders, stage ?? '');
    expect(await orders.expectEqual()).toBe(ROWS);
  });

  it('whose shadow somebody dropped parks with the way out, and nothing is lost', async () => {
    const orders = await add();
    const { table } = orders.name;
    const stage = await begin(orders);
    await orders.sink(`drop table ${table}__r1 sync`);
    await path().source.query(`update ${table} set v = 'z' where id = 1`);
    await expect(orders.settle()).rejects.toMatchObject({
      kind: 'SinkSetBack',
      message: expect.stringContaining('is gone') as string,
    });
    await orders.call(cancelBackfill, { backfill: stage });
    expect(await orders.expectEqual()).toBe(ROWS);
  });
});
