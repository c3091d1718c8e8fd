import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { Client } from 'pg';
import { from as copyFrom } from 'pg-copy-streams';

/** A row as texts that PostgreSQL reads; null is NULL. */
export type TextRow = readonly (string | null)[];

/** A write for each row would cost more than the rows. */
const ROWS_PER_CHUNK = 1_000;

/** Loads rows by COPY. @param into `table (columns)`, quoted as SQL wants it */
export async function copyIn(pg: Client, into: string, rows: Iterable<TextRow>): Promise<void> {
  const sink = pg.query(copyFrom(/* sql */ `copy ${into} from stdin`));
  await pipeline(Readable.from(chunks(rows)), sink);
}

function* chunks(rows: Iterable<TextRow>): Generator<Buffer> {
  let lines: string[] = [];
  for (const row of rows) {
    lines.push(row.map(escape).join('\t'));
    if (lines.length < ROWS_PER_CHUNK) continue;
    yield Buffer.from(`${lines.join('\n')}\n`);
    lines = [];
  }
  if (lines.length > 0) yield Buffer.from(`${lines.join('\n')}\n`);
}

const ESCAPES: Readonly<Record<string, string>> = { '\\': '\\\\', '\t': '\\t', '\n': '\\n', '\r': '\\r' };

function escape(value: string | null): string {
  return value === null ? '\\N' : value.replaceAll(/[\\\t\n\r]/gu, (found) => ESCAPES[found] ?? found);
}
