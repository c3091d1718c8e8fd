/** How far the replica that answers is, from `system.replicas`; numbers are decimal. */
export interface ReplicaState {
  readonly readOnly: number;
  readonly delaySeconds: string;
  /** Parts of other replicas that it has yet to fetch. */
  readonly toFetch: string;
  /** Entries of the common log that it has not read. */
  readonly unread: string;
}

/** Of one table; no row where the engine keeps none there. */
export const REPLICA_STATE = /* sql */ `
  select is_readonly or is_session_expired as readOnly, toString(absolute_delay) as delaySeconds,
    toString(inserts_in_queue) as toFetch,
    toString(if(log_max_index + 1 > log_pointer, log_max_index + 1 - log_pointer, 0)) as unread
  from system.replicas where database = {database:String} and table = {table:String}`;

/** @returns the middle of a sentence; undefined where it has all that the others have */
export function describeBehind({ readOnly, delaySeconds, toFetch, unread }: ReplicaState): string | undefined {
  if (readOnly !== 0) return 'has lost its keeper and is read-only';
  if (toFetch !== '0') return `has yet to fetch ${toFetch} insert${toFetch === '1' ? '' : 's'} of others`;
  if (delaySeconds !== '0') return `is ${delaySeconds} s behind`;
  return unread === '0' ? undefined : `has not read ${unread} ${unread === '1' ? 'entry' : 'entries'} of the log`;
}
