import { Context } from '@temporalio/activity';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { createPostgresPool } from '../../src/connect/postgres.js';
import { viewPipeline, type TableView } from '../../src/control/table-view.js';
import type { SliceProgress } from '../../src/domain/receipt.js';
import { parseTableName, type TableName } from '../../src/domain/table-name.js';
import { toApplicationFailure } from '../../src/failure/application-failure.js';
import { Failure } from '../../src/failure/failure.js';
import { settingsOf } from '../support/source-table.js';
import { freshDatabase, waitFor } from '../support/stack.js';
import { idleSlice, tableWorkflows, type ScriptedTable } from '../support/table-workflow.js';

const tables = tableWorkflows();
let pg: ReturnType<typeof createPostgresPool>;

beforeAll(async () => {
  pg = createPostgresPool(settingsOf(await freshDatabase('view')), { max: 1 });
});
afterAll(() => pg.end());

const ATTEMPT: SliceProgress = { stage: 'publish', rows: 0, batches: 0, moved: '', waiting: 1, lagSeconds: 3 };

async function viewOf({ handle }: ScriptedTable): Promise<TableView | undefined> {
  const name: TableName = parseTableName(handle.workflowId.slice('replicate/default/'.length));
  const { taskQueue } = await handle.describe();
  const queues = { workflow: taskQueue, producer: `${taskQueue}-producer`, consumer: `${taskQueue}-consumer` };
  const source = { ledger: pg, source: pg, client: tables.client(), pipeline: 'default', queues, uiUrl: undefined };
  return (await viewPipeline(source, name)).tables[0];
}

it('a failure is shown until the attempt that follows has moved something, and not until its slice ends', async () => {
  let progress: SliceProgress | undefined;
  const table = await tables.start({
    activities: {
      async publishSlice(request) {
        const context = Context.current();
        if (context.info.attempt === 1)
          throw toApplicationFailure(new Failure('BrokerUnavailable', { message: 'Kafka is away.' }), 'publish');
        const beat = setInterval(() => context.heartbeat(progress), 200);
        try {
          return await idleSlice('publish', request);
        } finally {
          clearInterval(beat);
        }
      },
    },
  });
  const until = (what: string, holds: (view: TableView) => boolean): Promise<TableView> =>
    waitFor(
      async (see) => {
        const view = await viewOf(table);
        see(view);
        return view !== undefined && holds(view) ? view : undefined;
      },
      { deadlineMs: 20_000, what },
    );
  const failing = await until('the second attempt', ({ failure }) => failure?.attempt === 2);
  expect(failing.failure).toMatchObject({ task: 'publish', kind: 'BrokerUnavailable', retrying: true });
  progress = ATTEMPT;
  await waitFor(async () => (await viewOf(table))?.running.includes('publish'), {
    deadlineMs: 5_000,
    what: 'a heartbeat',
  });
  expect((await viewOf(table))?.failure?.kind).toBe('BrokerUnavailable');
  progress = { ...ATTEMPT, rows: 1, batches: 1, waiting: 0, lagSeconds: 0 };
  await until('the failure to be over', ({ failure }) => failure === null);
});
