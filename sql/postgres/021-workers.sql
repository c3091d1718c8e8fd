-- Which workers there are. A worker holds a session lock under the number of its row for as long as its process lives: a row whose lock
-- is free is of one that is gone, and what it ran is started elsewhere.

create table pg2click.worker (
  -- the second key of the lock; another one with every session that takes it
  id         integer generated always as identity primary key,
  -- as Temporal shows it, and unlike that of any other process
  name       text not null,
  -- a copy of this database is another one: its workers must not take the rows of these for those of theirs
  deployment text not null,
  since      timestamptz not null default now()
);

-- Who loads with a role of its own, as that of sql/roles/postgres-consumer.sql, is a worker too.
do $$
declare
  v_role regrole;
begin
  for v_role in
    select distinct acl.grantee::regrole from pg_class c, aclexplode(c.relacl) acl
    where c.oid = 'pg2click.stage'::regclass and acl.privilege_type = 'UPDATE' and acl.grantee <> c.relowner and acl.grantee <> 0
  loop
    execute format('grant select, insert, delete on pg2click.worker to %s', v_role);
  end loop;
end
$$;
