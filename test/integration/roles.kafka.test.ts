import { execFileSync } from 'node:child_process';
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import kafkajs, { type AclEntry, type Admin, type Kafka } from 'kafkajs';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { packageRoot } from '../../src/package-root.js';
import { Fetcher } from '../../src/kafka/client/fetcher.js';
import { openOffsetMirror } from '../../src/topic/offset-mirror.js';
import { openProducer } from '../../src/topic/writer.js';
import { ensureTopic } from '../../src/topic/admin.js';
import { startGuardedKafka, type GuardedKafka } from '../support/guarded-kafka.js';
import { changesBetween, connectTestKafka, idsOf, silentLog } from '../support/kafka.js';
import { startReading } from '../support/reading.js';
import { freshName, waitFor } from '../support/stack.js';

// CommonJS, of which Node finds only some of the names by itself.
const { AclOperationTypes, AclPermissionTypes, AclResourceTypes, ResourcePatternTypes } = kafkajs;

// A broker is started first.
vi.setConfig({ hookTimeout: 120_000 });

const SCRIPT = join(packageRoot, 'sql', 'roles', 'kafka-acls.sh');
const GROUP = 'pg2click';
const DAY_MS = 86_400_000;

/** The rights in `sql/roles/kafka-acls.sh`, on a broker that refuses whatever they do not allow. */
describe('the user that pg2click logs in to Kafka as', () => {
  const directory = mkdtempSync(join(tmpdir(), 'pg2click-test-acls-'));
  let broker: GuardedKafka;
  let admin: Admin;
  let rights: readonly AclEntry[];

  const login = (username: string, password: string): Kafka =>
    connectTestKafka({
      brokers: [broker.bootstrap],
      sasl: { mechanism: 'plain', username, password },
      retry: { retries: 1, initialRetryTime: 100 },
    });
  let ours: Kafka;

  beforeAll(async () => {
    broker = await startGuardedKafka(directory, { admin: 'of-the-admin', pg2click: 'of-pg2click' });
    admin = login('admin', 'of-the-admin').admin();
    await admin.connect();
    ours = login('pg2click', 'of-pg2click');
    rights = readRights(directory);
  });
  afterAll(async () => {
    await admin.disconnect();
    await broker.stop();
    rmSync(directory, { recursive: true, force: true });
  });

  const grant = (granted: readonly AclEntry[]): Promise<boolean> => admin.createAcls({ acl: [...granted] });
  const revoke = ({
    resourceType,
    resourceName,
    resourcePatternType,
    principal,
    operation,
    permissionType,
  }: AclEntry) =>
    admin.deleteAcls({
      filters: [{ resourceType, resourceName, resourcePatternType, principal, host: '*', operation, permissionType }],
    });

  const prepare = async (topic: string): Promise<unknown> => {
    const asking = ours.admin();
    try {
      await asking.connect();
      return await ensureTopic(asking, { topic, retentionMs: DAY_MS });
    } finally {
      await asking.disconnect();
    }
  };
  const publish = async (topic: string): Promise<unknown> => {
    const publisher = await openProducer(ours, silentLog);
    try {
      return await publisher.send(
        { topic, partitions: 1, format: 'json', origin: '00000000', generation: 1, shape: 1, batch: 1 },
        changesBetween(1, 3),
      );
    } finally {
      await publisher.close();
    }
  };
  const load = async (topic: string): Promise<number[]> => {
    const fetcher = new Fetcher(ours);
    try {
      const reading = await startReading(fetcher, topic);
      const taken = await reading.takeExactly({ '0': { first: '0', last: '2' } });
      return idsOf(taken.values);
    } finally {
      fetcher.close();
    }
  };
  const show = async (topic: string): Promise<void> => {
    const mirror = openOffsetMirror(ours, { group: GROUP, log: silentLog, everyMs: 10 });
    mirror.commit(topic, { '0': '3' });
    await mirror.close();
  };
  const shown = async (topic: string): Promise<string | undefined> =>
    (await admin.fetchOffsets({ groupId: GROUP, topics: [topic] }))[0]?.partitions[0]?.offset;
  /** The mirror does its best only, and a broker's first group takes it a while. */
  const showsIt = (topic: string): Promise<unknown> =>
    waitFor(
      async () => {
        await show(topic);
        return (await shown(topic)) === '3';
      },
      { deadlineMs: 30_000, what: 'the offsets of the group' },
    );
  const freshTopic = (): string => `default.public.${freshName('t')}`;

  it('may do nothing before the script ran', async () => {
    await expect(prepare(freshTopic())).rejects.toMatchObject({ kind: 'Unauthorized' });
  });

  it('makes topics, publishes, loads and shows its offsets with the rights of the script', async () => {
    await grant(rights);
    const topic = freshTopic();
    // The broker's authorizer hears of new rights a moment later.
    await waitFor(
      () =>
        prepare(topic).then(
          () => true,
          () => false,
        ),
      { deadlineMs: 10_000, what: 'the rights to count' },
    );
    await prepare(topic);
    await publish(topic);
    expect(await load(topic)).toEqual([1, 2, 3]);
    await showsIt(topic);
  });

  it('has no right to topics and groups of others, nor to delete its own topics', async () => {
    const [own, theirs] = [freshTopic(), freshName('theirs')];
    await prepare(own);
    await admin.createTopics({ topics: [{ topic: theirs }] });
    await expect(publish(theirs)).rejects.toMatchObject({ kind: 'Unauthorized' });
    await expect(load(theirs)).rejects.toMatchObject({ kind: 'Unauthorized' });
    const asking = ours.admin();
    await asking.connect();
    await expect(asking.deleteTopics({ topics: [own] })).rejects.toMatchObject({ type: 'TOPIC_AUTHORIZATION_FAILED' });
    await asking.disconnect();
  });

  /** The step that fails without a right. */
  const STEPS: readonly (readonly [keyof typeof AclOperationTypes, string, (topic: string) => Promise<unknown>])[] = [
    ['CREATE', 'a topic cannot be made', () => prepare(freshTopic())],
    ['DESCRIBE_CONFIGS', 'a topic that is there cannot be used', prepare],
    ['WRITE', 'nothing can be published', publish],
    ['READ', 'nothing can be loaded', load],
  ];
  it.each(STEPS)(
    'needs %s on its topics: without it %s, and Kafka is said to refuse it',
    async (operation, _, step) => {
      const topic = freshTopic();
      await prepare(topic);
      await publish(topic);
      const right = rights.find(
        (each) => each.operation === AclOperationTypes[operation] && each.resourceType === AclResourceTypes.TOPIC,
      );
      if (right === undefined) throw new Error(`the script does not grant ${operation}`);
      await revoke(right);
      try {
        await waitFor(
          () =>
            step(topic).then(
              () => false,
              () => true,
            ),
          { deadlineMs: 10_000, what: 'the right to be gone' },
        );
        await expect(step(topic)).rejects.toMatchObject({ kind: 'Unauthorized' });
      } finally {
        await grant([right]);
        await waitFor(
          () =>
            step(topic).then(
              () => true,
              () => false,
            ),
          { deadlineMs: 20_000, what: 'the right to be back' },
        );
      }
    },
  );

  it('needs READ on the group only to show its offsets', async () => {
    const topic = freshTopic();
    await prepare(topic);
    await publish(topic);
    const right = rights.find(({ resourceType }) => resourceType === AclResourceTypes.GROUP);
    if (right === undefined) throw new Error('the script does not grant READ on the group');
    await revoke(right);
    await waitFor(
      async () => {
        const probe = freshTopic();
        await prepare(probe);
        await show(probe);
        return (await shown(probe)) !== '3';
      },
      { deadlineMs: 20_000, what: 'the right to be gone' },
    );
    expect(await load(topic)).toEqual([1, 2, 3]);
    await grant([right]);
    await showsIt(topic);
  });
});

/** Runs the script with a stand-in for Kafka's own tool, and understands what it was told as that tool does. */
function readRights(directory: string): AclEntry[] {
  const told = join(directory, 'told');
  const tool = join(directory, 'kafka-acls.sh');
  writeFileSync(tool, `#!/bin/sh\nprintf '%s\\037' "$@" >> '${told}'; echo >> '${told}'\n`);
  chmodSync(tool, 0o755);
  execFileSync('sh', [SCRIPT], {
    env: { PATH: `${directory}:${process.env['PATH'] ?? ''}`, BOOTSTRAP: 'unused:9092' },
  });
  return readFileSync(told, 'utf8')
    .trimEnd()
    .split('\n')
    .flatMap((line) => {
      const { values } = parseArgs({
        args: line.split('\u001f').slice(0, -1),
        options: {
          'bootstrap-server': { type: 'string' },
          add: { type: 'boolean' },
          'allow-principal': { type: 'string' },
          operation: { type: 'string', multiple: true },
          'resource-pattern-type': { type: 'string', default: 'literal' },
          topic: { type: 'string' },
          group: { type: 'string' },
        },
      });
      const ofTopic = values.topic !== undefined;
      return (values.operation ?? []).map((operation): AclEntry => {
        const name = operation.replaceAll(/(?<=[a-z])(?=[A-Z])/gu, '_').toUpperCase() as keyof typeof AclOperationTypes;
        return {
          resourceType: ofTopic ? AclResourceTypes.TOPIC : AclResourceTypes.GROUP,
          resourceName: values.topic ?? values.group ?? '',
          resourcePatternType:
            values['resource-pattern-type'] === 'prefixed'
              ? ResourcePatternTypes.PREFIXED
              : ResourcePatternTypes.LITERAL,
          principal: values['allow-principal'] ?? '',
          host: '*',
          operation: AclOperationTypes[name],
          permissionType: AclPermissionTypes.ALLOW,
        };
      });
    });
}
