-- What tables and indexes need: storage parameters, vacuum, indexes that an interrupted build left, who holds the horizon.
\set SHOW_CONTEXT never
\set ECHO errors
\getenv root PG_ABS_SRCDIR
\set setup :root /sql/include/setup.psql
\i :setup
\set ECHO all

-- Storage parameters: what is absent is set, what somebody set stays.
ALTER TABLE dbos.workflow_status SET (autovacuum_vacuum_scale_factor = 0.5);
SELECT * FROM dbos_sys.tune_tables(dry_run => true);
SELECT count(*) FROM dbos_sys.absent_parameters();
SELECT count(*) FROM dbos_sys.tune_tables();
SELECT count(*) FROM dbos_sys.tune_tables();
SELECT reloptions FROM pg_class WHERE oid = 'dbos.workflow_status'::regclass;
SELECT c.reloptions, t.reloptions AS toast FROM pg_class AS c JOIN pg_class AS t ON t.oid = c.reltoastrelid WHERE c.oid = 'dbos.workflow_output'::regclass;
-- They are no difference to what an SDK expects.
SELECT * FROM dbos_sys.verify();
SELECT r.table_name FROM dbos_sys.storage_parameters() AS r WHERE to_regclass(r.table_name) IS NULL;

-- When autovacuum comes: the server's settings, or the table's own.
SELECT dbos_sys.vacuum_threshold(NULL, -1), dbos_sys.vacuum_threshold('{fillfactor=50}', 1000),
  dbos_sys.vacuum_threshold('{autovacuum_vacuum_threshold=500,autovacuum_vacuum_scale_factor=0.02}', 1000000);

-- An index is judged by what its entries need; before it is analysed nothing is known of it.
INSERT INTO dbos.workflow_input (workflow_uuid, inputs) SELECT md5(n::text), '1' FROM generate_series(1, 20000) AS n;
SELECT pg_stat_force_next_flush();
ANALYZE dbos.workflow_input;
SELECT index_name, bytes BETWEEN 0.7 * expected_bytes AND 2.5 * expected_bytes AS as_expected, valid, advice
FROM dbos_sys.index_health() WHERE index_name = 'dbos.workflow_input_pkey';
SELECT index_name, expected_bytes, advice FROM dbos_sys.index_health() WHERE index_name = 'dbos.idx_workflow_status_attributes';
SELECT table_name, bytes > 1000000 AS large, advice FROM dbos_sys.table_health() WHERE table_name = 'dbos.workflow_input';

-- Every table that is listed has rows of its own: not the root of the archive.
SELECT table_name FROM dbos_sys.table_health() WHERE xid_age > 2000000000;
-- INVALID leftovers: dropped, but for what DBOS needs.
INSERT INTO dbos.workflow_status (workflow_uuid, status, name) VALUES ('a', 'SUCCESS', 'same'), ('b', 'SUCCESS', 'same');
CREATE UNIQUE INDEX CONCURRENTLY "left Over" ON dbos.workflow_status (name);
BEGIN;
UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'dbos.workflow_status_created_at_index'::regclass;
SELECT index_name, valid, advice FROM dbos_sys.index_health() WHERE NOT valid ORDER BY 1;
SELECT * FROM dbos_sys.clean_indexes(dry_run => true);
SELECT * FROM dbos_sys.clean_indexes();
ROLLBACK;
SELECT * FROM dbos_sys.clean_indexes();
SELECT * FROM dbos_sys.clean_indexes();

-- Nobody else is here.
SELECT kind, holder FROM dbos_sys.horizon() WHERE kind <> 'session';
TRUNCATE dbos.workflow_input;
DELETE FROM dbos.workflow_status;
