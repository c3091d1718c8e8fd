import { requireKafka } from '../../src/domain/route.js';
import { Readable } from 'node:stream';
import { loaderNamed, type ReplicatedTable } from '../../src/domain/replicated-table.js';
import { namedInsertSettings } from '../../src/clickhouse/insert-settings.js';
import { FORMATS } from '../../src/messages/formats.js';
import { copyRows } from '../../src/source/copy/copy-rows.js';
import { ceilingOf, type Ceiling } from './ceiling.js';
import { timed } from './clock.js';
import { count, type BenchEnvironment } from './environment.js';
import { readTopic } from './topic-ceilings.js';

const CHUNK_BYTES = 128 * 1024;
const NEWLINE = 0x0a;

/**
 * The rows of the topic from memory into a table of the same definition, in inserts of as many rows as the load slice's had; for
 * JSON beside it the same rows as COPY text.
 * @param rowsPerInsert of the loader, on average
 * @returns first what the loader does; of keys it inserts the rows as COPY text
 */
export async function insertCeilings(
  environment: BenchEnvironment,
  table: ReplicatedTable,
  rows: number,
  rowsPerInsert: number,
): Promise<readonly Ceiling[]> {
  const { topic, format, payload } = requireKafka(table.route);
  const loaded = new Bodies(rowsPerInsert);
  if (payload === 'row')
    await readTopic(environment, topic, (messages) => {
      for (const { value } of messages) if (value !== null) loaded.addLines(value);
    });
  if (FORMATS[format].rows === 'text')
    return [await insertBodies(environment, table, 'TabSeparated', loaded.finish(), rows)];
  const text = new Bodies(rowsPerInsert);
  await using pg = await environment.connect('rows for a ceiling');
  for await (const chunk of copyRows(pg, table, '1', environment) as AsyncIterable<Buffer>) text.addText(chunk);
  const asText = await insertBodies(environment, table, 'TabSeparated', text.finish(), rows);
  return payload === 'key'
    ? [asText]
    : [await insertBodies(environment, table, 'JSONEachRow', loaded.finish(), rows), asText];
}

async function insertBodies(
  environment: BenchEnvironment,
  table: ReplicatedTable,
  format: 'JSONEachRow' | 'TabSeparated',
  bodies: readonly Buffer[],
  rows: number,
): Promise<Ceiling> {
  const { clickhouse } = environment;
  const { target } = loaderNamed(table);
  const bare = `${target.table}_bare`;
  const source = `${target.database}.${target.table}`;
  await clickhouse.command({ query: /* sql */ `create table ${bare} as ${source}` });
  try {
    const timing = await timed(environment, async () => {
      for (const [index, body] of bodies.entries()) {
        const { stream } = await clickhouse.exec({
          query: /* sql */ `insert into ${bare} format ${format}`,
          values: Readable.from(chunksOf(body), { objectMode: false }),
          clickhouse_settings: await namedInsertSettings(clickhouse, `${bare}/${format}/${index}`),
          abort_signal: environment.signal,
        });
        stream.resume();
      }
    });
    const there = await count(clickhouse, /* sql */ `select count() as n from ${bare}`);
    if (there < rows) throw new Error(`${there} of ${rows} rows came into ${bare} as ${format}`);
    return ceilingOf(`${format} insert`, rows, timing);
  } finally {
    await clickhouse.command({ query: /* sql */ `drop table ${bare} sync` });
  }
}

function* chunksOf(body: Buffer): Generator<Buffer> {
  for (let at = 0; at < body.length; at += CHUNK_BYTES) yield body.subarray(at, at + CHUNK_BYTES);
}

/** Lines gathered into bodies of so many rows. */
class Bodies {
  readonly #rowsPerBody: number;
  readonly #bodies: Buffer[] = [];
  #parts: Buffer[] = [];
  #rows = 0;

  constructor(rowsPerBody: number) {
    this.#rowsPerBody = Math.max(1, Math.round(rowsPerBody));
  }

  /** Lines without a newline at their end: one, or several. */
  addLines(lines: Buffer): void {
    this.addText(lines);
    this.addText(Buffer.of(NEWLINE));
  }

  addText(text: Buffer): void {
    let from = 0;
    for (let at = text.indexOf(NEWLINE); at >= 0; at = text.indexOf(NEWLINE, at + 1)) {
      this.#rows += 1;
      if (this.#rows < this.#rowsPerBody) continue;
      this.#parts.push(text.subarray(from, at + 1));
      this.#close();
      from = at + 1;
    }
    if (from < text.length) this.#parts.push(text.subarray(from));
  }

  finish(): readonly Buffer[] {
    this.#close();
    return this.#bodies;
  }

  #close(): void {
    if (this.#parts.length > 0) this.#bodies.push(Buffer.concat(this.#parts));
    this.#parts = [];
    this.#rows = 0;
  }
}
