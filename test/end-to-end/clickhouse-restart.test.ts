import { rmSync } from 'node:fs';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { startStack, type Stack } from '../../dev/stack/stack.js';
import { again } from '../support/again.js';
import { environmentOf } from '../support/clients.js';
import { openPath, type Followed, type Path } from '../support/path.js';
import { freshName } from '../support/stack.js';
import { newStateDir } from '../support/state-dir.js';
import { waitFor } from '../support/wait-for.js';

const DEADLINE_MS = 30_000;
/** Longer than two starts of a server are told apart. */
const UPTIME_SECONDS = 7;
/** It outlasts a restart. */
const LONG_SLICE_MS = 15_000;

/** A power failure takes parts away that ClickHouse had acknowledged and not yet written to its disk. */
describe('ClickHouse that is started again', () => {
  const stateDir = newStateDir();
  let stack: Stack;
  let path: Path;
  let table: string;
  let followed: Followed;
  beforeAll(async () => {
    stack = await startStack({ stateDir, servers: ['clickhouse'], report: () => undefined });
    path = await openPath({ env: environmentOf({ clickhouse: stack.addresses.clickhouse }), sliceMs: 1_000 });
  });
  afterAll(async () => {
    await path.close();
    await stack.stop();
    rmSync(stateDir, { recursive: true, force: true });
  });
  const insert = (first: number): Promise<unknown> =>
    path.source.query(`insert into ${table} select i, 'v' from generate_series(${first}, ${first + 9}) i`);
  const add = async (options = {}): Promise<void> => {
    table = freshName('restart');
    await path.source.query(`create table ${table} (id int primary key, v text)`);
    await insert(1);
    followed = await path.add(table, options);
    await followed.copy();
    await followed.sink(`select 1 from {target} limit 0`);
    await path.deps.clickhouse.command({ query: `system stop merges ${followed.receipt.target}` });
  };
  const grow = async (): Promise<void> => {
    for (const first of [11, 21]) {
      await insert(first);
      await followed.settle();
    }
    await waitFor(async () => Number(await followed.sink('select uptime()')) >= UPTIME_SECONDS, {
      deadlineMs: DEADLINE_MS,
      what: 'the server to have run for a while',
    });
  };
  /** @param parts how many of the newest are lost */
  const restart = async (parts: number): Promise<void> => {
    const [database = '', name = ''] = followed.receipt.target.split('.');
    const paths = await followed.sink(
      `select path from system.parts where active and database = '${database}' and table = '${name}' order by min_block_number desc limit ${parts}`,
    );
    await stack.kill('clickhouse', 'SIGKILL');
    for (const lost of paths.split('\n').filter((each) => each !== '')) rmSync(lost, { recursive: true });
    await stack.start('clickhouse');
  };
  const count = async (): Promise<number> => Number(await followed.sink('select count() from {current}'));

  describe('with its newest parts gone', () => {
    beforeEach(() => add());

    it('gets what was loaded in the last minutes again', async () => {
      await grow();
      await restart(2);
      expect(await count()).toBe(10);
      expect(await again(() => followed.expectEqual())).toBe(30);
    });

    it('gets it again where the slice goes on', async () => {
      await grow();
      const loading = followed.load({}, LONG_SLICE_MS);
      await restart(2);
      await insert(31);
      await again(() => followed.publish());
      await again(() => loading);
      expect(await again(() => followed.expectEqual())).toBe(40);
    });

    it('parks where a part of the first load is gone too', async () => {
      await grow();
      await restart(3);
      await expect(again(() => followed.load())).rejects.toMatchObject({ kind: 'SinkSetBack' });
    });
  });

  it('goes on where nothing is lost, also where the messages have expired', async () => {
    await add({ partitions: 3 });
    await grow();
    const admin = path.deps.kafka.admin();
    await admin.connect();
    const offsets = await admin.fetchTopicOffsets(followed.topic);
    await admin.deleteTopicRecords({
      topic: followed.topic,
      partitions: offsets.map(({ partition, high }) => ({ partition, offset: high })),
    });
    await admin.disconnect();
    await restart(0);
    await insert(31);
    expect(await again(() => followed.expectEqual())).toBe(40);
  });

  it('repeats nothing in a materialized view', async () => {
    await add();
    const view = `${followed.receipt.target}_seen`;
    await path.deps.clickhouse.command({
      query: `create materialized view ${view} engine = MergeTree order by id as select id from ${followed.receipt.target}`,
    });
    await grow();
    await restart(0);
    await insert(31);
    await again(() => followed.expectEqual());
    expect(await followed.sink(`select count() from ${view}`)).toBe('30');
  });
});
