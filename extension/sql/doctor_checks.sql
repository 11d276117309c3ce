-- What doctor() looks at, and how it judges: a function for each of its lines (doctor.sql has the table of them). Each returns a state — ok,
-- warn (it costs speed, or will hurt), bad (work is lost or stands still), not known — what was found, and, where the table's own does not do, the
-- command that mends it. A function that raises reads 'not known'; so does whatever a role cannot see. Nothing here writes.
-- This file: of the six lines of the checklist that come first those about the server; doctor_checks_prune.sql has the prune job, doctor_checks_rows.sql
-- throttling.

-- Some names out of many, as a sentence shows them.
CREATE OR REPLACE FUNCTION dbos_sys.some_of(p_names text[], p_show integer DEFAULT 5)
RETURNS text
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN array_to_string(p_names[1:p_show], ', ') || CASE WHEN cardinality(p_names) > p_show THEN format(' and %s more', cardinality(p_names) - p_show) ELSE '' END;
END;
$$;

-- Whether DBOS's tables are here, for roles too that may not look into them.
CREATE OR REPLACE FUNCTION dbos_sys.has_tables()
RETURNS boolean
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN EXISTS (
    SELECT FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace WHERE n.nspname = 'dbos' AND c.relname = 'workflow_status');
END;
$$;

-- A line of which nothing reports yet. The feature that brings the report puts its own function into the table.
CREATE OR REPLACE FUNCTION dbos_sys.doctor_unreported(p_why text, OUT state text, OUT finding text, OUT mend text)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  state := 'not known';
  finding := p_why;
END;
$$;
COMMENT ON FUNCTION dbos_sys.doctor_unreported(text) IS 'A line of doctor() of which nothing reports yet: always not known.';

-- What other databases take of the server: rows written, blocks read from the disk, blocks looked at in memory too (all of them since the statistics
-- began), and clients' sessions; as shares, and as numbers.
CREATE OR REPLACE FUNCTION dbos_sys.other_databases(OUT name text, OUT written numeric, OUT read numeric, OUT seen numeric, OUT connected numeric,
  OUT rows_written bigint, OUT blocks_read bigint, OUT blocks_seen bigint, OUT sessions bigint, OUT total bigint)
RETURNS SETOF record
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN QUERY
  WITH databases AS (
    SELECT d.datname::text AS name, b.datname = current_database() AS here, d.tup_inserted + d.tup_updated + d.tup_deleted AS changes, d.blks_read AS blocks,
      d.blks_read + d.blks_hit AS looks, (SELECT count(*) FROM pg_stat_activity AS a WHERE a.datid = d.datid AND a.usename IS NOT NULL
        AND COALESCE(a.backend_type, 'client backend') = 'client backend') AS clients
    FROM pg_stat_database AS d JOIN pg_database AS b ON b.oid = d.datid AND NOT b.datistemplate),
  whole AS (
    SELECT NULLIF(sum(s.changes), 0) AS changes, NULLIF(sum(s.blocks), 0) AS blocks, NULLIF(sum(s.looks), 0) AS looks, NULLIF(sum(s.clients), 0) AS clients
    FROM databases AS s)
  SELECT s.name, COALESCE(s.changes / w.changes, 0), COALESCE(s.blocks / w.blocks, 0), COALESCE(s.looks / w.looks, 0), COALESCE(s.clients / w.clients, 0),
    s.changes, s.blocks, s.looks, s.clients, COALESCE(w.changes, 0)::bigint
  FROM databases AS s, whole AS w WHERE NOT s.here ORDER BY s.changes DESC, s.name;
END;
$$;

-- Since when rows are counted: a crash, and a reset, begin anew.
CREATE OR REPLACE FUNCTION dbos_sys.statistics_age()
RETURNS interval
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN clock_timestamp() - (
    SELECT GREATEST(w.stats_reset, (SELECT d.stats_reset FROM pg_stat_database AS d WHERE d.datname = current_database())) FROM pg_stat_wal AS w);
END;
$$;

-- Tables of this database that are not DBOS's.
CREATE OR REPLACE FUNCTION dbos_sys.other_tables(OUT name text, OUT changes bigint, OUT bytes bigint)
RETURNS SETOF record
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN QUERY
  SELECT format('%I.%I', s.schemaname, s.relname), s.n_tup_ins + s.n_tup_upd + s.n_tup_del, pg_total_relation_size(s.relid) FROM pg_stat_user_tables AS s
  WHERE s.schemaname NOT IN ('dbos', 'dbos_ops', 'cron') AND s.schemaname !~ '^pg_temp';
END;
$$;

-- What is too large to be taken for unused while the statistics are young: tables of this database, and other databases as far as this role may ask.
CREATE OR REPLACE FUNCTION dbos_sys.unjudged()
RETURNS text[]
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  IF dbos_sys.statistics_age() > interval '1 hour' THEN
    RETURN NULL;
  END IF;
  RETURN (
    SELECT array_agg(format('%s (%s)', u.name, pg_size_pretty(u.bytes)) ORDER BY u.bytes DESC)
    FROM (
      SELECT t.name, t.bytes FROM dbos_sys.other_tables() AS t WHERE t.bytes > 8388608
      UNION ALL
      SELECT 'database ' || d.datname, pg_database_size(d.oid) FROM pg_database AS d
      WHERE d.datname <> current_database() AND NOT d.datistemplate AND (has_database_privilege(d.oid, 'CONNECT') OR pg_has_role('pg_read_all_stats', 'USAGE'))
        AND pg_database_size(d.oid) > 268435456) AS u);
END;
$$;

CREATE OR REPLACE FUNCTION dbos_sys.doctor_dedicated(OUT state text, OUT finding text, OUT mend text)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  v_busy text[];
  v_strangers text[];
  v_unjudged text[] := dbos_sys.unjudged();
  v_total bigint;
BEGIN
  SELECT array_agg(format('database %s: %s %% of the rows written, %s %% of the blocks read, %s %% with those in memory, %s %% of the sessions', o.name,
        round(o.written * 100), round(o.read * 100), round(o.seen * 100), round(o.connected * 100)) ORDER BY o.written DESC, o.seen DESC)
      FILTER (WHERE (o.written > 0.05 AND o.rows_written > 10000) OR (o.read > 0.2 AND (o.rows_written > 1000 OR o.blocks_read > 10000))
        OR (o.seen > 0.2 AND o.blocks_seen > 1000000) OR (o.connected > 0.2 AND o.sessions >= 10)), max(o.total)
  INTO v_busy, v_total FROM dbos_sys.other_databases() AS o;
  SELECT array_agg(format('%s (%s, %s rows written)', t.name, pg_size_pretty(t.bytes), t.changes) ORDER BY t.changes DESC, t.bytes DESC) INTO v_strangers
  FROM dbos_sys.other_tables() AS t WHERE t.changes > 10000 OR t.bytes > 100000000;
  state := CASE WHEN v_busy IS NOT NULL OR v_strangers IS NOT NULL THEN 'warn'
    WHEN current_setting('track_counts') <> 'on' OR v_total < 100 OR v_unjudged IS NOT NULL THEN 'not known' ELSE 'ok' END;
  finding := CASE
    WHEN state = 'not known' AND v_unjudged IS NOT NULL THEN format('the server''s statistics are %s min old, too young to tell how much is written of %s',
      floor(EXTRACT(epoch FROM dbos_sys.statistics_age()) / 60), dbos_sys.some_of(v_unjudged, 3))
    WHEN state = 'not known' THEN 'the server''s statistics have counted nothing yet'
    WHEN state = 'ok' THEN 'no other database takes more than a little, and no other table here is large or written'
    ELSE array_to_string(array_remove(ARRAY[dbos_sys.some_of(v_busy, 3), 'other tables in this database: ' || dbos_sys.some_of(v_strangers, 3)], NULL), '; ') END;
END;
$$;
COMMENT ON FUNCTION dbos_sys.doctor_dedicated() IS
'warn: another database writes over 5 percent of the server''s rows, or reads over 20 percent of its blocks (from the disk, or with those in memory), or has
over 20 percent of its sessions; or tables outside of dbos in this database are written, or take over 100 MB. not known: the statistics are younger than an
hour (a crash begins them anew), and there are other tables above 8 MB or databases above 256 MB.';

-- Clients' sessions, and what a pooler's look like. Names, roles and databases of sessions are for everybody to see, their last query is not.
CREATE OR REPLACE FUNCTION dbos_sys.pooler_signs(OUT sessions bigint, OUT signs text[])
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  SELECT count(*), array_agg(DISTINCT CASE
      WHEN a.usename ~* '^(pgbouncer|rdsproxyadmin|supavisor|pgcat|odyssey|pgpool)' THEN 'role ' || a.usename
      WHEN a.application_name ~* '^(pgbouncer|supavisor|pgcat|odyssey|pgpool|rds.?proxy)' THEN 'sessions named ' || dbos_sys.shown(a.application_name)
      WHEN a.query = 'DISCARD ALL' AND a.state = 'idle' THEN 'sessions reset with DISCARD ALL' END)
  INTO sessions, signs
  FROM pg_stat_activity AS a WHERE a.datname IS NOT NULL AND a.usename IS NOT NULL AND COALESCE(a.backend_type, 'client backend') = 'client backend';
  signs := array_remove(signs, NULL);
END;
$$;

-- New sessions a second since the statistics began; NULL for fewer than a thousand.
CREATE OR REPLACE FUNCTION dbos_sys.session_churn()
RETURNS numeric
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN (
    SELECT CASE WHEN d.sessions >= 1000
      THEN round((d.sessions / GREATEST(1, EXTRACT(epoch FROM clock_timestamp() - COALESCE(d.stats_reset, pg_postmaster_start_time()))))::numeric, 1) END
    FROM pg_stat_database AS d WHERE d.datname = current_database());
END;
$$;

-- p_client.pid is the process id that the client was told. A pooler tells one of its own.
CREATE OR REPLACE FUNCTION dbos_sys.doctor_pooler(p_client jsonb, OUT state text, OUT finding text, OUT mend text)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  v_room integer := current_setting('max_connections')::integer - current_setting('superuser_reserved_connections')::integer;
  v_seen record;
  v_signs text[];
  v_leases bigint := 0;
  v_churn numeric := dbos_sys.session_churn();
BEGIN
  SELECT s.sessions, s.signs INTO v_seen FROM dbos_sys.pooler_signs() AS s;
  IF to_regclass('dbos_ops.executors') IS NOT NULL THEN
    SELECT count(*) INTO v_leases FROM dbos_ops.executors AS e
    WHERE e.incarnation <> '' AND e.ended_at IS NULL AND NOT e.sessions AND e.last_seen + e.lease_ms > dbos_sys.now_ms();
  END IF;
  v_signs := v_seen.signs || CASE WHEN (p_client ->> 'pid')::bigint <> pg_backend_pid() THEN ARRAY['this connection comes through one'] ELSE '{}' END
    || CASE WHEN v_leases > 0 THEN ARRAY[format('%s executors whose sessions bear no name, so that a death is noticed by the lease alone', v_leases)] ELSE '{}' END;
  state := CASE WHEN v_seen.sessions > v_room * 0.5 OR v_churn > 1 THEN 'warn' ELSE 'ok' END;
  finding := format('%s of %s sessions, %s; %s', v_seen.sessions, v_room,
    CASE WHEN v_churn > 1 THEN v_churn || ' new ones a second' ELSE 'which stay' END,
    CASE WHEN v_signs <> '{}' THEN 'a pooler: ' || array_to_string(v_signs, ', ') ELSE 'no sign of a pooler' END);
END;
$$;
COMMENT ON FUNCTION dbos_sys.doctor_pooler(jsonb) IS
'ok: sessions stay and are under half of what the server takes, with a pooler or without. Found tells how a pooler shows itself.';

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
  -- pg_cron shows a role its own jobs.
  hidden := CASE WHEN NOT (SELECT r.rolsuper OR r.rolbypassrls FROM pg_roles AS r WHERE r.rolname = current_user) THEN 'jobs of other roles are hidden' END;
  EXECUTE $q$
    SELECT count(*) FILTER (WHERE j.active), count(*) FILTER (WHERE NOT j.active), count(*) FILTER (WHERE j.active AND j.command ~* 'dbos_sys\.prune\y')
    FROM cron.job AS j WHERE j.command ~* 'dbos_sys\.(prune|maintain)\y' AND j.database = current_database()$q$ INTO jobs, inactive, pruning;
  IF to_regclass('cron.job_run_details') IS NOT NULL THEN
    -- A run that never came to a connection has no times.
    EXECUTE $q$
      SELECT min(l.return_message) FILTER (WHERE l.status = 'failed'), max(l.end_time) FILTER (WHERE l.status = 'succeeded')
      FROM cron.job AS j CROSS JOIN LATERAL (
        SELECT d.status, d.return_message, d.end_time FROM cron.job_run_details AS d
        WHERE d.jobid = j.jobid AND (d.end_time IS NOT NULL OR d.status = 'failed') ORDER BY d.runid DESC LIMIT 1) AS l
      WHERE j.active AND j.command ~* 'dbos_sys\.(prune|maintain)\y' AND j.database = current_database()$q$ INTO failed, ended;
  END IF;
END;
$$;

-- Finished workflows, and those that have been so for longer than a month: counted to a bound, for the doctor must not take long.
CREATE OR REPLACE FUNCTION dbos_sys.finished_rows(OUT rows bigint, OUT old bigint, OUT bytes bigint)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  v_before bigint := dbos_sys.now_ms() - 2592000000;
BEGIN
  SELECT GREATEST(c.reltuples, 0)::bigint INTO rows FROM pg_class AS c WHERE c.oid = to_regclass('dbos.workflow_status');
  SELECT count(*) INTO old FROM (
    SELECT FROM dbos.workflow_status AS w WHERE w.completed_at < v_before ORDER BY w.completed_at LIMIT 1000) AS o;
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
  v_nobody boolean := false;
  v_tables boolean := dbos_sys.has_tables();
  v_elsewhere text := (
    SELECT format('in database %I, where pg_cron lives: SELECT * FROM dbos_sys.schedule_maintenance(database => %L);', h.name, current_database())
    FROM dbos_sys.cron_home() AS h(name) WHERE h.name <> current_database());
BEGIN
  SELECT c.jobs, c.inactive, c.pruning, c.failed, c.ended, c.hidden INTO v_cron FROM dbos_sys.cron_prune() AS c;
  SELECT f.rows, f.old, f.bytes INTO v_rows FROM dbos_sys.finished_rows() AS f WHERE v_tables;
  SELECT r.policies, r.ended_at, r.failure INTO v_kept FROM dbos_sys.retention_state() AS r;
  -- Whoever ran it: pg_cron, the worker, a client, a scheduled workflow.
  v_ended := COALESCE(v_kept.ended_at, CASE WHEN v_kept.policies IS NULL THEN (EXTRACT(epoch FROM v_cron.ended) * 1000)::bigint END);
  v_ago := (dbos_sys.now_ms() - v_ended) / 60000;
  -- Whoever ran the last round, none of those that are known runs another.
  v_off := v_off AND v_cron.pruning = 0;
  IF v_off AND v_cron.hidden IS NULL AND v_kept.policies > 0 AND v_tables THEN
    v_nobody := NOT dbos_sys.scheduled_prune();
  END IF;
  state := CASE
    WHEN v_cron.failed IS NOT NULL OR v_kept.failure IS NOT NULL THEN 'bad'
    WHEN NOT v_tables THEN 'not known'
    WHEN v_kept.policies = 0 OR v_nobody THEN 'warn'
    WHEN v_ago <= 1500 THEN 'ok'
    WHEN v_ago IS NULL AND (v_cron.jobs > 0 OR v_kept.policies > 0 OR (v_cron.hidden IS NOT NULL AND v_rows.old = 0)) THEN 'not known' ELSE 'warn' END;
  finding := array_to_string(array_remove(ARRAY[
    CASE WHEN NOT v_tables THEN 'DBOS tables are not installed here' END,
    CASE WHEN v_kept.policies > 0 THEN format('%s retention policies', v_kept.policies) ELSE 'no retention policy' END,
    CASE WHEN v_cron.jobs > 0 THEN format('%s pg_cron jobs', v_cron.jobs) WHEN v_cron.inactive > 0 THEN 'a pg_cron job that is switched off'
      WHEN v_kept.policies IS NULL THEN 'no job that prunes' END,
    CASE WHEN v_nobody THEN 'nothing prunes: dbos_sys.prune_interval is 0, and neither a pg_cron job nor a schedule does'
      WHEN v_off THEN 'dbos_sys.prune_interval is 0' END,
    CASE WHEN state = 'bad' THEN 'the last run failed: ' || COALESCE(v_cron.failed, v_kept.failure)
      WHEN v_ago IS NOT NULL THEN format('the last run ended %s min ago', v_ago) ELSE 'no run has ended yet' END,
    v_cron.hidden,
    CASE WHEN v_rows.old > 0 THEN format('%s workflows ended more than 30 days ago', CASE WHEN v_rows.old >= 1000 THEN '1000 and more' ELSE v_rows.old::text END) END,
    CASE WHEN v_tables THEN format('about %s workflows, %s', v_rows.rows, pg_size_pretty(v_rows.bytes)) END], NULL), '; ');
  -- Step by step, each where it is to be done.
  mend := CASE
    WHEN v_nobody THEN 'ALTER SYSTEM SET dbos_sys.prune_interval = ''1min''; SELECT pg_reload_conf();  -- or, with pg_cron: SELECT * FROM dbos_sys.schedule_maintenance();'
    WHEN v_kept.policies > 0 THEN upper(left(v_elsewhere, 1)) || substr(v_elsewhere, 2)
    ELSE CASE WHEN v_kept.policies IS NULL OR NOT v_tables THEN 'SELECT dbos_sys.install(); ' ELSE '' END || dbos_sys.policy_to_try(v_tables) || '  -- shows what would go; then retain(…) for good, and '
      || COALESCE(v_elsewhere, 'see that somebody runs prune()') END;
END;
$$;
COMMENT ON FUNCTION dbos_sys.doctor_prune() IS
'ok: a run of prune() or of a pg_cron job that calls it ended within 25 hours. bad: the last one failed, be it that pg_cron got no connection. warn:
nothing prunes (dbos_sys.prune_interval is 0, and no job or schedule does), or not for so long. not known: a job or policy is there and no run has ended yet, or jobs are hidden.';
