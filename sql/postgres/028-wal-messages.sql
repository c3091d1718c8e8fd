-- Where logical messages of this database go (PG2CLICK_WAL_MESSAGES_TOPIC): a worker without the setting sends them there too.
alter table pg2click.wal_reader add column if not exists messages_topic text;
