-- What is known of exports: whose workflows they have, until their files are gone.
\set SHOW_CONTEXT never
\set ECHO errors
\getenv root PG_ABS_SRCDIR
\set setup :root /sql/include/setup.psql
\i :setup
\set include :root /sql/include/archive.psql
\i :include
\set ECHO all

CREATE FUNCTION pg_temp.pack(p_ids text[], p_ended bigint) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO dbos.workflow_status (workflow_uuid, status, name, created_at, updated_at, completed_at) SELECT u.id, 'SUCCESS', 'w', 1, 1, p_ended FROM unnest(p_ids) AS u(id);
  PERFORM dbos_sys.archive_batch(p_ids, 1800000000000);
  PERFORM dbos_sys.prune_rows(p_ids);
END;
$$;
CREATE FUNCTION pg_temp.note(p_place text, p_month text) RETURNS void LANGUAGE sql AS $$
  SELECT dbos_sys.note_export(a.partition, p_place, a.row_count, dbos_sys.archive_sum(a.partition)) FROM dbos_sys.archives() AS a WHERE a.partition = p_month
$$;

-- No id is missed, and no other is taken for one, whether an export has one, thousands, or a workflow in parts.
SELECT pg_temp.pack(ARRAY(SELECT 'many-' || n FROM generate_series(1, 5000) AS n), 1800000000000);
SELECT pg_temp.note('/backup', 'archive_2027_01');
SELECT pg_temp.pack(ARRAY['', 'alone', E'ünï "quoted"\n'], 1780000000000);
SELECT FROM pg_temp.plain('huge', 'w', 1780000000000);
INSERT INTO dbos.operation_outputs (workflow_uuid, function_id, output) SELECT 'huge', n, repeat('x', 9000000) FROM generate_series(10, 12) AS n;
SELECT dbos_sys.archive_batch('{huge}', 1800000000000);
SELECT dbos_sys.prune_rows('{huge}');
SELECT pg_temp.note('/backup', 'archive_2026_05');
SELECT DISTINCT partition, place, buckets FROM dbos_ops.export_ids ORDER BY 1;
SELECT sum(cardinality(hashes)) AS ids, max(cardinality(hashes)) <= 200 AS short FROM dbos_ops.export_ids;
SELECT count(*), count(e.name) FROM generate_series(1, 5000) AS n LEFT JOIN LATERAL dbos_sys.exports_with('many-' || n) AS e(name) ON e.name = '/backup, archive_2027_01';
SELECT count(e.name) FROM generate_series(5001, 10000) AS n, LATERAL dbos_sys.exports_with('many-' || n) AS e(name);
SELECT u.id, e.name FROM unnest(ARRAY['', 'alone', E'ünï "quoted"\n', 'huge', 'alone ', 'nobody']) AS u(id) LEFT JOIN LATERAL dbos_sys.exports_with(u.id) AS e(name) ON true ORDER BY u.id COLLATE "C";
-- A look reads a few rows, however many there are.
BEGIN;
SELECT sum(idx_tup_fetch) + sum(seq_tup_read) AS read_before FROM pg_stat_xact_user_tables WHERE relid = 'dbos_ops.export_ids'::regclass \gset
SELECT * FROM dbos_sys.exports_with('many-77');
SELECT sum(idx_tup_fetch) + sum(seq_tup_read) - :read_before <= 4 AS few FROM pg_stat_xact_user_tables WHERE relid = 'dbos_ops.export_ids'::regclass;
COMMIT;
-- The number does not depend on the server.
SELECT dbos_sys.export_hash('order-17'), ('x' || left(encode(sha256('order-17'), 'hex'), 16))::bit(64)::bigint AS wanted;

-- Noted again, nothing is kept twice. Another state of the month at the same place is an export of its own, until that is said to be gone.
SELECT pg_temp.note('/backup', 'archive_2026_05');
SELECT count(*) FROM dbos_ops.export_ids WHERE partition = 'archive_2026_05';
SELECT dbos_sys.archive_sum('archive_2026_05') AS former \gset
SELECT * FROM dbos_sys.delete('{huge}');
SELECT pg_temp.note('/backup', 'archive_2026_05');
SELECT count(*) FROM dbos_ops.export_ids WHERE partition = 'archive_2026_05';
SELECT * FROM dbos_sys.delete('{huge}');
SELECT * FROM dbos_sys.delete('{alone}');
SELECT dbos_sys.forget_export('archive_2026_05', '/backup', ARRAY[:'former', dbos_sys.archive_sum('archive_2026_05')]) AS now_without_alone;
SELECT * FROM dbos_sys.delete('{alone,huge}');
SELECT dbos_sys.drop_archive('archive_2026_05');
-- One that holds nothing of it is not named; an error comes when none does.
SELECT dbos_sys.forget_export('archive_2026_05', '/backup');
SELECT * FROM dbos_sys.delete('{huge}');
\echo :LAST_ERROR_SQLSTATE
SELECT * FROM dbos_sys.delete('{many-1,huge}');
SELECT count(*) FROM dbos_sys.list('{"ids": "many-1"}', archived => true);
-- An export that is refused leaves nothing.
SELECT dbos_sys.note_export('archive_2027_01', '/other', 5000, 'sha256:00');
SELECT count(*) FROM dbos_ops.export_ids WHERE place = '/other';

-- Refused.
SELECT dbos_sys.forget_export('archive_2026_05', '/backup');
\echo :LAST_ERROR_SQLSTATE
SELECT dbos_sys.forget_export('archive_2027_01', '/elsewhere');
SELECT dbos_sys.forget_export(' ', '/backup');
SELECT dbos_sys.forget_export('archive_2027_01', NULL);
SELECT dbos_sys.forget_export('archive_2027_01', '/backup', NULL);
SELECT dbos_sys.forget_export('archive_2027_01', '/backup', ARRAY['a', NULL]);
SELECT count(*) FROM dbos_ops.archive_exports;
