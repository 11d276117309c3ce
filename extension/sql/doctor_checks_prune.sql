-- The line of doctor() about retention: who prunes, how the last round ended, and whether what lies here is under a policy.

-- The database in which pg_cron lives; NULL without it, and for roles that may not know.
CREATE OR REPLACE FUNCTION dbos_sys.cron_home()
RETURNS text
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN (SELECT s.setting FROM pg_settings AS s WHERE s.name = 'cron.database_name');
END;
$$;

-- What of pg_cron is here: in which database do its jobs lie, which of them prune or maintain, how many of these prune whatever
-- dbos_sys.prune_interval says, and how did the last run of each end.
CREATE OR REPLACE FUNCTION dbos_sys.cron_prune(OUT jobs bigint, OUT inactive bigint, OUT pruning bigint, OUT failed text, OUT ended timestamptz, OUT hidden text)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  jobs := 0;
  inactive := 0;
  pruning := 0;
  IF to_regnamespace('cron') IS NOT NULL AND NOT has_schema_privilege('cron', 'USAGE') THEN
    hidden := 'jobs of pg_cron are hidden';
    RETURN;
  ELSIF to_regclass('cron.job') IS NULL THEN
    hidden := CASE WHEN dbos_sys.cron_home() <> current_database() THEN format('pg_cron keeps its jobs in database %s', dbos_sys.cron_home()) END;
    RETURN;
  END IF;
  -- pg_cron shows a role its own jobs. That which forgets old runs names the commands of the others.
  hidden := CASE WHEN NOT (SELECT r.rolsuper OR r.rolbypassrls FROM pg_roles AS r WHERE r.rolname = current_user) THEN 'jobs of other roles are hidden' END;
  EXECUTE $q$
    SELECT count(*) FILTER (WHERE j.active), count(*) FILTER (WHERE NOT j.active), count(*) FILTER (WHERE j.active AND j.command ~* 'dbos_sys\.prune\y')
    FROM cron.job AS j WHERE j.command ~* 'dbos_sys\.(prune|maintain)\y' AND j.command !~* '^\s*DELETE\y' AND j.database = current_database()$q$ INTO jobs, inactive, pruning;
  IF to_regclass('cron.job_run_details') IS NOT NULL THEN
    -- A run that never came to a connection has no times.
    EXECUTE $q$
      SELECT min(l.return_message) FILTER (WHERE l.status = 'failed'), max(l.end_time) FILTER (WHERE l.status = 'succeeded')
      FROM cron.job AS j CROSS JOIN LATERAL (
        SELECT d.status, d.return_message, d.end_time FROM cron.job_run_details AS d
        WHERE d.jobid = j.jobid AND (d.end_time IS NOT NULL OR d.status = 'failed') ORDER BY d.runid DESC LIMIT 1) AS l
      WHERE j.active AND j.command ~* 'dbos_sys\.(prune|maintain)\y' AND j.command !~* '^\s*DELETE\y' AND j.database = current_database()$q$ INTO failed, ended;
  END IF;
END;
$$;

-- Finished workflows; those that have been so for longer than a month, counted to a bound, for the doctor must not take long; and how many of these
-- no policy is for.
CREATE OR REPLACE FUNCTION dbos_sys.ended_rows(OUT rows bigint, OUT old bigint, OUT ungoverned bigint, OUT bytes bigint)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  v_before bigint := dbos_sys.now_ms() - 2592000000;
  v_policies boolean := to_regclass('dbos_ops.retention_policies') IS NOT NULL;
BEGIN
  SELECT GREATEST(c.reltuples, 0)::bigint INTO rows FROM pg_class AS c WHERE c.oid = to_regclass('dbos.workflow_status');
  WITH oldest AS (
    SELECT w.name, w.queue_name, w.application_name, w.status FROM dbos.workflow_status AS w WHERE w.completed_at < v_before ORDER BY w.completed_at LIMIT 1000),
  kinds AS (
    SELECT o.name, o.queue_name, o.application_name, o.status, count(*) AS workflows FROM oldest AS o GROUP BY 1, 2, 3, 4)
  SELECT COALESCE(sum(k.workflows), 0), COALESCE(sum(k.workflows) FILTER (WHERE v_policies AND
    dbos_sys.retention_of(true, k.name, k.queue_name, k.application_name, k.status) IS NULL), 0) INTO old, ungoverned FROM kinds AS k;
  SELECT sum(pg_total_relation_size(c.oid))::bigint INTO bytes FROM pg_class AS c WHERE c.relnamespace = to_regnamespace('dbos') AND c.relkind = 'r';
END;
$$;

-- Policies that let something go, and what the last round of prune() left; NULL where this release has no retention.
CREATE OR REPLACE FUNCTION dbos_sys.retention_state(OUT policies bigint, OUT ended_at bigint, OUT failure text)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  IF to_regclass('dbos_ops.retention_policies') IS NOT NULL THEN
    EXECUTE $q$SELECT count(*) FROM dbos_ops.retention_policies AS p WHERE COALESCE(to_jsonb(p) ->> 'keep_ms', to_jsonb(p) ->> 'keep_rows') IS NOT NULL$q$ INTO policies;
  END IF;
  IF to_regclass('dbos_ops.pruner') IS NOT NULL THEN
    EXECUTE $q$SELECT (to_jsonb(r) ->> 'ended_at')::bigint, to_jsonb(r) ->> 'failure' FROM dbos_ops.pruner AS r$q$ INTO ended_at, failure;
  END IF;
END;
$$;

-- Whether a schedule runs a workflow that prunes, as far as names tell.
CREATE OR REPLACE FUNCTION dbos_sys.scheduled_prune()
RETURNS boolean
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN to_regclass('dbos.workflow_schedules') IS NOT NULL AND EXISTS (
    SELECT FROM dbos.workflow_schedules AS s WHERE s.status = 'ACTIVE' AND concat_ws(' ', s.schedule_name, s.workflow_name) ~* 'prun(e|ing)');
END;
$$;

-- Who is known to call prune(), of `p_jobs` jobs of pg_cron that maintain or prune and `p_pruning` that prune: NULL, nobody. Where
-- dbos_sys.prune_interval is not 0, who maintains the database prunes it.
CREATE OR REPLACE FUNCTION dbos_sys.known_pruner(p_jobs bigint, p_pruning bigint)
RETURNS text
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN CASE
    WHEN p_pruning > 0 THEN 'pg_cron'
    WHEN dbos_sys.scheduled_prune() THEN 'a schedule'
    WHEN dbos_sys.setting_ms('prune_interval', '60s') = 0 THEN NULL
    WHEN p_jobs > 0 THEN 'pg_cron'
    WHEN dbos_sys.preloaded() AND current_database() = ANY (dbos_sys.worker_databases()) THEN 'the background worker'
    WHEN to_regclass('dbos_ops.ticker') IS NOT NULL AND EXISTS (SELECT FROM dbos_ops.ticker AS t WHERE t.last_tick > dbos_sys.now_ms() - 90000) THEN 'a client' END;
END;
$$;

-- A policy to look at, which deletes nothing yet: of the application, else of the workflow, that most of the oldest finished ones are of.
CREATE OR REPLACE FUNCTION dbos_sys.policy_to_try(p_tables boolean)
RETURNS text
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  v_selects text;
BEGIN
  IF p_tables THEN
    SELECT CASE WHEN w.application_name IS NOT NULL THEN format('application => %L', w.application_name) ELSE format('workflow => %L', w.name) END INTO v_selects
    FROM (
      SELECT o.application_name, CASE WHEN o.application_name IS NULL THEN o.name END AS name FROM dbos.workflow_status AS o
      WHERE o.completed_at IS NOT NULL ORDER BY o.completed_at LIMIT 1000) AS w
    WHERE COALESCE(w.application_name, w.name) <> ''
    GROUP BY w.application_name, w.name ORDER BY w.application_name IS NULL, count(*) DESC, 1 LIMIT 1;
  END IF;
  RETURN format('BEGIN; SELECT dbos_sys.retain(''30 days'', %s); SELECT * FROM dbos_sys.prune(dry_run => true); ROLLBACK;',
    COALESCE(v_selects, 'application => ''NAME'''));
END;
$$;

CREATE OR REPLACE FUNCTION dbos_sys.doctor_prune(OUT state text, OUT finding text, OUT mend text)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  v_cron record;
  v_rows record;
  v_kept record;
  v_ended bigint;
  v_ago bigint;
  v_off boolean := dbos_sys.setting_ms('prune_interval', '60s') = 0;
  v_nobody boolean;
  v_tables boolean := dbos_sys.has_tables();
  v_elsewhere text := (
    SELECT format('in database %I, where pg_cron lives: SELECT * FROM dbos_sys.schedule_maintenance(database => %L);', h.name, current_database())
    FROM dbos_sys.cron_home() AS h(name) WHERE h.name <> current_database());
BEGIN
  SELECT c.jobs, c.inactive, c.pruning, c.failed, c.ended, c.hidden INTO v_cron FROM dbos_sys.cron_prune() AS c;
  SELECT f.rows, f.old, f.ungoverned, f.bytes INTO v_rows FROM dbos_sys.ended_rows() AS f WHERE v_tables;
  SELECT r.policies, r.ended_at, r.failure INTO v_kept FROM dbos_sys.retention_state() AS r;
  -- Whoever ran it: pg_cron, the worker, a client, a scheduled workflow.
  v_ended := COALESCE(v_kept.ended_at, CASE WHEN v_kept.policies IS NULL THEN (EXTRACT(epoch FROM v_cron.ended) * 1000)::bigint END);
  v_ago := (dbos_sys.now_ms() - v_ended) / 60000;
  -- Whoever ran the last round, none of those that are known runs another.
  v_off := v_off AND v_cron.pruning = 0;
  v_nobody := v_tables AND v_kept.policies > 0 AND dbos_sys.known_pruner(v_cron.jobs, v_cron.pruning) IS NULL;
  state := CASE
    WHEN v_cron.failed IS NOT NULL OR v_kept.failure IS NOT NULL THEN 'bad'
    WHEN NOT v_tables THEN 'not known'
    WHEN v_kept.policies = 0 OR (v_nobody AND v_cron.hidden IS NULL) OR v_rows.ungoverned > 0 THEN 'warn'
    WHEN v_nobody THEN 'not known'
    WHEN v_ago <= 1500 THEN 'ok'
    WHEN v_ago IS NULL AND (v_cron.jobs > 0 OR v_kept.policies > 0 OR (v_cron.hidden IS NOT NULL AND v_rows.old = 0)) THEN 'not known' ELSE 'warn' END;
  finding := array_to_string(array_remove(ARRAY[
    CASE WHEN NOT v_tables THEN 'DBOS tables are not installed here' END,
    CASE WHEN v_kept.policies > 0 THEN format('%s retention policies', v_kept.policies) ELSE 'no retention policy' END,
    CASE WHEN v_cron.jobs > 0 THEN format('%s pg_cron jobs', v_cron.jobs) WHEN v_cron.inactive > 0 THEN 'a pg_cron job that is switched off'
      WHEN v_kept.policies IS NULL THEN 'no job that prunes' END,
    CASE WHEN v_nobody THEN CASE WHEN v_off THEN 'nothing prunes: dbos_sys.prune_interval is 0' ELSE 'nothing is known to prune: nobody maintains this database' END
      || ', and neither a pg_cron job nor a schedule does' WHEN v_off THEN 'dbos_sys.prune_interval is 0' END,
    CASE WHEN state = 'bad' THEN 'the last run failed: ' || COALESCE(v_cron.failed, v_kept.failure)
      WHEN v_ago IS NOT NULL THEN format('the last run ended %s min ago', v_ago) ELSE 'no run has ended yet' END,
    v_cron.hidden,
    CASE WHEN v_rows.old > 0 THEN format('%s workflows ended more than 30 days ago', CASE WHEN v_rows.old >= 1000 THEN '1000 and more' ELSE v_rows.old::text END)
      || CASE WHEN v_kept.policies > 0 AND v_rows.ungoverned > 0 THEN format(', %s of these under no policy', v_rows.ungoverned) ELSE '' END END,
    CASE WHEN v_tables THEN format('about %s workflows, %s', GREATEST(v_rows.rows, v_rows.old), pg_size_pretty(v_rows.bytes)) END], NULL), '; ');
  -- Step by step, each where it is to be done.
  mend := CASE
    WHEN v_kept.failure LIKE '%archive has no partition%' THEN 'SELECT dbos_sys.archive_partitions();  -- as the owner of the tables'
    WHEN v_kept.failure IS NOT NULL AND v_cron.failed IS NULL THEN 'Mend what it names, then CALL dbos_sys.prune(); tells whether it is gone.'
    WHEN v_nobody AND v_cron.inactive > 0 THEN 'SELECT * FROM dbos_sys.schedule_maintenance();  -- switches the job on again'
    WHEN v_nobody AND NOT v_off THEN COALESCE(upper(left(v_elsewhere, 1)) || substr(v_elsewhere, 2), CASE WHEN to_regclass('cron.job') IS NOT NULL
      THEN 'SELECT * FROM dbos_sys.schedule_maintenance();' ELSE 'Name the database in dbos_sys.databases, or have CALL dbos_sys.prune(); called by the clock.' END)
    WHEN v_nobody THEN 'ALTER SYSTEM SET dbos_sys.prune_interval = ''1min''; SELECT pg_reload_conf();  -- or, with pg_cron: SELECT * FROM dbos_sys.schedule_maintenance();'
    WHEN v_kept.policies > 0 AND v_rows.ungoverned = 0 THEN upper(left(v_elsewhere, 1)) || substr(v_elsewhere, 2)
    ELSE CASE WHEN v_kept.policies IS NULL OR NOT v_tables THEN 'SELECT dbos_sys.install(); ' ELSE '' END || dbos_sys.policy_to_try(v_tables) || '  -- shows what would go; then retain(…) for good, and '
      || COALESCE(v_elsewhere, 'see that somebody runs prune()') END;
END;
$$;
COMMENT ON FUNCTION dbos_sys.doctor_prune() IS
'ok: a run of prune() or of a pg_cron job that calls it ended within 25 hours, and it is known who runs the next. bad: the last one failed, be it that
pg_cron got no connection. warn: nothing is known to prune (nobody maintains, or dbos_sys.prune_interval is 0, and no job or schedule does), or nothing did
for so long; or workflows that ended a month ago are under no policy. not known: a job or policy is there and no run has ended yet, or jobs are hidden.';
