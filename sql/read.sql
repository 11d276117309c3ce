-- status(), list(), steps(), outcomes(): every column, both shapes of payloads, filters that are checked.
\set SHOW_CONTEXT never
\set ECHO errors
\getenv root PG_ABS_SRCDIR
\set setup :root /sql/include/setup.psql
\i :setup
\set ECHO all

SET client_min_messages = error;
SELECT * FROM pg_temp.trip('[{"id": "run", "new": true, "inputs": "{\"positionalArgs\":[1]}", "options": {"attributes": {"k": 1, "l": [2]}, "authenticated_user": "u"}},
  {"id": "ok", "new": true, "name": "pay", "status": "SUCCESS", "output": "[1]"}, {"id": "bad", "new": true, "status": "ERROR", "error": "{}", "options": {"class_name": "C"}},
  {"id": "run-0", "new": true, "options": {"queue": "q", "parent_run": 1, "parent_fid": 0}}]', '[{"run": 1, "fid": 1, "name": "s", "output": "\"x\"", "started": 1799999999000}]');
-- An old SDK writes payloads into the row.
INSERT INTO dbos.workflow_status (workflow_uuid, status, name, inputs, output, serialization, created_at, updated_at, completed_at, application_version, forked_from)
VALUES ('legacy', 'SUCCESS', 'w', '{"json":[1]}', '{"json":2}', 'js_superjson', 1700000000000, 1700000000000, 1700000000500, 'v0', 'ok');
INSERT INTO dbos.workflow_status (workflow_uuid, status, name, created_at, updated_at) VALUES ('a%b', 'CANCELLED', 'w', 1700000001000, 1), ('a_b', 'CANCELLED', 'w', 1700000002000, 1), ('axb', 'CANCELLED', 'w', 1700000003000, 1);

SELECT to_jsonb(s) FROM dbos_sys.status('run') AS s;
SELECT inputs, output, error, serialization FROM dbos_sys.status('legacy');
SELECT count(*) FROM dbos_sys.status('nobody');
SELECT dbos_sys.status(NULL);
SELECT dbos_sys.status('');
SELECT * FROM dbos_sys.steps('run');
SELECT count(*) FROM dbos_sys.steps('nobody');
SELECT * FROM dbos_sys.outcomes('{run,ok,bad,legacy,nobody,run-0}') ORDER BY id;
SELECT dbos_sys.outcomes(NULL);

CREATE FUNCTION pg_temp.ids(p_filter jsonb) RETURNS text LANGUAGE sql AS $$SELECT string_agg(l.workflow_uuid, ' ') FROM dbos_sys.list(p_filter) AS l$$;
SELECT pg_temp.ids('{}'), pg_temp.ids('{"sort_desc": true, "limit": 2, "offset": 1}');
SELECT f.filter, pg_temp.ids(f.filter::jsonb) FROM (VALUES ('{"ids": ["ok", "nobody", "run"]}'), ('{"ids": []}'), ('{"id_prefix": "a%"}'), ('{"id_prefix": "run"}'), ('{"name": "pay"}'), ('{"class_name": "C"}'),
  ('{"status": "PENDING"}'), ('{"status": ["SUCCESS", "ERROR"]}'), ('{"queue_name": "q"}'), ('{"application_name": "shop", "status": "SUCCESS"}'), ('{"application_version": "v0"}'),
  ('{"executor_id": "e1"}'), ('{"authenticated_user": "u"}'), ('{"forked_from": "ok"}'), ('{"parent_workflow_id": "run"}'), ('{"is_fork": true}'), ('{"has_parent": true}'), ('{"was_forked_from": true}'),
  ('{"queues_only": true}'), ('{"attributes": {"k": 1}}'), ('{"attributes": {"k": 2}}'), ('{"start_time": 1700000001000, "end_time": 1700000002000}'),
  ('{"end_time": "2023-11-14T22:13:21Z"}'), ('{"end_time": "2023-11-15 03:58:21+05:45"}'), ('{"completed_after": 1700000000500, "completed_before": 1700000000500}'),
  ('{"start_time": 1800000000000, "end_time": 1700000000000}'), ('{"limit": 0}'), ('{"dequeued_after": 1700000000000}'), ('{"schedule_name": "s", "deduplication_id": "d"}')) AS f(filter);
SELECT inputs, output FROM dbos_sys.list('{"ids": "ok", "load_input": false, "load_output": false}');
-- The session's settings change nothing.
SET TimeZone = 'Asia/Kathmandu';
SET DateStyle = 'German';
SELECT pg_temp.ids('{"end_time": "2023-11-14T22:13:21Z"}');
RESET TimeZone;
RESET DateStyle;

-- Bad input.
SELECT dbos_sys.list(NULL);
SELECT dbos_sys.list('[]');
SELECT dbos_sys.list('{"state": "PENDING"}');
SELECT dbos_sys.list('{"status": "success"}');
SELECT dbos_sys.list('{"status": ["PENDING", "Foo"]}');
SELECT dbos_sys.list('{"name": 5}');
SELECT dbos_sys.list('{"name": [null]}');
SELECT dbos_sys.list('{"limit": -1}');
SELECT dbos_sys.list('{"offset": 1e30}');
SELECT dbos_sys.list('{"sort_desc": "yes"}');
SELECT dbos_sys.list('{"attributes": []}');
SELECT dbos_sys.list('{"start_time": 1700000000}');
SELECT dbos_sys.list('{"start_time": "2026-01-01"}');
SELECT dbos_sys.list('{"start_time": "2026-13-41T00:00:00Z"}');
SELECT dbos_sys.list('{"start_time": "infinity"}');
SELECT dbos_sys.list('{"start_time": 1e400}');
SELECT dbos_sys.list('{"dequeued_after": 1}');
SELECT dbos_sys.list('{"start_time": "2026-01-01T00:00:00+99:99"}');
SELECT dbos_sys.list('{"start_time": 1700000000000.5}');
SELECT dbos_sys.list('{"limit": 1.5}');
SELECT dbos_sys.list('{"limit": "1"}');
SELECT dbos_sys.list('{"ids": [["a"]]}');
SELECT dbos_sys.outcomes('{}');
SELECT dbos_sys.outcomes(ARRAY['a', NULL]);
SELECT dbos_sys.outcomes(ARRAY['']);
SELECT dbos_sys.outcomes('{{a}}');
