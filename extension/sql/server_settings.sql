-- What a server should be told that has nothing but this database: the same as extension/dbos_sys.conf, whose reasons stand there.

CREATE OR REPLACE FUNCTION dbos_sys.server_settings()
RETURNS TABLE (name text, value text)
LANGUAGE sql
IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
  VALUES ('shared_preload_libraries', 'dbos_sys'), ('dbos_sys.databases', 'dbos_sys'),
    ('shared_buffers', '1GB'), ('maintenance_work_mem', '256MB'),
    ('max_wal_size', '8GB'), ('min_wal_size', '1GB'), ('checkpoint_timeout', '15min'), ('checkpoint_completion_target', '0.9'), ('wal_compression', 'lz4'),
    ('fsync', 'on'), ('full_page_writes', 'on'), ('synchronous_commit', 'on'),
    ('autovacuum', 'on'), ('autovacuum_naptime', '15s'), ('autovacuum_vacuum_cost_limit', '2000'),
    ('jit', 'off'), ('random_page_cost', '1.1'),
    ('idle_in_transaction_session_timeout', '5min'), ('max_slot_wal_keep_size', '16GB'),
    ('track_io_timing', 'on'), ('log_lock_waits', 'on'), ('log_autovacuum_min_duration', '10s')
$$;

-- One setting against what the server has: what doctor() finds good stays, and so does what somebody set and it has no line for.
CREATE OR REPLACE FUNCTION dbos_sys.advised_setting(p_name text, p_value text, OUT statement text, OUT restart boolean)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  v_mend text;
  v_set boolean;
BEGIN
  restart := true;
  IF p_name IN ('shared_preload_libraries', 'dbos_sys.databases') THEN
    IF dbos_sys.library_version() IS NULL THEN
      RETURN;
    ELSIF p_name = 'shared_preload_libraries' AND NOT dbos_sys.preloaded() THEN
      statement := 'ALTER SYSTEM SET shared_preload_libraries = ' || dbos_sys.preload_with_ours();
    ELSIF p_name = 'dbos_sys.databases' AND current_database() <> ALL (dbos_sys.worker_databases()) THEN
      statement := format('ALTER SYSTEM SET dbos_sys.databases = %L', dbos_sys.databases_with_this());
    END IF;
    RETURN;
  END IF;
  SELECT s.context = 'postmaster', s.source <> 'default' OR s.setting = p_value INTO restart, v_set FROM pg_settings AS s WHERE s.name = p_name;
  IF EXISTS (SELECT FROM dbos_sys.doctor_checks() AS c WHERE c.name = p_name) THEN
    SELECT d.mend, d.state = 'ok' INTO v_mend, v_set FROM dbos_sys.doctor(ARRAY[p_name]) AS d;
  END IF;
  IF NOT v_set THEN
    statement := COALESCE(split_part(v_mend, ';', 1), format('ALTER SYSTEM SET %s = %L', p_name, p_value));
  END IF;
END;
$$;

CREATE OR REPLACE FUNCTION dbos_sys.advised_settings()
RETURNS TABLE (name text, statement text, restart boolean)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
  RETURN QUERY
  SELECT s.name, a.statement, a.restart
  FROM dbos_sys.server_settings() WITH ORDINALITY AS s(name, value, place), LATERAL dbos_sys.advised_setting(s.name, s.value) AS a
  WHERE a.statement IS NOT NULL ORDER BY s.place;
END;
$$;
COMMENT ON FUNCTION dbos_sys.advised_settings() IS
'The ALTER SYSTEM statements that make of this server one for a DBOS system database alone, as dbos_sys.conf describes it; those that are met already
are left out, and what somebody raised beyond it stays. restart: it holds from the next start on. dbos-sys init --settings runs them.';
