-- Jobs of pg_cron, for servers where no background worker of ours runs, or where prune() shall run at hours of its own. pg_cron lives in one database
-- of a server and runs jobs in each of them; these functions are called where it lives. Jobs are known by their names, which begin with dbos_sys.

-- The databases that background workers look after, as the library reads the list: names without quotes in lower case, and no longer than a name can be.
CREATE OR REPLACE FUNCTION dbos_sys.listed_databases(p_list text)
RETURNS text[]
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN ARRAY(
    SELECT (CASE WHEN m.name[1] LIKE '"%' THEN replace(substr(m.name[1], 2, length(m.name[1]) - 2), '""', '"') ELSE lower(m.name[1] COLLATE "C") END)::name::text
    FROM regexp_matches(p_list, '("(?:[^"]|"")*"|[^\s,"]+)\s*(?:,|$)', 'g') AS m(name));
END;
$$;

CREATE OR REPLACE FUNCTION dbos_sys.worker_databases()
RETURNS text[]
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN dbos_sys.listed_databases(current_setting('dbos_sys.databases', true));
END;
$$;

CREATE OR REPLACE FUNCTION dbos_sys.check_cron(p_database name)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  -- Here when the library is loaded; to current_setting() it is for superusers.
  v_home text := (SELECT s.setting FROM pg_settings AS s WHERE s.name = 'cron.database_name');
  v_lives text := NULLIF(v_home, current_database());
BEGIN
  IF to_regprocedure('cron.schedule_in_database(text, text, text, text, text, boolean)') IS NOT NULL THEN
    RETURN;
  END IF;
  PERFORM dbos_sys.fail('WF056', format('pg_cron is not in database %I', current_database()),
    CASE WHEN v_lives IS NOT NULL THEN format('On this server it lives in database %I.', v_lives)
      WHEN v_home IS NOT NULL THEN 'The server has loaded it, for this database.' END,
    CASE WHEN v_lives IS NOT NULL
      THEN format('In %I, with pg_cron and dbos_sys created there (install() is not needed): SELECT * FROM dbos_sys.schedule_maintenance(database => %L);', v_lives, p_database)
      WHEN v_home IS NOT NULL AND to_regclass('cron.job') IS NOT NULL THEN 'ALTER EXTENSION pg_cron UPDATE; (1.4 or newer is needed), then again.'
      WHEN v_home IS NOT NULL THEN 'CREATE EXTENSION pg_cron; then again.'
      ELSE 'With pg_cron (1.4 or newer) in shared_preload_libraries, beside what is there, and cron.database_name in the configuration: CREATE EXTENSION pg_cron; '
        'Or have CALL dbos_sys.prune(); called by cron, a client, or a scheduled workflow.' END);
END;
$$;

CREATE OR REPLACE FUNCTION dbos_sys.schedule_maintenance(
  schedule text DEFAULT '*/5 * * * *', database name DEFAULT current_database(), budget interval DEFAULT '4 minutes', maintain boolean DEFAULT NULL)
RETURNS TABLE (job text, at text, command text, runs_in name)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
  v_budget bigint := dbos_sys.interval_ms('budget', schedule_maintenance.budget);
  v_worker boolean := dbos_sys.preloaded()
    AND database::text = ANY (dbos_sys.worker_databases());
  v_maintain boolean := COALESCE(schedule_maintenance.maintain, NOT v_worker);
  v_job record;
  v_id bigint;
BEGIN
  PERFORM dbos_sys.check_text('schedule', schedule_maintenance.schedule);
  -- pg_cron takes the first five of more fields, and says nothing.
  IF btrim(schedule_maintenance.schedule) !~ '^(@[a-z]+|\S+\s+\S+\s+\S+\s+\S+\s+\S+|\d+\s+seconds?)$' THEN
    PERFORM dbos_sys.fail('WF001', format('schedule is %s', dbos_sys.shown(schedule_maintenance.schedule)), NULL, 'Give five fields, as ''*/5 * * * *''.');
  END IF;
  PERFORM dbos_sys.check_span('budget', v_budget);
  IF NOT EXISTS (SELECT FROM pg_database AS d WHERE d.datname = database) THEN
    PERFORM dbos_sys.fail('WF001', format('database %s does not exist', dbos_sys.shown(database)), NULL, 'Give the database that has the tables of dbos_sys.');
  END IF;
  PERFORM dbos_sys.check_cron(database);
  IF database = current_database() AND to_regclass('dbos_ops.pruner') IS NULL THEN
    PERFORM dbos_sys.fail('WF002', format('the tables of dbos_sys are not installed in database %I', database), NULL,
      'Name the database that has them: SELECT * FROM dbos_sys.schedule_maintenance(database => ''…'');');
  END IF;
  FOR v_job IN
    SELECT j.* FROM (VALUES
      (1, format('dbos_sys prune in %s', database), schedule_maintenance.schedule, format('CALL dbos_sys.prune(%L)', v_budget || ' ms'), database),
      -- pg_cron's shortest interval is a minute in its older versions; a worker, where there is one, looks each second.
      (2, format('dbos_sys maintain in %s', database), '* * * * *', 'SELECT dbos_sys.maintain()', database),
      -- A run that could not begin has no times; its number tells that it is older than one that has. Of a job that is gone only its commands tell whose
      -- it was.
      (3, 'dbos_sys history', '17 3 * * *', 'DELETE FROM cron.job_run_details AS d WHERE (d.jobid IN (SELECT j.jobid FROM cron.job AS j WHERE j.jobname LIKE ''dbos\_sys %'') '
        'OR (NOT EXISTS (SELECT FROM cron.job AS j WHERE j.jobid = d.jobid) AND (starts_with(d.command, ''CALL dbos_sys.prune('') '
        'OR d.command = ''SELECT dbos_sys.maintain()'' OR (starts_with(d.command, ''DELETE FROM cron.job_run_details '') AND strpos(d.command, ''dbos\_sys %'') > 0)))) '
        'AND runid <= (SELECT max(runid) FROM cron.job_run_details WHERE COALESCE(end_time, start_time) < now() - interval ''7 days'') '
        'AND COALESCE(end_time, start_time, ''-infinity'') < now() - interval ''7 days''', current_database()))
      AS j(place, name, at, command, runs_in)
    WHERE j.place <> 2 OR v_maintain ORDER BY j.place
  LOOP
    BEGIN
      v_id := cron.schedule_in_database(v_job.name, v_job.at, v_job.command, v_job.runs_in::text);
    EXCEPTION WHEN invalid_parameter_value OR syntax_error THEN
      PERFORM dbos_sys.fail('WF001', format('schedule is %s', dbos_sys.shown(v_job.at)), format('pg_cron: %s.', SQLERRM), 'Give five fields, as ''*/5 * * * *''.');
    END;
    -- It leaves one that is there as active as it was; alter_job() is not for everybody.
    IF EXISTS (SELECT FROM cron.job AS j WHERE j.jobid = v_id AND NOT j.active) THEN
      PERFORM cron.alter_job(v_id, active => true);
    END IF;
    RETURN QUERY SELECT v_job.name, v_job.at, v_job.command, v_job.runs_in;
  END LOOP;
  -- By its whole name: a job has a column database too.
  PERFORM cron.unschedule(j.jobid) FROM cron.job AS j
  WHERE j.jobname = format('dbos_sys maintain in %s', schedule_maintenance.database) AND NOT v_maintain;
END;
$$;
COMMENT ON FUNCTION dbos_sys.schedule_maintenance(text, name, interval, boolean) IS
'Has pg_cron call prune() in a database at this schedule, each time for at most budget; maintain() each minute where no background worker looks after the
database (or as maintain says); and forget what it noted of these jobs a week ago, also of those that are gone. Called in the database where
pg_cron lives, by who the jobs run as. Called again, it changes the jobs, switches them on, and removes that of
maintain() where it is not wanted any more. Errors: WF001, WF002, WF056 (pg_cron is not here; the hint says where).';

CREATE OR REPLACE FUNCTION dbos_sys.unschedule_maintenance(database name DEFAULT current_database())
RETURNS integer
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
  v_gone integer;
BEGIN
  PERFORM dbos_sys.check_cron(unschedule_maintenance.database);
  SELECT count(cron.unschedule(j.jobid)) INTO v_gone FROM cron.job AS j
  WHERE j.jobname IN (format('dbos_sys prune in %s', unschedule_maintenance.database), format('dbos_sys maintain in %s', unschedule_maintenance.database));
  PERFORM cron.unschedule(j.jobid) FROM cron.job AS j
  WHERE j.jobname = 'dbos_sys history' AND NOT EXISTS (SELECT FROM cron.job AS o WHERE o.jobname LIKE 'dbos\_sys % in %');
  RETURN v_gone;
END;
$$;
COMMENT ON FUNCTION dbos_sys.unschedule_maintenance(name) IS
'Removes the jobs of schedule_maintenance() for a database, also when that is gone; returns how many there were. Errors: WF056.';
