import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { Deps } from '../../activities/deps.js';
import { freshName, waitFor } from '../support/stack.js';
import { openPath, type Followed, type Path } from '../support/path.js';

/** What went missing is noticed before anything is read on, and adding the table again is the remedy that works. */
describe('lost history', () => {
  let path: Path;
  let table: string;
  let followed: Followed;
  beforeAll(async () => {
    path = await openPath();
  });
  afterAll(() => path.close());
  beforeEach(async () => {
    table = freshName('history');
    await path.source.query(`create table ${table} (id int primary key, v text);
      insert into ${table} select i, 'copied' from generate_series(1, 20) i`);
    followed = await path.add(table);
    await followed.copy();
    await path.source.query(`insert into ${table} select i, 'followed' from generate_series(21, 40) i`);
    await followed.expectEqual();
  });

  const remedy = async (): Promise<void> => {
    await path.source.query(`delete from ${table} where id = 5`);
    await followed.remove();
    const again = await path.add(table);
    await again.copy();
    expect(await again.expectEqual()).toBeGreaterThan(0);
  };

  it('an outbox that is dropped while a slice reads it', async () => {
    const { openSteps } = path.deps;
    const dropping: typeof openSteps = (...args) => {
      const steps = openSteps(...args);
      return {
        verify: () => steps.verify(),
        async advance(...batch) {
          await path.source.query(`drop table if exists pg2click.outbox_${followed.receipt.id}`);
          return steps.advance(...batch);
        },
      };
    };
    await path.source.query(`update ${table} set v = 'lost' where id = 1`);
    await expect(followed.publish({ openSteps: dropping })).rejects.toMatchObject({
      kind: 'SourceChanged',
      message: expect.stringContaining('its outbox was dropped') as string,
    });
    await followed.remove();
    const again = await path.add(table);
    await again.copy();
    expect(await again.expectEqual()).toBe(40);
  });

  it('a target that was emptied', async () => {
    await path.deps.clickhouse.command({ query: `truncate table ${followed.receipt.target}` });
    await expect(followed.load()).rejects.toMatchObject({ kind: 'SinkSetBack' });
    await remedy();
  });

  it('a target that was emptied, and got a newer row before anybody looked', async () => {
    const highest = await followed.sink('select toString(max(_version)) from {target}');
    await path.deps.clickhouse.command({ query: `truncate table ${followed.receipt.target}` });
    // What a batch that was in hand meanwhile leaves: the highest version alone tells of no loss any more.
    await path.deps.clickhouse.command({
      query: `insert into ${followed.receipt.target} values (40, 'newer', toUInt128('${highest}') + 1, 0)`,
    });
    await expect(followed.load()).rejects.toMatchObject({ kind: 'SinkSetBack' });
    await remedy();
  });

  it('a target that lost the part with its newest rows', async () => {
    const { receipt } = followed;
    await path.deps.clickhouse.command({ query: `system stop merges ${receipt.target}` });
    const part = await followed.sink(
      'select any(_part) from {target} where _version = (select max(_version) from {target})',
    );
    await path.deps.clickhouse.command({ query: `alter table ${receipt.target} drop part '${part}'` });
    await expect(followed.load()).rejects.toMatchObject({ kind: 'SinkSetBack' });
    await remedy();
  });

  it.each([
    [
      'an ALTER .. DELETE',
      (target: string) => `alter table ${target} delete where id > 20 settings mutations_sync = 1`,
    ],
    ['a DELETE', (target: string) => `delete from ${target} where id > 20`],
  ])('%s of the user is no loss, though it takes the newest versions: the table goes on', async (_, statement) => {
    await path.deps.clickhouse.command({ query: statement(followed.receipt.target) });
    for (let slice = 1; slice <= 2; slice += 1) await followed.load();
    await path.source.query(`insert into ${table} values (99, 'after')`);
    await followed.publish();
    for (let slice = 1; slice <= 2; slice += 1) await followed.load();
    expect(await followed.sink('select toString(count()) from {target} final where id = 99')).toBe('1');
  });

  it('a topic that was deleted and made anew, with as many messages in it', async () => {
    const admin = path.deps.kafka.admin();
    await admin.connect();
    const [before] = await admin.fetchTopicOffsets(followed.topic);
    await admin.deleteTopics({ topics: [followed.topic] });
    await expect.poll(async () => (await admin.listTopics()).includes(followed.topic), { timeout: 10_000 }).toBe(false);
    await admin.createTopics({ topics: [{ topic: followed.topic, numPartitions: 1 }] });
    await expect.poll(() => admin.listTopics(), { timeout: 10_000 }).toContain(followed.topic);
    const producer = path.deps.kafka.producer();
    await producer.connect();
    const messages = Array.from({ length: Number(before?.high) + 10 }, () => ({ value: '{}' }));
    await expect
      .poll(
        () =>
          producer.send({ topic: followed.topic, messages }).then(
            () => true,
            () => false,
          ),
        { timeout: 15_000 },
      )
      .toBe(true);
    await producer.disconnect();
    await admin.disconnect();
    await expect(followed.load()).rejects.toMatchObject({ kind: 'TopicReplaced' });
    await remedy();
  });

  it('messages that expired before they were loaded', async () => {
    await path.source.query(`update ${table} set v = 'lost'`);
    await followed.publish();
    const admin = path.deps.kafka.admin();
    await admin.connect();
    const offsets = await admin.fetchTopicOffsets(followed.topic);
    await admin.deleteTopicRecords({
      topic: followed.topic,
      partitions: offsets.map(({ partition, high }) => ({ partition, offset: String(Number(high) - 1) })),
    });
    await admin.disconnect();
    await expect(followed.load()).rejects.toMatchObject({ kind: 'OffsetsExpired' });
    await remedy();
  });

  it('partitions that were added to the topic', async () => {
    const admin = path.deps.kafka.admin();
    await admin.connect();
    await admin.createPartitions({ topicPartitions: [{ topic: followed.topic, count: 3 }] });
    await admin.disconnect();
    await expect(followed.load()).rejects.toMatchObject({ kind: 'PartitionsChanged' });
    await remedy();
  });

  it('a ledger that was set back', async () => {
    await path.source.query(`update pg2click.stage set batch = batch - 1 where table_id = ${followed.receipt.id}`);
    await expect(followed.load()).rejects.toMatchObject({ kind: 'LedgerSetBack' });
    await expect(followed.publish()).rejects.toMatchObject({ kind: 'LedgerSetBack' });
    await remedy();
  });

  it('a source whose outbox counts anew while it is read', async () => {
    const { id } = followed.receipt;
    const slice = followed.publish(undefined, 60_000);
    const ended = expect(slice).rejects.toMatchObject({ kind: 'SourceSetBack' });
    const [before] = (await path.ledger.query(`select batch from pg2click.stage where table_id = ${id}`)).rows;
    await path.source.query(`insert into ${table} values (41, 'last of the old')`);
    const published = async (): Promise<boolean> => {
      const { rows } = await path.ledger.query(
        `select 1 from pg2click.stage where table_id = ${id} and stage = 'publish' and batch > $1 and pending is null`,
        [before.batch],
      );
      return rows.length === 1;
    };
    await waitFor(published, { deadlineMs: 30_000, what: 'the slice to read' });
    await path.source.query(`alter table pg2click.outbox_${id} alter seq restart with 1;
      insert into ${table} values (42, 'first of the new')`);
    await ended;
    await remedy();
  });

  it('a source whose outbox counts from an older number', async () => {
    await path.source.query(
      `select setval(pg_get_serial_sequence('pg2click.outbox_${followed.receipt.id}', 'seq'), 5)`,
    );
    await expect(followed.publish()).rejects.toMatchObject({ kind: 'SourceSetBack' });
    await remedy();
  });

  it('events that something else took out of the outbox', async () => {
    await path.source.query(`update ${table} set v = 'unseen'`);
    const stolen = followed.publish({
      publisher: async () => {
        const publisher = await path.deps.publisher();
        return {
          close: () => publisher.close(),
          async send(request, changes) {
            const sent = await publisher.send(request, changes);
            await path.source.query(`delete from pg2click.outbox_${followed.receipt.id} where k1 = 7`);
            return sent;
          },
        };
      },
    });
    await expect(stolen).rejects.toMatchObject({ kind: 'OutboxInconsistent' });
    await remedy();
  });

  it.each([
    [
      'triggers that were off for a while',
      (name: string) => `alter table ${name} disable trigger user; alter table ${name} enable trigger user`,
    ],
    ['a key of another type', (name: string) => `alter table ${name} alter id type bigint`],
    ['a primary key that was dropped', (name: string) => `alter table ${name} drop constraint ${name}_pkey`],
  ])('%s: changes that no event announces', async (_, change) => {
    await path.source.query(change(table));
    await expect(followed.publish()).rejects.toMatchObject({ kind: expect.stringMatching(/SourceChanged/u) as string });
  });

  it('a column that began to allow NULL after the slice had looked: no NULL becomes a 0', async () => {
    await path.source.query(`create table ${table}_n (id int primary key, n int not null)`);
    const numbers = await path.add(`${table}_n`);
    await numbers.copy();
    const late = numbers.publish({
      // Between the look at the fingerprint and the first batch.
      publisher: async () => {
        await path.source.query(
          `alter table ${table}_n alter n drop not null; insert into ${table}_n values (1, null)`,
        );
        return path.deps.publisher();
      },
    });
    expect(await late).toMatchObject({ batches: 0, shapes: [{ shape: 2, class: 'follow' }] });
    expect(await numbers.expectEqual()).toBe(1);
    expect(await numbers.sink('select n from {current}')).toBe(String.raw`\N`);
  });

  describe('a type that was changed after the last look', () => {
    let name: string;
    let numbers: Followed;
    beforeEach(async () => {
      name = `${table}_t`;
      await path.source.query(`create type ${name}_mood as enum ('one');
        create domain ${name}_amount as numeric(10, 2); create domain ${name}_price as ${name}_amount;
        create table ${name} (id int primary key, n int not null, mood ${name}_mood, amount numeric(10, 2),
          price ${name}_price, word varchar(3));
        insert into ${name} values (1, 1, 'one', 1.25, 2.5, 'abc')`);
      numbers = await path.add(name);
    });
    const values = (): Promise<string> =>
      numbers.sink('select id, n, mood, amount, price, word from {current} order by id');
    // In a slice that goes on: after its first batch, long after its look at the fingerprint.
    const publishAround = async (change: string): Promise<unknown> => {
      await path.source.query(`update ${name} set n = n`);
      const publisher: Deps['publisher'] = async () => {
        const real = await path.deps.publisher();
        return {
          close: () => real.close(),
          async send(request, changes) {
            const sent = await real.send(request, changes);
            if (!changed) await path.source.query(change);
            changed = true;
            return sent;
          },
        };
      };
      let changed = false;
      return numbers.publish({ publisher }, 3000);
    };

    it.each([
      ['n type bigint', '3000000000', '1', 'the column n was changed from integer to bigint'],
      [
        'amount type numeric(12, 4)',
        '1',
        '1.2345',
        'the column amount was changed from numeric(10,2) to numeric(12,4)',
      ],
    ])('%s: no batch carries a row of the new type under the old shape', async (change, n, amount, sentence) => {
      await numbers.copy();
      const late = publishAround(
        `alter table ${name} alter ${change}; insert into ${name} values (2, ${n}, 'one', ${amount}, 2.5, 'abc')`,
      );
      expect(await late).toMatchObject({
        batches: 1,
        shapes: [{ shape: 2, class: 'copy', change: sentence }],
        copyAgain: true,
      });
      await numbers.load();
      expect(await values()).toBe('1\t1\tone\t1.25\t2.5\tabc');
      await numbers.settle();
      expect(await values()).toBe(`1\t1\tone\t1.25\t2.5\tabc\n2\t${n}\tone\t${amount}\t2.5\tabc`);
      await numbers.copy();
      expect(await values()).toBe(`1\t1\tone\t1.25\t2.5\tabc\n2\t${n}\tone\t${amount}\t2.5\tabc`);
    });

    it('n type bigint before the copy: it is copied as what it is', async () => {
      await path.source.query(`alter table ${name} alter n type bigint; update ${name} set n = 3000000000`);
      expect(await numbers.copy()).toMatchObject({ rows: 1 });
      expect(await values()).toBe('1\t3000000000\tone\t1.25\t2.5\tabc');
    });

    it('what the target holds as well as before goes on', async () => {
      const change = `alter type ${name}_mood add value 'two'; alter table ${name} alter word type varchar(9)`;
      for (const statement of change.split(';')) await path.source.query(statement);
      await numbers.copy();
      await path.source.query(`alter type ${name}_mood add value 'three'`);
      await publishAround(`alter type ${name}_mood add value 'four'`);
      await publishAround(`alter table ${name} alter word type varchar(12);
        insert into ${name} values (2, 2, 'two', 1.25, 2.5, 'a longer one')`);
      await numbers.settle();
      expect(await values()).toBe('1\t1\tone\t1.25\t2.5\tabc\n2\t2\ttwo\t1.25\t2.5\ta longer one');
    });
  });
});
