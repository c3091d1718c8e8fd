import { makeTelemetryFilterString, Runtime } from '@temporalio/worker';
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
    logger: sdkLogger(log),
    telemetryOptions: {
      logging: { forward: {}, filter: makeTelemetryFilterString({ core: 'WARN', other: 'ERROR' }) },
      ...(metricsAddress === undefined ? {} : { metrics: { prometheus: { bindAddress: metricsAddress } } }),
    },
  });
}
