-- Rights: nobody has any before grant_access(); a search_path full of traps changes nothing.
\set SHOW_CONTEXT never
\set ECHO errors
\getenv root PG_ABS_SRCDIR
\set setup :root /sql/include/setup.psql
\i :setup
\set ECHO all

CREATE ROLE regress_dbos_reader;
SELECT count(*) FROM pg_proc AS p, aclexplode(COALESCE(p.proacl, acldefault('f', p.proowner))) AS a WHERE p.pronamespace = 'dbos_sys'::regnamespace AND a.grantee = 0;
SET ROLE regress_dbos_reader;
SELECT dbos_sys.start('w');
RESET ROLE;
SELECT dbos_sys.grant_access('regress_dbos_reader');
SET ROLE regress_dbos_reader;
SELECT dbos_sys.start('w', '[]', 'granted');
SELECT status FROM dbos_sys.status('granted');
SELECT count(*) FROM dbos_sys.maintain();
RESET ROLE;
SELECT dbos_sys.grant_access('regress_no_such_role');
SELECT dbos_sys.grant_access(NULL);

-- Functions, operators and tables that a path puts in front are not reached.
CREATE SCHEMA regress_trap;
CREATE FUNCTION regress_trap.trap(text, text) RETURNS boolean LANGUAGE plpgsql AS $$BEGIN RAISE EXCEPTION 'trapped'; END$$;
CREATE OPERATOR regress_trap.= (LEFTARG = text, RIGHTARG = text, FUNCTION = regress_trap.trap);
CREATE FUNCTION regress_trap.now() RETURNS timestamptz LANGUAGE plpgsql AS $$BEGIN RAISE EXCEPTION 'trapped'; END$$;
CREATE FUNCTION regress_trap.unnest(text[]) RETURNS SETOF text LANGUAGE plpgsql AS $$BEGIN RAISE EXCEPTION 'trapped'; END$$;
CREATE TEMP TABLE workflow_status (workflow_uuid text);
CREATE TEMP TABLE queues (name text);
SET search_path = regress_trap, pg_temp, pg_catalog;
SELECT dbos_sys.start('w', '[]', 'path', 'q', '{"deduplication_id": "d", "attributes": {"a": 1}}');
SELECT workflow_uuid FROM dbos_sys.list('{"name": "w"}') ORDER BY workflow_uuid;
SELECT dbos_sys.cancel('{path}', true), dbos_sys.resume('{path}');
SELECT count(*) FROM dbos_sys.maintain();
SELECT dbos_sys.send('path', '1', 't', 'k');
RESET search_path;

SET client_min_messages = warning;
DROP SCHEMA regress_trap CASCADE;
DROP OWNED BY regress_dbos_reader;
DROP ROLE regress_dbos_reader;
