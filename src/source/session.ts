/**
 * How every transaction that reads rows begins, whatever the role, the database or a pooler in between has set. In one
 * message with `begin`: no round trip of its own.
 *
 * - `read write`: a standby refuses it, so a proxy that leads there cannot make missing rows look deleted;
 * - `row_security = off`: a policy that would hide rows is an error, not fewer rows;
 * - `search_path`: no operator that somebody made in a schema of his own is found, and runs as our role;
 * - values must have the same text in COPY and in JSON, on every server: also those of intervals and bytea, and names in reg* types.
 */
export const BEGIN_READING = begin('read committed');

/** The same, and all its statements see what the first one saw. The lock of a table is none: what was changed under it is seen. */
export const BEGIN_SNAPSHOT = begin('repeatable read');

function begin(isolation: 'read committed' | 'repeatable read'): string {
  return /* sql */ `begin isolation level ${isolation} read write;
  set local row_security = off;
  set local search_path = pg_catalog, pg_temp;
  set local timezone = 'UTC';
  set local datestyle = 'ISO';
  set local intervalstyle = 'postgres';
  set local bytea_output = 'hex';
  set local quote_all_identifiers = off;
  set local extra_float_digits = 1;
  set local client_encoding = 'UTF8';
  set local lock_timeout = '5s';
  set local statement_timeout = 0`;
}

/**
 * For the drain: index lookups, never a scan of the user's table for a small batch. The statistics of the outbox, which is
 * filled and emptied all the time, are worth nothing, and the costs of what is switched off would start the JIT. A table
 * that somebody has locked gives its connection, which others wait for, back sooner than a copy does.
 */
export const LOOK_UP_BY_INDEX = /* sql */ `
  set local lock_timeout = '2s';
  set local enable_seqscan = off;
  set local enable_bitmapscan = off;
  set local enable_hashjoin = off;
  set local enable_mergejoin = off;
  set local max_parallel_workers_per_gather = 0;
  set local jit = off`;
