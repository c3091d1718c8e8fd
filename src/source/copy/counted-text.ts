import { Readable } from 'node:stream';
import type { RowText } from '../../pipeline/row-batch.js';

/** Besides what the COPY itself holds. */
const BUFFER_BYTES = 256 * 1024;

/** A stream of what is read. @param rows how many have come so far, as `CopyOut.rows` */
export function countedText(read: AsyncIterable<Buffer>, rows: () => number): RowText {
  const text = Readable.from(read, { objectMode: false, highWaterMark: BUFFER_BYTES });
  return Object.defineProperty(text, 'rows', { get: rows });
}
