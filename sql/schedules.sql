-- Schedules: made, changed, paused, triggered and filled in by hand; what is refused.
\set SHOW_CONTEXT never
\set ECHO errors
\getenv root PG_ABS_SRCDIR
\set setup :root /sql/include/setup.psql
\i :setup
SET TIME ZONE 'UTC';
\set ECHO all

SELECT dbos_sys.create_schedule('nightly', 'report', '30 2 * * *', '{"time_zone": "europe/paris", "context": {"to": ["a", "b"]}, "application_name": "shop"}');
SELECT dbos_sys.create_schedule('often', 'ping', '*/10 * * * * *', '{"automatic_backfill": true, "queue": "pings", "class_name": "Pinger"}');
SELECT dbos_sys.create_schedule('typed', 'report', '0 * * * *', '{"format": "typescript", "context": [1], "server": false}');
SELECT name, workflow, class_name, cron, time_zone, status, queue, application_name, automatic_backfill, format, next_at, server, obstacle FROM dbos_sys.schedules();
SELECT name FROM dbos_sys.schedules('mail');
-- The rows are those of the SDK: an empty class name, a zone that everybody understands, the context as it reads it.
SELECT schedule_name, workflow_class_name, context, cron_timezone, last_fired_at, schedule_id ~ '^[0-9a-f-]{36}$' AS id FROM dbos.workflow_schedules ORDER BY 1;

-- Applied again: a pause, the last firing, the id and the context stay; what else is not named is as new. Altered: only what is named.
UPDATE dbos.workflow_schedules SET last_fired_at = '2027-01-15T07:00:00.000Z', schedule_id = 'first' WHERE schedule_name = 'nightly';
SELECT dbos_sys.pause_schedule('nightly');
SELECT dbos_sys.apply_schedule('nightly', 'report2', '0 3 * * *', '{"application_name": "shop"}');
SELECT schedule_id, workflow_name, schedule, status, context, cron_timezone, last_fired_at FROM dbos.workflow_schedules WHERE schedule_name = 'nightly';
SELECT dbos_sys.apply_schedule('new', 'report', '0 3 * * *');
SELECT dbos_sys.alter_schedule('nightly', '{"cron": "0 4 * * *", "context": 7}');
SELECT dbos_sys.alter_schedule('nightly', '{"time_zone": "Asia/Tokyo", "automatic_backfill": true}');
SELECT dbos_sys.alter_schedule('often', '{"queue": null, "class_name": null}');
SELECT schedule_name, workflow_name, workflow_class_name, schedule, status, context, cron_timezone, queue_name, automatic_backfill FROM dbos.workflow_schedules ORDER BY 1;
SELECT name, status, next_at FROM dbos_sys.schedules() WHERE name = 'nightly';
SELECT dbos_sys.resume_schedule('nightly');
SELECT name, status, next_at FROM dbos_sys.schedules() WHERE name = 'nightly';
SELECT dbos_sys.drop_schedule('new');

-- Triggered: one run now, also of a paused one; two in a millisecond are two.
SELECT dbos_sys.pause_schedule('nightly');
SELECT dbos_sys.trigger_schedule('nightly') FROM generate_series(1, 2);
SELECT dbos_sys.trigger_schedule('typed');
SELECT dbos_sys.alter_schedule('nightly', '{"server": false}');
SELECT dbos_sys.trigger_schedule('nightly');
SELECT w.workflow_uuid, w.status, w.name, w.class_name, w.queue_name, w.application_name, w.application_version, w.schedule_name, w.serialization, i.inputs
FROM dbos.workflow_status AS w JOIN dbos.workflow_input AS i USING (workflow_uuid) ORDER BY 1;

-- Filled in: both ends are outside; the same again finds all of them. A long range goes in parts.
SELECT * FROM dbos_sys.backfill_schedule('often', '2027-01-15 07:00:00', '2027-01-15 07:01:00');
SELECT * FROM dbos_sys.backfill_schedule('often', '2027-01-15 07:00:00', '2027-01-15 07:01:10');
SELECT workflow_uuid, inputs FROM dbos.workflow_input WHERE workflow_uuid LIKE 'sched-often-%' ORDER BY 1;
SELECT * FROM dbos_sys.backfill_schedule('often', '2027-01-15 07:00:00', '2027-01-15 07:00:00');
SELECT dbos_sys.alter_schedule('often', '{"cron": "* * * * * *"}');
SELECT * FROM dbos_sys.backfill_schedule('often', '2017-01-01', '2027-01-01', 500);
SELECT * FROM dbos_sys.backfill_schedule('often', '2017-01-01 00:08:20', '2027-01-01', 500);
-- Twice in the hour that is repeated, not in the one that is skipped.
SELECT dbos_sys.create_schedule('paris', 'report', '30 2 * * *', '{"time_zone": "Europe/Paris"}');
SELECT * FROM dbos_sys.backfill_schedule('paris', '2026-03-28 12:00', '2026-03-30 12:00');
SELECT * FROM dbos_sys.backfill_schedule('paris', '2026-10-24 12:00', '2026-10-25 12:00');
SELECT workflow_uuid FROM dbos.workflow_status WHERE schedule_name = 'paris' ORDER BY 1;

-- Inputs for the TypeScript SDK are byte by byte those that it writes itself.
SELECT dbos_sys.schedule_inputs(c.context, 'typescript', 1800000000123) FROM (VALUES
  ('{"json":null,"meta":{"values":["undefined"]},"__dbos_serializer":"superjson"}'),
  ('{"json":{"a":1.50,"b":"é\n"},"__dbos_serializer":"superjson"}'),
  ('{"json":{"a":"1970-01-01T00:00:00.001Z","b":{"c.d":["1970-01-01T00:00:00.002Z"]}},"meta":{"values":{"a":["Date"],"b.c.d":["set",{"0":["Date"]}]}},"__dbos_serializer":"superjson"}'),
  ('{"json":{"p":{"x":1},"q":{"x":1}},"meta":{"referentialEqualities":{"p":["q"]}},"__dbos_serializer":"superjson"}'),
  ('{"json":{"self":null},"meta":{"referentialEqualities":[["self"]]},"__dbos_serializer":"superjson"}')) AS c(context);
SELECT c.context, dbos_sys.schedule_format(c.context) FROM (VALUES ('null'), ('{"json":1}'), ('"text"'), ('gASVCgAAAAAAAAB9lIwBYZRLAXMu'), (''), ('{"a":"\u0000"}'),
  ('{"__dbos_serializer":"superjson"}')) AS c(context);

-- A change leaves the context of an SDK's row as it is unless it names one. That is written so that this SDK reads it; where only it can do that, it is refused.
CREATE FUNCTION pg_temp.contexts() RETURNS TABLE (name text, schedule text, context text) LANGUAGE sql AS
$$SELECT schedule_name, schedule, context FROM dbos.workflow_schedules WHERE schedule_id LIKE 'sdk-%' ORDER BY 1$$;
INSERT INTO dbos.workflow_schedules (schedule_id, schedule_name, workflow_name, schedule, context, cron_timezone)
SELECT 'sdk-' || c.name, c.name, 'tick', '* * * * *', c.context, 'UTC' FROM (VALUES ('ja', '{"a": 1}'), ('py', 'gASVCgAAAAAAAAB9lIwBYZRLAXMu'),
  ('ts', '{"json":{"a":"1970-01-01T00:00:00.001Z"},"meta":{"values":{"a":["Date"]}},"__dbos_serializer":"superjson"}')) AS c(name, context);
SELECT dbos_sys.alter_schedule(c.name, '{"cron": "1 * * * *"}') FROM pg_temp.contexts() AS c;
SELECT * FROM pg_temp.contexts();
SELECT dbos_sys.alter_schedule('py', '{"context": {"a": 2}}');
SELECT dbos_sys.alter_schedule('py', '{"context": {"a": 2}, "format": "portable"}');
SELECT dbos_sys.apply_schedule('py', 'tick', '2 * * * *', '{"context": null}');
SELECT dbos_sys.alter_schedule('ts', '{"context": {"a": 2}, "format": "portable"}');
SELECT dbos_sys.apply_schedule('ts', 'tick', '2 * * * *', '{"context": {"a": 2}, "format": "portable"}');
SELECT dbos_sys.apply_schedule('ts', 'tick', '2 * * * *', '{"format": "portable"}');
SELECT dbos_sys.alter_schedule('ja', '{"context": {"a": 2}, "format": "typescript"}');
SELECT * FROM pg_temp.contexts();
SELECT dbos_sys.alter_schedule(c.name, '{"context": {"a": 2}}') FROM pg_temp.contexts() AS c WHERE c.name <> 'py';
SELECT * FROM pg_temp.contexts();
SELECT dbos_sys.apply_schedule(c.name, 'tick', '3 * * * *') FROM pg_temp.contexts() AS c;
SELECT * FROM pg_temp.contexts();
SELECT dbos_sys.apply_schedule('ts', 'tick', '4 * * * *', '{"format": "typescript"}');
SELECT dbos_sys.apply_schedule('ts', 'tick', '4 * * * *', '{"context": [null]}');
SELECT * FROM pg_temp.contexts() WHERE name = 'ts';
-- It stays the SDK's: who fires it is not changed by that, unless it is named; nor may the format be from now on.
SELECT s.name, s.server, s.obstacle FROM dbos_sys.schedules() AS s JOIN pg_temp.contexts() AS c USING (name);
SELECT dbos_sys.alter_schedule('ts', '{"context": {"a": 2}, "format": "portable"}');
SELECT dbos_sys.apply_schedule('ts', 'tick', '4 * * * *', '{"server": false}'), dbos_sys.apply_schedule('ja', 'tick', '4 * * * *', '{"server": true}');
SELECT dbos_sys.apply_schedule(c.name, 'tick', '5 * * * *') FROM pg_temp.contexts() AS c WHERE c.name <> 'py';
SELECT s.name, s.server, s.obstacle FROM dbos_sys.schedules() AS s JOIN pg_temp.contexts() AS c USING (name);
-- What was made here may change its format.
SELECT dbos_sys.alter_schedule('typed', '{"context": 1, "format": "portable"}');
SELECT context FROM dbos.workflow_schedules WHERE schedule_name = 'typed';
SELECT dbos_sys.alter_schedule('typed', '{"context": [1], "format": "typescript"}');
SELECT dbos_sys.drop_schedule(c.name) FROM pg_temp.contexts() AS c;

-- Refused, and nothing changed.
SELECT md5(string_agg(s::text, '' ORDER BY s.schedule_name)) AS before FROM dbos.workflow_schedules AS s \gset
SELECT dbos_sys.create_schedule('nightly', 'report', '0 3 * * *');
SELECT dbos_sys.create_schedule(NULL, 'report', '0 3 * * *');
SELECT dbos_sys.create_schedule(' ', 'report', '0 3 * * *');
SELECT dbos_sys.create_schedule(repeat('x', 256), 'report', '0 3 * * *');
SELECT dbos_sys.create_schedule('bad', NULL, '0 3 * * *');
SELECT dbos_sys.create_schedule('bad', '', '0 3 * * *');
SELECT dbos_sys.create_schedule('bad', 'report', '0 3 * *');
SELECT dbos_sys.create_schedule('bad', 'report', NULL);
SELECT dbos_sys.create_schedule('bad', 'report', '0 0 8-14 * 1#1');
SELECT dbos_sys.create_schedule('bad', 'report', '0 3 * * *', '{"time_zone": "Mars/Olympus"}');
SELECT dbos_sys.create_schedule('bad', 'report', '0 3 * * *', '{"time_zone": 1}');
SELECT dbos_sys.create_schedule('bad', 'report', '0 3 * * *', '{"timezone": "UTC"}');
SELECT dbos_sys.create_schedule('bad', 'report', '0 3 * * *', '{"cron": "* * * * *"}');
SELECT dbos_sys.create_schedule('bad', 'report', '0 3 * * *', '{"format": "python"}');
SELECT dbos_sys.create_schedule('bad', 'report', '0 3 * * *', '{"automatic_backfill": "yes"}');
SELECT dbos_sys.create_schedule('bad', 'report', '0 3 * * *', '{"queue": ""}');
SELECT dbos_sys.create_schedule('bad', 'report', '0 3 * * *', '[]');
SELECT dbos_sys.create_schedule('bad', 'report', '0 3 * * *', NULL);
SELECT dbos_sys.register_queue('tenants', '{"fair_by_partition": true}');
SELECT dbos_sys.create_schedule('bad', 'report', '0 3 * * *', '{"queue": "tenants"}');
SELECT dbos_sys.alter_schedule('often', '{"queue": "tenants"}');
SELECT dbos_sys.alter_schedule('often', '{"format": "portable"}');
SELECT dbos_sys.alter_schedule('often', '{"cron": "x"}');
SELECT dbos_sys.apply_schedule('nightly', 'report', '0 3 * * *', '{"application_name": "mail"}');
SELECT dbos_sys.alter_schedule('nightly', '{"application_name": "mail"}');
SELECT dbos_sys.alter_schedule('unknown', '{}');
SELECT dbos_sys.pause_schedule('unknown');
SELECT dbos_sys.resume_schedule('unknown');
SELECT dbos_sys.drop_schedule('unknown');
SELECT dbos_sys.trigger_schedule('unknown');
SELECT dbos_sys.backfill_schedule('unknown', '2027-01-01', '2027-01-02');
SELECT dbos_sys.backfill_schedule('often', '2027-01-02', '2027-01-01');
SELECT dbos_sys.backfill_schedule('often', NULL, '2027-01-01');
SELECT dbos_sys.backfill_schedule('often', '-infinity', '2027-01-01');
SELECT dbos_sys.backfill_schedule('often', '2027-01-01', '2027-01-02', 0);
SELECT dbos_sys.backfill_schedule('often', '2027-01-01', '2027-01-02', 100001);
-- What an SDK made in a form that only it reads.
INSERT INTO dbos.workflow_schedules (schedule_id, schedule_name, workflow_name, schedule, context) VALUES ('p', 'pickled', 'w', '* * * * *', 'gASVCgAAAAAAAAB9lIwBYZRLAXMu'),
  ('j', 'json', 'w', '* * * * *', '{"a": 1}');
SELECT dbos_sys.trigger_schedule('pickled');
SELECT dbos_sys.trigger_schedule('json');
SELECT dbos_sys.backfill_schedule('json', '2027-01-01', '2027-01-02');
-- One of the TypeScript SDK without a zone, whose times are those of its process: a backfill would make second runs of its days. No zone matters to others,
-- nor to a run now.
INSERT INTO dbos.workflow_schedules (schedule_id, schedule_name, workflow_name, schedule, context, last_fired_at)
SELECT z.name, z.name, 'w', z.cron, '{"json":1,"__dbos_serializer":"superjson"}', '2027-01-14T06:30:00.000Z' FROM (VALUES ('zoneless', '30 2 * * *'), ('any', '*/15 * * * *')) AS z(name, cron);
SELECT dbos_sys.backfill_schedule('zoneless', '2027-01-10', '2027-01-12');
SELECT count(*) FROM dbos.workflow_status WHERE schedule_name = 'zoneless';
SELECT dbos_sys.trigger_schedule('zoneless');
SELECT * FROM dbos_sys.backfill_schedule('any', '2027-01-10', '2027-01-10 01:00');
-- Neither does the word that the server shall fire it tell the zone. With one it is filled in, by that.
SELECT dbos_sys.alter_schedule('zoneless', '{"server": true}');
SELECT dbos_sys.backfill_schedule('zoneless', '2027-01-10', '2027-01-12');
SELECT dbos_sys.alter_schedule('zoneless', '{"time_zone": "America/Santiago"}');
SELECT * FROM dbos_sys.backfill_schedule('zoneless', '2027-01-10', '2027-01-12');
SELECT workflow_uuid FROM dbos.workflow_status WHERE workflow_uuid LIKE 'sched-zoneless-2%' ORDER BY 1;
-- Nor is an offset taken, which JavaScript knows as a zone and PostgreSQL reads with the other sign.
UPDATE dbos.workflow_schedules SET cron_timezone = '+05:00' WHERE schedule_name = 'zoneless';
SELECT dbos_sys.backfill_schedule('zoneless', '2027-01-10', '2027-01-12');
DELETE FROM dbos.workflow_schedules WHERE schedule_id IN ('p', 'j', 'zoneless', 'any');
SELECT md5(string_agg(s::text, '' ORDER BY s.schedule_name)) = :'before' AS unchanged FROM dbos.workflow_schedules AS s;
