import type { Queryable } from '../../connect/queryable.js';
import type { OutboxBatch } from '../../domain/batch.js';
import { classifyPostgres } from '../../failure/classify-postgres.js';
import { roleScript } from '../../package-root.js';
import { Failure } from '../../failure/failure.js';
import type { OutboxPart } from './look-pace.js';

/** What `pg2click.advance_drain` has done and found. */
export interface DrainStep {
  /** Events for the next batch; undefined where nothing waits. */
  readonly found:
    (Required<Pick<OutboxBatch, 'first' | 'last' | 'snapshot' | 'events'>> & Pick<OutboxBatch, 'after'>) | undefined;
  /** Last `seq` allocated, decimal. */
  readonly lastAllocated: string;
  /** Nothing at or below it can appear any more, decimal. */
  readonly lowWater: string;
  /** By the clock of PostgreSQL. */
  readonly tookMs: number;
}

interface StepRow {
  readonly first: string | null;
  readonly last: string;
  readonly events: number;
  readonly snapshot: string;
  readonly lastAllocated: string;
  readonly lowWater: string;
  readonly tookMs: number;
  readonly after: string | null;
}

/** The drain row is not where the ledger expects it: ahead of it, behind it, or gone. */
const ELSEWHERE: readonly string[] = ['P2C03', 'P2C04', 'P2C05'];

/**
 * Deletes the events of the last confirmed batch where they are still there, and finds the next ones: one transaction of the source.
 * @returns `elsewhere` where ledger and outbox disagree about the last batch; nothing was changed
 * @throws Failure `OutboxInconsistent` when other events than those of the name are there; `SourceUnavailable` and its like
 */
export async function advanceDrain(
  source: Queryable,
  id: string,
  step: {
    /** The last confirmed batch. */
    readonly batch: number;
    /** Its name, where its events may still be there. */
    readonly deleting: OutboxBatch | null;
    /** Events to find at most. */
    readonly limit: number;
    /** Where they are searched. */
    readonly part?: OutboxPart;
  },
): Promise<DrainStep | 'elsewhere'> {
  try {
    const stepped = await source.query<StepRow>(
      /* sql */ `select first_seq::text as first, last_seq::text as last, events::int, seen::text as snapshot,
          last_drawn::text as "lastAllocated", low_water::text as "lowWater",
          (extract(epoch from clock_timestamp() - statement_timestamp()) * 1000)::float8 as "tookMs", after::text
        from pg2click.advance_drain($1, $2, $3::jsonb, $4, $5, $6)`,
      [
        id,
        step.batch,
        step.deleting === null ? null : JSON.stringify(step.deleting),
        step.limit,
        step.part?.after?.toString() ?? null,
        step.part?.upTo?.toString() ?? null,
      ],
    );
    const [row] = stepped.rows;
    if (row === undefined) throw new Error('a function that returns one row returned none');
    const { first, last, events, snapshot, after, ...rest } = row;
    const found = { last, snapshot, events, ...(after === null ? {} : { after }) };
    return { ...rest, found: first === null ? undefined : { first, ...found } };
  } catch (error) {
    const { code } = error as { code?: unknown };
    if (ELSEWHERE.includes(String(code))) return 'elsewhere';
    if (code !== 'P2C02') throw classifyPostgres(error, 'draining the outbox');
    throw new Failure('OutboxInconsistent', {
      // Its text holds numbers only.
      message: `The outbox of this table lost or gained events by itself: ${(error as Error).message}.`,
      cause: error,
    });
  }
}

/** @returns the last batch whose events were deleted; undefined where the source does not know the outbox */
export async function readDrainedBatch(source: Queryable, id: string): Promise<number | undefined> {
  try {
    const found = await source.query<{ batch: number }>(
      /* sql */ `select batch::int as batch from pg2click.drain where table_id = $1`,
      [id],
    );
    return found.rows[0]?.batch;
  } catch (error) {
    throw classifyPostgres(error, 'comparing the outbox with the ledger');
  }
}

/**
 * Called in the transaction that makes the outbox, where the ledger lies in another database.
 * @throws Failure `Unauthorized` where `init` could not prepare this database
 */
export async function insertDrainRow(pg: Queryable, id: string): Promise<void> {
  if (!(await hasDrain(pg)))
    throw new Failure('Unauthorized', {
      message: 'The database of the tables is not prepared for outboxes: it has no table pg2click.drain.',
      remedy: `Let an administrator run ${roleScript} there for the role in PG_USER, run "pg2click init", then resume.`,
    });
  await pg.query(/* sql */ `insert into pg2click.drain (table_id) values ($1) on conflict (table_id) do nothing`, [id]);
}

export async function deleteDrainRow(pg: Queryable, id: string): Promise<void> {
  if (await hasDrain(pg)) await pg.query(/* sql */ `delete from pg2click.drain where table_id = $1`, [id]);
}

export async function hasDrain(pg: Queryable): Promise<boolean> {
  const found = await pg.query<{ has: boolean }>(
    /* sql */ `select pg_catalog.to_regclass('pg2click.drain') is not null as has`,
  );
  return found.rows[0]?.has === true;
}
