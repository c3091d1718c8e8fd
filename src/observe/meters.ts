import type { MetricMeter } from '@temporalio/common';
import {
  METRICS,
  METRIC_NAMES,
  type CounterName,
  type GaugeName,
  type HistogramName,
  type LabelsOf,
  type Metric,
  type MetricName,
} from './metrics.js';

/** The instruments of `METRICS`: a name that is not in the table, or a label too many or too few, does not compile. */
export interface Meters {
  add<Name extends CounterName>(name: Name, value: number, labels: LabelsOf<Name>): void;
  /** `NaN` for what is not known, or not there any more: an exporter never forgets a gauge. */
  set<Name extends GaugeName>(name: Name, value: number, labels: LabelsOf<Name>): void;
  record<Name extends HistogramName>(name: Name, value: number, labels: LabelsOf<Name>): void;
}

/** For where nobody looks: tests, and workers without PG2CLICK_METRICS. */
export const NO_METERS: Meters = { add: () => undefined, set: () => undefined, record: () => undefined };

/** Makes all instruments on the meter of Temporal's runtime, whose one endpoint then serves them beside its own. */
export function openMeters(meter: MetricMeter): Meters {
  const write = new Map<MetricName, (value: number, labels: Readonly<Record<string, string>>) => void>();
  for (const name of METRIC_NAMES) {
    const { kind, unit, description }: Metric = METRICS[name];
    const bare = bareName(name);
    switch (kind) {
      case 'counter': {
        const counter = meter.createCounter(bare, unit, description);
        write.set(name, (value, labels) => counter.add(value, labels));
        break;
      }
      case 'gauge': {
        const gauge = meter.createGauge(bare, 'float', unit, description);
        write.set(name, (value, labels) => gauge.set(value, labels));
        break;
      }
      case 'histogram': {
        const histogram = meter.createHistogram(bare, 'float', unit, description);
        write.set(name, (value, labels) => histogram.record(value, labels));
        break;
      }
      default:
        kind satisfies never;
    }
  }
  return {
    add: (name, value, labels) => write.get(name)?.(value, labels),
    set: (name, value, labels) => write.get(name)?.(value, labels),
    record: (name, value, labels) => write.get(name)?.(value, labels),
  };
}

/** The exporter itself puts `_total` behind counters, and the unit behind histograms: see `src/worker/runtime.ts`. */
export function bareName(name: MetricName): string {
  const { kind, unit } = METRICS[name];
  switch (kind) {
    case 'counter':
      return name.replace(/_total$/u, '');
    case 'histogram':
      return name.slice(0, -`_${unit}`.length);
    case 'gauge':
      return name;
    default:
      return kind satisfies never;
  }
}
