-- Who prepares or removes a table claims its row by raising `ddl_epoch`. Each step checks the epoch in its own transaction: an
-- attempt that wakes up late changes nothing that another attempt has made.
alter table pg2click.replicated_table add column if not exists ddl_epoch bigint not null default 0;
