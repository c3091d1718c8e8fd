import { afterEach, describe, expect, test } from 'vitest';
import { openOffsetMirror, type OffsetMirror } from '../../src/topic/offset-mirror.js';
import { ensureTopic } from '../../src/topic/admin.js';
import { connectCuttableKafka, connectTestKafka, freshTopicName, silentLog, withAdmin } from '../support/kafka.js';
import { freshName, waitFor } from '../support/stack.js';

const kafka = connectTestKafka();
const mirrors: OffsetMirror[] = [];
afterEach(async () => {
  await Promise.all(mirrors.splice(0).map((mirror) => mirror.close()));
});

async function freshTopic(partitions: number): Promise<string> {
  const topic = freshTopicName();
  await withAdmin((admin) => ensureTopic(admin, { topic, partitions, retentionMs: 86_400_000 }));
  return topic;
}

function mirror(group: string, client = kafka): OffsetMirror {
  const opened = openOffsetMirror(client, { group, log: silentLog, everyMs: 20 });
  mirrors.push(opened);
  return opened;
}

async function offsetsOf(groupId: string, topic: string): Promise<Record<string, string>> {
  const [found] = await withAdmin((admin) => admin.fetchOffsets({ groupId, topics: [topic] }));
  return Object.fromEntries(found?.partitions.map(({ partition, offset }) => [partition, offset]) ?? []);
}

const shows = (group: string, topic: string, offsets: Record<string, string>) =>
  waitFor(
    async (see) => {
      const seen = await offsetsOf(group, topic);
      see(seen);
      return JSON.stringify(seen) === JSON.stringify(offsets);
    },
    { deadlineMs: 15_000, what: `offsets ${JSON.stringify(offsets)}` },
  );

describe('an offset mirror', () => {
  test('shows the position of each topic in one group, which stays empty', async () => {
    const group = freshName('group');
    const [first, second] = [await freshTopic(2), await freshTopic(1)];
    const opened = mirror(group);
    opened.commit(first, { '0': '12', '1': '7' });
    opened.commit(second, { '0': '3' });
    await shows(group, first, { '0': '12', '1': '7' });
    await shows(group, second, { '0': '3' });
    const { groups } = await withAdmin((admin) => admin.describeGroups([group]));
    expect(groups[0]).toMatchObject({ state: 'Empty', members: [] });
  });

  test('shows the others where a topic is gone', async () => {
    const group = freshName('group');
    const [first, gone, last] = [await freshTopic(1), freshTopicName(), await freshTopic(1)];
    const opened = mirror(group);
    for (let round = 1; round <= 2; round++) {
      opened.commit(gone, { '0': '5' });
      opened.commit(first, { '0': String(round) });
      opened.commit(last, { '0': String(round) });
      await shows(group, first, { '0': String(round) });
      await shows(group, last, { '0': String(round) });
    }
  });

  test('holds one connection, however many topics it shows', async () => {
    const [group, topics] = [freshName('group'), await Promise.all([1, 1, 1, 1, 1].map(freshTopic))];
    const cable = connectCuttableKafka();
    const opened = mirror(group, cable.kafka);
    for (const topic of topics) opened.commit(topic, { '0': '1' });
    for (const topic of topics) await shows(group, topic, { '0': '1' });
    expect(cable.open()).toBeLessThanOrEqual(2);
    await opened.close();
    await waitFor(() => cable.open() === 0, { deadlineMs: 5_000, what: 'its sockets to go' });
  });

  test('ends at the last of many commits, and shows it when it is closed', async () => {
    const [group, topic] = [freshName('group'), await freshTopic(1)];
    const opened = mirror(group);
    for (let offset = 1; offset <= 500; offset++) opened.commit(topic, { '0': String(offset) });
    await shows(group, topic, { '0': '500' });
    opened.commit(topic, { '0': '501' });
    await opened.close();
    expect(await offsetsOf(group, topic)).toEqual({ '0': '501' });
  });

  test('neither throws nor waits where Kafka is away', async () => {
    const [group, topic] = [freshName('group'), await freshTopic(1)];
    const cable = connectCuttableKafka();
    cable.cut();
    const opened = mirror(group, cable.kafka);
    const startedAt = Date.now();
    opened.commit(topic, { '0': '1' });
    opened.commit(topic, { '0': '2' });
    expect(Date.now() - startedAt).toBeLessThan(500);
  });

  test('gives way to a real member of the group', async () => {
    const [group, topic] = [freshName('group'), await freshTopic(1)];
    const member = kafka.consumer({ groupId: group });
    await member.connect();
    await member.subscribe({ topic });
    const joined = new Promise((resolve) => member.on(member.events.GROUP_JOIN, resolve));
    await member.run({ autoCommit: false, eachBatch: () => Promise.resolve() });
    await joined;
    const opened = mirror(group);
    opened.commit(topic, { '0': '9' });
    await opened.close();
    expect(await offsetsOf(group, topic)).toEqual({ '0': '-1' });
    await member.disconnect();
  });
});
