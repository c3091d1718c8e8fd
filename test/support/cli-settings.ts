import { Connection } from '@temporalio/client';
import pg from 'pg';
import { environmentOf, temporalOptions } from './clients.js';
import { leastRole } from './least-role.js';
import { addressOf, freshDatabase, freshName, freshSink, waitFor } from './stack.js';

export type CliSettings = Readonly<Record<string, string>>;

/**
 * Settings of the run's servers, with a database, a sink, a namespace and a pipeline of the test file's own. In PostgreSQL
 * they name the role that pg2click is documented to need and no more; the tables are the superuser's: `connectOwner`.
 */
export async function freshSettings(): Promise<CliSettings> {
  const [owner, clickhouse, namespace] = await Promise.all([freshDatabase(), freshSink(), freshNamespace()]);
  const postgres = await leastRole(owner);
  const temporal = { ...addressOf('temporal'), namespace, uiUrl: '' };
  return {
    ...environmentOf({ postgres, kafka: addressOf('kafka'), clickhouse, temporal }),
    PG2CLICK_PIPELINE: freshName('cli'),
  };
}

/** The user's session in the database of the settings. */
export async function connectOwner(settings: CliSettings): Promise<pg.Client> {
  const client = new pg.Client({ ...addressOf('postgres'), database: settings['PG_DB'] });
  // The database is dropped, with every session in it, as soon as the file's tests are over.
  client.on('error', () => undefined);
  await client.connect();
  return client;
}

/** Task queues have fixed names: a namespace keeps the workers of different tests apart. */
async function freshNamespace(): Promise<string> {
  const namespace = freshName('cli');
  const connection = await Connection.connect(temporalOptions(addressOf('temporal')));
  try {
    await connection.workflowService.registerNamespace({
      namespace,
      workflowExecutionRetentionPeriod: { seconds: 24 * 60 * 60 } as never,
    });
    // The server's own caches hear of it later.
    await waitFor(
      async () => {
        await connection.workflowService.listWorkflowExecutions({ namespace, pageSize: 1 });
        await connection.operatorService.listSearchAttributes({ namespace });
        return true;
      },
      { deadlineMs: 30_000, what: `namespace ${namespace}` },
    );
    return namespace;
  } finally {
    await connection.close();
  }
}
