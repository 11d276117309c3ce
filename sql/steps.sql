-- Steps are recorded once; what stands is never changed.
\set SHOW_CONTEXT never
\set ECHO errors
\getenv root PG_ABS_SRCDIR
\set setup :root /sql/include/setup.psql
\i :setup
\set ECHO all

SELECT * FROM pg_temp.trip('[{"id": "a", "new": true}, {"id": "b", "new": true}]',
  '[{"run": 1, "fid": 0, "name": "charge", "output": "{\"n\": 1}", "started": 1799999999000}, {"run": 2, "fid": 0, "name": "fail", "error": "{\"name\": \"E\"}"}]');
SELECT * FROM dbos.operation_outputs ORDER BY workflow_uuid;
-- The same again, in careful form: nothing changes. In the fast form it raises, and nothing of the trip is written.
SELECT * FROM pg_temp.trip('[{"id": "a"}]', '[{"run": 1, "fid": 0, "name": "charge", "output": "{\"n\": 1}"}, {"run": 1, "fid": 1, "name": "ship"}]', '[]', true);
SELECT * FROM pg_temp.trip('[{"id": "a"}]', '[{"run": 1, "fid": 2, "name": "mail"}, {"run": 1, "fid": 0, "name": "charge"}]');
SELECT function_id, function_name, output FROM dbos.operation_outputs WHERE workflow_uuid = 'a' ORDER BY 1;
-- Another name, or another execution's result: that run is refused, and nothing of it is written; others go on.
SELECT * FROM pg_temp.trip('[{"id": "a", "status": "SUCCESS"}, {"id": "b", "status": "SUCCESS", "output": "2"}]',
  '[{"run": 1, "fid": 0, "name": "refund"}, {"run": 1, "fid": 2, "name": "mail"}, {"run": 2, "fid": 1, "name": "x", "output": "0"}]', '[]', true);
SELECT * FROM pg_temp.trip('[{"id": "a"}]', '[{"run": 1, "fid": 0, "name": "charge", "completed": 1800000000001}]', '[]', true);
SELECT workflow_uuid, function_id, function_name FROM dbos.operation_outputs ORDER BY 1, 2;
SELECT workflow_uuid, status FROM dbos.workflow_status ORDER BY 1;
-- Only who owns the run records.
SELECT * FROM pg_temp.trip('[{"id": "a", "token": "other"}, {"id": "b"}, {"id": "nowhere"}]', '[{"run": 1, "fid": 3, "name": "x"}, {"run": 2, "fid": 3, "name": "x"}, {"run": 3, "fid": 3, "name": "x"}]');
SELECT count(*) FROM dbos.operation_outputs WHERE function_id = 3;

-- Bad input.
SELECT * FROM pg_temp.trip('[{"id": "a"}]', '[{"run": 1, "fid": -1, "name": "x"}]');
SELECT * FROM pg_temp.trip('[{"id": "a"}]', '[{"run": 1, "name": "x"}]');
SELECT * FROM pg_temp.trip('[{"id": "a"}]', '[{"run": 1, "fid": 5}]');
SELECT * FROM pg_temp.trip('[{"id": "a"}]', '[{"run": 1, "fid": 5, "name": ""}]');
SELECT * FROM pg_temp.trip('[{"id": "a"}]', '[{"run": 2, "fid": 5, "name": "x"}]');
SELECT * FROM pg_temp.trip('[{"id": "a"}]', '[{"run": 0, "fid": 5, "name": "x"}]');
SELECT * FROM pg_temp.trip('[{"id": "a"}]', '[{"run": 1, "fid": 5, "name": " "}]');
SELECT * FROM pg_temp.trip('[{"id": "a"}]', '[{"run": 1, "fid": 5, "name": "x", "started": -1}]');
SELECT * FROM pg_temp.trip('[{"id": "a"}]', '[{"run": 1, "fid": 5, "name": "x", "completed": 9223372036854775807}]');
SELECT count(*) FROM dbos.operation_outputs WHERE function_id = 5;
