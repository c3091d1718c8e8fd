import { requireKafka } from '../../src/domain/route.js';
import type { ClientBase } from 'pg';
import type { OutboxBatch } from '../../src/domain/batch.js';
import type { ReplicatedTable } from '../../src/domain/replicated-table.js';
import { rowContentOf } from '../../src/messages/formats.js';
import type { RowContent } from '../../src/pipeline/row-batch.js';
import { copyOut } from '../../src/source/copy/copy-out.js';
import { drainSql } from '../../src/source/outbox/drain-sql.js';
import { outboxTable } from '../../src/source/outbox/names.js';
import { BEGIN_READING, LOOK_UP_BY_INDEX } from '../../src/source/session.js';
import { ceilingOf, type Ceiling } from './ceiling.js';
import { timed } from './clock.js';
import type { BenchEnvironment } from './environment.js';

/** As many events as the publish slice takes at once. */
const BATCH_EVENTS = 20_000n;

/** The outbox joined to its table, to nowhere: the drain's own statement, batch after batch, on one connection. */
export function drainCeiling(environment: BenchEnvironment, table: ReplicatedTable, rows: number): Promise<Ceiling> {
  return drainSteps(environment, table, rows, rowContentOf(requireKafka(table.route)));
}

/** Likewise, with rows of a kind of one's own. */
export async function drainSteps(
  environment: BenchEnvironment,
  table: ReplicatedTable,
  rows: number,
  content: RowContent,
): Promise<Ceiling> {
  await using pg = await environment.connect('drain ceiling');
  const bounds = await boundsOf(pg, table);
  const { generation } = table;
  const timing = await timed(environment, async () => {
    for (let first = BigInt(bounds.first); first <= BigInt(bounds.last); first += BATCH_EVENTS) {
      const last = String(first + BATCH_EVENTS - 1n);
      const batch = { batch: 1, generation, first: String(first), last, snapshot: bounds.snapshot };
      await pg.query(`${BEGIN_READING};${LOOK_UP_BY_INDEX}`);
      await copyToNowhere(pg, drainSql(table, batch, { ...content, hasLoose: false }));
      await pg.query('commit');
    }
  });
  return ceilingOf(content.rows === 'text' ? 'drain to nowhere, text' : 'drain to nowhere', rows, timing);
}

/** @throws Error where nothing waits */
async function boundsOf(
  pg: ClientBase,
  { id }: ReplicatedTable,
): Promise<{ first: string; last: string; snapshot: string }> {
  const found = await pg.query<{
    first: string;
    last: string;
    snapshot: string;
  }>(/* sql */ `select min(seq)::text as first, max(seq)::text as last, pg_current_snapshot()::text as snapshot
      from ${outboxTable(id)} having count(*) > 0`);
  const [bounds] = found.rows;
  if (bounds === undefined) throw new Error('the outbox is empty');
  return bounds;
}

/** The first of what waits, named as the ledger would. */
export async function firstBatch(pg: ClientBase, table: ReplicatedTable): Promise<OutboxBatch> {
  const { first, snapshot } = await boundsOf(pg, table);
  const last = String(BigInt(first) + BATCH_EVENTS - 1n);
  return { batch: 1, generation: table.generation, first, last, snapshot };
}

export async function tableCopyCeiling(environment: BenchEnvironment, table: string, rows: number): Promise<Ceiling> {
  await using pg = await environment.connect('copy ceiling');
  const timing = await timed(environment, () => copyToNowhere(pg, /* sql */ `copy ${table} to stdout`));
  return ceilingOf('COPY table to nowhere', rows, timing);
}

/** @returns bytes */
export async function copyToNowhere(pg: ClientBase, sql: string): Promise<number> {
  let bytes = 0;
  for await (const chunk of copyOut(pg, sql) as AsyncIterable<Buffer>) bytes += chunk.length;
  return bytes;
}
