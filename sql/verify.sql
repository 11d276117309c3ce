-- verify(): every difference that could break a reader or writer is told, with the object and what is wrong; others are not.
\set SHOW_CONTEXT never
\set ECHO errors
\getenv root PG_ABS_SRCDIR
\set setup :root /sql/include/setup.psql
\i :setup
\set ECHO all

SELECT * FROM dbos_sys.verify();
SELECT dbos_sys.schema_version();
BEGIN;
DROP TABLE dbos.event_dispatch_kv;
ALTER TABLE dbos.queues DROP COLUMN partition_concurrency, ALTER COLUMN concurrency TYPE bigint;
ALTER TABLE dbos.workflow_status ALTER COLUMN status DROP NOT NULL, ALTER COLUMN priority DROP DEFAULT, ALTER COLUMN name SET NOT NULL;
ALTER TABLE dbos.notifications DROP CONSTRAINT notifications_destination_uuid_fkey;
DROP INDEX dbos.idx_workflow_status_delayed;
CREATE INDEX idx_workflow_status_delayed ON dbos.workflow_status (delay_until_epoch_ms);
UPDATE dbos.dbos_migrations SET version = 122;
SELECT * FROM dbos_sys.verify();
ROLLBACK;
BEGIN;
ALTER TABLE dbos.notifications DISABLE TRIGGER dbos_notifications_trigger;
ALTER FUNCTION dbos.notifications_function() SECURITY DEFINER;
ALTER FUNCTION dbos.send_message RESET ALL;
SELECT * FROM dbos_sys.verify();
DROP TRIGGER dbos_notifications_trigger ON dbos.notifications;
DROP FUNCTION dbos.send_message;
SELECT * FROM dbos_sys.verify();
ROLLBACK;
-- An index that a concurrent build left behind serves nobody.
BEGIN;
UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'dbos.idx_workflow_status_pending'::regclass;
SELECT * FROM dbos_sys.verify();
ROLLBACK;
-- What the SDKs differ in, and what users add, breaks nobody.
BEGIN;
ALTER TABLE dbos.queues RENAME CONSTRAINT queues_name_key TO queues_name_unique;
ALTER INDEX dbos.idx_workflow_status_pending RENAME TO another_name;
ALTER TABLE dbos.queues ALTER COLUMN name TYPE varchar(255), ADD COLUMN mine integer;
CREATE INDEX mine ON dbos.queues (updated_at);
SELECT * FROM dbos_sys.verify();
ROLLBACK;
SELECT * FROM dbos_sys.verify();
