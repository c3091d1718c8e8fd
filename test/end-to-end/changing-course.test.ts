import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { freshName, waitFor } from '../support/stack.js';
import { openPath, type Followed, type Path } from '../support/path.js';

/** The route of a table that is replicated is changed, slice by slice, over real servers. */
describe('a change of the route', () => {
  let path: Path;
  beforeAll(async () => {
    path = await openPath();
  });
  afterAll(() => path.close());

  const added = async (options: object = {}): Promise<{ table: string; followed: Followed }> => {
    const table = freshName('course');
    await path.source.query(`create table ${table} (id int primary key, v text);
      insert into ${table} select i, 'first' from generate_series(1, 500) i`);
    const followed = await path.add(table, options);
    await followed.copy();
    return { table, followed };
  };
  /** Inserts, updates, deletes, in one transaction. */
  let round = 0;
  const mix = (table: string): Promise<unknown> => {
    round += 1;
    return path.source
      .query(`begin; insert into ${table} select i, 'round ${round}' from generate_series(${round * 1000}, ${round * 1000 + 99}) i;
      update ${table} set v = v || '+${round}' where id % 7 = ${round % 7}; delete from ${table} where id % 31 = ${round % 31}; commit`);
  };

  it('of the format: what is named is sent again in the new one, and nothing else changes', async () => {
    const { table, followed } = await added();
    await mix(table);
    await followed.publish();
    await mix(table);
    const { id, generation } = followed.receipt;
    const done = await followed.configure({ format: 'packed' }, () => mix(table));
    expect(done).toMatchObject({ next: null, prepared: { id, generation } });
    await mix(table);
    await followed.expectEqual();
    await followed.configure({ format: 'json' });
    await mix(table);
    await followed.expectEqual();
  });

  it('of the payload: rows, keys and packed rows follow each other, also those of a batch that is sent again', async () => {
    const { table, followed } = await added();
    const { id, generation } = followed.receipt;
    const send = path.deps.publisher();
    const killed = async (): Promise<void> => {
      const publisher = await send;
      const failing = {
        ...publisher,
        send: async (...args: Parameters<typeof publisher.send>) => {
          await publisher.send(...args);
          throw new Error('killed after the last message');
        },
      };
      await expect(followed.publish({ publisher: () => Promise.resolve(failing) })).rejects.toThrow('killed');
    };
    for (const to of [
      { payload: 'key' },
      { payload: 'row', format: 'packed' },
      { payload: 'key' },
      { payload: 'row' },
    ] as const) {
      await mix(table);
      await followed.publish();
      await mix(table);
      await killed();
      const done = await followed.configure(to, () => mix(table));
      expect(done).toMatchObject({ next: null, prepared: { id, generation } });
      expect(done.refused).toBeUndefined();
      await mix(table);
      await followed.expectEqual();
    }
    await path.source.query(`truncate ${table}; insert into ${table} values (1, 'after')`);
    await followed.configure({ payload: 'key' });
    expect(await followed.expectEqual()).toBe(1);
  });

  it('from Kafka to direct and back: positions and the name in hand go on, and both sides are equal', async () => {
    const { table, followed } = await added();
    const { id, generation } = followed.receipt;
    await mix(table);
    await followed.publish();
    await mix(table);
    const direct = await followed.configure({ transport: 'direct' }, () => mix(table));
    expect(direct).toMatchObject({ next: null, prepared: { id, generation, topic: null } });
    await mix(table);
    await followed.expectEqual();
    await path.source.query(`truncate ${table}; insert into ${table} values (1, 'after')`);
    const kafka = await followed.configure({ transport: 'kafka', format: 'packed' }, () => mix(table));
    expect(kafka).toMatchObject({ next: null, prepared: { id, generation } });
    expect(followed.topic).not.toBe('');
    await mix(table);
    await followed.expectEqual();
    await followed.configure({ transport: 'direct' }, () => mix(table));
    await followed.expectEqual();
  });

  it('to direct waits for what is in the topic; a batch that is in it in part is moved again', async () => {
    const { table, followed } = await added();
    await mix(table);
    await followed.publish();
    const row = async () =>
      (
        await path.ledger.query<{ stage: string; batch: string; pending: { batch: number } | null }>(
          `select stage, batch, pending from pg2click.stage where table_id = $1 and stage in ('publish', 'direct:main')`,
          [followed.receipt.id],
        )
      ).rows;
    await mix(table);
    // Named, sent, and not confirmed: as after a kill.
    const publisher = await path.deps.publisher();
    const failing = {
      ...publisher,
      send: async (...args: Parameters<typeof publisher.send>) => {
        await publisher.send(...args);
        throw new Error('killed after the last message');
      },
    };
    await expect(followed.publish({ publisher: () => Promise.resolve(failing) })).rejects.toThrow('killed');
    const [before] = await row();
    expect(before?.pending).not.toBeNull();
    await followed.configure({ transport: 'direct' }, async (step) => {
      if (step === 'switching') expect(await row()).toEqual([before]);
    });
    expect(await row()).toEqual([{ ...before, stage: 'direct:main' }]);
    await followed.expectEqual();
  });

  it.each([
    ['after the switch', false],
    ['after the way back to Kafka', true],
  ])('leaves a frozen publisher behind: it thaws %s, and what it sends changes nothing', async (_, afterBack) => {
    const { table, followed } = await added();
    await mix(table);
    await followed.settle();
    const publisher = await path.deps.publisher();
    let thaw = (): void => undefined;
    const thawed = new Promise<void>((resolve) => (thaw = resolve));
    let isFrozen = false;
    const frozen = {
      ...publisher,
      send: async (...args: Parameters<typeof publisher.send>) => {
        isFrozen = true;
        await thawed;
        return publisher.send(...args);
      },
    };
    await path.source.query(`insert into ${table} values (-5, 'before')`);
    const old = followed.publish({ publisher: () => Promise.resolve(frozen) }, 60_000).catch((error: Error) => error);
    await waitFor(
      () => Promise.race([old.then((error) => Promise.reject(error as Error)), Promise.resolve(isFrozen)]),
      { deadlineMs: 30_000, what: 'a batch in hand' },
    );
    await followed.configure({ transport: 'direct' });
    await path.source.query(`update ${table} set v = 'after' where id = -5`);
    await followed.settle();
    if (afterBack) await followed.configure({ transport: 'kafka' }, () => mix(table));
    thaw();
    expect(await old).toMatchObject({ kind: 'Fenced' });
    await followed.expectEqual();
    if (!afterBack) await followed.configure({ transport: 'kafka' }, () => mix(table));
    await followed.expectEqual();
    expect(await followed.sink('select v from {current} where id = -5')).toBe('after');
  });

  it('goes on from any step that is made again, as after a crash, and from a command to go back', async () => {
    const { table, followed } = await added();
    for (const [there, back] of [
      [{ transport: 'direct' }, { transport: 'kafka' }],
      [{ transport: 'kafka' }, { transport: 'direct' }],
    ] as const) {
      await mix(table);
      for (const step of ['preparing', 'draining', 'draining'] as const) await followed.change(there, step);
      // Nothing is switched yet: what was wanted before is what the table has.
      expect(await followed.configure(back)).toMatchObject({ next: null });
      await followed.expectEqual();
      await mix(table);
      for (const step of ['preparing', 'draining', 'switching'] as const) await followed.change(there, step);
      // Its answer was lost: every step finds it done.
      for (const step of ['switching', 'draining', 'preparing'] as const)
        expect(await followed.change(there, step)).toMatchObject({ next: null });
      await followed.configure(there);
      await followed.expectEqual();
    }
  });

  it('that is repeated, or changes nothing, does nothing', async () => {
    const { followed } = await added({ format: 'packed' });
    const before = followed.receipt;
    expect(await followed.configure({ format: 'packed' })).toEqual({
      next: null,
      prepared: { ...before, estimatedRows: null },
    });
    for (const step of ['preparing', 'draining', 'switching', 'clearing'] as const)
      expect(await followed.change({ transport: 'kafka' }, step)).toMatchObject({ next: null });
  });

  describe('of what captures the changes', () => {
    const polled = async (options: object = {}): Promise<{ table: string; followed: Followed }> => {
      const table = freshName('grown');
      await path.source.query(`create table ${table} (id bigint generated always as identity primary key, v text);
        grant select on sequence ${table}_id_seq to public;
        insert into ${table} (v) select 'first' from generate_series(1, 500) i`);
      const followed = await path.add(table, { capture: 'poll', ...options });
      await followed.expectEqual();
      return { table, followed };
    };
    const insert = (table: string): Promise<unknown> =>
      path.source.query(`insert into ${table} (v) select 'more' from generate_series(1, 100) i`);
    const change = (table: string): Promise<unknown> =>
      path.source.query(`begin; insert into ${table} (v) select 'new' from generate_series(1, 100);
        update ${table} set v = v || '+' where id % 3 = 0; delete from ${table} where id % 7 = 0; commit`);

    it('from poll to notify and back: reading goes on, nothing is copied', async () => {
      const { table, followed } = await polled();
      const { generation } = followed.receipt;
      await insert(table);
      expect(await followed.configure({ capture: 'notify' }, () => insert(table))).toMatchObject({
        next: null,
        prepared: { generation },
      });
      await insert(table);
      expect(await followed.expectEqual()).toBeGreaterThan(1_000);
      await followed.configure({ capture: 'poll' }, () => insert(table));
      expect(await followed.expectEqual()).toBeGreaterThan(1_300);
      const triggers = await path.source.query(`select from pg_trigger where tgrelid = '${table}'::regclass`);
      expect(triggers.rowCount).toBe(0);
    });

    it('from poll to outbox: deletes and updates of the time before are made up, and old rows show until then', async () => {
      const { table, followed } = await polled();
      await change(table);
      const shown = await followed.sink('select count() from {current}');
      await followed.configure({ capture: 'outbox', transport: 'kafka' }, () => change(table));
      expect(followed.receipt.generation).toBe(2);
      expect(Number(await followed.sink('select count() from {current}'))).toBeGreaterThanOrEqual(Number(shown));
      await change(table);
      await followed.copy();
      await change(table);
      await followed.expectEqual();
      // On to direct, and back to poll for a table that only grows from now on.
      await followed.configure({ transport: 'direct' }, () => change(table));
      await followed.expectEqual();
    });

    it('from outbox to poll: only when the table is said to grow only, and no row is lost or comes back', async () => {
      const { table, followed } = await polled();
      await followed.configure({ capture: 'outbox' });
      await followed.copy();
      await change(table);
      expect(await followed.configure({ capture: 'poll' })).toMatchObject({
        refused: expect.stringMatching(/--append-only/u),
      });
      await followed.expectEqual();
      await change(table);
      await followed.configure({ capture: 'poll', appendOnly: true }, () => insert(table));
      expect(followed.receipt.generation).toBe(3);
      await insert(table);
      const rows = await followed.expectEqual();
      await insert(table);
      expect(await followed.expectEqual()).toBe(rows + 100);
      const left = await path.source.query(`select from pg_trigger where tgrelid = '${table}'::regclass`);
      expect(left.rowCount).toBe(0);
    });

    it('from outbox to poll: a row whose number was drawn long before is not lost', async () => {
      const { table, followed } = await polled();
      await followed.configure({ capture: 'outbox' });
      await followed.copy();
      await followed.settle();
      const late = await path.session();
      const drawn = await late.query<{ id: string }>(`select nextval(pg_get_serial_sequence('${table}', 'id')) as id`);
      await followed.configure({ capture: 'poll', appendOnly: true }, () => insert(table));
      await followed.settle();
      await late.query(`insert into ${table} (id, v) overriding system value values ($1, 'late')`, [drawn.rows[0]?.id]);
      await waitFor(
        async () => (
          await followed.settle(),
          (await followed.sink(`select count() from {current} where v = 'late'`)) === '1'
        ),
        {
          deadlineMs: 20_000,
          what: 'the late row',
        },
      );
    });
  });

  it('with a ledger elsewhere: what the outbox has drained goes on, or starts again, with it', async () => {
    const apart = await openPath({ ledgerElsewhere: true });
    try {
      const table = freshName('apart');
      await apart.source.query(`create table ${table} (id bigint generated always as identity primary key, v text);
        grant select on sequence ${table}_id_seq to public;
        insert into ${table} (v) select 'first' from generate_series(1, 500)`);
      const change = (): Promise<unknown> =>
        apart.source.query(`begin; insert into ${table} (v) select 'new' from generate_series(1, 50);
          update ${table} set v = v || '+' where id % 3 = 0; delete from ${table} where id % 17 = 0; commit`);
      const followed = await apart.add(table, { capture: 'poll' });
      await followed.expectEqual();
      await followed.configure({ capture: 'outbox' }, change);
      await followed.copy();
      for (const transport of ['kafka', 'direct', 'kafka'] as const) {
        await change();
        await followed.configure({ transport }, change);
        await change();
        await followed.expectEqual();
      }
    } finally {
      await apart.close();
    }
  });

  it.each([
    [{ engine: 'merge-tree' }, /plain MergeTree cannot replace/u],
    [{ topic: 'another' }, /topic of a table stays/u],
    [{ capture: 'telepathy' }, /no capture "telepathy"/u],
  ] as const)('to %j is refused with its reason, and the table goes on', async (options, reason) => {
    const { table, followed } = await added();
    const { refused, next } = await followed.configure(options);
    expect(refused).toMatch(reason);
    expect(next).toBeNull();
    await mix(table);
    await followed.expectEqual();
  });
});
