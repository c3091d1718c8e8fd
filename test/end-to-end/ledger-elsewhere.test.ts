import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { Pool } from 'pg';
import type { Deps } from '../../activities/deps.js';
import { prepareTable } from '../../activities/prepare-table.js';
import { confirmOutbox, nameOutbox } from '../../src/ledger/outbox.js';
import { checkClaim, claimTable } from '../../src/ledger/registration.js';
import { advanceDrain } from '../../src/source/outbox/drain-row.js';
import type { OpenOutboxSteps } from '../../src/source/outbox/steps.js';
import { attempt } from '../support/activity.js';
import { freshName, waitFor } from '../support/stack.js';
import { failureOf } from '../support/failure-of.js';
import { openPath, type Followed, type Path } from '../support/path.js';

const LONG_SLICE_MS = 5_000;

const BROKEN_OFF = { message: 'broken off by the test' };

/** The other order, which pg2click does not have. */
const deleteThenConfirm: OpenOutboxSteps = ({ ledger, source }, { row, claim, table }) => {
  let { batch } = row;
  return {
    verify: () => Promise.resolve(),
    async advance(moved, limit) {
      if (moved !== null) {
        const { name, rows, bytes } = moved;
        await confirmOutbox(ledger, claim, { batch: name.batch, rows, bytes });
        batch = name.batch;
      }
      const step = await advanceDrain(source, table.id, { batch, deleting: null, limit });
      if (step === 'elsewhere') throw new Error('the drain is elsewhere');
      const { found, ...advanced } = step;
      if (found === undefined) return { ...advanced, next: undefined };
      const next = await nameOutbox(ledger, claim, { batch: batch + 1, ...found }, step.lowWater);
      await advanceDrain(source, table.id, { batch: next.batch, deleting: next, limit: 0 });
      return { ...advanced, next };
    },
  };
};

/** Two databases: nothing that happens between two statements, one in each, loses a row or passes a restored one by. */
describe('with the ledger in another database', () => {
  let path: Path;
  let table: string;
  let followed: Followed;
  beforeAll(async () => {
    path = await openPath({ ledgerElsewhere: true });
  });
  afterAll(() => path.close());
  beforeEach(async () => {
    table = freshName('elsewhere');
    await path.source.query(`create table ${table} (id int primary key, v int);
      insert into ${table} select i, 0 from generate_series(1, 20) i`);
    followed = await path.add(table);
    await followed.copy();
  });

  const write = (from: number, rows = 50): Promise<unknown> =>
    path.source.query(`insert into ${table} select i, i from generate_series(${from}, ${from + rows - 1}) i`);
  const change = async (): Promise<void> => {
    await path.source.query(`update ${table} set v = v + 1 where id % 2 = 0; delete from ${table} where id % 7 = 0`);
  };
  const outbox = async (): Promise<number> => {
    const found = await path.source.query(`select from pg2click.outbox_${followed.receipt.id}`);
    return found.rowCount ?? 0;
  };
  const drained = async (): Promise<string> => {
    const found = await path.source.query<{ batch: string }>(
      `select batch::text from pg2click.drain where table_id = ${followed.receipt.id}`,
    );
    return found.rows[0]?.batch ?? 'gone';
  };
  const stage = async (): Promise<{ batch: string; pending: string | null; deleting: string | null }> => {
    const found = await path.ledger.query<{ batch: string; pending: string | null; deleting: string | null }>(
      `select batch::text, pending ->> 'batch' as pending, deleting ->> 'batch' as deleting
      from pg2click.stage where table_id = ${followed.receipt.id} and stage = 'publish'`,
    );
    return found.rows[0] as never;
  };

  /**
   * A pool of which a statement that matches breaks off: the server has not got it (`before`), or has done it and nobody knows
   * (`after`). A batch of rows names itself with a limit above 0.
   */
  const breaking = (
    pool: Pool,
    when: 'before' | 'after',
    matches: (text: string, values: unknown[]) => boolean,
  ): Pool =>
    new Proxy(pool, {
      get(target, name) {
        if (name !== 'query') return Reflect.get(target, name, target) as unknown;
        return async (text: string, values: unknown[] = []) => {
          if (!matches(text, values)) return target.query(text, values);
          if (when === 'after') await target.query(text, values);
          throw Object.assign(new Error('broken off by the test'), { code: 'ECONNRESET' });
        };
      },
    });

  const CONFIRM = (text: string): boolean => /deleting = pending/u.test(text);
  const NAME = (text: string): boolean => /deleting = null/u.test(text);
  const FIND = (text: string, values: unknown[]): boolean => /advance_drain/u.test(text) && values[2] === null;
  const DELETE = (text: string, values: unknown[]): boolean => /advance_drain/u.test(text) && values[2] !== null;

  const crashInSending = (): Partial<Deps> => ({
    publisher: async () => {
      const publisher = await path.deps.publisher();
      return {
        close: () => publisher.close(),
        send: () => Promise.reject(new Error(BROKEN_OFF.message)),
      };
    },
  });

  it('inserts, updates, deletes, changes of keys and TRUNCATE arrive', async () => {
    await write(100);
    await change();
    await path.source.query(`update ${table} set id = id + 1000 where id between 1 and 5`);
    expect(await followed.expectEqual()).toBeGreaterThan(40);
    await path.source.query(`truncate ${table}; insert into ${table} values (1, 1), (2, 2)`);
    expect(await followed.expectEqual()).toBe(2);
    expect(await outbox()).toBe(0);
    const { rows } = await path.ledger.query(`select to_regclass('pg2click.outbox_${followed.receipt.id}') as outbox`);
    expect(rows[0]).toEqual({ outbox: null });
    const source = await path.source.query(`select to_regclass('pg2click.stage') as stage`);
    expect(source.rows[0]).toEqual({ stage: null });
  });

  it('commits that come late, and rollbacks, leave nothing behind', async () => {
    const late = await path.session();
    await late.query(`begin; insert into ${table} values (500, 1)`);
    await write(100);
    await path.source.query(`begin; insert into ${table} values (600, 1); rollback`);
    await followed.publish();
    await late.query('commit');
    expect(await followed.expectEqual()).toBe(71);
    expect(await outbox()).toBe(0);
  });

  it.each([
    ['events found, name not in the ledger', (deps: Deps) => ({ ledger: breaking(deps.ledger, 'before', NAME) })],
    ['name in the ledger, and nobody knows', (deps: Deps) => ({ ledger: breaking(deps.ledger, 'after', NAME) })],
    ['sent, not confirmed', (deps: Deps) => ({ ledger: breaking(deps.ledger, 'before', CONFIRM) })],
    ['confirmed, and nobody knows', (deps: Deps) => ({ ledger: breaking(deps.ledger, 'after', CONFIRM) })],
    ['confirmed, events not deleted', (deps: Deps) => ({ source: breaking(deps.source, 'before', DELETE) })],
    ['events deleted, and nobody knows', (deps: Deps) => ({ source: breaking(deps.source, 'after', DELETE) })],
    ['events not found', (deps: Deps) => ({ source: breaking(deps.source, 'before', FIND) })],
  ])('a crash loses nothing: %s', async (_, broken) => {
    await write(100);
    expect(await failureOf(() => followed.publish(broken(path.deps)))).toMatchObject({
      kind: expect.stringMatching(/^(?:Ledger|Source)Unavailable$/u) as string,
    });
    await change();
    await followed.expectEqual();
    expect(await outbox()).toBe(0);
    const { batch, pending } = await stage();
    expect(pending).toBeNull();
    expect(await drained()).toBe(batch);
  });

  it('a crash loses nothing: named, not sent', async () => {
    await write(100);
    expect(await failureOf(() => followed.publish(crashInSending()))).toMatchObject(BROKEN_OFF);
    await followed.expectEqual();
    expect(await outbox()).toBe(0);
  });

  it('the events of a batch that was confirmed and not deleted are deleted by its name, and those of a late commit are not', async () => {
    const late = await path.session();
    await late.query(`begin; insert into ${table} values (500, 1)`);
    await write(100);
    await failureOf(() => followed.publish({ source: breaking(path.deps.source, 'before', DELETE) }));
    expect(await stage()).toMatchObject({ batch: '1', pending: null, deleting: '1' });
    expect(await drained()).toBe('0');
    await late.query('commit');
    await followed.publish();
    expect(await followed.expectEqual()).toBe(71);
  });

  it('the control: the same crash loses the batch where events are deleted before it is confirmed', async () => {
    await write(100);
    const wrong: Partial<Deps> = { openSteps: deleteThenConfirm };
    expect(await failureOf(() => followed.publish({ ...crashInSending(), ...wrong }))).toMatchObject(BROKEN_OFF);
    await followed.settle(wrong);
    expect(await followed.compare()).toMatchObject({ missing: 50 });
  });

  it('a ledger that was set back is noticed before anything is read', async () => {
    await write(100);
    await followed.settle();
    const before = await stage();
    await write(200);
    await followed.settle();
    await path.ledger.query(`update pg2click.stage set batch = ${before.batch}, pending = null, deleting = null
      where table_id = ${followed.receipt.id} and stage = 'publish'`);
    followed.forget();
    await expect(followed.publish()).rejects.toMatchObject({ kind: 'LedgerSetBack' });
  });

  it('a source whose outbox was set back is noticed', async () => {
    for (const from of [100, 200, 300]) {
      await write(from);
      await followed.settle();
    }
    await path.source.query(`update pg2click.drain set batch = batch - 2 where table_id = ${followed.receipt.id}`);
    await expect(followed.publish()).rejects.toMatchObject({ kind: 'SourceSetBack' });
  });

  it('events that something else took are noticed, before and after the confirmation', async () => {
    await write(100);
    await failureOf(() => followed.publish({ source: breaking(path.deps.source, 'before', DELETE) }));
    await path.source.query(`delete from pg2click.outbox_${followed.receipt.id} where k1 = 120`);
    await expect(followed.publish()).rejects.toMatchObject({ kind: 'OutboxInconsistent' });
    expect(await outbox()).toBe(49);
  });

  it('an attempt that was overtaken changes nothing, and does not park the table', async () => {
    await write(100);
    let reach = (): void => undefined;
    const reached = new Promise<void>((resolve) => (reach = resolve));
    let release = (): void => undefined;
    const held = new Promise<void>((resolve) => (release = resolve));
    const frozen: Partial<Deps> = {
      // In the middle of the protocol: it has confirmed, and not deleted.
      source: new Proxy(path.deps.source, {
        get(target, name) {
          if (name !== 'query') return Reflect.get(target, name, target) as unknown;
          return async (text: string, values: unknown[] = []) => {
            if (DELETE(text, values)) {
              reach();
              await held;
            }
            return target.query(text, values);
          };
        },
      }),
    };
    const zombie = failureOf(() => followed.publish(frozen, LONG_SLICE_MS));
    await reached;
    await change();
    await followed.settle();
    await write(200);
    await followed.settle();
    const after = await stage();
    release();
    expect(await zombie).toMatchObject({ kind: 'Fenced' });
    expect(await stage()).toEqual(after);
    await followed.expectEqual();
  });

  it('without its ledger nothing is named, and it goes on by itself', async () => {
    await write(100);
    const gone = breaking(path.deps.ledger, 'before', () => true);
    await expect(followed.publish({ ledger: gone })).rejects.toMatchObject({ kind: 'LedgerUnavailable' });
    expect(await outbox()).toBe(50);
    await followed.expectEqual();
  });

  it('an attempt to prepare that was overtaken stops before it makes anything', async () => {
    const other = freshName('fenced');
    await path.source.query(`create table ${other} (id int primary key)`);
    const request = { pipeline: path.settings.pipeline, schema: 'public', table: other, options: {} };
    const overtaking: Partial<Deps> = {
      // Its last look at the claim comes before the transaction that makes the outbox.
      ledgerWithin: () =>
        ({
          query: async () => {
            const { rows } = await path.ledger.query<{ id: string }>(
              `select id::text from pg2click.replicated_table where table_name = '${other}'`,
            );
            const id = rows[0]?.id ?? '';
            const claim = await claimTable(path.deps.ledger, { id, name: { schema: 'public', table: other } });
            await checkClaim(path.deps.ledger, { ...claim, epoch: '1' });
          },
        }) as never,
    };
    await expect(attempt(() => prepareTable({ ...path.deps, ...overtaking }, request)).result).rejects.toMatchObject({
      kind: 'Fenced',
    });
    const left = await path.source.query(`select from pg_trigger where tgrelid = '${other}'::regclass`);
    expect(left.rowCount).toBe(0);
  });

  it('a removed table leaves nothing in either database, and can be added again', async () => {
    await followed.remove();
    const left = await path.source.query(
      `select to_regclass('pg2click.outbox_${followed.receipt.id}') as outbox,
        (select count(*)::int from pg2click.drain where table_id = ${followed.receipt.id}) as drains,
        (select count(*)::int from pg_trigger where tgrelid = '${table}'::regclass) as triggers`,
    );
    expect(left.rows[0]).toEqual({ outbox: null, drains: 0, triggers: 0 });
    expect(
      (await path.ledger.query(`select from pg2click.stage where table_id = ${followed.receipt.id}`)).rowCount,
    ).toBe(0);
    const again = await path.add(table);
    await again.copy();
    await write(100);
    expect(await again.expectEqual()).toBe(70);
  });

  it('moves rows while both servers are broken off again and again', async () => {
    let failures = 0;
    let writing = true;
    const session = await path.session();
    const writer = (async () => {
      for (let turn = 0; turn < 60; turn += 1) {
        await session.query(`insert into ${table} values (${1000 + turn}, 0) on conflict (id) do update set v = -1;
          update ${table} set v = v + 1 where id = ${1000 + ((turn * 7) % 60)};
          delete from ${table} where id = ${1000 + ((turn * 11) % 60)}`);
      }
    })().finally(() => (writing = false));
    const random = (): boolean => Math.random() < 0.15;
    while (writing || failures < 10) {
      const when = Math.random() < 0.5 ? 'before' : 'after';
      const broken = {
        ledger: breaking(path.deps.ledger, when, random),
        source: breaking(path.deps.source, when, random),
      };
      await path.source.query(`update ${table} set v = v + 1 where id = 1`);
      await followed.publish(broken).catch((error: { kind?: string }) => {
        expect(error.kind).toMatch(/^(?:Ledger|Source)Unavailable$/u);
        failures += 1;
      });
    }
    await writer;
    await waitFor(async () => (await followed.publish()).waiting === 0, {
      deadlineMs: 20_000,
      what: 'the outbox to be empty',
    });
    await followed.expectEqual();
    expect(await outbox()).toBe(0);
  });
});
