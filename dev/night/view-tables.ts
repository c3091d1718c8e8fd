import { viewPipeline, type TableView } from '../../src/control/table-view.js';
import { PIPELINE, type Ground } from './ground.js';

/** The tables as `status` shows them. */
export async function viewTables({ pool, temporal, queues }: Ground): Promise<readonly TableView[]> {
  const { client } = temporal;
  const view = await viewPipeline({ ledger: pool, source: pool, client, pipeline: PIPELINE, queues, uiUrl: undefined });
  return view.tables;
}
