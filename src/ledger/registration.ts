import type { Queryable } from '../connect/queryable.js';
import { literal } from '../domain/identifier.js';
import { firstLoader, type ReplicatedTable } from '../domain/replicated-table.js';
import { kafkaOf, type StageId, type Target } from '../domain/route.js';
import { formatTableName, shellName, type TableName } from '../domain/table-name.js';
import { Failure } from '../failure/failure.js';
import { takenRemedy } from '../failure/remedies.js';
import { query } from './query.js';
import { TABLE_COLUMNS, toTable, type Definition, type TableRow } from './tables.js';

/** The right to prepare or remove a table. The next attempt to claim the table ends it. */
export interface DdlClaim {
  readonly id: string;
  /** `ddl_epoch` of the row under this claim, decimal. */
  readonly epoch: string;
}

/** What the ledger knew of a table when an attempt began. A later change of it fences the attempt. */
export interface Standing {
  /** The row, ready or half prepared. */
  readonly table: ReplicatedTable | undefined;
  readonly ready: boolean;
  /** Decimal; null without a row. */
  readonly epoch: string | null;
  /** The highest generation that the table ever had; null where it was never added. */
  readonly past: number | null;
}

/** A version has 8 bits for the generation. */
export const LAST_GENERATION = 255;

export async function readStanding(pg: Queryable, pipeline: string, name: TableName): Promise<Standing> {
  const found = await query<Partial<TableRow> & { ready: boolean | null; epoch: string | null; past: number | null }>(
    pg,
    /* sql */ `select row.*, history.past
      from (select) one
      left join (select ${TABLE_COLUMNS}, ready, ddl_epoch::text as epoch from pg2click.replicated_table
        where pipeline = $1 and schema_name = $2 and table_name = $3) row on true
      left join (select generation::int as past from pg2click.history
        where pipeline = $1 and schema_name = $2 and table_name = $3) history on true`,
    [pipeline, name.schema, name.table],
  );
  const row = found.rows[0];
  const isThere = row?.id !== undefined && row.id !== null;
  return {
    table: isThere ? toTable(row as TableRow) : undefined,
    ready: row?.ready === true,
    epoch: row?.epoch ?? null,
    past: row?.past ?? null,
  };
}

/** The names of a table. */
export interface TakenNames {
  /** `shop.orders of pipeline default` */
  readonly owner: string;
  /** Null where no topic carries its rows. */
  readonly topic: string | null;
  readonly targets: readonly Target[];
}

/** Names that the table may not choose: topics of all pipelines, and targets of its own pipeline. */
export async function listTakenNames(pg: Queryable, pipeline: string, name: TableName): Promise<readonly TakenNames[]> {
  const found = await query<TableName & { pipeline: string; topic: string | null; targets: readonly Target[] }>(
    pg,
    /* sql */ `select pipeline, schema_name as schema, table_name as table, definition #>> '{route,transport,topic}' as topic,
        jsonb_path_query_array(definition, '$.route.loaders[*].target') as targets
      from pg2click.replicated_table where (pipeline, schema_name, table_name) <> ($1, $2, $3)`,
    [pipeline, name.schema, name.table],
  );
  return found.rows.map(({ topic, targets, ...owner }) => ({
    owner: `${formatTableName(owner)} of pipeline ${owner.pipeline}`,
    topic,
    targets: owner.pipeline === pipeline ? targets : [],
  }));
}

export interface Registration {
  readonly pipeline: string;
  readonly name: TableName;
  readonly relation: string;
  readonly definition: Definition;
  /** The highest generation that the target holds rows of; 0 for none. */
  readonly targetGeneration: number;
}

/**
 * Writes a table's row, not yet ready, and claims it; or writes it again where an earlier attempt stopped half-way. A new row takes
 * a generation above all that the table and its target ever had; an attempt that is repeated keeps it, because nothing was
 * sent under it.
 * @param standing as read when the attempt began: the row is written only where it still holds
 * @throws Failure `Fenced` another attempt was faster; `TargetTaken` another table has the topic or the target;
 *   `Misconfigured` no generation is left
 */
export async function registerTable(
  pg: Queryable,
  table: Registration,
  standing: Standing,
): Promise<{ readonly table: ReplicatedTable; readonly claim: DdlClaim }> {
  refuseLastGeneration(table, standing);
  const values = [
    table.pipeline,
    table.name.schema,
    table.name.table,
    table.relation,
    JSON.stringify(table.definition),
    table.targetGeneration,
  ];
  const written = await (
    standing.table === undefined
      ? query<TableRow & { epoch: string }>(pg, INSERT, [...values, standing.past])
      : query<TableRow & { epoch: string }>(pg, UPDATE, [...values, standing.table.id, standing.epoch])
  ).catch(async (error: unknown) => {
    throw await explainTaken(pg, error, table);
  });
  const row = written.rows[0];
  if (row === undefined) throw overtaken(table.name);
  return { table: toTable(row), claim: { id: row.id, epoch: row.epoch } };
}

const INSERT = /* sql */ `with past as (
    insert into pg2click.history (pipeline, schema_name, table_name, generation)
    values ($1, $2, $3, $6::int + 1)
    on conflict (pipeline, schema_name, table_name)
    do update set generation = greatest(history.generation, $6::int) + 1 where history.generation = $7::int
    returning generation)
  insert into pg2click.replicated_table (pipeline, schema_name, table_name, relation, definition, generation, ddl_epoch)
  select $1, $2, $3, $4::oid, $5::jsonb, past.generation, 1 from past
  on conflict (pipeline, schema_name, table_name) do nothing
  returning ${TABLE_COLUMNS}, ddl_epoch::text as epoch`;

const UPDATE = /* sql */ `with mine as (
    update pg2click.replicated_table
    set relation = $4::oid, definition = $5::jsonb, generation = greatest(generation, $6::int + 1), ddl_epoch = ddl_epoch + 1
    where (pipeline, schema_name, table_name) = ($1, $2, $3) and id = $7 and ddl_epoch = $8 and not ready
    returning ${TABLE_COLUMNS}, ddl_epoch::text as epoch),
  past as (
    update pg2click.history h set generation = greatest(h.generation, mine.generation) from mine
    where (h.pipeline, h.schema_name, h.table_name) = ($1, $2, $3))
  select * from mine`;

/**
 * Claims a table to remove it, ready or not.
 * @throws Failure `Fenced`: it was removed meanwhile
 */
export async function claimTable(pg: Queryable, { id, name }: Pick<ReplicatedTable, 'id' | 'name'>): Promise<DdlClaim> {
  const claimed = await query<{ epoch: string }>(
    pg,
    /* sql */ `update pg2click.replicated_table set ddl_epoch = ddl_epoch + 1 where id = $1 returning ddl_epoch::text as epoch`,
    [id],
  );
  const row = claimed.rows[0];
  if (row === undefined) throw overtaken(name);
  return { id, epoch: row.epoch };
}

/**
 * Checks a claim. In a transaction the claim holds until its end: the next attempt to claim waits for it.
 * @throws Failure `Fenced`
 */
export async function checkClaim(pg: Queryable, claim: DdlClaim): Promise<void> {
  const found = await query(
    pg,
    /* sql */ `select from pg2click.replicated_table where id = $1 and ddl_epoch = $2 for update`,
    [claim.id, claim.epoch],
  );
  if (found.rowCount !== 1) throw overtaken();
}

/**
 * The last step of preparing: from here on slices find the table. Every stage starts from nothing, under a new epoch that fences
 * older attempts.
 * @throws Failure `Fenced`
 */
export async function markReady(
  pg: Queryable,
  claim: DdlClaim,
  start: {
    readonly definition: Definition;
    readonly fingerprint: string;
    readonly positions: Readonly<Record<StageId, object>>;
  },
): Promise<void> {
  const marked = await query(
    pg,
    /* sql */ `with mine as (
        update pg2click.replicated_table set ready = true, definition = $3::jsonb, fingerprint = $4
        where id = $1 and ddl_epoch = $2 and not ready
        returning id),
      stages as (
        insert into pg2click.stage as s (table_id, stage, position)
        select mine.id, start.key, start.value
        from mine, jsonb_each($5::jsonb) start
        on conflict (table_id, stage) do update
        set epoch = s.epoch + 1, owner = '', batch = 0, position = excluded.position, pending = null, deleting = null, proof = null,
            low_water = 0,
            candidate = null, candidate_xid = null, rows = 0, bytes = 0, updated_at = now())
      select from mine`,
    [claim.id, claim.epoch, JSON.stringify(start.definition), start.fingerprint, JSON.stringify(start.positions)],
  );
  if (marked.rowCount !== 1) throw overtaken();
}

/** Forgets a table; the highest generation it had stays in `pg2click.history`. @throws Failure `Fenced` */
export async function deleteTable(pg: Queryable, claim: DdlClaim): Promise<void> {
  const gone = await query(pg, /* sql */ `delete from pg2click.replicated_table where id = $1 and ddl_epoch = $2`, [
    claim.id,
    claim.epoch,
  ]);
  if (gone.rowCount !== 1) throw overtaken();
}

function overtaken(name?: TableName): Failure {
  const table = name === undefined ? 'this table' : formatTableName(name);
  return new Failure('Fenced', { message: `Another attempt prepares or removes ${table}, or has done so.` });
}

function refuseLastGeneration({ name, targetGeneration }: Registration, { table, past }: Standing): void {
  const next = table === undefined ? Math.max(past ?? 0, targetGeneration) + 1 : targetGeneration + 1;
  if (next <= LAST_GENERATION) return;
  const title = formatTableName(name);
  throw new Failure('Misconfigured', {
    message: `${title} has been added ${LAST_GENERATION} times, and row versions have no number for another time.`,
    remedy:
      `Run "pg2click remove ${shellName(name)}"; in PostgreSQL delete from pg2click.history where schema_name = ` +
      `${literal(name.schema)} and table_name = ${literal(name.table)}; drop its old ClickHouse table, or name another with --target; then add it.`,
  });
}

/** The constraints that keep `topic` and `target` apart, and the option that chooses another. */
const TAKEN: Readonly<Record<string, readonly [what: string, option: 'topic' | 'target']>> = {
  table_topic: ['topic', 'topic'],
  table_target: ['target', 'target'],
};

/** @returns the Failure `TargetTaken` where a name is taken, else the error */
export async function explainTaken(
  pg: Queryable,
  error: unknown,
  table: Pick<Registration, 'pipeline' | 'name' | 'definition'>,
): Promise<unknown> {
  const cause = error instanceof Failure ? (error.cause as { constraint?: unknown } | undefined) : undefined;
  const [what, option] = TAKEN[String(cause?.constraint)] ?? [];
  if (what === undefined || option === undefined) return error;
  const { pipeline, name, definition } = table;
  const topic = kafkaOf(definition.route)?.topic;
  // The newest loader is the one that was being added.
  const newest = definition.route.loaders.at(-1) ?? firstLoader(definition);
  const { target, connection } = newest;
  const before = definition.route.loaders.filter((loader) => loader !== newest);
  const found = await query<{ pipeline: string; schema: string; table: string }>(
    pg,
    /* sql */ `select t.pipeline, schema_name as schema, table_name as table from pg2click.replicated_table t
      where (schema_name, table_name) <> ($6, $7) and case when $1 = 'topic' then definition #>> '{route,transport,topic}' = $2
        else t.pipeline = $3 and exists (
          select from pg2click.target where table_id = t.id and database = $4 and "table" = $5) end`,
    [what, topic, pipeline, target.database, target.table, name.schema, name.table],
  );
  const owner = found.rows[0];
  const other = owner === undefined ? 'another table' : `${formatTableName(owner)} of pipeline ${owner.pipeline}`;
  const shown = what === 'topic' ? (topic ?? 'that it names') : `${target.database}.${target.table}`;
  return new Failure('TargetTaken', {
    message: `The ${what} ${shown}, which ${formatTableName(name)} would have, is that of ${other}.`,
    remedy: takenRemedy(
      {
        ...definition,
        name,
        route: { ...definition.route, loaders: before.length === 0 ? [newest] : before },
        loader: newest.name,
        ...(connection === undefined ? {} : { connection }),
      },
      option,
    ),
    cause,
  });
}
