-- Schedules: rows of dbos.workflow_schedules, which the SDKs read and fire too, and what these do not know in dbos_ops.schedules. Whoever fires
-- gives a run the same id, so the first one makes it and the others find it. Lock order: the row of dbos.workflow_schedules, then unique keys.

CREATE OR REPLACE FUNCTION dbos_sys.check_schedule_name(p_name text)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  PERFORM dbos_sys.check_text('schedule name', p_name);
  IF to_regclass('dbos_ops.schedules') IS NULL THEN
    PERFORM dbos_sys.fail('WF002', 'the tables of schedules are not installed in this database', NULL, 'SELECT dbos_sys.install();');
  END IF;
END;
$$;

CREATE OR REPLACE FUNCTION dbos_sys.schedule_option_kinds()
RETURNS TABLE (key text, kind text)
LANGUAGE sql
IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
  VALUES ('context', 'json'), ('time_zone', 'text'), ('queue', 'text or null'), ('class_name', 'text or null'), ('automatic_backfill', 'boolean'),
    ('application_name', 'text or null'), ('format', 'format'), ('server', 'boolean'), ('cron', 'text')
$$;

CREATE OR REPLACE FUNCTION dbos_sys.check_schedule_options(p_options jsonb, p_without text[])
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  v_option record;
BEGIN
  IF jsonb_typeof(p_options) IS DISTINCT FROM 'object' THEN
    PERFORM dbos_sys.fail('WF001', format('options are %s', COALESCE(left(p_options::text, 60), 'NULL')), NULL, 'Give a JSON object.');
  END IF;
  FOR v_option IN
    SELECT o.key, o.value, left(o.value::text, 60) AS shown, jsonb_typeof(o.value) AS type, k.kind
    FROM jsonb_each(p_options) AS o LEFT JOIN dbos_sys.schedule_option_kinds() AS k ON k.key = o.key AND k.key <> ALL (p_without) ORDER BY o.key
  LOOP
    IF v_option.kind IS NULL THEN
      PERFORM dbos_sys.fail('WF001', format('unknown option %s', dbos_sys.shown(v_option.key)), NULL, (
        SELECT 'Options are: ' || string_agg(k.key, ', ' ORDER BY k.key) || '.' FROM dbos_sys.schedule_option_kinds() AS k WHERE k.key <> ALL (p_without)));
    ELSIF v_option.kind = 'boolean' AND v_option.type <> 'boolean' THEN
      PERFORM dbos_sys.fail('WF001', format('option %s is %s', v_option.key, v_option.shown), NULL, 'Give true or false.');
    ELSIF v_option.kind = 'format' AND v_option.value NOT IN ('"portable"', '"typescript"') THEN
      PERFORM dbos_sys.fail('WF001', format('option format is %s', v_option.shown), NULL, 'Give portable, or typescript for an application of that SDK.');
    ELSIF v_option.kind LIKE 'text%' AND v_option.type <> 'string' AND (v_option.type <> 'null' OR v_option.kind = 'text') THEN
      PERFORM dbos_sys.fail('WF001', format('option %s is %s', v_option.key, v_option.shown), NULL, 'Give a text, or leave it out.');
    ELSIF v_option.kind LIKE 'text%' AND v_option.type = 'string' AND v_option.key NOT IN ('cron', 'time_zone') THEN
      PERFORM dbos_sys.check_text('option ' || v_option.key, v_option.value #>> '{}');
    END IF;
  END LOOP;
END;
$$;

-- A cron text in a zone that fires at all.
CREATE OR REPLACE FUNCTION dbos_sys.check_cron(p_cron text, p_zone text)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  IF NOT EXISTS (SELECT FROM dbos_sys.cron_instants(p_cron, p_zone, dbos_sys.now_ms(), 7289654400000, 1)) THEN
    PERFORM dbos_sys.fail_cron(p_cron, 'It does not fire within a hundred years: day of month and day of week must both fit.');
  END IF;
END;
$$;

-- What a schedule would wait for in vain is refused, what may come yet is a warning, as with enqueue().
CREATE OR REPLACE FUNCTION dbos_sys.check_schedule_queue(p_queue text)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  IF EXISTS (SELECT FROM dbos_sys.queues() AS q WHERE q.name = p_queue AND q.partitioned) THEN
    PERFORM dbos_sys.fail('WF001', format('queue %s is partitioned', dbos_sys.shown(p_queue)),
      'Scheduled workflows have no partition key: they would never be taken.', 'Name another queue, or none.');
  ELSIF p_queue IS NOT NULL THEN
    PERFORM dbos_sys.warn_of_queue(p_queue);
  END IF;
END;
$$;

CREATE OR REPLACE FUNCTION dbos_sys.fail_unknown_schedule(p_name text)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  PERFORM dbos_sys.fail('WF060', format('schedule %s does not exist', dbos_sys.shown(p_name)), NULL, 'SELECT name FROM dbos_sys.schedules() lists them.');
END;
$$;

-- Locks the row for a change by `p_application` (NULL: by whoever may).
CREATE OR REPLACE FUNCTION dbos_sys.lock_schedule(p_name text, p_application text)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  v_owner text;
BEGIN
  PERFORM dbos_sys.check_schedule_name(p_name);
  SELECT s.application_name INTO v_owner FROM dbos.workflow_schedules AS s WHERE s.schedule_name = p_name FOR NO KEY UPDATE;
  IF NOT FOUND THEN
    PERFORM dbos_sys.fail_unknown_schedule(p_name);
  ELSIF v_owner <> p_application THEN
    PERFORM dbos_sys.fail('WF001', format('schedule %s belongs to application %s', dbos_sys.shown(p_name), dbos_sys.shown(v_owner)), NULL,
      'Take another name for the schedule.');
  END IF;
END;
$$;

-- Context as the row holds it: plain JSON, or the form of the TypeScript SDK.
CREATE OR REPLACE FUNCTION dbos_sys.schedule_context(p_context jsonb, p_format text)
RETURNS text
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  v_context text := COALESCE(p_context::text, 'null');
BEGIN
  PERFORM dbos_sys.check_payloads('context', ARRAY[v_context]);
  RETURN CASE WHEN p_format = 'typescript' THEN '{"json":' || v_context || ',"__dbos_serializer":"superjson"}' ELSE v_context END;
END;
$$;

-- The context of a schedule after a change, whose row the caller has locked: as it is unless the change names one, which is written so that whoever
-- reads the row reads it back. The table tells no format, and a default serializer reads its own form only: what is in another is none (TypeScript throws,
-- Python hands over the text).
CREATE OR REPLACE FUNCTION dbos_sys.changed_schedule_context(p_name text, p_options jsonb)
RETURNS text
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  v_named text := p_options ->> 'format';
  v_row record;
BEGIN
  SELECT s.context, dbos_sys.schedule_format(s.context) AS format, COALESCE(o.made_here, false) AS made_here INTO v_row
  FROM dbos.workflow_schedules AS s LEFT JOIN dbos_ops.schedules AS o ON o.schedule_name = s.schedule_name WHERE s.schedule_name = p_name;
  IF NOT p_options ? 'context' AND v_named IS DISTINCT FROM v_row.format AND v_named IS NOT NULL THEN
    PERFORM dbos_sys.fail('WF001', 'option format without context', 'The context is written in that format.', 'Add option context.');
  ELSIF NOT p_options ? 'context' THEN
    RETURN v_row.context;
  ELSIF v_row.format IS NULL THEN
    PERFORM dbos_sys.fail('WF062', format('the context of schedule %s is in a form of its SDK', dbos_sys.shown(p_name)),
      'The SDK would not read back what is written here.', 'Leave option context out, and change it with the SDK; or drop_schedule(), and create_schedule() one that is fired from here.');
  ELSIF v_named <> v_row.format AND NOT v_row.made_here THEN
    PERFORM dbos_sys.fail('WF062', format('the context of schedule %s is in format %s', dbos_sys.shown(p_name), v_row.format),
      'Its SDK reads no other.', 'Leave option format out; or drop_schedule(), and create_schedule() one for another application.');
  END IF;
  RETURN dbos_sys.schedule_context(p_options -> 'context', COALESCE(v_named, v_row.format));
END;
$$;

CREATE OR REPLACE FUNCTION dbos_sys.write_schedule(p_name text, p_workflow text, p_cron text, p_options jsonb, p_replace boolean)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  v_zone text;
  v_made boolean;
  v_server boolean;
  v_rows integer;
BEGIN
  PERFORM dbos_sys.check_schedule_name(p_name);
  PERFORM dbos_sys.check_text('workflow name', p_workflow);
  PERFORM dbos_sys.check_schedule_options(p_options, '{cron}');
  v_zone := dbos_sys.check_zone(COALESCE(p_options ->> 'time_zone', 'UTC'));
  PERFORM dbos_sys.check_cron(p_cron, v_zone);
  PERFORM dbos_sys.check_schedule_queue(p_options ->> 'queue');
  INSERT INTO dbos.workflow_schedules (schedule_id, schedule_name, workflow_name, workflow_class_name, schedule, context, automatic_backfill, cron_timezone,
    queue_name, application_name)
  VALUES (gen_random_uuid()::text, p_name, p_workflow, COALESCE(p_options ->> 'class_name', ''), p_cron,
    dbos_sys.schedule_context(p_options -> 'context', p_options ->> 'format'), COALESCE((p_options ->> 'automatic_backfill')::boolean, false), v_zone,
    p_options ->> 'queue', p_options ->> 'application_name')
  ON CONFLICT (schedule_name) DO NOTHING;
  GET DIAGNOSTICS v_rows = ROW_COUNT;
  IF v_rows = 0 AND NOT p_replace THEN
    PERFORM dbos_sys.fail('WF061', format('schedule %s exists', dbos_sys.shown(p_name)), NULL, 'apply_schedule() replaces it, alter_schedule() changes a part.');
  ELSIF v_rows = 0 THEN
    PERFORM dbos_sys.lock_schedule(p_name, p_options ->> 'application_name');
    UPDATE dbos.workflow_schedules AS s
    SET workflow_name = p_workflow, workflow_class_name = COALESCE(p_options ->> 'class_name', ''), schedule = p_cron, cron_timezone = v_zone,
      context = dbos_sys.changed_schedule_context(p_name, p_options), queue_name = p_options ->> 'queue',
      automatic_backfill = COALESCE((p_options ->> 'automatic_backfill')::boolean, false),
      application_name = COALESCE(s.application_name, p_options ->> 'application_name')
    WHERE s.schedule_name = p_name;
  END IF;
  -- One that an SDK made stays its own: whether it is fired from here follows from its row, or from what was said, as before.
  SELECT v_rows = 1 OR COALESCE(bool_or(o.made_here), false), bool_or(o.server) INTO v_made, v_server FROM dbos_ops.schedules AS o WHERE o.schedule_name = p_name;
  v_server := COALESCE((p_options ->> 'server')::boolean, CASE WHEN v_made THEN true ELSE v_server END);
  INSERT INTO dbos_ops.schedules AS o (schedule_name, made_here, server) VALUES (p_name, v_made, v_server)
  ON CONFLICT (schedule_name) DO UPDATE
  SET made_here = EXCLUDED.made_here, server = EXCLUDED.server, definition = CASE WHEN o.server IS NOT DISTINCT FROM EXCLUDED.server THEN o.definition END;
END;
$$;

CREATE OR REPLACE FUNCTION dbos_sys.create_schedule(p_name text, p_workflow text, p_cron text, p_options jsonb DEFAULT '{}')
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  PERFORM dbos_sys.write_schedule(p_name, p_workflow, p_cron, p_options, false);
END;
$$;
COMMENT ON FUNCTION dbos_sys.create_schedule(text, text, text, jsonb) IS
'Runs a workflow by the clock: with the arguments (time, context), under the id sched-NAME-TIME. Cron and times as in cron_times(). Options: context
(any JSON), time_zone (UTC), queue, class_name, automatic_backfill (false: what was missed for more than a minute stays missed; true: it is enqueued
later), application_name (its owner), format (portable; typescript for an application of that SDK, which reads no other), server (true: the
maintenance of this database fires it, also while no process of the application runs). A queue that is not registered is a warning. Errors: WF001,
WF061 (exists).';

CREATE OR REPLACE FUNCTION dbos_sys.apply_schedule(p_name text, p_workflow text, p_cron text, p_options jsonb DEFAULT '{}')
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  PERFORM dbos_sys.write_schedule(p_name, p_workflow, p_cron, p_options, true);
END;
$$;
COMMENT ON FUNCTION dbos_sys.apply_schedule(text, text, text, jsonb) IS
'create_schedule(), or the same for one that exists: a pause and the time of the last firing stay, and the context unless one is named, which is written in the
format of the present one. One that an SDK made is fired by whom it was, unless server is named. Errors: WF001 (also: it belongs to another application), WF062 (only its SDK can write the context).';

CREATE OR REPLACE FUNCTION dbos_sys.alter_schedule(p_name text, p_options jsonb)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  v_row record;
BEGIN
  PERFORM dbos_sys.check_schedule_name(p_name);
  PERFORM dbos_sys.check_schedule_options(p_options, '{}');
  PERFORM dbos_sys.lock_schedule(p_name, p_options ->> 'application_name');
  SELECT s.schedule AS cron, s.cron_timezone AS zone, s.context INTO v_row
  FROM dbos.workflow_schedules AS s WHERE s.schedule_name = p_name;
  IF p_options ?| '{cron,time_zone}' THEN
    v_row.zone := CASE WHEN p_options ? 'time_zone' THEN dbos_sys.check_zone(p_options ->> 'time_zone') ELSE v_row.zone END;
    v_row.cron := COALESCE(p_options ->> 'cron', v_row.cron);
    PERFORM dbos_sys.check_cron(v_row.cron, COALESCE(v_row.zone, 'UTC'));
  END IF;
  IF p_options ? 'queue' THEN
    PERFORM dbos_sys.check_schedule_queue(p_options ->> 'queue');
  END IF;
  IF p_options ? 'context' THEN
    v_row.context := dbos_sys.changed_schedule_context(p_name, p_options);
  ELSIF p_options ? 'format' THEN
    PERFORM dbos_sys.fail('WF001', 'option format without context', 'The context is written in that format.', 'Add option context.');
  END IF;
  UPDATE dbos.workflow_schedules AS s
  SET schedule = v_row.cron, cron_timezone = v_row.zone, context = v_row.context,
    queue_name = CASE WHEN p_options ? 'queue' THEN p_options ->> 'queue' ELSE s.queue_name END,
    workflow_class_name = CASE WHEN p_options ? 'class_name' THEN COALESCE(p_options ->> 'class_name', '') ELSE s.workflow_class_name END,
    automatic_backfill = COALESCE((p_options ->> 'automatic_backfill')::boolean, s.automatic_backfill),
    application_name = COALESCE(s.application_name, p_options ->> 'application_name')
  WHERE s.schedule_name = p_name;
  IF p_options ? 'server' THEN
    INSERT INTO dbos_ops.schedules AS o (schedule_name, server) VALUES (p_name, (p_options ->> 'server')::boolean)
    ON CONFLICT (schedule_name) DO UPDATE SET server = EXCLUDED.server, definition = NULL;
  END IF;
END;
$$;
COMMENT ON FUNCTION dbos_sys.alter_schedule(text, jsonb) IS
'Changes the named options of a schedule, those of create_schedule() and cron. server also for one that an SDK made: true fires it from here where
that is not done by itself (schedules() tells why), false leaves it to the application. A context is written in the format of the present one. Errors: WF001,
WF060 (unknown schedule), WF062 (only its SDK can write the context).';

CREATE OR REPLACE FUNCTION dbos_sys.set_schedule_status(p_name text, p_status text)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  PERFORM dbos_sys.lock_schedule(p_name, NULL);
  UPDATE dbos.workflow_schedules AS s SET status = p_status WHERE s.schedule_name = p_name AND s.status <> p_status;
END;
$$;

CREATE OR REPLACE FUNCTION dbos_sys.pause_schedule(p_name text)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  PERFORM dbos_sys.set_schedule_status(p_name, 'PAUSED');
END;
$$;
COMMENT ON FUNCTION dbos_sys.pause_schedule(text) IS
'Ends its firing from this database at once; executors of an SDK notice within their polling interval (30 s). What is enqueued runs.
Errors: WF001, WF060 (unknown schedule).';

CREATE OR REPLACE FUNCTION dbos_sys.resume_schedule(p_name text)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  PERFORM dbos_sys.set_schedule_status(p_name, 'ACTIVE');
END;
$$;
COMMENT ON FUNCTION dbos_sys.resume_schedule(text) IS
'Ends a pause. What the pause left out is enqueued with automatic_backfill only. Errors: WF001, WF060 (unknown schedule).';

CREATE OR REPLACE FUNCTION dbos_sys.drop_schedule(p_name text)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  PERFORM dbos_sys.lock_schedule(p_name, NULL);
  DELETE FROM dbos.workflow_schedules AS s WHERE s.schedule_name = p_name;
  DELETE FROM dbos_ops.schedules AS o WHERE o.schedule_name = p_name;
END;
$$;
COMMENT ON FUNCTION dbos_sys.drop_schedule(text) IS 'Takes a schedule off the list; what it enqueued stays. Errors: WF001, WF060 (unknown schedule).';

-- A schedule whose runs the caller asks for, fired from here or not: their ids must be those of its SDK and, with p_times, their times too.
CREATE OR REPLACE FUNCTION dbos_sys.find_schedule(p_name text, p_times boolean, OUT cron text, OUT zone text)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  v_format text;
  v_server boolean;
  v_obstacle text;
  v_hint text := 'Call the function of its SDK';
BEGIN
  PERFORM dbos_sys.lock_schedule(p_name, NULL);
  SELECT s.schedule, s.cron_timezone, dbos_sys.schedule_format(s.context), CASE WHEN o.made_here THEN true ELSE NULLIF(o.server, false) END
  INTO cron, zone, v_format, v_server
  FROM dbos.workflow_schedules AS s LEFT JOIN dbos_ops.schedules AS o ON o.schedule_name = s.schedule_name WHERE s.schedule_name = p_name;
  v_obstacle := dbos_sys.schedule_obstacle(v_format, v_server);
  IF v_obstacle IS NOT NULL THEN
    v_hint := v_hint || CASE WHEN v_format IS NULL THEN '.' ELSE format(', or: SELECT dbos_sys.alter_schedule(%L, ''{"server": true}'');', p_name) END;
  ELSIF p_times THEN
    v_obstacle := dbos_sys.schedule_times_obstacle(v_format, cron, zone);
    v_hint := v_hint || format(', or name the zone of its application: SELECT dbos_sys.alter_schedule(%L, ''{"time_zone": "ZONE"}'');', p_name);
  END IF;
  IF v_obstacle IS NOT NULL THEN
    PERFORM dbos_sys.fail('WF062', format('schedule %s is not fired from here: %s', dbos_sys.shown(p_name), v_obstacle), NULL, v_hint);
  END IF;
  zone := COALESCE(zone, 'UTC');
END;
$$;

CREATE OR REPLACE FUNCTION dbos_sys.trigger_schedule(p_name text)
RETURNS text
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET dbos_sys.quiet = on
AS $$
DECLARE
  v_at bigint := dbos_sys.now_ms();
BEGIN
  PERFORM dbos_sys.find_schedule(p_name, false);
  -- Another one of the same millisecond is another run.
  WHILE dbos_sys.enqueue_scheduled(p_name, ARRAY[format('sched-%s-trigger-%s', p_name, dbos_sys.iso_time(v_at))], ARRAY[v_at]) = 0 LOOP
    v_at := v_at + 1;
  END LOOP;
  RETURN format('sched-%s-trigger-%s', p_name, dbos_sys.iso_time(v_at));
END;
$$;
COMMENT ON FUNCTION dbos_sys.trigger_schedule(text) IS
'Enqueues one run of a schedule now, paused or not, and returns its id. Errors: WF001, WF060 (unknown schedule), WF062 (only its SDK can).';

CREATE OR REPLACE FUNCTION dbos_sys.backfill_schedule(p_name text, p_from timestamptz, p_to timestamptz, p_limit integer DEFAULT 10000)
RETURNS TABLE (runs integer, enqueued integer, rest_from timestamptz)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET dbos_sys.quiet = on
AS $$
DECLARE
  v_schedule record;
  v_instants bigint[];
BEGIN
  PERFORM dbos_sys.check_schedule_name(p_name);
  IF (p_from BETWEEN '2000-01-01 00:00+00' AND '2200-01-01 00:00+00' AND p_to BETWEEN '2000-01-01 00:00+00' AND '2200-01-01 00:00+00') IS NOT TRUE THEN
    PERFORM dbos_sys.fail('WF001', format('the range is %s to %s', COALESCE(p_from::text, 'NULL'), COALESCE(p_to::text, 'NULL')), NULL,
      'Give two times from the years 2000 to 2200.');
  ELSIF p_to < p_from THEN
    PERFORM dbos_sys.fail('WF001', format('the range ends at %s, before it begins at %s', p_to, p_from), NULL, 'Give the earlier time first.');
  ELSIF (p_limit BETWEEN 1 AND 100000) IS NOT TRUE THEN
    PERFORM dbos_sys.fail('WF001', format('limit is %s', COALESCE(p_limit::text, 'NULL')), NULL, 'Give 1 to 100000, and go on with rest_from.');
  END IF;
  SELECT f.* INTO v_schedule FROM dbos_sys.find_schedule(p_name, true) AS f;
  v_instants := ARRAY(SELECT c.at FROM dbos_sys.cron_instants(v_schedule.cron, v_schedule.zone, (EXTRACT(epoch FROM p_from) * 1000)::bigint,
    (EXTRACT(epoch FROM p_to) * 1000)::bigint, p_limit + 1) AS c(at));
  rest_from := CASE WHEN cardinality(v_instants) > p_limit THEN to_timestamp(v_instants[p_limit] / 1000) END;
  v_instants := v_instants[:p_limit];
  runs := cardinality(v_instants);
  enqueued := dbos_sys.enqueue_scheduled(p_name, ARRAY(SELECT format('sched-%s-%s', p_name, dbos_sys.iso_time(i.at)) FROM unnest(v_instants) AS i(at)), v_instants);
  RETURN NEXT;
END;
$$;
COMMENT ON FUNCTION dbos_sys.backfill_schedule(text, timestamptz, timestamptz, integer) IS
'Enqueues the runs of a schedule after one time and before another: how many there are, and how many of them are new. At most p_limit; the same call
from rest_from goes on (NULL: that was all). A run whose row is gone is enqueued again. Errors: WF001, WF060 (unknown schedule), WF062 (only its SDK
can, or knows its times: obstacle of schedules()).';

CREATE OR REPLACE FUNCTION dbos_sys.schedules(p_application text DEFAULT NULL)
RETURNS TABLE (
  name text, workflow text, class_name text, cron text, time_zone text, status text, queue text, application_name text, automatic_backfill boolean,
  format text, last_fired_at text, next_at timestamptz, server boolean, obstacle text, backfill_from timestamptz)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN QUERY
  SELECT s.schedule_name, s.workflow_name, NULLIF(s.workflow_class_name, ''), s.schedule, s.cron_timezone, s.status, s.queue_name, s.application_name,
    s.automatic_backfill, dbos_sys.schedule_format(s.context), s.last_fired_at,
    CASE WHEN s.status = 'ACTIVE' THEN to_timestamp(CASE WHEN o.definition = dbos_sys.schedule_definition(s.status, s.schedule, s.cron_timezone,
      s.automatic_backfill, s.context) THEN o.next_at ELSE p.next_at END / 1000) END,
    p.obstacle IS NULL, p.obstacle, to_timestamp(o.backfill_from / 1000)
  FROM dbos.workflow_schedules AS s LEFT JOIN dbos_ops.schedules AS o ON o.schedule_name = s.schedule_name,
  LATERAL dbos_sys.plan_schedule(s.schedule, s.cron_timezone, s.context, o.server, dbos_sys.now_ms()) AS p
  WHERE p_application IS NULL OR s.application_name = p_application OR s.application_name IS NULL ORDER BY s.schedule_name;
END;
$$;
COMMENT ON FUNCTION dbos_sys.schedules(text) IS
'Schedules, those of an application and of none, or all. format: how the context is written, NULL where only its SDK reads it. next_at: when the
server fires next; server, obstacle: whether it does, and why not. backfill_from: where an automatic backfill stopped after 10,000 runs.';
