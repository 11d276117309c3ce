-- dbos_sys @VERSION@ without its library, for PostgreSQL 15 or newer where no extension can be installed (managed servers): the functions of
-- the extension as one script. Run it as the owner of the database, no superuser:
--   psql -d DATABASE -f dbos_sys-plain.sql
-- Run a newer one over it to update. The tables are made or adopted afterwards: SELECT dbos_sys.install();
\set dbos_sys_stop :ON_ERROR_STOP
\set ON_ERROR_STOP on
BEGIN;
SET LOCAL client_min_messages = warning;
SET LOCAL search_path = pg_catalog, pg_temp;

DO $check$
DECLARE
  v_owner name := (SELECT pg_get_userbyid(n.nspowner) FROM pg_namespace AS n WHERE n.nspname = 'dbos_sys');
  v_present text;
BEGIN
  IF current_setting('server_version_num')::integer < 150000 THEN
    RAISE EXCEPTION USING ERRCODE = 'WF003', MESSAGE = format('this server is PostgreSQL %s, and dbos_sys needs 15 or newer', current_setting('server_version'));
  ELSIF EXISTS (SELECT FROM pg_extension AS e WHERE e.extname = 'dbos_sys') THEN
    RAISE EXCEPTION USING ERRCODE = 'WF003', MESSAGE = 'this database has the extension dbos_sys, which does all that this script does',
      HINT = 'ALTER EXTENSION dbos_sys UPDATE; or, to go on without it: DROP EXTENSION dbos_sys; DROP SCHEMA dbos_sys; the tables stay.';
  ELSIF v_owner IS NULL AND NOT has_database_privilege(current_database(), 'CREATE') THEN
    RAISE EXCEPTION USING ERRCODE = 'WF003', MESSAGE = format('role %I may not create schemas in database %I', current_user, current_database()),
      HINT = format('Run this as the owner of the database, or: GRANT CREATE ON DATABASE %I TO %I;', current_database(), current_user);
  ELSIF v_owner IS NULL THEN
    CREATE SCHEMA dbos_sys;
  ELSIF NOT pg_has_role(current_user, v_owner, 'MEMBER') THEN
    RAISE EXCEPTION USING ERRCODE = 'WF003', MESSAGE = format('schema dbos_sys belongs to %I, and %I is no member of it', v_owner, current_user),
      HINT = format('Run this as %I.', v_owner);
  ELSIF v_owner <> current_user THEN
    PERFORM set_config('role', v_owner, true);
  END IF;
  IF to_regprocedure('dbos_sys.version()') IS NOT NULL THEN
    EXECUTE 'SELECT dbos_sys.version()' INTO v_present;
    IF string_to_array(v_present, '.')::integer[] > string_to_array('@VERSION@', '.')::integer[] THEN
      RAISE EXCEPTION USING ERRCODE = 'WF003', MESSAGE = format('dbos_sys here is version %s, newer than this script''s @VERSION@', v_present),
        HINT = 'Run the script of that release or of a later one.';
    END IF;
  END IF;
END;
$check$;

-- Types cannot be replaced: where theirs changed, they go with all functions, which follow anew. They hold no data.
DO $types$
DECLARE
  v_routine regprocedure;
  v_type record;
BEGIN
  IF EXISTS (
    SELECT FROM pg_type AS t
    WHERE t.typnamespace = 'dbos_sys'::regnamespace AND t.typtype = 'c' AND obj_description(t.oid, 'pg_type') IS DISTINCT FROM '@TYPES@'
  ) THEN
    FOR v_routine IN SELECT p.oid FROM pg_proc AS p WHERE p.pronamespace = 'dbos_sys'::regnamespace LOOP
      EXECUTE format('DROP ROUTINE %s', v_routine);
    END LOOP;
    FOR v_type IN SELECT t.oid::regtype AS name FROM pg_type AS t WHERE t.typnamespace = 'dbos_sys'::regnamespace AND t.typtype = 'c' LOOP
      EXECUTE format('DROP TYPE %s', v_type.name);
    END LOOP;
  END IF;
END;
$types$;

-- What is there now; the end of the script drops of it what it did not write again.
SELECT set_config('dbos_sys_plain.before', (
  SELECT string_agg(format('%s:%s', p.oid, p.xmin), ',') FROM pg_proc AS p WHERE p.pronamespace = 'dbos_sys'::regnamespace), true) IS NULL AS first \gset dbos_sys_
