-- Lines of doctor() about settings. Judged is what a new session of this database begins with, whatever the asking role has of its own.

-- What ALTER ROLE and ALTER DATABASE … SET left, as far as it holds in this database, and what takes it back. of_role 0 is every role, of_database 0
-- every database.
CREATE OR REPLACE FUNCTION dbos_sys.stored_settings()
RETURNS TABLE (of_role oid, of_database oid, name text, value text, whose text, mend text)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN QUERY
  SELECT s.setrole, s.setdatabase, n.name, substr(c.setting, strpos(c.setting, '=') + 1),
    concat_ws(' ', CASE WHEN s.setrole <> 0 THEN 'role ' || r.name END, CASE WHEN s.setdatabase <> 0 THEN 'database ' || current_database() ELSE 'in every database' END),
    CASE WHEN s.setrole = 0 AND s.setdatabase <> 0 THEN format('ALTER DATABASE %I RESET %s;', current_database(), n.name)
      ELSE format('ALTER ROLE %s%s RESET %s;', CASE WHEN s.setrole = 0 THEN 'ALL' ELSE quote_ident(r.name) END,
        CASE WHEN s.setdatabase <> 0 THEN format(' IN DATABASE %I', current_database()) ELSE '' END, n.name) END
  FROM pg_db_role_setting AS s
  CROSS JOIN LATERAL unnest(s.setconfig) AS c(setting)
  CROSS JOIN LATERAL lower(split_part(c.setting, '=', 1)) AS n(name)
  CROSS JOIN LATERAL pg_get_userbyid(s.setrole) AS r(name)
  WHERE s.setdatabase IN (0, (SELECT d.oid FROM pg_database AS d WHERE d.datname = current_database()));
END;
$$;

-- A value as pg_settings tells it, however it was spelled: PostgreSQL itself reads it, and takes it back. As it is where this role may not set it.
CREATE OR REPLACE FUNCTION dbos_sys.meant_value(p_name text, p_value text)
RETURNS text
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  v_meant text;
BEGIN
  BEGIN
    PERFORM set_config(p_name, p_value, true);
    SELECT s.setting INTO v_meant FROM pg_settings AS s WHERE s.name = p_name;
    RAISE EXCEPTION 'taken back';
  EXCEPTION WHEN OTHERS THEN
    RETURN COALESCE(v_meant, lower(btrim(p_value)));
  END;
END;
$$;

CREATE OR REPLACE FUNCTION dbos_sys.sees_files()
RETURNS boolean
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN has_function_privilege('pg_show_all_file_settings()', 'EXECUTE') AND has_table_privilege('pg_file_settings', 'SELECT');
END;
$$;

-- What the files of the configuration say, else the default; NULL where this role may not read them, or where the server's command line has a word.
CREATE OR REPLACE FUNCTION dbos_sys.file_value(p_name text)
RETURNS text
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  IF NOT dbos_sys.sees_files() OR NOT has_function_privilege('pg_read_file(text,bigint,bigint,boolean)', 'EXECUTE') THEN
    RETURN NULL;
  ELSIF strpos(pg_read_file('postmaster.opts', 0, 100000, true), p_name) > 0 THEN
    RETURN NULL;
  END IF;
  RETURN COALESCE(
    (SELECT dbos_sys.meant_value(p_name, f.setting) FROM pg_file_settings AS f WHERE lower(f.name) = p_name AND f.error IS NULL ORDER BY f.seqno DESC LIMIT 1),
    (SELECT s.boot_val FROM pg_settings AS s WHERE s.name = p_name));
END;
$$;

-- A setting for roles that have no word of their own: the database's, else that for all roles, else the server's. A session whose role or client
-- has a word does not see the server's.
CREATE OR REPLACE FUNCTION dbos_sys.common_value(p_name text)
RETURNS text
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  v_stored text := (SELECT s.value FROM dbos_sys.stored_settings() AS s WHERE s.of_role = 0 AND s.name = p_name ORDER BY s.of_database DESC LIMIT 1);
  v_own boolean := EXISTS (SELECT FROM dbos_sys.stored_settings() AS s WHERE s.of_role = to_regrole(quote_ident(session_user)) AND s.name = p_name);
BEGIN
  IF v_stored IS NOT NULL THEN
    RETURN dbos_sys.meant_value(p_name, v_stored);
  END IF;
  RETURN (
    SELECT CASE WHEN v_own OR s.source IN ('client', 'user', 'database user', 'database', 'global', 'interactive') THEN dbos_sys.file_value(p_name) ELSE s.reset_val END
    FROM pg_settings AS s WHERE s.name = p_name);
END;
$$;

-- A setting as pg_settings has it, in bytes or seconds where it has a unit.
CREATE OR REPLACE FUNCTION dbos_sys.setting_value(p_name text, OUT value text, OUT number numeric, OUT shown text, OUT restart boolean)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  v_unit text;
BEGIN
  SELECT s.unit, s.context = 'postmaster' INTO v_unit, restart FROM pg_settings AS s WHERE s.name = p_name;
  value := dbos_sys.common_value(p_name);
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

-- Why a line does not know a setting.
CREATE OR REPLACE FUNCTION dbos_sys.setting_hidden(p_name text)
RETURNS text
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN CASE WHEN EXISTS (SELECT FROM pg_settings AS s WHERE s.name = p_name)
    THEN format('this session has a %s of its own, and role %I may not read the server''s', p_name, current_user) ELSE format('setting %s cannot be seen', p_name) END;
END;
$$;

CREATE OR REPLACE FUNCTION dbos_sys.setting_mend(p_name text, p_advice text, p_restart boolean)
RETURNS text
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN COALESCE((SELECT s.mend FROM dbos_sys.stored_settings() AS s WHERE s.of_role = 0 AND s.name = p_name ORDER BY s.of_database DESC LIMIT 1),
    format('ALTER SYSTEM SET %s = %L; ', p_name, p_advice) || CASE WHEN p_restart THEN '-- then restart the server' ELSE 'SELECT pg_reload_conf();' END);
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
    finding := dbos_sys.setting_hidden(p_name);
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
  finding := CASE WHEN v_setting.value IS NULL THEN dbos_sys.setting_hidden(p_name) ELSE format('%s = %s', p_name, v_setting.value) END;
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

-- Statements that maintain take their time; so does this checklist.
CREATE OR REPLACE FUNCTION dbos_sys.doctor_statement_timeout(OUT state text, OUT finding text, OUT mend text)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  v_common record;
  v_roles text[];
BEGIN
  SELECT s.number, s.shown INTO v_common FROM dbos_sys.setting_value('statement_timeout') AS s;
  SELECT array_agg(s.whose || ': ' || s.value ORDER BY s.whose), min(s.mend) INTO v_roles, mend
  FROM dbos_sys.stored_settings() AS s
  WHERE s.of_role <> 0 AND s.name = 'statement_timeout' AND dbos_sys.meant_value(s.name, s.value) ~ '^0*[1-9]\d{0,3}$|^[12]\d{4}$';
  state := CASE WHEN v_roles IS NOT NULL OR (v_common.number > 0 AND v_common.number < 30) THEN 'warn' WHEN v_common.number IS NULL THEN 'not known' ELSE 'ok' END;
  finding := concat_ws('; ', 'statement_timeout = ' || v_common.shown, CASE WHEN v_common.number IS NULL THEN dbos_sys.setting_hidden('statement_timeout') END,
    dbos_sys.some_of(v_roles));
  IF v_common.number > 0 AND v_common.number < 30 THEN
    mend := dbos_sys.setting_mend('statement_timeout', '0', false);
  END IF;
END;
$$;
COMMENT ON FUNCTION dbos_sys.doctor_statement_timeout() IS 'warn: the server, this database or a role ends statements within 30 seconds.';

CREATE OR REPLACE FUNCTION dbos_sys.is_contrary(p_name text, p_value text)
RETURNS boolean
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  v_meant text;
BEGIN
  IF p_name !~ '^(synchronous_commit|default_transaction_(read_only|isolation)|session_replication_role|enable_\w+|(statement|transaction)_timeout)$' THEN
    RETURN false;
  END IF;
  v_meant := dbos_sys.meant_value(p_name, p_value);
  RETURN CASE
    WHEN p_name = 'default_transaction_read_only' THEN v_meant = 'on'
    WHEN p_name = 'default_transaction_isolation' THEN v_meant IN ('serializable', 'repeatable read')
    WHEN p_name = 'session_replication_role' THEN v_meant = 'replica'
    WHEN p_name LIKE '%timeout' THEN v_meant ~ '^[1-9]\d{0,3}$'
    ELSE v_meant = 'off' END;
END;
$$;

-- Settings of roles and databases that override the server's, and break or weaken what DBOS relies on.
CREATE OR REPLACE FUNCTION dbos_sys.doctor_overrides(OUT state text, OUT finding text, OUT mend text)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  v_bad text[];
BEGIN
  SELECT array_agg(format('%s: %s=%s', s.whose, s.name, s.value) ORDER BY s.name, s.whose), min(s.mend) INTO v_bad, mend
  FROM dbos_sys.stored_settings() AS s WHERE dbos_sys.is_contrary(s.name, s.value);
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
  state := CASE WHEN v_read_only = 'on' OR v_isolation <> 'read committed' THEN 'bad' WHEN v_read_only = 'off' AND v_isolation = 'read committed' THEN 'ok'
    ELSE 'not known' END;
  finding := CASE WHEN v_read_only IS NULL THEN dbos_sys.setting_hidden('default_transaction_read_only')
    WHEN v_isolation IS NULL THEN dbos_sys.setting_hidden('default_transaction_isolation')
    ELSE format('new transactions are %s and read %s', v_isolation, CASE v_read_only WHEN 'on' THEN 'only' ELSE 'and write' END) END;
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
  v_sees boolean := dbos_sys.sees_files();
  v_pending text[];
  v_wrong text[] := '{}';
BEGIN
  IF v_sees THEN
    -- To look marks what waits for a restart.
    PERFORM FROM pg_file_settings;
  END IF;
  v_pending := ARRAY(SELECT s.name FROM pg_settings AS s WHERE s.pending_restart ORDER BY s.name);
  IF v_sees THEN
    v_wrong := ARRAY(
      SELECT format('%s line %s: %s', f.sourcefile, f.sourceline, f.error) FROM pg_file_settings AS f
      WHERE f.error IS NOT NULL AND (lower(f.name) = ANY (v_pending)) IS NOT TRUE ORDER BY f.seqno);
  END IF;
  state := CASE WHEN v_pending <> '{}' OR v_wrong <> '{}' THEN 'warn' WHEN v_sees THEN 'ok' ELSE 'not known' END;
  finding := CASE WHEN state = 'ok' THEN 'what the configuration says is in force' ELSE array_to_string(array_remove(ARRAY[
    CASE WHEN v_pending <> '{}' THEN 'waits for a restart: ' || dbos_sys.some_of(v_pending) ELSE 'nothing waits for a restart' END,
    CASE WHEN NOT v_sees THEN 'whether a line of the files is wrong is hidden from this role' WHEN v_wrong <> '{}' THEN 'not applied: ' || dbos_sys.some_of(v_wrong) END],
    NULL), '; ') END;
  mend := CASE WHEN state = 'not known' THEN
    format('GRANT EXECUTE ON FUNCTION pg_show_all_file_settings() TO %1$I; GRANT SELECT ON pg_file_settings TO %1$I;', current_user) END;
END;
$$;
COMMENT ON FUNCTION dbos_sys.doctor_pending_restart() IS 'warn: a setting waits for a restart, or a line of the configuration is wrong. not known: this role may not read pg_file_settings.';
