import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { Deps } from '../../activities/deps.js';
import { failureOf } from '../support/failure-of.js';
import { openPath, type Followed, type Path } from '../support/path.js';
import { freshName } from '../support/stack.js';

/** Outlasts what is done to it. */
const LONG_SLICE_MS = 5_000;

/** The servers are real; only the step that fails is made to. */
describe('between a change of the columns and its rows', () => {
  let path: Path;
  let table: string;
  let followed: Followed;
  beforeAll(async () => {
    path = await openPath({ sliceMs: 1_000 });
  });
  afterAll(() => path.close());
  beforeEach(async () => {
    table = freshName('reshaped');
    await path.source.query(`create table ${table} (id int primary key, a int, n numeric(6,2), v text);
      insert into ${table} select g, g, g, g::text from generate_series(1, 5) g`);
    followed = await path.add(table);
    await followed.copy();
    await followed.settle();
  });

  const sql = (statement: string): Promise<unknown> => path.source.query(statement.replaceAll('T ', `${table} `));
  const shapes = async (): Promise<number[]> => {
    const found = await path.ledger.query<{ shape: number }>(
      `select shape from pg2click.shape where table_id = $1 order by shape`,
      [followed.receipt.id],
    );
    return found.rows.map(({ shape }) => shape);
  };
  const cut = (): Error => Object.assign(new Error('broken off by the test'), { code: 'ECONNRESET' });

  /** The ledger, but a statement that matches is done, and its answer lost. */
  const answerLost = (pattern: RegExp): Partial<Deps> => ({
    ledger: new Proxy(path.deps.ledger, {
      get(pool, name) {
        if (name !== 'query') return Reflect.get(pool, name, pool);
        return async (text: string, values: unknown[]) => {
          const result: unknown = await pool.query(text, values);
          if (pattern.test(text)) throw cut();
          return result;
        };
      },
    }),
  });

  type Command = { readonly query: string };
  /** ClickHouse, but with something in place of statements that match. */
  const onCommand = (
    pattern: RegExp,
    instead: (command: () => Promise<unknown>) => Promise<unknown>,
  ): Partial<Deps> => {
    const clickhouse = new Proxy(path.deps.clickhouse, {
      get(client, name) {
        if (name !== 'command') return Reflect.get(client, name, client);
        return (command: Command) =>
          pattern.test(command.query) ? instead(() => client.command(command)) : client.command(command);
      },
    });
    return { clickhouse, sink: (loader) => ({ ...path.deps.sink(loader), clickhouse }) };
  };

  it('a batch that was sent before it is read again after it, and its rows win', async () => {
    await sql(`update T set v = 'sent' where id = 1`);
    const broken: Partial<Deps> = {
      publisher: async () => {
        const publisher = await path.deps.publisher();
        return {
          close: () => publisher.close(),
          async send(request, changes) {
            await publisher.send(request, changes);
            throw cut();
          },
        };
      },
    };
    expect(await failureOf(() => followed.publish(broken))).toBeInstanceOf(Error);
    await sql(`alter table T add c int; alter table T drop a`);
    await sql(`update T set c = 5 where id = 1`);
    expect(await followed.expectEqual()).toBe(5);
    const minors = await followed.sink(
      `select groupUniqArray(toUInt64(bitAnd(_version, 18446744073709551615))) from {target} final where id = 1`,
    );
    expect(minors).toBe('[2]');
  });

  it('the answer of the ledger is lost: the shape is noted once', async () => {
    await sql(`alter table T add c int default 5`);
    expect(await failureOf(() => followed.publish(answerLost(/insert into pg2click\.shape/u)))).toMatchObject({
      kind: 'LedgerUnavailable',
    });
    await sql(`insert into T values (10, 1, 1, 'new', 7)`);
    expect(await followed.expectEqual()).toBe(6);
    expect(await shapes()).toEqual([1, 2]);
  });

  it('the answer of ClickHouse to the ALTER is lost: it is not made again', async () => {
    await sql(`alter table T add c int default 5, alter n type numeric(10,2)`);
    await followed.publish();
    let altered = 0;
    const lost = onCommand(/^alter table .* add constraint/u, async (command) => {
      altered += 1;
      await command();
      throw cut();
    });
    await followed.load(lost, LONG_SLICE_MS);
    expect(altered).toBe(1);
    await sql(`insert into T values (10, 1, 12345678.25, 'new', 7)`);
    expect(await followed.expectEqual()).toBe(6);
  });

  it('a worker dies between the ALTER and the view: the next one makes the view', async () => {
    await sql(`alter table T rename a to b`);
    await followed.publish();
    const dead = onCommand(/create or replace view/u, () => Promise.reject(cut()));
    expect(await failureOf(() => followed.load(dead))).toMatchObject({ kind: 'SinkUnavailable' });
    await sql(`insert into T values (10, 1, 1, 'new')`);
    expect(await followed.expectEqual()).toBe(6);
  });

  it('an ALTER that arrives after those of later shapes changes nothing', async () => {
    await sql(`alter table T alter n type numeric(8,2)`);
    await followed.publish();
    let release = (): void => undefined;
    const held = new Promise<void>((resolve) => (release = resolve));
    let reach = (): void => undefined;
    const reached = new Promise<void>((resolve) => (reach = resolve));
    const zombie = followed
      .load(
        onCommand(/^alter table .* add constraint/u, async (command) => {
          reach();
          await held;
          return command();
        }),
        LONG_SLICE_MS,
      )
      .catch((error: unknown) => error);
    await reached;
    await sql(`alter table T alter n type numeric(12,2)`);
    await sql(`insert into T values (10, 1, 1234567890.25, 'new')`);
    await followed.settle();
    release();
    await zombie;
    expect(
      await followed.sink(`select type from system.columns where database = currentDatabase() or 1 = 1
      and concat(database, '.', table) = '${followed.receipt.target}' and name = 'n'`),
    ).toContain('Decimal(12, 2)');
    followed.forget();
    expect(await followed.expectEqual()).toBe(6);
  });

  it('an insert of an older shape arrives after those of later ones: its token and its versions lose', async () => {
    await sql(`update T set v = 'old' where id <= 3; insert into T values (10, 1, 1, 'old')`);
    await followed.publish();
    let release = (): void => undefined;
    const held = new Promise<void>((resolve) => (release = resolve));
    let reach = (): void => undefined;
    const reached = new Promise<void>((resolve) => (reach = resolve));
    const clickhouse = new Proxy(path.deps.clickhouse, {
      get(client, name) {
        if (name !== 'exec') return Reflect.get(client, name, client);
        return async (parameters: Parameters<typeof client.exec>[0]) => {
          reach();
          await held;
          return client.exec(parameters);
        };
      },
    });
    const zombie = followed
      .load({ clickhouse, sink: (loader) => ({ ...path.deps.sink(loader), clickhouse }) }, LONG_SLICE_MS)
      .catch((error: unknown) => error);
    await reached;
    await sql(
      `alter table T rename a to x; alter table T drop v; alter table T add v int default 3; alter table T add a text`,
    );
    await sql(`update T set v = 9, a = 'new' where id <= 3; delete from T where id = 10`);
    await followed.settle();
    release();
    await zombie;
    followed.forget();
    expect(await followed.expectEqual()).toBe(5);
  });
});
