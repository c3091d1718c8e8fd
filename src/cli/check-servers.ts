import type { Client } from '@temporalio/client';
import { probeClickHouse } from '../connect/clickhouse.js';
import { probeKafka } from '../connect/kafka.js';
import { connectPostgres, type PostgresClient } from '../connect/postgres.js';
import { connectTemporal, explainTemporalConnect } from '../connect/temporal.js';
import { moveWorkflow } from '../control/move-workflow.js';
import { countWorkers, type Workers } from '../control/workers.js';
import { taskQueuesOf, type Deployment } from '../domain/deployment.js';
import { formatTableName } from '../domain/table-name.js';
import { classifyPostgres } from '../failure/classify-postgres.js';
import { Failure } from '../failure/failure.js';
import { migrateLedger, missingMigrations } from '../ledger/migrate.js';
import { listTables } from '../ledger/tables.js';
import { readDeployment } from '../source/deployment.js';
import { ensureSearchAttributes } from '../worker/search-attributes.js';
import { roleScript } from '../package-root.js';
import { plural } from '../domain/figures.js';
import type { Tls } from '../settings/tls.js';
import type { Session } from './session.js';

/** One server, looked at and made ready. */
export interface ServerCheck {
  readonly server: string;
  readonly address: string;
  /** What it is and what was done there; or what is wrong. */
  readonly told: string;
  readonly error: Failure | undefined;
  /** Temporal's: who works there. */
  readonly workers?: Workers | undefined;
  /** PostgreSQL's: who we are. */
  readonly deployment?: Deployment | undefined;
  /** Tables of an older release whose workflows were moved to the deployment's task queue. */
  readonly moved?: readonly string[] | undefined;
}

/** The oldest PostgreSQL whose features the outbox relies on. */
const OLDEST_POSTGRES = 140_000;

/**
 * Checks the four servers at once, and reports each in order.
 * @param prepare installs the ledger and the search attributes too
 */
export async function checkServers(
  session: Session,
  { prepare, report }: { readonly prepare: boolean; readonly report: (check: ServerCheck) => void },
): Promise<ServerCheck[]> {
  const { postgres, kafka, clickhouse, temporal } = session.settings;
  const source = check('PostgreSQL', `${postgres.host}:${postgres.port}/${postgres.database}`, () =>
    checkPostgres(session, prepare),
  );
  const checks = [
    source,
    check('Kafka', kafka.brokers.join(','), async () => ({
      told: `${plural(await probeKafka(session.settings), 'broker')}, ${wayOf(kafka.tls)}${kafka.sasl === undefined ? '' : `, ${kafka.sasl.mechanism}`}`,
    })),
    check('ClickHouse', `${clickhouse.url}/${clickhouse.database}`, async () => ({
      told: `version ${await probeClickHouse(session.settings)}, ${wayOf(clickhouse.tls)}`,
    })),
    check('Temporal', `${temporal.address}/${temporal.namespace}`, async () =>
      checkTemporal(session, (await source).deployment, prepare),
    ),
  ];
  const done: ServerCheck[] = [];
  for (const running of checks) {
    const result = await running;
    report(result);
    done.push(result);
  }
  return done;
}

/** Worth a look before rows go over the network. */
function wayOf(tls: Tls | undefined): string {
  if (tls === undefined) return 'no TLS';
  return { full: 'TLS', authority: 'TLS, its name not verified', nothing: 'TLS, not verified' }[tls.verify];
}

async function check(
  server: string,
  address: string,
  look: () => Promise<Pick<ServerCheck, 'told' | 'workers' | 'deployment' | 'moved'>>,
): Promise<ServerCheck> {
  try {
    return { server, address, error: undefined, ...(await look()) };
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    return { server, address, told: error.message, error };
  }
}

async function checkPostgres(
  { settings, signal }: Session,
  prepare: boolean,
): Promise<Pick<ServerCheck, 'told' | 'deployment'>> {
  const pg = await connectPostgres(settings, { name: 'init', signal });
  try {
    const found = await pg.query<{
      version: string;
      number: number;
      standby: boolean;
    }>(/* sql */ `select current_setting('server_version') as version, current_setting('server_version_num')::int as number,
        pg_is_in_recovery() as standby`);
    const server = found.rows[0];
    if (server === undefined || server.number < OLDEST_POSTGRES) {
      throw new Failure('Misconfigured', {
        message: `PostgreSQL at ${settings.postgres.host}:${settings.postgres.port} is version ${server?.version ?? '?'}: 14 is the oldest that works.`,
        remedy: 'Upgrade it, or name another server in PG_HOST.',
      });
    }
    if (server.standby) {
      throw new Failure('Misconfigured', {
        message: `PostgreSQL at ${settings.postgres.host}:${settings.postgres.port} is a standby: triggers and the ledger need the primary.`,
        remedy: 'Name the primary in PG_HOST.',
      });
    }
    const ledger = prepare ? describeMigration(await migrateLedger(pg)) : await requireLedger(pg);
    const deployment = await readDeployment(pg, settings.pipeline);
    const told = `version ${server.version}, ${wayOf(settings.postgres.tls)}, ${ledger}, deployment ${deployment.id}`;
    return { told, deployment };
  } catch (error) {
    throw explainPreparing(error, settings.postgres);
  } finally {
    await pg[Symbol.asyncDispose]();
  }
}

function describeMigration(applied: readonly string[]): string {
  return applied.length === 0 ? 'ledger up to date' : `ledger made ready (${applied.join(', ')})`;
}

async function requireLedger(pg: PostgresClient): Promise<string> {
  const missing = await missingMigrations(pg).catch((error: unknown) => {
    // Roles of consumer workers that were made by an older script may not read it.
    if ((error as { code?: unknown }).code === '42501') return undefined;
    throw error;
  });
  if (missing === undefined) return 'ledger not checked';
  if (missing.length === 0) return 'ledger up to date';
  throw new Failure('Misconfigured', {
    message: `The ledger in this PostgreSQL database is of another release: it lacks ${missing.join(', ')}.`,
    remedy: 'Stop the workers of the other release, run "pg2click init", then start this one.',
  });
}

/** 42501: insufficient_privilege. */
function explainPreparing(error: unknown, { user, database }: { user: string; database: string }): Failure {
  if (error instanceof Failure) return error;
  if ((error as { code?: unknown }).code === '42501') {
    return new Failure('Unauthorized', {
      message: `The role "${user}" may not make the ledger in the database "${database}": the schema pg2click is not its own.`,
      remedy: `Let an administrator run ${roleScript} there${user === 'pg2click' ? '' : `, with "${user}" as the role at its top`}.`,
      cause: error,
    });
  }
  return classifyPostgres(error, 'making the ledger ready');
}

async function checkTemporal(
  session: Session,
  deployment: Deployment | undefined,
  prepare: boolean,
): Promise<Pick<ServerCheck, 'told' | 'workers' | 'moved'>> {
  const { settings } = session;
  const temporal = await connectTemporal(settings);
  try {
    await ensureSearchAttributes(temporal.operator, settings.temporal.namespace);
    if (deployment === undefined) return { told: 'search attributes ready' };
    const queues = taskQueuesOf(deployment.id);
    const moved = prepare ? await moveTables(session, temporal.client, queues.workflow) : [];
    const workers = await countWorkers(temporal.client, queues);
    const running = Math.max(workers.producer, workers.consumer, workers.workflow);
    const working = running === 0 ? 'no worker' : plural(running, 'worker');
    return { told: `search attributes ready, ${working} on task queue ${queues.workflow}`, workers, moved };
  } catch (error) {
    throw error instanceof Failure ? error : explainTemporalConnect(error, settings);
  } finally {
    await temporal.close();
  }
}

/** Those that the ledger knows. @returns their names */
async function moveTables({ settings, signal }: Session, client: Client, taskQueue: string): Promise<string[]> {
  await using pg = await connectPostgres(settings, { name: 'init', signal });
  const moved: string[] = [];
  for (const { name } of await listTables(pg, settings.pipeline))
    if (await moveWorkflow(client, { ...name, pipeline: settings.pipeline }, taskQueue))
      moved.push(formatTableName(name));
  return moved;
}
