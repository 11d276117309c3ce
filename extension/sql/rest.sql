-- Rest: until when the background worker has nothing to do, unless somebody writes one of the tables that it is told of (src/wakeup.c has the
-- list). What becomes due by the passing of time, or by something that is not written, has its term in idle_ms().

CREATE OR REPLACE FUNCTION dbos_sys.idle_ms()
RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET jit = off
AS $$
DECLARE
  v_now bigint := dbos_sys.now_ms();
  v_interval bigint := dbos_sys.setting_ms('tick_interval', '1s');
  v_due bigint;
BEGIN
  v_due := LEAST(
    -- delayed_tick: the next delay that is over, and pauses that somebody wrote over.
    (SELECT w.delay_until_epoch_ms FROM dbos.workflow_status AS w
     WHERE w.status = 'DELAYED' AND w.delay_until_epoch_ms IS NOT NULL ORDER BY w.delay_until_epoch_ms LIMIT 1),
    CASE WHEN EXISTS (
           SELECT FROM dbos_ops.queue_settings AS s JOIN dbos.queues AS q ON q.name = s.queue_name AND q.queue_id = s.queue_id
           WHERE s.paused AND q.concurrency IS DISTINCT FROM 0) THEN v_now + v_interval END,
    -- deadline_tick: the next deadline.
    (SELECT w.workflow_deadline_epoch_ms FROM dbos.workflow_status AS w
     WHERE w.status IN ('ENQUEUED', 'PENDING', 'DELAYED') AND w.workflow_deadline_epoch_ms IS NOT NULL ORDER BY w.workflow_deadline_epoch_ms LIMIT 1),
    -- recover_tick and watch_tick: sessions end without a word.
    CASE WHEN EXISTS (SELECT FROM dbos_ops.executors AS e WHERE e.ended_at IS NULL OR e.suspect_since IS NOT NULL)
           OR EXISTS (SELECT FROM dbos_ops.watches) THEN v_now + v_interval END,
    dbos_sys.schedule_due(),
    dbos_sys.prune_due());
  -- What is late was left by the tick, for somebody has it locked.
  RETURN CASE WHEN v_due <= v_now - v_interval THEN v_interval WHEN v_due <= v_now THEN 0 ELSE v_due - v_now END;
END;
$$;
COMMENT ON FUNCTION dbos_sys.idle_ms() IS
'How long from now, in ms, no tick has anything to do unless somebody writes: until the next delay, deadline, schedule or round of
retention, dbos_sys.tick_interval while executors or watches are there, whose sessions are looked at. NULL: nothing is known to become due.';

-- The worker's last call of a round: may it rest, and how long. Others learn of it (ticked_until), for no tick comes meanwhile. A minute at most: rows
-- that come by COPY, two-phase commit or replication are told to nobody, clocks are set, machines sleep.
CREATE OR REPLACE FUNCTION dbos_sys.rest_tick()
RETURNS integer
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  v_ms integer := LEAST(COALESCE(dbos_sys.idle_ms(), 60000), 60000);
BEGIN
  -- Who ticks beside it ends no rest, and is not waited for.
  IF v_ms > dbos_sys.setting_ms('tick_interval', '1s') AND pg_try_advisory_xact_lock(hashtextextended('dbos_sys.recover_tick', 0)) THEN
    UPDATE dbos_ops.ticker AS t SET next_tick = dbos_sys.now_ms() + v_ms;
  END IF;
  RETURN v_ms;
END;
$$;
COMMENT ON FUNCTION dbos_sys.rest_tick() IS
'For the background worker, which is woken when tables that matter are written: notes that it rests, and returns how long, in ms (idle_ms(), a minute
at most). Who is not woken ticks each dbos_sys.tick_interval.';
