import type pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { copyTable } from '../../activities/copy-table.js';
import type { CopyPriority } from '../../src/domain/copy-priority.js';
import { openPath, type Followed, type Path } from '../support/path.js';
import { freshName, waitFor } from '../support/stack.js';

/** Some 3,000 rows are a chunk of 1 MB. */
const ROWS = 40_000;
const DEADLINE = { deadlineMs: 60_000 };

describe('a copy that needs a connection', () => {
  let path: Path;
  let pg: pg.Client;
  beforeAll(async () => {
    // One reader: a second one may be the first to have the connection, and then the copy waits in its slice for another turn.
    path = await openPath({ env: { PG2CLICK_COPY_CHUNK_MB: '1', PG2CLICK_COPY_READERS: '1' } });
    pg = path.source;
  });
  afterAll(() => path.close());

  const fill = async (rows = ROWS): Promise<Followed> => {
    const table = freshName('orders');
    await pg.query(`create table ${table} (id int primary key, v text)`);
    await pg.query(`insert into ${table} select i, repeat('x', 300) from generate_series(1, ${rows}) i`);
    return path.add(table);
  };

  const chunksDone = async ({ receipt }: Followed): Promise<number> => {
    const counted = await path.ledger.query<{ done: number }>(
      'select count(done_at)::int as done from pg2click.chunk where table_id = $1',
      [receipt.id],
    );
    return counted.rows[0]?.done ?? 0;
  };

  it('goes first with a higher priority, and of equal ones the smallest', async () => {
    const taken = { signal: AbortSignal.timeout(60_000), priority: 'normal', bytes: 0 } as const;
    const places = await Promise.all(
      Array.from({ length: path.settings.worker.copies }, () => path.deps.copies.take('test', taken)),
    );
    const ended: string[] = [];
    const copies: Promise<void>[] = [];
    const begin = async (name: string, table: Followed, priority?: CopyPriority): Promise<void> => {
      const request = { stage: 'copy', checkpoint: null, sliceMs: 60_000, priority };
      copies.push(
        table.call(copyTable, request).then(({ finished }) => void ended.push(`${name} ${String(finished)}`)),
      );
      const isHere = (): boolean => path.deps.copies.waiting === copies.length;
      await waitFor(isHere, { ...DEADLINE, what: `${name} to wait for its turn` });
    };
    await begin('low', await fill(10), 'low');
    await begin('large', await fill());
    await begin('small', await fill(10));
    await begin('high', await fill(), 'high');
    await places[0]?.[Symbol.asyncDispose]();
    await Promise.all(copies);
    expect(ended).toEqual(['high true', 'small true', 'large true', 'low true']);
    await Promise.all(places.map((place) => place[Symbol.asyncDispose]()));
  });

  it('gives its connection, after a chunk, to one with a higher priority', async () => {
    const { copies } = path.deps;
    const orders = await fill();
    const high = { signal: AbortSignal.timeout(60_000), priority: 'high', bytes: 0 } as const;
    const places = await Promise.all(
      Array.from({ length: path.settings.worker.copies - 1 }, () => copies.take('test', high)),
    );
    const request = { stage: 'copy', checkpoint: null, sliceMs: 60_000 };
    const slice = orders.call(copyTable, request);
    await waitFor(async () => (await chunksDone(orders)) > 0, { ...DEADLINE, what: 'a chunk' });
    await using urgent = await copies.take('test', high);
    expect((await urgent.query('select 1')).rowCount).toBe(1);
    const { finished, progress } = await slice;
    expect(finished).toBe(false);
    expect(progress?.chunksDone).toBeLessThan(progress?.chunks ?? 0);
    await Promise.all(places.map((place) => place[Symbol.asyncDispose]()));
    await orders.copy();
    expect(await orders.expectEqual()).toBe(ROWS);
  });
});
