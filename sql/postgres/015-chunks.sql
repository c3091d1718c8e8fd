-- The plan of a copy: a table is copied chunk by chunk, several at once, and each is confirmed by itself. The rows are there while the copy
-- runs.

create table pg2click.chunk (
  table_id   bigint not null,
  stage      text not null,
  chunk      integer not null check (chunk >= 1),
  -- see ChunkRange in src/domain/chunk.ts
  range      jsonb not null,
  -- on the disk of PostgreSQL, an estimate
  bytes      bigint not null,
  planned_at timestamptz not null default now(),
  -- null: not done
  rows       bigint,
  done_at    timestamptz,
  primary key (table_id, stage, chunk),
  foreign key (table_id, stage) references pg2click.stage on delete cascade
);
