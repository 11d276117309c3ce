-- Executors: who is alive, and what becomes of the runs of who is not. `last_seen` moves with heartbeats; `suspect_since` is set while the
-- sessions of an executor are gone, or its lease ended unseen, and stays after its end as long as runs of it are left.
-- Lock order: advisory locks of executors (exclusive here) by key, executors' rows, rows of workflow_status by id.

-- Puts PENDING runs back on their queue. `p_uncount`: the execution did not fail, so the attempt is taken back.
CREATE OR REPLACE FUNCTION dbos_sys.requeue(p_ids text[], p_uncount boolean)
RETURNS integer
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET dbos_sys.quiet = on
SET enable_seqscan = off
SET jit = off
AS $$
DECLARE
  v_rows integer;
BEGIN
  UPDATE dbos.workflow_status AS w
  SET status = 'ENQUEUED', owner_xid = NULL, started_at_epoch_ms = NULL, queue_name = COALESCE(w.queue_name, '_dbos_internal_queue'),
    recovery_attempts = CASE WHEN p_uncount THEN GREATEST(w.recovery_attempts - 1, 0) ELSE w.recovery_attempts END, updated_at = dbos_sys.now_ms()
  WHERE w.workflow_uuid = ANY (p_ids) AND COALESCE(w.status, '') = 'PENDING';
  GET DIAGNOSTICS v_rows = ROW_COUNT;
  IF v_rows > 0 THEN
    PERFORM dbos_sys.wake(true, false);
  END IF;
  RETURN v_rows;
END;
$$;

-- Puts back what an executor runs, waiting for rows that others have locked (a flush that commits now wins). Application '' stands for
-- workflows that have none, NULL for those of all.
CREATE OR REPLACE FUNCTION dbos_sys.requeue_executor(p_application text, p_executor text, p_version text, p_uncount boolean)
RETURNS integer
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN dbos_sys.requeue(ARRAY(
    SELECT w.workflow_uuid FROM dbos.workflow_status AS w
    WHERE w.status = 'PENDING' AND w.executor_id = p_executor AND (p_application IS NULL OR COALESCE(w.application_name, '') = p_application)
      AND (p_version IS NULL OR w.application_version = p_version)
    ORDER BY w.workflow_uuid FOR NO KEY UPDATE), p_uncount);
END;
$$;

-- Whether a session of the incarnation is connected to this database.
CREATE OR REPLACE FUNCTION dbos_sys.has_session(p_incarnation text)
RETURNS boolean
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN EXISTS (
    SELECT FROM pg_stat_activity AS a
    WHERE p_incarnation <> '' AND starts_with(a.application_name, left('dbos_sys/' || p_incarnation, 63))
      AND a.datid = (SELECT d.oid FROM pg_database AS d WHERE d.datname = current_database()));
END;
$$;

-- The application's version as an SDK registers it at launch. A version name belongs to one application.
CREATE OR REPLACE FUNCTION dbos_sys.register_version(p_application text, p_version text, p_now bigint)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  v_owner text;
BEGIN
  UPDATE dbos.application_versions AS v SET application_name = p_application WHERE v.version_name = p_version AND v.application_name IS NULL;
  INSERT INTO dbos.application_versions (version_id, version_name, version_timestamp, created_at, application_name)
  VALUES (gen_random_uuid()::text, p_version, p_now, p_now, p_application) ON CONFLICT DO NOTHING;
  SELECT v.application_name INTO v_owner FROM dbos.application_versions AS v WHERE v.version_name = p_version;
  IF v_owner <> p_application THEN
    PERFORM dbos_sys.fail('WF001', format('version %s belongs to application %s', dbos_sys.shown(p_version), dbos_sys.shown(v_owner)),
      'Version names are unique in a database.', format('Take another version, as "%s %s".', p_application, p_version));
  END IF;
END;
$$;

-- A live other incarnation of the id keeps it: a session of it is there or, where it never showed one, its lease is not over.
CREATE OR REPLACE FUNCTION dbos_sys.check_twin(p_application text, p_executor text, p_incarnation text, p_now bigint)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  v_twin record;
BEGIN
  SELECT e.* INTO v_twin FROM dbos_ops.executors AS e WHERE e.application_name = p_application AND e.executor_id = p_executor;
  IF v_twin.incarnation = p_incarnation AND v_twin.ended_at IS NOT NULL THEN
    PERFORM dbos_sys.fail('WF021', format('incarnation %s of executor "%s" has ended', p_incarnation, p_executor),
      format('Reason: %s.', v_twin.ended_why), 'Register under a new incarnation.');
  ELSIF v_twin.incarnation <> p_incarnation AND v_twin.ended_at IS NULL
    AND (CASE WHEN v_twin.sessions THEN dbos_sys.has_session(v_twin.incarnation) ELSE v_twin.last_seen + v_twin.lease_ms > p_now END) THEN
    PERFORM dbos_sys.fail('WF020', format('executor id %s of application %s is in use', dbos_sys.shown(p_executor), dbos_sys.shown(p_application)),
      format('Incarnation %s was seen %s ms ago.', v_twin.incarnation, p_now - v_twin.last_seen),
      'Give each process its own executor id, or stop the other process first.');
  END IF;
END;
$$;

CREATE OR REPLACE FUNCTION dbos_sys.register_executor(
  p_application text, p_executor text, p_incarnation text, p_version text, p_lease_ms bigint DEFAULT 15000)
RETURNS TABLE (now_ms bigint, maintained boolean, extension_version text)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  v_now bigint := dbos_sys.now_ms();
  v_before text;
BEGIN
  PERFORM dbos_sys.check_executor(p_application, p_executor, p_incarnation);
  PERFORM dbos_sys.check_text('version', p_version);
  PERFORM dbos_sys.check_lease(p_lease_ms);
  PERFORM dbos_sys.check_isolation();
  PERFORM pg_advisory_xact_lock(dbos_sys.executor_key(p_application, p_executor));
  PERFORM dbos_sys.check_twin(p_application, p_executor, p_incarnation, v_now);
  PERFORM dbos_sys.register_version(p_application, p_version, v_now);
  PERFORM dbos_sys.note_server();
  SELECT e.incarnation INTO v_before FROM dbos_ops.executors AS e WHERE e.application_name = p_application AND e.executor_id = p_executor;
  IF v_before IS DISTINCT FROM p_incarnation THEN
    PERFORM dbos_sys.requeue_executor(p_application, p_executor, NULL, false);
  END IF;
  INSERT INTO dbos_ops.executors AS e (application_name, executor_id, incarnation, application_version, lease_ms, started_at, last_seen, steady_since, sessions)
  VALUES (p_application, p_executor, p_incarnation, p_version, p_lease_ms, v_now, v_now, v_now, dbos_sys.has_session(p_incarnation))
  ON CONFLICT (application_name, executor_id) DO UPDATE
  SET incarnation = EXCLUDED.incarnation, application_version = EXCLUDED.application_version, lease_ms = EXCLUDED.lease_ms,
    started_at = CASE WHEN e.incarnation = EXCLUDED.incarnation THEN e.started_at ELSE EXCLUDED.started_at END, last_seen = EXCLUDED.last_seen,
    steady_since = EXCLUDED.steady_since, sessions = EXCLUDED.sessions, suspect_since = NULL, ended_at = NULL, ended_why = NULL;
  RETURN QUERY SELECT v_now, dbos_sys.is_maintained(v_now), dbos_sys.version();
END;
$$;
COMMENT ON FUNCTION dbos_sys.register_executor(text, text, text, text, bigint) IS
'A process of an application begins: its executor id and a fresh incarnation uuid. What an earlier incarnation of the id left PENDING is
enqueued again at once. Registers the application''s version. p_lease_ms: 1 s to 1 day, how long the executor counts as alive without a
heartbeat. maintained: a worker has ticked within 5 s. Errors: WF001, WF020 (another process lives under the id), WF021.';

-- Arguments of heartbeat(). Ids repeat among applications, so an id alone stands for workflows without one: who means others must say which.
-- "local" is what every process is called that was given no id: a heartbeat of one would speak for all, and its end give away what the others run.
CREATE OR REPLACE FUNCTION dbos_sys.check_heartbeat(p_executor text, p_lease bigint, p_application text, p_incarnation text, p_version text)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  v_application text;
BEGIN
  PERFORM dbos_sys.check_text('executor id', p_executor);
  PERFORM dbos_sys.check_lease(p_lease);
  IF p_version IS NOT NULL THEN
    PERFORM dbos_sys.check_text('version', p_version);
  END IF;
  IF p_incarnation IS NOT NULL THEN
    PERFORM dbos_sys.check_executor(p_application, p_executor, p_incarnation);
    RETURN;
  END IF;
  PERFORM dbos_sys.check_installed();
  IF p_executor = 'local' THEN
    PERFORM dbos_sys.fail('WF023', 'executor id "local" may be any number of processes',
      'It is what an SDK takes when nobody gives an id. The end of one process''s heartbeats would take the work of another that lives.',
      'Set DBOS__VMID to a name of its own for each process (pod name, unit instance, host and number: docs/adopt.md), and send heartbeats under that.');
  END IF;
  IF p_application IS NOT NULL THEN
    PERFORM dbos_sys.check_text('application', p_application);
  ELSE
    SELECT w.application_name INTO v_application FROM dbos.workflow_status AS w
    WHERE w.status = 'PENDING' AND w.executor_id = p_executor AND w.application_name IS NOT NULL LIMIT 1;
    IF FOUND THEN
      PERFORM dbos_sys.fail('WF001', format('executor id %s runs workflows of application %s', dbos_sys.shown(p_executor), dbos_sys.shown(v_application)),
        'Without an application a heartbeat speaks for workflows that have none.', format('Name it: p_application => %L.', v_application));
    END IF;
  END IF;
END;
$$;

CREATE OR REPLACE FUNCTION dbos_sys.heartbeat(
  p_executor text, p_lease interval DEFAULT '15 s', p_application text DEFAULT NULL, p_incarnation text DEFAULT NULL, p_version text DEFAULT NULL,
  p_accept_unfenced boolean DEFAULT false)
RETURNS TABLE (state text, now_ms bigint, maintained boolean)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  v_now bigint := dbos_sys.now_ms();
  v_lease bigint := dbos_sys.interval_ms('lease', p_lease);
  v_gap bigint := dbos_sys.heartbeat_gap();
  v_rows integer;
BEGIN
  PERFORM dbos_sys.check_heartbeat(p_executor, v_lease, p_application, p_incarnation, p_version);
  IF p_incarnation IS NULL THEN
    PERFORM dbos_sys.note_server();
    INSERT INTO dbos_ops.executors AS e (
      application_name, executor_id, incarnation, application_version, lease_ms, started_at, last_seen, steady_since, sessions, accept_unfenced)
    VALUES (COALESCE(p_application, ''), p_executor, '', p_version, v_lease, v_now, v_now, v_now, false, COALESCE(p_accept_unfenced, false))
    ON CONFLICT (application_name, executor_id) DO UPDATE
    SET accept_unfenced = EXCLUDED.accept_unfenced, application_version = COALESCE(EXCLUDED.application_version, e.application_version), lease_ms = EXCLUDED.lease_ms, last_seen = EXCLUDED.last_seen,
      steady_since = CASE WHEN v_now <= e.last_seen + v_gap THEN e.steady_since ELSE v_now END, suspect_since = NULL, ended_at = NULL, ended_why = NULL
    WHERE e.incarnation = '';
  ELSE
    UPDATE dbos_ops.executors AS e
    SET last_seen = v_now, steady_since = CASE WHEN v_now <= e.last_seen + v_gap THEN e.steady_since ELSE v_now END, lease_ms = v_lease, suspect_since = NULL,
      sessions = e.sessions OR dbos_sys.has_session(p_incarnation)
    WHERE e.application_name = p_application AND e.executor_id = p_executor AND e.incarnation = p_incarnation AND e.ended_at IS NULL;
  END IF;
  GET DIAGNOSTICS v_rows = ROW_COUNT;
  RETURN QUERY SELECT CASE WHEN v_rows = 1 THEN 'ok' ELSE 'ended' END, v_now,
    dbos_sys.is_maintained(v_now, CASE WHEN p_incarnation IS NOT NULL THEN current_setting('application_name') END);
END;
$$;
COMMENT ON FUNCTION dbos_sys.heartbeat(text, interval, text, text, text, boolean) IS
'A sign of life: the executor counts as alive for the lease (1 s to 1 day). With p_incarnation it renews what register_executor() made; state
ended means that the incarnation was recovered or replaced. Without one it serves executors of any language: the lease alone counts, the first
call begins it, and workflows of the executor id and application are enqueued again when it is over; those that an SDK without owner fencing runs
(before schema 123, Java) only with p_accept_unfenced, for an executor that lives after all would overwrite the other''s result. p_application NULL: workflows that have no
application, as SDKs before shared schema 100 write them; refused when the id runs workflows of a named one. maintained: somebody has ticked
within 5 s, with p_incarnation somebody else than sessions of the caller''s application_name. Errors: WF001, WF023 (executor id local, without
p_incarnation).';

CREATE OR REPLACE FUNCTION dbos_sys.held(p_application text, p_executor text, p_incarnation text)
RETURNS TABLE (id text, token text)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  PERFORM dbos_sys.check_executor(p_application, p_executor, p_incarnation);
  PERFORM FROM dbos_ops.executors AS e
  WHERE e.application_name = p_application AND e.executor_id = p_executor AND e.incarnation = p_incarnation AND e.ended_at IS NULL;
  IF NOT FOUND THEN
    PERFORM dbos_sys.fail('WF021', format('incarnation %s of executor %s has ended', dbos_sys.shown(p_incarnation), dbos_sys.shown(p_executor)),
      NULL, 'Register again under a new incarnation.');
  END IF;
  RETURN QUERY SELECT w.workflow_uuid, w.owner_xid::text FROM dbos.workflow_status AS w
  WHERE w.status = 'PENDING' AND w.executor_id = p_executor AND w.application_name = p_application;
END;
$$;
COMMENT ON FUNCTION dbos_sys.held(text, text, text) IS
'Runs that are PENDING under the executor, with their owner tokens: those that it does not know of came from claims whose reply was lost, and
go back by give_back(). Errors: WF001, WF021.';

CREATE OR REPLACE FUNCTION dbos_sys.beat(p_application text, p_executor text, p_incarnation text, p_version text, p_lease_ms bigint)
RETURNS TABLE (state text, now_ms bigint, maintained boolean, ids text[], tokens text[])
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  PERFORM dbos_sys.check_executor(p_application, p_executor, p_incarnation);
  PERFORM dbos_sys.check_lease(p_lease_ms);
  SELECT h.state, h.now_ms, h.maintained INTO state, now_ms, maintained
  FROM dbos_sys.heartbeat(p_executor, p_lease_ms * interval '1 millisecond', p_application, p_incarnation, p_version) AS h;
  IF state = 'ok' THEN
    SELECT COALESCE(array_agg(h.id), '{}'), COALESCE(array_agg(h.token), '{}') INTO ids, tokens
    FROM dbos_sys.held(p_application, p_executor, p_incarnation) AS h;
  END IF;
  RETURN NEXT;
END;
$$;
COMMENT ON FUNCTION dbos_sys.beat(text, text, text, text, bigint) IS
'heartbeat() of a registered executor and held() in one: one row. state ended: ids and tokens are NULL. Errors: WF001.';

CREATE OR REPLACE FUNCTION dbos_sys.give_back(p_ids text[], p_tokens text[])
RETURNS integer
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET jit = off
SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
  v_held boolean[];
BEGIN
  PERFORM dbos_sys.check_keys(p_ids, p_tokens);
  v_held := dbos_sys.lock_runs(p_ids, p_tokens, array_fill(false, ARRAY[cardinality(p_ids)]));
  RETURN dbos_sys.requeue(ARRAY(SELECT r.id FROM unnest(p_ids, v_held) AS r(id, held) WHERE r.held), true);
END;
$$;
COMMENT ON FUNCTION dbos_sys.give_back(text[], text[]) IS
'Puts runs that are PENDING under these owner tokens back on their queue and takes back the attempt; returns how many. Rows that another
transaction has locked are left. Errors: WF001.';

CREATE OR REPLACE FUNCTION dbos_sys.retire_executor(p_application text, p_executor text, p_incarnation text)
RETURNS integer
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  PERFORM dbos_sys.check_executor(p_application, p_executor, p_incarnation);
  PERFORM dbos_sys.check_isolation();
  PERFORM pg_advisory_xact_lock(dbos_sys.executor_key(p_application, p_executor));
  UPDATE dbos_ops.executors AS e SET ended_at = dbos_sys.now_ms(), ended_why = 'retired', suspect_since = NULL
  WHERE e.application_name = p_application AND e.executor_id = p_executor AND e.incarnation = p_incarnation AND e.ended_at IS NULL;
  IF NOT FOUND THEN
    PERFORM dbos_sys.fail('WF021', format('incarnation %s of executor %s has ended', dbos_sys.shown(p_incarnation), dbos_sys.shown(p_executor)),
      'Its workflows are with others already.', 'Nothing is left to do.');
  END IF;
  RETURN dbos_sys.requeue_executor(p_application, p_executor, NULL, true);
END;
$$;
COMMENT ON FUNCTION dbos_sys.retire_executor(text, text, text) IS
'A clean shutdown: ends the incarnation and puts its unfinished runs back on their queues, attempts not counted; returns how many. Errors: WF001,
WF021 (it has ended already).';

CREATE OR REPLACE FUNCTION dbos_sys.executors()
RETURNS TABLE (
  application_name text, executor_id text, incarnation text, application_version text, state text, started_at bigint, last_seen bigint,
  lease_ms bigint, sessions boolean, ended_at bigint, ended_why text, pending bigint)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  v_now bigint := dbos_sys.now_ms();
BEGIN
  RETURN QUERY
  SELECT e.application_name, e.executor_id, e.incarnation, e.application_version,
    CASE WHEN e.ended_at IS NOT NULL THEN 'ended' WHEN e.last_seen + e.lease_ms <= v_now THEN 'expired'
         WHEN e.suspect_since IS NOT NULL THEN 'suspect' ELSE 'alive' END,
    e.started_at, e.last_seen, e.lease_ms, e.sessions, e.ended_at, e.ended_why,
    (SELECT count(*) FROM dbos.workflow_status AS w
     WHERE w.status = 'PENDING' AND w.executor_id = e.executor_id AND COALESCE(w.application_name, '') = e.application_name)
  FROM dbos_ops.executors AS e ORDER BY e.application_name, e.executor_id;
END;
$$;
COMMENT ON FUNCTION dbos_sys.executors() IS
'Executors that registered or sent heartbeats. state: alive, suspect (its sessions are gone), expired (its lease is over), ended. pending: runs
under its id now. sessions: whether a session named for it has been seen. Times in ms.';
