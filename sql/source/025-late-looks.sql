drop function pg2click.advance_drain(bigint, bigint, jsonb, integer);

-- Deletes the events of the last confirmed batch where that was not done yet, and finds the next one: one transaction. It is the
-- source's half of pg2click.advance_outbox, whose comment explains the low-water, and why a call that finds nothing writes
-- nothing. What it finds is a batch only once the ledger has its name. The commit flushes every event that the name can see:
-- else a crash of this server could give their xids to others.
--
-- A caller may search a part of the outbox only, as there: the name that comes back in `p_delete` says after which seq.
--
-- P2C02: the outbox does not hold the events that the name counted.
-- P2C03: the drain is ahead of the ledger. P2C04: it is behind, by more than the batch to delete. P2C05: it is not there.
create function pg2click.advance_drain(
  p_table  bigint,
  p_batch  bigint,   -- the last confirmed batch
  p_delete jsonb,    -- its name, { first, last, snapshot, events, after }, where its events may still be there; else null
  p_limit  integer,  -- events to find at most; 0 only deletes
  p_after  bigint default null,  -- only events above it; null: above the low-water
  p_upto   bigint default null,  -- only events up to it; null: all
  out first_seq bigint,  -- null where nothing waits
  out last_seq bigint,
  out events bigint,
  out seen pg_snapshot,
  out last_drawn bigint,
  out low_water bigint,
  out after bigint  -- null where the search began at the low-water
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
  v_upto     bigint := coalesce(p_upto, 9223372036854775807);
  v_from_low boolean;
begin
  perform set_config('synchronous_commit', 'on', true), set_config('enable_seqscan', 'off', true);

  if p_delete is null then
    select * into v_drain from pg2click.drain d where d.table_id = p_table and d.batch = p_batch;
    if found then
      execute format('select case when is_called then last_value else 0 end from %s', pg_get_serial_sequence(v_outbox, 'seq'))
        into last_drawn;
      execute format(
        'select pg_current_snapshot(), (select seq from %s where seq > $1 and seq <= $2 order by seq limit 1)', v_outbox)
        into seen, first_seq
        using coalesce(p_after, v_drain.low_water), v_upto;
      if first_seq is null and (p_after > v_drain.low_water
                                or v_drain.candidate is null and last_drawn <= v_drain.low_water
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
    if coalesce((p_delete ->> 'after')::bigint, 0) <= v_drain.low_water
       and pg_snapshot_xmin((p_delete ->> 'snapshot')::pg_snapshot) >= v_drain.candidate_xid then
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
    v_from_low := p_after is null or p_after <= v_drain.low_water;
    execute format(
      'select pg_current_snapshot(), min(seq), max(seq), count(*)
       from (select seq from %s where seq > $1 and seq <= $3 order by seq limit $2) waiting', v_outbox)
      into seen, first_seq, last_seq, events
      using case when v_from_low then v_drain.low_water else p_after end, p_limit, v_upto;
    if not v_from_low then
      after := p_after;
    elsif first_seq is null and pg_snapshot_xmin(seen) >= v_drain.candidate_xid then
      v_drain.low_water := greatest(v_drain.low_water, least(v_drain.candidate, v_upto));
      if v_drain.candidate <= v_upto then
        v_drain.candidate := null;
        v_drain.candidate_xid := null;
      end if;
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
