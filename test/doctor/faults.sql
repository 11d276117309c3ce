-- What lies in a database that nobody looks after: one fault for each line of doctor() that is about rows, tables and indexes.
SET client_min_messages = error;
CREATE FUNCTION pg_temp.ago(p_what interval) RETURNS bigint LANGUAGE sql AS $$ SELECT (EXTRACT(epoch FROM clock_timestamp() - p_what) * 1000)::bigint $$;
CREATE FUNCTION pg_temp.workflow(p_id text, p_status text, p_created interval, p_version text DEFAULT 'v2', p_executor text DEFAULT NULL,
  p_queue text DEFAULT NULL, p_delayed interval DEFAULT NULL, p_deadline interval DEFAULT NULL, p_completed interval DEFAULT NULL, p_name text DEFAULT 'checkout')
RETURNS void LANGUAGE sql AS $$
  INSERT INTO dbos.workflow_status (workflow_uuid, status, name, application_name, application_version, executor_id, queue_name, created_at, updated_at,
    started_at_epoch_ms, delay_until_epoch_ms, workflow_deadline_epoch_ms, completed_at)
  VALUES (p_id, p_status, p_name, 'shop', p_version, p_executor, p_queue, pg_temp.ago(p_created), pg_temp.ago(p_created),
    CASE WHEN p_status = 'PENDING' THEN pg_temp.ago(p_created) END, pg_temp.ago(p_delayed), pg_temp.ago(p_deadline), pg_temp.ago(p_completed))
$$;
INSERT INTO dbos.application_versions (version_id, version_name, version_timestamp, created_at, application_name)
VALUES ('1', 'v1', pg_temp.ago('2 days'), pg_temp.ago('2 days'), 'shop'), ('2', 'v2', pg_temp.ago('1 day'), pg_temp.ago('1 day'), 'shop');

SELECT pg_temp.workflow('finished', 'SUCCESS', '40 days', p_completed => '39 days');
SELECT pg_temp.workflow('dead', 'MAX_RECOVERY_ATTEMPTS_EXCEEDED', '1 hour', p_name => 'poison');
SELECT pg_temp.workflow('late', 'DELAYED', '2 hours', p_queue => 'mail', p_delayed => '1 hour');
SELECT pg_temp.workflow('waits', 'ENQUEUED', '2 hours', p_queue => 'orders');
SELECT pg_temp.workflow('orphan', 'PENDING', '2 hours', p_executor => 'pod-7');
SELECT pg_temp.workflow('hangs', 'PENDING', '2 days', p_executor => 'pod-7');
SELECT pg_temp.workflow('outdated', 'ENQUEUED', '10 minutes', 'v1', p_queue => 'orders');
SELECT pg_temp.workflow('heavy', 'SUCCESS', '5 minutes', p_completed => '5 minutes', p_name => 'report');
INSERT INTO dbos.workflow_output (workflow_uuid, output) VALUES ('heavy', repeat('x', 100000));
SELECT pg_temp.workflow('tomorrow', 'SUCCESS', '-1 hour', p_executor => 'pod-9', p_completed => '-1 hour');
INSERT INTO dbos.operation_outputs (workflow_uuid, function_id, function_name, output) VALUES ('heavy', 0, 'charge', '1'), ('heavy', 1, 'render', '1');
SELECT dbos_sys.classify_step('charge', limit_name => 'stripe');

-- A table whose rows all died, and one whose index was never given back.
INSERT INTO dbos.workflow_output (workflow_uuid, output) SELECT 'o' || n, '1' FROM generate_series(1, 30000) AS n;
UPDATE dbos.workflow_output SET output = '2' WHERE workflow_uuid LIKE 'o%';
INSERT INTO dbos.workflow_input (workflow_uuid, inputs) SELECT gen_random_uuid(), '1' FROM generate_series(1, 250000);
DELETE FROM dbos.workflow_input WHERE workflow_uuid > '01';
VACUUM ANALYZE dbos.workflow_input;

ALTER TABLE dbos.streams SET UNLOGGED;
ALTER TABLE dbos.notifications SET (autovacuum_enabled = off);
CREATE FUNCTION public.audit() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
CREATE TRIGGER audit AFTER UPDATE ON dbos.workflow_status FOR EACH ROW EXECUTE FUNCTION public.audit();
DROP INDEX dbos.idx_workflow_status_in_flight_v2;
UPDATE dbos.dbos_migrations SET version = 124;

-- Business data beside the workflows.
CREATE TABLE public.orders AS SELECT n FROM generate_series(1, 20000) AS n;
