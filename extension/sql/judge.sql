-- Applications on other SDKs: their executors do not register here, but their sessions bear names. watch() says how (watch.sql); watch_tick()
-- notices when the sessions of an executor are gone and enqueues again what it left PENDING. `dbos_ops.watched_sessions` has a row for each
-- name that is connected, or was and may have left work behind.
-- Lock order: the tick's advisory lock, rows of watched_sessions, rows of workflow_status.

-- Whether the executor's PENDING rows were written by an SDK that guards outcomes by the status alone: nothing stops its run once another
-- executor has the workflow. Such a writer claims without a token, or starts without naming the creator.
CREATE OR REPLACE FUNCTION dbos_sys.is_unfenced(p_owner_xid text, p_creator_xid text, p_queue_name text)
RETURNS boolean
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN p_owner_xid IS NULL OR (p_creator_xid IS NULL AND p_queue_name IS NULL);
END;
$$;

-- PENDING executors of a watched application ('' stands for rows that no application has claimed) that neither registered here nor send
-- heartbeats, judged. A row of 'dead' may be recovered now.
CREATE OR REPLACE FUNCTION dbos_sys.judge_watched(p_application text, p_now bigint)
RETURNS TABLE (executor_id text, application_version text, session_name text, state text, since bigint, pending bigint)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  v_watch record;
  v_hold record;
  v_backoff bigint := dbos_sys.setting_ms('reconnect_backoff', '90s');
BEGIN
  SELECT w.* INTO v_watch FROM dbos_ops.watches AS w WHERE w.application_name = p_application;
  SELECT COALESCE(max(t.hold_from), 0) AS hold_from, COALESCE(max(t.hold_until), 0) AS hold_until INTO v_hold FROM dbos_ops.ticker AS t;
  RETURN QUERY
  WITH held AS MATERIALIZED (
    SELECT COALESCE(w.application_name, '') AS application, COALESCE(w.executor_id, '') AS executor, w.application_version AS version, count(*) AS runs,
      bool_or(dbos_sys.is_unfenced(w.owner_xid, w.creator_xid, w.queue_name)) AS unfenced, min(COALESCE(w.started_at_epoch_ms, w.created_at)) AS oldest,
      dbos_sys.session_name(v_watch.session_name, COALESCE(w.executor_id, ''), w.application_version) AS name
    FROM dbos.workflow_status AS w
    WHERE w.status = 'PENDING'
      AND NOT EXISTS (
        SELECT FROM dbos_ops.executors AS e
        WHERE e.executor_id = w.executor_id AND e.application_name = COALESCE(w.application_name, '') AND (e.ended_at IS NULL OR e.suspect_since IS NOT NULL))
    GROUP BY 1, 2, 3),
  judged AS (
    SELECT h.*, s.gone_since, s.seen_at,
      CASE
        WHEN h.executor IN ('local', '') THEN 'shared id'
        -- Of another application too: its sessions would bear the same name.
        WHEN count(*) OVER (PARTITION BY h.name) > 1 THEN 'ambiguous'
        WHEN h.unfenced AND NOT v_watch.accept_unfenced THEN 'unfenced'
        WHEN v_watch.lent_at IS NOT NULL AND (s.session_name IS NULL OR s.gone_since IS NOT NULL) THEN 'pooled'
        WHEN s.session_name IS NULL THEN 'unseen'
        WHEN s.gone_since IS NULL THEN 'alive'
        ELSE 'suspect' END AS verdict,
      -- From when on a suspect is dead. After a server start everybody has the time to come back; so has who lost its sessions to an operator.
      CASE WHEN s.session_name IS NULL THEN GREATEST(v_watch.since, h.oldest) + v_backoff
           ELSE GREATEST(s.gone_since + v_watch.grace_ms, s.hold_until) END AS due
    FROM held AS h LEFT JOIN dbos_ops.watched_sessions AS s ON s.application_name = p_application AND s.session_name = h.name)
  SELECT j.executor, j.version, j.name,
    CASE WHEN (j.verdict = 'suspect' OR (j.verdict = 'unseen' AND NOT dbos_sys.has_nameless_session(p_application)
             AND EXISTS (
               -- That executors of its version bear the pattern's names is known by one that is here or was: it may itself have come and gone between
               -- two looks, the last one of a version.
               SELECT FROM dbos_ops.watched_sessions AS p
               WHERE p.application_name = p_application AND p.session_name ~ dbos_sys.session_regex(v_watch.session_name, j.version)))) AND p_now >= j.due
           AND (p_now >= v_hold.hold_until OR j.seen_at > v_hold.hold_from)
         THEN 'dead' ELSE j.verdict END,
    COALESCE(j.gone_since, j.oldest), j.runs
  FROM judged AS j WHERE j.application = p_application;
END;
$$;

-- Sessions of this database that an operator ended, or the server by a timeout: their executor lives, and comes back after its back-off.
CREATE OR REPLACE FUNCTION dbos_sys.sessions_killed()
RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN (SELECT d.sessions_killed + d.sessions_fatal FROM pg_stat_database AS d WHERE d.datname = current_database());
END;
$$;

-- What sessions of the application are connected now, against what was noted.
CREATE OR REPLACE FUNCTION dbos_sys.note_sessions(p_application text, p_now bigint)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  v_watch record;
  v_hold record;
  v_here text[];
  v_kills bigint;
  v_backoff bigint := dbos_sys.setting_ms('reconnect_backoff', '90s');
BEGIN
  SELECT COALESCE(max(t.hold_from), 0) AS hold_from, COALESCE(max(t.hold_until), 0) AS hold_until INTO v_hold FROM dbos_ops.ticker AS t;
  -- Sessions first: a backend counts its end before it leaves the list.
  PERFORM pg_stat_clear_snapshot();
  PERFORM dbos_sys.note_lent(p_application, p_now);
  SELECT w.* INTO v_watch FROM dbos_ops.watches AS w WHERE w.application_name = p_application;
  v_here := ARRAY(SELECT l.name FROM dbos_sys.sessions_like(v_watch.session_name, NULL) AS l(name));
  v_kills := dbos_sys.sessions_killed();
  IF v_kills <> v_watch.kills OR (v_here <> '{}' AND COALESCE(v_watch.seen_at, 0) < p_now - 60000) THEN
    UPDATE dbos_ops.watches AS w
    SET kills = v_kills, killed_at = CASE WHEN v_kills <> w.kills THEN p_now ELSE w.killed_at END,
      seen_at = CASE WHEN v_here <> '{}' THEN p_now ELSE w.seen_at END
    WHERE w.application_name = p_application
    RETURNING w.* INTO v_watch;
  END IF;
  INSERT INTO dbos_ops.watched_sessions AS s (application_name, session_name, seen_at, pids)
  SELECT p_application, h.name, p_now, h.pids
  FROM (
    SELECT a.application_name AS name, array_agg(a.pid ORDER BY a.pid) AS pids FROM pg_stat_activity AS a
    WHERE a.application_name = ANY (v_here) AND a.datid = (SELECT d.oid FROM pg_database AS d WHERE d.datname = current_database())
    GROUP BY a.application_name) AS h
  WHERE NOT EXISTS (
    SELECT FROM dbos_ops.watched_sessions AS k
    WHERE k.application_name = p_application AND k.session_name = h.name AND k.gone_since IS NULL AND k.seen_at > GREATEST(v_hold.hold_from, p_now - 60000)
      AND (k.pids = h.pids OR v_watch.lent_at IS NOT NULL))
  ON CONFLICT (application_name, session_name) DO UPDATE SET seen_at = EXCLUDED.seen_at, gone_since = NULL, hold_until = NULL, pids = EXCLUDED.pids;
  UPDATE dbos_ops.watched_sessions AS s
  SET gone_since = p_now, pids = '{}', hold_until = GREATEST(
    CASE WHEN v_watch.killed_at > p_now - v_backoff THEN v_watch.killed_at + v_backoff END,
    -- Not back since the server's start.
    CASE WHEN s.seen_at <= v_hold.hold_from THEN v_hold.hold_until END)
  WHERE s.application_name = p_application AND s.gone_since IS NULL AND s.session_name <> ALL (v_here);
END;
$$;

-- Recovers the dead executors of one watched application; returns how many workflows.
CREATE OR REPLACE FUNCTION dbos_sys.recover_watched(p_application text, p_now bigint)
RETURNS integer
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  v_rows integer := 0;
  v_dead record;
BEGIN
  FOR v_dead IN SELECT j.executor_id, j.application_version FROM dbos_sys.judge_watched(p_application, p_now) AS j WHERE j.state = 'dead' LOOP
    v_rows := v_rows + dbos_sys.requeue(ARRAY(
      SELECT w.workflow_uuid FROM dbos.workflow_status AS w
      WHERE w.status = 'PENDING' AND w.executor_id = v_dead.executor_id AND w.application_version IS NOT DISTINCT FROM v_dead.application_version
        AND COALESCE(w.application_name, '') = p_application
      LIMIT 5000 FOR NO KEY UPDATE SKIP LOCKED), false);
  END LOOP;
  -- What is gone for good and left nothing behind need not be looked at again.
  DELETE FROM dbos_ops.watched_sessions AS s
  WHERE s.application_name = p_application AND s.gone_since < p_now - 600000
    AND s.session_name NOT IN (SELECT j.session_name FROM dbos_sys.judge_watched(p_application, p_now) AS j);
  UPDATE dbos_ops.watches AS w SET scanned_at = p_now WHERE w.application_name = p_application;
  RETURN v_rows;
END;
$$;

CREATE OR REPLACE FUNCTION dbos_sys.newest_version(p_application text)
RETURNS text
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN (
    SELECT v.version_name FROM dbos.application_versions AS v WHERE COALESCE(v.application_name, '') = p_application
    ORDER BY v.version_timestamp DESC, v.created_at DESC LIMIT 1);
END;
$$;

-- Versions that connected executors run, where sessions are named after the executor alone: the version of what each began last, among what runs now
-- and the application's newest workflows. One that has begun nothing there counts for the latest version. Good enough for a list, and no ground to
-- move anything: an idle executor of an old version is not known.
CREATE OR REPLACE FUNCTION dbos_sys.versions_begun(p_application text, p_pattern text)
RETURNS text[]
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN ARRAY(
    WITH begun AS (
      SELECT w.executor_id, w.application_version, COALESCE(w.started_at_epoch_ms, w.created_at) AS at FROM dbos.workflow_status AS w
      WHERE w.status = 'PENDING' AND COALESCE(w.application_name, '') = p_application
      UNION ALL
      SELECT n.executor_id, n.application_version, n.at
      FROM (
        SELECT w.executor_id, w.application_version, w.status, COALESCE(w.started_at_epoch_ms, w.created_at) AS at FROM dbos.workflow_status AS w
        WHERE COALESCE(w.application_name, '') = p_application ORDER BY w.created_at DESC LIMIT 5000) AS n
      -- What waits bears the id of who enqueued it.
      WHERE n.status NOT IN ('ENQUEUED', 'DELAYED')),
    last AS (
      SELECT DISTINCT ON (b.executor_id) dbos_sys.session_name(p_pattern, b.executor_id, NULL) AS name, b.application_version
      FROM begun AS b WHERE b.executor_id <> '' ORDER BY b.executor_id, b.at DESC)
    SELECT DISTINCT COALESCE(l.application_version, dbos_sys.newest_version(p_application))
    FROM dbos_sys.sessions_like(p_pattern, NULL) AS s(name) LEFT JOIN last AS l ON l.name = s.name);
END;
$$;

-- Versions with unfinished work that no executor runs: no session of that version, no registered executor or heartbeat of it.
CREATE OR REPLACE FUNCTION dbos_sys.versions_gone(p_application text, p_now bigint)
RETURNS TABLE (application_version text, pending bigint, waiting bigint, unstarted bigint)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  v_pattern text := (SELECT w.session_name FROM dbos_ops.watches AS w WHERE w.application_name = p_application);
  -- NULL: the sessions' names tell.
  v_begun text[] := CASE WHEN v_pattern NOT LIKE '%{version}%' THEN dbos_sys.versions_begun(p_application, v_pattern) END;
BEGIN
  RETURN QUERY
  SELECT w.application_version, count(*) FILTER (WHERE w.status = 'PENDING'), count(*) FILTER (WHERE w.status <> 'PENDING'),
    count(*) FILTER (WHERE w.status <> 'PENDING' AND w.recovery_attempts = 0)
  FROM dbos.workflow_status AS w
  WHERE w.status IN ('ENQUEUED', 'PENDING', 'DELAYED') AND COALESCE(w.application_name, '') = p_application AND w.application_version IS NOT NULL
  GROUP BY w.application_version
  HAVING NOT EXISTS (
      SELECT FROM dbos_ops.executors AS e
      WHERE e.application_name = p_application AND COALESCE(e.application_version, w.application_version) = w.application_version
        AND e.ended_at IS NULL AND e.last_seen + e.lease_ms > p_now)
    AND CASE WHEN v_begun IS NULL THEN NOT EXISTS (SELECT FROM dbos_sys.sessions_like(v_pattern, w.application_version))
             ELSE (w.application_version = ANY (v_begun)) IS NOT TRUE END;
END;
$$;

-- Moves what waits for a version that is gone to the latest one, where the watch says so; up to 1000 workflows.
CREATE OR REPLACE FUNCTION dbos_sys.upgrade_gone(p_application text, p_now bigint)
RETURNS integer
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET dbos_sys.quiet = on
AS $$
DECLARE
  v_watch record;
  v_latest text := dbos_sys.newest_version(p_application);
  v_backoff bigint := dbos_sys.setting_ms('reconnect_backoff', '90s');
  v_gone text[];
  v_rows integer;
BEGIN
  SELECT w.* INTO v_watch FROM dbos_ops.watches AS w WHERE w.application_name = p_application;
  v_gone := ARRAY(SELECT g.application_version FROM dbos_sys.versions_gone(p_application, p_now) AS g WHERE g.application_version <> v_latest);
  DELETE FROM dbos_ops.watched_versions AS v WHERE v.application_name = p_application AND v.application_version <> ALL (v_gone);
  -- Whose sessions an operator or a timeout ended has the time to come back.
  INSERT INTO dbos_ops.watched_versions (application_name, application_version, gone_since, hold_until)
  SELECT p_application, g.version, p_now, CASE WHEN v_watch.killed_at > p_now - v_backoff THEN v_watch.killed_at + v_backoff END
  FROM unnest(v_gone) AS g(version) ON CONFLICT DO NOTHING;
  -- Where sessions say nothing, heartbeats have to say which versions are there.
  IF v_watch.version_gone = 'wait' OR (v_watch.lent_at IS NOT NULL AND NOT EXISTS (
      SELECT FROM dbos_ops.executors AS e
      WHERE e.application_name = p_application AND e.application_version IS NOT NULL AND e.ended_at IS NULL AND e.last_seen + e.lease_ms > p_now)) THEN
    RETURN 0;
  END IF;
  UPDATE dbos.workflow_status AS u SET application_version = v_latest, updated_at = p_now
  WHERE u.workflow_uuid IN (
    SELECT w.workflow_uuid FROM dbos.workflow_status AS w
    JOIN dbos_ops.watched_versions AS v ON v.application_name = p_application AND v.application_version = w.application_version
      AND GREATEST(v.gone_since + v_watch.version_grace_ms, v.hold_until) <= p_now
    WHERE w.status IN ('ENQUEUED', 'DELAYED') AND COALESCE(w.application_name, '') = p_application
      AND (v_watch.version_gone = 'upgrade'
        OR (w.recovery_attempts = 0 AND NOT EXISTS (SELECT FROM dbos.operation_outputs AS o WHERE o.workflow_uuid = w.workflow_uuid)))
    LIMIT 1000 FOR NO KEY UPDATE OF w SKIP LOCKED);
  GET DIAGNOSTICS v_rows = ROW_COUNT;
  IF v_rows > 0 THEN
    PERFORM dbos_sys.wake(true, false);
  END IF;
  RETURN v_rows;
END;
$$;

CREATE OR REPLACE FUNCTION dbos_sys.watch_tick()
RETURNS integer
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  v_now bigint := dbos_sys.now_ms();
  v_hold_until bigint;
  v_watch record;
  v_rows integer := 0;
BEGIN
  IF NOT EXISTS (SELECT FROM dbos_ops.watches) THEN
    RETURN 0;
  END IF;
  PERFORM dbos_sys.check_isolation();
  IF NOT pg_try_advisory_xact_lock(hashtextextended('dbos_sys.watch_tick', 0)) THEN
    RETURN 0;
  END IF;
  v_hold_until := COALESCE((SELECT t.hold_until FROM dbos_ops.ticker AS t), 0);
  FOR v_watch IN SELECT w.application_name, w.scanned_at, w.version_gone, w.versions_at FROM dbos_ops.watches AS w ORDER BY w.application_name LOOP
    -- One application's trouble is not the others'.
    BEGIN
      PERFORM dbos_sys.note_sessions(v_watch.application_name, v_now);
      -- PENDING rows are read when somebody is missing, and now and then for those that were never seen.
      IF COALESCE(v_watch.scanned_at, 0) < v_now - 10000
        OR EXISTS (SELECT FROM dbos_ops.watched_sessions AS s WHERE s.application_name = v_watch.application_name AND s.gone_since IS NOT NULL) THEN
        v_rows := v_rows + dbos_sys.recover_watched(v_watch.application_name, v_now);
      END IF;
      IF COALESCE(v_watch.versions_at, 0) < v_now - 5000 AND v_now >= v_hold_until THEN
        v_rows := v_rows + dbos_sys.upgrade_gone(v_watch.application_name, v_now);
        UPDATE dbos_ops.watches AS w SET versions_at = v_now WHERE w.application_name = v_watch.application_name;
      END IF;
    EXCEPTION WHEN data_exception OR syntax_error_or_access_rule_violation OR integrity_constraint_violation OR internal_error THEN
      RAISE WARNING 'cannot watch application %: %', dbos_sys.shown(v_watch.application_name), SQLERRM;
    END;
  END LOOP;
  RETURN v_rows;
END;
$$;
COMMENT ON FUNCTION dbos_sys.watch_tick() IS
'Enqueues again what dead executors of watched applications have PENDING, and moves the work of versions that nobody runs where watch() says so;
returns how many workflows. See watch().';
