-- The end of a run: once, by its owner, with the columns of each status.
\set SHOW_CONTEXT never
\set ECHO errors
\getenv root PG_ABS_SRCDIR
\set setup :root /sql/include/setup.psql
\i :setup
\set ECHO all

SELECT * FROM pg_temp.trip('[{"id": "s", "new": true}, {"id": "e", "new": true}, {"id": "c", "new": true}, {"id": "m", "new": true}]');
UPDATE dbos.workflow_status SET queue_name = 'q', deduplication_id = 'd-' || workflow_uuid, started_at_epoch_ms = 5;
SET dbos_sys.fake_now = '1800000001000';
SELECT * FROM pg_temp.trip('[{"id": "s", "status": "SUCCESS", "output": "{\"ok\": true}"}, {"id": "e", "status": "ERROR", "error": "{\"name\": \"E\", \"message\": \"m\"}"},
  {"id": "c", "status": "CANCELLED"}, {"id": "m", "status": "MAX_RECOVERY_ATTEMPTS_EXCEEDED", "error": "{\"name\": \"Undecodable\"}"}]');
SELECT w.workflow_uuid AS id, w.status, w.queue_name, w.deduplication_id AS dedup, w.started_at_epoch_ms AS started, w.completed_at, w.updated_at, w.owner_xid, o.output, o.error
FROM dbos.workflow_status AS w LEFT JOIN dbos.workflow_output AS o USING (workflow_uuid) ORDER BY 1;
-- A second completion finds no owner: the recorded outcome comes back.
SELECT * FROM pg_temp.trip('[{"id": "s", "status": "ERROR", "error": "late"}, {"id": "c", "status": "SUCCESS"}]');
SELECT * FROM pg_temp.trip('[{"id": "s", "status": "SUCCESS", "output": "again"}]', '[]', '[]', true);
SELECT output, error FROM dbos.workflow_output WHERE workflow_uuid = 's';
-- A void result and an empty text are different.
SELECT * FROM pg_temp.trip('[{"id": "v", "new": true}, {"id": "t", "new": true}]');
SELECT * FROM pg_temp.trip('[{"id": "v", "status": "SUCCESS"}, {"id": "t", "status": "SUCCESS", "output": ""}]');
SELECT workflow_uuid, output IS NULL AS void FROM dbos.workflow_output WHERE workflow_uuid IN ('v', 't') ORDER BY 1;
-- An output that was left by an earlier life of the id: the fast form raises, the careful one replaces it.
SELECT * FROM pg_temp.trip('[{"id": "left", "new": true}]');
INSERT INTO dbos.workflow_output VALUES ('left', 'old', 'old', 1);
SELECT * FROM pg_temp.trip('[{"id": "left", "status": "SUCCESS", "output": "new"}]');
SELECT * FROM pg_temp.trip('[{"id": "left", "status": "SUCCESS", "output": "new"}]', '[]', '[]', true);
SELECT * FROM dbos.workflow_output WHERE workflow_uuid = 'left';
-- Bad input.
SELECT * FROM pg_temp.trip('[{"id": "s", "status": "success"}]');
SELECT * FROM pg_temp.trip('[{"id": "s", "status": "PENDING"}]');
