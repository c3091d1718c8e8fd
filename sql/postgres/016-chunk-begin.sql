-- When the chunk was taken to be read, the last time: null where it never was, or by an older release. ClickHouse may have answered its
-- insert at any time from here on.
alter table pg2click.chunk add column begun_at timestamptz;
