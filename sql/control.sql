-- cancel() and resume(): which transitions there are, and which are refused.
\set SHOW_CONTEXT never
\set ECHO errors
\getenv root PG_ABS_SRCDIR
\set setup :root /sql/include/setup.psql
\i :setup
\set ECHO all

SET client_min_messages = error;
SELECT * FROM pg_temp.trip('[{"id": "running", "new": true}, {"id": "ok", "new": true, "status": "SUCCESS", "output": "1"}, {"id": "failed", "new": true, "status": "ERROR", "error": "{}"},
  {"id": "dead", "new": true, "status": "MAX_RECOVERY_ATTEMPTS_EXCEEDED", "error": "{\"name\": \"Undecodable\"}"},
  {"id": "waiting", "new": true, "options": {"queue": "q", "deduplication_id": "d", "timeout_ms": 5000}}, {"id": "delayed", "new": true, "options": {"queue": "q", "delay_ms": 5000}}]');
UPDATE dbos.workflow_status SET started_at_epoch_ms = 1 WHERE workflow_uuid = 'running';
SET dbos_sys.fake_now = '1800000001000';
-- Everything but what has ended otherwise is cancelled; a second time changes nothing. SUCCESS and ERROR stay as they are.
SELECT dbos_sys.cancel('{running,waiting,delayed,ok,failed,dead,waiting}');
SELECT workflow_uuid AS id, status, queue_name AS queue, deduplication_id AS dedup, owner_xid AS owner, started_at_epoch_ms AS started, completed_at, updated_at FROM dbos.workflow_status ORDER BY 1;
SELECT dbos_sys.cancel('{running,ok}');
-- The running one learns it at its next write.
SELECT * FROM pg_temp.trip('[{"id": "running", "status": "SUCCESS"}]', '[{"run": 1, "fid": 0, "name": "s"}]');
SELECT count(*) FROM dbos.operation_outputs;

-- Resume: from the recorded steps on, attempts from 0; the reason of a dead letter goes.
SELECT dbos_sys.resume('{running,dead,waiting}', 'other');
SELECT w.workflow_uuid AS id, status, queue_name AS queue, recovery_attempts AS n, completed_at, workflow_timeout_ms AS timeout, workflow_deadline_epoch_ms AS deadline, o.error
FROM dbos.workflow_status AS w LEFT JOIN dbos.workflow_output AS o USING (workflow_uuid) ORDER BY 1;
SELECT dbos_sys.resume('{delayed,delayed}');
SELECT queue_name FROM dbos.workflow_status WHERE workflow_uuid = 'delayed';
-- A PENDING one is taken from its executor.
SELECT * FROM pg_temp.trip('[{"id": "busy", "new": true}]');
SELECT dbos_sys.resume('{busy}');
SELECT * FROM pg_temp.trip('[{"id": "busy", "status": "SUCCESS"}]');
-- What has ended with SUCCESS or ERROR, or does not exist, is refused, and the others are left.
SELECT dbos_sys.cancel('{running}');
SELECT dbos_sys.resume('{running,ok}');
\echo :LAST_ERROR_SQLSTATE
SELECT dbos_sys.resume('{running,nobody}');
\echo :LAST_ERROR_SQLSTATE
SELECT status FROM dbos.workflow_status WHERE workflow_uuid = 'running';

-- Children: cancelled with their parents on request, over generations, a circle of parents included.
SELECT * FROM pg_temp.trip('[{"id": "p", "new": true}, {"id": "p-0", "new": true, "options": {"parent_run": 1, "parent_fid": 0}},
  {"id": "p-0-0", "new": true, "options": {"parent_run": 2, "parent_fid": 0}}, {"id": "c1", "new": true}, {"id": "c2", "new": true}]');
UPDATE dbos.workflow_status SET parent_workflow_id = CASE workflow_uuid WHEN 'c1' THEN 'c2' ELSE 'c1' END WHERE workflow_uuid IN ('c1', 'c2');
SELECT dbos_sys.cancel('{p-0}'), dbos_sys.cancel('{p}', true), dbos_sys.cancel('{c1}', true);
SELECT workflow_uuid, status FROM dbos.workflow_status WHERE workflow_uuid ~ '^(p|c\d)' ORDER BY 1;

-- Bad input.
SELECT dbos_sys.cancel('{}'), dbos_sys.resume('{}');
SELECT dbos_sys.cancel(NULL);
SELECT dbos_sys.cancel(ARRAY['ok', NULL]);
SELECT dbos_sys.cancel('{ok,nobody,"who%s"}');
SELECT dbos_sys.cancel('{{ok},{dead}}');
SELECT dbos_sys.cancel(ARRAY['']);
SELECT dbos_sys.resume(NULL);
SELECT dbos_sys.resume('{running}', '');
SELECT dbos_sys.cancel(array_agg('dead'::text)) FROM generate_series(1, 100000);
SELECT dbos_sys.cancel(ARRAY['']);
SELECT dbos_sys.resume(ARRAY['a', ' ']);
