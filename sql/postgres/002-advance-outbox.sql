-- One round trip of the publish stage: confirm batch n (delete exactly the events that were read) and name batch n + 1.
--
-- Everything is one transaction, and each statement below takes a snapshot of its own (READ COMMITTED, volatile).
--
-- The low-water, below which nothing can appear any more: call i reads the sequence's last value L (the candidate). The
-- transaction of call i + 1 gets its xid X after that, so whoever drew a seq at or below L has an xid below X (the outbox
-- assigns the xid before it draws the seq). Once a snapshot's xmin has reached X they have all ended. The xmax of a
-- snapshot would not do in place of X: it is one past the newest transaction that has *completed*, and one still running
-- may have a higher xid.
--
-- A call that neither confirms nor finds anything new writes nothing: no row lock, no xid, no commit to flush. That is what a
-- table costs while positions are drawn that nobody can see yet, or ever: an open transaction, one rolled back, a copy.
--
-- P2C01: the stage belongs to another epoch, or the batch is not the pending one.
-- P2C02: the outbox does not hold the events that were read.
create or replace function pg2click.advance_outbox(
  p_replica bigint,
  p_epoch   bigint,
  p_confirm bigint,   -- number of the batch that was sent, null for none
  p_events  bigint,   -- outbox rows read for it
  p_rows    bigint,
  p_bytes   bigint,
  p_limit   integer,  -- events in the next batch at most; 0 names none
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
  v_stage    pg2click.stage;
  v_outbox   text := format('pg2click.%I', 'outbox_' || p_replica);
  v_sequence text;
  v_deleted  bigint;
  v_snapshot pg_snapshot;
  v_first    bigint;
  v_last     bigint;
begin
  -- Until the end of the transaction, not of the function: a SET clause would be undone before the commit. The plan must
  -- not depend on the statistics of a table that is always nearly empty.
  perform set_config('synchronous_commit', 'on', true), set_config('enable_seqscan', 'off', true);

  if p_confirm is null then
    select * into v_stage from pg2click.stage s
    where s.replica_id = p_replica and s.stage = 'publish' and s.epoch = p_epoch and s.pending is null;
    if found then
      v_sequence := pg_get_serial_sequence(v_outbox, 'seq');
      execute format('select case when is_called then last_value else 0 end from %s', v_sequence) into last_drawn;
      execute format(
        'select pg_current_snapshot(), (select seq from %s where seq > $1 order by seq limit 1)', v_outbox)
        into v_snapshot, v_first
        using v_stage.low_water;
      if v_first is null and (v_stage.candidate is null and last_drawn <= v_stage.low_water
                              or pg_snapshot_xmin(v_snapshot) < v_stage.candidate_xid) then
        batch := v_stage.batch;
        low_water := v_stage.low_water;
        return;
      end if;
    end if;
  end if;

  select * into v_stage from pg2click.stage s
  where s.replica_id = p_replica and s.stage = 'publish' and s.epoch = p_epoch
  for update;
  if not found then
    raise exception using errcode = 'P2C01', message = 'the publish stage was claimed by another attempt';
  end if;

  if v_stage.candidate is not null and v_stage.candidate_xid is null then
    v_stage.candidate_xid := pg_current_xact_id();
  end if;

  if p_confirm is not null then
    if v_stage.batch <> p_confirm - 1 or v_stage.pending is null then
      raise exception using errcode = 'P2C01', message = 'the batch is not the pending one';
    end if;
    execute format('delete from %s where seq between $1 and $2 and pg_visible_in_snapshot(xid, $3)', v_outbox)
      using (v_stage.pending ->> 'first')::bigint, (v_stage.pending ->> 'last')::bigint,
            (v_stage.pending ->> 'snapshot')::pg_snapshot;
    get diagnostics v_deleted = row_count;
    if v_deleted <> p_events then
      raise exception using errcode = 'P2C02',
        message = format('batch %s read %s events of the outbox and %s were there to delete', p_confirm, p_events, v_deleted);
    end if;
    v_stage.batch := p_confirm;
    v_stage.position := jsonb_build_object('last', v_stage.pending ->> 'last');
    v_stage.rows := v_stage.rows + p_rows;
    v_stage.bytes := v_stage.bytes + p_bytes;
    -- What the batch's snapshot saw up to its last event is gone now; where that snapshot also saw the end of every
    -- transaction of the candidate's time, nothing can appear below either.
    v_last := (v_stage.pending ->> 'last')::bigint;
    if pg_snapshot_xmin((v_stage.pending ->> 'snapshot')::pg_snapshot) >= v_stage.candidate_xid then
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
    execute format(
      'select pg_current_snapshot(), min(seq), max(seq)
       from (select seq from %s where seq > $1 order by seq limit $2) waiting', v_outbox)
      into v_snapshot, v_first, v_last
      using v_stage.low_water, p_limit;
    if v_first is not null then
      v_stage.pending := jsonb_build_object(
        'batch', v_stage.batch + 1, 'generation', (select generation from pg2click.replica where id = p_replica),
        'first', v_first::text, 'last', v_last::text, 'snapshot', v_snapshot::text);
    elsif pg_snapshot_xmin(v_snapshot) >= v_stage.candidate_xid then
      v_stage.low_water := greatest(v_stage.low_water, v_stage.candidate);
      v_stage.candidate := null;
      v_stage.candidate_xid := null;
    end if;
    if v_stage.candidate is null and last_drawn > v_stage.low_water then
      v_stage.candidate := last_drawn;
    end if;
  end if;

  update pg2click.stage s
  set batch = v_stage.batch, position = v_stage.position, pending = v_stage.pending, low_water = v_stage.low_water,
      candidate = v_stage.candidate, candidate_xid = v_stage.candidate_xid, rows = v_stage.rows,
      bytes = v_stage.bytes, updated_at = now()
  where s.replica_id = p_replica and s.stage = 'publish';
  batch := v_stage.batch;
  pending := v_stage.pending;
  low_water := v_stage.low_water;
end
$$;
