-- uninstall(): what it takes away, and when it refuses.
\set SHOW_CONTEXT never
\set ECHO errors
\getenv root PG_ABS_SRCDIR
\set flavour :root /sql/include/flavour.psql
SET client_min_messages = warning;
CREATE ROLE regress_uninstall_app;
CREATE ROLE regress_uninstall_other;
CREATE DATABASE regress_uninstall TEMPLATE template0 ENCODING 'UTF8' LOCALE 'C' OWNER regress_uninstall_app;
\c regress_uninstall
SET client_min_messages = warning;
\i :flavour
RESET client_min_messages;
\set ECHO all
SELECT * FROM dbos_sys.uninstall();
SELECT dbos_sys.install();
SELECT dbos.enqueue_workflow('w', 'q', workflow_id => 'kept') IS NOT NULL AS enqueued;

-- It only tells, unless dry_run is false.
SELECT * FROM dbos_sys.uninstall();
SELECT * FROM dbos_sys.uninstall(dry_run => NULL);
\echo :LAST_ERROR_SQLSTATE
SELECT to_regnamespace('dbos_ops') IS NOT NULL AS still_there;

-- Executors of ours at work keep their tables; those of other SDKs, known by heartbeats, need none.
SELECT dbos_sys.register_executor('shop', 'e1', 'i1', 'v1') IS NOT NULL AS registered;
SELECT state FROM dbos_sys.heartbeat('stock', '1 h');
SELECT * FROM dbos_sys.uninstall(dry_run => true) WHERE item NOT LIKE 'table %';
SELECT * FROM dbos_sys.uninstall(dry_run => false);
\echo :LAST_ERROR_SQLSTATE
-- When they have gone, what they left PENDING has to be recovered first.
UPDATE dbos.workflow_status SET status = 'PENDING', executor_id = 'e1', application_name = 'shop' WHERE workflow_uuid = 'kept';
UPDATE dbos_ops.executors SET ended_at = dbos_sys.now_ms(), ended_why = 'lease over' WHERE executor_id = 'e1';
SELECT * FROM dbos_sys.uninstall(dry_run => true) WHERE item = 'workflows';
SELECT * FROM dbos_sys.uninstall(dry_run => false);
\echo :LAST_ERROR_SQLSTATE
UPDATE dbos.workflow_status SET status = 'ENQUEUED', executor_id = NULL, application_name = NULL WHERE workflow_uuid = 'kept';

-- The archive is not lost with it.
BEGIN;
INSERT INTO dbos.workflow_status (workflow_uuid, status, name, completed_at) VALUES ('old', 'SUCCESS', 'w', 1);
SELECT dbos_sys.archive_batch('{old}', 1) IS NOT NULL AS archived;
SELECT dbos_sys.prune_rows('{old}');
SELECT * FROM dbos_sys.uninstall(dry_run => true) WHERE item = 'archive';
SAVEPOINT refused;
SELECT * FROM dbos_sys.uninstall(dry_run => false);
ROLLBACK TO refused;
SELECT dbos_sys.restore('old');
SELECT count(*) > 5 AS dropped FROM dbos_sys.uninstall(dry_run => false);
SELECT to_regclass('dbos_ops.archive_1970_01') IS NULL AS gone, count(*) FROM dbos.workflow_status WHERE workflow_uuid = 'old';
ROLLBACK;

-- A paused queue would stay so for every SDK.
BEGIN;
SELECT dbos_sys.register_queue('held', '{"concurrency": 3}'), dbos_sys.pause_queue('held');
SELECT * FROM dbos_sys.uninstall(dry_run => true) WHERE item LIKE 'queue %';
SAVEPOINT refused;
SELECT * FROM dbos_sys.uninstall(dry_run => false);
ROLLBACK TO refused;
\echo :LAST_ERROR_SQLSTATE
SELECT dbos_sys.resume_queue('held');
SELECT count(*) > 5 AS dropped FROM dbos_sys.uninstall(dry_run => false);
SELECT concurrency FROM dbos.queues WHERE name = 'held';
ROLLBACK;

-- What others put there is not dropped.
BEGIN;
CREATE TABLE dbos_ops.mine (a integer);
SELECT * FROM dbos_sys.uninstall(dry_run => false);
ROLLBACK;
\echo :LAST_ERROR_SQLSTATE
BEGIN;
CREATE VIEW public.uses AS SELECT executor_id FROM dbos_ops.executors;
SELECT * FROM dbos_sys.uninstall(dry_run => false);
ROLLBACK;
\echo :LAST_ERROR_SQLSTATE
-- Roles: not everybody who may call the functions. Who may not look is told so.
BEGIN;
GRANT USAGE ON SCHEMA dbos_sys TO regress_uninstall_other;
GRANT EXECUTE ON ALL ROUTINES IN SCHEMA dbos_sys TO regress_uninstall_other;
SET LOCAL ROLE regress_uninstall_other;
SAVEPOINT closed;
SELECT * FROM dbos_sys.uninstall();
ROLLBACK TO closed;
RESET ROLE;
GRANT USAGE ON SCHEMA dbos, dbos_ops TO regress_uninstall_other;
GRANT SELECT ON dbos.dbos_migrations TO regress_uninstall_other;
GRANT SELECT ON ALL TABLES IN SCHEMA dbos_ops TO regress_uninstall_other;
REVOKE SELECT ON dbos_ops.watches FROM regress_uninstall_other;
SET LOCAL ROLE regress_uninstall_other;
SELECT * FROM dbos_sys.uninstall();
ROLLBACK;
BEGIN;
SELECT dbos_sys.grant_access('regress_uninstall_other');
SET LOCAL ROLE regress_uninstall_other;
SELECT * FROM dbos_sys.uninstall(dry_run => false);
ROLLBACK;
\echo :LAST_ERROR_SQLSTATE
BEGIN READ ONLY;
SELECT * FROM dbos_sys.uninstall(dry_run => false);
ROLLBACK;
\echo :LAST_ERROR_SQLSTATE

-- The owner removes it, with work enqueued; schema dbos stays, and install() brings it back.
BEGIN;
SET LOCAL ROLE regress_uninstall_app;
SELECT * FROM dbos_sys.uninstall(dry_run => false);
RESET ROLE;
SELECT to_regnamespace('dbos_ops') IS NULL AS gone;
SELECT count(*) FILTER (WHERE item NOT LIKE 'table dbos\_ops.%') AS differences FROM dbos_sys.verify();
SELECT workflow_uuid, status FROM dbos.workflow_status;
SELECT * FROM dbos_sys.uninstall(dry_run => false);
SELECT dbos_sys.install();
SELECT count(*) FROM dbos_sys.verify();
ROLLBACK;

-- A superuser's tables: the worker's role loses what install() gave it.
SET client_min_messages = warning;
DROP SCHEMA dbos, dbos_ops CASCADE;
RESET client_min_messages;
SELECT dbos_sys.install(session_user);
SELECT has_table_privilege('dbos_sys_worker', 'dbos.workflow_status', 'INSERT') AS worker;
SELECT count(*) FROM dbos_sys.uninstall(dry_run => false);
SELECT has_schema_privilege('dbos_sys_worker', 'dbos', 'USAGE') AS may_enter, has_table_privilege('dbos_sys_worker', 'dbos.workflow_status', 'INSERT') AS may_write;

\c postgres
DROP DATABASE regress_uninstall;
DROP ROLE regress_uninstall_app, regress_uninstall_other;
