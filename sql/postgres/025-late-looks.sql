drop function pg2click.advance_outbox(bigint, text, bigint, jsonb, integer);

-- One round trip of a stage that drains an outbox: confirm batch n (delete exactly the events that were read) and name batch n + 1.
--
-- Everything is one transaction, and each statement below takes a snapshot of its own (READ COMMITTED, volatile).
--
-- The low-water is the seq below which nothing can appear any more. Call i reads the sequence's last value L (the candidate). The
-- transaction of call i + 1 gets its xid X after that. Every transaction that took a seq at or below L has an xid below X, because
-- the outbox assigns the xid before the seq. Once a snapshot's xmin has reached X, all of them have ended. The xmax of a snapshot
-- would not do in place of X: it is one past the newest transaction that has *completed*, and one still running may have a higher
-- xid.
--
-- A call that neither confirms nor finds anything new writes nothing: no row lock, no xid, no commit to flush. A table makes such
-- calls while some seq is taken that is not visible yet (an open transaction), or never will be (a rollback, a copy).
--
-- While a transaction stays open anywhere, the low-water stands, and VACUUM removes none of the events that were deleted since: a
-- search from the low-water passes all of them. So a caller may search a part of the outbox only. What was named in such a search
-- raises the low-water as far as it began there.
--
-- P2C01: the stage belongs to another epoch, or the batch is not the pending one.
-- P2C02: the outbox does not hold the events that were read.
create or replace function pg2click.advance_outbox(
  p_table   bigint,
  p_stage   text,
  p_epoch   bigint,
  -- the batch that was moved, null for none: { batch, events (outbox rows read for it), rows, bytes, proof }
  p_confirm jsonb,
  p_limit   integer,  -- events in the next batch at most; 0 names none
  p_after   bigint default null,  -- only events above it; null: above the low-water
  p_upto    bigint default null,  -- only events up to it; null: all
  out batch bigint,   -- the last confirmed batch
  out pending jsonb,  -- name of the next one, null when nothing waits
  out last_drawn bigint,
  out low_water bigint
)
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_batch    bigint := (p_confirm ->> 'batch')::bigint;
  v_events   bigint := (p_confirm ->> 'events')::bigint;
  v_stage    pg2click.stage;
  v_outbox   text := format('pg2click.%I', 'outbox_' || p_table);
  v_table    pg2click.replicated_table;
  v_sequence text;
  v_deleted  bigint;
  v_snapshot pg_snapshot;
  v_first    bigint;
  v_last     bigint;
  v_upto     bigint := coalesce(p_upto, 9223372036854775807);
  v_from_low boolean;
begin
  -- Until the end of the transaction, not of the function: a SET clause would be undone before the commit. The plan must
  -- not depend on the statistics of a table that is always nearly empty.
  perform set_config('synchronous_commit', 'on', true), set_config('enable_seqscan', 'off', true);

  if v_batch is null then
    select * into v_stage from pg2click.stage s
    where s.table_id = p_table and s.stage = p_stage and s.epoch = p_epoch and s.pending is null;
    if found then
      v_sequence := pg_get_serial_sequence(v_outbox, 'seq');
      execute format('select case when is_called then last_value else 0 end from %s', v_sequence) into last_drawn;
      execute format(
        'select pg_current_snapshot(), (select seq from %s where seq > $1 and seq <= $2 order by seq limit 1)', v_outbox)
        into v_snapshot, v_first
        using coalesce(p_after, v_stage.low_water), v_upto;
      if v_first is null and (p_after > v_stage.low_water
                              or v_stage.candidate is null and last_drawn <= v_stage.low_water
                              or pg_snapshot_xmin(v_snapshot) < v_stage.candidate_xid) then
        batch := v_stage.batch;
        low_water := v_stage.low_water;
        return;
      end if;
    end if;
  end if;

  select * into v_stage from pg2click.stage s
  where s.table_id = p_table and s.stage = p_stage and s.epoch = p_epoch
  for update;
  if not found then
    raise exception using errcode = 'P2C01', message = 'the stage was claimed by another attempt';
  end if;

  if v_stage.candidate is not null and v_stage.candidate_xid is null then
    v_stage.candidate_xid := pg_current_xact_id();
  end if;

  if v_batch is not null then
    if v_stage.batch <> v_batch - 1 or v_stage.pending is null then
      raise exception using errcode = 'P2C01', message = 'the batch is not the pending one';
    end if;
    execute format('delete from %s where seq between $1 and $2 and pg_visible_in_snapshot(xid, $3)', v_outbox)
      using (v_stage.pending ->> 'first')::bigint, (v_stage.pending ->> 'last')::bigint,
            (v_stage.pending ->> 'snapshot')::pg_snapshot;
    get diagnostics v_deleted = row_count;
    if v_deleted <> v_events then
      raise exception using errcode = 'P2C02',
        message = format('batch %s read %s events of the outbox and %s were there to delete', v_batch, v_events, v_deleted);
    end if;
    v_stage.batch := v_batch;
    -- Events that came late may be those of a lower seq.
    v_stage.position := jsonb_build_object('last', greatest((v_stage.position ->> 'last')::bigint, (v_stage.pending ->> 'last')::bigint)::text);
    v_stage.rows := v_stage.rows + (p_confirm ->> 'rows')::bigint;
    v_stage.bytes := v_stage.bytes + (p_confirm ->> 'bytes')::bigint;
    v_stage.proof := nullif(p_confirm -> 'proof', 'null'::jsonb);
    -- What the batch's snapshot saw up to its last event is gone now; where that snapshot also saw the end of every
    -- transaction of the candidate's time, nothing can appear below either.
    v_last := (v_stage.pending ->> 'last')::bigint;
    if coalesce((v_stage.pending ->> 'after')::bigint, 0) <= v_stage.low_water
       and pg_snapshot_xmin((v_stage.pending ->> 'snapshot')::pg_snapshot) >= v_stage.candidate_xid then
      v_stage.low_water := greatest(v_stage.low_water, least(v_stage.candidate, v_last));
      if v_last >= v_stage.candidate then
        v_stage.candidate := null;
        v_stage.candidate_xid := null;
      end if;
    end if;
    v_stage.pending := null;
  elsif v_stage.pending is not null then
    batch := v_stage.batch;
    pending := v_stage.pending;
    low_water := v_stage.low_water;
    return;
  end if;

  v_sequence := pg_get_serial_sequence(v_outbox, 'seq');
  execute format('select case when is_called then last_value else 0 end from %s', v_sequence) into last_drawn;

  if p_limit > 0 then
    v_from_low := p_after is null or p_after <= v_stage.low_water;
    execute format(
      'select pg_current_snapshot(), min(seq), max(seq)
       from (select seq from %s where seq > $1 and seq <= $3 order by seq limit $2) waiting', v_outbox)
      into v_snapshot, v_first, v_last
      using case when v_from_low then v_stage.low_water else p_after end, p_limit, v_upto;
    if v_first is not null then
      select * into v_table from pg2click.replicated_table t where t.id = p_table;
      v_stage.pending := jsonb_build_object(
        'batch', v_stage.batch + 1, 'generation', v_table.generation, 'shape', v_table.shape,
        'first', v_first::text, 'last', v_last::text, 'snapshot', v_snapshot::text)
        || case when v_from_low then '{}'::jsonb else jsonb_build_object('after', p_after::text) end;
    elsif v_from_low and pg_snapshot_xmin(v_snapshot) >= v_stage.candidate_xid then
      v_stage.low_water := greatest(v_stage.low_water, least(v_stage.candidate, v_upto));
      if v_stage.candidate <= v_upto then
        v_stage.candidate := null;
        v_stage.candidate_xid := null;
      end if;
    end if;
    if v_stage.candidate is null and last_drawn > v_stage.low_water then
      v_stage.candidate := last_drawn;
    end if;
  end if;

  update pg2click.stage s
  set batch = v_stage.batch, position = v_stage.position, pending = v_stage.pending, low_water = v_stage.low_water,
      candidate = v_stage.candidate, candidate_xid = v_stage.candidate_xid, rows = v_stage.rows,
      bytes = v_stage.bytes, proof = v_stage.proof, updated_at = now()
  where s.table_id = p_table and s.stage = p_stage;
  batch := v_stage.batch;
  pending := v_stage.pending;
  low_water := v_stage.low_water;
end
$$;
