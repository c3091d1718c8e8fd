import { LABELS, METRICS, type Label, type Metric, type Origin } from './metrics.js';

/** The page `docs/10-metrics.md`, from the table: a test holds the two together. */
export function renderMetricsPage(): string {
  return [HEAD, section('collector', COLLECTOR), section('worker', WORKER), labelSection(), TEMPORAL, '']
    .join('\n\n')
    .trimEnd()
    .concat('\n');
}

const HEAD = `# Metrics

This page is made from the table in \`src/observe/metrics.ts\`; after a change there, \`npx vitest run metrics-page --update\` writes it
again.

With \`PG2CLICK_METRICS=0.0.0.0:9464\` a worker offers \`http://host:9464/metrics\` to Prometheus: Temporal's own metrics and the ones
below, at one address. Alert rules on them are in [deploy/prometheus/alerts.yml](../deploy/prometheus/alerts.yml), a dashboard is
in [deploy/grafana/pg2click.json](../deploy/grafana/pg2click.json), and what to do about them in [Operating](11-operating.md).

**NaN means: not so any more, or not known.** The table has left that phase, or it is gone, or the server that has the figure is
away. A comparison with NaN is never true and \`max\` passes over it, but \`sum\` does not: aggregate with \`max\` first.`;

const COLLECTOR = `Every worker of role \`producer\` or \`all\` reads all tables of its PostgreSQL every 15 seconds, also those that no worker
serves. So a table that is paused or parked has its figures like any other, and two producers report the same: take
\`max by (pipeline, table, stage)\`. The age and the length of an outbox are \`pg2click_lag_seconds{stage="publish"}\` and
\`pg2click_lag_rows{stage="publish"}\`.

After a restart of the only producer, ages begin at 0 again, except for what is in a named batch: no event carries a time.`;

const WORKER = `Each worker reports of itself. Take \`sum by (pipeline, table, stage) (rate(...))\` over all workers.`;

/** Metrics of Temporal's SDK that the alert rules and the dashboard may name, as this exporter names them. */
export const TEMPORAL_METRICS: Readonly<Record<string, string>> = {
  temporal_activity_schedule_to_start_latency_seconds: 'How long slices wait for a free slot of a worker.',
  temporal_workflow_task_schedule_to_start_latency_seconds: 'The same of decisions: the first sign of too few workers.',
  temporal_activity_execution_latency_seconds: 'How long slices run; about a minute is normal.',
  temporal_activity_execution_failed_total: 'Attempts that failed; ours are told by kind above.',
  temporal_workflow_task_execution_failed_total:
    'Decisions that failed, by `failure_reason`: with `NonDeterminismError` the workflow of a table stands still; absent until one does.',
  temporal_worker_task_slots_available: 'Slots that are free, by `worker_type`.',
  temporal_worker_task_slots_used: 'Slots that are taken.',
  temporal_num_pollers: 'Open polls, by `poller_type`.',
  temporal_request_failure_total: 'Calls to the server that failed; absent until one does.',
  temporal_long_request_failure_total: 'Polls that failed; absent until one does.',
};

const TEMPORAL = [
  '## Of Temporal',
  '',
  'Named as the SDKs in other languages name them, in seconds and with `_total`, so that common dashboards fit. The most useful:',
  '',
  '| name | what it says |',
  '| --- | --- |',
  ...Object.entries(TEMPORAL_METRICS).map(([name, meaning]) => `| \`${name}\` | ${meaning} |`),
].join('\n');

function section(origin: Origin, introduction: string): string {
  const rows = Object.entries<Metric>(METRICS)
    .filter(([, metric]) => metric.origin === origin)
    .map(([name, { kind, unit, labels, description }]) => {
      const named = labels.map((label) => `\`${label}\``).join(', ');
      return `| \`${name}\` | ${kind} | ${unit} | ${named} | ${description} |`;
    });
  return [
    origin === 'collector' ? '## Of tables' : '## Of workers',
    '',
    introduction,
    '',
    '| name | type | unit | labels | what it says |',
    '| --- | --- | --- | --- | --- |',
    ...rows,
  ].join('\n');
}

function labelSection(): string {
  const rows = (Object.keys(LABELS) as Label[]).map((label) => `| \`${label}\` | ${LABELS[label]} |`);
  return [
    '## Labels',
    '',
    'Names of tables and members of closed sets: never a value of a row.',
    '',
    '| label | values |',
    '| --- | --- |',
    ...rows,
  ].join('\n');
}
