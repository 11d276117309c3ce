-- Rest: what becomes due by itself, until when the background worker sleeps, and that its sleep is no gap in the ticks.
\set SHOW_CONTEXT never
\set ECHO errors
\getenv root PG_ABS_SRCDIR
\set setup :root /sql/include/setup.psql
\i :setup
\set ECHO all

SET client_min_messages = error;
-- The clock at p_s seconds after the start.
CREATE FUNCTION pg_temp.at(p_s numeric) RETURNS void LANGUAGE sql AS $$SELECT set_config('dbos_sys.fake_now', (1800000000000 + p_s * 1000)::bigint::text, false)$$;
CREATE FUNCTION pg_temp.ticker() RETURNS TABLE (last bigint, next bigint, hold_from bigint, held_until bigint) LANGUAGE sql AS $$
  SELECT t.last_tick - 1800000000000, t.next_tick - 1800000000000, CASE WHEN t.hold_from > 0 THEN t.hold_from - 1800000000000 END,
    CASE WHEN t.hold_until > 0 THEN t.hold_until - 1800000000000 END FROM dbos_ops.ticker AS t$$;

-- Sessions of an executor end without a word: it is looked at each tick_interval, while it lives and while it has left something.
SELECT dbos_sys.idle_ms();
UPDATE dbos_ops.executors SET ended_at = 1, suspect_since = 1;
SELECT dbos_sys.idle_ms();
UPDATE dbos_ops.executors SET suspect_since = NULL;
-- Nothing known: NULL.
SELECT dbos_sys.idle_ms();

-- Delays and deadlines of what has not ended, whoever wrote them; the nearest counts.
INSERT INTO dbos.workflow_status (workflow_uuid, status, name, queue_name, delay_until_epoch_ms, workflow_deadline_epoch_ms) VALUES
  ('ended', 'SUCCESS', 'w', 'q', 1800000000001, 1800000000001), ('never', 'DELAYED', 'w', 'q', NULL, NULL), ('waits', 'ENQUEUED', 'w', 'q', NULL, NULL);
SELECT dbos_sys.idle_ms();
INSERT INTO dbos.workflow_status (workflow_uuid, status, name, queue_name, workflow_deadline_epoch_ms) VALUES ('runs', 'PENDING', 'w', 'q', 1800000090000);
SELECT dbos_sys.idle_ms();
INSERT INTO dbos.workflow_status (workflow_uuid, status, name, queue_name, delay_until_epoch_ms) VALUES ('soon', 'DELAYED', 'w', 'q', 1800000004500);
SELECT dbos_sys.idle_ms(), pg_temp.at(4), dbos_sys.idle_ms(), pg_temp.at(4.5), dbos_sys.idle_ms();
-- Late by more than an interval: the tick had to leave it. It is tried again like anything else.
SELECT pg_temp.at(5.499), dbos_sys.idle_ms(), pg_temp.at(5.5), dbos_sys.idle_ms();
SELECT dbos_sys.delayed_tick(), dbos_sys.idle_ms();
DELETE FROM dbos.workflow_status WHERE workflow_uuid = 'runs';

-- A pause that somebody wrote over, until it holds again; one that holds is no reason to look.
SELECT dbos_sys.register_queue('held', '{"concurrency": 3}'), dbos_sys.pause_queue('held');
SELECT dbos_sys.idle_ms();
UPDATE dbos.queues SET concurrency = 5 WHERE name = 'held';
SELECT dbos_sys.idle_ms();
SELECT dbos_sys.delayed_tick(), dbos_sys.idle_ms();
SELECT dbos_sys.resume_queue('held');

-- A watch looks at sessions.
BEGIN;
INSERT INTO dbos_ops.watches (application_name, session_name, grace_ms, accept_unfenced, version_gone, version_grace_ms, since, kills)
VALUES ('ts', 'ts_{executor}', 1000, false, 'wait', 1000, 1, 0);
SELECT dbos_sys.idle_ms();
ROLLBACK;

-- The worker's rest: a minute at most, noted in the ticker, and over with the next tick. A rest of one interval is none.
TRUNCATE dbos_ops.ticker;
SELECT pg_temp.at(100), dbos_sys.recover_tick(), dbos_sys.rest_tick();
SELECT * FROM pg_temp.ticker();
SELECT pg_temp.at(101), dbos_sys.recover_tick();
INSERT INTO dbos.workflow_status (workflow_uuid, status, name, queue_name, delay_until_epoch_ms) VALUES ('next', 'DELAYED', 'w', 'q', 1800000101900);
SELECT dbos_sys.rest_tick();
SELECT * FROM pg_temp.ticker();
UPDATE dbos.workflow_status SET delay_until_epoch_ms = 1800000125000 WHERE workflow_uuid = 'next';
SELECT dbos_sys.rest_tick();
SELECT * FROM pg_temp.ticker();

-- It is no gap in the ticks, and who comes meanwhile is told that the database is maintained.
SELECT pg_temp.at(120), dbos_sys.is_maintained(dbos_sys.now_ms());
SELECT maintained FROM dbos_sys.register_executor('shop', 'e2', 'i2', 'v1');
SELECT pg_temp.at(120.1), dbos_sys.recover_tick();
SELECT * FROM pg_temp.ticker();
-- A rest that was slept too long is one: the machine stood still.
SELECT dbos_sys.retire_executor('shop', 'e2', 'i2');
SELECT pg_temp.at(121), dbos_sys.rest_tick();
DELETE FROM dbos.workflow_status;
SELECT pg_temp.at(130.001), dbos_sys.is_maintained(dbos_sys.now_ms()), dbos_sys.recover_tick();
SELECT * FROM pg_temp.ticker();
-- So is the time from when an executor registered, sent its first heartbeat, or a watch began: the worker was woken then, and did not come. Unless
-- heartbeats went on: then only the worker stood still.
CREATE FUNCTION pg_temp.comes(p_what text) RETURNS TABLE (what text, at_once boolean, later boolean, gap boolean) LANGUAGE plpgsql AS $$
BEGIN
  DELETE FROM dbos_ops.executors;
  DELETE FROM dbos_ops.watches;
  TRUNCATE dbos_ops.ticker;
  IF p_what = 'heartbeat' THEN
    INSERT INTO dbos_ops.executors (application_name, executor_id, incarnation, lease_ms, started_at, last_seen, ended_at) VALUES ('shop', 'sdk', '', 15000, 1, 1, 2);
  END IF;
  PERFORM pg_temp.at(200), dbos_sys.recover_tick(), dbos_sys.rest_tick(), pg_temp.at(210);
  CASE p_what
    WHEN 'silent executor', 'executor' THEN PERFORM dbos_sys.register_executor('shop', 'e3', 'i3', 'v1');
    WHEN 'heartbeat' THEN PERFORM dbos_sys.heartbeat('sdk', '15 s', 'shop');
    WHEN 'watch' THEN PERFORM dbos_sys.watch(NULL, force => true);
    ELSE NULL;
  END CASE;
  at_once := dbos_sys.is_maintained(dbos_sys.now_ms());
  PERFORM pg_temp.at(212);
  IF p_what = 'executor' THEN
    PERFORM dbos_sys.heartbeat('e3', '15 s', 'shop', 'i3');
  END IF;
  PERFORM pg_temp.at(215.001);
  later := dbos_sys.is_maintained(dbos_sys.now_ms());
  PERFORM dbos_sys.recover_tick();
  RETURN QUERY SELECT p_what, at_once, later, t.hold_from IS NOT NULL FROM pg_temp.ticker() AS t;
END $$;
SELECT c.* FROM (VALUES ('nobody'), ('silent executor'), ('executor'), ('heartbeat'), ('watch')) AS w(what), pg_temp.comes(w.what) AS c;
DELETE FROM dbos_ops.watches;
DELETE FROM dbos_ops.executors;
-- Another server knows nothing of the rest.
SELECT pg_temp.at(300), dbos_sys.recover_tick(), dbos_sys.rest_tick();
UPDATE dbos_ops.ticker SET server_start = server_start - interval '1 s';
SELECT pg_temp.at(305), dbos_sys.is_maintained(dbos_sys.now_ms()), dbos_sys.recover_tick();
SELECT * FROM pg_temp.ticker();
-- pg_cron and clients tick on, rest or not.
SELECT pg_temp.at(306), dbos_sys.rest_tick();
SELECT pg_temp.at(307);
SELECT count(*) FROM dbos_sys.maintain();
SELECT * FROM pg_temp.ticker();

-- Who ticks because nobody else does is not told that somebody does: it would stop, and leave a gap. Others are told, and so is it once
-- another ticks too, or the worker rests.
UPDATE dbos_ops.ticker SET hold_from = 0, hold_until = 0;
SELECT maintained FROM dbos_sys.register_executor('shop', 'e4', 'i4', 'v1');
SET application_name = 'dbos_sys/i4';
SELECT count(*) FROM dbos_sys.maintain();
SELECT pg_temp.at(309), state, maintained FROM dbos_sys.beat('shop', 'e4', 'i4', 'v1', 15000);
SET application_name = 'dbos_sys/i5';
SELECT state, maintained FROM dbos_sys.beat('shop', 'e4', 'i4', 'v1', 15000);
SELECT count(*) FROM dbos_sys.maintain();
SET application_name = 'dbos_sys/i4';
SELECT state, maintained FROM dbos_sys.beat('shop', 'e4', 'i4', 'v1', 15000);
