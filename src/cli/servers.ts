import { ServiceError } from '@temporalio/client';
import { explainTemporalConnect, connectTemporal, type TemporalClient } from '../connect/temporal.js';
import {
  connectPostgres,
  createPostgresPool,
  ledgerSettings,
  STATEMENT_MS,
  walSettings,
  type PostgresClient,
} from '../connect/postgres.js';
import type { Queryable } from '../connect/queryable.js';
import type { ViewSource } from '../control/table-view.js';
import { taskQueuesOf, type Deployment, type TaskQueues } from '../domain/deployment.js';
import { classifyPostgres } from '../failure/classify-postgres.js';
import { Failure } from '../failure/failure.js';
import { requirePair } from '../ledger/binding.js';
import { readDeployment } from '../source/deployment.js';
import type { Session } from './session.js';

/** What is there without Temporal. */
export interface DatabaseServers {
  /** The same connection where the ledger lies in the database of the tables. */
  readonly ledger: PostgresClient;
  readonly source: PostgresClient;
  /** Connects when it is first asked. */
  readonly slots: Queryable;
  readonly deployment: Deployment;
  /** The deployment's. */
  readonly queues: TaskQueues;
}

/** The connections that most commands need. */
export interface Servers extends DatabaseServers {
  readonly temporal: TemporalClient;
}

/**
 * Runs `body` with a connection to PostgreSQL and one to Temporal, and closes both. Errors of either that `body` lets
 * through become sentences.
 */
export function withServers<T>(session: Session, body: (servers: Servers) => Promise<T>): Promise<T> {
  return withDatabases(session, async (databases) => {
    const temporal = await connectTemporal(session.settings);
    try {
      return await body({ ...databases, temporal });
    } finally {
      await temporal.close();
    }
  });
}

/** As `withServers`, with PostgreSQL alone. */
export async function withDatabases<T>(session: Session, body: (servers: DatabaseServers) => Promise<T>): Promise<T> {
  const { settings, signal } = session;
  const source = await connectPostgres(settings, { name: 'cli', signal });
  let ledger = source;
  const pool =
    settings.wal === undefined
      ? undefined
      : createPostgresPool(walSettings(settings), { max: 1, name: 'cli', statementMs: STATEMENT_MS });
  try {
    if (settings.ledger !== undefined)
      ledger = await connectPostgres(ledgerSettings(settings), { name: 'cli', signal });
    const deployment = await readDeployment(source, settings.pipeline);
    await requirePair({ ledger, source });
    return await body({ ledger, source, slots: pool ?? source, deployment, queues: taskQueuesOf(deployment.id) });
  } catch (error) {
    throw explainServerError(error, session);
  } finally {
    await pool?.end();
    await source[Symbol.asyncDispose]();
    if (ledger !== source) await ledger[Symbol.asyncDispose]();
  }
}

/** What the views of tables are made of. */
export function viewSource({ settings }: Session, { temporal: { client }, ...servers }: Servers): ViewSource {
  return { ...servers, client, pipeline: settings.pipeline, uiUrl: settings.temporal.uiUrl };
}

/** As `withServers`, with Temporal alone. */
export async function withTemporal<T>(session: Session, body: (temporal: TemporalClient) => Promise<T>): Promise<T> {
  const temporal = await connectTemporal(session.settings);
  try {
    return await body(temporal);
  } catch (error) {
    throw explainServerError(error, session);
  } finally {
    await temporal.close();
  }
}

export function explainServerError(error: unknown, { settings }: Session): unknown {
  if (error instanceof Failure || !(error instanceof Error)) return error;
  if (error instanceof ServiceError) return explainTemporalConnect(error, settings);
  const { host, port } = settings.postgres;
  if ('severity' in error || 'errno' in error) return classifyPostgres(error, `asking PostgreSQL at ${host}:${port}`);
  return error;
}
