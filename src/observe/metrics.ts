/** The only labels there are: names of tables and members of closed sets, never a value of a row. */
export const LABELS = {
  pipeline: '`PG2CLICK_PIPELINE` of the table',
  table: '`schema.table` in PostgreSQL',
  stage:
    '`publish` (outbox to Kafka), `load:main` (Kafka to ClickHouse, `load:NAME` for another loader), `copy` (first load), `replay:1` (a replay)',
  task: '`prepare`, `remove`, or the stage that failed: `publish`, `load:main`, `copy`',
  class: '`follow`, or `copy` where the table was read again',
  kind: 'a kind of [Failures](06-failures.md); `none` while there is none',
  phase: 'a phase of [Control](05-control.md#the-life-of-a-table), or `stopped`: in the ledger, and no workflow runs',
  server: '`postgresql`, `ledger` (only with `LEDGER_PG_URL`), `kafka`, `clickhouse`, `temporal`',
  role: '`producer`, `consumer`, `all`',
  version: 'of pg2click',
} as const;
export type Label = keyof typeof LABELS;

/** `worker`: each process reports of itself. `collector`: every producer reads all tables every 15 s, so several may report the same. */
export type Origin = 'worker' | 'collector';

export interface Metric {
  readonly kind: 'counter' | 'gauge' | 'histogram';
  readonly unit:
    'rows' | 'bytes' | 'seconds' | 'batches' | 'parts' | 'failures' | 'changes' | 'tuples' | 'messages' | '';
  readonly labels: readonly Label[];
  readonly origin: Origin;
  /** One sentence, for the documentation and the HELP line. */
  readonly description: string;
  /** Upper bounds, of a histogram. */
  readonly buckets?: readonly number[];
}

const TABLE = ['pipeline', 'table'] as const;
const STAGE = ['pipeline', 'table', 'stage'] as const;

/**
 * Every metric of ours, by the name that Prometheus sees: the one place that knows its type, unit, labels and meaning. The
 * instruments, the page `docs/10-metrics.md` and the check of the alert rules all come from this table.
 */
export const METRICS = {
  pg2click_lag_rows: {
    kind: 'gauge',
    unit: 'rows',
    labels: STAGE,
    origin: 'collector',
    description:
      'Changes that wait, the batch in hand among them: in the outbox (publish) or in Kafka (load:main). Exact up to 10,000 in the outbox, an upper bound beyond and in Kafka.',
  },
  pg2click_lag_bytes: {
    kind: 'gauge',
    unit: 'bytes',
    labels: STAGE,
    origin: 'collector',
    description: 'The same in bytes, guessed from the average row that the stage moved so far; NaN before the first.',
  },
  pg2click_lag_seconds: {
    kind: 'gauge',
    unit: 'seconds',
    labels: STAGE,
    origin: 'collector',
    description:
      'Age of the oldest change that waits, at least: since a collector first saw it, or since its batch was named. 0 where nothing waits.',
  },
  pg2click_error_messages: {
    kind: 'gauge',
    unit: 'messages',
    labels: STAGE,
    origin: 'collector',
    description:
      'Messages that could not be loaded and lie in the table of errors, as of the last batch. Only of stages that set messages aside: those of the Kafka engine.',
  },
  pg2click_quarantined_rows: {
    kind: 'gauge',
    unit: 'rows',
    labels: TABLE,
    origin: 'collector',
    description: 'Rows that ClickHouse refused and that are set aside, in all targets of the table.',
  },
  pg2click_copy_bytes: {
    kind: 'gauge',
    unit: 'bytes',
    labels: STAGE,
    origin: 'collector',
    description: 'Size of what a copy under way reads, on the disk of PostgreSQL.',
  },
  pg2click_copy_done_bytes: {
    kind: 'gauge',
    unit: 'bytes',
    labels: STAGE,
    origin: 'collector',
    description: 'The part of it that is in ClickHouse. The rest divided by the rate of this is the time left.',
  },
  pg2click_last_batch_timestamp_seconds: {
    kind: 'gauge',
    unit: 'seconds',
    labels: STAGE,
    origin: 'collector',
    description: 'When the stage last named or confirmed a batch, Unix time of PostgreSQL.',
  },
  pg2click_retention_late: {
    kind: 'gauge',
    unit: '',
    labels: STAGE,
    origin: 'collector',
    description:
      '1 while a loader has not loaded messages that are older than half of KAFKA_RETENTION_MS: Kafka may delete them unread. Looked at every five minutes.',
  },
  pg2click_replay_waiting: {
    kind: 'gauge',
    unit: '',
    labels: STAGE,
    origin: 'collector',
    description:
      'Messages of its range that a replay has not loaded yet; not shown before its end is known, and gone once it is done.',
  },
  pg2click_outbox_bytes: {
    kind: 'gauge',
    unit: 'bytes',
    labels: TABLE,
    origin: 'collector',
    description: 'Size of the outbox on disk, with its index and its dead tuples.',
  },
  pg2click_outbox_dead_tuples: {
    kind: 'gauge',
    unit: 'tuples',
    labels: TABLE,
    origin: 'collector',
    description: 'Dead tuples in the outbox, as the statistics of PostgreSQL have them.',
  },
  pg2click_slot_retained_bytes: {
    kind: 'gauge',
    unit: 'bytes',
    labels: TABLE,
    origin: 'collector',
    description:
      'wal: WAL that PostgreSQL keeps on its disk for the replication slot, which all tables of a pipeline share; not shown where the slot is gone or lost.',
  },
  pg2click_slot_safe_bytes: {
    kind: 'gauge',
    unit: 'bytes',
    labels: TABLE,
    origin: 'collector',
    description:
      'wal: WAL that may still be written before PostgreSQL gives the replication slot up; not shown where max_slot_wal_keep_size sets no limit.',
  },
  pg2click_wal_budget_ratio: {
    kind: 'gauge',
    unit: '',
    labels: TABLE,
    origin: 'collector',
    description:
      'wal: what the tables of a pipeline take on the disk of PostgreSQL, WAL and outboxes, as a part of PG2CLICK_WAL_BUDGET_MB; not shown where that is not set. Above 1 a table is detached.',
  },
  pg2click_detached: {
    kind: 'gauge',
    unit: '',
    labels: TABLE,
    origin: 'collector',
    description: 'wal: 1 where the changes of the table are not read any more, and it has to be copied again.',
  },
  pg2click_settle_seconds: {
    kind: 'gauge',
    unit: 'seconds',
    labels: TABLE,
    origin: 'worker',
    description:
      'poll, notify: how long the rows of the table have waited for transactions that write to it, from the first second on; 0 again when they have ended. The log says who they are.',
  },
  pg2click_gap_ranges: {
    kind: 'gauge',
    unit: '',
    labels: TABLE,
    origin: 'collector',
    description: 'poll, notify: ranges of ids that had no row and are asked for again, as of the last batch.',
  },
  pg2click_given_up_ids: {
    kind: 'gauge',
    unit: '',
    labels: TABLE,
    origin: 'collector',
    description:
      'poll, notify: ids that had no row and are not asked for any more, since the table was added: those that were rolled back, and rows that came too late.',
  },
  pg2click_active_parts: {
    kind: 'gauge',
    unit: 'parts',
    labels: TABLE,
    origin: 'collector',
    description: 'Active parts in the fullest partition of the target: what ClickHouse slows inserts down by.',
  },
  pg2click_table_phase: {
    kind: 'gauge',
    unit: '',
    labels: ['pipeline', 'table', 'phase'],
    origin: 'collector',
    description: '1 for the phase that the table is in; a phase it has left is NaN.',
  },
  pg2click_parked: {
    kind: 'gauge',
    unit: '',
    labels: ['pipeline', 'table', 'kind'],
    origin: 'collector',
    description:
      '1 while the table is parked, with the kind of its oldest failure; 0, with kind none, while it is not.',
  },
  pg2click_oldest_transaction_seconds: {
    kind: 'gauge',
    unit: 'seconds',
    labels: [],
    origin: 'collector',
    description:
      'Age, at least, of the oldest transaction of the PostgreSQL server that has written something: while it runs, low-waters stand still and vacuum removes nothing newer from the outboxes.',
  },
  pg2click_collected_timestamp_seconds: {
    kind: 'gauge',
    unit: 'seconds',
    labels: [],
    origin: 'collector',
    description: 'When the ledger was last read for these gauges, Unix time of the worker.',
  },
  pg2click_batches_total: {
    kind: 'counter',
    unit: 'batches',
    labels: STAGE,
    origin: 'worker',
    description: 'Batches that were confirmed; a first load counts as one, when it is done.',
  },
  pg2click_rows_total: {
    kind: 'counter',
    unit: 'rows',
    labels: STAGE,
    origin: 'worker',
    description: 'Rows and tombstones in them.',
  },
  pg2click_bytes_total: {
    kind: 'counter',
    unit: 'bytes',
    labels: STAGE,
    origin: 'worker',
    description: 'Bytes in them, as sent to Kafka or to ClickHouse, before any compression.',
  },
  pg2click_resent_rows_total: {
    kind: 'counter',
    unit: 'rows',
    labels: STAGE,
    origin: 'worker',
    description:
      'Rows of batches that an earlier attempt had named and may have sent: duplicates in the topic, or in the parts of the table, at most. Readers of the view never see them.',
  },
  pg2click_schema_changes_total: {
    kind: 'counter',
    unit: 'changes',
    labels: ['pipeline', 'table', 'class'],
    origin: 'worker',
    description: 'Changes of the columns of a table that were followed.',
  },
  pg2click_batch_duration_seconds: {
    kind: 'histogram',
    unit: 'seconds',
    labels: ['stage'],
    origin: 'worker',
    description:
      'publish: reading a batch from PostgreSQL and sending it to Kafka. load:main: inserting it, retries included.',
    buckets: [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60],
  },
  pg2click_slice_failures_total: {
    kind: 'counter',
    unit: 'failures',
    labels: ['pipeline', 'table', 'task', 'kind'],
    origin: 'worker',
    description:
      'Attempts of an activity that failed, by kind. What was cancelled did not fail; a killed worker reports nothing.',
  },
  pg2click_server_reachable: {
    kind: 'gauge',
    unit: '',
    labels: ['server'],
    origin: 'worker',
    description: '1 while the server answers this worker, probed every 5 s; 0 while it does not.',
  },
  pg2click_worker_info: {
    kind: 'gauge',
    unit: '',
    labels: ['role', 'version'],
    origin: 'worker',
    description: 'Always 1: which worker this is.',
  },
  pg2click_worker_cpu_seconds: {
    kind: 'gauge',
    unit: 'seconds',
    labels: [],
    origin: 'worker',
    description: 'CPU time of the process so far, user and system; take its rate.',
  },
  pg2click_worker_memory_bytes: {
    kind: 'gauge',
    unit: 'bytes',
    labels: [],
    origin: 'worker',
    description: 'Resident memory of the process.',
  },
  pg2click_worker_event_loop_delay_seconds: {
    kind: 'gauge',
    unit: 'seconds',
    labels: [],
    origin: 'worker',
    description: 'Longest time within the last 15 s that the event loop was blocked.',
  },
} as const satisfies Record<`pg2click_${string}`, Metric>;

export type MetricName = keyof typeof METRICS;
export const METRIC_NAMES = Object.keys(METRICS) as readonly MetricName[];

type NameOf<Kind extends Metric['kind']> = {
  [Name in MetricName]: (typeof METRICS)[Name]['kind'] extends Kind ? Name : never;
}[MetricName];
export type CounterName = NameOf<'counter'>;
export type GaugeName = NameOf<'gauge'>;
export type HistogramName = NameOf<'histogram'>;

/** All labels of a metric, no others. */
export type LabelsOf<Name extends MetricName> = Readonly<Record<(typeof METRICS)[Name]['labels'][number], string>>;
