-- How far the WAL of this database was read, and which tables it is read for (--capture wal). It lies beside the outboxes, whether the
-- ledger does or not: keys, and the position up to which they were read, are committed together.

-- One row for each replication slot of ours: a pipeline has one.
create table if not exists pg2click.wal_reader (
  -- the publication has the same name
  slot        text primary key,
  -- raised by who begins to read, and by who adds or removes a table: who read before stops
  epoch       bigint not null default 0,
  -- another one with every slot that is made under this name
  made        uuid not null default gen_random_uuid(),
  -- all that was committed up to here is in the outboxes: the end of a commit record
  position    pg_lsn not null,
  -- oid and xmin of the publication: changes that are made while it is missing are never sent
  publication text not null
) with (fillfactor = 20, autovacuum_vacuum_threshold = 500, autovacuum_vacuum_scale_factor = 0);

create table if not exists pg2click.wal_table (
  table_id   bigint primary key,
  slot       text not null references pg2click.wal_reader,
  relation   oid not null,
  -- attribute numbers of the key, in key order
  key        integer[] not null,
  -- attribute numbers of the replica identity, ascending; null: all columns
  identity   integer[],
  -- oid of its row in pg_publication_rel
  membership text not null,
  -- of the slot
  made       uuid not null,
  -- the columns of the table, as text, and a position of the WAL behind which each transaction has written rows of these columns
  definition text,
  since      pg_lsn,
  unique (slot, relation)
);
