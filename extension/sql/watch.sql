-- watch(): which applications on other SDKs are watched, under which names of sessions, and what is seen of them (judge.sql judges).

-- Refusals of watch() that its arguments alone explain.
CREATE OR REPLACE FUNCTION dbos_sys.check_watch(p_session_name text, p_grace bigint, p_version_gone text, p_version_grace bigint)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  v_rest text := replace(replace(p_session_name, '{executor}', ''), '{version}', '');
  v_example CONSTANT text := 'As ''dbos_transact_{executor}_{version}'', the name that the TypeScript SDK gives its sessions.';
BEGIN
  PERFORM dbos_sys.check_text('session name', p_session_name);
  IF p_session_name NOT LIKE '%{executor}%' THEN
    PERFORM dbos_sys.fail('WF001', format('session name %s does not tell executors apart: it has no {executor}', dbos_sys.shown(p_session_name)), NULL, v_example);
  ELSIF v_rest ~ '[{}]' OR length(p_session_name) - length(replace(p_session_name, '{executor}', '')) > 10 THEN
    PERFORM dbos_sys.fail('WF001', format('session name %s has braces that stand for nothing', dbos_sys.shown(p_session_name)),
      'There are {executor}, once, and {version}.', v_example);
  ELSIF length(v_rest) < 3 OR v_rest ~ '[^ -~]' THEN
    PERFORM dbos_sys.fail('WF001', format('session name %s would match other sessions too', dbos_sys.shown(p_session_name)),
      'Besides {executor} and {version} it needs three printable ASCII characters.', v_example);
  ELSIF p_grace NOT BETWEEN 1000 AND 86400000 THEN
    PERFORM dbos_sys.fail('WF001', format('grace is %s ms', p_grace), 'Allowed: 1 s to 1 day. Every pool loses a connection now and then.');
  ELSIF p_version_gone IS NULL OR p_version_gone NOT IN ('wait', 'upgrade', 'upgrade_unstarted') THEN
    PERFORM dbos_sys.fail('WF001', format('version_gone is %s', dbos_sys.shown(p_version_gone)), 'Allowed: wait, upgrade, upgrade_unstarted.');
  ELSIF p_version_gone <> 'wait' AND p_session_name NOT LIKE '%{version}%' THEN
    PERFORM dbos_sys.fail('WF001', format('version_gone is %s, and session name %s does not tell versions apart', dbos_sys.shown(p_version_gone),
      dbos_sys.shown(p_session_name)), 'It has no {version}: an idle executor of an old version cannot be told from one of the latest.',
      'Name the sessions with their version as well (docs/adopt.md): as ''dbos_transact_{executor}_{version}''; or leave it at wait: watched_versions() lists what strands.');
  ELSIF p_version_grace NOT BETWEEN 1000 AND 2592000000 THEN
    PERFORM dbos_sys.fail('WF001', format('version_grace is %s ms', p_version_grace), 'Allowed: 1 s to 30 days.');
  END IF;
END;
$$;

CREATE OR REPLACE FUNCTION dbos_sys.check_application(p_application text)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  v_known text[];
BEGIN
  IF p_application = '' THEN
    RETURN;
  END IF;
  v_known := ARRAY(
    SELECT v.application_name FROM dbos.application_versions AS v WHERE v.application_name IS NOT NULL
    UNION SELECT e.application_name FROM dbos_ops.executors AS e WHERE e.application_name <> ''
    UNION SELECT q.application_name FROM dbos.queues AS q WHERE q.application_name IS NOT NULL ORDER BY 1);
  IF p_application <> ALL (v_known) THEN
    PERFORM dbos_sys.fail('WF033', format('no application %s is known here', dbos_sys.shown(p_application)),
      CASE WHEN v_known = '{}' THEN 'None has registered a version yet.' ELSE format('Known: %s.', left(array_to_string(v_known, ', '), 300)) END,
      'Start it once, or give its name as its configuration has it; NULL stands for workflows that bear no application''s name.');
  END IF;
END;
$$;

-- A workflow of the application's version that an SDK without owner fencing has run, of its PENDING ones and its newest.
CREATE OR REPLACE FUNCTION dbos_sys.unfenced_run(p_application text, p_version text)
RETURNS text
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN (
    SELECT f.workflow_uuid
    FROM (
      SELECT w.workflow_uuid FROM dbos.workflow_status AS w
      WHERE w.status = 'PENDING' AND COALESCE(w.application_name, '') = p_application AND w.application_version = p_version
        AND w.executor_id IS NOT NULL AND dbos_sys.is_unfenced(w.owner_xid, w.creator_xid, w.queue_name)
      UNION ALL
      SELECT n.workflow_uuid
      FROM (
        SELECT w.workflow_uuid, w.status, w.owner_xid, w.executor_id FROM dbos.workflow_status AS w
        WHERE COALESCE(w.application_name, '') = p_application AND w.application_version = p_version
        ORDER BY w.created_at DESC LIMIT 5000) AS n
      WHERE n.status IN ('SUCCESS', 'ERROR') AND n.owner_xid IS NOT NULL AND n.executor_id IS NOT NULL
    ) AS f LIMIT 1);
END;
$$;

-- Refusals that come from what is connected and what is recorded.
CREATE OR REPLACE FUNCTION dbos_sys.check_watchable(p_application text, p_session_name text, p_accept_unfenced boolean, p_force boolean)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  v_versions text[] := ARRAY(SELECT v.version_name FROM dbos.application_versions AS v WHERE COALESCE(v.application_name, '') = p_application);
  v_shared text;
  v_unfenced text;
BEGIN
  SELECT a.application_name INTO v_shared FROM pg_stat_activity AS a
  WHERE a.datid = (SELECT d.oid FROM pg_database AS d WHERE d.datname = current_database()) AND a.application_name IN (SELECT dbos_sys.session_name(p_session_name, 'local', v.version) FROM unnest(v_versions) AS v(version));
  IF v_shared IS NOT NULL OR EXISTS (
    SELECT FROM dbos.workflow_status AS w WHERE w.status = 'PENDING' AND w.executor_id = 'local' AND COALESCE(w.application_name, '') = p_application) THEN
    PERFORM dbos_sys.fail('WF023', format('executor id "local" of application %s may be any number of processes', dbos_sys.shown(p_application)),
      'It is what an SDK takes when nobody gives an id; while one process of the name lives, the death of another cannot be seen.',
      'Set DBOS__VMID to a name of its own for each process (pod name, unit instance, host and number: docs/adopt.md), restart, and finish or '
      'recover() what is PENDING under "local".');
  END IF;
  -- What an older release of the application wrote is no matter, but for what it left PENDING: that is judged when its turn comes.
  v_unfenced := dbos_sys.unfenced_run(p_application, dbos_sys.newest_version(p_application));
  IF v_unfenced IS NOT NULL AND NOT p_accept_unfenced THEN
    PERFORM dbos_sys.fail('WF024', format('application %s runs an SDK without owner fencing', dbos_sys.shown(p_application)),
      format('Workflow %s shows it. When such an executor is taken for dead and lives, both run the workflow, and the later outcome counts.', dbos_sys.shown(v_unfenced)),
      'Update the SDK (docs/interop.md names the versions), or accept that: accept_unfenced => true.');
  END IF;
  IF NOT p_force AND NOT EXISTS (SELECT FROM dbos_sys.sessions_like(p_session_name, NULL)) THEN
    PERFORM dbos_sys.fail('WF022', format('no session of this database is named like %s', dbos_sys.shown(p_session_name)),
      format('Connected: %s.', COALESCE((
        SELECT left(string_agg(DISTINCT quote_literal(a.application_name), ', '), 300) FROM pg_stat_activity AS a
        WHERE a.datname = current_database() AND a.application_name <> '' AND a.pid <> pg_backend_pid()), 'nobody')),
      'Start the application, or give session_name as its sessions are named (docs/adopt.md), or let executors call dbos_sys.heartbeat(); '
      'force => true sets the watch all the same.');
  END IF;
END;
$$;

CREATE OR REPLACE FUNCTION dbos_sys.watched(application text DEFAULT NULL)
RETURNS TABLE (
  application_name text, executor_id text, application_version text, session_name text, state text, since bigint, pending bigint, advice text)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  v_idle text;
BEGIN
  PERFORM dbos_sys.check_installed();
  v_idle := CASE WHEN NOT dbos_sys.is_ticking(dbos_sys.now_ms()) THEN 'nobody maintains this database: see dbos_sys.databases' END;
  RETURN QUERY
  SELECT a.application_name, j.executor_id, j.application_version, j.session_name, j.state, j.since, j.pending,
    CASE j.state
      WHEN 'shared id' THEN 'set DBOS__VMID for each process'
      WHEN 'ambiguous' THEN 'sessions of two executors have one name: shorten the ids or let them call dbos_sys.heartbeat()'
      WHEN 'pooled' THEN 'a pooler lends its sessions: let it call dbos_sys.heartbeat(), or connect directly and call watch() again'
      WHEN 'unfenced' THEN 'update the SDK, or watch(…, accept_unfenced => true)'
      WHEN 'unseen' THEN 'no session of that name was seen: when the process is dead, SELECT dbos_sys.recover(ARRAY[''' || j.executor_id || '''])' ELSE v_idle END
  FROM dbos_ops.watches AS a, LATERAL dbos_sys.judge_watched(a.application_name, dbos_sys.now_ms()) AS j
  WHERE application IS NULL OR a.application_name = application
  UNION ALL
  SELECT s.application_name, NULL, NULL, s.session_name, CASE WHEN s.gone_since IS NULL THEN 'alive' ELSE 'gone' END, COALESCE(s.gone_since, s.seen_at), 0, v_idle
  FROM dbos_ops.watched_sessions AS s
  WHERE (application IS NULL OR s.application_name = application)
    AND NOT EXISTS (SELECT FROM dbos_sys.judge_watched(s.application_name, dbos_sys.now_ms()) AS j WHERE j.session_name = s.session_name)
  ORDER BY 1, 4;
END;
$$;
COMMENT ON FUNCTION dbos_sys.watched(text) IS
'Executors of watched applications that hold PENDING workflows, and session names without any. state: alive; suspect (its sessions are gone, the
grace runs); dead (recovered with the next tick); gone (nothing was left); and those that are never recovered by themselves: unseen (no session of
that name since watch(); recovered after dbos_sys.reconnect_backoff where another executor of the version is seen or was in the last ten minutes, and
none under a name that SDKs give to all), shared id, ambiguous,
pooled (a session was seen under two names, so that an absent name says nothing), unfenced, each with advice. since: ms. Executors that registered or send heartbeats are in executors().';

CREATE OR REPLACE FUNCTION dbos_sys.watched_versions(application text DEFAULT NULL)
RETURNS TABLE (application_name text, application_version text, gone_since bigint, pending bigint, waiting bigint, unstarted bigint)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  PERFORM dbos_sys.check_installed();
  RETURN QUERY
  SELECT a.application_name, g.application_version, v.gone_since, g.pending, g.waiting, g.unstarted
  FROM dbos_ops.watches AS a
  CROSS JOIN LATERAL dbos_sys.versions_gone(a.application_name, dbos_sys.now_ms()) AS g
  LEFT JOIN dbos_ops.watched_versions AS v ON v.application_name = a.application_name AND v.application_version = g.application_version
  WHERE application IS NULL OR a.application_name = application
  ORDER BY 1, 2;
END;
$$;
COMMENT ON FUNCTION dbos_sys.watched_versions(text) IS
'Versions of watched applications with unfinished workflows and no executor: what is PENDING, what waits (enqueued or delayed), and what of that was
never started. Where session_name of watch() has no {version}, an executor counts for the version of what it began last, and for the latest when
that is not known. gone_since (ms) is NULL for the latest version, whose work nobody else may take.';

CREATE OR REPLACE FUNCTION dbos_sys.watch(
  application text, grace interval DEFAULT '5 s', session_name text DEFAULT 'dbos_transact_{executor}_{version}', accept_unfenced boolean DEFAULT false,
  version_gone text DEFAULT 'wait', version_grace interval DEFAULT '60 s', force boolean DEFAULT false)
RETURNS TABLE (executor_id text, application_version text, name text, state text, pending bigint, advice text)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
  v_application text := COALESCE(watch.application, '');
  v_now bigint := dbos_sys.now_ms();
  v_grace bigint := dbos_sys.interval_ms('grace', watch.grace);
  v_version_grace bigint := dbos_sys.interval_ms('version_grace', watch.version_grace);
BEGIN
  PERFORM dbos_sys.check_installed();
  IF watch.application IS NOT NULL THEN
    PERFORM dbos_sys.check_text('application', watch.application);
  END IF;
  PERFORM dbos_sys.check_watch(watch.session_name, v_grace, watch.version_gone, v_version_grace);
  PERFORM dbos_sys.check_application(v_application);
  PERFORM dbos_sys.check_watchable(v_application, watch.session_name, COALESCE(watch.accept_unfenced, false), COALESCE(watch.force, false));
  -- What was noted under another pattern, or of sessions that a pooler lent, says nothing.
  DELETE FROM dbos_ops.watched_sessions AS s
  WHERE s.application_name = v_application AND EXISTS (
    SELECT FROM dbos_ops.watches AS w
    WHERE w.application_name = v_application AND (w.session_name <> watch.session_name OR w.lent_at IS NOT NULL));
  INSERT INTO dbos_ops.watches AS w (application_name, session_name, grace_ms, accept_unfenced, version_gone, version_grace_ms, since, kills)
  VALUES (v_application, watch.session_name, v_grace, COALESCE(watch.accept_unfenced, false), watch.version_gone, v_version_grace, v_now, dbos_sys.sessions_killed())
  ON CONFLICT (application_name) DO UPDATE
  SET session_name = EXCLUDED.session_name, grace_ms = EXCLUDED.grace_ms, accept_unfenced = EXCLUDED.accept_unfenced, version_gone = EXCLUDED.version_gone,
    version_grace_ms = EXCLUDED.version_grace_ms, scanned_at = NULL, versions_at = NULL, lent_at = NULL,
    since = CASE WHEN w.session_name = EXCLUDED.session_name AND w.lent_at IS NULL THEN w.since ELSE EXCLUDED.since END,
    seen_at = CASE WHEN w.session_name = EXCLUDED.session_name THEN w.seen_at END;
  PERFORM dbos_sys.note_server();
  PERFORM dbos_sys.note_sessions(v_application, v_now);
  IF NOT dbos_sys.is_ticking(v_now) THEN
    RAISE WARNING 'nobody maintains this database, so nothing is recovered by itself'
      USING HINT = 'Name it in dbos_sys.databases and restart the server, or let pg_cron (schedule_maintenance()) or any client call dbos_sys.maintain() each second, or each minute at least.';
  END IF;
  RETURN QUERY SELECT s.executor_id, s.application_version, s.session_name, s.state, s.pending, s.advice FROM dbos_sys.watched(v_application) AS s;
END;
$$;
COMMENT ON FUNCTION dbos_sys.watch(text, interval, text, boolean, text, interval, boolean) IS
'Watches the executors of an application on any SDK (NULL: workflows that bear no application''s name). An executor is known by its sessions:
session_name says how they are named ({executor}, {version}; compared as the server cuts names, at 63 bytes). When none of its sessions has been
there for grace (1 s to 1 day), its PENDING workflows are enqueued again, and a live executor of the application and version takes them. After a
server start, and where sessions were ended by an operator or a timeout of the server, it has dbos_sys.reconnect_backoff to come back. An executor
that is cut off for longer loses its work, and its writes are refused. accept_unfenced: the SDK does not refuse them (before schema 123, Java).
version_gone: what becomes of the work of a version without an executor for version_grace: wait (it is listed by watched_versions()), upgrade (what
waits moves to the latest version), upgrade_unstarted (only what never began). Calling it again changes the settings. Errors: WF001, WF022 (nothing
is named so now; force), WF023 (executor id local), WF024 (unfenced), WF033 (unknown application).';

CREATE OR REPLACE FUNCTION dbos_sys.unwatch(application text)
RETURNS boolean
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
  v_application text := COALESCE(unwatch.application, '');
  v_rows integer;
BEGIN
  PERFORM dbos_sys.check_installed();
  DELETE FROM dbos_ops.watched_sessions WHERE application_name = v_application;
  DELETE FROM dbos_ops.watched_versions WHERE application_name = v_application;
  DELETE FROM dbos_ops.watches WHERE application_name = v_application;
  GET DIAGNOSTICS v_rows = ROW_COUNT;
  RETURN v_rows = 1;
END;
$$;
COMMENT ON FUNCTION dbos_sys.unwatch(text) IS 'Ends a watch() and forgets what it noted; workflows stay as they are. False: there was none.';
