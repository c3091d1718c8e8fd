import { Kafka, logLevel, type Admin } from 'kafkajs';
import { expect, test } from 'vitest';
import type { StackAddresses } from '../../dev/stack/stack.js';
import { Failure } from '../../src/failure/failure.js';
import { readBatch } from '../../src/source/outbox/drain.js';
import { openProducer, type Publisher } from '../../src/topic/writer.js';
import { ensureTopic } from '../../src/topic/admin.js';
import { changesBetween, idsOf, silentLog } from '../support/kafka.js';
import { ownStack, ownStateDir } from '../support/own-stack.js';
import { connectSource, nameBatch, replicate } from '../support/source-table.js';
import { waitFor } from '../support/wait-for.js';

const MB = 1024 * 1024;

function clientOf({ kafka }: StackAddresses): Kafka {
  const retry = { initialRetryTime: 200, maxRetryTime: 5_000, retries: 5 };
  return new Kafka({ clientId: 'test', brokers: [kafka.bootstrap], logLevel: logLevel.NOTHING, retry });
}

async function makeTopic(kafka: Kafka, topic: string, maxMessageBytes?: number): Promise<void> {
  await withAdmin(kafka, (admin) => ensureTopic(admin, { topic, retentionMs: 86_400_000, maxMessageBytes }));
}

async function withAdmin<T>(kafka: Kafka, use: (admin: Admin) => Promise<T>): Promise<T> {
  const admin = kafka.admin();
  await admin.connect();
  try {
    return await use(admin);
  } finally {
    await admin.disconnect();
  }
}

/** As a slice does, and Temporal after it: what failed for a time is sent again by its name. */
async function sendAgain(publisher: Publisher, topic: string, batch: number, rows: number): Promise<number> {
  for (let attempt = 1; ; attempt++) {
    try {
      const request = {
        topic,
        partitions: 1,
        format: 'json',
        origin: '00000000',
        generation: 1,
        shape: 1,
        batch,
      } as const;
      await publisher.send(request, changesBetween(batch * rows, (batch + 1) * rows - 1, 200));
      return attempt;
    } catch (error) {
      if (!(error instanceof Failure) || error.kind !== 'BrokerUnavailable') throw error;
    }
  }
}

test('a broker that is killed and started again in the middle of publishing has every row in the end', async () => {
  const { stack } = await ownStack(ownStateDir(), ['kafka']);
  const kafka = clientOf(stack.addresses);
  await makeTopic(kafka, 'killed');
  const publisher = await openProducer(kafka, silentLog);
  let sent = 0;
  let restarted = false;
  const publishing = (async () => {
    for (let batch = 0; batch < 40 || !restarted; batch++) {
      await sendAgain(publisher, 'killed', batch, 500);
      sent = batch + 1;
    }
  })();
  await waitFor(() => sent > 5, { deadlineMs: 30_000, what: 'some batches' });
  await stack.kill('kafka');
  await stack.start('kafka');
  restarted = true;
  await publishing;
  await publisher.close();

  const seen = new Set<number>();
  const consumer = kafka.consumer({ groupId: 'all' });
  await consumer.connect();
  await consumer.subscribe({ topic: 'killed', fromBeginning: true });
  await consumer.run({
    eachMessage: ({ message: { value } }) => Promise.resolve(void idsOf([value as Buffer]).map((id) => seen.add(id))),
  });
  await waitFor(() => seen.size === sent * 500, { deadlineMs: 60_000, what: `${sent * 500} rows` });
  await consumer.disconnect();
});

test('rows of 64 MB are published in the memory of a few of them', async () => {
  const { stack } = await ownStack(ownStateDir(), ['postgres', 'kafka']);
  const kafka = clientOf(stack.addresses);
  await makeTopic(kafka, 'large', 90 * MB);
  const pg = await connectSource(stack.addresses.postgres);
  await pg.query('create table large (id int primary key, v text)');
  const table = await replicate(pg, { schema: 'public', table: 'large' });
  await pg.query(`insert into large select id, repeat('x', ${64 * MB}) from generate_series(1, 5) id`);
  const batch = await nameBatch(pg, table);
  if (batch === undefined) throw new Error('nothing to publish');
  const publisher = await openProducer(kafka, silentLog);

  for (const format of ['json', 'packed'] as const) {
    let peak = 0;
    const before = process.memoryUsage.rss();
    const watch = setInterval(() => (peak = Math.max(peak, process.memoryUsage.rss())), 5);
    const reading = readBatch(pg, table, batch, { signal: new AbortController().signal });
    const request = { topic: 'large', partitions: 1, format, origin: '00000000', generation: 1, shape: 1, batch: 1 };
    expect(await publisher.send(request, reading.changes)).toMatchObject({ rows: 5, messages: 5 });
    clearInterval(watch);
    expect(peak - before, format).toBeLessThan(400 * MB);
  }
  await publisher.close();
  await pg.end();
});
