-- What tables that are captured from the WAL may take on the disk of PostgreSQL, and those that took too much.

alter table pg2click.wal_reader
  -- bytes, as the worker has it that read last; null: there is none
  add column if not exists budget bigint;

alter table pg2click.wal_table
  -- since when its changes are not read any more: what was committed behind this position of the WAL is missing. Null: they are read
  add column if not exists detached pg_lsn,
  add column if not exists detached_at timestamptz,
  -- the end of a sentence
  add column if not exists detached_why text;
