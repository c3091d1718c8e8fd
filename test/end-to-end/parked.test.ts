import type { Client } from 'pg';
import { ConfigResourceTypes, type Admin } from 'kafkajs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { connectKafka } from '../../src/connect/kafka.js';
import { compareTable, isEqual } from '../../dev/compare/compare.js';
import { stepsOf } from '../../dev/night/remedy.js';
import { queryTable } from '../../src/control/describe-table.js';
import type { StackAddresses } from '../../dev/stack/stack.js';
import type { FailureView } from '../../src/control/table-view.js';
import type { FailureKind } from '../../src/failure/kinds.js';
import type { TableOptions } from '../../src/domain/replicated-table.js';
import { loadSettings } from '../../src/settings/settings.js';
import { openHarness, type Harness } from '../support/harness.js';
import { runCli, startCli } from '../support/cli.js';
import { addressOf, freshDatabase, freshSink, waitFor } from '../support/stack.js';

const SLICE_MS = 1_500;
/** Others may use the machine too. */
const PARKS_MS = 90_000;
const SETTLE_MS = 60_000;

/** Of a target that may be another one, or may have lost its rows. */
const LOST = /(?<=Only if rows are really lost, ).*/u;

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
  let sink: StackAddresses['clickhouse'];

  beforeAll(async () => {
    sink = await freshSink('parked');
    harness = await openHarness({
      postgres: await freshDatabase('parked'),
      kafka: addressOf('kafka'),
      clickhouse: sink,
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

  interface Case {
    readonly what: string;
    readonly kind: FailureKind;
    readonly options?: TableOptions;
    lose(lost: Lost): Promise<unknown>;
    /** Nobody can write into the table until it is put right. */
    readonly stopsWrites?: boolean;
    /** Of a remedy that leaves a choice: the part that is right here. */
    readonly choice?: RegExp;
    /** What the remedy leaves to a person's judgement, before its commands. */
    byHand?(lost: Lost): Promise<unknown>;
  }
  const cases: readonly Case[] = [
    {
      what: 'the topic was deleted',
      kind: 'TopicReplaced',
      lose: (lost) => lost.admin.deleteTopics({ topics: [lost.topic] }),
    },
    {
      what: 'partitions were added to the topic',
      kind: 'PartitionsChanged',
      lose: (lost) => lost.admin.createPartitions({ topicPartitions: [{ topic: lost.topic, count: 4 }] }),
    },
    { what: 'Kafka deleted messages before they were loaded', kind: 'OffsetsExpired', lose: expireOffsets },
    {
      what: 'the target was emptied',
      kind: 'SinkSetBack',
      choice: LOST,
      lose: (lost) => lost.harness.clickhouse.command({ query: `truncate table ${lost.table}` }),
    },
    {
      what: 'the target was dropped',
      kind: 'SinkSetBack',
      choice: LOST,
      lose: (lost) => lost.harness.clickhouse.command({ query: `drop table ${lost.table} sync` }),
    },
    {
      what: 'the ledger was restored from a backup',
      kind: 'LedgerSetBack',
      lose: (lost) =>
        lost.pg.query(/* sql */ `update pg2click.stage set batch = batch - 1, epoch = epoch + 1 where table_id = $1`, [
          lost.id,
        ]),
    },
    {
      what: 'triggers were off for a while',
      kind: 'SourceChanged',
      async lose(lost) {
        await lost.pg.query(`alter table ${lost.table} disable trigger user`);
        await lost.pg.query(`update ${lost.table} set text = 'unseen' where id = 3`);
        await lost.pg.query(`alter table ${lost.table} enable trigger user`);
      },
    },
    {
      what: 'the outbox counts anew',
      kind: 'SourceSetBack',
      lose: (lost) => lost.pg.query(`alter table pg2click.outbox_${lost.id} alter seq restart with 1`),
    },
    {
      what: 'the outbox was dropped',
      kind: 'SourceChanged',
      stopsWrites: true,
      lose: (lost) => lost.pg.query(`drop table pg2click.outbox_${lost.id} cascade`),
    },
    {
      what: 'somebody keeps events in the outbox',
      kind: 'OutboxInconsistent',
      lose: (lost) =>
        lost.pg
          .query(`create function keep_${lost.table}() returns trigger language plpgsql as 'begin return null; end';
          create trigger keep before delete on pg2click.outbox_${lost.id} for each row execute function keep_${lost.table}()`),
    },
    {
      what: 'the table was dropped, and another has its name',
      kind: 'MissingTable',
      choice: /(?<=To go on with another table of that name: ).*/u,
      lose: (lost) =>
        lost.pg.query(`drop table ${lost.table}; create table ${lost.table} (id int primary key, text text not null);
          insert into ${lost.table} select i, 'another' from generate_series(1, 60) i`),
    },
    {
      what: 'the key has another type',
      kind: 'SourceChanged',
      lose: (lost) => lost.pg.query(`alter table ${lost.table} alter id type bigint`),
    },
    {
      what: 'a column in ClickHouse has a type that does not hold the values',
      kind: 'SchemaMismatch',
      choice: /(?<=Or, )where pg2click made it, .* filled again\./u,
      lose: (lost) =>
        lost.harness.clickhouse.command({
          query: `alter table ${lost.table} drop column text settings mutations_sync = 1`,
        }),
    },
    {
      what: 'a constraint in ClickHouse refuses every row',
      kind: 'RowRefused',
      lose: (lost) =>
        lost.harness.clickhouse.command({ query: `alter table ${lost.table} add constraint no check id < 0` }),
      byHand: (lost) => lost.harness.clickhouse.command({ query: `alter table ${lost.table} drop constraint no` }),
    },
    {
      what: 'a row is larger than the topic takes',
      kind: 'MessageTooLarge',
      async lose(lost) {
        await lost.admin.alterConfigs({
          validateOnly: false,
          resources: [
            {
              type: ConfigResourceTypes.TOPIC,
              name: lost.topic,
              configEntries: [{ name: 'max.message.bytes', value: '20000' }],
            },
          ],
        });
        const incompressible = `(select string_agg(md5(i::text), '') from generate_series(1, 2000) i)`;
        await lost.pg.query(`update ${lost.table} set text = ${incompressible} where id = 5`);
      },
      byHand: (lost) => lost.pg.query(`update ${lost.table} set text = 'short' where id = 5`),
    },
  ];

  it.each(cases)(
    '$what: it parks as $kind, and what the status says, done to the letter, puts it right',
    { timeout: 240_000 },
    async (each) => {
      const { kind, options } = each;
      const table = `lost_${cases.indexOf(each)}`;
      await pg.query(/* sql */ `create table ${table} (id int primary key, text text not null)`);
      await pg.query(/* sql */ `insert into ${table} select i, 'copied' from generate_series(1, 50) i`);
      const [id = ''] = await harness.add({ schema: 'public', table, sliceMs: SLICE_MS, ...options });
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

      const lost = { table, id, topic: topic ?? '', pg, harness, admin };
      await each.lose(lost);
      const writes = pg.query(
        /* sql */ `insert into ${table} values (100, 'after'); delete from ${table} where id = 7`,
      );
      await (each.stopsWrites === true ? expect(writes).rejects.toThrow() : writes);
      await waitFor(
        async (see) => {
          const status = await queryTable(harness.temporal.client, harness.workflowId({ schema: 'public', table }));
          see(status);
          return status?.phase === 'parked';
        },
        { deadlineMs: PARKS_MS, what: `${table} to park`, everyMs: 100 },
      );
      const failure = await waitFor(
        async (see) => {
          const told = await pg2click('status', table, '--json');
          see(told);
          expect(told.code).toBe(4);
          const [view] = (JSON.parse(told.stdout) as { tables: readonly [{ failure: FailureView }] }).tables;
          // A workflow that does not answer within two seconds has only the kind said of it.
          return view.failure.task !== null && view.failure;
        },
        { deadlineMs: PARKS_MS, what: 'status to have the details', everyMs: 100 },
      );
      console.log(`${failure.kind}: ${failure.message} -> ${failure.remedy}`);
      expect(failure.kind).toBe(kind);
      expect(failure.worker).toMatch(/^[^/]+\/\d+\//u);

      await each.byHand?.(lost);
      const steps = stepsOf(each.choice?.exec(failure.remedy)?.[0] ?? failure.remedy, {
        table,
        name: `${table}_again`,
        again: [],
      });
      expect(steps).not.toEqual([]);
      for (const step of steps) {
        console.log('sql' in step ? step.sql : `pg2click ${step.pg2click.join(' ')}`);
        if ('sql' in step) await pg.query(step.sql);
        else {
          const agreed = step.pg2click[0] === 'remove' ? ['--yes'] : [];
          expect(await pg2click(...step.pg2click, ...agreed)).toMatchObject({ code: 0 });
        }
      }
      await pg.query(/* sql */ `update ${table} set text = 'well again' where id between 20 and 30`);
      const view = { database: sink.database, table: `${table}_current` };
      await waitFor(
        async (see) => {
          const compared = { postgres: pg, clickhouse: harness.clickhouse, table: { schema: 'public', table }, view };
          const comparison = await compareTable(compared);
          see(comparison);
          return isEqual(comparison);
        },
        { deadlineMs: SETTLE_MS, what: `${table} to be equal`, everyMs: 250 },
      );
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
