import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Deps } from '../../activities/deps.js';
import { Fetcher } from '../../src/kafka/client/fetcher.js';
import { openReader, type TopicReading } from '../../src/topic/reader.js';
import { freshName, waitFor } from '../support/stack.js';
import { failureOf } from '../support/failure-of.js';
import { openPath, type Followed, type Path } from '../support/path.js';

/** Outlasts what is done to it. */
const LONG_SLICE_MS = 5_000;

/** A slice dies, or is overtaken, between two steps. The servers are real; only the step that fails is made to. */
describe('a crash between two steps loses nothing', () => {
  let path: Path;
  let table: string;
  let followed: Followed;
  beforeAll(async () => {
    path = await openPath();
    table = freshName('crashing');
    await path.source.query(`create table ${table} (id int primary key, v int)`);
    followed = await path.add(table);
    await followed.copy();
    // Every row that reaches the table, before merges make one of two.
    await path.deps.clickhouse.command({
      query: `create materialized view ${path.settings.clickhouse.database}.arrivals engine = MergeTree order by id
        settings non_replicated_deduplication_window = 1000 as select id, _version from ${followed.receipt.target}`,
    });
  });
  afterAll(() => path.close());

  const write = (from: number, rows = 100): Promise<unknown> =>
    path.source.query(`insert into ${table} select i, i from generate_series(${from}, ${from + rows - 1}) i`);
  const arrivals = async (from: number): Promise<string> =>
    followed.sink(
      `select count() from ${path.settings.clickhouse.database}.arrivals where id between ${from} and ${from + 99}`,
    );
  /** The ledger, but its n-th statement that matches fails as a broken connection does. */
  const failing = (pattern: RegExp): Partial<Deps> => ({
    ledger: new Proxy(path.deps.ledger, {
      get(pool, name) {
        if (name !== 'query') return Reflect.get(pool, name, pool);
        return (text: string, values: unknown[]) =>
          pattern.test(text)
            ? Promise.reject(Object.assign(new Error('broken off by the test'), { code: 'ECONNRESET' }))
            : pool.query(text, values);
      },
    }),
  });

  /** A ClickHouse whose inserts begin only when they are released. */
  const heldInsert = (): { deps: Partial<Deps>; reached: Promise<void>; release: () => void } => {
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
    return { deps: { clickhouse }, reached, release: () => release() };
  };

  it('after the messages were sent, before the batch was confirmed: it is sent again', async () => {
    await write(1);
    const broken: Partial<Deps> = {
      publisher: async () => {
        const publisher = await path.deps.publisher();
        return {
          close: () => publisher.close(),
          async send(request, changes) {
            await publisher.send(request, changes);
            throw new Error('broken off by the test');
          },
        };
      },
    };
    expect(await failureOf(() => followed.publish(broken))).toMatchObject({ message: 'broken off by the test' });
    await path.source.query(`update ${table} set v = -1 where id = 1; delete from ${table} where id = 2`);
    await followed.expectEqual();
    expect(Number(await arrivals(1))).toBeGreaterThan(100);
  });

  it('after the batch was named, before it was inserted', async () => {
    await write(1_001);
    await followed.publish();
    const broken: Partial<Deps> = {
      clickhouse: new Proxy(path.deps.clickhouse, {
        get(client, name) {
          if (name !== 'exec') return Reflect.get(client, name, client);
          return () => Promise.reject(new Error('broken off by the test'));
        },
      }),
    };
    expect(await failureOf(() => followed.load(broken))).toBeInstanceOf(Error);
    await write(1_101);
    await followed.expectEqual();
    expect(await arrivals(1_001)).toBe('100');
  });

  it('after the insert, before the batch was confirmed: the token drops the repeat', async () => {
    await write(2_001);
    await followed.publish();
    expect(await failureOf(() => followed.load(failing(/set batch = \$4/u)))).toMatchObject({
      kind: 'LedgerUnavailable',
    });
    expect(await arrivals(2_001)).toBe('100');
    await write(2_101);
    await followed.expectEqual();
    expect(await arrivals(2_001)).toBe('100');
  });

  it('a slice that was overtaken can finish the insert that is named, and can confirm nothing', async () => {
    await write(3_001);
    await followed.publish();
    const fetcher = new Fetcher(path.deps.kafka);
    const frozen = heldInsert();
    // Another process reads with another fetcher.
    const elsewhere: Partial<Deps> = {
      reader: (topic, options) => openReader(fetcher, topic, { log: path.deps.log, ...options }),
    };
    const zombie = failureOf(() => followed.load({ ...frozen.deps, ...elsewhere }));
    await frozen.reached;
    await path.source.query(`update ${table} set v = v + 1 where id > 3000`);
    await followed.settle();
    frozen.release();
    expect(await zombie).toMatchObject({ kind: 'Fenced' });
    fetcher.close();
    await followed.expectEqual();
  });

  it('a slice that was overtaken in its own process takes nothing from the one that overtook it', async () => {
    await write(6_001);
    await followed.publish();
    const [overtaken, overtaking] = [heldInsert(), heldInsert()];
    // Neither ends meanwhile: what one of them takes, the other has to miss.
    const zombie = failureOf(() => followed.load(overtaken.deps, LONG_SLICE_MS));
    await overtaken.reached;
    let reading: TopicReading | undefined;
    const watched: Partial<Deps> = {
      reader: (topic, options) => {
        const reader = path.deps.reader(topic, options);
        return {
          locate: () => reader.locate(),
          start: async (...from) => (reading = await reader.start(...from)),
        };
      },
    };
    const rightful = followed.load({ ...overtaking.deps, ...watched }, LONG_SLICE_MS);
    await overtaking.reached;
    await write(6_101);
    await followed.publish();
    await waitFor(() => (reading?.waiting() ?? 0) >= 100, { deadlineMs: 2_000, what: 'more to be queued' });
    overtaken.release();
    expect(await zombie).toMatchObject({ kind: 'Fenced' });
    await write(6_201);
    await followed.publish();
    overtaking.release();
    await rightful;
    await followed.expectEqual();
  });

  it('two publishers at once: one of them goes on, and every event is sent', async () => {
    await write(4_001);
    const outcomes = await Promise.allSettled([followed.publish(), followed.publish()]);
    for (const outcome of outcomes)
      if (outcome.status === 'rejected') expect(outcome.reason).toMatchObject({ kind: 'Fenced' });
    await followed.expectEqual();
  });

  it('no row is sent before the commit that wrote it is on disk, though its writer did not wait for that', async () => {
    const careless = await path.session();
    await careless.query('set synchronous_commit = off');
    await write(5_001);
    const flushedBeforeSend: boolean[] = [];
    const watching: Partial<Deps> = {
      publisher: async () => {
        const publisher = await path.deps.publisher();
        return {
          close: () => publisher.close(),
          async send(request, changes) {
            // The batch is named, and not read yet: its rows are read as this leaves them.
            await careless.query(`update ${table} set v = -5 where id between 5001 and 5100`);
            const written = await careless.query<{ lsn: string }>('select pg_current_wal_insert_lsn()::text as lsn');
            return publisher.send(
              {
                ...request,
                async beforeSend() {
                  await request.beforeSend?.();
                  const looked = await path.source.query<{ flushed: boolean }>(
                    `select pg_current_wal_flush_lsn() >= '${written.rows[0]?.lsn}'::pg_lsn as flushed`,
                  );
                  flushedBeforeSend.push(looked.rows[0]?.flushed === true);
                },
              },
              changes,
            );
          },
        };
      },
    };
    while (flushedBeforeSend.length === 0) await followed.publish(watching);
    expect(flushedBeforeSend).not.toContain(false);
    await followed.expectEqual();
  });
});
