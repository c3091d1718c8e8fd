import { viewPipeline } from '../../src/control/table-view.js';
import { Failure } from '../../src/failure/failure.js';
import { PIPELINE, type Environment } from './environment.js';

/** @throws Failure with a table's own cause and remedy where one waits for a person: waiting for it would be in vain */
export async function expectNoPark({ pool, temporal, queues }: Environment): Promise<void> {
  const source = { ledger: pool, source: pool, client: temporal.client, pipeline: PIPELINE, queues, uiUrl: undefined };
  const { tables } = await viewPipeline(source);
  for (const { table, failure } of tables) {
    if (failure === null || failure.retrying) continue;
    throw new Failure(failure.kind, { message: `${table} is parked: ${failure.message}`, remedy: failure.remedy });
  }
}
