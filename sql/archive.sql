-- The archive: what is packed comes back byte for byte; how it is partitioned, and what an altered chunk does.
\set SHOW_CONTEXT never
\set ECHO errors
\getenv root PG_ABS_SRCDIR
\set setup :root /sql/include/setup.psql
\i :setup
\set include :root /sql/include/archive.psql
\i :include
\set ECHO all

-- Everything that a text or a column can hold.
SELECT pg_temp.odd('odd');
SELECT pg_temp.odd(E'id "with" \\ quotes\nand ünïcode 🙂');
CREATE TEMP TABLE before AS SELECT * FROM pg_temp.contents();
SELECT table_name, count(*) FROM before GROUP BY 1 ORDER BY 1;
SELECT dbos_sys.archive_batch(ARRAY(SELECT workflow_uuid FROM dbos.workflow_status), 1800000000000) IS NOT NULL AS packed;
SELECT dbos_sys.prune_rows(ARRAY(SELECT workflow_uuid FROM dbos.workflow_status));
SELECT count(*) FROM pg_temp.contents();
SELECT part, parts, status, name, application_name, queue_name, row_count, cardinality(ids) AS ids, first_ended, last_ended FROM dbos_ops.archive;
SELECT dbos_sys.restore('odd');
SELECT dbos_sys.restore(E'id "with" \\ quotes\nand ünïcode 🙂', '0 s');
SELECT count(*) AS left_in_archive FROM dbos_ops.archive;
(TABLE before EXCEPT SELECT * FROM pg_temp.contents()) UNION ALL (SELECT * FROM pg_temp.contents() EXCEPT TABLE before);
SELECT * FROM dbos_ops.retention_holds ORDER BY 1;

-- null as a value of JSON is not the absence of a value.
SELECT pg_temp.empty();
SELECT count(pg_temp.plain(id, 'w', 1800000000000)) FROM unnest(ARRAY['absent', 'null', 'text', 'empty']) AS u(id);
UPDATE dbos.workflow_status AS w SET attributes = v.attributes
FROM (VALUES ('null', 'null'::jsonb), ('text', '"null"'), ('empty', '{}')) AS v(id, attributes) WHERE w.workflow_uuid = v.id;
SELECT cardinality(dbos_sys.archive_batch(ARRAY(SELECT workflow_uuid FROM dbos.workflow_status), 1800000000000)) AS packed;
SELECT dbos_sys.prune_rows(ARRAY(SELECT workflow_uuid FROM dbos.workflow_status)) IS NOT NULL AS pruned;
SELECT u.id, dbos_sys.restore(u.id) FROM unnest(ARRAY['absent', 'null', 'text', 'empty']) AS u(id);
SELECT workflow_uuid, attributes FROM dbos.workflow_status ORDER BY 1;
SELECT columns -> 'jsonb' AS packed_as_text FROM dbos_ops.archive_shapes;

-- Chunks: alike ones together, months apart; one above 16 MiB in parts of its own.
SELECT pg_temp.empty();
SELECT count(pg_temp.plain('n' || n, CASE WHEN n % 2 = 0 THEN 'even' ELSE 'odd' END, 1798761599000 + 1000 * (n / 100))) FROM generate_series(1, 199) AS n;
SELECT FROM pg_temp.plain('huge', 'even', 1798761600000);
UPDATE dbos.workflow_input SET inputs = repeat('0123456789abcdef', 1250000) WHERE workflow_uuid = 'huge';
INSERT INTO dbos.operation_outputs (workflow_uuid, function_id, output, retention_timestamp) SELECT 'huge', n, repeat('x', 9000000), 1 FROM generate_series(10, 13) AS n;
DROP TABLE before;
CREATE TEMP TABLE before AS SELECT table_name, md5(line) AS line FROM pg_temp.contents();
SELECT cardinality(dbos_sys.archive_batch(ARRAY(SELECT workflow_uuid FROM dbos.workflow_status), 1800000000000)) AS packed;
SELECT tableoid::regclass::text AS partition, name, part, parts, cardinality(ids) AS ids, row_count, octet_length(data) < 50000000 AS bounded FROM dbos_ops.archive ORDER BY 1, 2, 4, 3, ids;
SELECT dbos_sys.prune_rows(ARRAY(SELECT workflow_uuid FROM dbos.workflow_status));
SELECT sum(dbos_sys.restore(u.id)) FROM (SELECT DISTINCT unnest(ids) AS id FROM dbos_ops.archive) AS u;
SELECT count(*) FROM dbos_ops.archive;
(TABLE before EXCEPT SELECT table_name, md5(line) FROM pg_temp.contents()) UNION ALL (SELECT table_name, md5(line) FROM pg_temp.contents() EXCEPT TABLE before);

-- A column that upstream adds later: what was archived before comes back with its default.
SELECT pg_temp.empty();
SELECT FROM pg_temp.plain('shape', 'w', 1800000000000);
SELECT dbos_sys.archive_batch('{shape}', 1800000000000);
SELECT dbos_sys.prune_rows('{shape}');
BEGIN;
ALTER TABLE dbos.operation_outputs ADD COLUMN later text NOT NULL DEFAULT 'new';
SELECT dbos_sys.restore('shape');
SELECT function_id, output, later FROM dbos.operation_outputs ORDER BY 1;
SELECT count(*) AS shapes FROM dbos_ops.archive_shapes;
SELECT dbos_sys.archive_batch('{shape}', 1800000000000);
SELECT count(*) AS shapes FROM dbos_ops.archive_shapes;
ROLLBACK;
-- One that it takes away would be lost: refused.
BEGIN;
ALTER TABLE dbos.operation_outputs DROP COLUMN child_workflow_id;
SELECT dbos_sys.restore('shape');
ROLLBACK;
\echo :LAST_ERROR_SQLSTATE

-- Tampered with: each way is noticed, and nothing is changed.
BEGIN;
UPDATE dbos_ops.archive SET data = replace(data, 'output-1', 'output-2');
SELECT dbos_sys.restore('shape');
ROLLBACK;
\echo :LAST_ERROR_SQLSTATE
BEGIN;
UPDATE dbos_ops.archive SET ids = '{other}';
SELECT dbos_sys.restore('other');
ROLLBACK;
\echo :LAST_ERROR_SQLSTATE
BEGIN;
UPDATE dbos_ops.archive SET name = 'other';
SELECT * FROM dbos_sys.list('{"name": "other"}', archived => true);
ROLLBACK;
\echo :LAST_ERROR_SQLSTATE
BEGIN;
UPDATE dbos_ops.archive SET status = 'ERROR';
SELECT * FROM dbos_sys.history('shape');
ROLLBACK;
\echo :LAST_ERROR_SQLSTATE
BEGIN;
INSERT INTO dbos_ops.archive_shapes SELECT 99, s.columns || jsonb_build_object('p', (SELECT jsonb_agg(c.name ORDER BY c.place DESC)
  FROM jsonb_array_elements_text(s.columns -> 'p') WITH ORDINALITY AS c(name, place))) FROM dbos_ops.archive_shapes AS s;
UPDATE dbos_ops.archive SET shape = 99;
SELECT * FROM dbos_sys.history('shape');
ROLLBACK;
\echo :LAST_ERROR_SQLSTATE
BEGIN;
UPDATE dbos_ops.archive SET last_ended = last_ended + 1;
SELECT dbos_sys.export_archive('archive_2027_01') IS NULL;
ROLLBACK;
\echo :LAST_ERROR_SQLSTATE
BEGIN;
UPDATE dbos_ops.archive SET parts = 2;
SELECT * FROM dbos_sys.history('shape');
ROLLBACK;
\echo :LAST_ERROR_SQLSTATE
BEGIN;
DELETE FROM dbos_ops.archive_shapes;
SELECT * FROM dbos_sys.list(archived => true);
ROLLBACK;
\echo :LAST_ERROR_SQLSTATE

-- Restored once, and only what is there.
SELECT dbos_sys.restore('shape');
SELECT dbos_sys.restore('shape');
\echo :LAST_ERROR_SQLSTATE
SELECT dbos_sys.restore('nobody');
\echo :LAST_ERROR_SQLSTATE
SELECT dbos_sys.restore('');
SELECT dbos_sys.restore('shape', '-1 s');
SELECT dbos_sys.restore('shape', NULL);

-- prune() archives where the policy says so, and leaves what was restored alone for its time.
SELECT pg_temp.empty();
SELECT FROM dbos_sys.retain('100 s', workflow => 'kept', archive => true) AS r1, dbos_sys.retain('100 s', workflow => 'gone') AS r2;
SELECT count(*) >= 25 AS partitions FROM pg_inherits WHERE inhparent = 'dbos_ops.archive'::regclass;
SELECT FROM pg_temp.plain('k1', 'kept', 1799999900000) AS r1, pg_temp.plain('k2', 'kept', 1799999900000) AS r2, pg_temp.plain('g1', 'gone', 1799999900000) AS r3;
UPDATE dbos.workflow_status SET completed_at = NULL, updated_at = 1799999900000 WHERE workflow_uuid = 'k2';
CALL dbos_sys.prune();
SELECT name, sum(cardinality(ids)) FROM dbos_ops.archive GROUP BY 1;
SELECT dbos_sys.restore('k1', '1 h');
SET dbos_sys.fake_now = '1800003599999';
CALL dbos_sys.prune();
SET dbos_sys.fake_now = '1800003600000';
CALL dbos_sys.prune();
SELECT name, sum(cardinality(ids)) FROM dbos_ops.archive GROUP BY 1;
SET dbos_sys.fake_now = '1800000000000';
SELECT dbos_sys.retain(workflow => 'w', archive => true);

-- Months: what is in them, exports, and their end.
SELECT partition, workflows, row_count, first_ended, last_ended, exports FROM dbos_sys.archives() WHERE workflows > 0;
SELECT dbos_sys.drop_archive('archive_2027_01');
\echo :LAST_ERROR_SQLSTATE
SELECT dbos_sys.note_export('archive_2027_01', '/backup/archive_2027_01.ndjson.gz', 1, 'sha256:00');
SELECT dbos_sys.note_export('archive_1999_01', '/backup', 1, 'sha256:00');
SELECT dbos_sys.note_export('archive_2027_01', ' ', 6, 'sha256:00');
SELECT dbos_sys.note_export('archive_2027_01', '/backup', 10, 'sha256:00');
SELECT dbos_sys.note_export('archive_2027_01', '/backup/archive_2027_01.ndjson.gz', row_count, dbos_sys.archive_sum(partition)) FROM dbos_sys.archives() WHERE partition = 'archive_2027_01';
SELECT exports FROM dbos_sys.archives() WHERE workflows > 0;
-- An export of an earlier state is none of the month as it is.
SELECT dbos_sys.exports_of('archive_2027_01', true), dbos_sys.exports_of('archive_2027_01', false), dbos_sys.exports_of('archive_2027_02', false);
BEGIN;
SELECT FROM dbos_sys.delete('{k2}');
SELECT exports, dbos_sys.exports_of(partition, false) AS older FROM dbos_sys.archives() WHERE workflows > 0;
ROLLBACK;
SELECT dbos_sys.drop_archive('archive_2027_01');
-- More is to come into a month that is not over: its place is left. One that is over is gone.
SELECT to_regclass('dbos_ops.archive_2027_01'), dbos_sys.archive_partition(1795000000000);
SELECT dbos_sys.drop_archive('archive_2026_11');
SELECT dbos_sys.drop_archive('archive_2026_11');
SELECT dbos_sys.drop_archive('archive');
SELECT dbos_sys.drop_archive('executors', force => true);
SELECT dbos_sys.archive_partitions(-1);
SELECT dbos_sys.archive_partitions(NULL);
-- Who may not make a partition is told who can.
CREATE ROLE regress_pruner;
SELECT dbos_sys.grant_access('regress_pruner');
SELECT FROM pg_temp.plain('k3', 'kept', 1799999900000);
DROP TABLE dbos_ops.archive_2027_01;
SET ROLE regress_pruner;
CALL dbos_sys.prune();
RESET ROLE;
SELECT mend FROM dbos_sys.doctor('{prune job}');
SELECT count(*) FROM dbos.workflow_status;
SELECT dbos_sys.archive_partitions(0);
SET ROLE regress_pruner;
CALL dbos_sys.prune();
RESET ROLE;
DROP OWNED BY regress_pruner;
DROP ROLE regress_pruner;
