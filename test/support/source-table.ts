import pg from 'pg';
import type { OutboxBatch } from '../../src/domain/batch.js';
import type { Change } from '../../src/domain/change.js';
import type { ColumnOptions, ReplicatedTable, TriggerLevel } from '../../src/domain/replicated-table.js';
import type { TableName } from '../../src/domain/table-name.js';
import { loadSettings, type Settings } from '../../src/settings/settings.js';
import { readBatch } from '../../src/source/outbox/drain.js';
import { inspectTable } from '../../src/source/catalog/inspect.js';
import { captureFormOf } from '../../src/source/outbox/capture-form.js';
import { installOutbox } from '../../src/source/outbox/install.js';
import { textOf } from './spans.js';
import { environmentOf } from './clients.js';
import type { PostgresAddress } from './stack.js';

/** A connection as the worker's are: its results are text where a JavaScript value would lose something. */
export async function connectSource(address: PostgresAddress): Promise<pg.Client> {
  const client = new pg.Client({
    ...address,
    options: '-c synchronous_commit=on -c DateStyle=ISO -c TimeZone=UTC -c extra_float_digits=1 -c row_security=off',
    types: { getTypeParser: (oid, format) => pg.types.getTypeParser([114, 1700].includes(oid) ? 25 : oid, format) },
  });
  client.on('error', () => undefined);
  await client.connect();
  return client;
}

/** What a worker would read of its environment, of PostgreSQL only. */
export function settingsOf(postgres: PostgresAddress): Settings {
  return loadSettings({ env: environmentOf({ postgres }), envFile: false, stackFile: false });
}

let lastId = 0;

/** Puts an outbox on a table that exists, as adding it does, and makes up the rest of a replicated table. */
export async function replicate(
  client: pg.Client,
  name: TableName,
  options: {
    key?: readonly string[];
    triggerLevel?: TriggerLevel;
    appliedRows?: boolean;
    generation?: number;
    columns?: ColumnOptions;
  } = {},
): Promise<ReplicatedTable> {
  await client.query(
    /* sql */ `do $$ begin if to_regnamespace('pg2click') is null then create schema pg2click; end if; end $$`,
  );
  const inspection = await inspectTable(client, name, { ...options.columns, key: options.key });
  const triggerLevel = options.triggerLevel ?? inspection.triggerLevel;
  const appliedRows = options.appliedRows ?? triggerLevel === 'statement';
  lastId += 1;
  const table: ReplicatedTable = {
    id: String(lastId),
    pipeline: 'test',
    name,
    relation: inspection.relation,
    generation: options.generation ?? 1,
    shape: 1,
    columns: inspection.columns,
    ...(inspection.excluded === undefined ? {} : { excluded: inspection.excluded }),
    key: inspection.key,
    route: {
      capture: { kind: 'outbox', triggerLevel, appliedRows, isTree: inspection.isTree },
      transport: { kind: 'kafka', topic: 'unused', partitions: 1, format: 'json', payload: 'row' },
      loaders: [{ kind: 'worker', name: 'main', target: { database: 'unused', table: 'unused' } }],
    },
    fingerprint: '',
  };
  await installOutbox(client, { ...table, ...captureFormOf(table) });
  return table;
}

/** Names everything that is visible in the outbox now, as the ledger does; undefined when it is empty. */
export async function nameBatch(client: pg.Client, table: ReplicatedTable): Promise<OutboxBatch | undefined> {
  const named = await client.query<{
    first: string | null;
    last: string;
    snapshot: string;
  }>(/* sql */ `select min(seq)::text as first, max(seq)::text as last, pg_current_snapshot()::text as snapshot
      from pg2click.outbox_${table.id}`);
  const [row] = named.rows;
  if (row === undefined || row.first === null) return undefined;
  return {
    batch: 1,
    generation: table.generation,
    shape: table.shape,
    first: row.first,
    last: row.last,
    snapshot: row.snapshot,
  };
}

/** A change with its bytes decoded, for a test to look at. */
export interface Seen {
  readonly kind: Change['kind'];
  readonly key: unknown;
  readonly value: Record<string, unknown>;
  readonly seq: bigint;
}

/** Reads the batch; the outbox is left as it is. */
export async function readAll(
  client: pg.Client,
  table: ReplicatedTable,
  batch: OutboxBatch,
): Promise<{ seen: Seen[]; events: number }> {
  const reading = readBatch(client, table, batch, { signal: new AbortController().signal });
  const seen: Seen[] = [];
  for await (const changes of reading.changes) for (const change of changes) seen.push(decode(change));
  return { seen, events: reading.events() };
}

export function decode({ kind, key, value, seq }: Change): Seen {
  return {
    kind,
    key: key.start === key.end ? undefined : (JSON.parse(textOf(key)) as unknown),
    value: JSON.parse(textOf(value)) as Record<string, unknown>,
    seq: BigInt(textOf(seq)),
  };
}

/** Names all, reads it, deletes what was named. @throws where other events than those read were there to delete */
export async function drain(client: pg.Client, table: ReplicatedTable): Promise<Seen[]> {
  const batch = await nameBatch(client, table);
  if (batch === undefined) return [];
  const { seen, events } = await readAll(client, table, batch);
  const deleted = await client.query(
    /* sql */ `delete from pg2click.outbox_${table.id}
      where seq between $1 and $2 and pg_visible_in_snapshot(xid, $3)`,
    [batch.first, batch.last, batch.snapshot],
  );
  if (deleted.rowCount !== events) throw new Error(`read ${events} events and deleted ${deleted.rowCount}`);
  return seen;
}

/** An order for comparing what has none. */
export function byText(a: unknown, b: unknown): number {
  return JSON.stringify(a) < JSON.stringify(b) ? -1 : 1;
}
