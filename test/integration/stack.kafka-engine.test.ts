import { setTimeout as sleep } from 'node:timers/promises';
import { expect, onTestFinished, test } from 'vitest';
import { isEqual } from '../../dev/compare/compare.js';
import { connectKafka } from '../../src/connect/kafka.js';
import { loadSettings } from '../../src/settings/settings.js';
import { statusQuery } from '../../workflows/messages.js';
import { openHarness } from '../support/harness.js';
import { ownStack, ownStateDir } from '../support/own-stack.js';
import { waitFor } from '../support/wait-for.js';

const CHANGES = Number(process.env['PG2CLICK_ENGINE_CHANGES'] ?? 200_000);
const BATCH = 500;
/** ClickHouse is back after seconds; Kafka takes 45 s to give up the dead member of the group. */
const SETTLE_MS = 150_000;
const PAYMENTS = { schema: 'public', table: 'payments' } as const;

test(`both sides are equal after ${CHANGES} changes by the Kafka engine, with a poison message, kill -9 of ClickHouse, and a pause while no worker lives`, async () => {
  const { stack } = await ownStack(ownStateDir(), ['postgres', 'kafka', 'clickhouse', 'temporal']);
  const harness = await openHarness(stack.addresses);
  onTestFinished(() => harness.close());
  const pg = await harness.connect();
  await pg.query(/* sql */ `create table payments (id bigint primary key, amount numeric(12, 2) not null, note text)`);
  await pg.query(/* sql */ `insert into payments select i, i, 'first' from generate_series(1, 1000) i`);
  await harness.add({ ...PAYMENTS, loader: 'kafka-engine', sliceMs: 5_000 });

  const kafka = connectKafka(loadSettings({ env: harness.environment, envFile: false, stackFile: false }), undefined);
  const producer = kafka.producer();
  await producer.connect();
  onTestFinished(() => producer.disconnect());
  const handle = harness.temporal.client.workflow.getHandle(harness.workflowId(PAYMENTS));
  const { prepared } = await handle.query(statusQuery);
  const poison = (value: string) =>
    producer.send({ topic: prepared?.topic ?? '', messages: [{ key: 'poison', value }] });
  const sink = async (query: string): Promise<string> => {
    const answer = await harness.clickhouse.query({ query, format: 'TabSeparated' });
    return (await answer.text()).trim();
  };

  /** Inserts, updates and deletes, a third each after the first of them. */
  const change = async (first: number, last: number): Promise<void> => {
    for (let from = first; from < last; from += BATCH) {
      await pg.query(
        /* sql */ `insert into payments select i, i / 7.0, 'n' || i from generate_series($1::int, $2::int) i`,
        [1_001 + from, 1_000 + from + BATCH / 2],
      );
      const touched = Math.floor(from / 2);
      await pg.query(
        /* sql */ `update payments set amount = amount + 1, note = null where id > $1 and id <= $1 + $2::int`,
        [touched, BATCH / 4],
      );
      await pg.query(/* sql */ `delete from payments where id > $1 and id <= $1 + $2::int`, [
        touched + BATCH / 4,
        BATCH / 4,
      ]);
    }
  };
  const startedAt = Date.now();
  await change(0, CHANGES * 0.3);
  await poison('{"id": 1');
  const killing = (async () => {
    await sleep(500);
    await stack.kill('clickhouse', 'SIGKILL');
    await sleep(2_000);
    await stack.start('clickhouse');
  })();
  await change(CHANGES * 0.3, CHANGES * 0.7);
  await killing;

  await harness.worker.kill();
  await handle.signal('pause', { reason: 'nobody works' });
  await harness.worker.start();
  await waitFor(
    async (see) => {
      const { phase, running } = await handle.query(statusQuery);
      see({ phase, running });
      return phase === 'paused' && running.length === 0 ? true : undefined;
    },
    { deadlineMs: 60_000, what: 'a pause of the engine too' },
  );
  const before = await sink(`select count() from payments`);
  await poison('second');
  await change(CHANGES * 0.7, CHANGES);
  await sleep(2_000);
  expect(await sink(`select count() from payments`)).toBe(before);
  expect(await sink(`select count() from system.tables where name = 'payments_consumer'`)).toBe('0');
  await handle.signal('resume');

  const writtenMs = Date.now() - startedAt;
  const comparisons = await harness.settle(SETTLE_MS);
  const equalMs = Date.now() - startedAt - writtenMs;
  const rows = await sink(`select count(), uniqExact(id, _version) from payments`);
  console.log(
    JSON.stringify({ kafkaEngine: { changes: CHANGES, writtenMs, equalMs, equal: comparisons[0]?.equal, rows } }),
  );
  expect(comparisons.every(isEqual)).toBe(true);
  expect(await sink(`select raw_message from payments_errors final order by offset`)).toBe('{"id": 1\nsecond');
  expect(harness.deaths).toEqual([]);
}, 420_000);
