/** A replication slot, as one of the tables behind it sees it. */
export interface SlotState {
  readonly name: string;
  /** WAL that PostgreSQL keeps for it; null where the slot is gone or lost. */
  readonly retainedBytes: number | null;
  /** WAL that may still be written before PostgreSQL gives the slot up (`max_slot_wal_keep_size`); null where there is no limit. */
  readonly safeBytes: number | null;
  /** For how long nobody has read it; null where somebody does, and before PostgreSQL 17. */
  readonly unreadSeconds: number | null;
  /** Whether a standby that is set up for it gets the slot too; null before PostgreSQL 17. */
  readonly failover: boolean | null;
  /** Of the outboxes of all tables behind it. */
  readonly outboxBytes: number;
  /** What these and the WAL may take on the disk of PostgreSQL (`PG2CLICK_WAL_BUDGET_MB` of the worker that reads); null where there is no limit. */
  readonly budgetBytes: number | null;
  /** Null where the changes of this table are read. */
  readonly detached: (Detachment & { readonly remedy: string }) | null;
}

/** Why the changes of a table are not read any more, and since when. */
export interface Detachment {
  /** What was committed behind this position of the WAL is missing. */
  readonly position: string;
  /** ISO 8601 */
  readonly at: string;
  /** The end of a sentence. */
  readonly why: string;
}
