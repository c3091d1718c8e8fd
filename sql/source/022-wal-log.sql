-- Tables of which every change is kept (--engine log): their outbox has the values of each change, and not its key.

alter table pg2click.wal_table
  add column if not exists log boolean not null default false,
  -- attribute numbers of columns that are left out: their values are not kept
  add column if not exists left_out integer[] not null default '{}',
  -- the rows that the log begins with are those that this snapshot saw: changes that it saw are in them
  add column if not exists seen pg_snapshot;

-- How far a transaction was read of which a part is in the outbox: the rest of it, and nothing twice, is read after a crash.
create table if not exists pg2click.wal_log (
  table_id bigint primary key references pg2click.wal_table on delete cascade,
  -- start of the commit record of the transaction that was written last
  commit   pg_lsn not null default '0/0',
  -- changes of it that are in the outbox
  changes  bigint not null default 0
) with (fillfactor = 20, autovacuum_vacuum_threshold = 500, autovacuum_vacuum_scale_factor = 0);

-- The columns of a table as changes in its outbox have them: the WAL has names and types, and no attribute numbers.
create table if not exists pg2click.wal_form (
  table_id bigint not null references pg2click.wal_table on delete cascade,
  form     integer not null,
  names    text[] not null,
  -- oids
  types    bigint[] not null,
  -- of each column the number of its column in the outbox: 3 is v3
  places   integer[] not null,
  primary key (table_id, form)
);
