import { readsAgain } from '../domain/backfill.js';
import type { CopyPace } from '../domain/chunk.js';
import type { Databases } from '../connect/databases.js';
import type { ReplicatedTable } from '../domain/replicated-table.js';
import { isReplay, type ReplayPosition } from '../domain/replay.js';
import { inputOf, stagesOf, type StageId } from '../domain/route.js';
import { readLedger, type LedgerFilter, type LedgerStage, type LedgerTable } from '../ledger/backlog.js';
import type { SourceBacklog } from '../pipeline/backlog.js';
import type { CaptureBacklog } from '../source/capture.js';
import { CAPTURES } from '../source/captures.js';
import type { GroupPosition } from '../topic/group-source.js';
import { topicBacklog } from '../topic/topic-backlog.js';

/** What waits for a stage of a table, and what it moved so far. */
export interface StageBacklog extends SourceBacklog {
  /** The last confirmed batch. */
  readonly batch: number;
  /** Messages that its reader could not load and set aside; null where it sets none aside. */
  readonly errors: number | null;
  /** Rows and tombstones since the table was added; those of a batch that was sent again count again. */
  readonly rows: number;
  /** Of the rows moved so far; null before the first. */
  readonly bytesPerRow: number | null;
  /** Seconds since the batch in hand was named; null without one. Everything in it is older. */
  readonly namedFor: number | null;
  /** When a batch was last named or confirmed, Unix time in seconds. */
  readonly lastBatchAt: number;
  /** Of a copy under way; null where none is, or it is not planned yet. */
  readonly copy: CopyPace | null;
  /** Of a stage that reads a topic: the next offset of each partition. */
  readonly offsets?: Readonly<Record<string, string>>;
}

/** A replay as the ledger has it. */
export interface ReplayBacklog {
  readonly stage: StageId;
  readonly rows: number;
  /** Messages that are left; 0 also where its end is not known yet. */
  readonly waiting: number;
}

export interface TableBacklog {
  readonly table: ReplicatedTable;
  readonly replays?: readonly ReplayBacklog[];
  /** Backfills under way, by stage. */
  readonly backfills?: Readonly<Record<StageId, CopyPace>>;
  /** Of the stages that the ledger has a row of. */
  readonly stages: Readonly<Record<StageId, StageBacklog>>;
  /** What the capture takes in PostgreSQL; null where it is gone, or takes nothing. */
  readonly outbox: { readonly bytes: number; readonly deadTuples: number } | null;
  /** As in `CaptureBacklog`. */
  readonly gaps?: CaptureBacklog['gaps'];
  /** As in `CaptureBacklog`. */
  readonly slot?: CaptureBacklog['slot'];
  /** Rows that ClickHouse refused and that are set aside. */
  readonly quarantined: number;
}

/**
 * What waits for the stages of every prepared table: the one count that status and metrics show. One round trip for the
 * ledger and two for the outboxes, whatever the number of tables.
 * @throws Failure `LedgerUnavailable` and its like; `Misconfigured` where there is no ledger
 */
export async function readBacklog(
  { ledger, source, slots }: Databases,
  filter: LedgerFilter = {},
  captures: Pick<typeof CAPTURES, 'kinds' | 'named'> = CAPTURES,
): Promise<readonly TableBacklog[]> {
  const tables = await readLedger(ledger, filter);
  const captured = new Map<string, CaptureBacklog>();
  for (const kind of captures.kinds) {
    const its = tables.filter(({ table }) => table.route.capture.kind === kind).map(capturedTable);
    for (const [id, backlog] of (await captures.named(kind).backlog?.(source, its, slots)) ?? [])
      captured.set(id, backlog);
  }
  return tables.map((each) => toBacklog(each, captured.get(each.table.id)));
}

function drainOf({ table, stages }: LedgerTable): LedgerStage | undefined {
  const drain = stagesOf(table.route).find(({ id }) => inputOf(id) === 'capture');
  return drain === undefined ? undefined : stages[drain.id];
}

function capturedTable(each: LedgerTable) {
  const drain = drainOf(each);
  const { lowWater = '0', position, pending } = drain ?? {};
  return { id: each.table.id, table: each.table, lowWater, position, pending };
}

function toBacklog({ table, stages, quarantined }: LedgerTable, captured: CaptureBacklog | undefined): TableBacklog {
  const known = stagesOf(table.route).flatMap(({ id }) => {
    const stage = stages[id];
    return stage === undefined ? [] : [[id, stageBacklog(stage, sourceBacklog(id, stage, captured))] as const];
  });
  const { bytes = null, deadTuples = null } = captured ?? {};
  return {
    table,
    replays: Object.entries(stages).flatMap(([stage, row]) => replayBacklog(stage, row)),
    backfills: Object.fromEntries(
      Object.entries(stages).flatMap(([stage, { copy }]) =>
        readsAgain(stage) && copy !== null ? [[stage, copy]] : [],
      ),
    ),
    stages: Object.fromEntries(known),
    outbox: bytes === null || deadTuples === null ? null : { bytes, deadTuples },
    gaps: captured?.gaps,
    slot: captured?.slot,
    quarantined,
  };
}

function replayBacklog(stage: StageId, { position, rows }: LedgerStage): readonly ReplayBacklog[] {
  if (!isReplay(stage)) return [];
  const { offsets, end } = position as ReplayPosition;
  const left = Object.entries(end ?? {}).map(([of, last]) => Math.max(0, Number(last) - Number(offsets[of] ?? last)));
  const waiting = left.reduce((sum, each) => sum + each, 0);
  return [{ stage, rows, waiting }];
}

const UNKNOWN: SourceBacklog = { waiting: null, newest: 0n, done: 0n };

function sourceBacklog(id: StageId, stage: LedgerStage, captured: CaptureBacklog | undefined): SourceBacklog {
  switch (inputOf(id)) {
    case 'table':
      return UNKNOWN;
    case 'capture':
      return captured ?? UNKNOWN;
    case 'topic':
      return captured === undefined ? UNKNOWN : topicBacklog(captured.published, stage);
  }
}

function stageBacklog(stage: LedgerStage, { waiting, newest, done }: SourceBacklog): StageBacklog {
  const { batch, rows, bytes, pending, updatedAt, updatedAgo, copy } = stage;
  const { errors = null, offsets } = (stage.position ?? {}) as Partial<GroupPosition> & {
    readonly offsets?: Readonly<Record<string, string>>;
  };
  return {
    waiting,
    newest,
    done,
    batch,
    errors,
    rows,
    bytesPerRow: rows === 0 ? null : bytes / rows,
    namedFor: pending === null || waiting === 0 ? null : Math.max(0, updatedAgo),
    lastBatchAt: updatedAt,
    copy: copy ?? null,
    ...(offsets === undefined ? {} : { offsets }),
  };
}
