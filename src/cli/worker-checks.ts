import { setTimeout as sleep } from 'node:timers/promises';
import type { Activities } from '../../activities/index.js';
import { requireKnownSink } from '../clickhouse/other-server.js';
import { connectClickHouse } from '../connect/clickhouse.js';
import { connectPostgres, ledgerSettings } from '../connect/postgres.js';
import type { Deployment } from '../domain/deployment.js';
import { Failure } from '../failure/failure.js';
import { isRefusal } from '../failure/kinds.js';
import { listTables } from '../ledger/tables.js';
import type { Log } from '../observe/log.js';
import { checkServers } from './check-servers.js';
import type { Session } from './session.js';

const DEPLOYMENT_RETRY_MS = 2_000;

export interface CheckOptions {
  /** Begins on a ClickHouse server that has none of the targets. */
  readonly newClickhouse: boolean;
  /** Ends it at once. */
  readonly signal: AbortSignal;
}

/**
 * A worker that a server refuses, or that is told of a wrong one, must not poll: its failures would hold up healthy tables. One
 * that does not answer is no reason to end; PostgreSQL, whose identity names the task queues, is waited for.
 * @returns who we are; undefined when the signal was aborted first
 * @throws Failure where settings are wrong
 */
export async function checkBefore(
  { session, log }: { readonly session: Session; readonly log: Log },
  activities: Activities,
  { newClickhouse, signal }: CheckOptions,
): Promise<Deployment | undefined> {
  const work = async (): Promise<Deployment | undefined> => {
    await refuseWrongSettings(session, log);
    const deployment = await waitForDeployment(activities, log, signal);
    if (deployment !== undefined && !newClickhouse) await checkSink(session, log, signal);
    return deployment;
  };
  const aborted = new Promise<undefined>((resolve) => {
    signal.addEventListener('abort', () => resolve(undefined), { once: true });
  });
  const checking = work();
  // Where the signal comes first, its failure is nobody's.
  checking.catch(() => undefined);
  return Promise.race([checking, aborted]);
}

/** @throws Failure */
async function refuseWrongSettings(session: Session, log: Log): Promise<void> {
  const checks = await checkServers(session, {
    prepare: false,
    report: ({ server, address, told, error, isAbsent }) => {
      if (isAbsent === true) log.info({ server }, `${server}: ${told}`);
      else if (error === undefined) log.info({ server, address }, `${server}: ${told}`);
      else log.warn({ server, address, kind: error.kind }, told);
    },
  });
  const wrong = checks.find(({ error }) => error !== undefined && isRefusal(error.kind));
  if (wrong?.error !== undefined) throw wrong.error;
}

async function waitForDeployment(
  activities: Activities,
  log: Log,
  signal: AbortSignal,
): Promise<Deployment | undefined> {
  let isReported = false;
  while (!signal.aborted) {
    try {
      return await activities.deployment();
    } catch (error) {
      if (!(error instanceof Failure) || isRefusal(error.kind)) throw error;
      if (!isReported) log.warn({ kind: error.kind }, `${error.message} The worker begins when it answers.`);
      isReported = true;
    }
    await sleep(DEPLOYMENT_RETRY_MS, undefined, { signal }).catch(() => undefined);
  }
  return undefined;
}

/** A server that does not answer now was reported; each slice looks again. */
async function checkSink({ settings }: Session, log: Log, signal: AbortSignal): Promise<void> {
  const clickhouse = connectClickHouse(settings, { requestTimeoutMs: 10_000, connections: 1 });
  try {
    await using ledger = await connectPostgres(ledgerSettings(settings), { name: 'worker', signal });
    await requireKnownSink(clickhouse, await listTables(ledger, settings.pipeline), settings.clickhouse.url);
  } catch (error) {
    if (!(error instanceof Failure) || isRefusal(error.kind)) throw error;
    log.debug({ kind: error.kind }, `the targets were not looked at: ${error.message}`);
  } finally {
    await clickhouse.close();
  }
}
