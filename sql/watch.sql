-- Applications on other SDKs: executors known by the names of their sessions, recovered when these are gone; versions that nobody runs.
\set SHOW_CONTEXT never
\set ECHO errors
\getenv root PG_ABS_SRCDIR
\set setup :root /sql/include/setup.psql
\i :setup
SET client_min_messages = error;
CREATE FUNCTION pg_temp.at(s numeric) RETURNS text LANGUAGE sql AS $$ SELECT set_config('dbos_sys.fake_now', (1800000000000 + s * 1000)::bigint::text, false) $$;
-- Rows as an SDK of schema 123 writes them, and (old) as one before it.
CREATE FUNCTION pg_temp.pending(p_id text, p_executor text, p_version text DEFAULT 'v1', p_application text DEFAULT 'shop', p_old boolean DEFAULT false)
RETURNS void LANGUAGE sql AS $$
  INSERT INTO dbos.workflow_status (workflow_uuid, status, name, executor_id, application_version, application_name, queue_name, created_at, updated_at,
    recovery_attempts, owner_xid, creator_xid)
  VALUES (p_id, 'PENDING', 'checkout', p_executor, p_version, p_application, NULL, dbos_sys.now_ms(), dbos_sys.now_ms(), 1, 't-' || p_id,
    CASE WHEN NOT p_old THEN 't-' || p_id END)
$$;
CREATE FUNCTION pg_temp.version(p_version text, p_application text DEFAULT 'shop') RETURNS void LANGUAGE sql AS $$
  INSERT INTO dbos.application_versions (version_id, version_name, version_timestamp, created_at, application_name)
  VALUES ('id ' || p_version, p_version, dbos_sys.now_ms(), dbos_sys.now_ms(), p_application)
$$;
CREATE VIEW pg_temp.rows AS SELECT workflow_uuid AS id, status, executor_id AS executor, application_version AS version, queue_name AS queue, owner_xid AS owner,
  recovery_attempts AS n FROM dbos.workflow_status ORDER BY workflow_uuid;
-- This session stands for another process's, so what was noted of its process id is forgotten.
CREATE PROCEDURE pg_temp.session(p_name text) LANGUAGE plpgsql AS $$
BEGIN
  PERFORM set_config('application_name', p_name, false);
  UPDATE dbos_ops.watched_sessions SET pids = '{}';
END;
$$;
\set ECHO all

SELECT pg_temp.at(0) AS t \gset
SELECT dbos_sys.recover_tick();
SELECT hold_until - 1800000000000 AS hold FROM dbos_ops.ticker;
SELECT pg_temp.at(100) AS t \gset

-- Bad input.
SELECT dbos_sys.watch('shop');
SELECT pg_temp.version('v1');
SELECT dbos_sys.watch('shopp');
SELECT dbos_sys.watch('');
SELECT dbos_sys.watch('shop', grace => '0');
SELECT dbos_sys.watch('shop', grace => NULL);
SELECT dbos_sys.watch('shop', grace => '-1 s');
SELECT dbos_sys.watch('shop', session_name => '%');
SELECT dbos_sys.watch('shop', session_name => '{executor}');
SELECT dbos_sys.watch('shop', session_name => 'shop {version}');
SELECT dbos_sys.watch('shop', session_name => 'shop {executor} {host}');
SELECT dbos_sys.watch('shop', session_name => NULL);
SELECT dbos_sys.watch('shop', version_gone => 'delete');
SELECT dbos_sys.watch('shop', version_gone => NULL);
SELECT dbos_sys.watch('shop', version_grace => '0');
CALL pg_temp.session('somebody');
SELECT dbos_sys.watch('shop', session_name => 'nobody-{executor}');
\echo :LAST_ERROR_SQLSTATE
SELECT count(*) FROM dbos_ops.watches;
-- An id that every process has by default tells nobody apart.
SELECT pg_temp.pending('w-local', 'local');
CALL pg_temp.session('dbos_transact_one_v1');
SELECT dbos_sys.watch('shop');
DELETE FROM dbos.workflow_status;
CALL pg_temp.session('dbos_transact_local_v1');
SELECT dbos_sys.watch('shop');
\echo :LAST_ERROR_SQLSTATE
-- Without fencing both would run.
CALL pg_temp.session('dbos_transact_one_v1');
SELECT pg_temp.pending('w-old', 'one', p_old => true);
SELECT dbos_sys.watch('shop');
\echo :LAST_ERROR_SQLSTATE
SELECT state, pending FROM dbos_sys.watch('shop', accept_unfenced => true);
-- However much another application has written since.
SELECT dbos_sys.unwatch('shop');
INSERT INTO dbos.workflow_status (workflow_uuid, status, name, application_name, application_version, executor_id, created_at)
SELECT 'other-' || n, 'SUCCESS', 'w', 'other', 'v1', 'x', dbos_sys.now_ms() + n FROM generate_series(1, 5001) AS n;
SELECT dbos_sys.watch('shop');
UPDATE dbos.workflow_status SET status = 'SUCCESS' WHERE workflow_uuid = 'w-old';
SELECT dbos_sys.watch('shop');
\echo :LAST_ERROR_SQLSTATE
DELETE FROM dbos.workflow_status WHERE application_name = 'other';
UPDATE dbos.workflow_status SET status = 'PENDING';
SELECT count(*) FROM dbos_sys.watch('shop', accept_unfenced => true);
-- An older release of the application may have been without: its finished workflows say nothing of the one that runs now.
SELECT pg_temp.at(101), dbos_sys.unwatch('shop'), pg_temp.version('v1b');
SELECT pg_temp.pending('w-done', 'one', 'v1');
UPDATE dbos.workflow_status SET status = 'SUCCESS' WHERE workflow_uuid = 'w-done';
SELECT state, pending FROM dbos_sys.watch('shop');
DELETE FROM dbos.application_versions WHERE version_name = 'v1b';
-- The setting is looked at with each judgement.
UPDATE dbos_ops.watches SET accept_unfenced = false;
SELECT executor_id, state, advice FROM dbos_sys.watched();
DELETE FROM dbos.workflow_status;

-- An executor that is there keeps its work.
SELECT pg_temp.pending('w1', 'one'), pg_temp.pending('w2', 'one');
SELECT executor_id, application_version, name, state, pending FROM dbos_sys.watch('shop');
-- From an operator too, unless by force; whose sessions are gone, and who shares an id, is the operator's to judge.
SELECT dbos_sys.recover('{one}');
\echo :LAST_ERROR_SQLSTATE
SELECT dbos_sys.recover('{nobody,one}', 'shop', 'v1');
SELECT DISTINCT status FROM pg_temp.rows;
BEGIN;
SELECT dbos_sys.recover('{one}', 'shop', p_force => true);
ROLLBACK;
BEGIN;
SELECT pg_temp.pending('w-local', 'local'), pg_temp.pending('w-v0', 'one', 'v0');
SELECT dbos_sys.recover('{local}', 'shop'), dbos_sys.recover('{one}', 'shop', 'v0');
ROLLBACK;
CALL pg_temp.session('dbos_transact_two_v1');
BEGIN;
SELECT dbos_sys.recover('{one}');
ROLLBACK;
-- Who came back since the last tick lives.
SELECT dbos_sys.watch_tick();
SELECT executor_id, state FROM dbos_sys.watched('shop') WHERE pending > 0;
CALL pg_temp.session('dbos_transact_one_v1');
SELECT dbos_sys.recover('{one}', 'shop');
SELECT dbos_sys.watch_tick();
SELECT pg_temp.at(160), dbos_sys.recover_tick() AS recovered, dbos_sys.watch_tick();
SELECT pg_temp.at(161), dbos_sys.recover_tick() AS recovered, dbos_sys.watch_tick();
SELECT executor_id, state FROM dbos_sys.watched('shop');
-- Its sessions are gone: after the grace, and not before, its work is enqueued for another.
CALL pg_temp.session('dbos_transact_two_v1');
SELECT pg_temp.at(300), dbos_sys.recover_tick() AS tick; -- a gap in the ticks: nobody is judged before hold_until
SELECT hold_until - 1800000000000 AS hold FROM dbos_ops.ticker;
SELECT dbos_sys.watch_tick();
SELECT executor_id, state FROM dbos_sys.watched('shop');
SELECT pg_temp.at(404.999), dbos_sys.watch_tick();
SELECT executor_id, session_name, state, pending FROM dbos_sys.watched('shop');
SELECT pg_temp.at(405), dbos_sys.watch_tick();
TABLE pg_temp.rows;
-- The same without a gap: the grace alone.
UPDATE dbos.workflow_status SET status = 'PENDING', executor_id = 'two', owner_xid = 'new', creator_xid = 'c', queue_name = NULL;
UPDATE dbos_ops.ticker SET hold_from = 0, hold_until = 0;
SELECT pg_temp.at(500), dbos_sys.watch_tick();
SELECT executor_id, state FROM dbos_sys.watched('shop') WHERE pending > 0;
CALL pg_temp.session('dbos_transact_three_v1');
SELECT pg_temp.at(501), dbos_sys.watch_tick();
SELECT executor_id, state FROM dbos_sys.watched('shop') WHERE pending > 0;
SELECT pg_temp.at(505.999), dbos_sys.watch_tick();
-- Back in time: alive again, and the grace begins anew.
CALL pg_temp.session('dbos_transact_two_v1');
SELECT pg_temp.at(505.999), dbos_sys.watch_tick();
SELECT executor_id, state FROM dbos_sys.watched('shop') WHERE pending > 0;
CALL pg_temp.session('dbos_transact_three_v1');
SELECT pg_temp.at(506), dbos_sys.watch_tick(), pg_temp.at(510.999), dbos_sys.watch_tick();
SELECT pg_temp.at(511), dbos_sys.watch_tick();
TABLE pg_temp.rows;

-- Sessions that an operator ended come back after the SDK's back-off: the grace is longer then.
UPDATE dbos.workflow_status SET status = 'PENDING', executor_id = 'three', owner_xid = 'new', queue_name = NULL;
SELECT dbos_sys.watch_tick();
UPDATE dbos_ops.watches SET kills = kills - 1;
CALL pg_temp.session('dbos_transact_four_v1');
SELECT pg_temp.at(512), dbos_sys.watch_tick(), pg_temp.at(518), dbos_sys.watch_tick(), pg_temp.at(601.999), dbos_sys.watch_tick();
SELECT executor_id, state FROM dbos_sys.watched('shop') WHERE pending > 0;
SELECT pg_temp.at(602), dbos_sys.watch_tick();

-- An executor that was never seen: not before the back-off, for it may be about to connect.
SELECT pg_temp.pending('w3', 'five');
SELECT dbos_sys.watch_tick();
SELECT executor_id, state, advice FROM dbos_sys.watched('shop') WHERE pending > 0;
SELECT pg_temp.at(691), dbos_sys.watch_tick();
SELECT pg_temp.at(703), dbos_sys.watch_tick();
-- Nor when it was its version's last, and came and went between two looks: those before it show how it would have been named.
SELECT pg_temp.pending('w-last', 'blink'), pg_temp.pending('w-none', 'blink', 'v0');
CALL pg_temp.session('dbos_transact_new_v2');
SELECT pg_temp.at(713), dbos_sys.watch_tick(), pg_temp.at(792.999), dbos_sys.watch_tick();
SELECT pg_temp.at(803), dbos_sys.watch_tick();
SELECT application_version, state FROM dbos_sys.watched('shop') WHERE pending > 0;
DELETE FROM dbos.workflow_status WHERE workflow_uuid IN ('w-last', 'w-none');

-- Names are compared as the server cuts them; two that are one then are left alone, as is an id of another version.
SELECT pg_temp.pending('w4', repeat('x', 60) || '1'), pg_temp.pending('w5', repeat('x', 60) || '2'), pg_temp.pending('w6', 'a_b', 'c'), pg_temp.pending('w7', 'a', 'b_c');
SELECT dbos_sys.session_name('dbos_transact_{executor}_{version}', repeat('x', 60), 'v1');
CALL pg_temp.session('dbos_transact_bär_v1');
SELECT dbos_sys.session_name('dbos_transact_{executor}_{version}', 'bär', 'v1') = current_setting('application_name');
CALL pg_temp.session('dbos_transact_four_v1');
SELECT pg_temp.at(1000), dbos_sys.watch_tick();
SELECT left(executor_id, 8) AS executor, state, advice FROM dbos_sys.watched('shop') WHERE pending > 0 ORDER BY 1;
DELETE FROM dbos.workflow_status WHERE workflow_uuid >= 'w4';
-- A single long id is no matter.
SELECT pg_temp.pending('w8', repeat('y', 60));
CALL pg_temp.session('dbos_transact_yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy_v1');
SELECT pg_temp.at(1001), dbos_sys.watch_tick();
SELECT left(executor_id, 8) AS executor, state FROM dbos_sys.watched('shop') WHERE pending > 0;
CALL pg_temp.session('dbos_transact_four_v1');
SELECT pg_temp.at(1002), dbos_sys.watch_tick(), pg_temp.at(1007), dbos_sys.watch_tick();

-- Who registered or sends heartbeats is judged by that.
SELECT state FROM dbos_sys.heartbeat('six', '15 s', 'shop');
SELECT pg_temp.pending('w9', 'six'), pg_temp.pending('w10', 'one', p_application => 'other');
SELECT pg_temp.at(2000), dbos_sys.watch_tick();
SELECT count(*) FROM dbos_sys.watched() WHERE pending > 0;
DELETE FROM dbos.workflow_status;
DELETE FROM dbos_ops.executors;

-- Who stood when the server restarted has the time to come back, however close together the ticks are.
SELECT pg_temp.pending('r1', 'six');
CALL pg_temp.session('dbos_transact_six_v1');
SELECT pg_temp.at(2100), dbos_sys.watch_tick();
UPDATE dbos_ops.ticker SET hold_from = 1800002101000, hold_until = 1800002191000;
CALL pg_temp.session('dbos_transact_four_v1');
SELECT pg_temp.at(2101.006), dbos_sys.watch_tick(), pg_temp.at(2190.999), dbos_sys.watch_tick();
SELECT executor_id, state FROM dbos_sys.watched('shop') WHERE pending > 0;
SELECT pg_temp.at(2191), dbos_sys.watch_tick();
-- Calling watch() again changes the settings, and nobody's standing.
UPDATE dbos.workflow_status SET status = 'PENDING', executor_id = 'four', owner_xid = 'new', queue_name = NULL;
UPDATE dbos_ops.watches SET kills = kills - 1;
CALL pg_temp.session('dbos_transact_five_v1');
SELECT pg_temp.at(2200), dbos_sys.watch_tick();
SELECT executor_id, state FROM dbos_sys.watch('shop', grace => '2 s') WHERE pending > 0;
SELECT pg_temp.at(2289.999), dbos_sys.watch_tick(), pg_temp.at(2290), dbos_sys.watch_tick();
-- Sessions of another application would bear the same name: nobody can tell.
UPDATE dbos.workflow_status SET status = 'PENDING', executor_id = 'four', owner_xid = 'new', queue_name = NULL;
SELECT pg_temp.pending('r2', 'four', p_application => 'other');
SELECT executor_id, state FROM dbos_sys.watched('shop') WHERE pending > 0;
DELETE FROM dbos.workflow_status;
-- Any text is a version or an id. Who was never seen is not taken while no session of the version says how they are named.
SELECT pg_temp.pending('r3', 'six', 'x{2}(*+?'), pg_temp.pending('r4', '{version}', 'y');
CALL pg_temp.session('dbos_transact_five_x{2}(*+?');
SELECT pg_temp.at(2400), dbos_sys.watch_tick();
SELECT executor_id, application_version, session_name, state FROM dbos_sys.watched('shop') WHERE pending > 0 ORDER BY 1;
SELECT application_version FROM dbos_sys.watched_versions();
SELECT pg_temp.at(3000), dbos_sys.watch_tick();
SELECT executor_id, state FROM dbos_sys.watched('shop') WHERE pending > 0;
SELECT dbos_sys.watch('shop', session_name => 'dbos_transact_five_{executor}', version_gone => 'upgrade');
DELETE FROM dbos.workflow_status;
SELECT dbos_sys.unwatch('shop'), pg_temp.at(2000);
CALL pg_temp.session('dbos_transact_four_v1');
SELECT count(*) FROM dbos_sys.watch('shop');
UPDATE dbos_ops.ticker SET hold_from = 0, hold_until = 0;

-- A version that nobody runs: listed, and left alone by default.
SELECT pg_temp.at(2001), pg_temp.version('v2');
CALL pg_temp.session('dbos_transact_four_v2');
SELECT dbos_sys.watch_tick();
INSERT INTO dbos.workflow_status (workflow_uuid, status, name, application_version, application_name, queue_name, created_at, recovery_attempts)
SELECT 'q-' || n, CASE n WHEN 3 THEN 'DELAYED' ELSE 'ENQUEUED' END, 'checkout', 'v1', 'shop', 'orders', 1, CASE n WHEN 1 THEN 1 ELSE 0 END FROM generate_series(1, 4) AS n;
INSERT INTO dbos.operation_outputs (workflow_uuid, function_id, function_name) VALUES ('q-2', 0, 'charge');
SELECT * FROM dbos_sys.watched_versions();
SELECT pg_temp.at(2010), dbos_sys.watch_tick(), pg_temp.at(2200), dbos_sys.watch_tick();
SELECT application_version, gone_since - 1800000000000 AS gone, waiting, unstarted FROM dbos_sys.watched_versions('shop');
-- What never began may move, after the grace.
SELECT count(*) FROM dbos_sys.watch('shop', version_gone => 'upgrade_unstarted', version_grace => '200 s');
SELECT pg_temp.at(2205), dbos_sys.watch_tick();
SELECT pg_temp.at(2211), dbos_sys.watch_tick();
SELECT id, status, version FROM pg_temp.rows;
-- Or all of it.
SELECT count(*) FROM dbos_sys.watch('shop', version_gone => 'upgrade');
SELECT pg_temp.at(2220), dbos_sys.watch_tick();
SELECT id, status, version FROM pg_temp.rows;
SELECT * FROM dbos_sys.watched_versions();
-- The latest version's work waits for it, whoever runs.
SELECT pg_temp.at(2300), pg_temp.version('v3');
CALL pg_temp.session('dbos_transact_four_v1');
UPDATE dbos.workflow_status SET application_version = 'v3';
SELECT dbos_sys.watch_tick(), pg_temp.at(9000), dbos_sys.watch_tick();
SELECT application_version, gone_since, waiting FROM dbos_sys.watched_versions();
-- An executor of the version that sends heartbeats keeps it.
UPDATE dbos.workflow_status SET application_version = 'v2';
SELECT state FROM dbos_sys.heartbeat('seven', '1 day', 'shop', NULL, 'v2');
SELECT pg_temp.at(9010), dbos_sys.watch_tick(), pg_temp.at(9100), dbos_sys.watch_tick();
SELECT DISTINCT version FROM pg_temp.rows;

SELECT dbos_sys.unwatch('shop'), dbos_sys.unwatch('shop');
SELECT (SELECT count(*) FROM dbos_ops.watches), (SELECT count(*) FROM dbos_ops.watched_sessions), (SELECT count(*) FROM dbos_ops.watched_versions);
-- NULL stands for workflows that bear no application's name.
DELETE FROM dbos.workflow_status;
SELECT pg_temp.pending('w11', 'one', p_application => NULL);
SELECT executor_id, state, pending FROM dbos_sys.watch(NULL, session_name => 'dbos_transact_{executor}_v1');

-- A session that had another name before is lent by a pooler: who is absent may live, and is not taken until it is watched anew.
DELETE FROM dbos.workflow_status;
SELECT dbos_sys.unwatch(NULL), pg_temp.at(10000), dbos_sys.recover_tick();
UPDATE dbos_ops.ticker SET hold_from = 0, hold_until = 0;
DELETE FROM dbos_ops.executors;
CALL pg_temp.session('dbos_transact_one_v2');
SELECT pg_temp.pending('p1', 'one', 'v2'), pg_temp.pending('p2', 'two', 'v2');
INSERT INTO dbos.workflow_status (workflow_uuid, status, name, application_version, application_name, queue_name, created_at, recovery_attempts)
VALUES ('p3', 'ENQUEUED', 'checkout', 'v1', 'shop', 'orders', 1, 0);
SELECT executor_id, state FROM dbos_sys.watch('shop', version_gone => 'upgrade', version_grace => '1 s') WHERE pending > 0;
SET application_name = 'dbos_transact_two_v2';
SELECT pg_temp.at(10001), dbos_sys.watch_tick();
SELECT executor_id, state, advice FROM dbos_sys.watched('shop') WHERE pending > 0;
SET application_name = 'dbos_transact_one_v2';
SELECT pg_temp.at(10002), dbos_sys.watch_tick(), pg_temp.at(11000), dbos_sys.watch_tick();
SELECT executor_id, state FROM dbos_sys.watched('shop') WHERE pending > 0;
SELECT id, status, version FROM pg_temp.rows;
-- Versions move where heartbeats say which are there.
SELECT state FROM dbos_sys.heartbeat('seven', '1 day', 'shop', NULL, 'v2');
SELECT pg_temp.at(11010), dbos_sys.watch_tick();
SELECT id, status, version FROM pg_temp.rows;
DELETE FROM dbos_ops.executors;
-- watch() again begins anew: who was absent is no deader for it.
SELECT executor_id, state FROM dbos_sys.watch('shop') WHERE pending > 0;
SELECT dbos_sys.watch_tick(), pg_temp.at(11089), dbos_sys.watch_tick();
-- Not told by the ids of processes of before a restart: they repeat.
UPDATE dbos_ops.ticker SET server_start = server_start - interval '1 s';
SET application_name = 'dbos_transact_two_v2';
SELECT pg_temp.at(11090), dbos_sys.watch_tick();
SELECT executor_id, state FROM dbos_sys.watched('shop') WHERE pending > 0;

-- A version whose sessions an operator ended has the time to come back, however short version_grace is.
DELETE FROM dbos.workflow_status;
UPDATE dbos_ops.ticker SET server_start = dbos_sys.server_start();
INSERT INTO dbos.workflow_status (workflow_uuid, status, name, application_version, application_name, queue_name, created_at, recovery_attempts)
VALUES ('p4', 'ENQUEUED', 'checkout', 'v1', 'shop', 'orders', 1, 0);
SELECT dbos_sys.unwatch('shop'), pg_temp.at(12000);
CALL pg_temp.session('dbos_transact_one_v1');
SELECT count(*) FROM dbos_sys.watch('shop', version_gone => 'upgrade', version_grace => '1 s');
SELECT dbos_sys.watch_tick();
CALL pg_temp.session('dbos_transact_one_v3');
UPDATE dbos_ops.watches SET kills = kills - 1;
SELECT pg_temp.at(12006), dbos_sys.watch_tick(), pg_temp.at(12095), dbos_sys.watch_tick();
SELECT version FROM pg_temp.rows;
SELECT pg_temp.at(12101), dbos_sys.watch_tick();
SELECT version FROM pg_temp.rows;

-- Sessions that are named after the executor alone: what each began last tells its version, and the latest counts where nothing does.
DELETE FROM dbos.workflow_status;
DELETE FROM dbos_ops.watched_sessions;
SELECT dbos_sys.unwatch('shop'), pg_temp.at(13000), pg_temp.version('v5');
CALL pg_temp.session('shop-one');
SELECT dbos_sys.watch('shop', session_name => 'shop-{executor}', version_gone => 'upgrade');
SELECT count(*) FROM dbos_sys.watch('shop', session_name => 'shop-{executor}');
INSERT INTO dbos.workflow_status (workflow_uuid, status, name, application_version, application_name, queue_name, executor_id, created_at, recovery_attempts)
SELECT 'u-' || v, 'ENQUEUED', 'checkout', 'v' || v, 'shop', 'orders', 'one', 1800013001000, 0 FROM generate_series(4, 5) AS v;
SELECT * FROM dbos_sys.watched_versions();
-- It runs v4, or did last: then that is here, and the latest is not known to be.
SELECT pg_temp.pending('u-run', 'one', 'v4');
SELECT * FROM dbos_sys.watched_versions();
UPDATE dbos.workflow_status SET status = 'SUCCESS' WHERE workflow_uuid = 'u-run';
SELECT * FROM dbos_sys.watched_versions();
-- An executor of another application says nothing, nor does one that is not connected.
SELECT pg_temp.at(13002), pg_temp.pending('u-other', 'one', 'v5', 'other'), pg_temp.pending('u-gone', 'two', 'v5');
SELECT * FROM dbos_sys.watched_versions();
-- Deployed: the process of the same name has begun something of v5, and what is left of v4 strands. Nobody moves it.
SELECT pg_temp.at(13003), pg_temp.pending('u-new', 'one', 'v5');
SELECT pg_temp.at(13010), dbos_sys.watch_tick(), pg_temp.at(13200), dbos_sys.watch_tick();
SELECT application_version, gone_since - 1800000000000 AS gone, pending, waiting, unstarted FROM dbos_sys.watched_versions();
SELECT version FROM pg_temp.rows WHERE id = 'u-4';
-- Nobody is connected.
CALL pg_temp.session('elsewhere');
SELECT application_version, waiting FROM dbos_sys.watched_versions();

-- Without the tables it is said so.
\set ON_ERROR_ROLLBACK on
BEGIN;
ALTER SCHEMA dbos_ops RENAME TO elsewhere;
SELECT * FROM dbos_sys.watch('shop');
SELECT * FROM dbos_sys.watched();
SELECT * FROM dbos_sys.watched_versions();
SELECT dbos_sys.unwatch('shop');
SELECT dbos_sys.recover('{one}');
SELECT dbos_sys.heartbeat('one');
\echo :LAST_ERROR_SQLSTATE
ROLLBACK;
