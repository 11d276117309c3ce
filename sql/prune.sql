-- Pruning, batch by batch: what goes from all tables, and what has to stay.
\set SHOW_CONTEXT never
\set ECHO errors
\getenv root PG_ABS_SRCDIR
\set setup :root /sql/include/setup.psql
\i :setup
\set ECHO all

-- An ended workflow of `p_steps` steps, with a row in each table that holds one; it ended `p_ago` seconds ago.
CREATE FUNCTION pg_temp.ended(p_id text, p_ago integer, p_parent text DEFAULT NULL, p_status text DEFAULT 'SUCCESS', p_steps integer DEFAULT 2, p_name text DEFAULT 'w')
RETURNS void LANGUAGE sql AS $$
  INSERT INTO dbos.workflow_status (workflow_uuid, status, name, parent_workflow_id, created_at, updated_at, completed_at)
  VALUES (p_id, p_status, p_name, p_parent, 1790000000000, 1800000000000 - 1000 * p_ago,
    CASE WHEN p_status NOT IN ('PENDING', 'ENQUEUED', 'DELAYED') THEN 1800000000000 - 1000 * p_ago END);
  INSERT INTO dbos.workflow_input (workflow_uuid, inputs) VALUES (p_id, '{}');
  INSERT INTO dbos.workflow_output (workflow_uuid, output) VALUES (p_id, '{}');
  INSERT INTO dbos.operation_outputs (workflow_uuid, function_id, output) SELECT p_id, s, '{}' FROM generate_series(1, p_steps) AS s;
  INSERT INTO dbos.notifications (destination_uuid, message) VALUES (p_id, '{}');
  INSERT INTO dbos.workflow_events (workflow_uuid, key, value) VALUES (p_id, 'k', '{}');
  INSERT INTO dbos.workflow_events_history (workflow_uuid, function_id, key, value) VALUES (p_id, 1, 'k', '{}');
  INSERT INTO dbos.streams (workflow_uuid, key, value, "offset") VALUES (p_id, 'k', '{}', 0);
$$;
-- The workflows that are left, and the rows that each has in all tables.
CREATE FUNCTION pg_temp.left_over() RETURNS TABLE (id text, row_count bigint) LANGUAGE sql AS $$
  SELECT t.id, count(*) FROM (
    SELECT workflow_uuid FROM dbos.workflow_status UNION ALL SELECT workflow_uuid FROM dbos.workflow_input UNION ALL SELECT workflow_uuid FROM dbos.workflow_output
    UNION ALL SELECT workflow_uuid FROM dbos.operation_outputs UNION ALL SELECT destination_uuid FROM dbos.notifications
    UNION ALL SELECT workflow_uuid FROM dbos.workflow_events UNION ALL SELECT workflow_uuid FROM dbos.workflow_events_history
    UNION ALL SELECT workflow_uuid FROM dbos.streams) AS t(id)
  GROUP BY 1 ORDER BY 1
$$;
CREATE FUNCTION pg_temp.empty() RETURNS void LANGUAGE sql AS $$
  DELETE FROM dbos.workflow_status; DELETE FROM dbos.workflow_input; DELETE FROM dbos.workflow_output; DELETE FROM dbos.operation_outputs;
$$;
-- What one batch of the only policy takes, from the start.
CREATE FUNCTION pg_temp.batch(p_goal bigint DEFAULT 1799999990000) RETURNS TABLE (took integer, workflows bigint) LANGUAGE sql AS $$
  SELECT t.took, t.workflows FROM dbos_sys.prune_scan((SELECT id FROM dbos_ops.retention_policies), 0, '', p_goal, 5000, 5000) AS s,
  LATERAL dbos_sys.prune_take(s.ids, false, false, p_goal, 1800000000000) AS t
$$;
SELECT FROM dbos_sys.retain('10 s', workflow => 'w', force => true);

-- Every table, to the millisecond; other names, and younger ones, stay as they are.
SELECT FROM pg_temp.ended('a', 11) AS r1, pg_temp.ended('b', 10) AS r2, pg_temp.ended('c', 9) AS r3, pg_temp.ended('other', 100, p_name => 'v') AS r4,
  pg_temp.ended('e', 100, p_status => 'ERROR') AS r5, pg_temp.ended('f', 100, p_status => 'CANCELLED') AS r6,
  pg_temp.ended('g', 100, p_status => 'MAX_RECOVERY_ATTEMPTS_EXCEEDED') AS r7, pg_temp.ended('h', 100, p_status => 'PENDING') AS r8;
SELECT f.row_count, f.byte_count, cardinality(f.steps) AS steps, cardinality(f.streams) AS streams FROM dbos_sys.prune_find('{a,b,nobody}', NULL) AS f;
SELECT * FROM pg_temp.batch();
SELECT * FROM pg_temp.left_over();
SELECT pg_temp.empty();

-- A parent stays while a child has not ended; a child stays while its parent may still ask for its result.
SELECT FROM pg_temp.ended('ended', 20) AS r1, pg_temp.ended('ended-1', 30, 'ended', 'PENDING') AS r2, pg_temp.ended('ended-2', 30, 'ended') AS r3,
  pg_temp.ended('runs', 0, NULL, 'PENDING', 0) AS r4, pg_temp.ended('runs-1', 20, 'runs') AS r5, pg_temp.ended('runs-2', 20, 'runs') AS r6,
  pg_temp.ended('cancelled', 0, NULL, 'CANCELLED', 0) AS r7, pg_temp.ended('cancelled-1', 20, 'cancelled') AS r8,
  pg_temp.ended('failed', 0, NULL, 'ERROR', 0) AS r9, pg_temp.ended('failed-1', 20, 'failed') AS r10,
  pg_temp.ended('itself', 20, 'itself') AS r11, pg_temp.ended('orphaned', 20, 'nobody') AS r12;
INSERT INTO dbos.operation_outputs (workflow_uuid, function_id, function_name, child_workflow_id)
VALUES ('runs', 1, 'w', 'runs-1'), ('runs', 2, 'w', 'runs-2'), ('runs', 3, 'DBOS.getResult', 'runs-2'), ('runs', 4, 'DBOS.getResult', NULL);
SELECT dbos_sys.prune_free(ARRAY(SELECT workflow_uuid FROM dbos.workflow_status WHERE completed_at < 1799999990000), 1800000000000);
SELECT * FROM pg_temp.batch();
SELECT string_agg(id, ' ') FROM pg_temp.left_over();
-- A fork took over the record of its origin, and asks for the results that are not in it, whatever has become of the origin: one that runs, one that was
-- cancelled, a fork of a fork. One that has ended, or whose record does not have the child, asks for nothing.
INSERT INTO dbos.workflow_status (workflow_uuid, status, name, forked_from) VALUES ('again', 'PENDING', 'v', 'origin'), ('twice', 'ENQUEUED', 'v', 'over'),
  ('over', 'SUCCESS', 'v', 'gone'), ('stopped', 'CANCELLED', 'v', 'gone');
SELECT FROM pg_temp.ended('origin', 0, p_name => 'v') AS r1, pg_temp.ended('origin-1', 20, 'origin') AS r2, pg_temp.ended('origin-2', 20, 'origin') AS r3,
  pg_temp.ended('gone-1', 20, 'gone') AS r4, pg_temp.ended('gone-2', 20, 'gone') AS r5, pg_temp.ended('gone-3', 20, 'gone') AS r6, pg_temp.ended('gone-4', 20, 'gone') AS r7;
INSERT INTO dbos.operation_outputs (workflow_uuid, function_id, function_name, child_workflow_id)
VALUES ('again', 1, 'w', 'origin-1'), ('again', 2, 'w', 'origin-2'), ('again', 3, 'DBOS.getResult', 'origin-2'), ('stopped', 1, 'w', 'gone-1'),
  ('twice', 1, 'w', 'gone-2'), ('over', 1, 'w', 'gone-2'), ('over', 2, 'w', 'gone-3');
SELECT dbos_sys.prune_free('{origin-1,origin-2,gone-1,gone-2,gone-3,gone-4}', 1800000000000);
DELETE FROM dbos.operation_outputs WHERE workflow_uuid IN ('again', 'stopped', 'twice', 'over');
DELETE FROM dbos.workflow_status WHERE workflow_uuid ~ '^(again|stopped|twice|over|origin.*|gone.*)$';
DELETE FROM dbos.workflow_input WHERE workflow_uuid ~ '^(origin|gone)'; DELETE FROM dbos.workflow_output WHERE workflow_uuid ~ '^(origin|gone)';
DELETE FROM dbos.operation_outputs WHERE workflow_uuid ~ '^(origin|gone)';
-- The record of a fork is read once, not for each of the children.
BEGIN;
INSERT INTO dbos.workflow_status (workflow_uuid, status, name, forked_from) VALUES ('many', 'SUCCESS', 'v', NULL), ('fork', 'PENDING', 'v', 'many');
SELECT count(pg_temp.ended('many-' || n, 20, 'many')) FROM generate_series(1, 300) AS n;
INSERT INTO dbos.operation_outputs (workflow_uuid, function_id, function_name, child_workflow_id)
SELECT 'fork', n, 'w', 'many-' || n FROM generate_series(1, 300) AS n
UNION ALL SELECT 'fork', 300 + n, 'DBOS.getResult', 'many-' || n FROM generate_series(1, 100) AS n;
SELECT t.idx_tup_fetch AS before FROM pg_stat_xact_all_tables AS t WHERE t.relid = 'dbos.operation_outputs'::regclass \gset
SELECT cardinality(dbos_sys.prune_free(ARRAY(SELECT 'many-' || n FROM generate_series(1, 300) AS n), 1800000000000));
SELECT t.idx_tup_fetch - :before <= 400 AS once FROM pg_stat_xact_all_tables AS t WHERE t.relid = 'dbos.operation_outputs'::regclass;
ROLLBACK;
-- When the child has ended, and the parent has asked, both go.
UPDATE dbos.workflow_status SET status = 'SUCCESS', completed_at = 1799999980000 WHERE workflow_uuid IN ('ended-1', 'runs');
SELECT * FROM pg_temp.batch();
SELECT string_agg(id, ' ') FROM pg_temp.left_over();
SELECT pg_temp.empty();

-- Starts that count in the window of a queue's rate stay until they have left it: upstream counts rows.
SELECT FROM dbos_sys.register_queue('limited', '{"rate_limit_max": 5, "rate_limit_period_sec": 30}');
SELECT FROM pg_temp.ended('in', 20) AS r1, pg_temp.ended('out', 20) AS r2, pg_temp.ended('free', 20) AS r3;
UPDATE dbos.workflow_status SET queue_name = 'limited', rate_limited = workflow_uuid <> 'free',
  started_at_epoch_ms = 1800000000000 - CASE workflow_uuid WHEN 'out' THEN 30000 ELSE 29999 END;
SELECT * FROM pg_temp.batch();
SELECT * FROM pg_temp.left_over();
SELECT pg_temp.empty();
-- What was cancelled counts no more, though it began within the window.
SELECT FROM pg_temp.ended('cut', 20, p_status => 'CANCELLED');
UPDATE dbos.workflow_status SET rate_limited = true, started_at_epoch_ms = NULL;
SELECT * FROM pg_temp.batch();
SELECT * FROM pg_temp.left_over();

-- A batch has at most 1000 workflows, and about 20,000 rows; one workflow of more rows goes alone.
SELECT count(pg_temp.ended('n' || n, 5000 - n)) FROM generate_series(1, 1500) AS n;
SELECT * FROM pg_temp.batch();
SELECT * FROM pg_temp.batch();
SELECT FROM pg_temp.ended('large-1', 30, p_steps => 15000) AS r1, pg_temp.ended('large-2', 29, p_steps => 15000) AS r2, pg_temp.ended('small', 28) AS r3;
SELECT * FROM pg_temp.batch();
SELECT * FROM pg_temp.batch();
SELECT * FROM pg_temp.batch();

-- The scan ends where it is told, goes on behind a mark, and hides what another policy governs.
SELECT count(pg_temp.ended('t' || n, 100)) FROM generate_series(1, 5) AS n;
SELECT FROM pg_temp.ended('x1', 50, p_name => 'w2');
SELECT s.* FROM dbos_ops.retention_policies AS p, dbos_sys.prune_scan(p.id, 0, '', 1799999990000, 3, 5000) AS s;
SELECT s.* FROM dbos_ops.retention_policies AS p, dbos_sys.prune_scan(p.id, 1799999900000, 't3', 1799999990000, 3, 5000) AS s;
SELECT s.* FROM dbos_ops.retention_policies AS p, dbos_sys.prune_scan(p.id, 1799999950000, 'x1', 1799999990000, 3, 5000) AS s;
-- No more than asked for; the mark stands at the last of them, and there is more.
SELECT s.* FROM dbos_ops.retention_policies AS p, dbos_sys.prune_scan(p.id, 0, '', 1799999990000, 5000, 1) AS s;
SELECT FROM dbos_sys.retain('1 day', workflow => 'w', status => 'SUCCESS');
SELECT s.scanned, s.ids FROM dbos_ops.retention_policies AS p, dbos_sys.prune_scan(p.id, 0, '', 1799999990000, 5000, 5000) AS s ORDER BY p.weight;
SELECT FROM dbos_sys.drop_retention(workflow => 'w', status => 'SUCCESS');
SELECT pg_temp.empty();

-- Those that ended without a time, as SDKs wrote them once, go by their last change.
SELECT FROM pg_temp.ended('u1', 20) AS r1, pg_temp.ended('u2', 5) AS r2, pg_temp.ended('u3', 20) AS r3, pg_temp.ended('u4', 20, p_name => 'v') AS r4;
UPDATE dbos.workflow_status SET completed_at = NULL;
UPDATE dbos.workflow_status SET status = 'PENDING' WHERE workflow_uuid = 'u3';
INSERT INTO dbos_ops.prune_marks (source, goal) SELECT 'policy ' || id, 1799999990000 FROM dbos_ops.retention_policies;
SELECT s.* FROM dbos_ops.retention_policies AS p, dbos_sys.prune_scan_undated(p.id, 0, '', 1800000000000, 5000) AS s;
SELECT t.workflows FROM dbos_ops.retention_policies AS p, dbos_sys.prune_scan_undated(p.id, 0, '', 1800000000000, 5000) AS s,
  LATERAL dbos_sys.prune_take(s.ids, true, false, 1800000000000, 1800000000000) AS t;
SELECT string_agg(id, ' ') FROM pg_temp.left_over();
SELECT pg_temp.empty();

-- Orphans: payloads without a workflow, once they are old enough; a dry run tells and leaves them.
SELECT FROM pg_temp.ended('whole', 0);
UPDATE dbos.operation_outputs SET retention_timestamp = 5; UPDATE dbos.workflow_input SET retention_timestamp = 5; UPDATE dbos.workflow_output SET retention_timestamp = 5;
INSERT INTO dbos.workflow_input (workflow_uuid, inputs, retention_timestamp) VALUES ('lost', '{}', 5), ('lost-young', '{}', 11);
INSERT INTO dbos.workflow_output (workflow_uuid, output, retention_timestamp) VALUES ('lost', '{}', 5);
INSERT INTO dbos.operation_outputs (workflow_uuid, function_id, output, retention_timestamp) VALUES ('lost', 1, '{}', 5), ('lost', 2, '{}', 10), ('lost', 3, '{}', 11);
SELECT t.name, o.scanned, o.at, o.id, o.orphans FROM (VALUES ('workflow_input'), ('workflow_output'), ('operation_outputs')) AS t(name), dbos_sys.prune_orphans(t.name, 0, '', 10, 100, true) AS o;
SELECT * FROM pg_temp.left_over();
SELECT t.name, o.orphans FROM (VALUES ('workflow_input'), ('workflow_output'), ('operation_outputs')) AS t(name), dbos_sys.prune_orphans(t.name, 0, '', 10, 100, false) AS o;
SELECT * FROM pg_temp.left_over();
SELECT o.scanned, o.at, o.id, o.orphans FROM dbos_sys.prune_orphans('operation_outputs', 0, '', 10, 1, false) AS o;
SELECT o.scanned, o.at, o.id, o.orphans FROM dbos_sys.prune_orphans('operation_outputs', 5, 'whole', 10, 1, false) AS o;

-- The reads are of indexes, whatever the planner knew when the plan was made.
BEGIN;
SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = off; SET LOCAL enable_sort = off;
EXPLAIN (COSTS off) SELECT w.workflow_uuid FROM dbos.workflow_status AS w
WHERE w.completed_at IS NOT NULL AND (w.completed_at, w.workflow_uuid) > (5, 'x') AND w.completed_at <= 10 ORDER BY w.completed_at, w.workflow_uuid LIMIT 10;
ROLLBACK;
