-- What a source database needs for its outboxes when the ledger lies in another database.

-- The ledger whose outboxes are here: `pg2click.ledger.id` there.
create table pg2click.bound_ledger (
  one boolean primary key default true check (one),
  id  uuid not null
);

-- One row for each outbox: how far it was drained. The ledger confirms a batch first, its events are deleted afterwards: `batch`
-- says whether that was done, also when the ledger or this database was restored from a backup.
create table pg2click.drain (
  table_id      bigint primary key,
  -- the last batch whose events were deleted
  batch         bigint not null default 0,
  -- as in pg2click.stage of a ledger; they are kept here because an xid of another server says nothing of this one
  low_water     bigint not null default 0,
  candidate     bigint,
  candidate_xid xid8
) with (fillfactor = 20, autovacuum_vacuum_threshold = 500, autovacuum_vacuum_scale_factor = 0);

-- Deletes the events of the last confirmed batch where that was not done yet, and finds the next one: one transaction. It is the
-- source's half of pg2click.advance_outbox, whose comment explains the low-water, and why a call that finds nothing writes
-- nothing. What it finds is a batch only once the ledger has its name. The commit flushes every event that the name can see:
-- else a crash of this server could give their xids to others.
--
-- P2C02: the outbox does not hold the events that the name counted.
-- P2C03: the drain is ahead of the ledger. P2C04: it is behind, by more than the batch to delete. P2C05: it is not there.
create function pg2click.advance_drain(
  p_table  bigint,
  p_batch  bigint,   -- the last confirmed batch
  p_delete jsonb,    -- its name, { first, last, snapshot, events }, where its events may still be there; else null
  p_limit  integer,  -- events to find at most; 0 only deletes
  out first_seq bigint,  -- null where nothing waits
  out last_seq bigint,
  out events bigint,
  out seen pg_snapshot,
  out last_drawn bigint,
  out low_water bigint
)
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_drain    pg2click.drain;
  v_outbox   text := format('pg2click.%I', 'outbox_' || p_table);
  v_deleted  bigint;
  v_last     bigint;
begin
  perform set_config('synchronous_commit', 'on', true), set_config('enable_seqscan', 'off', true);

  if p_delete is null then
    select * into v_drain from pg2click.drain d where d.table_id = p_table and d.batch = p_batch;
    if found then
      execute format('select case when is_called then last_value else 0 end from %s', pg_get_serial_sequence(v_outbox, 'seq'))
        into last_drawn;
      execute format(
        'select pg_current_snapshot(), (select seq from %s where seq > $1 order by seq limit 1)', v_outbox)
        into seen, first_seq
        using v_drain.low_water;
      if first_seq is null and (v_drain.candidate is null and last_drawn <= v_drain.low_water
                                or pg_snapshot_xmin(seen) < v_drain.candidate_xid) then
        low_water := v_drain.low_water;
        return;
      end if;
      first_seq := null;
    end if;
  end if;

  select * into v_drain from pg2click.drain d where d.table_id = p_table for update;
  if not found then
    raise exception using errcode = 'P2C05', message = 'the outbox has no row in pg2click.drain';
  end if;

  if v_drain.candidate is not null and v_drain.candidate_xid is null then
    v_drain.candidate_xid := pg_current_xact_id();
  end if;

  if p_delete is not null and v_drain.batch = p_batch - 1 then
    v_last := (p_delete ->> 'last')::bigint;
    execute format('delete from %s where seq between $1 and $2 and pg_visible_in_snapshot(xid, $3)', v_outbox)
      using (p_delete ->> 'first')::bigint, v_last, (p_delete ->> 'snapshot')::pg_snapshot;
    get diagnostics v_deleted = row_count;
    if v_deleted <> (p_delete ->> 'events')::bigint then
      raise exception using errcode = 'P2C02',
        message = format('batch %s has %s events by its name and %s were there to delete', p_batch, p_delete ->> 'events', v_deleted);
    end if;
    v_drain.batch := p_batch;
    if pg_snapshot_xmin((p_delete ->> 'snapshot')::pg_snapshot) >= v_drain.candidate_xid then
      v_drain.low_water := greatest(v_drain.low_water, least(v_drain.candidate, v_last));
      if v_last >= v_drain.candidate then
        v_drain.candidate := null;
        v_drain.candidate_xid := null;
      end if;
    end if;
  end if;
  if v_drain.batch <> p_batch then
    raise exception using errcode = case when v_drain.batch > p_batch then 'P2C03' else 'P2C04' end,
      message = format('the outbox is drained up to batch %s, and the ledger says %s', v_drain.batch, p_batch);
  end if;

  execute format('select case when is_called then last_value else 0 end from %s', pg_get_serial_sequence(v_outbox, 'seq'))
    into last_drawn;

  if p_limit > 0 then
    execute format(
      'select pg_current_snapshot(), min(seq), max(seq), count(*)
       from (select seq from %s where seq > $1 order by seq limit $2) waiting', v_outbox)
      into seen, first_seq, last_seq, events
      using v_drain.low_water, p_limit;
    if first_seq is null and pg_snapshot_xmin(seen) >= v_drain.candidate_xid then
      v_drain.low_water := greatest(v_drain.low_water, v_drain.candidate);
      v_drain.candidate := null;
      v_drain.candidate_xid := null;
    end if;
    if v_drain.candidate is null and last_drawn > v_drain.low_water then
      v_drain.candidate := last_drawn;
    end if;
  end if;

  update pg2click.drain d
  set batch = v_drain.batch, low_water = v_drain.low_water, candidate = v_drain.candidate, candidate_xid = v_drain.candidate_xid
  where d.table_id = p_table;
  low_water := v_drain.low_water;
end
$$;
