const SECOND = 1_000;

/** How a failure of one kind is treated. */
export interface FailurePolicy {
  /** `transient`: Temporal retries for ever with back-off. `parked`: the table waits for a person and for `resume`. */
  readonly treatment: 'transient' | 'parked';
  /** A delay that replaces the back-off, in milliseconds. */
  readonly delayMs?: number;
  /** What to do, for the person who reads it at night. */
  readonly remedy: string;
}

/**
 * The closed set of failure kinds: one table, kind -> treatment, delay, remedy. Nothing is decided by message text.
 * The kinds are the `type` of the Temporal ApplicationFailure, so they are stable names: recorded histories hold them.
 */
export const FAILURE_POLICIES = {
  SourceUnavailable: {
    treatment: 'transient',
    remedy: 'Check that PostgreSQL runs and is reachable. The table goes on by itself when it is back.',
  },
  LedgerUnavailable: {
    treatment: 'transient',
    remedy: 'Check that the PostgreSQL that holds the ledger runs and is reachable. The table goes on by itself.',
  },
  BrokerUnavailable: {
    treatment: 'transient',
    remedy: 'Check that Kafka runs and is reachable; the outbox keeps the changes meanwhile.',
  },
  RegistryUnavailable: {
    treatment: 'transient',
    remedy: 'Check that the schema registry runs and is reachable; the changes wait meanwhile.',
  },
  SinkUnavailable: {
    treatment: 'transient',
    remedy: 'Check that ClickHouse runs and is reachable; Kafka keeps the changes meanwhile.',
  },
  TemporalUnavailable: {
    treatment: 'transient',
    remedy: 'Check that Temporal runs and is reachable; tables go on by themselves when it is back.',
  },
  SinkBusy: {
    treatment: 'transient',
    delayMs: 10 * SECOND,
    remedy: 'ClickHouse is overloaded: look at its merges, memory and running queries.',
  },
  LockTimeout: {
    treatment: 'transient',
    delayMs: 5 * SECOND,
    remedy: 'A long transaction holds the table: end it, or wait.',
  },
  Fenced: {
    treatment: 'transient',
    delayMs: 1 * SECOND,
    remedy: 'Another attempt took the table over; nothing to do.',
  },
  WrongWorker: {
    treatment: 'transient',
    delayMs: 1 * SECOND,
    remedy:
      'A worker with the settings of another source or of another ClickHouse polls the same task queue: stop it. The table goes on by itself.',
  },
  LoginRefused: {
    // Not parked: another worker may have the right password, and a password that is put right needs nobody to resume.
    treatment: 'transient',
    remedy:
      'Correct the user or password in the settings of the worker that says so, and restart it. Tables go on by themselves.',
  },
  NoProgress: { treatment: 'transient', remedy: 'A server accepted work and never answered; the slice starts again.' },
  WorkerLost: {
    treatment: 'transient',
    // Another worker is there. Retries that become due within this time are started together; see `take-over.ts`.
    delayMs: 100,
    remedy: 'A worker died or froze in the middle of a slice; another attempt goes on by itself within seconds.',
  },
  Unexpected: {
    treatment: 'transient',
    remedy: 'This is not a known failure: report it, with the lines of the worker log that have its kind.',
  },
  Misconfigured: { treatment: 'parked', remedy: 'Correct the setting, restart the worker, then resume the table.' },
  Unauthorized: {
    treatment: 'parked',
    remedy: 'Grant the user what is missing, then resume the table.',
  },
  MissingTable: {
    treatment: 'parked',
    remedy:
      'If the table was never there, create it, then resume. If it was dropped or replaced, remove it with ' +
      '--drop-target, and add the table that has its name now.',
  },
  UnsuitableTable: {
    treatment: 'parked',
    remedy: 'Change the table as the message says, then remove it and add it again.',
  },
  UnsupportedType: { treatment: 'parked', remedy: 'Choose another ClickHouse type for the column, or leave it out.' },
  SourceChanged: {
    treatment: 'parked',
    remedy:
      'Remove the table and add it again: all of it is copied. If its columns or its key changed, remove it with ' +
      '--drop-target, because the old ClickHouse table does not fit any more.',
  },
  Detached: {
    treatment: 'parked',
    remedy:
      'The table held up others, or took too much of the disk of PostgreSQL, and its changes are not read any more: remove it and add it ' +
      'again, which copies it.',
  },
  OutboxInconsistent: {
    treatment: 'parked',
    remedy: 'Something other than pg2click changed the outbox: remove the table and add it again.',
  },
  SchemaMismatch: {
    treatment: 'parked',
    remedy:
      'Bring the ClickHouse table in line with the source, then resume. Or, where pg2click made it, remove the table with ' +
      '--drop-target and add it again: its ClickHouse table is made and filled again. A table of your own stays: then add ' +
      'with another --target.',
  },
  RowRefused: {
    treatment: 'parked',
    remedy:
      'Such rows go to quarantine, and the table goes on; it parks where they are too many, or where it is the table in ClickHouse that ' +
      'refuses them: a constraint, a materialized view. Alter that, or raise the limit that is named for the workers and restart them, then resume.',
  },
  MessageTooLarge: {
    treatment: 'parked',
    remedy: 'Shorten or delete the row in PostgreSQL, or raise max.message.bytes of the topic; then resume the table.',
  },
  SchemaRefused: {
    treatment: 'parked',
    remedy: 'Let the schema registry take the schema, then resume the table.',
  },
  TargetTaken: {
    treatment: 'parked',
    remedy:
      'Remove the table, then add it with --target or --topic and a name that is free: two tables never share one.',
  },
  OffsetGap: {
    treatment: 'parked',
    remedy: 'Messages are missing in the topic: remove the table and add it again, which copies it.',
  },
  OffsetsExpired: {
    treatment: 'parked',
    remedy: 'Kafka deleted messages that were not loaded: remove the table and add it again, which copies it.',
  },
  TopicReplaced: {
    treatment: 'parked',
    remedy:
      'The topic lost its end, or was deleted and created again: remove the table and add it again, which copies it.',
  },
  PartitionsChanged: {
    treatment: 'parked',
    remedy: 'Partitions were added to the topic: remove the table and add it again.',
  },
  LedgerSetBack: {
    treatment: 'parked',
    remedy: 'The ledger is older than what was confirmed: remove the table and add it again.',
  },
  SourceSetBack: {
    treatment: 'parked',
    remedy: 'PostgreSQL was restored to an older state: remove the table and add it again.',
  },
  SinkSetBack: {
    treatment: 'parked',
    remedy:
      'First check that all workers name the same ClickHouse server, then resume. Only if rows are really lost, remove ' +
      'the table and add it again: all of it is copied.',
  },
} as const satisfies Record<string, FailurePolicy>;

export type FailureKind = keyof typeof FAILURE_POLICIES;

export const FAILURE_KINDS = Object.keys(FAILURE_POLICIES) as readonly FailureKind[];

/** Whether a person must change the settings, or a server, before a process with these settings can do anything. */
export function isRefusal(kind: FailureKind): boolean {
  return kind === 'LoginRefused' || policyOf(kind).treatment === 'parked';
}

/** The policy of a kind, in a type that has `delayMs` for every kind. */
export function policyOf(kind: FailureKind): FailurePolicy {
  return FAILURE_POLICIES[kind];
}

/** What a person is told of a failure that has no table: its own remedy, or that of its kind if it passes by itself. */
export function remedyOf({ kind, remedy }: { kind: FailureKind; remedy: string | undefined }): string | undefined {
  const policy = policyOf(kind);
  return remedy ?? (policy.treatment === 'transient' ? policy.remedy : undefined);
}

export function isFailureKind(value: unknown): value is FailureKind {
  return typeof value === 'string' && Object.hasOwn(FAILURE_POLICIES, value);
}
