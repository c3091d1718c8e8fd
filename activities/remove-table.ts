import type { RemoveReceipt, RemoveRequest } from '../src/domain/receipt.js';
import { targetTable, type ReplicatedTable, type TargetTable } from '../src/domain/replicated-table.js';
import { formatTableName } from '../src/domain/table-name.js';
import { checkClaim, claimTable, deleteTable, readStanding } from '../src/ledger/registration.js';
import { dropTarget } from '../src/clickhouse/drop-target.js';
import { dropByUuid, dropLeft } from '../src/clickhouse/shadow.js';
import { leaveKept } from './change-kept.js';
import type { Deps } from './deps.js';
import { UNBOUNDED, runSlice } from '../src/pipeline/slice.js';
import { stepsOf } from '../src/pipeline/steps.js';

const TRIGGERS = 'outbox';

/**
 * Takes a table out, half prepared ones too: its triggers and outbox first, so that its writers no longer pay for it, then (if asked)
 * the target, the ledger row last. The topic stays: other consumers may read it, and its retention empties it. Idempotent. Each step
 * checks the claim: an attempt that wakes up late leaves the table alone if it was added again.
 * @returns what it did in ClickHouse; nothing where an earlier attempt has done it all, and took what it knew with it
 */
export async function removeTable(
  deps: Deps,
  request: RemoveRequest,
  { lockWaitMs }: { readonly lockWaitMs?: number } = {},
): Promise<RemoveReceipt | void> {
  return runSlice(UNBOUNDED, async (slice) => {
    const steps = stepsOf(slice, 'remove');
    const repeated = slice.attempt > 1;
    // Before the wait for a turn: this one is meant, and none that is added later.
    const { table, ready } = await readStanding(deps.ledger, request.pipeline, request);
    if (table === undefined || isLater(table, request)) return repeated ? undefined : { dropped: [], kept: [] };
    await using pg = await deps.connectSource(`remove ${formatTableName(request)}`, {
      signal: steps.signal,
      onWait: (ahead) => steps.say(`waiting for its turn, ${ahead} ahead of it`),
    });
    steps.begin('claiming the table');
    const claim = await claimTable(deps.ledger, table);
    steps.begin('removing the capture');
    const kinds = capturesOf(table);
    for (const [index, kind] of kinds.entries())
      await deps.captures.named(kind).remove(pg, table, {
        keepsOutbox: index < kinds.length - 1,
        signal: steps.signal,
        onWait: (holders) => steps.say(`waiting: ${holders}`),
        giveUpMs: lockWaitMs,
        fence: (transaction) => checkClaim(deps.ledgerWithin(transaction), claim),
        connectSlots: deps.connectSlots,
      });
    steps.begin('looking at the target');
    const receipt: { dropped: string[]; kept: RemoveReceipt['kept'][number][] } = { dropped: [], kept: [] };
    for (const loader of table.route.loaders) {
      const { kind, name, resync } = loader;
      const known = targetTable(table, name, (await deps.deployment()).id);
      // Half prepared, it may have been refused the target that it names.
      const target = ready ? known : { ...known, oldMarks: false };
      const before = (): Promise<void> => checkClaim(deps.ledger, claim);
      const removed = await deps.loaders.named(kind).remove?.(deps, target, { before, dropTarget: request.dropTarget });
      const done = request.dropTarget
        ? await dropTarget(deps.sink(target).clickhouse, target, { before, repeated })
        : keepTarget(target, ready);
      if (request.dropTarget && resync !== undefined) {
        const { clickhouse } = deps.sink(target);
        await dropLeft(clickhouse, target, resync, resync.uuid);
        // Exchanged already, and nobody has dropped it yet.
        const isKept = (loader.kept ?? []).some(({ uuid }) => uuid === resync.replaces);
        if (!isKept) await dropByUuid(clickhouse, target.target, resync.replaces);
      }
      const old = await leaveKept(deps, loader, request.dropTarget);
      receipt.dropped.push(...(removed?.dropped ?? []), ...done.dropped, ...old.dropped);
      receipt.kept.push(...(removed?.kept ?? []), ...done.kept, ...old.kept);
    }
    steps.begin('forgetting the table');
    await deleteTable(deps.ledger, claim);
    return receipt;
  });
}

/**
 * Two of them where a change of the route has not ended. Triggers go last, and the outbox with them: without it they would fail the
 * writes of users.
 */
function capturesOf({ route, spareCaptures = [] }: ReplicatedTable): readonly string[] {
  const kinds = [...new Set([route.capture.kind, ...spareCaptures])];
  return [...kinds.filter((kind) => kind !== TRIGGERS), ...kinds.filter((kind) => kind === TRIGGERS)];
}

/** Added after the one that is meant. An older one comes back with a backup of PostgreSQL, and has to go too. */
function isLater({ id }: ReplicatedTable, request: RemoveRequest): boolean {
  return request.id !== undefined && BigInt(id) > BigInt(request.id);
}

/** ClickHouse is not asked: a table can be removed while it is away. */
function keepTarget({ target }: TargetTable, ready: boolean): RemoveReceipt {
  const name = `${target.database}.${target.table}`;
  return { dropped: [], kept: ready ? [{ name, why: 'its removal was not asked for' }] : [] };
}
