-- Time and identity. Everything that decides by time reads it here, and so from the server: a test sets dbos_sys.fake_now.

CREATE OR REPLACE FUNCTION dbos_sys.now_ms()
RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  v_fake text := current_setting('dbos_sys.fake_now', true);
BEGIN
  IF v_fake <> '' THEN
    RETURN v_fake::bigint;
  END IF;
  RETURN (EXTRACT(epoch FROM clock_timestamp()) * 1000)::bigint;
END;
$$;
COMMENT ON FUNCTION dbos_sys.now_ms() IS 'The server''s time in ms since 1970. The setting dbos_sys.fake_now (superusers, tests) replaces it.';

-- A setting in ms as a number; `p_default` (with unit) where the library is not loaded and so has not defined it.
CREATE OR REPLACE FUNCTION dbos_sys.setting_ms(p_name text, p_default text)
RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  v_value text := COALESCE(NULLIF(current_setting('dbos_sys.' || p_name, true), ''), p_default);
BEGIN
  -- Where the library is not loaded yet the setting is shown as it was written, and a bare number means milliseconds.
  RETURN CASE WHEN v_value ~ '^\d+$' THEN v_value::bigint ELSE (EXTRACT(epoch FROM v_value::interval) * 1000)::bigint END;
END;
$$;

-- UUIDv7: rows made together share index pages. The twelve bits after the version hold the part of a millisecond, so ids that one
-- session makes in different microseconds sort by age.
CREATE OR REPLACE FUNCTION dbos_sys.new_id()
RETURNS text
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  v_us bigint := (EXTRACT(epoch FROM clock_timestamp()) * 1000000)::bigint;
BEGIN
  RETURN (lpad(to_hex(v_us / 1000), 12, '0') || '7' || lpad(to_hex((v_us % 1000) * 4096 / 1000), 3, '0')
    || substr(replace(gen_random_uuid()::text, '-', ''), 17))::uuid::text;
END;
$$;
COMMENT ON FUNCTION dbos_sys.new_id() IS 'A new time-ordered id (UUIDv7), as start() gives it where none is named.';
