-- Adoption: install() on the tables of an earlier shared version. Real SDKs' databases are adopted in test/upgrade.
\set SHOW_CONTEXT never
\set ECHO errors
\getenv root PG_ABS_SRCDIR
\set flavour :root /sql/include/flavour.psql
\set older :root /sql/include/older.psql
SET client_min_messages = warning;
CREATE ROLE regress_adopt_app;
CREATE ROLE regress_adopt_web;
CREATE ROLE regress_adopt_deploy IN ROLE regress_adopt_app;
CREATE DATABASE regress_adopt TEMPLATE template0 ENCODING 'UTF8' LOCALE 'C' OWNER regress_adopt_app;
\c regress_adopt
SET client_min_messages = warning;
\i :flavour
SELECT dbos_sys.install() AS installed \gset
\i :older
GRANT USAGE ON SCHEMA dbos TO regress_adopt_web;
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA dbos TO regress_adopt_web;
REVOKE ALL ON dbos.workflow_input, dbos.workflow_output FROM regress_adopt_web;
RESET client_min_messages;

-- What install() answers from a version, how many differences are left, and what it returns then; everything is rolled back.
CREATE FUNCTION pg_temp.adopted_from(p_version bigint) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  v_answer text;
BEGIN
  PERFORM pg_temp.back_to(p_version);
  v_answer := dbos_sys.install();
  RAISE EXCEPTION USING ERRCODE = 'ZZ000', MESSAGE = format('%s, %s differences, then %s', v_answer, (SELECT count(*) FROM dbos_sys.verify()), dbos_sys.install());
EXCEPTION WHEN SQLSTATE 'ZZ000' THEN
  RETURN SQLERRM;
END;
$$;
\set ECHO all

-- From every shared version.
SELECT v, pg_temp.adopted_from(v) FROM generate_series(100, 124) AS v;
SELECT pg_temp.adopted_from(125);

-- Rows in flight stay as they are, and enqueue_workflow writes where each version's readers look.
BEGIN;
SELECT pg_temp.back_to(105);
SELECT dbos.enqueue_workflow('w', 'q', ARRAY['1']::json[], workflow_id => 'before');
SELECT inputs, owner_xid IS NOT NULL AS owned FROM dbos.workflow_status;
INSERT INTO dbos.operation_outputs (workflow_uuid, function_id, function_name, output) VALUES ('before', 0, 's', '1');
SELECT dbos_sys.install();
SELECT dbos.enqueue_workflow('w', 'q', ARRAY['2']::json[], workflow_id => 'after');
SELECT workflow_uuid, status, inputs FROM dbos_sys.list('{}') ORDER BY created_at, workflow_uuid DESC;
SELECT function_name, output, retention_timestamp > 1700000000000 AS retained FROM dbos.operation_outputs;
ROLLBACK;

-- All that is made belongs to the owner; the application's role has on new tables what it had on the old ones.
BEGIN;
SELECT pg_temp.back_to(108);
SELECT dbos_sys.install();
SELECT DISTINCT relowner::regrole FROM pg_class WHERE relnamespace = 'dbos'::regnamespace;
SELECT relname, relacl FROM pg_class WHERE relname IN ('workflow_status', 'workflow_input', 'workflow_output') ORDER BY 1;
SELECT current_user = session_user AS own_role_again;
ROLLBACK;

-- A member of the owner may; the application's role may not.
BEGIN;
GRANT USAGE ON SCHEMA dbos_sys TO regress_adopt_deploy, regress_adopt_web;
GRANT EXECUTE ON ALL ROUTINES IN SCHEMA dbos_sys TO regress_adopt_deploy, regress_adopt_web;
SELECT pg_temp.back_to(122);
SET LOCAL ROLE regress_adopt_web;
SAVEPOINT s;
SELECT dbos_sys.install();
ROLLBACK TO s;
\echo :LAST_ERROR_SQLSTATE
SELECT * FROM dbos_sys.migration_plan();
ROLLBACK TO s;
\echo :LAST_ERROR_SQLSTATE
SET LOCAL ROLE regress_adopt_deploy;
SELECT dbos_sys.install();
RESET ROLE;
SELECT relowner::regrole FROM pg_class WHERE oid = 'dbos.workflow_status'::regclass;
ROLLBACK;

-- Below 100, each SDK has a history of its own.
BEGIN;
UPDATE dbos.dbos_migrations SET version = 41;
SELECT dbos_sys.install();
ROLLBACK;
\echo :LAST_ERROR_SQLSTATE
BEGIN;
SELECT pg_temp.back_to(111);
ALTER TABLE dbos.operation_outputs RENAME CONSTRAINT operation_outputs_workflow_uuid_fkey TO operation_outputs_workflow_uuid_foreign;
UPDATE dbos.dbos_migrations SET version = 69;
SELECT * FROM dbos_sys.migration_plan();
ROLLBACK;
\echo :LAST_ERROR_SQLSTATE

-- Tables that are not what their version says.
BEGIN;
SELECT pg_temp.back_to(108);
ALTER TABLE dbos.queues DROP COLUMN partition_concurrency;
SELECT dbos_sys.install();
ROLLBACK;
\echo :LAST_ERROR_SQLSTATE
BEGIN;
SELECT pg_temp.back_to(108);
DROP TABLE dbos.streams;
SELECT * FROM dbos_sys.migration_plan();
ROLLBACK;
\echo :LAST_ERROR_SQLSTATE
BEGIN;
UPDATE dbos.dbos_migrations SET version = 108;
SELECT dbos_sys.install();
ROLLBACK;
\echo :LAST_ERROR_SQLSTATE
BEGIN;
SELECT pg_temp.back_to(112);
ALTER TABLE dbos.streams OWNER TO regress_adopt_web;
SELECT dbos_sys.install();
ROLLBACK;
\echo :LAST_ERROR_SQLSTATE
BEGIN;
SELECT pg_temp.back_to(112);
GRANT CREATE ON SCHEMA dbos TO PUBLIC;
SELECT * FROM dbos_sys.migration_plan();
ROLLBACK;
\echo :LAST_ERROR_SQLSTATE
BEGIN;
SET LOCAL client_min_messages = warning;
DROP SCHEMA dbos CASCADE;
SELECT * FROM dbos_sys.migration_plan();
ROLLBACK;
\echo :LAST_ERROR_SQLSTATE
SET default_transaction_read_only = on;
SELECT dbos_sys.install();
\echo :LAST_ERROR_SQLSTATE
SELECT * FROM dbos_sys.migration_plan();
\echo :LAST_ERROR_SQLSTATE
RESET default_transaction_read_only;

-- Indexes: what a broken build left is replaced, a stray one goes; a name that stands for something else is refused.
BEGIN;
SELECT pg_temp.back_to(114);
CREATE INDEX idx_workflow_status_in_flight_v2 ON dbos.workflow_status (queue_name);
CREATE INDEX stray ON dbos.workflow_status (name);
UPDATE pg_index SET indisvalid = false WHERE indexrelid IN ('dbos.idx_workflow_status_in_flight_v2'::regclass, 'dbos.stray'::regclass, 'dbos.idx_workflow_topic'::regclass);
SELECT version, online, statements FROM dbos_sys.migration_plan() ORDER BY version LIMIT 2;
SELECT dbos_sys.install();
SELECT count(*) FROM dbos_sys.verify();
SELECT to_regclass('dbos.stray');
ROLLBACK;
BEGIN;
SELECT pg_temp.back_to(114);
CREATE INDEX idx_workflow_status_in_flight_v2 ON dbos.workflow_status (queue_name);
SELECT dbos_sys.install();
ROLLBACK;
\echo :LAST_ERROR_SQLSTATE

-- The plan of dbos-sys migrate: every version has its step; at our own version only what is broken.
BEGIN;
SELECT pg_temp.back_to(107);
SELECT version, online, cardinality(statements) AS statements, run_as FROM dbos_sys.migration_plan();
ROLLBACK;
SELECT * FROM dbos_sys.migration_plan();
BEGIN;
DROP INDEX dbos.idx_workflow_status_pending;
UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'dbos.idx_workflow_topic'::regclass;
SELECT * FROM dbos_sys.migration_plan();
ROLLBACK;
BEGIN;
UPDATE dbos.dbos_migrations SET version = 126;
SELECT * FROM dbos_sys.migration_plan();
ROLLBACK;

-- Large tables are left to dbos-sys migrate, unless no index is to be built on them.
BEGIN;
SELECT pg_temp.back_to(121);
INSERT INTO dbos.workflow_status (workflow_uuid, status) SELECT 'w' || i, 'SUCCESS' FROM generate_series(1, 100001) AS i;
SAVEPOINT s;
SELECT dbos_sys.install();
ROLLBACK TO s;
\echo :LAST_ERROR_SQLSTATE
CREATE INDEX idx_workflow_status_deadline ON dbos.workflow_status (workflow_deadline_epoch_ms)
  WHERE status IN ('ENQUEUED', 'PENDING', 'DELAYED') AND workflow_deadline_epoch_ms IS NOT NULL;
SELECT dbos_sys.install();
ROLLBACK;

\c postgres
DROP DATABASE regress_adopt;
DROP ROLE regress_adopt_deploy, regress_adopt_app, regress_adopt_web;
