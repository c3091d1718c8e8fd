-- The ledger: which tables are replicated, and how far each stage of each table has come. It lives outside Temporal, so
-- that a history that is reset, replayed or lost never moves a position.

create table if not exists pg2click.replica (
  id            bigint generated always as identity primary key,
  pipeline      text not null,
  schema_name   text not null,
  table_name    text not null,
  relation      oid not null,
  generation    smallint not null check (generation between 1 and 255),
  -- columns, key, triggerLevel, topic, partitions, format, target: see src/domain/replica.ts
  definition    jsonb not null,
  fingerprint   text not null default '',
  -- true once outbox, triggers, topic and target stand; a row that is not ready is prepared again from the start
  ready         boolean not null default false,
  created_at    timestamptz not null default now(),
  unique (pipeline, schema_name, table_name)
);

-- Two tables never share a topic or a target.
create unique index if not exists replica_topic on pg2click.replica ((definition ->> 'topic'));
create unique index if not exists replica_target
  on pg2click.replica (pipeline, (definition -> 'target' ->> 'database'), (definition -> 'target' ->> 'table'));

-- One row a table and stage. `batch` is the last confirmed batch; `pending` the name of batch + 1, journalled before
-- anything of it is sent. Whoever works claims the stage by raising `epoch`; every later statement carries that epoch.
create table if not exists pg2click.stage (
  replica_id     bigint not null references pg2click.replica on delete cascade,
  stage          text not null check (stage in ('publish', 'load', 'copy')),
  epoch          bigint not null default 0,
  owner          text not null default '',
  batch          bigint not null default 0,
  position       jsonb not null default '{}',
  pending        jsonb,
  -- publish only: nothing at or below low_water can appear in the outbox any more. The candidate becomes the low-water
  -- once every transaction that ran when it was read has ended.
  low_water      bigint not null default 0,
  candidate      bigint,
  candidate_xid  xid8,
  rows           bigint not null default 0,
  bytes          bigint not null default 0,
  updated_at     timestamptz not null default now(),
  primary key (replica_id, stage)
) with (fillfactor = 20, autovacuum_vacuum_threshold = 500, autovacuum_vacuum_scale_factor = 0);

-- The highest generation a table ever had, so that one removed and added again starts above its past.
create table if not exists pg2click.history (
  pipeline    text not null,
  schema_name text not null,
  table_name  text not null,
  generation  smallint not null,
  primary key (pipeline, schema_name, table_name)
);
