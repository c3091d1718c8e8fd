import { requestedOptions, requireSameOptions } from '../control/check-options.js';
import { moveWorkflow } from '../control/move-workflow.js';
import { requireOwnTableWorkflow } from '../control/own-workflow.js';
import { startTable } from '../control/start-table.js';
import type { CopyPriority } from '../domain/copy-priority.js';
import type { TableOptions } from '../domain/replicated-table.js';
import type { TableName } from '../domain/table-name.js';
import type { CheckedTable } from './check-table.js';
import type { Servers } from './servers.js';
import type { Session } from './session.js';

export interface Started {
  /** False where its workflow runs already. */
  readonly started: boolean;
  /** It ran on the task queue of an older release. */
  readonly moved: boolean;
}

/**
 * Starts the workflow of a table that was checked, unless it runs.
 * @throws Failure `UnsuitableTable` where it runs with other options; `Misconfigured` where it is another deployment's
 */
export async function startChecked(
  { settings }: Session,
  { temporal: { client }, queues, deployment }: Servers,
  table: {
    readonly name: TableName;
    readonly options: TableOptions;
    readonly priority: CopyPriority | undefined;
    readonly checked: CheckedTable;
  },
): Promise<Started> {
  const { options, priority, checked } = table;
  const { pipeline, worker } = settings;
  const address = { ...table.name, pipeline };
  const moved = await moveWorkflow(client, address, queues.workflow);
  await requireOwnTableWorkflow(client, address, deployment);
  const isTransportSet = settings.where.PG2CLICK_TRANSPORT !== undefined;
  const started = await startTable(client, {
    ...address,
    // The workers may be told of another default.
    options: isTransportSet ? { ...options, transport: checked.route.transport.kind } : options,
    sliceMs: worker.sliceMs,
    priority,
    taskQueue: queues.workflow,
  });
  if (!started && !checked.prepared && !moved)
    requireSameOptions(address, options, await requestedOptions(client, address));
  return { started, moved };
}
