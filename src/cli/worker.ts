import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { NativeConnection } from '@temporalio/worker';
import { Command, Option } from 'commander';
import { taskQueuesOf } from '../domain/deployment.js';
import { Failure } from '../failure/failure.js';
import { packageRoot, readVersion } from '../package-root.js';
import type { Settings } from '../settings/settings.js';
import type { WorkerRole, WorkerSettings } from '../worker/start.js';
import type { WorkerLock } from '../worker/worker-lock.js';
import { exitCode, type Exit } from './exit-code.js';
import { runCommand, type Session } from './session.js';

/** Said again here, since the other place loads the SDK's native core. */
const ROLES = ['producer', 'consumer', 'all'] as const satisfies readonly WorkerRole[];

interface WorkerOptions {
  readonly role: WorkerRole;
  readonly newClickhouse?: boolean;
}

export function workerCommand(): Command {
  return new Command('worker')
    .summary('run the process that moves the rows')
    .description(
      'Runs a worker until SIGTERM or Ctrl-C, which let it finish the batches in hand; a second one ends it at once, which ' +
        'loses nothing either. Run several, on several machines, as you like.',
    )
    .addOption(
      new Option('--role <role>', 'producer reads PostgreSQL, consumer loads ClickHouse').choices(ROLES).default('all'),
    )
    .option('--new-clickhouse', 'begin although none of the targets is on this ClickHouse server: the old one is lost')
    .addHelpText(
      'after',
      `
Logs go to standard error: pretty on a terminal, one JSON object a line elsewhere.

Examples:
  pg2click worker
  pg2click worker --role consumer
  PG2CLICK_LOG_LEVEL=debug PG2CLICK_METRICS=0.0.0.0:9464 PG2CLICK_HEALTH=127.0.0.1:8080 pg2click worker`,
    )
    .action((options: WorkerOptions, command: Command) =>
      runCommand(command, (session) => runWorker(session, options), { ownSignals: true }),
    );
}

async function runWorker(session: Session, { role, newClickhouse = false }: WorkerOptions): Promise<Exit> {
  const { settings } = session;
  const bundlePath = join(packageRoot, 'dist', 'workflow-bundle.js');
  if (!existsSync(bundlePath)) {
    throw new Failure('Misconfigured', {
      message: `The workflows are not built: there is no ${bundlePath}.`,
      remedy: 'Run "npm run build".',
    });
  }
  const [
    { temporalWorkerConnection },
    { startWorker },
    { workerIdentity },
    { openWorkerLock },
    { installRuntime },
    { createActivities },
    { observeWorker },
    { freeAddress },
    { createLogger },
    { checkBefore },
  ] = await Promise.all([
    import('../connect/temporal.js'),
    import('../worker/start.js'),
    import('../worker/identity.js'),
    import('../worker/open-worker-lock.js'),
    import('../worker/runtime.js'),
    import('../../activities/index.js'),
    import('../worker/observe.js'),
    import('../worker/listen.js'),
    import('../observe/log.js'),
    import('./worker-checks.js'),
  ]);
  const log = createLogger(settings.log);
  const { metricsAddress } = settings.worker;
  const meters = installRuntime({
    log,
    metricsAddress: metricsAddress && (await freeAddress(metricsAddress, 'PG2CLICK_METRICS')),
  });
  const observation = await observeWorker({ settings, role, version: readVersion(), meters, log });
  const activities = createActivities(settings, log, meters);
  const stop = new AbortController();
  // The first signal is the SDK's, which lets slices finish; two Ctrl-C within a blink of a process group are one.
  let asked = 0;
  const onSignal = (signal: NodeJS.Signals): void => {
    const now = Date.now();
    if (asked > 0 && now - asked > 300) {
      log.warn({ signal }, 'ended at once, with batches in hand: they are taken up again');
      process.exit(exitCode('interrupted'));
    }
    if (asked === 0) log.info({ signal }, 'finishing the batches in hand; once more to end at once');
    asked ||= now;
    stop.abort();
  };
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, onSignal);
  const identity = workerIdentity(role);
  let connection: NativeConnection | undefined;
  let lock: WorkerLock | undefined;
  const over = new AbortController();
  let reading: Promise<void> | undefined;
  try {
    const deployment = await checkBefore({ session, log }, activities, { newClickhouse, signal: stop.signal });
    if (deployment === undefined) {
      log.info('worker stopped before it polled');
      return 'done';
    }
    log.info({ deployment: deployment.id, database: deployment.database, pipeline: deployment.pipeline }, 'serving');
    connection = await temporalWorkerConnection(settings);
    lock = await openWorkerLock({ settings, deployment: deployment.id, connection, identity, log });
    const worker = await startWorker({
      identity,
      taskQueues: taskQueuesOf(deployment.id),
      connection,
      namespace: settings.temporal.namespace,
      role,
      activities,
      log,
      meters,
      bundlePath,
      addresses: serverAddresses(settings),
      activitySlots: settings.worker.slots,
    });
    observation.follow(worker, connection, taskQueuesOf(deployment.id).workflow);
    if (role !== 'consumer') reading = activities.readWal(over.signal);
    await worker.ended;
    log.info('worker stopped');
    return 'done';
  } finally {
    // Before the connection that it uses.
    await observation.close();
    over.abort();
    await reading;
    await lock?.close();
    await activities.close();
    await connection?.close();
  }
}

/** For the lines of the log about a failure. Of several servers of ClickHouse nobody there knows which one it was. */
function serverAddresses({
  postgres,
  ledger = postgres,
  kafka,
  registry,
  clickhouse,
  clickhouses,
  temporal,
}: Settings): WorkerSettings['addresses'] {
  const isOnly = Object.keys(clickhouses).length === 0;
  return {
    postgresql: `${postgres.host}:${postgres.port}`,
    ledger: `${ledger.host}:${ledger.port}`,
    kafka: kafka.brokers.join(','),
    ...(registry === undefined ? {} : { registry: registry.url }),
    ...(isOnly ? { clickhouse: clickhouse.url } : {}),
    temporal: temporal.address,
  };
}
