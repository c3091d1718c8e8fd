import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { packageRoot } from '../../src/package-root.js';
import type { RecordCursor } from '../../src/kafka/protocol/record-batch-reader.js';

/** A message as Debezium wrote it. */
export interface RecordedMessage {
  readonly key: string | null;
  readonly value: string | null;
}

type Part = readonly [schema: number | null, payload: string] | null;

interface Recording {
  /** Each once: a schema is the same in all messages of a topic. */
  readonly schemas: readonly string[];
  readonly topics: Readonly<Record<string, readonly (readonly [key: Part, value: Part])[]>>;
}

let recording: Recording | undefined;

function readRecording(): Recording {
  const packed = readFileSync(join(packageRoot, 'test', 'fixtures', 'debezium', 'messages.json.gz'));
  return JSON.parse(gunzipSync(packed).toString()) as Recording;
}

/**
 * What Debezium 3.6.1 wrote while `tables.sql` and `changes.sql` beside it ran, in five ways: see `docs/28-debezium.md`. The number
 * of every transaction was replaced by 3, which each server has had.
 * @param topic `<way>.<table>`
 */
export function recordedMessages(topic: string): readonly RecordedMessage[] {
  const { schemas, topics } = (recording ??= readRecording());
  const print = (part: Part): string | null => {
    if (part === null) return null;
    const [schema, payload] = part;
    return schema === null ? payload : `{"schema":${schemas[schema] ?? ''},"payload":${payload}}`;
  };
  const messages = topics[topic];
  if (messages === undefined) throw new Error(`nothing was recorded of ${topic}`);
  return messages.map(([key, value]) => ({ key: print(key), value: print(value) }));
}

/** A record as a cursor stands on it. */
export function recordOf({ key, value }: RecordedMessage, offset: number): RecordCursor {
  const [keyBytes, valueBytes] = [Buffer.from(key ?? ''), Buffer.from(value ?? '')];
  const middle = keyBytes.length;
  const place = {
    bytes: Buffer.concat([keyBytes, valueBytes]),
    offset,
    timestampMs: 1_700_000_000_000 + offset,
    keyStart: key === null ? -1 : 0,
    keyEnd: key === null ? -1 : middle,
    valueStart: value === null ? -1 : middle,
    valueEnd: value === null ? -1 : middle + valueBytes.length,
  };
  return place as unknown as RecordCursor;
}
