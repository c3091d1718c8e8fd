import { setTimeout as sleep } from 'node:timers/promises';
import type { ReplicatedTable } from '../src/domain/replicated-table.js';
import type { FlowGoal } from '../src/domain/flow-goal.js';
import type { TopicOffsets } from '../src/domain/replay.js';
import { deliveryStage, kafkaOf } from '../src/domain/route.js';
import { Failure } from '../src/failure/failure.js';
import { notePosition, readStages, type StageClaim } from '../src/ledger/stages.js';
import type { Slice } from '../src/pipeline/slice.js';
import { topicState, withAdmin } from '../src/topic/admin.js';
import { captureState } from './capture-state.js';
import type { Deps } from './deps.js';

export interface Flow {
  readonly table: ReplicatedTable;
  readonly loader: string;
  /** Of the stage that waits, whose position keeps the goal: a slice that goes on later waits for the same one. */
  readonly claim: StageClaim;
  readonly goal: FlowGoal;
}

const EVERY_MS = 100;

/**
 * Waits until all that was captured by now is in the target of a loader.
 * @returns false where the slice ended before
 * @throws Failure `Fenced`; those of the servers
 */
export async function awaitFlow(deps: Deps, flow: Flow, slice: Slice, say: (doing: string) => void): Promise<boolean> {
  const { table, loader, claim } = flow;
  const topic = kafkaOf(table.route)?.topic;
  let { captured, ends } = flow.goal;
  for (;;) {
    const { newest, done } = await requireState(deps, table);
    if (captured === undefined) {
      captured = String(newest);
      await notePosition(deps.ledger, claim, { captured });
    }
    const isRead = done >= BigInt(captured);
    if (isRead && topic === undefined) return true;
    if (isRead && topic !== undefined && ends === undefined) {
      ends = await endsOf(deps, topic);
      await notePosition(deps.ledger, claim, { ends });
    }
    if (ends !== undefined && (await isLoaded(deps, table, loader, ends))) return true;
    if (slice.ending.aborted) return false;
    say('waiting for the changes that came meanwhile');
    await sleep(EVERY_MS);
  }
}

async function requireState(deps: Deps, table: ReplicatedTable): Promise<{ newest: bigint; done: bigint }> {
  // How far others are with what they write, nobody can say: what is in the topic by now is all that can be waited for.
  if (table.route.capture.foreignTopic === true) return { newest: 0n, done: 0n };
  const state = await captureState(deps, table);
  if (state !== undefined) return state;
  throw new Failure('Misconfigured', {
    message: `Nobody can say what waits in the capture ${table.route.capture.kind}.`,
  });
}

async function endsOf(deps: Deps, topic: string): Promise<TopicOffsets> {
  const state = await withAdmin(deps.kafka, (admin) => topicState(admin, topic));
  if (state === undefined)
    throw new Failure('TopicReplaced', { message: `The topic ${topic} does not exist any more.` });
  return Object.fromEntries(Object.entries(state.offsets).map(([of, { high }]) => [of, high]));
}

async function isLoaded(deps: Deps, table: ReplicatedTable, loader: string, ends: TopicOffsets): Promise<boolean> {
  const stage = deliveryStage(table.route, loader);
  const row = (await readStages(deps.ledger, table.id)).find((each) => each.stage === stage);
  const { offsets = {} } = (row?.position ?? {}) as { readonly offsets?: TopicOffsets };
  return Object.entries(ends).every(([partition, end]) => BigInt(offsets[partition] ?? 0) >= BigInt(end));
}
