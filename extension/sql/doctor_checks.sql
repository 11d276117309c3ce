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
