import { readdirSync, readFileSync, rmSync, truncateSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Deps } from '../../activities/deps.js';
import { startStack, type Stack } from '../../dev/stack/stack.js';
import { again, publishAll } from '../support/again.js';
import { environmentOf } from '../support/clients.js';
import { openPath, type Followed, type Path } from '../support/path.js';
import { freshName } from '../support/stack.js';
import { newStateDir } from '../support/state-dir.js';

/** Takes the last record batch of a partition out of the files of a broker that is down. */
function cutTail(directory: string): void {
  const [log = ''] = readdirSync(directory).filter((name) => name.endsWith('.log'));
  const bytes = readFileSync(join(directory, log));
  let last = 0;
  for (let at = 0; at < bytes.length; at += 12 + bytes.readInt32BE(at + 8)) last = at;
  truncateSync(join(directory, log), last);
  for (const name of readdirSync(directory))
    if (/\.(?:snapshot|index|timeindex)$/u.test(name)) rmSync(join(directory, name));
}

describe('Kafka that loses what it acknowledged', () => {
  const stateDir = newStateDir();
  let stack: Stack;
  let path: Path;
  beforeAll(async () => {
    stack = await startStack({ stateDir, servers: ['kafka'], report: () => undefined });
    path = await openPath({ env: environmentOf({ kafka: stack.addresses.kafka }), sliceMs: 1_000 });
  });
  afterAll(async () => {
    await path.close();
    await stack.stop();
    rmSync(stateDir, { recursive: true, force: true });
  });

  const follow = async (options = {}): Promise<{ table: string; followed: Followed }> => {
    const table = freshName('tail');
    await path.source.query(`create table ${table} (id int primary key, v text)`);
    const followed = await path.add(table, options);
    await followed.copy();
    return { table, followed };
  };
  const insert = (table: string, first: number): Promise<unknown> =>
    path.source.query(`insert into ${table} select i, 'v' from generate_series(${first}, ${first + 9}) i`);
  const endOf = async ({ topic }: Followed): Promise<number> => {
    const location = await path.deps.reader(topic, { subscriber: 'test' }).locate();
    return Object.values(location?.offsets ?? {}).reduce((sum, { high }) => sum + Number(high), 0);
  };

  it('parks the table before anything is sent: a loader that was behind would never know', async () => {
    const { table, followed } = await follow();
    await insert(table, 1);
    await publishAll(followed);
    await insert(table, 11);
    await publishAll(followed);
    await stack.kill('kafka', 'SIGKILL');
    cutTail(join(stateDir, 'kafka', 'data', `${followed.topic}-0`));
    await stack.start('kafka');
    await insert(table, 21);
    await expect(again(() => followed.publish())).rejects.toMatchObject({ kind: 'TopicReplaced' });
    expect(await endOf(followed)).toBe(10);
  });

  it('goes on with all that it has after a kill, in every partition', async () => {
    const { table, followed } = await follow({ partitions: 3 });
    for (let round = 0; round < 3; round++) {
      await insert(table, round * 10 + 1);
      await publishAll(followed);
      await stack.kill('kafka', round === 1 ? 'SIGTERM' : 'SIGKILL');
      await stack.start('kafka');
    }
    await insert(table, 31);
    expect(await again(() => followed.expectEqual())).toBe(40);
  });

  const remake = async ({ topic }: Followed): Promise<void> => {
    const admin = path.deps.kafka.admin();
    await admin.connect();
    await admin.deleteTopics({ topics: [topic] });
    await expect.poll(() => admin.listTopics(), { timeout: 10_000 }).not.toContain(topic);
    await admin.createTopics({ topics: [{ topic, numPartitions: 1 }] });
    await expect.poll(() => admin.listTopics(), { timeout: 10_000 }).toContain(topic);
    await admin.disconnect();
  };

  it('parks the table whose topic was made again while a batch was in hand, and does not confirm the batch', async () => {
    const { table, followed } = await follow();
    await insert(table, 1);
    await publishAll(followed);
    const before = await followed.publish();
    await insert(table, 11);
    let isRemade = false;
    const publisher: Deps['publisher'] = async () => {
      const real = await path.deps.publisher();
      return {
        close: () => real.close(),
        async send(request, changes) {
          if (!isRemade) await remake(followed);
          isRemade = true;
          return real.send(request, changes);
        },
      };
    };
    await expect(followed.publish({ publisher }, 20_000)).rejects.toMatchObject({ kind: 'TopicReplaced' });
    const stage = await path.source.query<{ batch: number }>(
      `select batch::int from pg2click.stage where table_id = ${followed.receipt.id} and stage = 'publish'`,
    );
    expect(stage.rows).toEqual([{ batch: before.checkpoint.batch }]);
  });

  it('a ledger of an older release, which has not noted any offset, goes on', async () => {
    const { table, followed } = await follow();
    await insert(table, 1);
    await publishAll(followed);
    await path.source.query(`update pg2click.stage set proof = null where table_id = ${followed.receipt.id}`);
    await insert(table, 11);
    expect(await followed.expectEqual()).toBe(20);
  });

  it('messages that expired are no loss for the publisher', async () => {
    const { table, followed } = await follow();
    await insert(table, 1);
    await followed.settle();
    const admin = path.deps.kafka.admin();
    await admin.connect();
    const offsets = await admin.fetchTopicOffsets(followed.topic);
    await admin.deleteTopicRecords({
      topic: followed.topic,
      partitions: offsets.map(({ partition, high }) => ({ partition, offset: high })),
    });
    await admin.disconnect();
    await insert(table, 11);
    expect(await followed.expectEqual()).toBe(20);
  });
});
