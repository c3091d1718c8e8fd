import pg from 'pg';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { Deps } from '../../activities/deps.js';
import { ReadingPool } from '../../src/connect/reading-pool.js';
import { consumerRoleOf, freshDatabase, freshName } from '../support/stack.js';
import { openPath, type Followed, type Path } from '../support/path.js';

/** What keeps a loader from the rows of its keys, and what it does then. */
describe('loading rows by key', () => {
  let path: Path;
  let table: string;
  let keyed: Followed;
  const pools: pg.Pool[] = [];
  beforeAll(async () => {
    path = await openPath({ ledgerElsewhere: true });
  });
  afterAll(async () => {
    await Promise.all(pools.map((pool) => pool.end()));
    await path.close();
  });
  beforeEach(async () => {
    table = freshName('keyed');
    await path.source.query(`create table ${table} (id int primary key, v int)`);
    keyed = await path.add(table, { payload: 'key' });
    await keyed.copy();
    await path.source.query(`insert into ${table} select i, i from generate_series(1, 100) i`);
    await keyed.publish();
  });

  /** The loader's way to the rows leads elsewhere. */
  const readingBy = (address: Partial<pg.PoolConfig>): Pick<Deps, 'readingByKey'> => {
    const { host, port, database, user, password } = path.settings.postgres;
    const pool = new pg.Pool({ host, port, database, user, password: password.reveal(), max: 1, ...address });
    pool.on('error', () => undefined);
    pools.push(pool);
    return { readingByKey: new ReadingPool(pool) };
  };
  /** The failure of the first slice that gets as far as to fail: on a busy machine one may end before it has read. */
  const failureOf = async (deps: Partial<Deps>): Promise<unknown> => {
    for (let attempt = 0; attempt < 50; attempt += 1) {
      const failure = await keyed.load(deps).then(
        () => undefined,
        (error: unknown) => error,
      );
      if (failure !== undefined) return failure;
    }
    throw new Error('no slice failed');
  };

  it('waits while PostgreSQL is away and Kafka is up, and says that it reads there', async () => {
    expect(await failureOf(readingBy({ port: 1 }))).toMatchObject({
      kind: 'SourceUnavailable',
      message: expect.stringContaining(`The rows of public.${table} are loaded by key.`) as unknown,
      remedy: expect.stringContaining('--payload key') as unknown,
    });
    expect(await keyed.expectEqual()).toBe(100);
  });

  it('parks where its role may not read the table, names the grant, and goes on once it is given', async () => {
    const role = consumerRoleOf(path.settings.postgres.database);
    const settings = { ...path.settings, postgres: { ...path.settings.postgres, user: role } };
    await path.source.query(`create role ${role} login password 'consumer'`);
    const deps = { ...readingBy({ user: role, password: 'consumer' }), settings };
    expect(await failureOf(deps)).toMatchObject({
      kind: 'Unauthorized',
      message: `The PostgreSQL role "${role}" of the worker that loads may not read public.${table}, whose rows are loaded by key.`,
      remedy: expect.stringContaining(`grant select on table "public"."${table}" to "${role}"`) as unknown,
    });
    await path.source.query(`grant select on ${table} to ${role}`);
    await keyed.load(deps);
    expect(await keyed.expectEqual()).toBe(100);
    await path.source.query(`revoke all on ${table} from ${role}`);
  });

  it('parks where a policy would hide rows from its role: they would look deleted', async () => {
    await path.source.query(`alter table ${table} enable row level security`);
    expect(await failureOf({})).toMatchObject({ kind: 'Unauthorized' });
    expect(await keyed.sink('select count() from {target}')).toBe('0');
    await path.source.query(`alter table ${table} disable row level security`);
    expect(await keyed.expectEqual()).toBe(100);
  });

  it('reads nothing from another database than that of its deployment', async () => {
    const copy = await freshDatabase('copy');
    const deps = readingBy({ ...copy });
    expect(await failureOf(deps)).toMatchObject({ kind: 'WrongWorker' });
    expect(await keyed.sink('select count() from {target}')).toBe('0');
    expect(await keyed.expectEqual()).toBe(100);
  });

  it('reads the rows again where it died between insert and confirmation, and the newer ones stay', async () => {
    const dying: Partial<Deps> = {
      ledger: new Proxy(path.deps.ledger, {
        get(pool, name) {
          if (name !== 'query') return Reflect.get(pool, name, pool);
          return (text: string, values: unknown[]) =>
            /set batch = \$4/u.test(text)
              ? Promise.reject(Object.assign(new Error('broken off by the test'), { code: 'ECONNRESET' }))
              : pool.query(text, values);
        },
      }),
    };
    expect(await failureOf(dying)).toBeInstanceOf(Error);
    expect(await keyed.sink('select count() from {current}')).toBe('100');
    await path.source.query(`delete from ${table} where id <= 50; update ${table} set v = -v where id > 90`);
    // Of the same batch, before the events of these changes are published.
    await keyed.load();
    expect(await keyed.sink('select count(), min(v) from {current}')).toBe('50\t-100');
    expect(await keyed.expectEqual()).toBe(50);
  });

  it('gives rows the shape of the columns that it reads, not of those that were published', async () => {
    const { ledger } = path;
    const shape = async (number: number): Promise<unknown> =>
      ledger.query(
        `update pg2click.replicated_table set definition = jsonb_set(definition, '{shape}', $2) where schema_name = 'public' and table_name = $1`,
        [table, String(number)],
      );
    await shape(3);
    await keyed.load();
    expect(await keyed.sink('select count(), min(_version % 65536), max(_version % 65536) from {target}')).toBe(
      '100\t3\t3',
    );
    expect(await keyed.expectEqual()).toBe(100);
  });
});
