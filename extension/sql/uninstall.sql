-- uninstall(): the way back. Schema dbos_ops goes; schema dbos stays as upstream's SDKs know it, with its rows, and they run on.

-- Processes of ours that are at work: without dbos_ops they cannot go on. What stock SDKs run is no matter of dbos_ops.
CREATE OR REPLACE FUNCTION dbos_sys.live_executors()
RETURNS text[]
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  IF to_regclass('dbos_ops.executors') IS NULL THEN
    RETURN '{}';
  END IF;
  RETURN ARRAY(
    SELECT format('%s of application %s', dbos_sys.shown(e.executor_id), dbos_sys.shown(e.application_name))
    FROM dbos_ops.executors AS e
    WHERE e.incarnation <> '' AND e.ended_at IS NULL
      AND (dbos_sys.has_session(e.incarnation) OR (NOT e.sessions AND e.last_seen + e.lease_ms > dbos_sys.now_ms()))
    ORDER BY e.application_name, e.executor_id);
END;
$$;

-- Workflows that only our own executors, now gone, could finish: each is PENDING under one of them.
CREATE OR REPLACE FUNCTION dbos_sys.left_pending()
RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  IF to_regclass('dbos_ops.executors') IS NULL OR to_regclass('dbos.workflow_status') IS NULL THEN
    RETURN 0;
  END IF;
  RETURN (
    SELECT count(*) FROM dbos.workflow_status AS w
    WHERE w.status = 'PENDING' AND EXISTS (
      SELECT FROM dbos_ops.executors AS e
      WHERE e.incarnation <> '' AND e.executor_id = w.executor_id AND e.application_name = w.application_name));
END;
$$;

-- Workflows that are nowhere but in the archive.
CREATE OR REPLACE FUNCTION dbos_sys.left_archived()
RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  IF to_regclass('dbos_ops.archive') IS NULL THEN
    RETURN 0;
  END IF;
  RETURN (SELECT COALESCE(sum(cardinality(a.ids)), 0) FROM dbos_ops.archive AS a WHERE a.part = 0);
END;
$$;

-- Paused queues: with dbos_ops goes the limit that each had, and SDKs would go on reading "no room".
CREATE OR REPLACE FUNCTION dbos_sys.left_paused()
RETURNS text[]
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  IF to_regclass('dbos_ops.queue_settings') IS NULL OR to_regclass('dbos.queues') IS NULL THEN
    RETURN '{}';
  END IF;
  RETURN ARRAY(
    SELECT dbos_sys.shown(s.queue_name) FROM dbos_ops.queue_settings AS s JOIN dbos.queues AS q ON q.name = s.queue_name AND q.queue_id = s.queue_id
    WHERE s.paused ORDER BY s.queue_name);
END;
$$;

-- What lies in dbos_ops beside our tables: it is somebody's, and is not dropped.
CREATE OR REPLACE FUNCTION dbos_sys.uninstall_check_strangers()
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  v_strangers text := (
    SELECT string_agg(s.what, ', ' ORDER BY s.what) FROM (
      SELECT c.relname::text AS what FROM pg_class AS c
      WHERE c.relnamespace = to_regnamespace('dbos_ops') AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
        AND NOT EXISTS (SELECT FROM pg_inherits AS i WHERE i.inhrelid = c.oid AND i.inhparent = to_regclass('dbos_ops.archive'))
        AND c.relname NOT IN (SELECT t.table_name FROM dbos_sys.ops_tables() AS t)
      UNION ALL
      SELECT p.oid::regprocedure::text FROM pg_proc AS p WHERE p.pronamespace = to_regnamespace('dbos_ops')) AS s);
BEGIN
  IF v_strangers IS NOT NULL THEN
    PERFORM dbos_sys.fail('WF003', 'schema dbos_ops holds objects that dbos_sys did not make: ' || v_strangers, NULL,
      'Move them: ALTER TABLE … SET SCHEMA, or drop them; then call uninstall() again.');
  END IF;
END;
$$;

-- Drops as the owner, and takes back what install() gave to the worker's role. The locks come first: who registers now waits, and then
-- finds no table.
CREATE OR REPLACE FUNCTION dbos_sys.uninstall_drop(p_owner name)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  v_tables text[] := ARRAY(
    SELECT format('dbos_ops.%I', t.table_name) FROM dbos_sys.ops_tables() AS t WHERE to_regclass('dbos_ops.' || t.table_name) IS NOT NULL);
  v_executors text[];
  v_pending bigint;
  v_detail text;
BEGIN
  IF v_tables <> '{}' THEN
    PERFORM dbos_sys.install_lock_tables(p_owner, array_to_string(v_tables, ', '),
      'Call uninstall() again when long transactions on them have ended (pg_stat_activity).');
  END IF;
  v_executors := dbos_sys.live_executors();
  v_pending := dbos_sys.left_pending();
  IF v_executors <> '{}' THEN
    PERFORM dbos_sys.fail('WF003', format('executors of dbos_sys are at work: %s', array_to_string(v_executors[1:3], ', ') || CASE WHEN cardinality(v_executors) > 3 THEN ', …' ELSE '' END),
      'They need the tables of schema dbos_ops.', 'Stop these processes, then call uninstall() again. Applications on official SDKs may go on.');
  ELSIF v_pending > 0 THEN
    PERFORM dbos_sys.fail('WF003', format('PENDING under executors of dbos_sys that have gone: %s workflows', v_pending),
      'Nobody would enqueue them again.', 'Let them be recovered (SELECT * FROM dbos_sys.maintain();) or cancel them, then call uninstall() again.');
  END IF;
  IF dbos_sys.left_archived() > 0 THEN
    PERFORM dbos_sys.fail('WF003', format('the archive holds %s workflows', dbos_sys.left_archived()), 'They would be lost with schema dbos_ops.',
      'Export them, and drop each month of SELECT * FROM dbos_sys.archives() with drop_archive(); or put them back with restore().');
  END IF;
  IF dbos_sys.left_paused() <> '{}' THEN
    PERFORM dbos_sys.fail('WF003', 'queues are paused: ' || array_to_string(dbos_sys.left_paused(), ', '), 'Their limits would be lost with schema dbos_ops, and nobody could resume them.',
      'resume_queue() each, and call uninstall() again; to keep one still, an SDK can set its concurrency to 0.');
  END IF;
  IF to_regrole('dbos_sys_worker') IS NOT NULL AND has_schema_privilege('dbos_sys_worker', 'dbos', 'USAGE') THEN
    PERFORM dbos_sys.install_run(p_owner, ARRAY[
      'REVOKE ALL ON ALL TABLES IN SCHEMA dbos FROM dbos_sys_worker', 'REVOKE ALL ON ALL ROUTINES IN SCHEMA dbos FROM dbos_sys_worker',
      'REVOKE ALL ON SCHEMA dbos FROM dbos_sys_worker']);
  END IF;
  PERFORM dbos_sys.install_run(p_owner,
    ARRAY(SELECT 'DROP TABLE ' || array_to_string(v_tables, ', ') WHERE v_tables <> '{}') || ARRAY['DROP SCHEMA dbos_ops']);
EXCEPTION WHEN dependent_objects_still_exist THEN
  GET STACKED DIAGNOSTICS v_detail = PG_EXCEPTION_DETAIL;
  PERFORM dbos_sys.fail('WF003', 'other objects depend on the tables of schema dbos_ops', v_detail || '.', 'Drop these objects first, then call uninstall() again.');
END;
$$;

CREATE OR REPLACE FUNCTION dbos_sys.uninstall(dry_run boolean DEFAULT true)
RETURNS TABLE (item text, action text)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET lock_timeout = '30s'
AS $$
DECLARE
  v_owner name := (SELECT pg_get_userbyid(n.nspowner) FROM pg_namespace AS n WHERE n.nspname = 'dbos_ops');
  v_table text;
  v_rows bigint;
BEGIN
  IF dry_run IS NULL THEN
    PERFORM dbos_sys.fail('WF001', 'dry_run is NULL', NULL, 'SELECT * FROM dbos_sys.uninstall(dry_run => true); only tells what false would do.');
  ELSIF v_owner IS NULL THEN
    RETURN QUERY SELECT 'schema dbos_ops', 'absent: nothing to do';
    RETURN;
  END IF;
  PERFORM dbos_sys.install_check_readable('uninstall()');
  PERFORM dbos_sys.uninstall_check_strangers();
  IF NOT dry_run THEN
    PERFORM dbos_sys.install_check_session('uninstall(dry_run => false)');
    PERFORM dbos_sys.install_lock();
    PERFORM dbos_sys.install_owner(v_owner, true);
  END IF;
  FOR v_table IN SELECT t.table_name FROM dbos_sys.ops_tables() AS t WHERE to_regclass('dbos_ops.' || t.table_name) IS NOT NULL ORDER BY 1 LOOP
    EXECUTE format('SELECT count(*) FROM dbos_ops.%I', v_table) INTO v_rows;
    RETURN QUERY SELECT 'table dbos_ops.' || v_table, format('%s, with %s rows', CASE WHEN dry_run THEN 'would be dropped' ELSE 'dropped' END, v_rows);
  END LOOP;
  RETURN QUERY SELECT 'schema dbos_ops', CASE WHEN dry_run THEN 'would be dropped' ELSE 'dropped' END;
  RETURN QUERY SELECT 'schema dbos', format('stays as it is, at version %s', dbos_sys.schema_version()) WHERE to_regclass('dbos.dbos_migrations') IS NOT NULL;
  IF dry_run THEN
    RETURN QUERY SELECT 'executor ' || e.name, 'is at work: stop it first' FROM unnest(dbos_sys.live_executors()) AS e(name);
    RETURN QUERY SELECT 'workflows', format('PENDING under executors of dbos_sys that have gone: %s; let them be recovered first', p.number)
    FROM dbos_sys.left_pending() AS p(number) WHERE p.number > 0 AND dbos_sys.live_executors() = '{}';
    RETURN QUERY SELECT 'archive', format('holds %s workflows: export and drop it first', a.number) FROM dbos_sys.left_archived() AS a(number) WHERE a.number > 0;
    RETURN QUERY SELECT 'queue ' || q.name, 'is paused: resume it first' FROM unnest(dbos_sys.left_paused()) AS q(name);
  ELSE
    PERFORM dbos_sys.uninstall_drop(v_owner);
  END IF;
END;
$$;
COMMENT ON FUNCTION dbos_sys.uninstall(boolean) IS
'Drops schema dbos_ops and leaves schema dbos, its rows and the applications on official SDKs as they are; returns what was done, or with
dry_run what would be. Refused (WF003) while executors of dbos_sys are at work or have left PENDING workflows behind, while the
archive holds workflows or queues are paused, and when others put objects into dbos_ops. install() makes it again; DROP EXTENSION dbos_sys removes the functions. Called by the owner of the tables, a member of
it, or a superuser.';
