import { probeClickHouse } from '../connect/clickhouse.js';
import { probeKafka } from '../connect/kafka.js';
import { connectTemporal, explainTemporalConnect } from '../connect/temporal.js';
import { countWorkers, type Workers } from '../control/workers.js';
import { taskQueuesOf, type Deployment } from '../domain/deployment.js';
import { Failure } from '../failure/failure.js';
import { ensureSearchAttributes } from '../worker/search-attributes.js';
import { plural } from '../domain/figures.js';
import { checkLedger, checkSource, wayOf } from './check-postgres.js';
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
  const { postgres, kafka, clickhouse, temporal } = session.settings;
  const source = check('PostgreSQL', `${postgres.host}:${postgres.port}/${postgres.database}`, () =>
    checkSource(session, prepare),
  );
  const ledger = session.settings.ledger;
  const checks = [
    source,
    ...(ledger === undefined
      ? []
      : [
          check('Ledger', `${ledger.host}:${ledger.port}/${ledger.database}`, async () =>
            checkLedger(session, { prepare, source: await source }),
          ),
        ]),
    check('Kafka', kafka.brokers.join(','), async () => ({
      told: `${plural(await probeKafka(session.settings), 'broker')}, ${wayOf(kafka.tls)}${kafka.sasl === undefined ? '' : `, ${kafka.sasl.mechanism}`}`,
    })),
    check('ClickHouse', `${clickhouse.url}/${clickhouse.database}`, async () => ({
      told: `version ${await probeClickHouse(session.settings)}, ${wayOf(clickhouse.tls)}`,
    })),
    check('Temporal', `${temporal.address}/${temporal.namespace}`, async () =>
      checkTemporal(session, (await source).deployment),
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

async function check(
  server: string,
  address: string,
  look: () => Promise<Pick<ServerCheck, 'told' | 'workers' | 'deployment' | 'outboxes'>>,
): Promise<ServerCheck> {
  try {
    return { server, address, error: undefined, ...(await look()) };
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    return { server, address, told: error.message, error };
  }
}

async function checkTemporal(
  { settings }: Session,
  deployment: Deployment | undefined,
): Promise<Pick<ServerCheck, 'told' | 'workers'>> {
  const temporal = await connectTemporal(settings);
  try {
    await ensureSearchAttributes(temporal.operator, settings.temporal.namespace);
    if (deployment === undefined) return { told: 'search attributes ready' };
    const workers = await countWorkers(temporal.client, taskQueuesOf(deployment.id));
    const running = Math.max(workers.producer, workers.consumer, workers.workflow);
    return { told: `search attributes ready, ${running === 0 ? 'no worker' : plural(running, 'worker')}`, workers };
  } catch (error) {
    throw error instanceof Failure ? error : explainTemporalConnect(error, settings);
  } finally {
    await temporal.close();
  }
}
