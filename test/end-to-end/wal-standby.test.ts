import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import pg from 'pg';
import { openDeps } from '../../activities/deps.js';
import { isEqual } from '../../dev/compare/compare.js';
import { startStack, type Stack } from '../../dev/stack/stack.js';
import type { Failure } from '../../src/failure/failure.js';
import { again } from '../support/again.js';
import { runCli } from '../support/cli.js';
import { openHarness } from '../support/harness.js';
import { letReadWal } from '../support/least-role.js';
import { openPath, type Followed, type Path } from '../support/path.js';
import { openPair, type PostgresPair } from '../support/postgres-pair.js';
import { addressOf, freshSink, waitFor } from '../support/stack.js';
import { newStateDir } from '../support/state-dir.js';

const TABLE = 'orders';
const OPTIONS = { capture: 'wal', transport: 'direct' } as const;
/** Without those that a standby of PostgreSQL 17 and later copies. */
const SLOTS = `select from pg_replication_slots s where slot_type = 'logical' and to_jsonb(s) ->> 'synced' is distinct from 'true'`;
const WRITING_MS = 20_000;
const KILL_EVERY_MS = 2_500;
const SETTLE_MS = 120_000;

let stack: Stack;
let pair: PostgresPair;
let env: { readonly PG_WAL_ADDRESS: string };
beforeEach(async () => {
  stack = await startStack({ stateDir: newStateDir(), servers: ['postgres'], report: () => undefined });
  pair = await openPair(stack.addresses.postgres);
  env = { PG_WAL_ADDRESS: `${pair.standby.host}:${pair.standby.port}` };
});
afterEach(async () => {
  await pair.close();
  await stack.stop();
});

describe('the WAL is read from a standby', () => {
  let path: Path;
  let followed: Followed;
  const write = (note: string): Promise<unknown> =>
    path.source.query(
      `insert into ${TABLE} select max(id) + 1, '${note}' from ${TABLE}; update ${TABLE} set v = '${note}' where id % 7 = 0;
      delete from ${TABLE} where id = (select min(id) from ${TABLE}); update ${TABLE} set id = -id where id = (select max(id) - 1 from ${TABLE})`,
    );
  const slots = async (there: Pick<Path['deps']['source'], 'query'>): Promise<number> =>
    (await there.query(SLOTS)).rowCount ?? 0;

  beforeEach(async () => {
    path = await openPath({ wal: true, owner: pair.address, env });
    await path.source.query(`create table ${TABLE} (id int primary key, v text);
      insert into ${TABLE} select i, 'first' from generate_series(1, 500) i`);
    followed = await path.add(TABLE, OPTIONS);
    await followed.copy();
    await write('before');
    expect(await followed.expectEqual()).toBe(500);
  });
  afterEach(() => path.close());

  it('and the primary has no slot: all changes come, also while the standby is killed, and the slot goes with the last table', async () => {
    expect([await slots(path.deps.source), await slots(path.deps.wal.slots as Path['deps']['source'])]).toEqual([0, 1]);
    for (let round = 0; round < 3; round++) {
      const writer = await path.session();
      let isWriting = true;
      const writing = (async () => {
        for (let n = 0; isWriting; n++)
          await writer.query(
            `insert into ${TABLE} values (${10_000 * (round + 1) + n}, 'load'); update ${TABLE} set v = v || '.' where id % 50 = ${n % 50}; delete from ${TABLE} where id < 10000 and id % 91 = ${n % 91}`,
          );
      })();
      await again(() => followed.direct());
      await pair.restartStandby();
      await again(() => followed.direct());
      isWriting = false;
      await writing;
    }
    expect(await again(() => followed.expectEqual())).toBeGreaterThan(100);
    await again(() => followed.remove());
    expect(await slots(path.deps.wal.slots as Path['deps']['source'])).toBe(0);
  });

  it('that becomes the primary, and had everything: reading goes on', async () => {
    await write('carried');
    await followed.expectEqual();
    await pair.catchUp();
    await pair.failOver();
    await path.reconnect();
    await write('after');
    expect(await again(() => followed.expectEqual())).toBe(500);
  });

  it('that becomes the primary, and lacked the last seconds: nothing that it lacked is left in ClickHouse', async () => {
    await pair.isolate();
    await write('lost');
    // What is not on the standby is not read.
    await again(() => followed.direct());
    expect(await followed.sink(`select count() from {current} where v = 'lost'`)).toBe('0');
    await pair.failOver();
    await path.reconnect();
    await write('other');
    // It had nothing that is gone.
    expect(await again(() => followed.expectEqual())).toBe(500);
    await write('after');
    expect(await again(() => followed.expectEqual())).toBe(500);
  });

  it('that becomes the primary, and lacked what was moved of what it had: the table parks, and the command that is printed heals it', async () => {
    const holder = await path.session();
    // Nothing is moved.
    await holder.query('begin; select from pg2click.wal_reader for update');
    await write('moved');
    await pair.catchUp();
    await pair.isolate();
    await holder.query('rollback');
    await waitFor(
      async () => {
        await again(() => followed.direct());
        return (await followed.sink(`select count() > 0 from {current} where v = 'moved'`)) === '1';
      },
      { deadlineMs: 30_000, what: 'it is moved' },
    );
    await pair.failOver();
    await path.reconnect();
    await write('other');
    const failure = (await again(() => followed.direct()).catch((error: unknown) => error)) as Failure;
    expect(failure).toMatchObject({ kind: 'LedgerSetBack' });
    expect(failure.remedy).toContain(`pg2click remove public.${TABLE}, then pg2click add public.${TABLE}`);
    await again(() => followed.remove());
    followed = await path.add(TABLE, OPTIONS);
    await followed.copy();
    await write('after');
    expect(await again(() => followed.expectEqual())).toBe(500);
  });
});

it('a table whose slot is at the primary parks when the settings name a standby, and the command that is printed heals it', async () => {
  const path = await openPath({ wal: true, owner: pair.address });
  const before = { ...path.deps };
  try {
    await path.source.query(
      `create table ${TABLE} (id int primary key, v text); insert into ${TABLE} values (1, 'a'), (2, 'b')`,
    );
    let followed = await path.add(TABLE, OPTIONS);
    await followed.copy();
    expect(await followed.expectEqual()).toBe(2);
    await before.wal.close();
    const { host, port } = pair.standby;
    const wal = { ...path.settings.postgres, host, port, address: 'PG_WAL_ADDRESS' } as const;
    Object.assign(path.deps, openDeps({ ...path.settings, wal }, path.deps.log));
    await path.source.query(`insert into ${TABLE} values (3, 'c'); delete from ${TABLE} where id = 1`);
    const failure = (await again(() => followed.direct()).catch((error: unknown) => error)) as Failure;
    expect(failure).toMatchObject({ kind: 'SourceChanged' });
    await again(() => followed.remove());
    followed = await again(() => path.add(TABLE, OPTIONS));
    await followed.copy();
    await path.source.query(`insert into ${TABLE} values (4, 'd')`);
    expect(await again(() => followed.expectEqual())).toBe(3);
    expect((await path.source.query(SLOTS)).rowCount).toBe(0);
    expect((await path.deps.wal.slots.query(SLOTS)).rowCount).toBe(1);

    // It was promoted, and the primary goes on.
    const standby = new pg.Client(pair.standby);
    await standby.connect();
    await standby.query('select pg_promote()');
    await standby.end();
    await path.source.query(`insert into ${TABLE} values (5, 'e')`);
    await expect(followed.direct()).rejects.toMatchObject({
      kind: 'SourceUnavailable',
      message: expect.stringContaining('is no standby any more') as string,
    });
  } finally {
    await before.close();
    await path.close();
  }
});

it('the WAL is read from a standby with kill -9 of the worker, and both sides are equal', async () => {
  const clickhouse = await freshSink('standby');
  const harness = await openHarness(
    { postgres: pair.address, kafka: addressOf('kafka'), clickhouse, temporal: addressOf('temporal') },
    {},
    env,
  );
  try {
    await letReadWal(pair.address);
    const source = await harness.connect();
    expect((await runCli(['init'], { env: harness.environment })).stdout).toContain('the WAL is read there');
    const elsewhere = { ...harness.environment, PG_WAL_ADDRESS: `${pair.address.host}:${pair.address.port}` };
    expect((await runCli(['init'], { env: elsewhere })).stdout).toContain('it is the server of PG_HOST');
    await source.query(`create table ${TABLE} (id int primary key, v text);
      insert into ${TABLE} select i, 'first' from generate_series(1, 5000) i`);
    await harness.add({ schema: 'public', table: TABLE, ...OPTIONS });
    let [isWriting, changes, kills] = [true, 0, 0];
    const writing = (async () => {
      for (const until = Date.now() + WRITING_MS; Date.now() < until; changes += 4)
        await source.query(`insert into ${TABLE} values (${10_000 + changes}, 'n'); update ${TABLE} set v = '${changes}' where id = ${changes % 5_000};
          delete from ${TABLE} where id = ${(changes * 7) % 5_000}; update ${TABLE} set id = -id where id = ${10_000 + (changes >> 3) * 4}`);
    })().finally(() => (isWriting = false));
    while (isWriting) {
      await Promise.race([writing, sleep(KILL_EVERY_MS)]);
      await harness.worker.kill();
      kills += 1;
      await harness.worker.start();
    }
    await writing;
    const comparisons = await harness.settle(SETTLE_MS);
    console.log(JSON.stringify({ standbyKillLoop: { changes, kills, equal: comparisons[0]?.equal } }));
    expect(comparisons.every(isEqual), JSON.stringify(comparisons[0]?.differences)).toBe(true);
    expect(kills).toBeGreaterThan(1);
  } finally {
    await harness.close();
  }
});
