import { setTimeout as sleep } from 'node:timers/promises';
import type { Client } from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openPath, type Followed, type Path } from '../support/path.js';
import { freshName } from '../support/stack.js';

const WRITERS = 3;
const EMPTY_EVERY_MS = 2_500;
const HELD_MS = 2_500;

const DIRECT = { transport: 'direct' } as const;
/** Of a table: four of statements, and three for applied rows. */
const TRIGGERS = 7;

/** Both sides, and a table that was added just now. */
function open({ ledgerElsewhere = false }: { readonly ledgerElsewhere?: boolean } = {}) {
  const opened: { path?: Path } = {};
  const the = (): Path => {
    if (opened.path === undefined) throw new Error('not open');
    return opened.path;
  };
  beforeAll(async () => {
    opened.path = await openPath({ wal: true, ledgerElsewhere });
  });
  afterAll(() => opened.path?.close());
  return {
    the,
    added: async (options: object = {}): Promise<{ table: string; followed: Followed }> => {
      const table = freshName('switch');
      await the().source.query(`create table ${table} (id int primary key, v text);
        insert into ${table} select i, 'first' from generate_series(1, 500) i`);
      const followed = await the().add(table, options);
      await followed.copy();
      return { table, followed };
    },
    triggers: async (table: string): Promise<number> =>
      (await the().source.query(`select from pg_trigger where tgrelid = '${table}'::regclass`)).rowCount ?? 0,
    slots: async (): Promise<number> =>
      (await the().source.query(`select from pg_replication_slots where database = current_database()`)).rowCount ?? 0,
  };
}

describe.each([
  ['direct, the ledger beside the table', false, DIRECT],
  ['through Kafka, the ledger in another database', true, { transport: 'kafka' }],
] as const)('from triggers to the WAL and back while it runs, %s:', (_, ledgerElsewhere, options) => {
  const { the, added, triggers, slots } = open({ ledgerElsewhere });

  it('positions and generation go on, nothing is copied, and what captured before is gone', async () => {
    const { table, followed } = await added(options);
    const { id, generation } = followed.receipt;
    for (const capture of ['wal', 'outbox', 'wal'] as const) {
      await the().source.query(`update ${table} set v = v || '+' where id % 3 = 0`);
      const done = await followed.configure({ capture }, () =>
        the().source.query(`update ${table} set v = v || '-' where id % 5 = 0`),
      );
      expect(done).toMatchObject({ next: null, prepared: { id, generation } });
      expect(done.refused).toBeUndefined();
      expect([await triggers(table), await slots()]).toEqual(capture === 'wal' ? [0, 1] : [TRIGGERS, 0]);
      await the().source.query(`delete from ${table} where id % 50 = 0; insert into ${table} values (50, 'again')`);
      expect(await followed.expectEqual()).toBe(491);
    }
    await followed.remove(true);
    expect(await slots()).toBe(0);
  });
});

describe('from triggers to the WAL and back while it runs:', () => {
  const { the, added, triggers, slots } = open();

  it('a transaction that is open all the time arrives whole, and a change that is withdrawn leaves nothing', async () => {
    const { table, followed } = await added(DIRECT);
    const writer = await the().session();
    for (const [capture, id] of [
      ['wal', 1001],
      ['outbox', 2001],
    ] as const) {
      await writer.query(`begin; insert into ${table} values (${id}, 'before')`);
      const changing = followed.configure({ capture });
      await sleep(1_000);
      await writer.query(`insert into ${table} values (${id + 1}, 'within')`);
      await writer.query('commit');
      await changing;
      expect(await followed.expectEqual()).toBe(capture === 'wal' ? 502 : 504);
    }
    await followed.change({ capture: 'wal' }, 'preparing');
    expect(await slots()).toBe(1);
    await followed.configure({ capture: 'outbox' });
    expect([await triggers(table), await slots()]).toEqual([TRIGGERS, 0]);
    await the().source.query(`update ${table} set v = 'last'`);
    expect(await followed.expectEqual()).toBe(504);
    await followed.remove(true);
  });

  it('a removal in the middle of it fails no write of a user', async () => {
    const { table, followed } = await added({ ...DIRECT, capture: 'wal' });
    await followed.change({ capture: 'outbox' }, 'preparing');
    expect(await triggers(table)).toBe(TRIGGERS);
    // Triggers cannot be taken off while somebody reads.
    const reader = await the().session();
    await reader.query(`begin; select from ${table}`);
    const removing = followed.remove(true);
    for (const until = Date.now() + 1_500; Date.now() < until;)
      await the().source.query(`update ${table} set v = v || '.' where id = 1`);
    await reader.query('commit');
    await removing;
    expect([await triggers(table), await slots()]).toEqual([0, 0]);
  });

  it('the mark of a TRUNCATE that the WAL brings late hides no row that came after it', async () => {
    const { table, followed } = await added({ ...DIRECT, capture: 'wal' });
    const holder = await the().session();
    await followed.configure({ capture: 'outbox' }, async (step) => {
      if (step !== 'clearing') return;
      await holder.query('begin; select from pg2click.wal_reader for update');
      await the().source.query(`truncate ${table}`);
      // The reader has it in hand, and not yet what comes now.
      await sleep(500);
      await the().source.query(`insert into ${table} values (1, 'after')`);
      // A table that leaves in this moment is the next to write into that row.
      const isLeaving = async (): Promise<boolean> => {
        const found = await the().source.query(
          `select from pg_stat_activity where wait_event_type = 'Lock' and query like '%set epoch = epoch + 1%'`,
        );
        return found.rowCount !== 0;
      };
      const until = Date.now() + HELD_MS;
      void (async () => {
        while (Date.now() < until && !(await isLeaving())) await sleep(20);
        await holder.query('commit');
      })();
    });
    expect(await followed.expectEqual()).toBe(1);
    await followed.remove(true);
  });

  it('nothing is lost while others insert, update, delete and empty it', async () => {
    const { table, followed } = await added(DIRECT);
    let isWriting = true;
    let emptied = 0;
    const write = async (pg: Client, turn: number): Promise<void> => {
      for (let round = turn; isWriting; round += WRITERS) {
        const work = async (): Promise<void> => {
          await pg.query(`begin; insert into ${table} select i, 'r${round}' from generate_series(${1_000 + round * 10}, ${1_009 + round * 10}) i
              on conflict (id) do update set v = excluded.v;
            update ${table} set v = v || '+' where id % 17 = ${round % 17}; delete from ${table} where id % 31 = ${round % 31}`);
          await sleep(round % 20);
          await pg.query('commit');
        };
        // Two of them may wait for each other's rows: PostgreSQL ends one.
        await work().catch(() => pg.query('rollback'));
      }
    };
    const empty = async (pg: Client): Promise<void> => {
      while (isWriting) {
        await sleep(EMPTY_EVERY_MS);
        const work = pg.query(`begin; truncate ${table}; insert into ${table} values (${++emptied}, 'after'); commit`);
        await work.catch(() => pg.query('rollback'));
      }
    };
    const sessions = await Promise.all(Array.from({ length: WRITERS + 1 }, () => the().session()));
    const writing = Promise.all(sessions.map((pg, turn) => (turn === WRITERS ? empty(pg) : write(pg, turn))));
    for (const capture of ['wal', 'outbox'] as const) {
      const done = await followed.configure({ capture });
      expect(done).toMatchObject({ next: null });
      expect(done.refused).toBeUndefined();
      await sleep(300);
    }
    isWriting = false;
    await writing;
    expect(emptied).toBeGreaterThan(0);
    expect(await followed.expectEqual()).toBeGreaterThan(0);
    await followed.remove(true);
  });

  it('and from a poll to the WAL, with a new generation: deletes and updates of the time before are made up', async () => {
    const table = freshName('switch');
    await the().source.query(`create table ${table} (id int generated always as identity primary key, v text);
      grant select on sequence ${table}_id_seq to public;
      insert into ${table} (v) select 'first' from generate_series(1, 500)`);
    const followed = await the().add(table, { ...DIRECT, capture: 'poll' });
    await followed.settle();
    await the().source.query(`delete from ${table} where id < 10; update ${table} set v = 'unseen' where id < 20`);
    const { generation } = followed.receipt;
    const done = await followed.configure({ capture: 'wal' });
    expect(done).toMatchObject({ next: null, prepared: { generation: generation + 1 } });
    await the().source.query(`update ${table} set v = 'seen' where id > 400`);
    await followed.copy();
    expect(await followed.expectEqual()).toBe(491);
    await followed.remove(true);
  });
});
