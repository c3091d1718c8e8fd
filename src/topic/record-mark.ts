import { crc32c } from '../kafka/protocol/crc32c.js';
import type { RecordCursor } from '../kafka/protocol/record-batch-reader.js';
import { MESSAGE_HEADER } from '../messages/header.js';

const HEADER = Buffer.from(MESSAGE_HEADER);

/** A record, or where it was when the cursor stood on it. */
export type RecordPlace = Pick<
  RecordCursor,
  'bytes' | 'keyStart' | 'keyEnd' | 'valueStart' | 'valueEnd' | 'timestampMs'
>;

/** What a record is known by when it is read again: our header, which has the number of its row, or what others have written. */
export function recordMark(record: RecordCursor): string {
  const header = record.headerText(HEADER);
  return header === '' ? contentMark(record) : header;
}

/** When it was sent, and its key and value: length and checksum of each. */
export function contentMark({ bytes, keyStart, keyEnd, valueStart, valueEnd, timestampMs }: RecordPlace): string {
  const mark = (start: number, end: number): string =>
    start < 0 ? 'null' : `${end - start}-${crc32c(bytes, start, end).toString(16)}`;
  return `${timestampMs}/${mark(keyStart, keyEnd)}/${mark(valueStart, valueEnd)}`;
}
