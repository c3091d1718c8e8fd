import { makeTelemetryFilterString, Runtime } from '@temporalio/worker';
import { type Log, sdkLogger } from '../observe/log.js';
import { bareName, NO_METERS, openMeters, type Meters } from '../observe/meters.js';
import { METRICS, METRIC_NAMES, type Metric } from '../observe/metrics.js';

export interface RuntimeOptions {
  readonly log: Log;
  /** `ip:port` where Prometheus finds the worker's metrics; none when absent. */
  readonly metricsAddress?: string | undefined;
}

/**
 * Sets up the SDK of this process: its log and its metrics. Once, and before any connection to Temporal is made: a
 * connection installs a default otherwise, and a second installation is an error.
 * @returns our instruments, served at the same address; without one they do nothing
 */
export function installRuntime({ log, metricsAddress }: RuntimeOptions): Meters {
  Runtime.install({
    logger: sdkLogger(log),
    telemetryOptions: {
      logging: { forward: {}, filter: makeTelemetryFilterString({ core: 'WARN', other: 'ERROR' }) },
      ...(metricsAddress === undefined ? {} : { metrics: { prometheus: exporter(metricsAddress) } }),
    },
  });
  return metricsAddress === undefined ? NO_METERS : openMeters(Runtime.instance().metricMeter);
}

/** Names as the SDKs in other languages give them, so that dashboards made for those fit. */
function exporter(bindAddress: string) {
  const buckets = METRIC_NAMES.flatMap((name) => {
    const { buckets: bounds }: Metric = METRICS[name];
    return bounds === undefined ? [] : [[bareName(name), [...bounds]] as [string, number[]]];
  });
  return {
    bindAddress,
    countersTotalSuffix: true,
    unitSuffix: true,
    useSecondsForDurations: true,
    histogramBucketOverrides: Object.fromEntries(buckets),
  };
}
