-- Lines of doctor() about the tables and indexes of DBOS: shape, storage, vacuum, and what strangers hung on them.

CREATE OR REPLACE FUNCTION dbos_sys.doctor_tables(OUT state text, OUT finding text, OUT mend text)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  v_problems text[];
  v_serious boolean;
  v_ops bigint;
BEGIN
  IF to_regclass('dbos.workflow_status') IS NULL THEN
    state := 'bad';
    finding := 'there are no DBOS tables in this database';
    mend := 'SELECT dbos_sys.install();';
    RETURN;
  END IF;
  SELECT array_agg(v.item || ' ' || v.problem) FILTER (WHERE v.item NOT LIKE 'table dbos\_ops.%'), bool_or(v.item ~ '^(table|column) dbos\.'),
    count(*) FILTER (WHERE v.item LIKE 'table dbos\_ops.%')
  INTO v_problems, v_serious, v_ops FROM dbos_sys.verify() AS v WHERE v.item <> 'schema dbos';
  IF v_ops > 0 THEN
    v_problems := v_problems || 'tables of dbos_ops missing'::text;
  END IF;
  -- An older version lacks what its migrations bring: that is the line of the version.
  state := CASE WHEN v_problems IS NULL THEN 'ok' WHEN v_serious AND dbos_sys.schema_version() = dbos_sys.upstream_version() THEN 'bad' ELSE 'warn' END;
  finding := COALESCE(dbos_sys.some_of(v_problems), 'every table, column, index, constraint and function is as DBOS makes it');
  mend := CASE WHEN v_ops > 0 THEN 'SELECT dbos_sys.install();' ELSE 'dbos-sys migrate  # builds missing indexes; SELECT * FROM dbos_sys.verify() lists all' END;
END;
$$;
COMMENT ON FUNCTION dbos_sys.doctor_tables() IS 'ok: verify() finds nothing. bad: tables or columns differ from what their version says.';

CREATE OR REPLACE FUNCTION dbos_sys.doctor_schema_version(OUT state text, OUT finding text, OUT mend text)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  v_here bigint := dbos_sys.schema_version();
  v_ours bigint := dbos_sys.upstream_version();
BEGIN
  state := CASE WHEN v_here IS NULL THEN 'not known' WHEN v_here = v_ours THEN 'ok' ELSE 'warn' END;
  finding := CASE WHEN v_here IS NULL THEN 'there are no DBOS tables in this database' ELSE format('the tables are at shared version %s, this release knows %s', v_here, v_ours) END;
  mend := CASE WHEN v_here > v_ours THEN 'ALTER EXTENSION dbos_sys UPDATE;  -- to a release that knows the version' ELSE 'dbos-sys migrate' END;
END;
$$;
COMMENT ON FUNCTION dbos_sys.doctor_schema_version() IS 'ok: the tables are at the shared version that this release knows.';

CREATE OR REPLACE FUNCTION dbos_sys.doctor_library(OUT state text, OUT finding text, OUT mend text)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  v_library text := dbos_sys.library_version();
  v_default text := (SELECT e.default_version FROM pg_available_extensions AS e WHERE e.name = 'dbos_sys');
BEGIN
  IF NOT EXISTS (SELECT FROM pg_extension AS e WHERE e.extname = 'dbos_sys') THEN
    state := 'ok';
    finding := format('functions %s as plain SQL', dbos_sys.version());
    RETURN;
  END IF;
  state := CASE WHEN v_library <> dbos_sys.version() OR v_default <> dbos_sys.version() THEN 'warn' ELSE 'ok' END;
  finding := format('functions %s, library %s', dbos_sys.version(), v_library) || CASE WHEN v_default <> dbos_sys.version() THEN ', installed for CREATE EXTENSION: ' || v_default ELSE '' END;
END;
$$;
COMMENT ON FUNCTION dbos_sys.doctor_library() IS 'warn: functions, loaded library and installed files are not of one version.';

CREATE OR REPLACE FUNCTION dbos_sys.doctor_unlogged(OUT state text, OUT finding text, OUT mend text)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  v_tables text[];
BEGIN
  SELECT array_agg(c.oid::regclass::text ORDER BY c.relname), min(format('ALTER TABLE %s SET LOGGED;', c.oid::regclass)) INTO v_tables, mend
  FROM pg_class AS c WHERE c.relnamespace IN (to_regnamespace('dbos'), to_regnamespace('dbos_ops')) AND c.relkind IN ('r', 'p') AND c.relpersistence <> 'p';
  state := CASE WHEN v_tables IS NULL THEN 'ok' ELSE 'bad' END;
  finding := COALESCE('a crash empties ' || dbos_sys.some_of(v_tables), 'every table survives a crash');
END;
$$;
COMMENT ON FUNCTION dbos_sys.doctor_unlogged() IS 'bad: a table of DBOS is UNLOGGED.';

CREATE OR REPLACE FUNCTION dbos_sys.doctor_strangers(OUT state text, OUT finding text, OUT mend text)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  v_found text[];
BEGIN
  SELECT array_agg(s.what ORDER BY s.what), min(s.remedy) INTO v_found, mend
  FROM (
    SELECT format('trigger %s on %s', t.tgname, t.tgrelid::regclass) AS what, format('DROP TRIGGER %I ON %s;', t.tgname, t.tgrelid::regclass) AS remedy
    FROM pg_trigger AS t JOIN pg_class AS c ON c.oid = t.tgrelid
    WHERE c.relnamespace IN (to_regnamespace('dbos'), to_regnamespace('dbos_ops')) AND NOT t.tgisinternal AND t.tgname <> 'dbos_notifications_trigger'
    UNION ALL
    SELECT 'row security on ' || c.oid::regclass, format('ALTER TABLE %s DISABLE ROW LEVEL SECURITY;', c.oid::regclass)
    FROM pg_class AS c WHERE c.relnamespace = to_regnamespace('dbos') AND c.relrowsecurity
    UNION ALL
    SELECT format('rule %s on %s', r.rulename, r.ev_class::regclass), format('DROP RULE %I ON %s;', r.rulename, r.ev_class::regclass)
    FROM pg_rewrite AS r JOIN pg_class AS c ON c.oid = r.ev_class WHERE c.relnamespace = to_regnamespace('dbos') AND c.relkind = 'r'
  ) AS s;
  state := CASE WHEN v_found IS NULL THEN 'ok' ELSE 'warn' END;
  finding := COALESCE(dbos_sys.some_of(v_found), 'no triggers, rules or row security but DBOS''s own');
END;
$$;
COMMENT ON FUNCTION dbos_sys.doctor_strangers() IS 'warn: triggers, rules or row security that DBOS did not make lie on its tables.';

CREATE OR REPLACE FUNCTION dbos_sys.doctor_storage(OUT state text, OUT finding text, OUT mend text)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  v_absent text[] := ARRAY(SELECT DISTINCT a.table_name FROM dbos_sys.absent_parameters() AS a ORDER BY 1);
BEGIN
  state := CASE WHEN v_absent = '{}' THEN 'ok' ELSE 'warn' END;
  finding := CASE state WHEN 'ok' THEN 'the tables that change with each workflow have parameters of their own'
    ELSE 'autovacuum''s defaults hold for ' || dbos_sys.some_of(v_absent) END;
END;
$$;
COMMENT ON FUNCTION dbos_sys.doctor_storage() IS 'ok: the tables of storage_parameters() have those parameters, whatever their values.';

CREATE OR REPLACE FUNCTION dbos_sys.doctor_dead_rows(OUT state text, OUT finding text, OUT mend text)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  v_off text[];
  v_late text[];
BEGIN
  SELECT array_agg(t.table_name || ' has autovacuum switched off') FILTER (WHERE t.advice LIKE 'ALTER %'),
    array_agg(format('%s: %s dead rows, autovacuum is due at %s', t.table_name, t.dead_rows, t.vacuum_at)) FILTER (WHERE t.advice LIKE 'VACUUM%'),
    (array_agg(t.advice ORDER BY t.advice) FILTER (WHERE t.advice NOT LIKE 'ANALYZE%'))[1]
  INTO v_off, v_late, mend FROM dbos_sys.table_health() AS t;
  state := CASE WHEN v_off IS NOT NULL THEN 'bad' WHEN v_late IS NOT NULL THEN 'warn' WHEN current_setting('track_counts') <> 'on' THEN 'not known' ELSE 'ok' END;
  finding := CASE state WHEN 'ok' THEN 'autovacuum keeps up' WHEN 'not known' THEN 'track_counts is off, so nobody counts dead rows'
    ELSE dbos_sys.some_of(v_off || v_late) END;
END;
$$;
COMMENT ON FUNCTION dbos_sys.doctor_dead_rows() IS
'warn: a table has twice the dead rows at which autovacuum should come, and over ten thousand. bad: autovacuum is switched off for a table.';

CREATE OR REPLACE FUNCTION dbos_sys.doctor_statistics(OUT state text, OUT finding text, OUT mend text)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  v_stale text[];
BEGIN
  SELECT array_agg(format('%I.%I', s.schemaname, s.relname) || format(': %s of %s rows changed since', s.n_mod_since_analyze, s.n_live_tup) ORDER BY s.relname),
    min(format('ANALYZE %I.%I;', s.schemaname, s.relname))
  INTO v_stale, mend
  FROM pg_stat_all_tables AS s
  WHERE s.schemaname IN ('dbos', 'dbos_ops') AND s.n_mod_since_analyze > 10000 AND s.n_mod_since_analyze > s.n_live_tup / 2;
  state := CASE WHEN v_stale IS NULL THEN 'ok' ELSE 'warn' END;
  finding := COALESCE(dbos_sys.some_of(v_stale), 'what the planner knows of the tables is fresh');
END;
$$;
COMMENT ON FUNCTION dbos_sys.doctor_statistics() IS 'warn: half of a table''s rows, and over ten thousand, changed since it was analysed.';

CREATE OR REPLACE FUNCTION dbos_sys.doctor_invalid_indexes(OUT state text, OUT finding text, OUT mend text)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  v_invalid text[];
BEGIN
  SELECT array_agg(h.index_name ORDER BY h.index_name), min(h.advice) INTO v_invalid, mend FROM dbos_sys.index_health() AS h WHERE NOT h.valid;
  state := CASE WHEN v_invalid IS NULL THEN 'ok' ELSE 'warn' END;
  finding := COALESCE('not valid: ' || dbos_sys.some_of(v_invalid), 'every index is valid');
END;
$$;
COMMENT ON FUNCTION dbos_sys.doctor_invalid_indexes() IS 'warn: an index is INVALID.';

CREATE OR REPLACE FUNCTION dbos_sys.doctor_index_bloat(OUT state text, OUT finding text, OUT mend text)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  v_bloated text[];
  v_blind bigint;
BEGIN
  SELECT array_agg(format('%s: %s, its entries need %s', h.index_name, pg_size_pretty(h.bytes), pg_size_pretty(h.expected_bytes)) ORDER BY h.bytes DESC)
      FILTER (WHERE h.advice LIKE 'REINDEX%'),
    (array_agg(h.advice ORDER BY h.bytes DESC) FILTER (WHERE h.advice LIKE 'REINDEX%'))[1],
    count(*) FILTER (WHERE h.expected_bytes IS NULL AND h.bytes > 8388608 AND h.valid AND EXISTS (
      SELECT FROM pg_class AS c JOIN pg_am AS m ON m.oid = c.relam
      WHERE m.amname = 'btree' AND format('%I.%I', c.relnamespace::regnamespace::text, c.relname) = h.index_name))
  INTO v_bloated, mend, v_blind FROM dbos_sys.index_health() AS h;
  state := CASE WHEN v_bloated IS NOT NULL THEN 'warn' WHEN v_blind > 0 THEN 'not known' ELSE 'ok' END;
  finding := COALESCE(dbos_sys.some_of(v_bloated), CASE WHEN v_blind > 0 THEN v_blind || ' large indexes cannot be judged: not analysed, or no right to read the table'
    ELSE 'no btree is much larger than its entries' END);
END;
$$;
COMMENT ON FUNCTION dbos_sys.doctor_index_bloat() IS 'warn: a btree takes 2.5 times what its entries need, and 8 MB more. Other indexes (GIN) are not judged.';
