-- Who may write: the incarnation that stands, the token that owns.
\set SHOW_CONTEXT never
\set ECHO errors
\getenv root PG_ABS_SRCDIR
\set setup :root /sql/include/setup.psql
\i :setup
\set ECHO all

-- hold_incarnation() says which incarnation stands instead.
SELECT dbos_sys.hold_incarnation('shop', 'e1', 'i1');
SELECT dbos_sys.hold_incarnation('shop', 'e1', 'i0');
-- Whom only its heartbeats tell of has no incarnation: it claims nothing here.
SELECT state FROM dbos_sys.heartbeat('by-heart', '1 h', 'shop');
SELECT dbos_sys.hold_incarnation('shop', 'by-heart', '');
SELECT dbos_sys.hold_incarnation('shop', 'nobody', 'i1');
SELECT dbos_sys.hold_incarnation('shop', 'e1', NULL);
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT dbos_sys.hold_incarnation('shop', 'e1', 'i1');
ROLLBACK;
UPDATE dbos_ops.executors SET ended_at = 1, ended_why = 'retired';
SELECT dbos_sys.hold_incarnation('shop', 'e1', 'i1');
UPDATE dbos_ops.executors SET ended_at = NULL, ended_why = NULL;

SELECT * FROM pg_temp.trip('[{"id": "a", "new": true}, {"id": "b", "new": true}, {"id": "c", "new": true, "status": "SUCCESS", "output": "1"}]');
SELECT dbos_sys.lock_runs('{b,a}', '{t-b,t-a}', '{f,f}'), dbos_sys.lock_runs('{b,a,c,x}', '{t-b,t-b,t-c,t-x}', '{f,f,f,t}');
SELECT * FROM dbos_sys.missed_runs('{b,a,c,x}', '{t-b,t-b,t-c,t-x}', '{f,t,t,t}') ORDER BY idx;
-- A row that an older SDK cancelled keeps its token; it is not owned.
UPDATE dbos.workflow_status SET status = 'CANCELLED' WHERE workflow_uuid = 'a';
SELECT dbos_sys.lock_runs('{a}', '{t-a}', '{f}');
-- What it ended has its outcome in the row.
UPDATE dbos.workflow_status SET status = 'ERROR', error = '{"name":"Old"}' WHERE workflow_uuid = 'a';
SELECT * FROM dbos_sys.missed_runs('{a}', '{t-a}', '{t}');
UPDATE dbos.workflow_status SET status = 'SUCCESS', output = '7', error = NULL WHERE workflow_uuid = 'a';
SELECT * FROM dbos_sys.missed_runs('{a}', '{t-a}', '{t}');

-- Plans that were made on tables known to be empty still reach rows by id when the tables have grown.
TRUNCATE dbos.workflow_status, dbos.workflow_input, dbos.workflow_output, dbos.operation_outputs CASCADE;
\c
\set ECHO errors
\i :setup
\set ECHO all
SET client_min_messages = error;
VACUUM ANALYZE dbos.workflow_status, dbos.workflow_input, dbos.workflow_output, dbos.operation_outputs;
SELECT count(*) FROM pg_temp.trip('[{"id": "first", "new": true}]');
SELECT count(*) FROM pg_temp.trip('[{"id": "first", "status": "SUCCESS"}]', '[{"run": 1, "fid": 0, "name": "s"}]');
SELECT count(*) FROM dbos_sys.claim('shop', 'e1', 'i1', 'v1', 't', '{q}', '{5}', '{w}', '{""}', '{1}');
SELECT (SELECT count(*) FROM dbos_sys.load('{first}', '{t}')), (SELECT count(*) FROM dbos_sys.outcomes('{first}')), dbos_sys.give_back('{first}', '{t}');
SELECT count(*) FROM dbos_sys.enqueue('q', '{w}', '{[]}', '{early}', ARRAY['{"deduplication_id": "d"}']::jsonb[]);
DELETE FROM dbos.workflow_status WHERE workflow_uuid = 'early';
SELECT bool_or(dbos_sys.work_waits('{q}')), sum(dbos_sys.delayed_tick()), sum(dbos_sys.deadline_tick()), sum(dbos_sys.requeue('{first}', false)) FROM generate_series(1, 8);
INSERT INTO dbos.workflow_status (workflow_uuid, status, name, queue_name, owner_xid, executor_id, application_name)
SELECT 'many-' || i, CASE WHEN i % 2 = 0 THEN 'PENDING' ELSE 'ENQUEUED' END, 'w', 'other', 'x', 'e9', 'shop' FROM generate_series(1, 4000) AS i;
INSERT INTO dbos.operation_outputs (workflow_uuid, function_id, function_name) SELECT 'many-' || i, 0, 's' FROM generate_series(1, 4000) AS i;
INSERT INTO dbos.workflow_status (workflow_uuid, status, name, queue_name, application_name) SELECT 'wait-' || i, 'ENQUEUED', 'w', 'q', 'shop' FROM generate_series(1, 2000) AS i;
BEGIN;
SELECT count(*) FROM pg_temp.trip('[{"id": "second", "new": true}]');
SELECT count(*) FROM pg_temp.trip('[{"id": "second", "status": "SUCCESS"}, {"id": "many-2"}]', '[{"run": 1, "fid": 0, "name": "s"}]', '[]', true);
SELECT count(*) FROM dbos_sys.claim('shop', 'e1', 'i1', 'v1', 't', '{q}', '{5}', '{w}', '{""}', '{1}');
SELECT pg_stat_get_xact_tuples_fetched(c::regclass) + pg_stat_get_xact_tuples_returned(c::regclass) < 80 AS by_id, c FROM unnest('{dbos.workflow_status,dbos.operation_outputs}'::text[]) AS c;
COMMIT;
BEGIN;
SELECT (SELECT count(*) FROM dbos_sys.load('{many-2}', '{x}')), (SELECT count(*) FROM dbos_sys.outcomes('{second}')), dbos_sys.give_back('{many-4}', '{x}');
SELECT count(*) FROM dbos_sys.enqueue('other', '{w}', '{[]}', '{late}', ARRAY['{"deduplication_id": "d"}']::jsonb[]);
SELECT dbos_sys.work_waits('{q}'), dbos_sys.delayed_tick(), dbos_sys.deadline_tick(), dbos_sys.requeue('{many-6}', false);
SELECT pg_stat_get_xact_tuples_fetched(c::regclass) + pg_stat_get_xact_tuples_returned(c::regclass) < 80 AS by_id, c FROM unnest('{dbos.workflow_status,dbos.operation_outputs}'::text[]) AS c;
COMMIT;
-- The same for a session that only puts runs back.
\c
\set ECHO errors
\i :setup
\set ECHO all
SET client_min_messages = error;
VACUUM ANALYZE dbos.workflow_status, dbos.workflow_output;
SELECT sum(dbos_sys.requeue('{nobody}', false)) FROM generate_series(1, 8);
SELECT sum(dbos_sys.give_back('{nobody}', '{x}')) FROM generate_series(1, 8);
INSERT INTO dbos.workflow_status (workflow_uuid, status, name, queue_name, owner_xid) SELECT 'many-' || i, 'PENDING', 'w', 'other', 'x' FROM generate_series(1, 4000) AS i;
BEGIN;
SELECT dbos_sys.give_back('{many-2}', '{x}'), dbos_sys.requeue('{many-4}', false);
SELECT pg_stat_get_xact_tuples_fetched(c::regclass) + pg_stat_get_xact_tuples_returned(c::regclass) < 80 AS by_id, c FROM unnest('{dbos.workflow_status}'::text[]) AS c;
COMMIT;
