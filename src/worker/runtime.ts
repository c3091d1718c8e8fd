import { type Logger, makeTelemetryFilterString, Runtime } from '@temporalio/worker';
import { type Log, sdkLogger } from '../observe/log.js';

export interface RuntimeOptions {
  readonly log: Log;
  /** `host:port` where Prometheus finds the worker's metrics; none when absent. */
  readonly metricsAddress?: string | undefined;
}

/**
 * Sets up the SDK of this process: its log and its metrics. Once, and before any connection to Temporal is made: a
 * connection installs a default otherwise, and a second installation is an error.
 */
export function installRuntime({ log, metricsAddress }: RuntimeOptions): void {
  Runtime.install({
    logger: withoutRoutine(sdkLogger(log)),
    telemetryOptions: {
      logging: { forward: {}, filter: makeTelemetryFilterString({ core: 'WARN', other: 'ERROR' }) },
      ...(metricsAddress === undefined ? {} : { metrics: { prometheus: { bindAddress: metricsAddress } } }),
    },
  });
}

/** What the SDK says of every worker at every start, as information or even as warnings: ours poll one kind of task each. */
const ROUTINE = /^(?:Worker state changed$|No (?:activities|workflows|Nexus services) registered)/u;

/** A filter of noise only: nothing is decided by these texts. */
function withoutRoutine(logger: Logger): Logger {
  return {
    ...logger,
    info: (message, meta) => (ROUTINE.test(message) ? logger.debug(message, meta) : logger.info(message, meta)),
    warn: (message, meta) => (ROUTINE.test(message) ? logger.debug(message, meta) : logger.warn(message, meta)),
  };
}
