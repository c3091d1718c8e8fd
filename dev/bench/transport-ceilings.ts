import { requireKafka } from '../../src/domain/route.js';
import { pino } from 'pino';
import { Changes } from '../../src/domain/change.js';
import type { ReplicatedTable } from '../../src/domain/replicated-table.js';
import { targetColumns } from '../../src/domain/column-type.js';
import { FORMATS, rowContentOf } from '../../src/messages/formats.js';
import { readBatch } from '../../src/source/outbox/drain.js';
import { Fetcher } from '../../src/kafka/client/fetcher.js';
import { openProducer } from '../../src/topic/writer.js';
import { openReader } from '../../src/topic/reader.js';
import { ceilingOf, type Ceiling } from './ceiling.js';
import { startClock } from './clock.js';
import { firstBatch } from './drain-ceiling.js';
import type { BenchEnvironment } from './environment.js';
import { makeTopic } from './topic-ceilings.js';

const SILENT = pino({ level: 'silent' });
/** As the load slice takes them. */
const TAKE = { maxRows: 200_000, maxBytes: 32_000_000, waitMs: 1_000 };

/** The changes of one batch of the backlog, to be published again and again: copies, since what the drain gives is lent. */
export async function sampleChanges(
  environment: BenchEnvironment,
  table: ReplicatedTable,
): Promise<readonly Changes[]> {
  await using pg = await environment.connect('sample of changes');
  const { signal } = environment;
  const content = rowContentOf(requireKafka(table.route));
  const reading = readBatch(pg, table, await firstBatch(pg, table), { signal, ...content });
  const sample: Changes[] = [];
  for await (const lent of reading.changes) sample.push(copyOf(lent));
  return sample;
}

/** Our own publisher sends as many rows as the backlog has, without PostgreSQL and ledger. */
export async function publisherCeiling(
  environment: BenchEnvironment,
  table: ReplicatedTable,
  sample: readonly Changes[],
  rows: number,
): Promise<Ceiling> {
  const { topic, format, payload } = requireKafka(table.route);
  const columns = FORMATS[format].rows === 'text' ? targetColumns(table).map(({ name }) => name) : undefined;
  const bare = `${topic}.bare-publisher`;
  await makeTopic(environment, bare);
  const publisher = await openProducer(environment.kafka, SILENT);
  try {
    const stop = startClock(environment);
    let sent = 0;
    for (let batch = 1; sent < rows; batch += 1) {
      environment.signal.throwIfAborted();
      const request = {
        topic: bare,
        partitions: 1,
        format,
        payload,
        origin: '00000000',
        generation: 1,
        shape: 1,
        batch,
        columns,
      };
      sent += (await publisher.send(request, oneAfterTheOther(sample))).rows;
    }
    return ceilingOf('our produce', sent, stop());
  } finally {
    await publisher.close();
  }
}

/** Our own reader takes the topic from its beginning to its end, and does nothing with it. */
export async function readerCeiling(
  environment: BenchEnvironment,
  { route, generation }: ReplicatedTable,
  rows: number,
): Promise<Ceiling> {
  const fetcher = new Fetcher(environment.kafka);
  try {
    const stop = startClock(environment);
    const reading = await openReader(fetcher, requireKafka(route).topic, { log: SILENT }).start(
      { '0': '0' },
      { generation },
    );
    let taken = 0;
    while (taken < rows) {
      const fetched = await reading.take({ ...TAKE, signal: environment.signal });
      environment.signal.throwIfAborted();
      if (fetched === undefined)
        throw new Error(`topic ${requireKafka(route).topic} ends after ${taken} of ${rows} rows`);
      taken += fetched.rows;
    }
    return ceilingOf('our fetch', taken, stop());
  } finally {
    fetcher.close();
  }
}

async function* oneAfterTheOther(sample: readonly Changes[]): AsyncGenerator<Changes> {
  yield* sample;
}

function copyOf(lent: Changes): Changes {
  const copy = new Changes(Uint8Array.from(lent.text));
  for (const { seq, key, value } of lent) copy.push(seq.start, seq.end, key.start, key.end, value.start, value.end);
  return copy;
}
