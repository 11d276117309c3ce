-- Reading the archive: list(archived => true) with every filter, and history() wherever the workflow is.
\set SHOW_CONTEXT never
\set ECHO errors
\getenv root PG_ABS_SRCDIR
\set setup :root /sql/include/setup.psql
\i :setup
\set include :root /sql/include/archive.psql
\i :include
\set ECHO all

-- Workflows that differ in what filters ask for; the same rows stay in the tables of a copy, for list() to be held against.
SELECT count(pg_temp.plain('w' || n, 'name-' || n % 3, 1800000000000 - 86400000 * n::bigint, (ARRAY['SUCCESS', 'ERROR', 'CANCELLED'])[n % 3 + 1])) FROM generate_series(1, 12) AS n;
UPDATE dbos.workflow_status AS w SET class_name = 'class-' || n % 2, application_name = 'app-' || n % 2, queue_name = CASE WHEN n % 4 = 0 THEN 'q' END,
  application_version = 'v' || n % 2, executor_id = 'e' || n % 5, authenticated_user = 'user-' || n % 2, forked_from = CASE WHEN n > 9 THEN 'w1' END,
  parent_workflow_id = CASE WHEN n = 5 THEN 'w4' END, deduplication_id = CASE WHEN n = 6 THEN 'dedup' END, was_forked_from = n = 1,
  schedule_name = CASE WHEN n = 7 THEN 'nightly' END, attributes = CASE WHEN n = 8 THEN '{"tenant": "a", "x": 1}'::jsonb END,
  started_at_epoch_ms = CASE WHEN n < 4 THEN created_at + 100 END
FROM (SELECT workflow_uuid, substr(workflow_uuid, 2)::integer AS n FROM dbos.workflow_status) AS s WHERE s.workflow_uuid = w.workflow_uuid;
CREATE TEMP TABLE filters AS SELECT f::jsonb AS filter FROM unnest(ARRAY['{}', '{"ids": ["w1", "w2", "nobody"]}', '{"id_prefix": "w1"}', '{"id_prefix": "w%"}',
  '{"name": "name-1"}', '{"name": ["name-1", "name-2"]}', '{"class_name": "class-0"}', '{"status": ["ERROR", "PENDING"]}', '{"queue_name": "q"}',
  '{"schedule_name": "nightly"}', '{"application_name": "app-1"}', '{"application_version": "v0"}', '{"executor_id": "e2"}', '{"authenticated_user": "user-1"}',
  '{"forked_from": "w1"}', '{"parent_workflow_id": "w4"}', '{"deduplication_id": "dedup"}', '{"was_forked_from": true}', '{"was_forked_from": false}',
  '{"is_fork": true}', '{"has_parent": true}', '{"has_parent": false}', '{"queues_only": true}', '{"queues_only": false}', '{"sort_desc": true}',
  '{"load_input": false}', '{"load_output": false}', '{"attributes": {"tenant": "a"}}', '{"attributes": {"tenant": "b"}}', '{"start_time": 1799500000000}',
  '{"end_time": 1799500000000}', '{"completed_after": 1799740800000, "completed_before": 1799827200000}', '{"dequeued_after": 1799800000000}',
  '{"dequeued_before": 1799800000000}', '{"limit": 3, "offset": 2}', '{"limit": 0}', '{"name": "name-1", "status": "SUCCESS"}']) AS f;
CREATE TEMP TABLE wanted AS SELECT f.filter, l.* FROM filters AS f, LATERAL (SELECT row_number() OVER () AS n, to_jsonb(r) AS row FROM dbos_sys.list(f.filter) AS r) AS l;
CREATE TEMP TABLE told AS SELECT h.* FROM dbos_sys.history('w5') AS h;
SELECT dbos_sys.archive_batch(ARRAY(SELECT workflow_uuid FROM dbos.workflow_status), 1800000000000) IS NOT NULL AS packed;
SELECT dbos_sys.prune_rows(ARRAY(SELECT workflow_uuid FROM dbos.workflow_status));
CREATE TEMP TABLE found AS SELECT f.filter, l.* FROM filters AS f, LATERAL (SELECT row_number() OVER () AS n, to_jsonb(r) AS row FROM dbos_sys.list(f.filter, archived => true) AS r) AS l;
SELECT f.filter, count(w.row) AS rows FROM filters AS f LEFT JOIN wanted AS w USING (filter) GROUP BY 1 ORDER BY 1;
(TABLE wanted EXCEPT TABLE found) UNION ALL (TABLE found EXCEPT TABLE wanted);
SELECT count(*) FROM dbos_sys.list();
SELECT workflow_uuid, status, name, inputs, output FROM dbos_sys.list(archived => true) WHERE workflow_uuid = 'w5';
SELECT * FROM dbos_sys.list('{"colour": "red"}', archived => true);

-- The history is the same, but for where it is.
(SELECT at, what, function_id, name, value, error FROM told EXCEPT SELECT at, what, function_id, name, value, error FROM dbos_sys.history('w5'))
UNION ALL (SELECT at, what, function_id, name, value, error FROM dbos_sys.history('w5') EXCEPT SELECT at, what, function_id, name, value, error FROM told);
SELECT DISTINCT archived FROM dbos_sys.history('w5');
-- All kinds of entries, in the order of time.
SELECT FROM pg_temp.plain('all', 'w', 1800000000000);
UPDATE dbos.workflow_status SET started_at_epoch_ms = created_at + 500, executor_id = 'e1' WHERE workflow_uuid = 'all';
INSERT INTO dbos.operation_outputs (workflow_uuid, function_id, function_name, child_workflow_id, completed_at_epoch_ms) VALUES ('all', 2, 'kid', 'all-2', 1799999998700);
INSERT INTO dbos.operation_outputs (workflow_uuid, function_id, function_name, error, completed_at_epoch_ms) VALUES ('all', 3, 'fails', '{"message": "no"}', 1799999998800);
INSERT INTO dbos.notifications (message_uuid, destination_uuid, topic, message, created_at_epoch_ms, consumed_by_function_id) VALUES ('m1', 'all', '__null__topic__', '"hi"', 1799999998750, 4), ('m2', 'all', 't', '"ho"', 1799999998900, NULL);
INSERT INTO dbos.workflow_events_history (workflow_uuid, function_id, key, value) VALUES ('all', 1, 'state', '"on"');
INSERT INTO dbos.streams (workflow_uuid, key, value, "offset", function_id) VALUES ('all', 'out', '"line"', 0, 3);
SELECT to_char(at AT TIME ZONE 'UTC', 'SS.MS') AS at, what, function_id, name, value, error, archived FROM dbos_sys.history('all');
SELECT * FROM dbos_sys.history('nobody');
SELECT * FROM dbos_sys.history(' ');

-- A row is the same wherever it is, whatever its columns hold; null as a value of JSON is not the absence of a value. So are the rows that restore() puts back.
SELECT pg_temp.empty();
SELECT pg_temp.odd('odd');
SELECT count(pg_temp.plain(id, 'w', 1799999999000)) FROM unnest('{absent,"null",text,empty,false,zero,array,inner}'::text[]) AS u(id);
UPDATE dbos.workflow_status AS w SET attributes = v.attributes
FROM (VALUES ('null', 'null'::jsonb), ('text', '"null"'), ('empty', '{}'), ('false', 'false'), ('zero', '0.00'), ('array', '[null]'), ('inner', '{"a": null}')) AS v(id, attributes)
WHERE w.workflow_uuid = v.id;
CREATE TEMP TABLE kinds AS SELECT f::jsonb AS filter FROM unnest('{"{}","{\"load_input\": false, \"load_output\": false}","{\"attributes\": {}}","{\"attributes\": {\"a\": null}}"}'::text[]) AS f;
CREATE TEMP TABLE live AS SELECT k.filter, l::text AS row FROM kinds AS k, dbos_sys.list(k.filter) AS l;
CREATE TEMP TABLE before AS SELECT * FROM pg_temp.contents();
SELECT filter, count(*) FROM live GROUP BY 1 ORDER BY 1;
SELECT cardinality(dbos_sys.archive_batch(ARRAY(SELECT workflow_uuid FROM dbos.workflow_status), 1800000000000)) AS packed;
SELECT dbos_sys.prune_rows(ARRAY(SELECT workflow_uuid FROM dbos.workflow_status)) > 0 AS pruned;
SELECT workflow_uuid, attributes IS NULL AS absent, attributes FROM dbos_sys.list('{"ids": ["absent", "null"]}', archived => true) ORDER BY 1;
CREATE TEMP TABLE packed AS SELECT k.filter, l::text AS row FROM kinds AS k, dbos_sys.list(k.filter, archived => true) AS l;
(TABLE live EXCEPT TABLE packed) UNION ALL (TABLE packed EXCEPT TABLE live);
SELECT count(dbos_sys.restore(u.id)) FROM (SELECT DISTINCT unnest(a.ids) AS id FROM dbos_ops.archive AS a) AS u;
(TABLE before EXCEPT SELECT * FROM pg_temp.contents()) UNION ALL (SELECT * FROM pg_temp.contents() EXCEPT TABLE before);
