-- fork() and delete(), of workflows in the tables and in the archive.
\set SHOW_CONTEXT never
\set ECHO errors
\getenv root PG_ABS_SRCDIR
\set setup :root /sql/include/setup.psql
\i :setup
\set include :root /sql/include/archive.psql
\i :include
\set ECHO all

-- As upstream's fork: what lies below the step is copied, the event as it was there; messages are not.
SELECT FROM pg_temp.odd('o');
UPDATE dbos.workflow_events SET value = 'late' WHERE workflow_uuid = 'o';
SELECT dbos_sys.fork('o', 2, 'o-fork', 'q', 'v2', 'tenant');
SELECT jsonb_object_agg(e.key, e.value) - ARRAY['name', 'class_name', 'config_name', 'authenticated_user', 'assumed_role', 'authenticated_roles', 'application_id', 'application_name', 'serialization', 'attributes']
FROM dbos.workflow_status AS w, jsonb_each(to_jsonb(w)) AS e WHERE w.workflow_uuid = 'o-fork' AND e.value <> 'null';
SELECT o.name = f.name AND o.class_name = f.class_name AND o.application_id = f.application_id AND o.application_name = f.application_name AND o.serialization = f.serialization
  AND o.attributes = f.attributes AND o.authenticated_roles = f.authenticated_roles AS same, o.was_forked_from
FROM dbos.workflow_status AS o, dbos.workflow_status AS f WHERE o.workflow_uuid = 'o' AND f.workflow_uuid = 'o-fork';
SELECT function_id, function_name, output, retention_timestamp FROM dbos.operation_outputs WHERE workflow_uuid = 'o-fork';
SELECT function_id, key, value FROM dbos.workflow_events_history WHERE workflow_uuid = 'o-fork';
SELECT key, value FROM dbos.workflow_events WHERE workflow_uuid = 'o-fork';
SELECT key, value, "offset", function_id FROM dbos.streams WHERE workflow_uuid = 'o-fork';
SELECT count(*) AS messages FROM dbos.notifications WHERE destination_uuid = 'o-fork';
SELECT (SELECT inputs FROM dbos.workflow_input WHERE workflow_uuid = 'o') = (SELECT inputs FROM dbos.workflow_input WHERE workflow_uuid = 'o-fork') AS inputs;
-- From the beginning, on the internal queue.
SELECT dbos_sys.fork('o') AS id \gset
SELECT status, queue_name, application_version = (SELECT application_version FROM dbos.workflow_status WHERE workflow_uuid = 'o') AS version,
  (SELECT count(*) FROM dbos.operation_outputs AS s WHERE s.workflow_uuid = :'id') AS steps FROM dbos.workflow_status WHERE workflow_uuid = :'id';

-- Of an archived one: the fork has the same, the original stays in the archive, with the mark.
SELECT FROM pg_temp.empty();
SELECT FROM pg_temp.odd('a') AS r1, pg_temp.odd('neighbour') AS r2;
SELECT dbos_sys.fork('a', 2, 'live-fork');
UPDATE dbos.workflow_status SET was_forked_from = false WHERE workflow_uuid = 'a';
CREATE TEMP TABLE wanted AS SELECT table_name, replace(line, 'live-fork', 'F') AS line FROM pg_temp.contents() WHERE line LIKE '(live-fork%';
SELECT dbos_sys.delete('{live-fork}', force => true);
SELECT cardinality(dbos_sys.archive_batch('{a,neighbour}', 1800000000000));
SELECT dbos_sys.prune_rows('{a,neighbour}');
CREATE TEMP TABLE packed AS SELECT * FROM dbos_ops.archive;
SELECT dbos_sys.fork('a', 2, 'archive-fork');
CREATE TEMP TABLE found AS SELECT table_name, replace(line, 'archive-fork', 'F') AS line FROM pg_temp.contents();
(TABLE wanted EXCEPT TABLE found) UNION ALL (TABLE found EXCEPT TABLE wanted);
SELECT workflow_uuid, was_forked_from FROM dbos_sys.list(archived => true) ORDER BY 1;
-- In its place: nothing but the mark and the digest is new. The next fork has nothing to mark, and an export still is what the archive has.
SELECT count(*), count(*) FILTER (WHERE to_jsonb(a) - '{data,digest}'::text[] = to_jsonb(p) - '{data,digest}'::text[]) AS same, count(*) FILTER (WHERE a.data = p.data) AS unmarked,
  count(*) FILTER (WHERE replace(a.data, 'true', 'false') = replace(p.data, 'true', 'false')) AS same_but_marks
FROM dbos_ops.archive AS a JOIN packed AS p USING (chunk, part);
SELECT dbos_sys.archive_sum('archive_2027_01') AS sum \gset
SELECT dbos_sys.delete(ARRAY[dbos_sys.fork('a', 0, 'again')], force => true);
SELECT dbos_sys.archive_sum('archive_2027_01') = :'sum' AS same;
SELECT dbos_sys.restore('a');
SELECT count(*) FROM pg_temp.contents() WHERE line LIKE '%(a,%' OR line LIKE '%,a,%';

-- A fork asks for the results of children that its record has not: these come back from the archive and stay. What it has, or starts anew, does not.
SELECT FROM pg_temp.empty();
SELECT FROM pg_temp.plain('pa', 'w', 1800000000000) AS r1, pg_temp.plain('pa-1', 'c', 1800000000000) AS r2, pg_temp.plain('pa-2', 'c', 1800000000000) AS r3,
  pg_temp.plain('pa-5', 'c', 1800000000000) AS r4;
UPDATE dbos.workflow_status SET parent_workflow_id = 'pa' WHERE workflow_uuid LIKE 'pa-%';
INSERT INTO dbos.operation_outputs (workflow_uuid, function_id, function_name, child_workflow_id, output)
VALUES ('pa', 2, 'c', 'pa-1', NULL), ('pa', 3, 'c', 'pa-2', NULL), ('pa', 4, 'DBOS.getResult', 'pa-2', '"done"'), ('pa', 5, 'c', 'pa-5', NULL), ('pa', 6, 'DBOS.getResult', 'pa-1', '"done"');
SELECT dbos_sys.archive_batch('{pa,pa-1,pa-2,pa-5}', 1800000000000);
SELECT dbos_sys.prune_rows('{pa,pa-1,pa-2,pa-5}');
SELECT dbos_sys.fork('pa', 2, 'pf-0');
SELECT workflow_uuid FROM dbos.workflow_status ORDER BY 1;
SELECT dbos_sys.fork('pa', 5, 'pf');
SELECT w.workflow_uuid, o.output FROM dbos.workflow_status AS w LEFT JOIN dbos.workflow_output AS o USING (workflow_uuid) ORDER BY 1;
DELETE FROM dbos_ops.retention_holds;
SELECT dbos_sys.prune_free('{pa-1}', 1800000000000);
SELECT workflow_uuid FROM dbos_sys.list(archived => true) ORDER BY 1;
-- restore() brings one; with its children all that it started, and they. One that may be resumed brings what it will ask for.
SELECT FROM pg_temp.empty();
CREATE FUNCTION pg_temp.pack_family(p_status text) RETURNS void LANGUAGE sql AS $$
  DELETE FROM dbos_ops.archive; DELETE FROM dbos_ops.retention_holds;
  DELETE FROM dbos.workflow_status; DELETE FROM dbos.workflow_input; DELETE FROM dbos.workflow_output; DELETE FROM dbos.operation_outputs;
  SELECT pg_temp.plain(u.id, 'w', 1800000000000) FROM unnest('{pa,pa-1,pa-2,pa-1-1,shared}'::text[]) AS u(id);
  UPDATE dbos.workflow_status SET parent_workflow_id = CASE workflow_uuid WHEN 'pa-1-1' THEN 'pa-1' ELSE 'pa' END WHERE workflow_uuid LIKE 'pa-%';
  UPDATE dbos.workflow_status SET status = p_status WHERE workflow_uuid = 'pa';
  INSERT INTO dbos.operation_outputs (workflow_uuid, function_id, function_name, child_workflow_id)
  VALUES ('pa', 2, 'c', 'pa-1'), ('pa', 3, 'c', 'pa-2'), ('pa', 4, 'DBOS.getResult', 'pa-2'), ('pa', 5, 'c', 'shared'), ('pa-1', 2, 'c', 'pa-1-1');
  SELECT dbos_sys.archive_batch('{pa,pa-1,pa-2,pa-1-1,shared}', 1800000000000);
  SELECT dbos_sys.prune_rows('{pa,pa-1,pa-2,pa-1-1,shared}');
$$;
CREATE VIEW pg_temp.here AS SELECT string_agg(w.workflow_uuid, ' ' ORDER BY w.workflow_uuid) AS ids FROM dbos.workflow_status AS w;
SELECT pg_temp.pack_family('SUCCESS');
SELECT dbos_sys.restore('pa');
SELECT ids FROM pg_temp.here;
SELECT dbos_sys.restore('pa', children => true);
SELECT ids FROM pg_temp.here;
SELECT dbos_sys.restore('pa', children => true);
SELECT pg_temp.pack_family('SUCCESS');
SELECT dbos_sys.restore('pa', '2 days', children => true);
SELECT ids FROM pg_temp.here;
SELECT DISTINCT until - 1800000000000 AS until, count(*) FROM dbos_ops.retention_holds GROUP BY 1;
SELECT pg_temp.pack_family('CANCELLED');
SELECT dbos_sys.restore('pa');
SELECT ids FROM pg_temp.here;
-- resume() does too, where they were archived since.
SELECT cardinality(dbos_sys.archive_batch('{pa-1,shared}', 1800000000000));
SELECT dbos_sys.prune_rows('{pa-1,shared}');
SELECT dbos_sys.resume('{pa}');
SELECT ids FROM pg_temp.here;
-- What an executor that had lost it has written since makes way: the archive's is what was recorded.
SELECT pg_temp.pack_family('SUCCESS');
INSERT INTO dbos.workflow_output (workflow_uuid, output) VALUES ('pa', 'late');
INSERT INTO dbos.operation_outputs (workflow_uuid, function_id, function_name, output) VALUES ('pa', 5, 'late', 'late'), ('pa', 77, 'late', 'late');
SELECT dbos_sys.fork('pa', 5, 'of-late');
SELECT function_id, function_name FROM dbos.operation_outputs WHERE workflow_uuid = 'of-late' ORDER BY 1;
INSERT INTO dbos.workflow_output (workflow_uuid, output) VALUES ('pa', 'late');
INSERT INTO dbos.operation_outputs (workflow_uuid, function_id, function_name, output) VALUES ('pa', 77, 'late', 'late');
SELECT dbos_sys.restore('pa') = (SELECT count(*) FROM pg_temp.contents() WHERE line LIKE '(pa,%') AS rows;
SELECT (SELECT count(*) FROM dbos.operation_outputs WHERE function_name = 'late'), (SELECT count(*) FROM dbos.workflow_output WHERE output = 'late');
SELECT FROM pg_temp.empty();
SELECT FROM pg_temp.odd('a') AS r1, pg_temp.odd('neighbour') AS r2, pg_temp.plain('archive-fork', 'w', 1800000000000) AS r3;
SELECT dbos_sys.archive_batch('{neighbour}', 1800000000000);
SELECT dbos_sys.prune_rows('{neighbour}');

-- Refused.
SELECT dbos_sys.fork('nobody');
\echo :LAST_ERROR_SQLSTATE
SELECT dbos_sys.fork('a', -1);
SELECT dbos_sys.fork('a', 9);
SELECT dbos_sys.fork('neighbour', 9);
SELECT dbos_sys.fork('a', 0, 'archive-fork');
\echo :LAST_ERROR_SQLSTATE
SELECT dbos_sys.fork('a', 0, ' ');
SELECT dbos_sys.fork('a', 0, 'x', queue => '');
SELECT ids FROM dbos_ops.archive;

-- delete(): from both places, with what exports still hold.
SELECT FROM pg_temp.empty();
SELECT FROM pg_temp.plain('d1', 'w', 1800000000000) AS r1, pg_temp.plain('d2', 'w', 1800000000000) AS r2, pg_temp.plain('d3', 'w', 1800000000000) AS r3,
  pg_temp.plain('d4', 'w', 1800000000000) AS r4;
SELECT dbos_sys.archive_batch('{d1,d2,d3}', 1800000000000);
SELECT dbos_sys.prune_rows('{d1,d2,d3}');
SELECT dbos_sys.note_export('archive_2027_01', u.place, 15, dbos_sys.archive_sum('archive_2027_01')) FROM unnest('{/backup/a,/backup/b}'::text[]) AS u(place);
SELECT * FROM dbos_sys.delete('{d4,d2}');
SELECT ids, row_count FROM dbos_ops.archive;
SELECT name, value FROM dbos_sys.history('d3') WHERE what = 'step';
-- An id that was used again, and archived again, goes wholly.
SELECT FROM pg_temp.plain('d1', 'w', 1800000001000);
SELECT dbos_sys.archive_batch('{d1}', 1800000001000);
SELECT dbos_sys.prune_rows('{d1}');
SELECT FROM pg_temp.plain('d1', 'w', 1800000002000);
SELECT * FROM dbos_sys.delete('{d1}');
SELECT ids FROM dbos_ops.archive;
SELECT count(*) FROM pg_temp.contents();
-- With those that it started.
SELECT FROM pg_temp.plain('p', 'w', 1800000000000) AS r1, pg_temp.plain('p-1', 'w', 1800000000000) AS r2;
UPDATE dbos.workflow_status SET parent_workflow_id = 'p' WHERE workflow_uuid = 'p-1';
SELECT * FROM dbos_sys.delete('{p}', children => true);
-- Those in the archive too, whether their parent is there or here; a workflow that it asked for and did not start stays.
SELECT FROM pg_temp.plain('p', 'w', 1800000000000) AS r1, pg_temp.plain('p-1', 'w', 1800000000000) AS r2, pg_temp.plain('p-1-1', 'w', 1800000000000) AS r3,
  pg_temp.plain('p-1-2', 'w', 1800000000000) AS r4, pg_temp.plain('q', 'w', 1800000000000) AS r5, pg_temp.plain('q-1', 'w', 1800000000000) AS r6,
  pg_temp.plain('stays', 'w', 1800000000000) AS r7;
UPDATE dbos.workflow_status SET parent_workflow_id = regexp_replace(workflow_uuid, '-\d$', '') WHERE workflow_uuid ~ '^[pq]-';
INSERT INTO dbos.operation_outputs (workflow_uuid, function_id, function_name, child_workflow_id) VALUES ('p', 2, 'w', 'p-1'), ('p-1', 2, 'w', 'p-1-1'), ('p-1', 3, 'w', 'p-1-2'),
  ('q', 2, 'w', 'q-1'), ('q', 3, 'DBOS.getResult', 'stays'), ('q', 4, 'w', 'stays');
SELECT dbos_sys.archive_batch('{p,p-1,p-1-2,q-1,stays}', 1800000000000);
SELECT dbos_sys.prune_rows('{p,p-1,p-1-2,q-1,stays}');
SELECT * FROM dbos_sys.delete('{p,q}', children => true) ORDER BY 1, 2;
SELECT * FROM dbos_sys.delete('{stays}');
-- What has not ended is refused, or cancelled before.
INSERT INTO dbos.workflow_status (workflow_uuid, status, name) VALUES ('l1', 'PENDING', 'w'), ('l2', 'ENQUEUED', 'w');
SELECT * FROM dbos_sys.delete('{d3,l1}');
\echo :LAST_ERROR_SQLSTATE
SELECT ids FROM dbos_ops.archive;
SELECT * FROM dbos_sys.delete('{d3,l1,l2}', force => true);
SELECT * FROM dbos_sys.delete('{d3,nobody}');
\echo :LAST_ERROR_SQLSTATE
-- What is in neither may be in the export of a month that was dropped.
SELECT FROM pg_temp.plain('e1', 'w', 1800000000000) AS r1, pg_temp.plain('e2', 'w', 1780000000000) AS r2;
SELECT dbos_sys.archive_batch('{e1,e2}', 1800000000000);
SELECT dbos_sys.prune_rows('{e1,e2}');
DELETE FROM dbos_ops.archive_exports;
SELECT dbos_sys.note_export(a.partition, '/backup/c', a.row_count, dbos_sys.archive_sum(a.partition)) FROM dbos_sys.archives() AS a WHERE a.workflows > 0;
SELECT dbos_sys.delete('{nobody}');
SELECT dbos_sys.drop_archive('archive_2026_05');
SELECT dbos_sys.delete('{nobody,e2}');
\echo :LAST_ERROR_SQLSTATE
SELECT * FROM dbos_sys.delete('{e1}');
SELECT * FROM dbos_sys.delete('{}');
SELECT * FROM dbos_sys.delete(NULL);
SELECT count(*) FROM dbos_ops.archive;
