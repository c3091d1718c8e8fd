import { setTimeout as sleep } from 'node:timers/promises';
import type { ClickHouseClient } from '@clickhouse/client';
import { Failure } from '../../failure/failure.js';
import { execute, findObject, select } from '../catalog.js';
import { targetNames, type Target } from '../names.js';
import type { FenceEpoch } from './epoch.js';

/** From then on the older inserts are killed: one whose sender is frozen may wait 30 s for its next byte. */
const KILL_AFTER_MS = 1_000;
const LIST_EVERY_MS = 50;
/** A killed insert may have a part to write first. */
const GIVE_UP_MS = 60_000;

/**
 * The condition that every insert carries. ClickHouse evaluates it once, when the insert begins: for the wrong epoch the insert
 * fails with code 395. It asks for equality, so that an emptied fence stops inserts too.
 */
export function fenceCondition(target: Target, epoch: FenceEpoch): string {
  return /* sql */ `throwIf(ifNull((select max(epoch) from ${targetNames(target).sql.fence}), 0) != toUInt128('${epoch}')) = 0`;
}

/** Marks an insert in `system.processes`: a query id cannot be set everywhere, and the text may be rewritten on its way. */
export function insertMark(target: Target): string {
  return `pg2click insert into ${targetNames(target).shown}`;
}

/** @returns 0 where nobody wrote one, or there is no fence */
export async function readFence(ch: ClickHouseClient, target: Target): Promise<FenceEpoch> {
  const { fence, sql, shown } = targetNames(target);
  if ((await findObject(ch, target.database, fence)) === undefined) return 0n;
  const query = /* sql */ `select toString(max(epoch)) as epoch from ${sql.fence}`;
  const [found] = await select<{ epoch: string }>(ch, query, {}, `reading the fence of ${shown}`);
  return BigInt(found?.epoch ?? '0');
}

/** When it returns, inserts of every lower epoch that begin later fail. */
export async function writeFence(ch: ClickHouseClient, target: Target, epoch: FenceEpoch): Promise<void> {
  const { sql, shown } = targetNames(target);
  const statement = /* sql */ `
insert into ${sql.fence} (epoch)
select toUInt128('${epoch}')
settings async_insert = 0`;
  await execute(ch, statement, `writing the fence of ${shown}`);
}

/**
 * Waits until the inserts that are running have ended, and kills them if they take long. After `writeFence` that leaves nothing: an
 * insert is in the list of processes before it looks at the fence.
 * @throws Failure `SinkUnavailable` one does not end
 */
export async function endOlderInserts(
  ch: ClickHouseClient,
  target: Target,
  signal: AbortSignal | undefined,
  onWait: () => void,
): Promise<void> {
  const { shown } = targetNames(target);
  const query = /* sql */ `select toString(count()) as running from system.processes where Settings['log_comment'] = {mark:String}`;
  const parameters = { mark: insertMark(target) };
  const startedAt = Date.now();
  let killed = false;
  for (;;) {
    const [found] = await select<{ running: string }>(ch, query, parameters, `looking for older inserts into ${shown}`);
    if (found?.running === '0') return;
    signal?.throwIfAborted();
    const waitedMs = Date.now() - startedAt;
    if (waitedMs > GIVE_UP_MS)
      throw new Failure('SinkUnavailable', {
        message: `An older insert into ${shown} is running for more than ${GIVE_UP_MS / 1_000} s, and cannot be killed.`,
        remedy: 'Look for it in system.processes of ClickHouse and end it. The table goes on by itself.',
      });
    if (waitedMs > KILL_AFTER_MS && !killed) {
      killed = true;
      await killInserts(ch, target);
    }
    onWait();
    await sleep(LIST_EVERY_MS, undefined, signal && { signal });
  }
}

/** Best effort: a user who may not kill queries waits for their end. */
async function killInserts(ch: ClickHouseClient, target: Target): Promise<void> {
  try {
    await ch.command({
      query: /* sql */ `kill query where Settings['log_comment'] = {mark:String} async`,
      query_params: { mark: insertMark(target) },
    });
  } catch {
    // They end by themselves, or the wait for them says that they do not.
  }
}
