import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { TableOptions } from '../../src/domain/replicated-table.js';
import { readBacklog } from '../../src/control/backlog.js';
import { openPath, type Path } from '../support/path.js';
import { freshName } from '../support/stack.js';

const WAYS: readonly (readonly [string, TableOptions])[] = [
  ['poll, directly', { capture: 'poll' }],
  ['poll, through a topic', { capture: 'poll', transport: 'kafka' }],
  ['poll, through a topic, many rows a message', { capture: 'poll', transport: 'kafka', format: 'packed' }],
  ['notify, directly', { capture: 'notify' }],
  ['notify, through a topic', { capture: 'notify', transport: 'kafka' }],
];

/** Several slices long. */
const OPEN_MS = 1_500;

let path: Path;
beforeAll(async () => {
  path = await openPath();
  await path.source.query(
    `do $$ begin execute format('alter default privileges grant select on sequences to %I', '${path.settings.postgres.user}'); end $$`,
  );
});
afterAll(() => path.close());

async function make(): Promise<string> {
  const table = freshName('t');
  await path.source.query(`create table ${table} (id bigserial primary key, name text, at timestamptz default now())`);
  return table;
}

for (const [way, options] of WAYS)
  describe(way, () => {
    it('brings every row, those that were there before it was added too, and as they come', async () => {
      const table = await make();
      await path.source.query(`insert into ${table} (name) select E'row\\t' || n from generate_series(1, 5000) n`);
      await path.source.query(`delete from ${table} where id % 10 = 0`);
      const followed = await path.add(table, options);
      expect(await followed.expectEqual()).toBe(4_500);
      await path.source.query(`insert into ${table} (name) values (null), ('ü'), (E'\\\\N')`);
      expect(await followed.expectEqual()).toBe(4_503);
    });

    it('brings a row whose id was drawn long before it was inserted, and one that commits late', async () => {
      const table = await make();
      const followed = await path.add(table, options);
      const drawn = await path.source.query(`select nextval('${table}_id_seq')::text as id`);
      await path.source.query(`insert into ${table} (name) values ('after')`);
      await followed.expectEqual();
      await path.source.query(`insert into ${table} (id, name) values (${drawn.rows[0].id}, 'late')`);
      await expect.poll(() => followed.expectEqual(), { timeout: 20_000 }).toBe(2);
      const late = await path.session();
      await late.query(`begin; insert into ${table} (name) values ('commits late')`);
      await path.source.query(`insert into ${table} (name) values ('commits first')`);
      let isOpen = true;
      const commit = sleep(OPEN_MS)
        .then(() => late.query('commit'))
        .finally(() => (isOpen = false));
      while (isOpen) await followed.settle();
      await commit;
      await expect.poll(() => followed.expectEqual(), { timeout: 20_000 }).toBe(4);
    });

    it('hides the rows of an older history when the table is added again, also where it is empty now', async () => {
      const table = await make();
      await path.source.query(`insert into ${table} (name) values ('old'), ('older')`);
      const first = await path.add(table, options);
      expect(await first.expectEqual()).toBe(2);
      await first.remove();
      await path.source.query(`delete from ${table}`);
      const second = await path.add(table, options);
      expect(await second.expectEqual()).toBe(0);
      await path.source.query(`insert into ${table} (name) values ('new')`);
      expect(await second.expectEqual()).toBe(1);
      await second.remove();
    });
  });

describe('poll', () => {
  const slice = { sliceMs: 1_500 };

  it('parks where the sequence was set back below what was read, and goes on when it is set forward', async () => {
    const table = await make();
    await path.source.query(`insert into ${table} (name) select 'a' from generate_series(1, 100)`);
    const followed = await path.add(table, { capture: 'poll' });
    expect(await followed.expectEqual()).toBe(100);
    await path.source.query(`select setval('${table}_id_seq', 1)`);
    await expect(followed.direct()).rejects.toThrow(
      new RegExp(`"${table}_id_seq" stands at 1, but ids up to 100 were read\\.|${table}_id_seq stands at 1, but`, 'u'),
    );
    await path.source.query(`select setval('${table}_id_seq', 100); insert into ${table} (name) values ('b')`);
    expect(await followed.expectEqual()).toBe(101);
  });

  it('parks where an id is above all that the sequence gave out, and reads it when the sequence is there', async () => {
    const table = await make();
    await path.source.query(`insert into ${table} (name) values ('a'), ('b'); insert into ${table} values (100, 'c')`);
    const followed = await path.add(table, { capture: 'poll' });
    await expect(followed.direct()).rejects.toThrow(/Row 100 of .* is above the last value 2 of .*_id_seq/u);
    await path.source.query(`select setval('${table}_id_seq', 100)`);
    expect(await followed.expectEqual()).toBe(3);
  });

  it('ends its slice in time while it waits for an open transaction, and says whom it waits for', async () => {
    const table = await make();
    const followed = await path.add(table, { capture: 'poll' });
    const writer = await path.session();
    await writer.query(`begin; insert into ${table} (name) values ('open')`);
    const startedAt = Date.now();
    await followed.direct({}, slice.sliceMs);
    expect(Date.now() - startedAt).toBeLessThan(10_000);
    const gauges: number[] = [];
    const meters = { ...path.deps.meters, set: (_name: string, value: number) => void gauges.push(value) };
    await followed.direct({ meters: meters as typeof path.deps.meters }, 3_000);
    expect(Math.max(...gauges)).toBeGreaterThanOrEqual(1);
    expect(gauges.at(-1)).toBe(0);
    await writer.query('commit');
    expect(await followed.expectEqual()).toBe(1);
  });

  it('reads by a column that is not the key', async () => {
    const table = freshName('t');
    await path.source.query(`
      create table ${table} (id uuid primary key default gen_random_uuid(), n bigserial not null, v text);
      create index on ${table} (n); insert into ${table} (v) select 'x' from generate_series(1, 500)`);
    const followed = await path.add(table, { capture: 'poll', cursor: 'n' });
    expect(await followed.expectEqual()).toBe(500);
  });

  it('reads a table with as many gaps as rows, batch by batch', async () => {
    const table = await make();
    await path.source.query(
      `insert into ${table} (name) select 'x' from generate_series(1, 9000); delete from ${table} where id % 2 = 0`,
    );
    const followed = await path.add(table, { capture: 'poll' });
    expect(await followed.expectEqual()).toBe(4_500);
  });

  it('counts what waits without a slice, and not the ids that nobody used', async () => {
    const table = await make();
    const followed = await path.add(table, { capture: 'poll' });
    await path.source.query(`insert into ${table} (name) values ('a'), ('b')`);
    await followed.expectEqual();
    await path.source.query(
      `select nextval('${table}_id_seq'); insert into ${table} (name) values ('c'), ('d'), ('e')`,
    );
    const waiting = async () => {
      const tables = await readBacklog({ ledger: path.deps.ledger, source: path.deps.source });
      const own = tables.find((each) => each.table.name.table === table);
      return [own?.stages['direct:main']?.waiting, own?.gaps];
    };
    expect(await waiting()).toEqual([3, { ranges: 0, givenUp: 0 }]);
    await followed.settle();
    expect(await waiting()).toEqual([0, { ranges: 1, givenUp: 0 }]);
  });
});

describe('a role that may only SELECT, with the ledger elsewhere', () => {
  it('polls, and is notified on a channel of the user', async () => {
    await using readOnly = await openPath({ selectOnly: true }).then((opened) => ({
      ...opened,
      [Symbol.asyncDispose]: () => opened.close(),
    }));
    // Another deployment's, whose outboxes this role may not even look up.
    await readOnly.source.query(
      `create schema pg2click; revoke usage on schema pg2click from ${readOnly.settings.postgres.user}`,
    );
    for (const options of [
      { capture: 'poll' },
      { capture: 'poll', transport: 'kafka' },
      { capture: 'notify', channel: 'new_data' },
    ] as const satisfies readonly TableOptions[]) {
      const table = freshName('t');
      await readOnly.source.query(
        `create table ${table} (id bigserial primary key, name text); insert into ${table} (name) values ('a'), ('b')`,
      );
      const followed = await readOnly.add(table, options);
      expect(await followed.expectEqual()).toBe(2);
      await readOnly.source.query(`insert into ${table} (name) values ('c')`);
      expect(await followed.expectEqual()).toBe(3);
      await followed.remove();
    }
    const made = await readOnly.source.query(
      `select from pg_class where relnamespace = 'pg2click'::regnamespace or relowner = '${readOnly.settings.postgres.user}'::regrole`,
    );
    expect(made.rowCount).toBe(0);
  });
});
