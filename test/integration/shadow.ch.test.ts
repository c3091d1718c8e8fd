import { setTimeout as sleep } from 'node:timers/promises';
import type { ClickHouseClient } from '@clickhouse/client';
import { describe, expect, it, onTestFinished } from 'vitest';
import { dropLeft, findPlaces, keepOld, makeShadow, swapShadow, takeShadow } from '../../src/clickhouse/shadow.js';
import { createTarget } from '../../src/clickhouse/target.js';
import type { Resync } from '../../src/domain/resync.js';
import type { TargetTable } from '../../src/domain/replicated-table.js';
import { column, openSink, targetTableOf } from '../support/sink.js';

const COLUMNS = [column('id', 'bigint'), column('v', 'text', { nullable: true })];

describe('a shadow', async () => {
  const sink = await openSink('shadow');
  const { ch } = sink;

  const open = async (): Promise<{ live: TargetTable; resync: Resync }> => {
    const live = targetTableOf(sink, COLUMNS);
    await createTarget(ch, live);
    return { live, resync: await shadowOf(live) };
  };
  const shadowOf = async (live: TargetTable, after = 0): Promise<Resync> => {
    const made = await makeShadow(ch, live, after);
    return { ...made, requestId: 'r', state: 'filling' };
  };
  const createdAs = async (name: string): Promise<string> => {
    const found = await ch.query({
      query: `select create_table_query as q from system.tables where database = '${sink.database}' and name = '${name}'`,
      format: 'JSONEachRow',
    });
    const [row] = await found.json<{ q: string }>();
    return row?.q.replace(name, 'NAME') ?? '';
  };
  /** A client whose statements leave late, as those of a worker that is frozen now and then. */
  const stalling = (): ClickHouseClient => {
    const command: ClickHouseClient['command'] = async (params) => {
      await sleep(Math.random() < 0.5 ? 0 : Math.random() * 60);
      return ch.command(params);
    };
    return Object.assign(Object.create(ch) as ClickHouseClient, { command });
  };

  it('is like the live table in all but its rows: partitions, TTL, settings, markers and comment', async () => {
    const live = targetTableOf(sink, COLUMNS);
    const { table } = live.target;
    await ch.command({
      query: `create table ${sink.database}.${table} (id Int64, v Nullable(String) codec(ZSTD), at DateTime default now(), _version UInt128,
          _deleted UInt8, constraint pg2click_shape_1_2 assume 1)
        engine = ReplacingMergeTree(_version, _deleted) partition by id % 3 order by id ttl at + interval 9 year delete where _deleted = 0
        settings index_granularity = 1024 comment 'of mine'`,
    });
    const made = await makeShadow(ch, live, 0);
    expect(await createdAs(made.table)).toBe(await createdAs(table));
  });

  it('that an attempt left is made again, and a name that is taken is passed by', async () => {
    const { live, resync } = await open();
    const { table } = live.target;
    expect(resync.table).toBe(`${table}__r1`);
    const again = await shadowOf(live);
    expect(again).toMatchObject({ number: 1, table: resync.table });
    expect(again.uuid).not.toBe(resync.uuid);
    await keepOld(ch, live.target, { ...again, replaces: again.uuid }, `${again.table}_old`);
    expect(await shadowOf(live)).toMatchObject({ number: 2 });
    expect(await shadowOf(live, 7)).toMatchObject({ number: 8 });
  });

  it('is refused in a database without UUIDs', async () => {
    const live = targetTableOf({ ...sink, database: 'default' }, COLUMNS);
    onTestFinished(async () => {
      for (const [kind, name] of [
        ['view', `${live.target.table}_current`],
        ['table', `${live.target.table}_floor`],
        ['table', live.target.table],
      ] as const)
        await ch.command({ query: `drop ${kind} if exists default.${name}` });
    });
    await createTarget(ch, live);
    await expect(makeShadow(ch, live, 0)).rejects.toMatchObject({ kind: 'UnsuitableTable' });
  });

  it('is in the live place after any number of attempts at once that stall, and none of them swaps it back', async () => {
    for (let round = 1; round <= 20; round += 1) {
      const { live, resync } = await open();
      const { target } = live;
      let done = 0;
      const attempt = async (epoch: bigint): Promise<void> => {
        await sleep(Math.random() * 30);
        await swapShadow(stalling(), target, resync, epoch);
        done += 1;
        // From the first success on it stays there.
        expect((await findPlaces(ch, target, resync)).live).toBe(resync.uuid);
      };
      const ended = await Promise.allSettled([1n, 2n, 3n].map(attempt));
      for (const each of ended) if (each.status === 'rejected') expect(each.reason).toMatchObject({ kind: 'Fenced' });
      expect(done).toBeGreaterThan(0);
      await swapShadow(ch, target, resync, 4n);
      expect((await findPlaces(ch, target, resync)).live).toBe(resync.uuid);
      await dropLeft(ch, live, resync, resync.replaces);
      expect((await findPlaces(ch, target, { uuid: resync.replaces })).shadow).toBeUndefined();
    }
  });

  it('that is taken away by a cancel cannot be exchanged by an attempt that looked before', async () => {
    const { live, resync } = await open();
    const { target } = live;
    expect(await takeShadow(ch, target, resync, 1n)).toBe('taken');
    expect(await takeShadow(ch, target, resync, 2n)).toBe('taken');
    const late = ch.command({
      query: `exchange tables ${sink.database}.${target.table} and ${sink.database}.${resync.table}_1`,
    });
    await expect(late).rejects.toThrow(/does ?n.t exist|UNKNOWN_TABLE/u);
    await expect(swapShadow(ch, target, resync, 1n)).rejects.toMatchObject({ kind: 'Fenced' });
    await dropLeft(ch, live, resync, resync.uuid);
    await expect(swapShadow(ch, target, resync, 2n)).rejects.toMatchObject({ kind: 'SinkSetBack' });
    expect((await findPlaces(ch, target, resync)).live).toBe(resync.replaces);
  });

  it('that is the live table is never dropped as what is left', async () => {
    const { live, resync } = await open();
    await swapShadow(ch, live.target, resync, 1n);
    await dropLeft(ch, live, resync, resync.uuid);
    expect((await findPlaces(ch, live.target, resync)).live).toBe(resync.uuid);
  });
});
