-- recover(): an operator says who is dead; who can be seen to live is refused.
-- Lock order: as recovery.sql.

-- A watched executor lives while a session of its name is connected: pg_stat_activity is asked, not what the last tick noted. Where watched()
-- cannot tell by the name (shared id, ambiguous), the operator knows better. Application NULL: all.
CREATE OR REPLACE FUNCTION dbos_sys.check_unwatched(p_application text, p_executor text, p_version text)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  v_alive record;
BEGIN
  PERFORM pg_stat_clear_snapshot();
  SELECT w.application_name, j.session_name INTO v_alive
  FROM dbos_ops.watches AS w
  CROSS JOIN LATERAL dbos_sys.judge_watched(w.application_name, dbos_sys.now_ms()) AS j
  WHERE (p_application IS NULL OR w.application_name = p_application) AND j.executor_id = p_executor
    AND (p_version IS NULL OR j.application_version = p_version) AND j.state NOT IN ('shared id', 'ambiguous')
    AND j.session_name IN (SELECT l.name FROM dbos_sys.sessions_like(w.session_name, NULL) AS l(name))
  LIMIT 1;
  IF FOUND THEN
    PERFORM dbos_sys.fail('WF020', format('executor %s of application %s is alive', dbos_sys.shown(p_executor), dbos_sys.shown(v_alive.application_name)),
      format('A session named %s is connected.', dbos_sys.shown(v_alive.session_name)),
      'Stop it first, or pass p_force => true: then another executor takes its workflows while it still runs them.');
  END IF;
END;
$$;

-- A name that nothing here bears is a slip, not an executor without work.
CREATE OR REPLACE FUNCTION dbos_sys.check_recoverable(p_application text, p_version text)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  IF p_application IS NOT NULL THEN
    PERFORM dbos_sys.check_text('application', p_application);
    IF NOT EXISTS (SELECT FROM dbos.workflow_status AS w WHERE w.status = 'PENDING' AND w.application_name = p_application) THEN
      PERFORM dbos_sys.check_application(p_application);
    END IF;
  END IF;
  IF p_version IS NULL THEN
    RETURN;
  END IF;
  PERFORM dbos_sys.check_text('version', p_version);
  IF NOT EXISTS (
      SELECT FROM dbos.application_versions AS v
      WHERE v.version_name = p_version AND (p_application IS NULL OR COALESCE(v.application_name, p_application) = p_application)
      UNION ALL SELECT FROM dbos_ops.executors AS e
      WHERE e.application_version = p_version AND (p_application IS NULL OR e.application_name = p_application)
      UNION ALL SELECT FROM dbos.workflow_status AS w
      WHERE w.status = 'PENDING' AND w.application_version = p_version AND (p_application IS NULL OR w.application_name = p_application)) THEN
    PERFORM dbos_sys.fail('WF033', format('no version %s%s is known here', dbos_sys.shown(p_version),
        CASE WHEN p_application IS NOT NULL THEN ' of application ' || dbos_sys.shown(p_application) ELSE '' END),
      'No executor registered it, and no PENDING workflow bears it.',
      'SELECT DISTINCT executor_id, application_version FROM dbos.workflow_status WHERE status = ''PENDING''; shows who holds what.');
  END IF;
END;
$$;

-- An operator's recover(): one executor under its exclusive lock. `p_all`: what runs under its id, of whatever application.
CREATE OR REPLACE FUNCTION dbos_sys.recover_executor(p_application text, p_executor text, p_version text, p_force boolean, p_all boolean)
RETURNS integer
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  v_now bigint := dbos_sys.now_ms();
  v_executor record;
BEGIN
  PERFORM dbos_sys.check_isolation();
  PERFORM pg_advisory_xact_lock(dbos_sys.executor_key(p_application, p_executor));
  SELECT e.* INTO v_executor FROM dbos_ops.executors AS e
  WHERE e.application_name = p_application AND e.executor_id = p_executor AND e.ended_at IS NULL FOR UPDATE;
  IF FOUND THEN
    IF NOT p_force AND v_executor.last_seen + v_executor.lease_ms > v_now
      AND (NOT v_executor.sessions OR dbos_sys.has_session(v_executor.incarnation)) THEN
      PERFORM dbos_sys.fail('WF020', format('executor %s of application %s is alive', dbos_sys.shown(p_executor), dbos_sys.shown(p_application)),
        format('It was seen %s ms ago.', v_now - v_executor.last_seen), 'Stop it first, or pass p_force => true: its runs then stop at their next write.');
    END IF;
    UPDATE dbos_ops.executors AS e SET ended_at = v_now, ended_why = 'recovered by hand', suspect_since = NULL
    WHERE e.application_name = p_application AND e.executor_id = p_executor;
  ELSIF NOT p_force THEN
    PERFORM dbos_sys.check_unwatched(CASE WHEN NOT p_all THEN p_application END, p_executor, p_version);
  END IF;
  RETURN dbos_sys.requeue_executor(CASE WHEN NOT p_all THEN p_application END, p_executor, p_version, false);
END;
$$;

CREATE OR REPLACE FUNCTION dbos_sys.recover(
  p_executors text[], p_application text DEFAULT NULL, p_version text DEFAULT NULL, p_force boolean DEFAULT false)
RETURNS integer
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  v_ids text[] := dbos_sys.check_ids('executor id', p_executors);
  v_rows integer := 0;
  v_executor record;
BEGIN
  PERFORM dbos_sys.check_installed();
  PERFORM dbos_sys.check_recoverable(p_application, p_version);
  FOR v_executor IN
    SELECT DISTINCT a.application, i.id
    FROM unnest(v_ids) AS i(id),
    LATERAL (
      SELECT p_application AS application WHERE p_application IS NOT NULL
      UNION SELECT e.application_name FROM dbos_ops.executors AS e WHERE p_application IS NULL AND e.executor_id = i.id
      UNION SELECT '' WHERE p_application IS NULL) AS a
    ORDER BY a.application DESC, i.id
  LOOP
    v_rows := v_rows + dbos_sys.recover_executor(v_executor.application, v_executor.id, p_version, COALESCE(p_force, false),
      v_executor.application = '');
  END LOOP;
  RETURN v_rows;
END;
$$;
COMMENT ON FUNCTION dbos_sys.recover(text[], text, text, boolean) IS
'Enqueues again what these executors have PENDING, of one application and version or (NULL) of all, and returns how many. For executors of every
SDK; those that live are refused unless p_force: by their lease or sessions where they registered here, else by the sessions that watch() knows
them by. Errors: WF001, WF020 (alive), WF033 (unknown application
or version).';
