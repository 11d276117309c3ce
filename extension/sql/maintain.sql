-- Ticks: what somebody must do from time to time — the background worker, pg_cron, or a client. Each is bounded, waits for nobody, and
-- returns the rows that it changed; 1000 or more mean that it should be called again at once.

CREATE OR REPLACE FUNCTION dbos_sys.delayed_tick()
RETURNS integer
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET dbos_sys.quiet = on
SET enable_seqscan = off
SET jit = off
AS $$
DECLARE
  v_now bigint := dbos_sys.now_ms();
  v_ids text[];
BEGIN
  PERFORM dbos_sys.hold_pauses();
  v_ids := ARRAY(
    SELECT w.workflow_uuid FROM dbos.workflow_status AS w
    WHERE w.status = 'DELAYED' AND w.delay_until_epoch_ms <= v_now
    ORDER BY w.delay_until_epoch_ms LIMIT 1000 FOR NO KEY UPDATE SKIP LOCKED);
  IF v_ids = '{}' THEN
    RETURN 0;
  END IF;
  UPDATE dbos.workflow_status AS w
  SET status = 'ENQUEUED', deduplication_id = CASE WHEN w.is_debounced THEN NULL ELSE w.deduplication_id END, updated_at = v_now
  WHERE w.workflow_uuid = ANY (v_ids);
  PERFORM dbos_sys.wake(true, false);
  RETURN cardinality(v_ids);
END;
$$;
COMMENT ON FUNCTION dbos_sys.delayed_tick() IS 'Enqueues up to 1000 delayed workflows that are due; returns how many. Keeps paused queues paused.';

CREATE OR REPLACE FUNCTION dbos_sys.deadline_tick()
RETURNS integer
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET jit = off
AS $$
DECLARE
  v_now bigint := dbos_sys.now_ms();
BEGIN
  RETURN dbos_sys.cancel_rows(ARRAY(
    SELECT w.workflow_uuid FROM dbos.workflow_status AS w
    WHERE w.status IN ('ENQUEUED', 'PENDING', 'DELAYED') AND w.workflow_deadline_epoch_ms <= v_now
    ORDER BY w.workflow_deadline_epoch_ms LIMIT 1000 FOR NO KEY UPDATE SKIP LOCKED));
END;
$$;
COMMENT ON FUNCTION dbos_sys.deadline_tick() IS 'Cancels up to 1000 workflows whose deadline has passed; returns how many.';

-- Notes the tick. After a server start, a promotion (another server) or a gap every lease looks expired, so nobody seen before `hold_from`
-- is declared dead until `hold_until`: the longest lease and the longest pause between a client's reconnects from then. Ticks that come seldom, but
-- regularly, are no gap: after each of them everybody would be waited for again, and nobody ever recovered. Nor is it one when only the ticks failed,
-- as when the client that ticked has died; but what was suspected before it is suspected anew then (`anew`), for it was not looked at meanwhile.
-- `unseen`: the server may have stood still since the last tick, for all that is known; a usual pause hides that.
CREATE OR REPLACE FUNCTION dbos_sys.note_tick(p_now bigint, OUT hold_from bigint, OUT hold_until bigint, OUT anew boolean, OUT unseen boolean)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  v_start timestamptz := dbos_sys.server_start();
  v_pause bigint := p_now - dbos_sys.ticked_until(p_now);
  v_gone boolean := COALESCE(v_pause > GREATEST(dbos_sys.heartbeat_gap(), 2 * dbos_sys.tick_pause()), false);
  -- A server that starts within a usual pause, and a minute, has made nobody miss a tick.
  v_steady boolean := COALESCE(v_pause <= CASE WHEN v_start = (SELECT t.server_start FROM dbos_ops.ticker AS t) THEN dbos_sys.longest_pause()
    ELSE dbos_sys.tick_pause() + 60000 END, false);
BEGIN
  unseen := COALESCE(v_pause > dbos_sys.heartbeat_gap(), false) AND NOT dbos_sys.only_ticks_failed(p_now - v_pause, p_now);
  anew := v_gone AND NOT unseen;
  v_gone := v_gone AND unseen;
  INSERT INTO dbos_ops.ticker AS t (one, last_tick, ticked_by, hold_from, hold_until, server_start, steady_since)
  VALUES (true, p_now, current_setting('application_name'), 0, 0, v_start, p_now)
  ON CONFLICT (one) DO UPDATE
  SET steady_since = CASE WHEN v_steady THEN COALESCE(t.steady_since, p_now) ELSE p_now END, last_tick = p_now, next_tick = NULL, ticked_by = EXCLUDED.ticked_by, server_start = v_start,
    -- A pause that only the death of who ticked has made is no usual one; one of who ticks is, when the next is like it.
    pause_ms = CASE WHEN anew AND t.ticked_by <> EXCLUDED.ticked_by THEN t.pause_ms ELSE v_pause END,
    pause_before_ms = CASE WHEN NOT anew THEN t.pause_ms WHEN t.ticked_by <> EXCLUDED.ticked_by THEN t.pause_before_ms ELSE COALESCE(t.pause_ms, 0) END,
    hold_from = CASE WHEN t.server_start <> v_start OR v_gone THEN p_now ELSE t.hold_from END,
    hold_until = CASE WHEN t.server_start <> v_start OR v_gone
      THEN p_now + dbos_sys.setting_ms('reconnect_backoff', '90s')
        + COALESCE((SELECT max(e.lease_ms) FROM dbos_ops.executors AS e WHERE e.ended_at IS NULL), 0)
      ELSE t.hold_until END
  RETURNING t.hold_from, t.hold_until INTO hold_from, hold_until;
END;
$$;

-- Judges one executor, whose row the caller has locked; returns the runs put back. A lease that ended unseen makes a suspect: the next tick decides.
CREATE OR REPLACE FUNCTION dbos_sys.judge_executor(
  p_application text, p_executor text, p_now bigint, p_hold_from bigint, p_hold_until bigint, p_anew boolean, p_unseen boolean)
RETURNS integer
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  v_executor record;
  v_here boolean;
  v_silent boolean;
  v_suspect_since bigint;
  v_why text;
  v_fenced boolean;
  v_rows integer;
BEGIN
  SELECT e.* INTO v_executor FROM dbos_ops.executors AS e WHERE e.application_name = p_application AND e.executor_id = p_executor;
  IF v_executor.ended_at IS NULL THEN
    v_here := dbos_sys.has_session(v_executor.incarnation);
    v_silent := v_executor.last_seen + v_executor.lease_ms <= p_now;
    v_suspect_since := CASE WHEN NOT p_anew THEN v_executor.suspect_since END;
    v_why := CASE
      WHEN p_now < p_hold_until AND v_executor.last_seen <= p_hold_from THEN NULL
      WHEN v_silent AND NOT (p_unseen AND v_suspect_since IS NULL) THEN 'lease over'
      WHEN NOT v_here AND v_suspect_since + dbos_sys.setting_ms('grace', '2s') <= p_now THEN 'sessions gone' END;
    IF v_here AND NOT (p_unseen AND v_silent) AND (NOT v_executor.sessions OR v_executor.suspect_since IS NOT NULL) THEN
      UPDATE dbos_ops.executors AS e SET sessions = true, suspect_since = NULL WHERE e.application_name = p_application AND e.executor_id = p_executor;
    ELSIF ((NOT v_here AND v_executor.sessions) OR (p_unseen AND v_silent)) AND v_suspect_since IS NULL THEN
      UPDATE dbos_ops.executors AS e SET suspect_since = p_now WHERE e.application_name = p_application AND e.executor_id = p_executor;
    END IF;
    -- A start or claim that is still under way keeps its executor for this tick.
    IF v_why IS NULL OR NOT pg_try_advisory_xact_lock(dbos_sys.executor_key(p_application, p_executor)) THEN
      RETURN 0;
    END IF;
    UPDATE dbos_ops.executors AS e SET ended_at = p_now, ended_why = v_why, suspect_since = COALESCE(e.suspect_since, p_now)
    WHERE e.application_name = p_application AND e.executor_id = p_executor;
  END IF;
  -- Who only sends heartbeats may be on an SDK that does not refuse the writes of a run that was taken from it.
  v_fenced := v_executor.incarnation = '' AND NOT v_executor.accept_unfenced;
  v_rows := dbos_sys.requeue(ARRAY(
    SELECT w.workflow_uuid FROM dbos.workflow_status AS w
    WHERE w.status = 'PENDING' AND w.executor_id = p_executor AND COALESCE(w.application_name, '') = p_application
      AND NOT (v_fenced AND dbos_sys.is_unfenced(w.owner_xid, w.creator_xid, w.queue_name))
    LIMIT 5000 FOR NO KEY UPDATE SKIP LOCKED), false);
  IF NOT EXISTS (
    SELECT FROM dbos.workflow_status AS w
    WHERE w.status = 'PENDING' AND w.executor_id = p_executor AND COALESCE(w.application_name, '') = p_application
      AND NOT (v_fenced AND dbos_sys.is_unfenced(w.owner_xid, w.creator_xid, w.queue_name))) THEN
    UPDATE dbos_ops.executors AS e SET suspect_since = NULL WHERE e.application_name = p_application AND e.executor_id = p_executor;
  END IF;
  RETURN v_rows;
END;
$$;

-- Ends sessions of executors that have kept a transaction open and waited for their client for longer than the lease: the connection broke in
-- the middle, nobody will send the COMMIT, and the locks would stay until TCP gives up. Only sessions that the caller may end.
CREATE OR REPLACE FUNCTION dbos_sys.end_stuck_sessions()
RETURNS integer
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  v_me_super boolean := (SELECT r.rolsuper FROM pg_roles AS r WHERE r.rolname = current_user);
BEGIN
  RETURN (
    SELECT count(pg_terminate_backend(a.pid))
    FROM pg_stat_activity AS a
    JOIN pg_roles AS r ON r.oid = a.usesysid
    JOIN dbos_ops.executors AS e ON e.incarnation <> '' AND starts_with(a.application_name, left('dbos_sys/' || e.incarnation, 63))
    WHERE a.datid = (SELECT d.oid FROM pg_database AS d WHERE d.datname = current_database())
      AND a.wait_event_type = 'Client' AND a.xact_start < clock_timestamp() - e.lease_ms * interval '1 millisecond'
      AND a.state_change < clock_timestamp() - e.lease_ms * interval '1 millisecond'
      AND (v_me_super OR (NOT r.rolsuper AND (pg_has_role(a.usesysid, 'USAGE') OR pg_has_role('pg_signal_backend', 'USAGE')))));
END;
$$;

CREATE OR REPLACE FUNCTION dbos_sys.recover_tick()
RETURNS integer
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  v_now bigint := dbos_sys.now_ms();
  v_hold record;
  v_executor record;
  v_rows integer := 0;
BEGIN
  PERFORM dbos_sys.check_isolation();
  IF NOT pg_try_advisory_xact_lock(hashtextextended('dbos_sys.recover_tick', 0)) THEN
    RETURN 0;
  END IF;
  SELECT n.hold_from, n.hold_until, n.anew, n.unseen INTO v_hold FROM dbos_sys.note_tick(v_now) AS n;
  PERFORM pg_stat_clear_snapshot();
  -- First, for the rows that they have locked hide their executor from the loop.
  PERFORM dbos_sys.end_stuck_sessions();
  -- A heartbeat that is under way has its row locked: that is a sign of life.
  FOR v_executor IN
    SELECT e.application_name, e.executor_id FROM dbos_ops.executors AS e
    WHERE e.ended_at IS NULL OR e.suspect_since IS NOT NULL FOR UPDATE SKIP LOCKED
  LOOP
    v_rows := v_rows + dbos_sys.judge_executor(v_executor.application_name, v_executor.executor_id, v_now, v_hold.hold_from, v_hold.hold_until, v_hold.anew,
      v_hold.unseen);
  END LOOP;
  -- Only where there are some: a statement that may write the table has the worker look again.
  IF EXISTS (SELECT FROM dbos_ops.executors AS e WHERE e.ended_at < v_now - 604800000 AND e.suspect_since IS NULL) THEN
    DELETE FROM dbos_ops.executors AS e WHERE e.ended_at < v_now - 604800000 AND e.suspect_since IS NULL;
  END IF;
  RETURN v_rows;
END;
$$;
COMMENT ON FUNCTION dbos_sys.recover_tick() IS
'Enqueues again what dead executors have PENDING; returns how many. Dead: no session of the incarnation for dbos_sys.grace after one was seen, or
no heartbeat for its lease and, where nobody ticked for five tick intervals (5 s at least), none by the next tick either. After a server start, a promotion, or more than five tick intervals (5 s at least), and twice the usual pause, without a
tick, executors that have not been seen since are left alone for the longest lease and dbos_sys.reconnect_backoff; a rest of the background worker
does not count, nor does a gap in which an executor''s heartbeats went on while nothing was watched; pg_stat_reset_shared(''archiver'') counts as a server start. Ended executors are forgotten after a week.';

CREATE OR REPLACE FUNCTION dbos_sys.maintain()
RETURNS TABLE (tick text, rows integer)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  v_tick text;
  v_failed integer := 0;
  v_ticks CONSTANT text[] := ARRAY['delayed', 'deadline', 'recover', 'watch', 'schedule', 'prune'];
BEGIN
  PERFORM dbos_sys.check_isolation();
  FOREACH v_tick IN ARRAY v_ticks LOOP
    -- One tick's trouble is not the others'.
    BEGIN
      rows := CASE v_tick
        WHEN 'delayed' THEN dbos_sys.delayed_tick()
        WHEN 'deadline' THEN dbos_sys.deadline_tick()
        WHEN 'recover' THEN dbos_sys.recover_tick()
        WHEN 'watch' THEN dbos_sys.watch_tick()
        WHEN 'schedule' THEN dbos_sys.schedule_tick()
        WHEN 'prune' THEN dbos_sys.prune_tick() END;
    EXCEPTION WHEN OTHERS THEN
      v_failed := v_failed + 1;
      IF v_failed = cardinality(v_ticks) THEN
        RAISE;
      END IF;
      RAISE WARNING 'tick % failed: %', v_tick, SQLERRM USING ERRCODE = SQLSTATE;
      rows := NULL;
    END;
    tick := v_tick;
    RETURN NEXT;
  END LOOP;
END;
$$;
COMMENT ON FUNCTION dbos_sys.maintain() IS
'Every tick once, with the rows that each changed; NULL where one failed, which a WARNING tells (an error, when all failed): for pg_cron or a client where no background worker runs. Call it
regularly, each second to each five minutes: who is dead is recovered with the second call after, and an unusual gap counts as downtime, which puts
that off. A schedule fires with the next call after its time.';
