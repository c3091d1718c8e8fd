import { ServiceError } from '@temporalio/client';
import { explainTemporalConnect, connectTemporal, type TemporalClient } from '../connect/temporal.js';
import { connectPostgres, type PostgresClient } from '../connect/postgres.js';
import { taskQueuesOf, type Deployment, type TaskQueues } from '../domain/deployment.js';
import { classifyPostgres } from '../failure/classify-postgres.js';
import { Failure } from '../failure/failure.js';
import { readDeployment } from '../source/deployment.js';
import type { Session } from './session.js';

/** The connections that most commands need. */
export interface Servers {
  readonly pg: PostgresClient;
  readonly temporal: TemporalClient;
  readonly deployment: Deployment;
  /** The deployment's. */
  readonly queues: TaskQueues;
}

/**
 * Runs `body` with a connection to PostgreSQL and one to Temporal, and closes both. Errors of either that `body` lets
 * through become sentences.
 */
export async function withServers<T>(session: Session, body: (servers: Servers) => Promise<T>): Promise<T> {
  const { settings, signal } = session;
  const pg = await connectPostgres(settings, { name: 'cli', signal });
  try {
    const [temporal, deployment] = await Promise.all([
      connectTemporal(settings),
      readDeployment(pg, settings.pipeline),
    ]);
    try {
      return await body({ pg, temporal, deployment, queues: taskQueuesOf(deployment.id) });
    } finally {
      await temporal.close();
    }
  } catch (error) {
    throw explainServerError(error, session);
  } finally {
    await pg[Symbol.asyncDispose]();
  }
}

/** The same with Temporal alone. */
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

function explainServerError(error: unknown, { settings }: Session): unknown {
  if (error instanceof Failure || !(error instanceof Error)) return error;
  if (error instanceof ServiceError) return explainTemporalConnect(error, settings);
  const { host, port } = settings.postgres;
  if ('severity' in error || 'errno' in error) return classifyPostgres(error, `asking PostgreSQL at ${host}:${port}`);
  return error;
}
