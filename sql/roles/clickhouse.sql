-- The user that pg2click connects to ClickHouse as (CH_USER), with no more rights than it needs in the database of its targets
-- (CH_DB). Put the names and a password in, and run it once as a user who may manage access:
--
--   clickhouse-client --multiquery < clickhouse.sql

create database if not exists analytics;

create user if not exists pg2click identified with sha256_password by 'a password of your own';

-- SELECT: how far a target is, and the view <table>_current. INSERT: rows and floors. ALTER DELETE: rows below a TRUNCATE.
-- ALTER MODIFY COMMENT: to mark targets of an older release as those of this deployment.
grant select, insert, alter delete, alter modify comment on analytics.* to pg2click;

-- To find the rows that are refused: INSERT INTO FUNCTION null(..) reads rows and writes nothing, and takes this right. Without it a
-- table parks at the first such row.
grant create temporary table on *.* to pg2click;

-- For "add" with --order-by, --partition-by, --ttl or --codec: ClickHouse tries them on an empty temporary table.
grant create arbitrary temporary table on *.* to pg2click;

-- For "add": the target, its floor, its view, and to replace the view when it changes.
grant create table, create view, drop view on analytics.* to pg2click;

-- To follow changes of the source's columns: its target gets columns and wider types, and a marker in the same statement.
grant alter add column, alter modify column, alter add constraint on analytics.* to pg2click;

-- For "remove --drop-target", and for "resync", which makes a second table, exchanges the two and drops the old one.
grant drop table on analytics.* to pg2click;

-- To insert less often while a target has many parts, and to notice parts that were lost: by somebody's DELETE, or without one.
-- It sees only what belongs to tables that it may read.
grant select on system.parts to pg2click;
grant select on system.mutations to pg2click;
-- Of targets with replicas: whether the one that answers is behind, before anything is called lost.
grant select on system.replicas to pg2click;

-- For "--loader kafka-engine" alone: its Kafka table, how its consumers are, and to take its objects away when the table is removed
-- or its columns change.
grant kafka on *.* to pg2click;
grant select on system.kafka_consumers to pg2click;
grant drop table on analytics.* to pg2click;

-- For targets with --engine merge-tree: to wait for older inserts before a batch is repeated. KILL QUERY ends those of a frozen
-- worker sooner; without it they end by themselves, after 30 s.
grant select on system.processes to pg2click;
-- grant kill query on *.* to pg2click;
