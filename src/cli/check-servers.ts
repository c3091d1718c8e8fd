import type { Client } from '@temporalio/client';
import { probeClickHouse } from '../connect/clickhouse.js';
import { probeKafka } from '../connect/kafka.js';
import { connectPostgres, ledgerSettings } from '../connect/postgres.js';
import { SchemaRegistry } from '../connect/schema-registry.js';
import { connectTemporal, explainTemporalConnect } from '../connect/temporal.js';
import { moveWorkflow } from '../control/move-workflow.js';
import { countWorkers, type Workers } from '../control/workers.js';
import { taskQueuesOf, type Deployment } from '../domain/deployment.js';
import { sqlName } from '../domain/table-name.js';
import { Failure } from '../failure/failure.js';
import { hasKafkaTable, listTables } from '../ledger/tables.js';
import { ensureSearchAttributes, type LackNote } from '../worker/search-attributes.js';
import { plural } from '../domain/figures.js';
import { checkLedger, checkSource, wayOf } from './check-postgres.js';
import { checkStandby } from './check-standby.js';
import type { Session } from './session.js';

/** One server, looked at and made ready. */
export interface ServerCheck {
  readonly server: string;
  readonly address: string;
  /** What it is and what was done there; or what is wrong. */
  readonly told: string;
  readonly error: Failure | undefined;
  /** Kafka's: nobody said where one is, none is where one usually is, and no table needs it. */
  readonly isAbsent?: boolean | undefined;
  /** Temporal's: what tables go on without. */
  readonly lack?: LackNote | undefined;
  /** Temporal's: who works there. */
  readonly workers?: Workers | undefined;
  /** PostgreSQL's: who we are. */
  readonly deployment?: Deployment | undefined;
  /** Tables of an older release whose workflows were moved to the deployment's task queue. */
  readonly moved?: readonly string[] | undefined;
  /** PostgreSQL's, where the ledger lies elsewhere: whether outboxes can be made there. */
  readonly outboxes?: boolean | undefined;
}

/**
 * Checks the servers at once, and reports each in order: the four, and that of the ledger where it has one.
 * @param prepare installs the ledger and the search attributes too
 */
export async function checkServers(
  session: Session,
  { prepare, report }: { readonly prepare: boolean; readonly report: (check: ServerCheck) => void },
): Promise<ServerCheck[]> {
  const { postgres, kafka, registry, clickhouse, temporal } = session.settings;
  const source = check('PostgreSQL', `${postgres.host}:${postgres.port}/${postgres.database}`, () =>
    checkSource(session, prepare),
  );
  const elsewhere = session.settings.ledger;
  const ledger =
    elsewhere === undefined
      ? source
      : check('Ledger', `${elsewhere.host}:${elsewhere.port}/${elsewhere.database}`, async () =>
          checkLedger(session, { prepare, source: await source }),
        );
  const standby = session.settings.wal;
  const checks = [
    source,
    ...(ledger === source ? [] : [ledger]),
    ...(standby === undefined
      ? []
      : [check('Standby', `${standby.host}:${standby.port}`, () => checkStandby(session))]),
    check('Kafka', kafka.brokers.join(','), () => checkKafka(session, ledger)),
    ...(registry === undefined
      ? []
      : [
          check('Registry', registry.url, async () => {
            await new SchemaRegistry(registry).probe();
            return { told: `schemas in Avro, ${wayOf(registry.tls)}` };
          }),
        ]),
    check('ClickHouse', `${clickhouse.url}/${clickhouse.database}`, async () => ({
      told: `version ${await probeClickHouse(session.settings)}, ${wayOf(clickhouse.tls)}`,
    })),
    check('Temporal', `${temporal.address}/${temporal.namespace}`, async () =>
      checkTemporal(session, (await source).deployment, prepare && (await ledger).error === undefined),
    ),
  ];
  // One that fails in a way that nobody foresaw is thrown when it is its turn.
  void Promise.allSettled(checks);
  const done: ServerCheck[] = [];
  for (const running of checks) {
    const result = await running;
    report(result);
    done.push(result);
  }
  return done;
}

async function check(
  server: string,
  address: string,
  look: () => Promise<
    Pick<ServerCheck, 'told' | 'isAbsent' | 'lack' | 'workers' | 'deployment' | 'moved' | 'outboxes'>
  >,
): Promise<ServerCheck> {
  try {
    return { server, address, error: undefined, ...(await look()) };
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    return { server, address, told: error.message, error };
  }
}

/** @param ledger its check, which may be about to make it */
async function checkKafka(
  session: Session,
  ledger: Promise<ServerCheck>,
): Promise<Pick<ServerCheck, 'told' | 'isAbsent'>> {
  const { kafka, origins } = session.settings;
  try {
    const brokers = plural(await probeKafka(session.settings), 'broker');
    const user = kafka.sasl === undefined ? '' : `, ${kafka.sasl.mechanism}`;
    return { told: `${brokers}, ${wayOf(kafka.tls)}${user}` };
  } catch (error) {
    const isAway = error instanceof Failure && error.kind === 'BrokerUnavailable';
    if (!isAway || origins.kafka !== 'default' || (await usesKafka(session, await ledger))) throw error;
    return { told: 'not configured: tables can go directly (--transport direct)', isAbsent: true };
  }
}

/** Whether a table of the pipeline goes through Kafka. Where the ledger cannot be read, that is reported as its own trouble. */
async function usesKafka({ settings, signal }: Session, ledger: ServerCheck): Promise<boolean> {
  if (ledger.error !== undefined) return false;
  await using pg = await connectPostgres(ledgerSettings(settings), { name: 'check', signal });
  return await hasKafkaTable(pg, settings.pipeline);
}

async function checkTemporal(
  session: Session,
  deployment: Deployment | undefined,
  prepare: boolean,
): Promise<Pick<ServerCheck, 'told' | 'lack' | 'workers' | 'moved'>> {
  const { settings } = session;
  const temporal = await connectTemporal(settings);
  try {
    const lack = await ensureSearchAttributes(temporal.client.connection, settings.temporal.namespace);
    const attributes = lack === undefined ? 'search attributes ready' : `without ${lack.names.join(', ')}`;
    if (deployment === undefined) return { told: attributes, lack };
    const queues = taskQueuesOf(deployment.id);
    const moved = prepare ? await moveTables(session, temporal.client, queues.workflow) : [];
    const workers = await countWorkers(temporal.client, queues);
    const running = Math.max(workers.producer, workers.consumer, workers.workflow);
    const working = running === 0 ? 'no worker' : plural(running, 'worker');
    return { told: `${attributes}, ${working} on task queue ${queues.workflow}`, lack, workers, moved };
  } catch (error) {
    throw error instanceof Failure ? error : explainTemporalConnect(error, settings);
  } finally {
    await temporal.close();
  }
}

/** Those that the ledger knows. @returns their names */
async function moveTables({ settings, signal }: Session, client: Client, taskQueue: string): Promise<string[]> {
  await using ledger = await connectPostgres(ledgerSettings(settings), { name: 'init', signal });
  const moved: string[] = [];
  for (const { name } of await listTables(ledger, settings.pipeline))
    if (await moveWorkflow(client, { ...name, pipeline: settings.pipeline }, taskQueue)) moved.push(sqlName(name));
  return moved;
}
