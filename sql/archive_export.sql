-- Lines of the archive for files, and back: what comes back is what went out, once, and nothing that was altered.
\set SHOW_CONTEXT never
\set ECHO errors
\getenv root PG_ABS_SRCDIR
\set setup :root /sql/include/setup.psql
\i :setup
\set include :root /sql/include/archive.psql
\i :include
-- All pages of a partition, as a client reads them.
CREATE FUNCTION pg_temp.pages(p_partition text, p_bytes integer) RETURNS TABLE (page integer, place bigint, stamp text, line text, workflows integer, row_count integer) LANGUAGE plpgsql AS $$
DECLARE
  v_after text;
  v_page integer := 0;
BEGIN
  LOOP
    v_page := v_page + 1;
    RETURN QUERY SELECT v_page, e.place, e.stamp, e.line, e.workflows, e.row_count
    FROM dbos_sys.export_archive(p_partition, v_after, p_bytes) WITH ORDINALITY AS e(stamp, line, workflows, row_count, place);
    EXIT WHEN NOT FOUND;
    SELECT e.stamp INTO v_after FROM dbos_sys.export_archive(p_partition, v_after, p_bytes) WITH ORDINALITY AS e(stamp, line, workflows, row_count, place)
    ORDER BY e.place DESC LIMIT 1;
  END LOOP;
END;
$$;
CREATE TEMP TABLE exported (page integer, place bigint, stamp text, line text, workflows integer, row_count integer);
CREATE FUNCTION pg_temp.imported(p_like text DEFAULT '%') RETURNS text LANGUAGE sql AS
$$SELECT 'in ' || i.workflows || ', present ' || i.present FROM dbos_sys.import_archive(ARRAY(SELECT e.line FROM exported AS e WHERE e.line LIKE p_like OR e.stamp IS NULL ORDER BY e.page, e.place)) AS i$$;
\set ECHO all

-- A page has a number of bytes, and at least a chunk; the columns come before the first chunk.
SELECT pg_temp.odd('odd');
SELECT pg_temp.odd(E'id "with" \\ quotes\nand ünïcode 🙂');
SELECT count(pg_temp.plain('n' || n, 'w', 1800000000000 + n)) FROM generate_series(1, 400) AS n;
SELECT FROM pg_temp.plain('huge', 'w', 1800000001000);
UPDATE dbos.workflow_input SET inputs = repeat('0123456789abcdef', 1100000) WHERE workflow_uuid = 'huge';
CREATE TEMP TABLE before AS SELECT table_name, md5(line) AS line FROM pg_temp.contents();
SELECT cardinality(dbos_sys.archive_batch(ARRAY(SELECT workflow_uuid FROM dbos.workflow_status), 1800000000000)) AS packed;
SELECT dbos_sys.prune_rows(ARRAY(SELECT workflow_uuid FROM dbos.workflow_status)) IS NOT NULL AS pruned;
INSERT INTO exported SELECT * FROM pg_temp.pages('archive_2027_01', 100000);
SELECT count(DISTINCT page) > 3 AS pages, bool_and(octet_length(line) < 45000000) AS bounded, sum(workflows) AS workflows,
  sum(row_count) = (SELECT sum(row_count) FROM dbos_ops.archive) AS all_rows, count(*) FILTER (WHERE stamp IS NULL AND place > 1) AS late_columns,
  bool_and(line NOT LIKE E'%\n%') AS single_lines FROM exported;
SELECT encode(sha256(convert_to(string_agg(stamp, E'\n' ORDER BY page, place), 'UTF8')), 'hex') = dbos_sys.archive_sum('archive_2027_01') AS sum FROM exported;
SELECT count(*) FROM dbos_sys.export_archive('archive_2027_01', (SELECT max(stamp) FROM exported));
SELECT count(*) FROM dbos_sys.export_archive(dbos_sys.archive_partition(1810000000000));
-- Into an archive without that month, then once more.
CREATE TEMP TABLE kept AS SELECT a.* FROM dbos_ops.archive AS a;
SELECT dbos_sys.drop_archive('archive_2027_01', force => true);
SELECT pg_temp.imported();
SELECT pg_temp.imported();
SELECT dbos_sys.archive_sum('archive_2027_01') = (SELECT encode(sha256(convert_to(string_agg(stamp, E'\n' ORDER BY page, place), 'UTF8')), 'hex') FROM exported) AS same_sum;
(TABLE kept EXCEPT TABLE dbos_ops.archive) UNION ALL (TABLE dbos_ops.archive EXCEPT TABLE kept);
-- Which workflows of an export the archive has not: in whatever chunk they are now, and not by their ids alone.
CREATE FUNCTION pg_temp.missing(p_like text DEFAULT '%') RETURNS TABLE (id text) LANGUAGE sql AS
$$SELECT dbos_sys.not_archived(ARRAY(SELECT e.line FROM exported AS e WHERE e.line LIKE p_like OR e.stamp IS NULL ORDER BY e.page, e.place))$$;
SELECT * FROM pg_temp.missing('%"n1"%');
BEGIN;
SELECT count(dbos_sys.restore(u.id)) FROM unnest(ARRAY['n1', 'huge', 'odd']) AS u(id);
SELECT * FROM pg_temp.missing();
UPDATE dbos.workflow_status SET completed_at = 1810000000000 WHERE workflow_uuid = 'huge';
SELECT FROM dbos_sys.archive_batch('{n1,huge}', 1800000000000);
SELECT dbos_sys.prune_rows('{n1,huge}') IS NOT NULL AS pruned;
SELECT * FROM pg_temp.missing();
ROLLBACK;
BEGIN;
SELECT dbos_sys.restore('n1') > 0 AS restored;
UPDATE dbos.workflow_status SET created_at = created_at + 1 WHERE workflow_uuid = 'n1';
SELECT FROM dbos_sys.archive_batch('{n1}', 1800000000000);
SELECT dbos_sys.prune_rows('{n1}') IS NOT NULL AS pruned;
SELECT * FROM pg_temp.missing('%"n1"%');
ROLLBACK;
SELECT count(*) FROM dbos_sys.not_archived('{}');
SELECT dbos_sys.not_archived(NULL);
SELECT dbos_sys.not_archived('{null}');
SELECT dbos_sys.not_archived('{"{"}');
SELECT dbos_sys.not_archived(ARRAY(SELECT e.line FROM exported AS e WHERE e.line LIKE '%"odd"%'));
\echo :LAST_ERROR_SQLSTATE
SELECT dbos_sys.not_archived(ARRAY(SELECT replace(e.line, '"odd"', '"odd", "even"') FROM exported AS e WHERE e.line LIKE '%"odd"%' OR e.stamp IS NULL));
-- All of them back into the tables.
SELECT count(*), sum(dbos_sys.restore(u.id)) > 2000 AS restored FROM (SELECT DISTINCT unnest(ids) AS id FROM dbos_ops.archive) AS u;
(TABLE before EXCEPT SELECT table_name, md5(line) FROM pg_temp.contents()) UNION ALL (SELECT table_name, md5(line) FROM pg_temp.contents() EXCEPT TABLE before);
-- What is in the tables, or in another chunk, or was taken out of its own, does not come back.
SELECT pg_temp.imported();
SELECT count(*) FROM dbos_ops.archive;
SELECT FROM dbos_sys.archive_batch('{n1,n2}', 1800000000000);
SELECT dbos_sys.prune_rows('{n1,n2,n3,n4}') IS NOT NULL AS pruned;
SELECT pg_temp.imported();
SELECT a.ids FROM dbos_ops.archive AS a ORDER BY a.ids;
SELECT * FROM dbos_sys.delete('{n3}');
SELECT pg_temp.imported();
SELECT a.ids FROM dbos_ops.archive AS a ORDER BY a.ids;
-- An id that was used again since is another workflow.
SELECT FROM pg_temp.plain('n4', 'w', 1800000009000);
UPDATE dbos.workflow_status SET created_at = created_at + 1 WHERE workflow_uuid = 'n4';
SELECT dbos_sys.drop_archive('archive_2027_01', force => true);
SELECT pg_temp.imported('%"n4"%');
SELECT count(*) FROM dbos_ops.archive WHERE ids @> '{n4}';

-- An export counts for what was in the partition then, and for nothing that came or went since.
SELECT dbos_sys.note_export('archive_2027_01', '/backup', a.row_count, dbos_sys.archive_sum(a.partition)) FROM dbos_sys.archives() AS a WHERE a.partition = 'archive_2027_01';
SELECT FROM dbos_sys.delete('{n4}');
SELECT dbos_sys.drop_archive('archive_2027_01');
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT dbos_sys.drop_archive('archive_2027_01');
ROLLBACK;

-- Refused: what was altered, here or there, and what is not whole.
SELECT pg_temp.empty();
DELETE FROM exported WHERE workflows + row_count > 0 AND line NOT LIKE '%"huge"%' AND line NOT LIKE '%"odd"%';
CREATE TEMP TABLE good AS TABLE exported;
CREATE FUNCTION pg_temp.altered(p_from text, p_to text) RETURNS text LANGUAGE sql AS $$
  DELETE FROM exported;
  INSERT INTO exported SELECT page, place, stamp, replace(line, p_from, p_to), workflows, row_count FROM good;
  SELECT pg_temp.imported();
$$;
SELECT pg_temp.altered('"odd"', '"even"');
\echo :LAST_ERROR_SQLSTATE
SELECT pg_temp.altered('"digest" : ', '"digest" : 1, "was" : ');
SELECT pg_temp.altered('"status" : "SUCCESS"', '"status" : "ERROR"');
SELECT pg_temp.altered('"queue_name" : null', '"queue_name" : "q"');
SELECT pg_temp.altered('"name" : ', '"more" : 1, "name" : ');
SELECT pg_temp.altered('["function_id", ', '["was", ');
SELECT pg_temp.altered('"row_count" : ', '"row_count" : 1');
SELECT pg_temp.altered('"shape" : ', '"shape" : 9') ~ '^in' AS other_numbers_of_shapes_are_fine;
SELECT pg_temp.empty();
SELECT pg_temp.altered('"columns"', '"colons"');
SELECT pg_temp.altered('"ids"', '"id"');
SELECT pg_temp.altered('{', '[');
SELECT pg_temp.altered('"part" : 1,', '"part" : 0,');
SELECT * FROM dbos_sys.import_archive('{null}');
SELECT * FROM dbos_sys.import_archive('{"[]"}');
SELECT * FROM dbos_sys.import_archive('{}');
SELECT * FROM dbos_sys.import_archive(NULL);
SELECT i.* FROM dbos_sys.import_archive(ARRAY(SELECT line FROM good WHERE stamp IS NULL OR line LIKE '%"part" : 1%')) AS i;
SELECT i.* FROM dbos_sys.import_archive(ARRAY(SELECT line FROM good WHERE stamp IS NOT NULL)) AS i;
SELECT count(*) FROM dbos_ops.archive;
SELECT pg_temp.altered('', '');
UPDATE dbos_ops.archive SET data = data || ' ' WHERE ids @> '{odd}';
SELECT count(*) FROM dbos_sys.export_archive('archive_2027_01');
\echo :LAST_ERROR_SQLSTATE
DELETE FROM dbos_ops.archive WHERE ids @> '{odd}' OR part = 1;
SELECT count(*) FROM dbos_sys.export_archive('archive_2027_01');
SELECT count(*) FROM dbos_sys.export_archive('archive_1999_01');
SELECT count(*) FROM dbos_sys.export_archive('executors');
SELECT count(*) FROM dbos_sys.export_archive(NULL);
SELECT count(*) FROM dbos_sys.export_archive('archive_2027_01', 'behind');
SELECT count(*) FROM dbos_sys.export_archive('archive_2027_01', page_bytes => 0);
SELECT dbos_sys.archive_sum('archive');
