-- The ticks: delays, deadlines, dead executors; nobody is declared dead after a gap before everybody had time to come back.
\set SHOW_CONTEXT never
\set ECHO errors
\getenv root PG_ABS_SRCDIR
\set setup :root /sql/include/setup.psql
\i :setup
\set ECHO all

SET client_min_messages = error;
-- The clock at p_s seconds after the start.
CREATE FUNCTION pg_temp.at(p_s numeric) RETURNS void LANGUAGE sql AS $$SELECT set_config('dbos_sys.fake_now', (1800000000000 + p_s * 1000)::bigint::text, false)$$;

-- Delays: due to the millisecond; a debounced run gives its deduplication id free then.
SELECT dbos_sys.enqueue('q', '{w,w,w}', '{[],[],[]}', '{d-1,d-2,d-3}', ARRAY['{"delay_ms": 1000, "deduplication_id": "x"}', '{"delay_ms": 1000, "deduplication_id": "y"}', '{"delay_ms": 1001}']::jsonb[]);
UPDATE dbos.workflow_status SET is_debounced = true WHERE workflow_uuid = 'd-2';
SELECT pg_temp.at(0.999), dbos_sys.delayed_tick();
SELECT pg_temp.at(1), dbos_sys.delayed_tick(), dbos_sys.delayed_tick();
SELECT workflow_uuid, status, deduplication_id FROM dbos.workflow_status ORDER BY 1;
DELETE FROM dbos.workflow_status;

-- Deadlines: of what waits and of what runs, as cancel().
SELECT * FROM pg_temp.trip('[{"id": "running", "new": true, "options": {"timeout_ms": 1000}}, {"id": "later", "new": true, "options": {"timeout_ms": 1001}},
  {"id": "queued", "new": true, "options": {"queue": "q", "deadline_epoch_ms": 1800000002000}}, {"id": "ended", "new": true, "status": "SUCCESS", "options": {"timeout_ms": 10}}]');
SELECT pg_temp.at(1.999), dbos_sys.deadline_tick();
SELECT pg_temp.at(2), dbos_sys.deadline_tick(), dbos_sys.deadline_tick();
SELECT workflow_uuid, status, queue_name, owner_xid FROM dbos.workflow_status ORDER BY 1;
SELECT * FROM dbos_sys.maintain();
-- Batches: 1000 or more ask for another call.
SELECT count(*) FROM dbos_sys.enqueue('q', array_fill('w'::text, '{1500}'), array_fill('[]'::jsonb, '{1500}'), NULL, array_fill('{"delay_ms": 1, "timeout_ms": 5, "deadline_epoch_ms": 1800000003000}'::jsonb, '{1500}'));
SELECT pg_temp.at(3), dbos_sys.delayed_tick(), dbos_sys.delayed_tick(), dbos_sys.delayed_tick();
SELECT dbos_sys.deadline_tick(), dbos_sys.deadline_tick(), dbos_sys.deadline_tick();
TRUNCATE dbos.workflow_status CASCADE;

-- A lease: dead when it is over, not before; the run is put back, and the incarnation has ended.
TRUNCATE dbos_ops.ticker;
SELECT pg_temp.at(0);
SELECT * FROM pg_temp.trip('[{"id": "a", "new": true}]');
SELECT state, maintained FROM dbos_sys.heartbeat('e1', '15 s', 'shop', 'i1');
SELECT dbos_sys.recover_tick();
SET application_name = 'another';
SELECT state, maintained FROM dbos_sys.heartbeat('e1', '15 s', 'shop', 'i1');
RESET application_name;
SELECT sum(dbos_sys.recover_tick()) FROM generate_series(1, 14) AS s, pg_temp.at(s);
SELECT pg_temp.at(14.999), dbos_sys.recover_tick(), pg_temp.at(15), dbos_sys.recover_tick(), dbos_sys.recover_tick();
SELECT status, queue_name, recovery_attempts FROM dbos.workflow_status;
SELECT state, ended_why FROM dbos_sys.executors();
SELECT state FROM dbos_sys.heartbeat('e1', '15 s', 'shop', 'i1');

-- Sessions: suspect when they are gone, dead after the grace, alive again when one comes back in time.
SELECT pg_temp.at(20);
SET application_name = 'dbos_sys/i2';
SELECT now_ms FROM dbos_sys.register_executor('shop', 'e1', 'i2', 'v1', 60000);
SELECT * FROM pg_temp.trip('[{"id": "b", "new": true}]', p_incarnation => 'i2');
SELECT dbos_sys.recover_tick(), sessions, suspect_since FROM dbos_ops.executors;
RESET application_name;
SELECT pg_temp.at(21), dbos_sys.recover_tick();
SELECT state, pending FROM dbos_sys.executors();
SELECT pg_temp.at(22.999), dbos_sys.recover_tick();
SET application_name = 'dbos_sys/i2 and more';
SELECT pg_temp.at(23), dbos_sys.recover_tick();
SELECT state FROM dbos_sys.executors();
RESET application_name;
SELECT pg_temp.at(24), dbos_sys.recover_tick(), pg_temp.at(25.999), dbos_sys.recover_tick();
SELECT pg_temp.at(26), dbos_sys.recover_tick();
SELECT state, ended_why FROM dbos_sys.executors();
SELECT status FROM dbos.workflow_status WHERE workflow_uuid = 'b';

-- A heartbeat of who is suspect is a sign of life: the grace begins anew.
SET application_name = 'dbos_sys/i2b';
SELECT pg_temp.at(30);
SELECT now_ms FROM dbos_sys.register_executor('shop', 'e1', 'i2b', 'v1', 60000);
RESET application_name;
SELECT pg_temp.at(31), dbos_sys.recover_tick(), pg_temp.at(32);
SELECT state FROM dbos_sys.heartbeat('e1', '60 s', 'shop', 'i2b');
SELECT state FROM dbos_sys.executors();
SELECT pg_temp.at(33), dbos_sys.recover_tick(), pg_temp.at(34.999), dbos_sys.recover_tick();
SELECT state FROM dbos_sys.executors();
SELECT pg_temp.at(35), dbos_sys.recover_tick();
SELECT state, ended_why FROM dbos_sys.executors();

-- After a gap in the ticks nobody who was not seen since is dead before lease and reconnect back-off: 15 + 90 s.
SELECT now_ms FROM dbos_sys.register_executor('shop', 'e1', 'i3', 'v1');
SELECT now_ms FROM dbos_sys.register_executor('shop', 'e2', 'j1', 'v1');
SELECT * FROM pg_temp.trip('[{"id": "c", "new": true}]', p_incarnation => 'i3');
SELECT pg_temp.at(100), dbos_sys.recover_tick();
SELECT hold_from - 1800000000000 AS hold_from, hold_until - 1800000000000 AS hold_until FROM dbos_ops.ticker;
SELECT pg_temp.at(101);
SELECT state FROM dbos_sys.heartbeat('e2', '15 s', 'shop', 'j1');
SELECT sum(dbos_sys.recover_tick()) FROM generate_series(105, 200, 5) AS s, pg_temp.at(s);
-- e2 was seen after the gap and has fallen silent: its own lease counts again.
SELECT executor_id, state, ended_at - 1800000000000 AS ended_at FROM dbos_sys.executors() ORDER BY 1;
SELECT pg_temp.at(204.999), dbos_sys.recover_tick(), pg_temp.at(205), dbos_sys.recover_tick();
SELECT executor_id, state FROM dbos_sys.executors() ORDER BY 1;
-- Another server start counts as a gap.
UPDATE dbos_ops.ticker SET server_start = server_start - interval '1 s';
SELECT pg_temp.at(206), dbos_sys.recover_tick();
SELECT hold_from - 1800000000000 AS hold_from, hold_until - 1800000000000 AS hold_until FROM dbos_ops.ticker;
-- Also when nobody had ticked before it: who registers, sends heartbeats or watches notes the server.
BEGIN;
TRUNCATE dbos_ops.ticker;
SELECT state FROM dbos_sys.heartbeat('early', '15 s', 'shop');
SELECT last_tick, server_start = dbos_sys.server_start() AS here FROM dbos_ops.ticker;
UPDATE dbos_ops.ticker SET server_start = server_start - interval '1 s';
SELECT now_ms FROM dbos_sys.register_executor('shop', 'e9', 'i1', 'v1');
SELECT dbos_sys.recover_tick();
SELECT hold_from - 1800000000000 AS hold_from, hold_until - 1800000000000 AS hold_until FROM dbos_ops.ticker;
ROLLBACK;
-- Ticks that come each minute, as pg_cron's, are no gap once that is known; a longer pause is.
BEGIN;
TRUNCATE dbos_ops.ticker;
SELECT pg_temp.at(300), dbos_sys.recover_tick(), pg_temp.at(360), dbos_sys.recover_tick();
SELECT state FROM dbos_sys.heartbeat('cron', '15 s', 'shop');
SELECT hold_from - 1800000000000 AS hold_from, hold_until - 1800000000000 AS hold_until FROM dbos_ops.ticker;
SELECT sum(dbos_sys.recover_tick()) FROM generate_series(420, 600, 60) AS s, pg_temp.at(s);
SELECT hold_from - 1800000000000 AS hold_from FROM dbos_ops.ticker;
SELECT executor_id, state, ended_at - 1800000000000 AS ended_at FROM dbos_sys.executors() WHERE executor_id = 'cron';
-- The server stood still for thirty seconds and a tick comes first: who lives says so before the next one.
SELECT pg_temp.at(625);
SELECT state FROM dbos_sys.heartbeat('cron-1', '15 s', 'shop'), dbos_sys.heartbeat('cron-2', '15 s', 'shop') AS s(same);
SELECT pg_temp.at(660), dbos_sys.recover_tick();
SELECT executor_id, state, ended_at FROM dbos_sys.executors() WHERE executor_id LIKE 'cron-%' ORDER BY 1;
SELECT pg_temp.at(661);
SELECT state FROM dbos_sys.heartbeat('cron-1', '15 s', 'shop');
SELECT pg_temp.at(719);
SELECT state FROM dbos_sys.heartbeat('cron-1', '15 s', 'shop');
SELECT pg_temp.at(720), dbos_sys.recover_tick();
SELECT executor_id, state, ended_why FROM dbos_sys.executors() WHERE executor_id LIKE 'cron-%' ORDER BY 1;
SELECT dbos_sys.is_ticking(1800000839999), dbos_sys.is_ticking(1800000840000);
SELECT pg_temp.at(841), dbos_sys.recover_tick();
SELECT hold_from - 1800000000000 AS hold_from FROM dbos_ops.ticker;
ROLLBACK;
-- They are known as usual beside heartbeats that come all the time too, so that who falls silent is recovered by the next but one.
BEGIN;
TRUNCATE dbos_ops.ticker, dbos_ops.executors;
DO $$ BEGIN
  FOR s IN 300 .. 480 BY 5 LOOP
    PERFORM pg_temp.at(s), dbos_sys.heartbeat('steady', '15 s', 'ts');
    PERFORM dbos_sys.recover_tick() WHERE s % 60 = 0;
  END LOOP;
END $$;
SELECT hold_until, pause_ms, pause_before_ms FROM dbos_ops.ticker;
SELECT dbos_sys.is_ticking(1800000599999), dbos_sys.is_ticking(1800000600000);
SELECT pg_temp.at(540), dbos_sys.recover_tick(), pg_temp.at(600), dbos_sys.recover_tick();
SELECT executor_id, state, ended_at - 1800000000000 AS ended_at FROM dbos_sys.executors();
-- One long pause of who ticks is not usual yet.
TRUNCATE dbos_ops.ticker, dbos_ops.executors;
DO $$ BEGIN
  FOR s IN 600 .. 610 BY 5 LOOP
    PERFORM pg_temp.at(s), dbos_sys.heartbeat('steady', '15 s', 'ts');
    PERFORM dbos_sys.recover_tick() WHERE s <> 605;
  END LOOP;
END $$;
SELECT hold_until FROM dbos_ops.ticker;
SELECT pg_temp.at(626), dbos_sys.recover_tick();
SELECT hold_from - 1800000000000 AS hold_from FROM dbos_ops.ticker;
SELECT executor_id, state FROM dbos_sys.executors();
ROLLBACK;
-- Nor is it a gap when nobody ticked and an executor's heartbeats went on: the client that ticked has died. Its sessions are looked at anew.
BEGIN;
TRUNCATE dbos_ops.ticker, dbos_ops.executors;
SELECT pg_temp.at(1000);
SET application_name = 'dbos_sys/t1';
SELECT now_ms FROM dbos_sys.register_executor('shop', 'ticker', 't1', 'v1');
SELECT dbos_sys.recover_tick();
RESET application_name;
SELECT now_ms FROM dbos_sys.register_executor('shop', 'other', 'o1', 'v1');
SELECT now_ms FROM dbos_sys.register_executor('shop', 'mute', 'm1', 'v1', 5000);
SELECT executor_id, state, sessions FROM dbos_sys.executors() ORDER BY 1;
SELECT pg_temp.at(1005);
SELECT state, maintained FROM dbos_sys.heartbeat('other', '15 s', 'shop', 'o1');
SELECT pg_temp.at(1010);
SELECT state, maintained FROM dbos_sys.heartbeat('other', '15 s', 'shop', 'o1');
SAVEPOINT before_the_tick;
SELECT dbos_sys.recover_tick();
SELECT hold_from, hold_until, pause_ms, pause_before_ms FROM dbos_ops.ticker;
SELECT executor_id, state, ended_why FROM dbos_sys.executors() ORDER BY 1;
SELECT pg_temp.at(1011.999), dbos_sys.recover_tick();
SELECT executor_id, state, ended_why FROM dbos_sys.executors() WHERE executor_id = 'ticker';
SELECT pg_temp.at(1012), dbos_sys.recover_tick();
SELECT executor_id, state, ended_why FROM dbos_sys.executors() WHERE executor_id = 'ticker';
-- Suspected before the gap is not suspected since.
ROLLBACK TO before_the_tick;
UPDATE dbos_ops.executors SET suspect_since = 1800001000000 WHERE executor_id = 'ticker';
SELECT dbos_sys.recover_tick();
SELECT ended_at, suspect_since - 1800000000000 AS suspect_since FROM dbos_ops.executors WHERE executor_id = 'ticker';
-- Heartbeats that paused for more than five seconds prove nothing, at the beginning, in the middle, or at the end.
ROLLBACK TO before_the_tick;
UPDATE dbos_ops.executors SET steady_since = 1800001005001 WHERE executor_id = 'other';
SELECT dbos_sys.recover_tick();
SELECT hold_until - 1800000000000 AS hold_until FROM dbos_ops.ticker;
ROLLBACK TO before_the_tick;
SELECT pg_temp.at(1015.001), dbos_sys.recover_tick();
SELECT hold_until - 1800000000000 AS hold_until FROM dbos_ops.ticker;
ROLLBACK TO before_the_tick;
SELECT pg_temp.at(1015.001);
SELECT state FROM dbos_sys.heartbeat('other', '15 s', 'shop', 'o1');
SELECT dbos_sys.recover_tick();
SELECT hold_until - 1800000000000 AS hold_until FROM dbos_ops.ticker;
ROLLBACK TO before_the_tick;
SELECT now_ms FROM dbos_sys.register_executor('shop', 'other', 'o1', 'v1');
SELECT dbos_sys.recover_tick();
SELECT hold_until - 1800000000000 AS hold_until FROM dbos_ops.ticker;
-- Heartbeats without an incarnation prove the same.
ROLLBACK TO before_the_tick;
DELETE FROM dbos_ops.executors WHERE executor_id = 'other';
DO $$ BEGIN
  FOR s IN 1004 .. 1019 BY 5 LOOP
    PERFORM pg_temp.at(s), dbos_sys.heartbeat('sdk', '15 s', 'ts');
  END LOOP;
END $$;
SELECT dbos_sys.recover_tick();
SELECT hold_from, hold_until FROM dbos_ops.ticker;
-- A server start is one whatever went on, and watched sessions were not looked at.
ROLLBACK TO before_the_tick;
UPDATE dbos_ops.ticker SET server_start = server_start - interval '1 s';
SELECT dbos_sys.recover_tick();
SELECT hold_until - 1800000000000 AS hold_until FROM dbos_ops.ticker;
ROLLBACK TO before_the_tick;
SELECT count(*) FROM dbos_sys.watch('shop', force => true);
SELECT dbos_sys.recover_tick();
SELECT hold_until - 1800000000000 AS hold_until FROM dbos_ops.ticker;
ROLLBACK;
-- So do statistics that began anew: a server that restarts in place after a crash keeps its start time.
SELECT pg_stat_reset_shared('archiver');
SELECT pg_temp.at(207), dbos_sys.recover_tick();
SELECT hold_from - 1800000000000 AS hold_from, hold_until - 1800000000000 AS hold_until FROM dbos_ops.ticker;
-- Executors without an incarnation, of any SDK: the lease alone. It speaks for its own application.
SELECT pg_temp.at(300), dbos_sys.recover_tick();
INSERT INTO dbos.workflow_status (workflow_uuid, status, name, executor_id, application_name, owner_xid, creator_xid)
VALUES ('sdk', 'PENDING', 'w', 'ts-1', 'ts', 'x', 'x'), ('sdk-other', 'PENDING', 'w', 'ts-1', 'py', 'x', 'x'), ('sdk-none', 'PENDING', 'w', 'ts-1', NULL, 'x', 'x'),
  ('sdk-unfenced', 'PENDING', 'w', 'ts-1', 'ts', NULL, NULL);
SELECT pg_temp.at(301);
SELECT state FROM dbos_sys.heartbeat('ts-1', '5 s', 'ts');
SELECT pg_temp.at(305), dbos_sys.recover_tick(), pg_temp.at(306), dbos_sys.recover_tick();
SELECT workflow_uuid, status FROM dbos.workflow_status WHERE workflow_uuid LIKE 'sdk%' ORDER BY 1;
-- What an SDK without fencing runs is taken when that is accepted.
SELECT suspect_since FROM dbos_ops.executors WHERE executor_id = 'ts-1';
SELECT pending FROM dbos_sys.executors() WHERE executor_id = 'ts-1';
BEGIN;
SELECT state FROM dbos_sys.heartbeat('ts-1', '5 s', 'ts', p_accept_unfenced => true);
SELECT pg_temp.at(311), dbos_sys.recover_tick();
SELECT status FROM dbos.workflow_status WHERE workflow_uuid = 'sdk-unfenced';
ROLLBACK;
DELETE FROM dbos.workflow_status WHERE workflow_uuid IN ('sdk-other', 'sdk-unfenced');
SELECT state FROM dbos_sys.heartbeat('ts-1', '5 s');
SELECT pg_temp.at(311), dbos_sys.recover_tick();
SELECT workflow_uuid, status FROM dbos.workflow_status WHERE workflow_uuid LIKE 'sdk%' ORDER BY 1;
SELECT state FROM dbos_sys.heartbeat('ts-1', '5 s', 'ts');
SELECT application_name, state FROM dbos_sys.executors() WHERE executor_id = 'ts-1' ORDER BY 1;
-- Ended executors are forgotten after a week.
SELECT pg_temp.at(300 + 8 * 86400), dbos_sys.recover_tick();
SELECT executor_id FROM dbos_sys.executors();
-- A tick that fails does not keep the others from their work; when all fail, so does the call.
SET client_min_messages = warning;
INSERT INTO dbos.workflow_status (workflow_uuid, status, name, queue_name, delay_until_epoch_ms) VALUES ('due', 'DELAYED', 'w', 'q', 1);
BEGIN;
ALTER TABLE dbos_ops.executors RENAME TO elsewhere;
SELECT * FROM dbos_sys.maintain();
SELECT status FROM dbos.workflow_status WHERE workflow_uuid = 'due';
ALTER TABLE dbos_ops.watches RENAME TO elsewhere_too;
ALTER TABLE dbos_ops.retention_policies RENAME TO elsewhere_also;
ALTER TABLE dbos_ops.schedules RENAME TO elsewhere_as_well;
ALTER TABLE dbos.workflow_status RENAME TO elsewhere;
SELECT * FROM dbos_sys.maintain();
ROLLBACK;
\echo :LAST_ERROR_SQLSTATE
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT * FROM dbos_sys.maintain();
ROLLBACK;
-- Under an older snapshot a tick could miss what was committed since.
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT dbos_sys.recover_tick();
ROLLBACK;
\echo :LAST_ERROR_SQLSTATE
