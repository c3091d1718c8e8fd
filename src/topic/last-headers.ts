import type { RecordCursor } from '../kafka/protocol/record-batch-reader.js';
import type { BatchBuilder, Fetched } from './fetched.js';
import type { TopicState } from './admin.js';
import type { TopicReader } from './reader.js';
import { recordMark } from './record-mark.js';

/** Only last records are read: what has not come by then is not there, e.g. the end of a transaction. */
const WAIT_MS = 2_000;
const LIMITS = { maxRows: 1_000, maxBytes: 1_000_000 };

/**
 * Reads the last record of each partition.
 * @param reader its form is `lastRecords`
 * @returns by partition: text of our header, or the mark of a record of others. A partition without a record that can be read is left out
 * @throws Failure those of `TopicReader.start` and `TopicReading.take`
 */
export async function readLastHeaders(
  reader: TopicReader,
  { offsets }: Pick<TopicState, 'offsets'>,
): Promise<ReadonlyMap<string, string>> {
  const found = new Map<string, string>();
  const missing = new Set<string>();
  const start: Record<string, string> = {};
  for (const [partition, { low, high }] of Object.entries(offsets)) {
    const isEmpty = BigInt(high) <= BigInt(low);
    start[partition] = isEmpty ? high : String(BigInt(high) - 1n);
    if (!isEmpty) missing.add(partition);
  }
  if (missing.size === 0) return found;
  using reading = await reader.start(start);
  while (missing.size > 0) {
    const fetched = await reading.take({ ...LIMITS, waitMs: WAIT_MS });
    if (fetched === undefined) return found;
    for (const [partition, header] of Object.entries(fetched.headers)) {
      missing.delete(partition);
      found.set(partition, header);
    }
  }
  return found;
}

/** The form of a reader that takes records of all origins, whatever is in them, for their headers. */
export function lastRecords(): BatchBuilder {
  return new HeaderBuilder();
}

class HeaderBuilder implements BatchBuilder {
  readonly #last = new Map<number, { readonly offset: number; readonly header: string }>();

  get isEmpty(): boolean {
    return this.#last.size === 0;
  }

  lastOf(partition: number): number | undefined {
    return this.#last.get(partition)?.offset;
  }

  offer(partition: number, record: RecordCursor): boolean {
    this.#last.set(partition, { offset: record.offset, header: recordMark(record) });
    return true;
  }

  finish(): Fetched {
    const last = [...this.#last];
    return {
      ranges: Object.fromEntries(
        last.map(([partition, { offset }]) => [partition, { first: String(offset), last: String(offset) }]),
      ),
      headers: Object.fromEntries(last.map(([partition, { header }]) => [partition, header])),
      values: [],
      placeOf: () => ({ partition: 0, offset: 0 }),
      encoding: 'JSONEachRow',
      rows: 0,
      bytes: 0,
      highest: '0',
      generation: 0,
      shape: 1,
      oldestTimestampMs: 0,
    };
  }
}
