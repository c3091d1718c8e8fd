import type { Client } from 'pg';
import type { Admin } from 'kafkajs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { connectKafka } from '../../src/connect/kafka.js';
import { isEqual } from '../../dev/compare/compare.js';
import { queryTable } from '../../src/control/describe-table.js';
import type { FailureView } from '../../src/control/table-view.js';
import type { FailureKind } from '../../src/failure/kinds.js';
import { loadSettings } from '../../src/settings/settings.js';
import { openHarness, type Harness } from '../support/harness.js';
import { runCli, startCli } from '../support/cli.js';
import { addressOf, freshDatabase, freshSink, waitFor } from '../support/stack.js';

const SLICE_MS = 1_500;
/** Others may use the machine too. */
const PARKS_MS = 90_000;
const SETTLE_MS = 60_000;

/** One table that lost its history. */
interface Lost {
  readonly table: string;
  /** In the ledger. */
  readonly id: string;
  readonly topic: string;
  readonly pg: Client;
  readonly harness: Harness;
  readonly admin: Admin;
}

/** Seen by the worker that runs, told by `pg2click status`, and put right by what it says: as somebody would at night. */
describe('lost history, through a worker, its workflow and the command line', () => {
  let harness: Harness;
  let admin: Admin;
  let pg: Client;

  beforeAll(async () => {
    harness = await openHarness({
      postgres: await freshDatabase('parked'),
      kafka: addressOf('kafka'),
      clickhouse: await freshSink('parked'),
      temporal: addressOf('temporal'),
    });
    pg = await harness.connect();
    const settings = loadSettings({ env: harness.environment, envFile: false, stackFile: false });
    admin = connectKafka(settings, undefined).admin();
    await admin.connect();
  });
  afterAll(async () => {
    await admin?.disconnect();
    await harness?.close();
  });

  const pg2click = (...args: readonly string[]) => runCli(['--no-env-file', ...args], { env: harness.environment });

  type Case = readonly [what: string, kind: FailureKind, lose: (lost: Lost) => Promise<unknown>];
  const cases: readonly Case[] = [
    ['the topic was deleted', 'TopicReplaced', (lost) => lost.admin.deleteTopics({ topics: [lost.topic] })],
    [
      'partitions were added to the topic',
      'PartitionsChanged',
      (lost) => lost.admin.createPartitions({ topicPartitions: [{ topic: lost.topic, count: 4 }] }),
    ],
    ['Kafka deleted messages before they were loaded', 'OffsetsExpired', expireOffsets],
    [
      'the target was emptied',
      'SinkSetBack',
      (lost) => lost.harness.clickhouse.command({ query: `truncate table ${lost.table}` }),
    ],
    [
      'the target was dropped',
      'SinkSetBack',
      (lost) => lost.harness.clickhouse.command({ query: `drop table ${lost.table} sync` }),
    ],
    [
      'the ledger was restored from a backup',
      'LedgerSetBack',
      (lost) =>
        lost.pg.query(/* sql */ `update pg2click.stage set batch = batch - 1, epoch = epoch + 1 where table_id = $1`, [
          lost.id,
        ]),
    ],
    [
      'triggers were off for a while',
      'SourceChanged',
      async (lost) => {
        await lost.pg.query(`alter table ${lost.table} disable trigger user`);
        await lost.pg.query(`update ${lost.table} set text = 'unseen' where id = 3`);
        await lost.pg.query(`alter table ${lost.table} enable trigger user`);
      },
    ],
    [
      'the outbox was dropped and made anew by somebody',
      'SourceSetBack',
      (lost) => lost.pg.query(`alter table pg2click.outbox_${lost.id} alter seq restart with 1`),
    ],
  ];

  it.each(cases)(
    '%s: it parks as %s, and what the status says puts it right',
    { timeout: 240_000 },
    async (_, kind, lose) => {
      const table = `lost_${cases.findIndex((each) => each[2] === lose)}`;
      await pg.query(/* sql */ `create table ${table} (id int primary key, text text not null)`);
      await pg.query(/* sql */ `insert into ${table} select i, 'copied' from generate_series(1, 50) i`);
      const [id = ''] = await harness.add({ schema: 'public', table, sliceMs: SLICE_MS });
      // Witnesses have something to say once batches were confirmed and receipts came back.
      for (const text of ['first', 'second']) {
        const { loaded } = await harness.progress(id);
        await pg.query(/* sql */ `update ${table} set text = $1 where id > 10`, [text]);
        await waitFor(async () => (await harness.progress(id)).loaded > loaded, {
          deadlineMs: 30_000,
          what: 'a batch',
        });
      }
      const { topic } = await waitFor(
        async (see) => {
          const status = await queryTable(harness.temporal.client, harness.workflowId({ schema: 'public', table }));
          see(status);
          const { publish, 'load:main': load } = status?.stages ?? {};
          return (
            publish !== undefined && load !== undefined && publish.rows >= 80 && load.rows >= 80 && status?.prepared
          );
        },
        { deadlineMs: 30_000, what: 'its receipts', everyMs: 100 },
      );

      await lose({ table, id, topic: topic ?? '', pg, harness, admin });
      await pg.query(/* sql */ `insert into ${table} values (100, 'after'); delete from ${table} where id = 7`);
      await waitFor(
        async (see) => {
          const status = await queryTable(harness.temporal.client, harness.workflowId({ schema: 'public', table }));
          see(status);
          return status?.phase === 'parked';
        },
        { deadlineMs: PARKS_MS, what: `${table} to park`, everyMs: 100 },
      );
      const told = await pg2click('status', table, '--json');
      expect(told.code).toBe(4);
      const { failure } = (JSON.parse(told.stdout) as { tables: readonly [{ failure: FailureView }] }).tables[0];
      console.log(`${failure.kind}: ${failure.message} -> ${failure.remedy}`);
      expect(failure.kind).toBe(kind);
      expect(failure.remedy).toMatch(/remove the table and add it again|pg2click remove .* then pg2click add /iu);

      expect(await pg2click('remove', table, '--yes')).toMatchObject({ code: 0 });
      expect(await pg2click('add', table)).toMatchObject({ code: 0 });
      await pg.query(/* sql */ `update ${table} set text = 'well again' where id between 20 and 30`);
      const comparisons = await harness.settle(SETTLE_MS);
      expect(comparisons.filter((each) => !isEqual(each))).toEqual([]);
      expect(harness.deaths).toEqual([]);
    },
  );
});

/** As a retention that is too short: while nobody loads, all that is in the topic goes. */
async function expireOffsets({ harness, pg, table, id, topic, admin }: Lost): Promise<void> {
  await harness.worker.kill();
  const producer = startCli(['--no-env-file', 'worker', '--role', 'producer'], { env: harness.environment });
  const { published } = await harness.progress(id);
  await pg.query(/* sql */ `update ${table} set text = 'expired'`);
  await waitFor(async () => (await harness.progress(id)).published > published, {
    deadlineMs: PARKS_MS,
    what: 'messages in Kafka',
    everyMs: 100,
  });
  producer.process.kill('SIGKILL');
  const offsets = await admin.fetchTopicOffsets(topic);
  await admin.deleteTopicRecords({
    topic,
    partitions: offsets.map(({ partition, high }) => ({ partition, offset: high })),
  });
  await harness.worker.start();
}
