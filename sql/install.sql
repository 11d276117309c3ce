-- install(): what it makes, for whom, and what it refuses. Each database below is in a state that a user may have.
\set SHOW_CONTEXT never
\set ECHO errors
\getenv root PG_ABS_SRCDIR
\set flavour :root /sql/include/flavour.psql
CREATE ROLE regress_dbos_app;
CREATE ROLE regress_dbos_other;
CREATE DATABASE regress_install TEMPLATE template0 ENCODING 'UTF8' LOCALE 'C' OWNER regress_dbos_app;
\c regress_install
SET client_min_messages = warning;
\i :flavour
RESET client_min_messages;
\set ECHO all

-- Before: nothing is there, and nothing is made by asking.
SELECT dbos_sys.version() = (SELECT default_version FROM pg_available_extensions WHERE name = 'dbos_sys') AS version, dbos_sys.schema_version();
SELECT * FROM dbos_sys.verify();
SELECT nspname FROM pg_namespace WHERE nspname LIKE 'dbos%' ORDER BY 1;

-- Refused before anything is made.
BEGIN READ ONLY;
SELECT dbos_sys.install();
ROLLBACK;
\echo :LAST_ERROR_SQLSTATE
SELECT dbos_sys.install('nobody');
\echo :LAST_ERROR_SQLSTATE
SELECT nspname FROM pg_namespace WHERE nspname LIKE 'dbos%' ORDER BY 1;

-- DBOS tables under another name: never a second set beside them.
BEGIN;
CREATE SCHEMA "Work";
CREATE TABLE "Work".dbos_migrations (version bigint PRIMARY KEY);
CREATE TABLE "Work".workflow_status (workflow_uuid text PRIMARY KEY);
SELECT dbos_sys.install();
ROLLBACK;
\echo :LAST_ERROR_SQLSTATE

-- A schema that others may fill, or that is half made.
BEGIN;
CREATE SCHEMA dbos AUTHORIZATION regress_dbos_app;
GRANT CREATE ON SCHEMA dbos TO PUBLIC;
SELECT dbos_sys.install();
ROLLBACK;
\echo :LAST_ERROR_SQLSTATE
BEGIN;
CREATE SCHEMA dbos AUTHORIZATION regress_dbos_app;
CREATE FUNCTION dbos.send_message() RETURNS void LANGUAGE sql AS '';
ALTER FUNCTION dbos.send_message() OWNER TO regress_dbos_other;
SELECT dbos_sys.install();
ROLLBACK;
\echo :LAST_ERROR_SQLSTATE
BEGIN;
CREATE SCHEMA dbos AUTHORIZATION regress_dbos_app;
SET LOCAL ROLE regress_dbos_app;
CREATE TABLE dbos.workflow_status (workflow_uuid text PRIMARY KEY);
RESET ROLE;
SELECT dbos_sys.install();
ROLLBACK;
\echo :LAST_ERROR_SQLSTATE
BEGIN;
CREATE SCHEMA dbos_ops AUTHORIZATION regress_dbos_other;
SELECT dbos_sys.install();
ROLLBACK;
\echo :LAST_ERROR_SQLSTATE

-- The owner: what is named, else the owner of an existing schema, else the database's owner.
BEGIN;
SELECT dbos_sys.install('regress_dbos_other');
SELECT nspname, nspowner::regrole FROM pg_namespace WHERE nspname IN ('dbos', 'dbos_ops') ORDER BY 1;
SELECT DISTINCT relnamespace::regnamespace, relowner::regrole FROM pg_class WHERE relnamespace IN ('dbos'::regnamespace, 'dbos_ops'::regnamespace) ORDER BY 1;
SELECT current_user = session_user AS own_role_again;
ROLLBACK;
BEGIN;
CREATE SCHEMA dbos AUTHORIZATION regress_dbos_other;
SELECT dbos_sys.install('regress_dbos_app');
ROLLBACK;
\echo :LAST_ERROR_SQLSTATE
BEGIN;
CREATE SCHEMA dbos AUTHORIZATION regress_dbos_other;
SELECT dbos_sys.install();
SELECT DISTINCT relowner::regrole FROM pg_class WHERE relnamespace IN ('dbos'::regnamespace, 'dbos_ops'::regnamespace);
ROLLBACK;

-- A superuser's tables are maintained by a role that is none.
BEGIN;
SELECT dbos_sys.install(session_user);
SELECT DISTINCT relowner::regrole::text = session_user AS owner FROM pg_class WHERE relnamespace = 'dbos'::regnamespace;
SELECT rolcanlogin, rolsuper FROM pg_roles WHERE rolname = 'dbos_sys_worker';
SET LOCAL ROLE dbos_sys_worker;
SELECT count(*) FROM dbos_sys.maintain();
ROLLBACK;

SELECT dbos_sys.install();
SELECT dbos_sys.install();
SELECT dbos_sys.install('regress_dbos_app');
SELECT nspname, nspowner::regrole FROM pg_namespace WHERE nspname LIKE 'dbos%' AND nspname <> 'dbos_sys' ORDER BY 1;
SELECT * FROM dbos.dbos_migrations;
SELECT dbos_sys.schema_version();
SELECT * FROM dbos_sys.verify();
SELECT relname FROM pg_class WHERE relnamespace = 'dbos_ops'::regnamespace AND relkind = 'r' ORDER BY 1;
SELECT count(*) AS members FROM pg_depend WHERE deptype = 'e' AND pg_describe_object(classid, objid, 0) ~ '(schema|table|function) dbos(_ops)?(\.|$)';

-- The owner may call it too, and who was given access; only what there is to make needs the owner.
BEGIN;
SET LOCAL ROLE regress_dbos_app;
SELECT dbos_sys.install();
SELECT count(*) FROM dbos_sys.verify();
ROLLBACK;
BEGIN;
SELECT dbos_sys.grant_access('regress_dbos_other');
SET LOCAL ROLE regress_dbos_other;
SELECT dbos_sys.install();
RESET ROLE;
DROP TABLE dbos_ops.ticker;
SET LOCAL ROLE regress_dbos_other;
SELECT dbos_sys.install();
ROLLBACK;
\echo :LAST_ERROR_SQLSTATE
BEGIN;
SET LOCAL ROLE regress_dbos_other;
SELECT dbos_sys.install();
ROLLBACK;
\echo :LAST_ERROR_SQLSTATE

-- What is absent of our own tables is made again; roles may on it what they may on all of its siblings.
BEGIN;
SELECT dbos_sys.grant_access('regress_dbos_other');
CREATE ROLE regress_dbos_reader;
GRANT SELECT ON dbos_ops.executors TO regress_dbos_reader;
GRANT SELECT ON ALL TABLES IN SCHEMA dbos_ops TO PUBLIC;
DROP TABLE dbos_ops.ticker, dbos_ops.watches;
SELECT item, problem FROM dbos_sys.verify();
SELECT dbos_sys.install();
SELECT count(*) FROM dbos_sys.verify();
SELECT relname, relacl FROM pg_class WHERE oid IN ('dbos_ops.ticker'::regclass, 'dbos_ops.watches'::regclass) ORDER BY 1;
SET LOCAL ROLE regress_dbos_other;
SELECT count(*) FROM dbos_sys.maintain() WHERE rows = 0;
ROLLBACK;

-- Who may not look, or not make, is told so.
BEGIN;
GRANT USAGE ON SCHEMA dbos_sys TO regress_dbos_other;
GRANT EXECUTE ON ALL ROUTINES IN SCHEMA dbos_sys TO regress_dbos_other;
SET LOCAL ROLE regress_dbos_other;
SELECT dbos_sys.install();
ROLLBACK;
\echo :LAST_ERROR_SQLSTATE
BEGIN;
SELECT dbos_sys.grant_access('regress_dbos_other');
REVOKE ALL ON dbos.dbos_migrations FROM regress_dbos_other;
SET LOCAL ROLE regress_dbos_other;
SELECT dbos_sys.install();
ROLLBACK;
\echo :LAST_ERROR_SQLSTATE
BEGIN;
SET LOCAL client_min_messages = warning;
DROP SCHEMA dbos, dbos_ops CASCADE;
GRANT USAGE ON SCHEMA dbos_sys TO regress_dbos_other;
GRANT EXECUTE ON ALL ROUTINES IN SCHEMA dbos_sys TO regress_dbos_other;
SET LOCAL ROLE regress_dbos_other;
SELECT dbos_sys.install();
ROLLBACK;
\echo :LAST_ERROR_SQLSTATE

-- Tables to which everybody may write, whole or by column, unless that is meant.
BEGIN;
GRANT INSERT ON dbos.workflow_status TO PUBLIC;
GRANT UPDATE (lease_ms) ON dbos_ops.executors TO PUBLIC;
GRANT SELECT ON dbos.queues TO PUBLIC;
SAVEPOINT s;
SELECT dbos_sys.install();
ROLLBACK TO s;
\echo :LAST_ERROR_SQLSTATE
SELECT dbos_sys.migration_plan();
ROLLBACK TO s;
SELECT dbos_sys.install(p_force => true);
REVOKE INSERT, UPDATE, DELETE, TRUNCATE, TRIGGER ON dbos.workflow_status, dbos_ops.executors FROM PUBLIC;
SELECT dbos_sys.install();
ROLLBACK;

-- The version table has to hold one row.
BEGIN;
DELETE FROM dbos.dbos_migrations;
SELECT * FROM dbos_sys.verify();
SELECT dbos_sys.install();
ROLLBACK;
\echo :LAST_ERROR_SQLSTATE
BEGIN;
INSERT INTO dbos.dbos_migrations VALUES (122);
SELECT dbos_sys.install();
ROLLBACK;
\echo :LAST_ERROR_SQLSTATE
BEGIN;
ALTER TABLE dbos.dbos_migrations DROP CONSTRAINT dbos_migrations_pkey, ALTER COLUMN version DROP NOT NULL;
UPDATE dbos.dbos_migrations SET version = NULL;
SELECT dbos_sys.install();
ROLLBACK;
\echo :LAST_ERROR_SQLSTATE

-- Newer tables are left as they are, with a warning.
BEGIN;
UPDATE dbos.dbos_migrations SET version = 126;
ALTER TABLE dbos.workflow_status ADD COLUMN new_in_126 text;
SELECT dbos_sys.install();
SELECT dbos_sys.schema_version();
SELECT * FROM dbos_sys.verify();
ROLLBACK;

-- Tables that are not what their version says.
BEGIN;
DROP TABLE dbos.workflow_input;
SELECT * FROM dbos_sys.verify();
SELECT dbos_sys.install();
ROLLBACK;
\echo :LAST_ERROR_SQLSTATE
BEGIN;
ALTER TABLE dbos.workflow_status DROP COLUMN creator_xid;
ALTER TABLE dbos.queues ALTER COLUMN concurrency TYPE bigint;
ALTER TABLE dbos.streams ALTER COLUMN value DROP NOT NULL;
ALTER TABLE dbos.operation_outputs ALTER COLUMN retention_timestamp DROP DEFAULT;
ALTER TABLE dbos.workflow_status ALTER COLUMN name SET NOT NULL;
SELECT * FROM dbos_sys.verify();
SELECT dbos_sys.install();
ROLLBACK;
\echo :LAST_ERROR_SQLSTATE
BEGIN;
ALTER TABLE dbos.workflow_events OWNER TO regress_dbos_other;
SELECT dbos_sys.install();
ROLLBACK;
\echo :LAST_ERROR_SQLSTATE
-- What only costs speed or a feature is a warning.
BEGIN;
DROP INDEX dbos.uq_workflow_status_dedup_id;
CREATE INDEX uq_workflow_status_dedup_id ON dbos.workflow_status (queue_name, deduplication_id);
UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'dbos.idx_workflow_topic'::regclass;
ALTER TABLE dbos.streams DROP CONSTRAINT streams_workflow_uuid_fkey;
DROP TRIGGER dbos_notifications_trigger ON dbos.notifications;
DROP FUNCTION dbos.send_message;
ALTER FUNCTION dbos.enqueue_workflow SECURITY DEFINER;
SELECT * FROM dbos_sys.verify();
SELECT dbos_sys.install();
ROLLBACK;

-- What old SDKs spelt otherwise is no difference.
BEGIN;
ALTER TABLE dbos.streams RENAME CONSTRAINT streams_workflow_uuid_fkey TO streams_workflow_uuid_foreign;
ALTER TABLE dbos.workflow_status ALTER COLUMN owner_xid TYPE varchar(40);
ALTER TABLE dbos.workflow_status ALTER COLUMN created_at SET DEFAULT (extract(epoch FROM now()) * 1000)::bigint;
SELECT * FROM dbos_sys.verify();
ROLLBACK;

-- The remedy for another schema name: after the renaming the functions write to the new name.
BEGIN;
UPDATE pg_proc SET prosrc = replace(prosrc, 'dbos.', '"Work".') WHERE pronamespace = 'dbos'::regnamespace;
SELECT * FROM dbos_sys.verify();
SELECT dbos_sys.install();
SELECT count(*) FROM dbos_sys.verify();
SELECT proowner::regrole FROM pg_proc WHERE oid = 'dbos.send_message'::regproc;
ROLLBACK;

-- Another encoding cannot hold the payloads.
CREATE DATABASE regress_install_latin1 TEMPLATE template0 ENCODING 'LATIN1' LOCALE 'C';
\c regress_install_latin1
\set ECHO errors
SET client_min_messages = warning;
\i :flavour
RESET client_min_messages;
\set ECHO all
SELECT dbos_sys.install();
\echo :LAST_ERROR_SQLSTATE

\c postgres
DROP DATABASE regress_install_latin1;
DROP DATABASE regress_install;
DROP ROLE regress_dbos_app, regress_dbos_other;
