import { ConfigResourceTypes } from 'kafkajs';
import { describe, expect, test } from 'vitest';
import { deleteTopic, ensureTopic, topicState } from '../../src/topic/admin.js';
import { topicNameFor } from '../../src/topic/topic-name.js';
import { freshTopicName, withAdmin } from '../support/kafka.js';
import { freshName, waitFor } from '../support/stack.js';

const DAY_MS = 86_400_000;

async function configOf(topic: string): Promise<Record<string, string>> {
  const { resources } = await withAdmin((admin) =>
    admin.describeConfigs({ includeSynonyms: false, resources: [{ type: ConfigResourceTypes.TOPIC, name: topic }] }),
  );
  return Object.fromEntries(
    resources.flatMap(({ configEntries }) => configEntries.map((entry) => [entry.configName, entry.configValue])),
  );
}

describe('ensureTopic', () => {
  test('makes a topic that keeps every message for the retention', async () => {
    const topic = freshTopicName();
    const wish = { topic, partitions: 3, retentionMs: 2 * DAY_MS, maxMessageBytes: 2_000_000 };
    expect(await withAdmin((admin) => ensureTopic(admin, wish))).toEqual({ partitions: 3, created: true });
    expect(await configOf(topic)).toMatchObject({
      'cleanup.policy': 'delete',
      'retention.ms': String(2 * DAY_MS),
      'max.message.bytes': '2000000',
      'unclean.leader.election.enable': 'false',
      'retention.bytes': '-1',
      'compression.type': 'producer',
      'message.timestamp.type': 'LogAppendTime',
    });
  });

  test('makes it without the settings that the broker refuses, and names those', async () => {
    const topic = freshTopicName();
    const wishes = {
      'retention.bytes': '-1',
      'compression.type': 'nonsense',
      'message.timestamp.type': 'LogAppendTime',
    };
    expect(await withAdmin((admin) => ensureTopic(admin, { topic, retentionMs: DAY_MS }, wishes))).toEqual({
      partitions: 1,
      created: true,
      refused: ['compression.type'],
    });
    expect(await configOf(topic)).toMatchObject({
      'retention.bytes': '-1',
      'retention.ms': String(DAY_MS),
      'message.timestamp.type': 'LogAppendTime',
    });
  });

  test('has one partition unless told otherwise, and leaves a topic alone that is there', async () => {
    const topic = freshTopicName();
    await withAdmin((admin) => ensureTopic(admin, { topic, retentionMs: DAY_MS }));
    const again = await withAdmin((admin) => ensureTopic(admin, { topic, partitions: 5, retentionMs: 1 }));
    expect(again).toEqual({ partitions: 1, created: false });
    const longer = await withAdmin((admin) => ensureTopic(admin, { topic, retentionMs: 2 * DAY_MS }));
    expect(longer).toEqual({ partitions: 1, created: false, shorter: [`retention.ms=${DAY_MS}`] });
    expect(await configOf(topic)).toMatchObject({ 'retention.ms': String(DAY_MS) });
  });

  test('may be called by two workers at once', async () => {
    const topic = freshTopicName();
    const both = [1, 2].map(() =>
      withAdmin((admin) => ensureTopic(admin, { topic, partitions: 2, retentionMs: DAY_MS })),
    );
    for (const { partitions } of await Promise.all(both)) expect(partitions).toBe(2);
  });

  test.each(['zstd', 'lz4', 'snappy'])(
    'refuses a topic that Kafka compresses with %s: it is not read',
    async (codec) => {
      const topic = freshTopicName();
      const configEntries = [{ name: 'compression.type', value: codec }];
      await withAdmin((admin) => admin.createTopics({ topics: [{ topic, configEntries }] }));
      const ensure = () => withAdmin((admin) => ensureTopic(admin, { topic, retentionMs: DAY_MS }));
      await expect(ensure()).rejects.toMatchObject({
        kind: 'Misconfigured',
        message: expect.stringContaining(`compression.type=${codec}`),
        remedy: expect.stringContaining('compression.type=producer'),
      });
      await withAdmin((admin) =>
        admin.alterConfigs({
          validateOnly: false,
          resources: [
            {
              type: ConfigResourceTypes.TOPIC,
              name: topic,
              configEntries: [{ name: 'compression.type', value: 'producer' }],
            },
          ],
        }),
      );
      await waitFor(
        () =>
          ensure().then(
            () => true,
            () => false,
          ),
        { deadlineMs: 10_000, what: 'the setting' },
      );
    },
  );

  test('refuses a compacted topic: a removed message cannot be told from a lost one', async () => {
    const topic = freshTopicName();
    await withAdmin((admin) =>
      admin.createTopics({ topics: [{ topic, configEntries: [{ name: 'cleanup.policy', value: 'compact' }] }] }),
    );
    const ensured = withAdmin((admin) => ensureTopic(admin, { topic, retentionMs: DAY_MS }));
    await expect(ensured).rejects.toMatchObject({ name: 'Failure', kind: 'Misconfigured' });
  });

  test('says what is wrong with a name that Kafka takes for another topic', async () => {
    const topic = freshTopicName();
    await withAdmin((admin) => ensureTopic(admin, { topic: `${topic}.a`, retentionMs: DAY_MS }));
    const ensured = withAdmin((admin) => ensureTopic(admin, { topic: `${topic}_a`, retentionMs: DAY_MS }));
    await expect(ensured).rejects.toMatchObject({
      kind: 'Misconfigured',
      message: expect.stringContaining(`${topic}_a`),
    });
    await withAdmin((admin) => deleteTopic(admin, `${topic}.a`));
  });

  test('accepts every name that topicNameFor makes', async () => {
    const name = { schema: freshName('Größe "x"'), table: 'a.b/c\\d ..%'.repeat(30) };
    const topic = topicNameFor('default', name);
    expect(await withAdmin((admin) => ensureTopic(admin, { topic, retentionMs: DAY_MS }))).toMatchObject({
      created: true,
    });
    await withAdmin((admin) => deleteTopic(admin, topic));
  });
});

describe('topicState', () => {
  test('gives the first and the next offset of each partition', async () => {
    const topic = freshTopicName();
    await withAdmin((admin) => ensureTopic(admin, { topic, partitions: 2, retentionMs: DAY_MS }));
    expect(await withAdmin((admin) => topicState(admin, topic))).toEqual({
      partitions: 2,
      offsets: { '0': { low: '0', high: '0' }, '1': { low: '0', high: '0' } },
    });
  });

  test('is undefined for a topic that is not there, and deleting it again does nothing', async () => {
    const topic = freshTopicName();
    await withAdmin((admin) => ensureTopic(admin, { topic, retentionMs: DAY_MS }));
    await withAdmin((admin) => deleteTopic(admin, topic));
    expect(await withAdmin((admin) => topicState(admin, topic))).toBeUndefined();
    await withAdmin((admin) => deleteTopic(admin, topic));
  });
});
