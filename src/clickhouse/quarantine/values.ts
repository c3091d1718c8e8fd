import type { MessagePlace } from '../../domain/batch.js';
import { holeOf } from '../../domain/quarantine.js';
import type { InsertValues } from '../clickhouse-writer.js';

const NEWLINE = 0x0a;

/** The lines of a batch in memory, each a view, and where each comes from. */
export interface Lines {
  readonly lines: readonly Buffer[];
  /** Of a line: its message, and its row there, from 0. */
  readonly originOf: (line: number) => { readonly partition: number; readonly offset: string; readonly row: number };
}

export function linesOf({ values, placeOf }: Pick<InsertValues, 'values' | 'placeOf'>): Lines {
  const lines: Buffer[] = [];
  /** Index of the first line of each value. */
  const firsts: number[] = [];
  for (const value of values) {
    firsts.push(lines.length);
    for (const line of split(value)) lines.push(line);
  }
  return {
    lines,
    originOf: (line) => {
      // The last value that begins at the line or before it.
      let [value, after] = [0, firsts.length];
      while (after - value > 1) {
        const middle = (value + after) >>> 1;
        if ((firsts[middle] ?? 0) <= line) value = middle;
        else after = middle;
      }
      const { partition, offset } = placeOf(value);
      return { partition, offset: String(offset), row: line - (firsts[value] ?? 0) };
    },
  };
}

/** The batch without the rows that its name says are holes. */
export function withoutHoles(content: InsertValues, holes: ReadonlySet<string>): InsertValues {
  const messages = new Set([...holes].map((hole) => hole.slice(0, hole.indexOf('/'))));
  const values: Buffer[] = [];
  let left = 0;
  let bytes = 0;
  for (const [index, value] of content.values.entries()) {
    const place = content.placeOf(index);
    if (!messages.has(`${place.partition}:${place.offset}`)) {
      values.push(value);
      continue;
    }
    for (const [row, line] of split(value).entries()) {
      if (!holes.has(holeOf(originAt(place, row)))) values.push(line);
      else {
        left += 1;
        bytes += line.length + 1;
      }
    }
  }
  return { ...content, values, rows: content.rows - left, bytes: content.bytes - bytes };
}

function originAt({ partition, offset }: MessagePlace, row: number) {
  return { partition, offset: String(offset), row };
}

function split(value: Buffer): Buffer[] {
  const lines: Buffer[] = [];
  let start = 0;
  for (let end = value.indexOf(NEWLINE); end !== -1; end = value.indexOf(NEWLINE, start)) {
    lines.push(value.subarray(start, end));
    start = end + 1;
  }
  lines.push(value.subarray(start));
  return lines;
}
