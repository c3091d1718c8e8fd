import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Failure } from '../../src/failure/failure.js';
import { failureOf } from '../support/failure-of.js';
import { openPath, type Followed, type Path } from '../support/path.js';
import { freshName, waitFor } from '../support/stack.js';

const DIRECT = { capture: 'wal', transport: 'direct' } as const;

describe('what would lose changes parks the table, and the command that is printed leads out:', () => {
  let path: Path;
  /** Holds the slot while other tables come and go. */
  let first: Followed;
  beforeAll(async () => {
    path = await openPath({ wal: true });
    await path.source.query('create table first (id int primary key)');
    first = await path.add('first', DIRECT);
    await first.copy();
  });
  afterAll(() => path.close());

  const readSlot = async (): Promise<string> => {
    const found = await path.source.query<{ name: string }>(
      `select slot_name::text as name from pg_replication_slots where database = current_database()`,
    );
    return found.rows[0]?.name ?? '';
  };
  const gap = async (table: string): Promise<unknown> =>
    path.source.query(`delete from ${table} where id = 1; insert into ${table} values (3, 'in the gap')`);
  /** Waits until the reader is gone: it goes on between slices. */
  const stopReading = async (): Promise<void> => {
    await path.source.query(
      `select pg_terminate_backend(active_pid, 5000) from pg_replication_slots where database = current_database() and active`,
    );
  };
  const heal = async (table: string, followed: Followed, { dropTarget = false } = {}): Promise<void> => {
    const failure = (await failureOf(() => followed.direct())) as Failure;
    expect(failure).toMatchObject({ kind: 'SourceChanged' });
    expect(failure.remedy).toContain(`pg2click remove public.${table}, then pg2click add public.${table}`);
    expect(failure.remedy).toContain('--capture wal');
    await followed.remove(dropTarget);
    const again = await path.add(table, DIRECT);
    await again.copy();
    await path.source.query(`insert into ${table} values (4, 'after')`);
    expect(await again.expectEqual()).toBe(3);
    await again.remove(true);
  };
  const filled = async (more = ''): Promise<{ table: string; followed: Followed }> => {
    const table = freshName('wal');
    await path.source.query(`create table ${table} (id int primary key, v text${more})`);
    const followed = await path.add(table, DIRECT);
    await followed.copy();
    await path.source.query(`insert into ${table} values (1, 'a'), (2, 'b')`);
    expect(await followed.expectEqual()).toBe(2);
    return { table, followed };
  };

  it('a slot that somebody has dropped', async () => {
    const { table, followed } = await filled();
    const slot = await readSlot();
    await waitFor(
      async () => {
        await stopReading();
        return path.source.query(`select pg_drop_replication_slot('${slot}')`).then(
          () => true,
          () => false,
        );
      },
      { deadlineMs: 20_000, what: 'the slot is dropped' },
    );
    await gap(table);
    await heal(table, followed);
    // It was behind the slot that is gone.
    expect(await failureOf(() => first.direct())).toMatchObject({ kind: 'SourceChanged' });
    await first.remove();
    first = await path.add('first', DIRECT);
    await first.copy();
  });

  it('a slot that somebody else has read', async () => {
    const { table, followed } = await filled();
    const slot = await readSlot();
    const read = `select pg_logical_slot_get_binary_changes('${slot}', null, null, 'proto_version', '1', 'publication_names', '${slot}')`;
    await gap(table);
    await waitFor(
      async () => {
        await stopReading();
        // Something to read, and to acknowledge, whichever of the two was first.
        await path.source.query(`update ${table} set v = v`);
        const found = await path.source.query(read).catch(() => undefined);
        return (found?.rowCount ?? 0) > 0;
      },
      { deadlineMs: 20_000, what: 'somebody else reads' },
    );
    await heal(table, followed);
    await first.remove();
    first = await path.add('first', DIRECT);
    await first.copy();
  });

  it('a publication that somebody has dropped and made again', async () => {
    const { table, followed } = await filled();
    const slot = await readSlot();
    await path.source.query(`drop publication ${slot}`);
    await gap(table);
    await path.source.query(
      `create publication ${slot} for table only ${table}, only first with (publish_via_partition_root = true)`,
    );
    await heal(table, followed);
    await first.remove();
    first = await path.add('first', DIRECT);
    await first.copy();
  });

  it('a table that somebody has taken out of the publication for a while', async () => {
    const { table, followed } = await filled();
    const slot = await readSlot();
    await path.source.query(`alter publication ${slot} drop table ${table}`);
    await gap(table);
    await path.source.query(`alter publication ${slot} add table ${table}`);
    await heal(table, followed);
  });

  it('a replica identity that is nothing: the writes of the user work again', async () => {
    const { table, followed } = await filled();
    await path.source.query(`alter table ${table} replica identity nothing`);
    await expect(path.source.query(`delete from ${table} where id = 1`)).rejects.toThrow(/replica identity/u);
    expect(await failureOf(() => followed.direct())).toMatchObject({
      kind: 'SourceChanged',
      message: expect.stringMatching(/replica identity .* was changed/u) as string,
      remedy: expect.stringMatching(
        /^Run in PostgreSQL: alter table .* replica identity default\. Then run/u,
      ) as string,
    });
    await gap(table);
    await path.source.query(`alter table ${table} replica identity default`);
    await heal(table, followed);
  });

  it.each([
    ['that was added', '', 'add g int generated always as (id) stored, replica identity full'],
    ['that was there', ', g int generated always as (id) stored', 'replica identity full'],
  ])(
    'a generated column %s under the replica identity FULL: the writes of the user work again',
    async (_, columns, change) => {
      const { table, followed } = await filled(columns);
      await path.source.query(`alter table ${table} ${change}`);
      await expect(path.source.query(`delete from ${table} where id = 1`)).rejects.toThrow(/cannot delete/u);
      const failure = (await failureOf(() => followed.direct())) as Failure;
      expect(failure).toMatchObject({ kind: 'SourceChanged' });
      expect(failure.message).toMatch(/generated column and the replica identity FULL/u);
      expect(failure.remedy).toMatch(
        /^Run in PostgreSQL: alter table .* replica identity default\. Then run .* --drop-target, then/u,
      );
      await gap(table);
      await path.source.query(`alter table ${table} replica identity default`);
      await heal(table, followed, { dropTarget: true });
    },
  );
});
