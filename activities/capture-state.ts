import type { ReplicatedTable } from '../src/domain/replicated-table.js';
import { inputOf, stagesOf } from '../src/domain/route.js';
import { readStages } from '../src/ledger/stages.js';
import type { CaptureBacklog } from '../src/source/capture.js';
import type { Deps } from './deps.js';

/** What waits in the capture of a table. @returns undefined where the capture cannot say */
export async function captureState(deps: Deps, table: ReplicatedTable): Promise<CaptureBacklog | undefined> {
  const drain = stagesOf(table.route).find(({ id }) => inputOf(id) === 'capture');
  const row = (await readStages(deps.ledger, table.id)).find(({ stage }) => stage === drain?.id);
  const { lowWater = '0', position, pending } = row ?? {};
  const captured = { table, id: table.id, lowWater, position, pending };
  const backlog = await deps.captures
    .named(table.route.capture.kind)
    .backlog?.(deps.source, [captured], deps.wal.slots);
  return backlog?.get(table.id);
}
