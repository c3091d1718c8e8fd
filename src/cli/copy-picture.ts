import type { TableView } from '../control/table-view.js';
import { count, duration, percent, share } from '../domain/figures.js';

type CopyingTable = Pick<TableView, 'copiedRows' | 'estimatedRows' | 'copy'>;

/** What a copy waits for: its turn, or a writer. @param doing what it is at, as it says itself */
export function waitOf(doing: string | null): string {
  return doing?.startsWith('waiting') === true ? `, ${doing}` : '';
}

/** How far a first load is, for a column: `1,234,567 (31%)`. */
export function copyCell({ copiedRows, estimatedRows, copy }: CopyingTable): string {
  return copy === null || copy.bytes === 0
    ? `${count(copiedRows)}${share(copiedRows, estimatedRows)}`
    : `${count(copiedRows)} (${percent(copy.bytesDone, copy.bytes)})`;
}

/** The same with all that is known: `1,234,567 rows (31%), 12 of 40 chunks, 540,000 rows/s, 2 min left`. */
export function copyLine(table: CopyingTable): string {
  const { copiedRows, estimatedRows, copy } = table;
  if (copy === null) return `${count(copiedRows)} rows${share(copiedRows, estimatedRows)}`;
  const { bytes, bytesDone, chunks, chunksDone, rowsPerSecond, secondsLeft } = copy;
  return [
    `${count(copiedRows)} rows${bytes === 0 ? '' : ` (${percent(bytesDone, bytes)})`}`,
    `${count(chunksDone)} of ${count(chunks)} chunks`,
    ...(rowsPerSecond === null ? [] : [`${count(rowsPerSecond)} rows/s`]),
    ...(secondsLeft === null ? [] : [`${duration(secondsLeft)} left`]),
  ].join(', ');
}
