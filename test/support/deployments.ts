import pg from 'pg';
import { Client, Connection } from '@temporalio/client';
import { createClient, type ClickHouseClient } from '@clickhouse/client';
import { onTestFinished } from 'vitest';
import type { TableView } from '../../src/control/table-view.js';
import { taskQueuesOf, type TaskQueues } from '../../src/domain/deployment.js';
import { runCli, startCli, type CliResult, type CliRun } from './cli.js';
import { connectOwner, type CliSettings } from './cli-settings.js';
import { clickhouseOptions, temporalOptions } from './clients.js';
import { readStatus } from './read-status.js';
import { addressOf, waitFor } from './stack.js';

/** A source with its settings, as a person has it: commands of the CLI, and workers. */
export interface Site {
  readonly settings: CliSettings;
  /** As `init` says it. */
  readonly id: string;
  readonly queues: TaskQueues;
  run(...args: readonly string[]): Promise<CliResult>;
  /** Starts a worker and waits until it polls. */
  startWorker(env?: CliSettings): Promise<CliRun>;
  sql<Row extends object>(statement: string): Promise<Row[]>;
  status(table: string): Promise<TableView | undefined>;
  /** Waits until `status` shows what is asked of the table. */
  until(table: string, what: string, holds: (view: TableView) => boolean): Promise<TableView>;
  /** The notes of the rows that the target shows, sorted. */
  notes(target: string): Promise<readonly string[]>;
}

/** Runs `init`. */
export async function openSite(settings: CliSettings): Promise<Site> {
  const run: Site['run'] = (...args) => runCli(args, { env: settings });
  const init = await run('init', '--json');
  const { deployment } = JSON.parse(init.stdout) as { deployment: { id: string } | null };
  if (deployment === null) throw new Error(`init says no deployment: ${init.stdout}`);
  const status: Site['status'] = (table) => readStatus(settings, table);
  return {
    settings,
    id: deployment.id,
    queues: taskQueuesOf(deployment.id),
    run,
    status,
    async startWorker(env = {}) {
      const worker = startCli(['worker'], { env: { ...settings, ...env } });
      await output(worker, 'worker started');
      return worker;
    },
    async sql<Row extends object>(statement: string) {
      const client = await connectOwner(settings);
      const { rows } = await client.query<Row>(statement);
      await client.end();
      return rows;
    },
    until: (table, what, holds) =>
      waitFor(
        async (see) => {
          const view = await status(table);
          see(view);
          return view !== undefined && holds(view) ? view : undefined;
        },
        { deadlineMs: 60_000, what: `${table}: ${what}`, everyMs: 200 },
      ),
    async notes(target) {
      const query = /* sql */ `select note from ${settings['CH_DB']}.${target}_current order by note`;
      const answer = await clickhouse().query({ query, format: 'JSONEachRow' });
      return (await answer.json<{ note: string }>()).map(({ note }) => note);
    },
  };
}

/** Waits until the command wrote this, in either stream. */
export async function output(run: CliRun, text: string, deadlineMs = 60_000): Promise<void> {
  await waitFor(
    (see) => {
      see(run.output());
      return run.output().includes(text);
    },
    { deadlineMs, what: `"${text}" in the output` },
  );
}

/** Asks a worker to stop, and waits for its end. */
export async function stop(worker: CliRun): Promise<CliResult> {
  worker.process.kill('SIGTERM');
  return worker.ended;
}

export function clickhouse(): ClickHouseClient {
  const client = createClient(clickhouseOptions(addressOf('clickhouse')));
  onTestFinished(() => client.close());
  return client;
}

/** Temporal, in the namespace of the settings. */
export async function temporalOf(settings: CliSettings): Promise<Client> {
  const connection = await Connection.connect(temporalOptions(addressOf('temporal')));
  onTestFinished(() => connection.close());
  return new Client({ connection, namespace: settings['TEMPORAL_NAMESPACE'] ?? '' });
}

/** A copy of the settings' database, with all that is in it; nobody may be connected to that. Dropped when the test ends. */
export async function cloneDatabase(settings: CliSettings): Promise<string> {
  const original = settings['PG_DB'] ?? '';
  const clone = `${original}_clone`;
  const administer = async (statement: string): Promise<void> => {
    const client = new pg.Client({ ...addressOf('postgres') });
    await client.connect();
    await client.query(statement);
    await client.end();
  };
  onTestFinished(() => administer(/* sql */ `drop database if exists ${clone} with (force)`));
  await waitFor(
    () =>
      administer(/* sql */ `create database ${clone} template ${original}`).then(
        () => true,
        () => false,
      ),
    { deadlineMs: 30_000, what: `nobody in ${original}`, everyMs: 300 },
  );
  return clone;
}
