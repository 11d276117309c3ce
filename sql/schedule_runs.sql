-- Firing: what schedule_tick() enqueues, and what it leaves to whom.
\set SHOW_CONTEXT never
\set ECHO errors
\getenv root PG_ABS_SRCDIR
\set setup :root /sql/include/setup.psql
\i :setup
SET TIME ZONE 'UTC';
CREATE FUNCTION pg_temp.clock(p_time timestamptz) RETURNS text LANGUAGE sql AS $$SELECT set_config('dbos_sys.fake_now', (EXTRACT(epoch FROM p_time) * 1000)::bigint::text, false)$$;
CREATE VIEW pg_temp.runs AS SELECT workflow_uuid, status, name, queue_name, application_name, application_version, w.serialization, i.inputs FROM dbos.workflow_status AS w
  JOIN dbos.workflow_input AS i USING (workflow_uuid) ORDER BY 1;
CREATE VIEW pg_temp.plan AS SELECT s.schedule_name, s.last_fired_at, to_timestamp(o.next_at / 1000) AS next_at, o.backfilled, to_timestamp(o.backfill_from / 1000) AS backfill_from
  FROM dbos.workflow_schedules AS s LEFT JOIN dbos_ops.schedules AS o USING (schedule_name) ORDER BY 1;
SET client_min_messages = warning;
\set ECHO all

SELECT dbos_sys.create_schedule('minute', 'ping', '* * * * *', '{"context": {"k": 1}, "application_name": "shop"}');
SELECT dbos_sys.schedule_due();
-- New: the next time from now on; nothing is due yet.
SELECT dbos_sys.schedule_tick();
SELECT * FROM pg_temp.plan;
SELECT dbos_sys.schedule_due();
-- Due: it waits in its queue for whoever runs the newest version; once more changes nothing.
SELECT pg_temp.clock('2027-01-15 08:01:00.250') \gset
SELECT dbos_sys.schedule_tick();
SELECT dbos_sys.schedule_tick();
SELECT * FROM pg_temp.runs;
SELECT * FROM pg_temp.plan;
-- An executor of an SDK was first: its row stays as it is.
INSERT INTO dbos.workflow_status (workflow_uuid, status, name, executor_id) VALUES ('sched-minute-2027-01-15T08:02:00.000Z', 'SUCCESS', 'ping', 'theirs');
SELECT pg_temp.clock('2027-01-15 08:02:00') \gset
SELECT dbos_sys.schedule_tick();
SELECT workflow_uuid, status, executor_id FROM dbos.workflow_status WHERE workflow_uuid LIKE '%08:02%';
SELECT count(*) FROM dbos.workflow_input WHERE workflow_uuid LIKE '%08:02%';
-- It told a later time than ours: that stays.
UPDATE dbos.workflow_schedules SET last_fired_at = '2027-01-15T08:04:00.000Z';
SELECT pg_temp.clock('2027-01-15 08:03:01') \gset
SELECT dbos_sys.schedule_tick();
SELECT * FROM pg_temp.plan;

-- Down for an hour: what is due for longer than a minute stays out.
SELECT pg_temp.clock('2027-01-15 09:03:30') \gset
SELECT dbos_sys.schedule_tick();
SELECT workflow_uuid FROM dbos.workflow_status WHERE created_at = 1800000000000 + 3810000 ORDER BY 1;
SELECT * FROM pg_temp.plan;
-- With automatic_backfill all of it comes, from the last firing on, whoever it was that fired.
SELECT dbos_sys.alter_schedule('minute', '{"automatic_backfill": true}');
SELECT dbos_sys.schedule_tick();
UPDATE dbos.workflow_schedules SET last_fired_at = '2027-01-15T09:10:00.000Z';
SELECT pg_temp.clock('2027-01-15 09:20:30') \gset
SELECT dbos_sys.schedule_tick();
SELECT min(workflow_uuid), max(workflow_uuid), count(*) FROM dbos.workflow_status WHERE created_at = 1800000000000 + 4830000;
-- Paused: nothing; what was left out comes when it goes on, for it has a backfill.
SELECT dbos_sys.pause_schedule('minute');
SELECT pg_temp.clock('2027-01-15 09:25:30') \gset
SELECT dbos_sys.schedule_tick();
SELECT dbos_sys.schedule_due();
SELECT dbos_sys.resume_schedule('minute');
SELECT dbos_sys.schedule_tick();
-- Without one, it goes on with the next time.
SELECT dbos_sys.alter_schedule('minute', '{"automatic_backfill": false}');
SELECT dbos_sys.pause_schedule('minute');
SELECT dbos_sys.schedule_tick();
SELECT pg_temp.clock('2027-01-15 09:26:30') \gset
SELECT dbos_sys.resume_schedule('minute');
SELECT dbos_sys.schedule_tick();
SELECT next_at FROM pg_temp.plan;
-- Changed: from now on by the new text. Dropped: forgotten.
SELECT dbos_sys.alter_schedule('minute', '{"cron": "30 * * * *"}');
SELECT dbos_sys.schedule_tick();
SELECT next_at FROM pg_temp.plan;
SELECT dbos_sys.drop_schedule('minute');
SELECT dbos_sys.schedule_tick();
SELECT count(*) FROM dbos_ops.schedules;
SELECT dbos_sys.schedule_due();

-- A backfill goes in parts of 1,000 and ends after 10,000, which a warning tells; then it goes on with the present.
SELECT dbos_sys.create_schedule('second', 'ping', '* * * * * *', '{"automatic_backfill": true}');
UPDATE dbos.workflow_schedules SET last_fired_at = '2017-01-01T00:00:00.000Z';
SELECT dbos_sys.schedule_tick() AS fired FROM generate_series(1, 10);
SELECT dbos_sys.schedule_tick();
SELECT count(*), min(workflow_uuid), max(workflow_uuid) FROM dbos.workflow_status WHERE schedule_name = 'second';
SELECT next_at, backfilled, backfill_from FROM pg_temp.plan;
SELECT dbos_sys.drop_schedule('second');

-- Ticks may be five minutes apart: what became due between two of them was not missed. maintain() each 80 s, and each five minutes.
TRUNCATE dbos.workflow_status, dbos.workflow_input CASCADE;
TRUNCATE dbos_ops.ticker;
CREATE FUNCTION pg_temp.maintain_at(p_time text) RETURNS integer LANGUAGE plpgsql AS $$BEGIN
  PERFORM pg_temp.clock(('2027-01-15 ' || p_time)::timestamptz);
  RETURN (SELECT m.rows FROM dbos_sys.maintain() AS m WHERE m.tick = 'schedule');
END$$;
SELECT pg_temp.clock('2027-01-15 09:30:30') \gset
SELECT FROM dbos_sys.create_schedule('slow', 'ping', '* * * * *');
SELECT count(*), sum(m.rows) FROM generate_series(0, 40) AS n, pg_temp.maintain_at((time '09:30:30' + n * interval '80 s')::text) AS m(rows);
SELECT count(*), min(workflow_uuid), max(workflow_uuid) FROM dbos.workflow_status;
SELECT dbos_sys.alter_schedule('slow', '{"cron": "2,17,32,47 * * * *"}');
SELECT count(*), sum(m.rows) FROM generate_series(0, 12) AS n, pg_temp.maintain_at((time '10:25:00' + n * interval '302 s')::text) AS m(rows);
SELECT right(workflow_uuid, 24) AS time, to_timestamp(created_at / 1000) AS enqueued FROM dbos.workflow_status WHERE created_at > 1800000000000 + 8700000 ORDER BY 1;
-- Nor when they come as they like, within that, or after others.
SELECT dbos_sys.alter_schedule('slow', '{"cron": "* * * * *"}');
TRUNCATE dbos.workflow_status, dbos.workflow_input CASCADE;
SELECT t.at, pg_temp.maintain_at(t.at) FROM unnest('{11:26:00,11:26:01,11:30:30,11:30:31,11:36:31}'::text[]) AS t(at);
SELECT count(*), min(workflow_uuid), max(workflow_uuid) FROM dbos.workflow_status;
-- Who held the schedule's row at one tick does not make its times missed at the next.
BEGIN;
UPDATE dbos_ops.schedules SET next_at = (EXTRACT(epoch FROM timestamptz '2027-01-15 11:35:00') * 1000)::bigint;
DELETE FROM dbos.workflow_status WHERE workflow_uuid >= 'sched-slow-2027-01-15T11:35';
SELECT pg_temp.maintain_at('11:41:31');
ROLLBACK;
-- A run of an SDK that has ended is not pruned before the tick has passed its time.
SELECT FROM dbos_sys.retain('1 s', workflow => 'ping', force => true);
INSERT INTO dbos.workflow_status (workflow_uuid, status, name, schedule_name, created_at, updated_at, completed_at)
SELECT 'sched-slow-2027-01-15T11:37:00.000Z', 'SUCCESS', 'ping', 'slow', t.at, t.at, t.at FROM (SELECT 1800000000000 + 13020100) AS t(at);
-- One batch after the other, from the start of the policy.
CREATE FUNCTION pg_temp.prune() RETURNS bigint LANGUAGE sql AS $$
  SELECT t.workflows FROM dbos_sys.prune_scan((SELECT id FROM dbos_ops.retention_policies), 0, '', dbos_sys.now_ms() - 1000, 5000, 5000) AS s,
  LATERAL dbos_sys.prune_take(s.ids, false, false, dbos_sys.now_ms() - 1000, dbos_sys.now_ms()) AS t
$$;
SELECT pg_temp.clock('2027-01-15 11:41:00') \gset
SELECT pg_temp.prune();
SELECT dbos_sys.recover_tick(), dbos_sys.schedule_tick();
SELECT workflow_uuid, status FROM dbos.workflow_status WHERE workflow_uuid > 'sched-slow-2027-01-15T11:36:30' ORDER BY 1;
SELECT pg_temp.prune();
SELECT FROM dbos_sys.drop_retention(workflow => 'ping');
-- A longer pause is a downtime: what is due for a minute stays out.
SELECT pg_temp.maintain_at('11:47:01');
-- So is one that is not usual and in which the server started. A start within a usual pause, as of pg_cron's each five minutes, has made no tick late.
SELECT pg_temp.maintain_at('11:47:02'), pg_temp.maintain_at('11:47:03'), pg_temp.maintain_at('11:47:04');
UPDATE dbos_ops.ticker SET server_start = server_start - interval '1 s';
SELECT pg_temp.maintain_at('11:51:30');
SELECT pg_temp.maintain_at('11:56:30'), pg_temp.maintain_at('12:01:30');
UPDATE dbos_ops.ticker SET server_start = server_start - interval '1 s';
SELECT pg_temp.maintain_at('12:06:30');
-- Who calls schedule_tick() alone is not known to come again: a minute.
TRUNCATE dbos_ops.ticker;
SELECT pg_temp.clock('2027-01-15 12:09:30') \gset
SELECT dbos_sys.schedule_tick();
SELECT dbos_sys.drop_schedule('slow');
TRUNCATE dbos.workflow_status, dbos.workflow_input CASCADE;

-- What SDKs made. TypeScript: fired with its inputs. Another form, another SDK's ids, a zone that only the process knows, a text that none
-- reads: left alone, and one of them stops no other.
SELECT pg_temp.clock('2027-01-15 10:00:00') \gset
INSERT INTO dbos.workflow_schedules (schedule_id, schedule_name, workflow_name, workflow_class_name, schedule, context, cron_timezone, last_fired_at)
SELECT r.name, r.name, 'w', '', r.cron, r.context, r.zone, r.fired FROM (VALUES
  ('a-broken', '99 * * * *', '{"json":1,"__dbos_serializer":"superjson"}', 'UTC', NULL),
  ('b-offset', '0 5 * * *', '{"json":1,"__dbos_serializer":"superjson"}', '+05:00', NULL),
  ('b-zone', '* * * * *', '{"json":1,"__dbos_serializer":"superjson"}', 'Mars/Olympus', NULL),
  ('c-never', '0 0 29 2 1#1', '{"json":1,"__dbos_serializer":"superjson"}', 'UTC', NULL),
  ('d-pickled', '* * * * *', 'gASVCgAAAAAAAAB9lIwBYZRLAXMu', 'UTC', NULL),
  ('e-json', '* * * * *', '{"a": 1}', 'UTC', NULL),
  ('f-no-zone', '1 * * * *', '{"json":1,"__dbos_serializer":"superjson"}', NULL, NULL),
  ('g-other-zone', '0,1 10 * * *', '{"json":1,"__dbos_serializer":"superjson"}', NULL, '2027-01-15T09:00:00.000Z'),
  ('h-fired', '0,1 10 * * *', '{"json":1,"__dbos_serializer":"superjson"}', NULL, '2027-01-14T10:00:00.000Z'),
  ('i-any-zone', '* * * * *', '{"json":{"d":"2026-01-01T00:00:00.000Z"},"meta":{"values":{"d":["Date"]}},"__dbos_serializer":"superjson"}', NULL, NULL),
  ('j-fired', '* * * * *', '{"json":1,"__dbos_serializer":"superjson"}', 'UTC', 'yesterday noon')) AS r(name, cron, context, zone, fired);
SELECT dbos_sys.schedule_tick();
SELECT name, server, obstacle, next_at FROM dbos_sys.schedules();
SELECT pg_temp.clock('2027-01-15 10:01:00') \gset
TRUNCATE dbos.workflow_status, dbos.workflow_input CASCADE;
SELECT dbos_sys.schedule_tick();
SELECT * FROM pg_temp.runs;
-- Told to, it fires the others too; told not to, it leaves them.
SELECT dbos_sys.alter_schedule('e-json', '{"server": true}');
SELECT dbos_sys.alter_schedule('f-no-zone', '{"time_zone": "Asia/Kolkata"}');
SELECT dbos_sys.alter_schedule('i-any-zone', '{"server": false}');
SELECT dbos_sys.schedule_tick();
SELECT name, server, obstacle, next_at FROM dbos_sys.schedules() WHERE name IN ('e-json', 'f-no-zone', 'i-any-zone');
SELECT pg_temp.clock('2027-01-15 10:02:00') \gset
TRUNCATE dbos.workflow_status, dbos.workflow_input CASCADE;
SELECT dbos_sys.schedule_tick();
SELECT workflow_uuid, inputs FROM pg_temp.runs;
-- A firing at a time of UTC does not tell that the zone is UTC: New York's are the same until its clock changes. So it is left alone, also where the server is told
-- to fire it, and one that was made here and that the SDK has made anew without a zone.
DELETE FROM dbos.workflow_schedules;
TRUNCATE dbos.workflow_status, dbos.workflow_input CASCADE;
SELECT pg_temp.clock('2026-11-01 05:00:00') \gset
SELECT FROM dbos_sys.create_schedule('c-again', 'w', '0 */4 * * *', '{"format": "typescript", "time_zone": "America/New_York"}');
INSERT INTO dbos.workflow_schedules (schedule_id, schedule_name, workflow_name, schedule, context, last_fired_at)
SELECT r.name, r.name, 'w', '0 */4 * * *', '{"json":1,"__dbos_serializer":"superjson"}', '2026-11-01T04:00:00.000Z' FROM (VALUES ('a-left'), ('b-told')) AS r(name);
SELECT dbos_sys.alter_schedule('b-told', '{"server": true}');
UPDATE dbos.workflow_schedules SET cron_timezone = NULL WHERE schedule_name = 'c-again';
SELECT dbos_sys.schedule_tick();
SELECT name, next_at, obstacle FROM dbos_sys.schedules();
SELECT dbos_sys.schedule_tick() FROM pg_temp.clock('2026-11-01 08:00:00');
-- With its zone it fires when the SDK does.
SELECT dbos_sys.alter_schedule('a-left', '{"time_zone": "America/New_York"}');
SELECT dbos_sys.schedule_tick();
SELECT pg_temp.clock('2026-11-01 09:00:00') \gset
SELECT dbos_sys.schedule_tick();
SELECT workflow_uuid FROM pg_temp.runs;

-- A time has one run, however soon what ended is pruned and however late another comes to that time: an SDK fired and its run is over, ticks come
-- nearly a minute late; the server fired and its run is over, an SDK comes to the time again.
DELETE FROM dbos.workflow_schedules;
TRUNCATE dbos.workflow_status, dbos.workflow_input CASCADE;
SELECT FROM dbos_sys.retain('1 s', workflow => 'ping', force => true);
CREATE FUNCTION pg_temp.their_run(p_time timestamptz) RETURNS TABLE (new_run text) LANGUAGE sql AS $$
  INSERT INTO dbos.workflow_status (workflow_uuid, status, name, schedule_name, created_at, updated_at)
  VALUES ('sched-soon-' || dbos_sys.iso_time((EXTRACT(epoch FROM p_time) * 1000)::bigint), 'ENQUEUED', 'ping', 'soon', dbos_sys.now_ms(), dbos_sys.now_ms())
  ON CONFLICT DO NOTHING RETURNING workflow_uuid
$$;
CREATE FUNCTION pg_temp.run_all() RETURNS void LANGUAGE sql AS
$$UPDATE dbos.workflow_status SET status = 'SUCCESS', completed_at = dbos_sys.now_ms(), updated_at = dbos_sys.now_ms() WHERE status = 'ENQUEUED'$$;
SELECT pg_temp.clock('2027-01-15 11:00:30') \gset
SELECT FROM dbos_sys.create_schedule('soon', 'ping', '* * * * *');
SELECT dbos_sys.schedule_tick();
SELECT pg_temp.clock('2027-01-15 11:01:00') \gset
SELECT * FROM pg_temp.their_run('2027-01-15 11:01:00');
SELECT pg_temp.run_all(), pg_temp.clock('2027-01-15 11:01:55') \gset
SELECT pg_temp.prune();
SELECT dbos_sys.schedule_tick();
SELECT workflow_uuid, status FROM dbos.workflow_status ORDER BY 1;
SELECT pg_temp.clock('2027-01-15 11:02:00') \gset
SELECT dbos_sys.schedule_tick();
SELECT pg_temp.run_all(), pg_temp.clock('2027-01-15 11:03:59') \gset
SELECT pg_temp.prune();
SELECT * FROM pg_temp.their_run('2027-01-15 11:02:00');
-- Three minutes after it was enqueued a run goes as others do; a preview says the same.
SELECT pg_temp.clock('2027-01-15 11:04:59.999') \gset
SELECT item_count FROM dbos_sys.prune(dry_run => true) WHERE workflow = 'ping';
SELECT pg_temp.prune();
SELECT workflow_uuid, status FROM dbos.workflow_status ORDER BY 1;
SELECT pg_temp.clock('2027-01-15 11:05:00') \gset
SELECT pg_temp.prune();
SELECT count(*) FROM dbos.workflow_status;
-- With automatic_backfill it also waits until the row of the schedule tells of its time: an SDK that ended between the two, and no tick for an hour.
SELECT dbos_sys.alter_schedule('soon', '{"automatic_backfill": true}');
SELECT dbos_sys.schedule_tick();
SELECT pg_temp.run_all() \gset
SELECT last_fired_at FROM dbos.workflow_schedules;
SELECT pg_temp.clock('2027-01-15 11:06:00') \gset
SELECT * FROM pg_temp.their_run('2027-01-15 11:06:00');
SELECT pg_temp.run_all(), pg_temp.clock('2027-01-15 12:00:30') \gset
SELECT pg_temp.prune();
SELECT workflow_uuid, status FROM dbos.workflow_status ORDER BY 1;
SELECT dbos_sys.schedule_tick();
SELECT count(*), min(workflow_uuid), max(workflow_uuid) FROM dbos.workflow_status WHERE status = 'ENQUEUED';
SELECT pg_temp.prune();
SELECT count(*) FROM dbos.workflow_status WHERE status = 'SUCCESS';
