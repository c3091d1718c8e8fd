import type { Queryable } from '../connect/queryable.js';
import type { Chunk, CopyProgress } from '../domain/chunk.js';
import { fenced, query } from './query.js';
import type { StageClaim } from './stages.js';

/** Locks the row of the stage, so that nobody claims it before the statement ends. */
const CLAIMED = /* sql */ `claimed as (
  select table_id, stage from pg2click.stage where table_id = $1 and stage = $2 and epoch = $3 for update)`;

/** Records the chunks of a copy. @throws Failure `Fenced` */
export async function addChunks(
  pg: Queryable,
  claim: StageClaim,
  chunks: readonly Omit<Chunk, 'chunk'>[],
): Promise<void> {
  await replaceChunks(pg, claim, null, chunks);
}

/**
 * Takes the chunks of a heap away, done ones too, and records others in their place, in one statement.
 * @param heap `BlockRange.relation`; null for none
 * @throws Failure `Fenced`
 */
export async function replaceChunks(
  pg: Queryable,
  { tableId, stage, epoch }: StageClaim,
  heap: string | null,
  chunks: readonly Omit<Chunk, 'chunk'>[],
): Promise<void> {
  const found = await query<{ claimed: boolean }>(
    pg,
    /* sql */ `with ${CLAIMED},
      gone as (delete from pg2click.chunk c using claimed where c.table_id = claimed.table_id and c.stage = claimed.stage
        and c.range ->> 'relation' = $4),
      highest as (select coalesce(max(chunk), 0) as chunk from pg2click.chunk where table_id = $1 and stage = $2),
      added as (insert into pg2click.chunk (table_id, stage, chunk, range, bytes)
        select claimed.table_id, claimed.stage, highest.chunk + n, planned -> 'range', (planned ->> 'bytes')::bigint
        from claimed, highest, jsonb_array_elements($5::jsonb) with ordinality as e (planned, n))
      select exists (select from claimed) as claimed`,
    [tableId, stage, epoch, heap, JSON.stringify(chunks)],
  );
  if (found.rows[0]?.claimed !== true) fenced(stage);
}

/** A copy as the ledger has it. */
export interface ChunkPlan {
  /** Those that are not done, in their order. */
  readonly left: readonly Chunk[];
  readonly progress: CopyProgress;
}

export async function readChunks(pg: Queryable, { tableId, stage }: Omit<StageClaim, 'epoch'>): Promise<ChunkPlan> {
  const found = await query<{ left: readonly Chunk[]; progress: CopyProgress }>(
    pg,
    /* sql */ `select
        coalesce(jsonb_agg(jsonb_build_object('chunk', chunk, 'range', range, 'bytes', bytes) order by chunk)
          filter (where done_at is null), '[]') as left,
        jsonb_build_object('chunks', count(*), 'chunksDone', count(done_at), 'rows', coalesce(sum(rows), 0),
          'bytes', coalesce(sum(bytes), 0), 'bytesDone', coalesce(sum(bytes) filter (where done_at is not null), 0)) as progress
      from pg2click.chunk where table_id = $1 and stage = $2`,
    [tableId, stage],
  );
  const [row] = found.rows;
  if (row === undefined) throw new Error('an aggregate has one row');
  return row;
}

/** Notes that a chunk is about to be read. @throws Failure `Fenced` */
export async function beginChunk(pg: Queryable, { tableId, stage, epoch }: StageClaim, chunk: number): Promise<void> {
  const found = await query<{ claimed: boolean }>(
    pg,
    /* sql */ `with ${CLAIMED},
      begun as (update pg2click.chunk c set begun_at = now() from claimed
        where c.table_id = claimed.table_id and c.stage = claimed.stage and c.chunk = $4)
      select exists (select from claimed) as claimed`,
    [tableId, stage, epoch, chunk],
  );
  if (found.rows[0]?.claimed !== true) fenced(stage);
}

/**
 * Confirms a chunk. @returns false where it is not in the plan any more: its heap was planned again
 * @throws Failure `Fenced`
 */
export async function confirmChunk(
  pg: Queryable,
  { tableId, stage, epoch }: StageClaim,
  { chunk, rows, bytes }: { readonly chunk: number; readonly rows: number; readonly bytes: number },
): Promise<boolean> {
  const found = await query<{ claimed: boolean; confirmed: boolean }>(
    pg,
    /* sql */ `with ${CLAIMED},
      confirmed as (update pg2click.chunk c set rows = $5, done_at = now() from claimed
        where c.table_id = claimed.table_id and c.stage = claimed.stage and c.chunk = $4 and c.done_at is null
        returning c.table_id, c.stage),
      counted as (update pg2click.stage s set rows = s.rows + $5, bytes = s.bytes + $6, updated_at = now() from confirmed
        where s.table_id = confirmed.table_id and s.stage = confirmed.stage)
      select exists (select from claimed) as claimed, exists (select from confirmed) as confirmed`,
    [tableId, stage, epoch, chunk, rows, bytes],
  );
  if (found.rows[0]?.claimed !== true) fenced(stage);
  return found.rows[0].confirmed;
}

/** A server writes what it was given to its disk within a minute or so. */
const AT_RISK = /* sql */ `interval '10 minutes'`;
/** What the two servers may differ by in telling how long ago something was. */
const TOLERANCE = /* sql */ `interval '2 seconds'`;

/**
 * Opens chunks again that were begun before the target's server was started, and done since shortly before it: an insert that it has
 * answered may not have been on its disk, however late that was confirmed. Their rows carry the same version again.
 * @param uptimeSeconds how long that server runs
 * @returns how many. @throws Failure `Fenced`
 */
export async function reopenChunks(
  pg: Queryable,
  { tableId, stage, epoch }: StageClaim,
  uptimeSeconds: number,
): Promise<number> {
  const found = await query<{ claimed: boolean; reopened: number }>(
    pg,
    /* sql */ `with ${CLAIMED},
      started as (select now() - make_interval(secs => $4) as at),
      reopened as (update pg2click.chunk c set rows = null, done_at = null from claimed, started
        where c.table_id = claimed.table_id and c.stage = claimed.stage
          and c.done_at > started.at - ${AT_RISK} and coalesce(c.begun_at, c.done_at) < started.at + ${TOLERANCE}
        returning c.chunk)
      select exists (select from claimed) as claimed, (select count(*)::int from reopened) as reopened`,
    [tableId, stage, epoch, uptimeSeconds],
  );
  if (found.rows[0]?.claimed !== true) fenced(stage);
  return found.rows[0].reopened;
}

/** Forgets the plan of a copy that is done, or that begins again. @throws Failure `Fenced` */
export async function forgetChunks(pg: Queryable, { tableId, stage, epoch }: StageClaim): Promise<void> {
  const found = await query<{ claimed: boolean }>(
    pg,
    /* sql */ `with ${CLAIMED},
      gone as (delete from pg2click.chunk c using claimed where c.table_id = claimed.table_id and c.stage = claimed.stage)
      select exists (select from claimed) as claimed`,
    [tableId, stage, epoch],
  );
  if (found.rows[0]?.claimed !== true) fenced(stage);
}
