-- Rounds of pruning. A round has sources: timeouts, each policy, ended workflows without a time, orphans. A source's mark (dbos_ops.prune_marks)
-- says how far it has been looked through, to which goal this round goes, and whether it is there: so a batch never walks over what the ones
-- before it deleted, and a round that was broken off goes on where it stood. What had to be passed over (locked, awaited) is found when the
-- marks go back to the start: once an hour for workflows, once a day for the rest.
-- Whoever prunes does batch after batch in a transaction of its own: the procedure prune() and the ticks. One runs at a time. The lock, held by
-- a batch until it commits, is the one that upstream's own retention takes; between its batches a procedure is known by dbos_ops.pruner.runner.

-- Before prune() asks for a transaction that writes.
CREATE OR REPLACE FUNCTION dbos_sys.check_prune()
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  PERFORM dbos_sys.check_retention_tables();
  PERFORM dbos_sys.check_primary('prune');
END;
$$;

-- The lock of a batch, to the end of the transaction: false when another has it, changes policies, or runs a procedure whose session lives. Nobody is
-- waited for, then or later: the row of the pruner is locked too.
CREATE OR REPLACE FUNCTION dbos_sys.prune_lock(p_now bigint)
RETURNS boolean
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  IF NOT pg_try_advisory_xact_lock(('x' || encode(substr(sha256('dbos.retention.dbos'), 1, 8), 'hex'))::bit(64)::bigint) THEN
    RETURN false;
  END IF;
  -- ON CONFLICT waits for whoever has changed the row.
  INSERT INTO dbos_ops.pruner AS r (one) SELECT true WHERE NOT EXISTS (SELECT FROM dbos_ops.pruner AS o) ON CONFLICT (one) DO NOTHING;
  PERFORM FROM dbos_ops.pruner AS r FOR NO KEY UPDATE SKIP LOCKED;
  RETURN FOUND AND NOT EXISTS (
    SELECT FROM dbos_ops.pruner AS r
    WHERE r.runner <> pg_backend_pid() AND r.runner_until > p_now AND EXISTS (SELECT FROM pg_stat_activity AS a WHERE a.pid = r.runner));
END;
$$;

-- Up to which completion time a policy's workflows may go; NULL: none.
CREATE OR REPLACE FUNCTION dbos_sys.prune_goal(p_policy text, p_now bigint)
RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_custom_plan
AS $$
DECLARE
  v_policy record;
  v_newest bigint[];
BEGIN
  SELECT p.* INTO v_policy FROM dbos_ops.retention_policies AS p WHERE p.id = p_policy;
  IF v_policy.keep_rows = 0 THEN
    RETURN p_now;
  ELSIF v_policy.keep_rows > 0 THEN
    -- The last that stays and the first that goes; when both ended in one millisecond, both stay.
    v_newest := ARRAY(
      SELECT w.completed_at FROM dbos.workflow_status AS w
      WHERE w.completed_at IS NOT NULL AND (v_policy.workflow IN ('', w.name) OR w.name LIKE v_policy.workflow_like)
        AND v_policy.queue_name IN ('', w.queue_name) AND v_policy.application_name IN ('', w.application_name) AND v_policy.status IN ('', w.status)
        AND dbos_sys.retention_of(true, w.name, w.queue_name, w.application_name, w.status) = p_policy
      ORDER BY w.completed_at DESC OFFSET v_policy.keep_rows - 1 LIMIT 2);
  END IF;
  RETURN GREATEST(p_now - v_policy.keep_ms, v_newest[2] - CASE WHEN v_newest[1] = v_newest[2] THEN 1 ELSE 0 END);
END;
$$;

-- Begins a round, or brings the goals of one under way up to now. To count the rows of keep_rows is work: large ones are counted hourly.
CREATE OR REPLACE FUNCTION dbos_sys.prune_begin(p_now bigint)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  -- Held as long as it is awaited. What is known to be is looked at again with each full round.
  v_awaited CONSTANT bigint := 9223372036854775807;
  v_full boolean;
  v_sweep boolean;
BEGIN
  -- A clock that was put back does not put them off.
  SELECT p_now - r.full_at NOT BETWEEN 0 AND 3599999, p_now - r.sweep_at NOT BETWEEN 0 AND 86399999 INTO v_full, v_sweep FROM dbos_ops.pruner AS r;
  IF v_full THEN
    UPDATE dbos_ops.prune_marks AS m SET at = 0, id = '' WHERE m.source LIKE 'policy %';
    DELETE FROM dbos_ops.retention_holds AS h WHERE h.until <= p_now OR h.until = v_awaited;
  END IF;
  INSERT INTO dbos_ops.retention_holds AS h (workflow_uuid, until) SELECT a.id, v_awaited FROM dbos_sys.prune_awaited(v_full) AS a(id)
  ON CONFLICT (workflow_uuid) DO UPDATE SET until = EXCLUDED.until WHERE h.until <= p_now;
  IF v_sweep THEN
    UPDATE dbos_ops.prune_marks AS m SET at = 0, id = '' WHERE m.source LIKE 'orphans %' OR m.source LIKE 'undated %';
  END IF;
  INSERT INTO dbos_ops.prune_marks AS m (source, goal)
  SELECT s.source, s.goal
  FROM (
    SELECT 'policy ' || p.id, dbos_sys.prune_goal(p.id, p_now) FROM dbos_ops.retention_policies AS p
    WHERE p.keep_ms IS NOT NULL OR (p.keep_rows IS NOT NULL AND (p.keep_rows <= 10000 OR v_full
      OR NOT EXISTS (SELECT FROM dbos_ops.prune_marks AS m WHERE m.source = 'policy ' || p.id)))
    UNION ALL
    SELECT 'timeouts', p_now WHERE EXISTS (SELECT FROM dbos_ops.retention_policies AS p WHERE p.cancel_after_ms IS NOT NULL)
    UNION ALL
    SELECT 'undated ' || p.id, p_now FROM dbos_ops.retention_policies AS p WHERE v_sweep AND (p.keep_ms IS NOT NULL OR p.keep_rows IS NOT NULL)
    UNION ALL
    SELECT 'orphans ' || t.name, p_now - 3600000 FROM (VALUES ('workflow_input'), ('workflow_output'), ('operation_outputs')) AS t(name)) AS s(source, goal)
  WHERE s.goal IS NOT NULL
  ON CONFLICT (source) DO UPDATE SET goal = EXCLUDED.goal, done = false;
  UPDATE dbos_ops.pruner AS r
  SET round_at = p_now, failure = NULL, full_at = CASE WHEN v_full THEN p_now ELSE r.full_at END, sweep_at = CASE WHEN v_sweep THEN p_now ELSE r.sweep_at END;
END;
$$;

-- One batch of one source: what it cancelled and deleted.
CREATE OR REPLACE FUNCTION dbos_sys.prune_source(
  p_source text, p_now bigint, OUT cancelled bigint, OUT workflows bigint, OUT orphans bigint, OUT bytes bigint)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  v_scan CONSTANT integer := 5000;
  v_mark record;
  v_policy text;
  v_found record;
  v_given text[];
  v_took integer;
  v_failure text;
BEGIN
  cancelled := 0; workflows := 0; orphans := 0; bytes := 0;
  SELECT m.* INTO v_mark FROM dbos_ops.prune_marks AS m WHERE m.source = p_source;
  IF p_source = 'timeouts' THEN
    cancelled := dbos_sys.timeout_batch(1000);
    UPDATE dbos_ops.prune_marks AS m SET done = prune_source.cancelled < 1000 WHERE m.source = p_source;
    RETURN;
  ELSIF p_source LIKE 'orphans %' THEN
    SELECT o.* INTO v_found FROM dbos_sys.prune_orphans(substr(p_source, 9), v_mark.at, v_mark.id, v_mark.goal, v_scan, false) AS o;
    orphans := v_found.orphans;
    bytes := v_found.bytes;
  ELSE
    v_policy := substr(p_source, strpos(p_source, ' ') + 1);
    IF p_source LIKE 'undated %' THEN
      SELECT s.* INTO v_found FROM dbos_sys.prune_scan_undated(v_policy, v_mark.at, v_mark.id, v_mark.goal, v_scan) AS s;
    ELSE
      SELECT s.* INTO v_found FROM dbos_sys.prune_scan(v_policy, v_mark.at, v_mark.id, v_mark.goal, v_scan, 1000) AS s;
    END IF;
    v_given := v_found.ids;
    LOOP
      BEGIN
        SELECT t.took, t.workflows, t.bytes INTO v_took, workflows, bytes
        FROM dbos_ops.retention_policies AS p, dbos_sys.prune_take(v_given, p_source LIKE 'undated %', p.archive, v_mark.goal, p_now) AS t
        WHERE p.id = v_policy;
        EXIT;
      EXCEPTION WHEN serialization_failure THEN
        -- Somebody writes to one of these, as an executor that has lost it: fewer are tried, then the first, and that one is passed over.
        v_failure := SQLERRM;
        v_took := 1;
        v_given := v_given[1:CASE WHEN cardinality(v_given) > 1 THEN GREATEST(LEAST(cardinality(v_given), 1000) / 30, 1) ELSE 0 END];
      END;
      IF v_given = '{}' THEN
        UPDATE dbos_ops.pruner AS r SET failure = format('%s: %s', dbos_sys.shown(v_found.ids[1]), v_failure);
        EXIT;
      END IF;
    END LOOP;
    IF v_took < cardinality(v_found.ids) THEN
      v_found.scanned := v_scan;
      v_found.at := v_found.ats[v_took];
      v_found.id := v_found.ids[v_took];
    END IF;
  END IF;
  UPDATE dbos_ops.prune_marks AS m
  SET at = COALESCE(v_found.at, m.at), id = COALESCE(v_found.id, m.id), done = v_found.scanned < v_scan
  WHERE m.source = p_source;
END;
$$;

-- One batch, of the first source that is not done. The state is `more` or `done`, or `blocked` when a lock was not to be had.
CREATE OR REPLACE FUNCTION dbos_sys.prune_batch(
  p_now bigint, OUT state text, OUT cancelled bigint, OUT workflows bigint, OUT orphans bigint, OUT bytes bigint)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET lock_timeout = '2s'
AS $$
DECLARE
  v_source text := (SELECT m.source FROM dbos_ops.prune_marks AS m WHERE NOT m.done ORDER BY strpos('tpou', left(m.source, 1)), m.source LIMIT 1);
  v_done record;
BEGIN
  cancelled := 0; workflows := 0; orphans := 0; bytes := 0;
  state := 'done';
  IF v_source IS NULL THEN
    UPDATE dbos_ops.pruner AS r SET ended_at = p_now, round_at = NULL WHERE r.round_at IS NOT NULL;
    RETURN;
  END IF;
  BEGIN
    SELECT s.* INTO v_done FROM dbos_sys.prune_source(v_source, p_now) AS s;
    -- What is checked at the commit only would end the call there, past all that is said below.
    SET CONSTRAINTS ALL IMMEDIATE;
    cancelled := v_done.cancelled; workflows := v_done.workflows; orphans := v_done.orphans; bytes := v_done.bytes;
    state := 'more';
  EXCEPTION
    WHEN lock_not_available OR deadlock_detected THEN
      state := 'blocked';
      RETURN;
    -- What one source cannot do is not the others' trouble: this round goes on without it, and says so at its end. A trigger may raise anything. Not its
    -- own are what has no room, is cancelled or shut down, fails beneath the server or in it, and what every source would meet; `others` has no 57014.
    WHEN assert_failure OR others THEN
      IF left(SQLSTATE, 2) IN ('53', '57', '58', 'XX') OR SQLSTATE IN ('WF002', 'WF050') THEN
        RAISE;
      END IF;
      UPDATE dbos_ops.prune_marks AS m SET done = true WHERE m.source = v_source;
      UPDATE dbos_ops.pruner AS r SET failure = SQLERRM;
      state := 'more';
  END;
  UPDATE dbos_ops.pruner AS r
  SET workflows = r.workflows + prune_batch.workflows, orphans = r.orphans + prune_batch.orphans, bytes = r.bytes + prune_batch.bytes
  WHERE prune_batch.workflows + prune_batch.orphans > 0;
END;
$$;

-- A step of the procedure: totals in, totals out; `p_until` NULL is its first.
CREATE OR REPLACE FUNCTION dbos_sys.prune_step(p_until bigint, p_budget interval, p_totals bigint[], OUT until bigint, OUT totals bigint[], OUT note text)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  v_clock bigint := (EXTRACT(epoch FROM clock_timestamp()) * 1000)::bigint;
  v_now bigint := dbos_sys.now_ms();
  v_batch record;
  v_mine boolean;
BEGIN
  until := p_until;
  totals := p_totals;
  IF p_until IS NULL THEN
    until := v_clock + dbos_sys.interval_ms('budget', p_budget);
    PERFORM dbos_sys.check_span('budget', until - v_clock);
    totals := '{0,0,0,0}';
  END IF;
  -- Under way it gives a tick, which looks whether somebody prunes, a moment.
  FOR v_try IN 0 .. CASE WHEN p_until IS NULL THEN 0 ELSE 50 END LOOP
    v_mine := dbos_sys.prune_lock(v_clock);
    EXIT WHEN v_mine;
    PERFORM pg_sleep(0.02) WHERE p_until IS NOT NULL;
  END LOOP;
  IF NOT v_mine THEN
    note := format('another session prunes, or changes policies%s', (SELECT ': pid ' || r.runner FROM dbos_ops.pruner AS r WHERE r.runner_until > v_clock));
    RETURN;
  END IF;
  IF p_until IS NULL THEN
    PERFORM dbos_sys.prune_begin(v_now);
  END IF;
  SELECT b.* INTO v_batch FROM dbos_sys.prune_batch(v_now) AS b;
  totals := ARRAY[totals[1] + v_batch.workflows, totals[2] + v_batch.orphans, totals[3] + v_batch.cancelled, totals[4] + v_batch.bytes];
  note := CASE WHEN v_batch.state = 'done' THEN COALESCE((SELECT 'done, but ' || r.failure FROM dbos_ops.pruner AS r), 'done') WHEN v_batch.state = 'blocked' THEN 'a lock on a table was not to be had in 2 s; the next call goes on'
    WHEN v_clock >= until THEN 'the budget is used up; the next call goes on' END;
  -- While it lives, its session has the word for a minute after each batch.
  UPDATE dbos_ops.pruner AS r
  SET runner = CASE WHEN note IS NULL THEN pg_backend_pid() END, runner_until = CASE WHEN note IS NULL THEN v_clock + 60000 ELSE 0 END;
END;
$$;

-- No SET clause, for it commits: names are qualified, and there is no operator.
CREATE OR REPLACE PROCEDURE dbos_sys.prune(
  budget interval DEFAULT '1 hour', INOUT workflows bigint DEFAULT NULL, INOUT orphans bigint DEFAULT NULL, INOUT cancelled bigint DEFAULT NULL,
  INOUT bytes bigint DEFAULT NULL, INOUT note text DEFAULT NULL)
LANGUAGE plpgsql
AS $$
DECLARE
  v_until bigint;
  v_totals bigint[];
BEGIN
  note := NULL;
  PERFORM dbos_sys.check_prune();
  WHILE note IS NULL LOOP
    COMMIT;
    SET TRANSACTION ISOLATION LEVEL READ COMMITTED, READ WRITE;
    SELECT s.until, s.totals, s.note INTO v_until, v_totals, note FROM dbos_sys.prune_step(v_until, budget, v_totals) AS s;
  END LOOP;
  COMMIT;
  workflows := v_totals[1];
  orphans := v_totals[2];
  cancelled := v_totals[3];
  bytes := v_totals[4];
END;
$$;
COMMENT ON PROCEDURE dbos_sys.prune(interval, bigint, bigint, bigint, bigint, text) IS
'Cancels and deletes what the policies of retain() say, and payload rows without a workflow, in batches that commit one by one, for at most budget.
Returns how many workflows and orphaned rows went, how many workflows were cancelled, about how many bytes the rows had, and a note: done, or why
it ended before. One runs at a time; another returns at once and says so. A call that was killed has lost nothing and left nothing half done: the
next goes on. Not inside a transaction block (2D000). Errors: WF001, WF002, WF050 (a standby).';

-- When prune_tick() has something to do, in ms since 1970; a time that has passed is now.
CREATE OR REPLACE FUNCTION dbos_sys.prune_due()
RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  v_interval bigint := dbos_sys.setting_ms('prune_interval', '60s');
BEGIN
  IF v_interval = 0 OR to_regclass('dbos_ops.pruner') IS NULL OR NOT EXISTS (SELECT FROM dbos_ops.retention_policies AS p) THEN
    RETURN NULL;
  END IF;
  -- A clock that was put back delays it by an interval at most.
  RETURN COALESCE((SELECT LEAST(r.due_at, dbos_sys.now_ms() + v_interval) FROM dbos_ops.pruner AS r), 0);
END;
$$;
COMMENT ON FUNCTION dbos_sys.prune_due() IS
'When prune_tick() has something to do, in ms since 1970; NULL: never, for there is no policy or dbos_sys.prune_interval is 0. It changes with retain(),
drop_retention() and prune_tick() only.';

CREATE OR REPLACE FUNCTION dbos_sys.prune_tick()
RETURNS integer
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  v_now bigint := dbos_sys.now_ms();
  v_begin timestamptz := clock_timestamp();
  v_interval bigint := dbos_sys.setting_ms('prune_interval', '60s');
  v_spent bigint;
  v_batch record;
BEGIN
  IF (dbos_sys.prune_due() <= v_now) IS NOT TRUE THEN
    RETURN 0;
  END IF;
  PERFORM dbos_sys.check_isolation();
  IF NOT dbos_sys.prune_lock((EXTRACT(epoch FROM v_begin) * 1000)::bigint) THEN
    UPDATE dbos_ops.pruner AS r SET due_at = v_now + LEAST(v_interval, 5000)
    WHERE r.one IN (SELECT o.one FROM dbos_ops.pruner AS o FOR NO KEY UPDATE SKIP LOCKED);
    RETURN 0;
  END IF;
  UPDATE dbos_ops.pruner AS r SET window_from = v_now, spent_ms = 0 WHERE v_now - r.window_from NOT BETWEEN 0 AND v_interval - 1;
  PERFORM dbos_sys.prune_begin(v_now) WHERE NOT EXISTS (SELECT FROM dbos_ops.prune_marks AS m WHERE NOT m.done);
  -- Sources that have nothing are gone through together.
  LOOP
    SELECT b.* INTO v_batch FROM dbos_sys.prune_batch(v_now) AS b;
    v_spent := ceil(EXTRACT(epoch FROM clock_timestamp() - v_begin) * 1000);
    EXIT WHEN v_batch.state <> 'more' OR v_batch.workflows + v_batch.orphans + v_batch.cancelled > 0 OR v_spent > 500;
  END LOOP;
  UPDATE dbos_ops.pruner AS r
  SET spent_ms = r.spent_ms + v_spent,
    due_at = CASE WHEN v_batch.state = 'more' AND r.spent_ms + v_spent < dbos_sys.setting_ms('prune_budget', '15s') THEN 0 ELSE r.window_from + v_interval END
  RETURNING CASE WHEN r.due_at = 0 THEN 1000 ELSE 0 END INTO v_spent;
  RETURN v_batch.workflows + v_batch.orphans + v_batch.cancelled + v_spent;
END;
$$;
COMMENT ON FUNCTION dbos_sys.prune_tick() IS
'One batch of prune(), when it is due: each dbos_sys.prune_interval a round, of which dbos_sys.prune_budget (time at work) is spent before the next
interval; 1000 or more mean that it should be called again at once. Nothing happens without a policy, or while somebody else prunes.';
