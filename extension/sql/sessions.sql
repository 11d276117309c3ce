-- What sessions of other SDKs are named, and what their names say of executors. watch() gives the pattern; judge.sql judges.

-- A session's name as the server keeps it: bytes outside of printable ASCII replaced, cut at 63 bytes.
CREATE OR REPLACE FUNCTION dbos_sys.kept_name(p_name text)
RETURNS text
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  v_bytes bytea := convert_to(p_name, 'UTF8');
  v_hex boolean := current_setting('server_version_num')::integer >= 160000;
BEGIN
  IF p_name !~ '[^ -~]' THEN
    RETURN left(p_name, 63);
  END IF;
  RETURN left((
    SELECT string_agg(CASE WHEN b.byte BETWEEN 32 AND 126 THEN chr(b.byte) WHEN v_hex THEN '\x' || lpad(to_hex(b.byte), 2, '0') ELSE '?' END, '' ORDER BY i.place)
    FROM generate_series(0, octet_length(v_bytes) - 1) AS i(place), LATERAL (SELECT get_byte(v_bytes, i.place)) AS b(byte)), 63);
END;
$$;

-- A pattern's characters in order; its places for executor and version are the characters 1 and 2.
CREATE OR REPLACE FUNCTION dbos_sys.pattern_parts(p_pattern text)
RETURNS TABLE (part text, place bigint)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN QUERY
  SELECT c.part, c.place
  FROM regexp_split_to_table(replace(replace(p_pattern, '{executor}', E'\x01'), '{version}', E'\x02'), '') WITH ORDINALITY AS c(part, place);
END;
$$;

CREATE OR REPLACE FUNCTION dbos_sys.session_name(p_pattern text, p_executor text, p_version text)
RETURNS text
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN dbos_sys.kept_name((
    SELECT string_agg(CASE c.part WHEN E'\x01' THEN p_executor WHEN E'\x02' THEN COALESCE(p_version, '') ELSE c.part END, '' ORDER BY c.place)
    FROM dbos_sys.pattern_parts(p_pattern) AS c));
END;
$$;

CREATE OR REPLACE FUNCTION dbos_sys.regex_literal(p_text text)
RETURNS text
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN regexp_replace(p_text, '([^a-zA-Z0-9])', '\\\1', 'g');
END;
$$;

-- What names an executor of the version (NULL: of any) may have under a pattern. A name of 63 bytes may have lost its end: then its beginning decides.
CREATE OR REPLACE FUNCTION dbos_sys.session_regex(p_pattern text, p_version text)
RETURNS text
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  v_head text := split_part(replace(p_pattern, '{version}', '{executor}'), '{executor}', 1);
BEGIN
  RETURN (
    SELECT '^' || string_agg(
      CASE WHEN c.part = E'\x01' THEN '.+' WHEN c.part = E'\x02' AND p_version IS NULL THEN '.*'
           ELSE dbos_sys.regex_literal(dbos_sys.kept_name(CASE c.part WHEN E'\x02' THEN p_version ELSE c.part END)) END,
      '' ORDER BY c.place) || '$|^(?=.{63}$)' || dbos_sys.regex_literal(dbos_sys.kept_name(v_head))
    FROM dbos_sys.pattern_parts(p_pattern) AS c);
END;
$$;

-- Names of sessions of this database that an executor of the version (NULL: of any) may have under a pattern. The columns of pg_stat_activity
-- that a role sees of other roles' sessions too are pid, application_name and database; nothing else may be asked for here.
CREATE OR REPLACE FUNCTION dbos_sys.sessions_like(p_pattern text, p_version text)
RETURNS SETOF text
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  v_regex text := dbos_sys.session_regex(p_pattern, p_version);
BEGIN
  RETURN QUERY
  SELECT DISTINCT a.application_name FROM pg_stat_activity AS a
  WHERE a.datid = (SELECT d.oid FROM pg_database AS d WHERE d.datname = current_database()) AND a.application_name ~ v_regex;
END;
$$;

-- Sessions that an SDK is known to name alike in all its executors: while one is here, who was not seen may be behind it.
CREATE OR REPLACE FUNCTION dbos_sys.has_nameless_session(p_application text)
RETURNS boolean
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN EXISTS (
    SELECT FROM pg_stat_activity AS a
    WHERE a.datid = (SELECT d.oid FROM pg_database AS d WHERE d.datname = current_database())
      AND a.application_name IN ('dbos_transact', 'PostgreSQL JDBC Driver', NULLIF(dbos_sys.kept_name(p_application), '')));
END;
$$;

-- A pooler that lends sessions gives each the name of whoever has it at the moment (PgBouncer does). A session that was seen under one name and
-- bears another now shows that: from then on no absence of a name says that its executor is dead. What was seen before the server's start, or before
-- a gap in the ticks, is of no use: process ids repeat.
CREATE OR REPLACE FUNCTION dbos_sys.note_lent(p_application text, p_now bigint)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  IF EXISTS (
    SELECT FROM dbos_ops.watched_sessions AS s CROSS JOIN unnest(s.pids) AS p(pid) JOIN pg_stat_activity AS a ON a.pid = p.pid
    WHERE s.application_name = p_application AND a.application_name <> s.session_name
      AND s.seen_at > (SELECT t.hold_from FROM dbos_ops.ticker AS t WHERE t.server_start = dbos_sys.server_start())
      AND a.datid = (SELECT d.oid FROM pg_database AS d WHERE d.datname = current_database())) THEN
    UPDATE dbos_ops.watches AS w SET lent_at = p_now WHERE w.application_name = p_application AND w.lent_at IS NULL;
  END IF;
END;
$$;
