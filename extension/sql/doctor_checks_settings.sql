-- Lines of doctor() about settings. Judged is what a new session of this database begins with.

-- A setting as pg_settings has it, in bytes or seconds where it has a unit.
CREATE OR REPLACE FUNCTION dbos_sys.setting_value(p_name text, OUT value text, OUT number numeric, OUT shown text, OUT restart boolean)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  v_unit text;
BEGIN
  SELECT s.reset_val, s.unit, s.context = 'postmaster' INTO value, v_unit, restart FROM pg_settings AS s WHERE s.name = p_name;
  IF value IS NULL THEN
    RETURN;
  ELSIF v_unit ~ 'B$' THEN
    number := value::numeric * pg_size_bytes(CASE WHEN v_unit ~ '^\d' THEN v_unit ELSE '1' || v_unit END);
    shown := pg_size_pretty(number);
  ELSIF v_unit IS NOT NULL THEN
    number := value::numeric * EXTRACT(epoch FROM ('1' || v_unit)::interval);
    shown := CASE WHEN number = 0 THEN '0' ELSE (number || ' s')::interval::text END;
  ELSE
    number := CASE WHEN value ~ '^-?\d+(\.\d+)?$' THEN value::numeric END;
    shown := value;
  END IF;
END;
$$;

CREATE OR REPLACE FUNCTION dbos_sys.setting_mend(p_name text, p_advice text, p_restart boolean)
RETURNS text
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN format('ALTER SYSTEM SET %s = %L; ', p_name, p_advice) || CASE WHEN p_restart THEN '-- then restart the server' ELSE 'SELECT pg_reload_conf();' END;
END;
$$;

-- A number between bounds, which are sizes, times or numbers as the setting is; NULL is no bound.
CREATE OR REPLACE FUNCTION dbos_sys.doctor_range(p_name text, p_state text, p_low text, p_high text, p_advice text, OUT state text, OUT finding text, OUT mend text)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  v_setting record;
  v_bounds numeric[] := ARRAY(
    SELECT CASE WHEN b.bound ~ 'B$' THEN pg_size_bytes(b.bound) WHEN b.bound ~ '[a-z]$' THEN EXTRACT(epoch FROM b.bound::interval) ELSE b.bound::numeric END
    FROM unnest(ARRAY[p_low, p_high]) WITH ORDINALITY AS b(bound, place) ORDER BY b.place);
BEGIN
  SELECT s.number, s.shown, s.restart INTO v_setting FROM dbos_sys.setting_value(p_name) AS s;
  IF v_setting.number IS NULL THEN
    state := 'not known';
    finding := format('setting %s cannot be seen', p_name);
    RETURN;
  END IF;
  state := CASE WHEN v_setting.number < v_bounds[1] OR v_setting.number > v_bounds[2] THEN p_state ELSE 'ok' END;
  finding := format('%s = %s', p_name, v_setting.shown);
  mend := dbos_sys.setting_mend(p_name, p_advice, v_setting.restart);
END;
$$;
COMMENT ON FUNCTION dbos_sys.doctor_range(text, text, text, text, text) IS 'ok: the setting lies between the bounds.';

CREATE OR REPLACE FUNCTION dbos_sys.doctor_choice(p_name text, p_state text, p_good text[], OUT state text, OUT finding text, OUT mend text)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  v_setting record;
  -- What this server was built with.
  v_offered text[] := (SELECT s.enumvals FROM pg_settings AS s WHERE s.name = p_name);
BEGIN
  SELECT s.value, s.restart INTO v_setting FROM dbos_sys.setting_value(p_name) AS s;
  state := CASE WHEN v_setting.value IS NULL THEN 'not known' WHEN v_setting.value = ANY (p_good) THEN 'ok' ELSE p_state END;
  finding := CASE WHEN v_setting.value IS NULL THEN format('setting %s cannot be seen', p_name) ELSE format('%s = %s', p_name, v_setting.value) END;
  mend := dbos_sys.setting_mend(p_name, (SELECT g.value FROM unnest(p_good) WITH ORDINALITY AS g(value, place)
    WHERE v_offered IS NULL OR g.value = ANY (v_offered) ORDER BY g.place LIMIT 1), v_setting.restart);
END;
$$;
COMMENT ON FUNCTION dbos_sys.doctor_choice(text, text, text[]) IS 'ok: the setting has one of these values, of which the first that the server knows is advised.';

-- Autovacuum goes by what is counted.
CREATE OR REPLACE FUNCTION dbos_sys.doctor_autovacuum(OUT state text, OUT finding text, OUT mend text)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  v_switch record;
  v_counts record;
BEGIN
  SELECT c.state, c.finding, c.mend INTO v_switch FROM dbos_sys.doctor_choice('autovacuum', 'bad', '{on}') AS c;
  SELECT c.state, c.finding, c.mend INTO v_counts FROM dbos_sys.doctor_choice('track_counts', 'bad', '{on}') AS c;
  state := CASE v_switch.state WHEN 'ok' THEN v_counts.state ELSE v_switch.state END;
  finding := v_switch.finding || CASE v_counts.state WHEN 'ok' THEN '' ELSE ', ' || v_counts.finding END;
  mend := CASE v_switch.state WHEN 'ok' THEN v_counts.mend ELSE v_switch.mend END;
END;
$$;
COMMENT ON FUNCTION dbos_sys.doctor_autovacuum() IS 'ok: autovacuum is on, and the counters by which it knows what to do.';

CREATE OR REPLACE FUNCTION dbos_sys.doctor_collation(OUT state text, OUT finding text, OUT mend text)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  SELECT CASE WHEN pg_encoding_to_char(d.encoding) <> 'UTF8' THEN 'bad' WHEN d.datlocprovider = 'c' AND d.datcollate IN ('C', 'POSIX') THEN 'ok'
      WHEN d.datlocprovider = 'b' THEN 'ok' ELSE 'warn' END,
    format('database %s: encoding %s, collation %s%s', d.datname, pg_encoding_to_char(d.encoding), COALESCE(d.datcollate, 'default'),
      CASE WHEN d.datlocprovider = 'i' THEN ' (ICU)' ELSE '' END)
  INTO state, finding FROM pg_database AS d WHERE d.datname = current_database();
END;
$$;
COMMENT ON FUNCTION dbos_sys.doctor_collation() IS 'ok: encoding UTF8 and collation C (or the builtin provider). bad: another encoding.';

-- Settings of roles and databases that override the server's, and break or weaken what DBOS relies on.
CREATE OR REPLACE FUNCTION dbos_sys.doctor_overrides(OUT state text, OUT finding text, OUT mend text)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  v_bad text[];
BEGIN
  SELECT array_agg(format('%s%s: %s', CASE WHEN s.setrole <> 0 THEN 'role ' || pg_get_userbyid(s.setrole) || ' ' ELSE '' END,
      CASE WHEN s.setdatabase <> 0 THEN 'database ' || current_database() ELSE 'in every database' END, c.setting) ORDER BY c.setting),
    min(format('ALTER %s RESET %s;', CASE WHEN s.setrole = 0 THEN format('DATABASE %I', current_database())
      ELSE format('ROLE %I%s', pg_get_userbyid(s.setrole), CASE WHEN s.setdatabase <> 0 THEN format(' IN DATABASE %I', current_database()) ELSE '' END) END,
      split_part(c.setting, '=', 1)))
  INTO v_bad, mend
  FROM pg_db_role_setting AS s
  CROSS JOIN LATERAL unnest(s.setconfig) AS c(setting)
  WHERE s.setdatabase IN (0, (SELECT d.oid FROM pg_database AS d WHERE d.datname = current_database()))
    AND c.setting ~* ('^(synchronous_commit=off|default_transaction_read_only=(on|true|1|yes)|default_transaction_isolation=(serializable|repeatable read)'
      || '|session_replication_role=replica|enable_\w+=(off|false|0|no)|(statement|transaction)_timeout=([1-9]s|[1-9]\d{0,3}(ms)?))$');
  state := CASE WHEN v_bad IS NULL THEN 'ok' ELSE 'warn' END;
  finding := COALESCE(dbos_sys.some_of(v_bad), 'no role and no database has settings that DBOS trips over');
END;
$$;
COMMENT ON FUNCTION dbos_sys.doctor_overrides() IS
'warn: ALTER ROLE or ALTER DATABASE … SET changes durability, isolation or plans, makes transactions read only, or ends statements within ten seconds.';

CREATE OR REPLACE FUNCTION dbos_sys.doctor_isolation(OUT state text, OUT finding text, OUT mend text)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  v_isolation text := (SELECT s.value FROM dbos_sys.setting_value('default_transaction_isolation') AS s);
  v_read_only text := (SELECT s.value FROM dbos_sys.setting_value('default_transaction_read_only') AS s);
BEGIN
  state := CASE WHEN v_read_only = 'on' OR v_isolation <> 'read committed' THEN 'bad' ELSE 'ok' END;
  finding := format('new transactions are %s and read %s', v_isolation, CASE v_read_only WHEN 'on' THEN 'only' ELSE 'and write' END);
  mend := CASE WHEN v_read_only = 'on' THEN dbos_sys.setting_mend('default_transaction_read_only', 'off', false)
    ELSE dbos_sys.setting_mend('default_transaction_isolation', 'read committed', false) END;
END;
$$;
COMMENT ON FUNCTION dbos_sys.doctor_isolation() IS 'ok: new transactions are READ COMMITTED and may write.';

CREATE OR REPLACE FUNCTION dbos_sys.doctor_pending_restart(OUT state text, OUT finding text, OUT mend text)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  v_pending text[] := ARRAY(SELECT s.name FROM pg_settings AS s WHERE s.pending_restart ORDER BY s.name);
  v_wrong text[] := '{}';
BEGIN
  IF has_function_privilege('pg_show_all_file_settings()', 'EXECUTE') AND has_table_privilege('pg_file_settings', 'SELECT') THEN
    v_wrong := ARRAY(
      SELECT format('%s line %s: %s', f.sourcefile, f.sourceline, f.error) FROM pg_file_settings AS f
      WHERE f.error IS NOT NULL AND f.error NOT LIKE 'setting could not be applied' ORDER BY f.seqno);
  END IF;
  state := CASE WHEN v_pending <> '{}' OR v_wrong <> '{}' THEN 'warn' ELSE 'ok' END;
  finding := CASE WHEN state = 'ok' THEN 'what the configuration says is in force' ELSE array_to_string(array_remove(ARRAY[
    CASE WHEN v_pending <> '{}' THEN 'waits for a restart: ' || dbos_sys.some_of(v_pending) END,
    CASE WHEN v_wrong <> '{}' THEN 'not applied: ' || dbos_sys.some_of(v_wrong) END], NULL), '; ') END;
END;
$$;
COMMENT ON FUNCTION dbos_sys.doctor_pending_restart() IS 'warn: a setting waits for a restart, or a line of the configuration is wrong.';
