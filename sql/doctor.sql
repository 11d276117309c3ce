-- The doctor: its table of lines, how it judges rows, and what it refuses. What it finds of servers is in test/doctor.
\set SHOW_CONTEXT never
\set ECHO errors
\getenv root PG_ABS_SRCDIR
\set setup :root /sql/include/setup.psql
\i :setup
TRUNCATE dbos_ops.step_classes, dbos_ops.watches, dbos_ops.watched_sessions;
CREATE FUNCTION pg_temp.at(s numeric) RETURNS text LANGUAGE sql AS $$ SELECT set_config('dbos_sys.fake_now', (1800000000000 + s * 1000)::bigint::text, false) $$;
CREATE FUNCTION pg_temp.workflow(p_id text, p_status text, p_columns jsonb DEFAULT '{}') RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO dbos.workflow_status (workflow_uuid, status, name, application_name, application_version, executor_id, queue_name, created_at,
    delay_until_epoch_ms, workflow_deadline_epoch_ms, started_at_epoch_ms)
  VALUES (p_id, p_status, COALESCE(p_columns ->> 'name', 'checkout'), 'shop', COALESCE(p_columns ->> 'version', 'v1'), p_columns ->> 'executor', p_columns ->> 'queue',
    COALESCE((p_columns ->> 'created')::bigint, dbos_sys.now_ms()), (p_columns ->> 'delayed')::bigint, (p_columns ->> 'deadline')::bigint, (p_columns ->> 'started')::bigint);
END;
$$;
\set ECHO all

-- The checklist's six first, in its order; then the others.
SELECT place, name FROM dbos_sys.doctor_checks() ORDER BY place;
SELECT array_agg(d.name ORDER BY d.place) = (SELECT array_agg(c.name ORDER BY c.place) FROM dbos_sys.doctor_checks() AS c) AS in_order,
  bool_and(d.state IN ('ok', 'warn', 'bad', 'not known')) AS states, bool_and(d.finding <> '' AND d.wanted <> '' AND d.why <> '') AS told,
  bool_and((d.mend IS NULL) = (d.state = 'ok')) AS mends
FROM dbos_sys.doctor() AS d;
SELECT name, state, finding FROM dbos_sys.doctor('{traces,determinism}');
SELECT c.name FROM dbos_sys.doctor_checks() AS c WHERE to_regproc('dbos_sys.' || split_part(c.run, '(', 1)) IS NULL;

-- Rows at rest: all is well.
SELECT name, state, finding FROM dbos_sys.doctor('{dead letters,overdue,waiting,unowned,watched,stuck,version skew,payloads,clock}');
-- The same, with trouble.
SELECT pg_temp.workflow('dead', 'MAX_RECOVERY_ATTEMPTS_EXCEEDED', '{"name": "poison"}');
SELECT pg_temp.workflow('late', 'DELAYED', '{"queue": "mail", "delayed": 1800000000000}');
SELECT pg_temp.workflow('expired', 'ENQUEUED', '{"queue": "mail", "deadline": 1800000000000}');
SELECT pg_temp.workflow('waits', 'ENQUEUED', '{"queue": "orders", "version": "v0"}');
SELECT pg_temp.workflow('held', 'ENQUEUED', '{"queue": "paused"}');
SELECT pg_temp.workflow('mine', 'PENDING', '{"executor": "e1"}');
SELECT pg_temp.workflow('lost', 'PENDING', '{"executor": "pod-7"}');
SELECT pg_temp.workflow('sleeps', 'PENDING', '{"executor": "e1"}');
INSERT INTO dbos.operation_outputs (workflow_uuid, function_id, function_name, completed_at_epoch_ms) VALUES ('sleeps', 0, 'DBOS.sleep', 1900000000000);
INSERT INTO dbos.workflow_input (workflow_uuid, inputs) VALUES ('held', repeat('x', 65536)), ('waits', repeat('x', 65537));
SELECT FROM dbos_sys.register_queue('paused');
SELECT FROM dbos_sys.pause_queue('paused');
SELECT pg_temp.at(59) AS t \gset
SELECT name, state, finding FROM dbos_sys.doctor('{overdue,waiting,unowned}');
SELECT pg_temp.at(61) AS t \gset
SELECT state FROM dbos_sys.heartbeat('e1', '15 s', 'shop', 'i1');
SELECT name, state, finding, mend FROM dbos_sys.doctor('{dead letters,overdue,waiting,unowned,watched,version skew,payloads}');
SELECT * FROM dbos_sys.large_payloads();
-- All that holds a payload counts.
INSERT INTO dbos.workflow_status (workflow_uuid, status, name, completed_at) SELECT u.name, 'ERROR', u.name, 1 FROM unnest('{told,failed,stepped,event,stream}'::text[]) AS u(name);
INSERT INTO dbos.notifications (destination_uuid, message) VALUES ('told', repeat('x', 65537)), ('told', repeat('x', 65536));
INSERT INTO dbos.workflow_output (workflow_uuid, error) VALUES ('failed', repeat('x', 65538));
INSERT INTO dbos.operation_outputs (workflow_uuid, function_id, function_name, error) VALUES ('stepped', 0, 'charge', repeat('x', 65539));
INSERT INTO dbos.workflow_events (workflow_uuid, key, value) VALUES ('event', 'k', repeat('x', 65540));
INSERT INTO dbos.streams (workflow_uuid, key, value, "offset") VALUES ('stream', 's', repeat('x', 65541), 0);
SELECT * FROM dbos_sys.large_payloads();
DELETE FROM dbos.workflow_status WHERE workflow_uuid IN ('told', 'failed', 'stepped', 'event', 'stream');
DELETE FROM dbos.workflow_output WHERE workflow_uuid = 'failed'; DELETE FROM dbos.operation_outputs WHERE workflow_uuid = 'stepped';
SELECT pg_temp.at(86401) AS t \gset
SELECT name, state, finding, mend FROM dbos_sys.doctor('{waiting,stuck}');
-- What was resumed has waited since then.
BEGIN;
SELECT dbos_sys.resume('{waits,expired}');
SELECT state, finding FROM dbos_sys.doctor('{waiting}');
ROLLBACK;
-- A queue that was dropped and made again is another: the pause of the first is not its own.
BEGIN;
DELETE FROM dbos.queues WHERE name = 'paused';
INSERT INTO dbos.queues (queue_id, name, created_at, updated_at) SELECT 'another', 'paused', 1, 1;
SELECT state, finding FROM dbos_sys.doctor('{waiting}');
ROLLBACK;
-- An executor of the name is connected; or sessions that do not tell who they are.
SELECT pg_temp.at(61) AS t \gset
SET application_name = 'dbos_transact_pod-7_v1';
SELECT name, state, finding FROM dbos_sys.doctor('{unowned}');
SET application_name = 'dbos_transact';
SELECT name, state, finding FROM dbos_sys.doctor('{unowned}');
RESET application_name;

-- What the client tells of itself.
SELECT state, finding FROM dbos_sys.doctor('{clock}', '{"now": 1800000061000}');
SELECT state, finding FROM dbos_sys.doctor('{clock}', '{"now": 1800000000000}');
SELECT pg_temp.at(-10) AS t \gset
SELECT state, finding FROM dbos_sys.doctor('{clock}');
SELECT finding LIKE '%; a pooler: this connection comes through one, 1 executors whose sessions %' AS through FROM dbos_sys.doctor('{pooler}', '{"pid": 1}');
UPDATE dbos_ops.executors SET ended_at = 1, ended_why = 'test';
SELECT finding LIKE '%; no sign of a pooler' AS direct FROM dbos_sys.doctor('{pooler}', jsonb_build_object('pid', pg_backend_pid()));
SET application_name = 'PgBouncer';
SELECT finding LIKE '%; a pooler: sessions named "PgBouncer"' AS seen FROM dbos_sys.doctor('{pooler}');
RESET application_name;

-- A line that trips over something is not known, and the others go on.
BEGIN;
ALTER TABLE dbos.workflow_status RENAME COLUMN name TO title;
SELECT name, state, finding, mend FROM dbos_sys.doctor('{dead letters,overdue}');
ROLLBACK;
BEGIN;
SET LOCAL client_min_messages = warning;
DROP SCHEMA dbos_ops CASCADE;
SELECT name, state, finding, mend FROM dbos_sys.doctor('{throttling,maintenance,unowned,watched,tables}');
ROLLBACK;
BEGIN;
SET LOCAL client_min_messages = warning;
DROP SCHEMA dbos CASCADE;
SELECT name, state, finding, mend FROM dbos_sys.doctor('{tables,table version,storage parameters,clock,dead letters}');
-- Without tables no line about them is green, or trips.
SELECT d.name, d.state, d.mend FROM dbos_sys.doctor() AS d WHERE d.finding = 'DBOS tables are not installed here';
SELECT d.name, d.finding FROM dbos_sys.doctor() AS d WHERE d.finding LIKE '%does not exist%';
SELECT d.state, replace(d.finding, '; pg_cron keeps', '') AS finding, d.mend FROM dbos_sys.doctor('{prune job}') AS d;
ROLLBACK;

-- The policy that it offers is one to look at, for who is here.
BEGIN;
INSERT INTO dbos.workflow_status (workflow_uuid, status, name, application_name, completed_at)
VALUES ('k1', 'SUCCESS', 'kept', NULL, 1), ('k2', 'SUCCESS', 'kept', NULL, 2), ('k3', 'SUCCESS', 'w', 'o''shop', 3), ('k4', 'PENDING', 'w', 'live', NULL);
SELECT d.mend FROM dbos_sys.doctor('{prune job}') AS d;
DELETE FROM dbos.workflow_status WHERE workflow_uuid = 'k3';
SELECT d.mend FROM dbos_sys.doctor('{prune job}') AS d;
ROLLBACK;

-- Policies for an application that is not here keep what is here for ever; and one round by hand is none that comes again.
CREATE FUNCTION pg_temp.prune_line() RETURNS TABLE (state text, finding text, mend text) LANGUAGE sql AS $$
  SELECT d.state, regexp_replace(d.finding, '; about .*', ''), d.mend FROM dbos_sys.doctor('{prune job}') AS d
$$;
BEGIN;
SET LOCAL client_min_messages = error;
SELECT FROM dbos_sys.create_schedule('prune', 'prune', '7 * * * *');
SELECT FROM dbos_sys.retain('30 days', application => 'shpo');
INSERT INTO dbos_ops.pruner (one, ended_at) VALUES (true, dbos_sys.now_ms()) ON CONFLICT (one) DO UPDATE SET ended_at = EXCLUDED.ended_at;
SELECT * FROM pg_temp.prune_line();
INSERT INTO dbos.workflow_status (workflow_uuid, status, name, application_name, completed_at)
VALUES ('o1', 'SUCCESS', 'checkout', 'shop', 1), ('o2', 'ERROR', 'checkout', 'shop', 2), ('o3', 'SUCCESS', 'checkout', 'shpo', 3);
SELECT * FROM pg_temp.prune_line();
SELECT FROM dbos_sys.retain('90 days', application => 'shop');
SELECT * FROM pg_temp.prune_line();
SELECT FROM dbos_sys.pause_schedule('prune');
SELECT * FROM pg_temp.prune_line();
INSERT INTO dbos_ops.ticker (one, last_tick) VALUES (true, dbos_sys.now_ms() - 89000) ON CONFLICT (one) DO UPDATE SET last_tick = EXCLUDED.last_tick;
SELECT * FROM pg_temp.prune_line();
UPDATE dbos_ops.ticker SET last_tick = last_tick - 2000;
SELECT state FROM pg_temp.prune_line();
ROLLBACK;

-- Only btrees are judged; of one that cannot be, it is said.
BEGIN;
CREATE TABLE dbos_ops.large AS SELECT ARRAY[md5(n::text) || md5('x' || n)] AS tags FROM generate_series(1, 120000) AS n;
CREATE INDEX ON dbos_ops.large USING gin (tags);
SELECT pg_relation_size('dbos_ops.large_tags_idx') > 8388608 AS is_large;
SELECT state, finding FROM dbos_sys.doctor('{index bloat}');
CREATE INDEX ON dbos_ops.large (tags);
SELECT state, finding FROM dbos_sys.doctor('{index bloat}');
ROLLBACK;

-- As the library reads dbos_sys.databases.
SELECT dbos_sys.listed_databases(' dbos_sys, MyDb,"MyDb" ,"a,b", "say ""hi""" ,' || repeat('X', 70)), dbos_sys.listed_databases(''), dbos_sys.listed_databases(NULL);

-- All that hang are seen, however many older ones are well.
BEGIN;
SELECT pg_temp.at(86402) AS t \gset
DELETE FROM dbos.workflow_status;
SELECT count(pg_temp.workflow('well' || n, 'PENDING', '{"created": 1800000000000}')) FROM generate_series(1, 1500) AS n;
INSERT INTO dbos.operation_outputs (workflow_uuid, function_id, function_name, completed_at_epoch_ms) SELECT 'well' || n, 0, 'DBOS.sleep', 1900000000000 FROM generate_series(1, 1500) AS n;
SELECT pg_temp.workflow('hangs', 'PENDING', '{"created": 1800000000001}');
SELECT state, finding FROM dbos_sys.doctor('{stuck}');
-- Of the last steps; a sleep is one, also when others ended after it was begun.
INSERT INTO dbos.operation_outputs (workflow_uuid, function_id, function_name, completed_at_epoch_ms) SELECT 'hangs', n, 's', CASE n WHEN 401 THEN 1900000000000 ELSE 1 END FROM generate_series(1, 500) AS n;
SELECT state, finding FROM dbos_sys.doctor('{stuck}');
-- However much there is, it reads the oldest, and a few of their steps; what it did not see is not known, and numbers are the least.
CREATE FUNCTION pg_temp.rows_read() RETURNS numeric LANGUAGE sql AS $$
  SELECT sum(s.idx_tup_fetch) + sum(s.seq_tup_read) FROM pg_stat_xact_user_tables AS s WHERE s.relid IN ('dbos.workflow_status'::regclass, 'dbos.operation_outputs'::regclass)
$$;
UPDATE dbos.operation_outputs SET completed_at_epoch_ms = 1 WHERE workflow_uuid = 'hangs';
UPDATE dbos.workflow_status SET created_at = 1799999999999 WHERE workflow_uuid = 'hangs';
SELECT pg_temp.rows_read() AS before \gset
SELECT f.ids, f.complete, pg_temp.rows_read() - :before AS rows_read FROM dbos_sys.find_stuck(1800000000001, 200, 10) AS f;
SELECT pg_temp.rows_read() AS before \gset
SELECT f.ids, f.complete, pg_temp.rows_read() - :before AS rows_read FROM dbos_sys.find_stuck(1800000000001, 200, 1) AS f;
SELECT f.ids, f.complete FROM dbos_sys.find_stuck(1800000000001, 1502, 2) AS f;
DELETE FROM dbos.workflow_status WHERE workflow_uuid = 'hangs';
INSERT INTO dbos.workflow_status (workflow_uuid, status, name, created_at) SELECT 'more' || n, 'PENDING', 'checkout', 1800000000001 FROM generate_series(1, 48600) AS n;
INSERT INTO dbos.operation_outputs (workflow_uuid, function_id, function_name, completed_at_epoch_ms) SELECT 'more' || n, 0, 'DBOS.sleep', 1900000000000 FROM generate_series(1, 48600) AS n;
SELECT state, finding FROM dbos_sys.doctor('{stuck}');
UPDATE dbos.operation_outputs SET completed_at_epoch_ms = 1 WHERE workflow_uuid = 'well1';
SELECT state, finding, mend FROM dbos_sys.doctor('{stuck}');
UPDATE dbos.operation_outputs SET completed_at_epoch_ms = 1 WHERE workflow_uuid LIKE 'well%';
SELECT state, finding FROM dbos_sys.doctor('{stuck}');
DELETE FROM dbos.workflow_status WHERE workflow_uuid LIKE 'more%' OR workflow_uuid ~ '^well(1...|[1-9]..)$';
SELECT state, finding FROM dbos_sys.doctor('{stuck}');
ROLLBACK;

-- Settings: of a role, of a transaction.
BEGIN;
SELECT format('ALTER DATABASE %I SET synchronous_commit = off', current_database()) AS s1, format('ALTER ROLE %I IN DATABASE %I SET statement_timeout = ''5s''', current_user, current_database()) AS s2,
  format('ALTER ROLE %I IN DATABASE %I SET lock_timeout = ''5s''', current_user, current_database()) AS s3 \gset
:s1;
:s2;
:s3;
SELECT name, state, replace(finding, current_database(), 'DB') AS finding, replace(mend, current_database(), 'DB') AS mend FROM dbos_sys.doctor('{statement_timeout,overrides}');
SELECT format('ALTER DATABASE %I SET statement_timeout = ''0.4min''', current_database()) AS s4, format('ALTER ROLE %I IN DATABASE %I RESET statement_timeout', current_user, current_database()) AS s5 \gset
:s4;
:s5;
SELECT name, state, finding, replace(mend, current_database(), 'DB') AS mend FROM dbos_sys.doctor('{statement_timeout}');
ROLLBACK;
-- However they are spelled; nothing of them is left in the session.
SELECT v.name, v.value, dbos_sys.is_contrary(v.name, v.value) FROM (VALUES ('synchronous_commit', 'false'), ('synchronous_commit', 'no'), ('synchronous_commit', '0'),
  ('synchronous_commit', 'Local'), ('default_transaction_read_only', 't'), ('default_transaction_read_only', '0'), ('enable_hashjoin', 'f'), ('enable_hashjoin', 'ON'),
  ('statement_timeout', '0.1min'), ('statement_timeout', '0.2min'), ('statement_timeout', '0x64'), ('statement_timeout', '0'), ('lock_timeout', '1s'),
  ('default_transaction_isolation', 'Serializable'), ('session_replication_role', ' REPLICA'), ('enable_no_such', 'OFF')) AS v(name, value);
SELECT s.name, s.setting FROM pg_settings AS s WHERE s.name IN ('synchronous_commit', 'default_transaction_read_only', 'enable_hashjoin', 'session_replication_role') ORDER BY s.name;
-- A role's own does not hide what others get.
BEGIN;
SELECT format('ALTER ROLE %I IN DATABASE %I SET synchronous_commit = on', current_user, current_database()) AS s6 \gset
:s1;
:s6;
SELECT name, state, finding, replace(mend, current_database(), 'DB') AS mend FROM dbos_sys.doctor('{synchronous_commit}');
ROLLBACK;
SELECT v.names, dbos_sys.standbys_asked(v.names) FROM unnest('{"",a,"a, b","2 (a, b)","FIRST 3(a)"," any 2 ( b )","\"first\", b",*}'::text[]) AS v(names);
SELECT * FROM dbos_sys.doctor_range('work_mem', 'warn', '1kB', '1TB', '8MB');
SELECT * FROM dbos_sys.doctor_range('no_such', 'warn', '1', '2', '1');
SELECT * FROM dbos_sys.doctor_choice('no_such', 'bad', '{on}');
SELECT * FROM dbos_sys.doctor_choice('wal_level', 'bad', '{no_such,logical}');
SELECT name FROM dbos_sys.advised_settings() WHERE statement !~ ('^ALTER SYSTEM SET ' || name || ' = ');

-- Bad input.
SELECT dbos_sys.doctor('{nope}');
\set VERBOSITY terse
SELECT dbos_sys.doctor(ARRAY['traces', NULL]);
\set VERBOSITY default
SELECT dbos_sys.doctor(client => NULL);
SELECT dbos_sys.doctor(client => '[]');
SELECT dbos_sys.doctor(client => '{"pid": "one"}');
SELECT dbos_sys.doctor(client => '{"now": null}');
DELETE FROM dbos.workflow_status;
TRUNCATE dbos.workflow_input, dbos.operation_outputs, dbos_ops.queue_settings, dbos.queues;
-- Without counters autovacuum never comes.
SELECT format('ALTER DATABASE %I SET track_counts = off', current_database()) AS off, format('ALTER DATABASE %I RESET track_counts', current_database()) AS reset \gset
:off;
SELECT name, state, finding, replace(mend, current_database(), 'DB') AS mend FROM dbos_sys.doctor('{autovacuum}');
:reset;
\c -reuse-previous=on "options='-c track_counts=off'"
SELECT name, state, finding, mend FROM dbos_sys.doctor('{autovacuum}');
