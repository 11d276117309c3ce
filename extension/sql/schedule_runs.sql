-- Runs of schedules: whether this server may make them, their times, ids and inputs, and the tick that enqueues them when they are due. The
-- ids are those of the TypeScript SDK, so that both may fire one schedule. Lock order: the tick's advisory lock, the schedule, unique keys.

-- In which form a context was written: typescript, portable (any other JSON), or NULL for one that only its SDK reads.
CREATE OR REPLACE FUNCTION dbos_sys.schedule_format(p_context text)
RETURNS text
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN CASE WHEN json_typeof(p_context::json) = 'object' AND p_context::json ->> '__dbos_serializer' = 'superjson' AND p_context::json -> 'json' IS NOT NULL
    THEN 'typescript' ELSE 'portable' END;
EXCEPTION WHEN data_exception OR statement_too_complex THEN
  RETURN NULL;
END;
$$;

CREATE OR REPLACE FUNCTION dbos_sys.iso_time(p_ms bigint)
RETURNS text
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN to_char(to_timestamp(p_ms / 1000) AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS') || '.' || lpad((p_ms % 1000)::text, 3, '0') || 'Z';
END;
$$;

-- Inputs of a run, (time, context), in the form of the context. The marks of superjson, which say where a value is of which type, move below
-- the second argument.
CREATE OR REPLACE FUNCTION dbos_sys.schedule_inputs(p_context text, p_format text, p_at bigint)
RETURNS text
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  v_time text := '"' || dbos_sys.iso_time(p_at) || '"';
  v_types json := p_context::json #> '{meta,values}';
  v_same json := p_context::json #> '{meta,referentialEqualities}';
  v_values text;
  v_equalities text;
BEGIN
  IF p_format = 'portable' THEN
    RETURN format('{"positionalArgs":[%s,%s]}', v_time, p_context);
  END IF;
  v_values := CASE json_typeof(v_types) WHEN 'array' THEN ',"1":' || v_types::text
    WHEN 'object' THEN (SELECT string_agg(format(',%s:%s', to_json('1.' || e.key), e.value), '') FROM json_each(v_types) AS e) END;
  -- Paths that hold the same object; an array says that of the root, and may go on with the object.
  SELECT string_agg(format('%s:%s', to_json(CASE WHEN p.key IS NULL THEN '1' ELSE '1.' || p.key END),
    (SELECT json_agg('1.' || t.path) FROM json_array_elements_text(p.paths) AS t(path))), ',') INTO v_equalities
  FROM (SELECT NULL AS key, v_same -> 0 AS paths WHERE json_typeof(v_same) = 'array'
    UNION ALL SELECT e.key, e.value FROM json_each(CASE json_typeof(v_same) WHEN 'object' THEN v_same WHEN 'array' THEN v_same -> 1 END) AS e) AS p;
  RETURN format('{"json":[%s,%s],"meta":{"values":{"0":["Date"]%s}%s},"__dbos_serializer":"superjson"}', v_time, p_context::json -> 'json',
    v_values, ',"referentialEqualities":{' || v_equalities || '}');
END;
$$;

-- What the times of a schedule follow from: they are computed again when it changes.
CREATE OR REPLACE FUNCTION dbos_sys.schedule_definition(p_status text, p_cron text, p_zone text, p_backfill boolean, p_context text)
RETURNS text
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN md5(jsonb_build_array(p_status, p_cron, p_zone, p_backfill, md5(p_context))::text);
END;
$$;

-- Why the server leaves a schedule to its application; NULL when it fires it too. `p_server` is what alter_schedule() said of it.
CREATE OR REPLACE FUNCTION dbos_sys.schedule_obstacle(p_format text, p_server boolean)
RETURNS text
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN CASE WHEN p_format IS NULL THEN 'only its SDK can read the context'
    WHEN p_server IS FALSE THEN 'the server is told to leave it to the application'
    WHEN p_server IS NULL AND p_format <> 'typescript' THEN 'it was not made here, and its SDK may give its runs other ids' END;
END;
$$;

-- Why nobody here knows the times of a schedule. Without a zone the TypeScript SDK takes that of its process, and no firing tells which that is: zones
-- agree for months and part at a change of the clock. Only a text whose times are the same in every zone is certain. JavaScript also takes offsets as zones.
CREATE OR REPLACE FUNCTION dbos_sys.schedule_times_obstacle(p_format text, p_cron text, p_zone text)
RETURNS text
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN CASE WHEN p_zone IS NULL AND p_format = 'typescript' AND dbos_sys.cron_needs_zone(p_cron)
    THEN 'it has no time zone, and that of its application is not known'
    WHEN p_zone ~ '^[-+]' THEN 'its time zone is an offset, whose sign PostgreSQL reads the other way round' END;
END;
$$;

-- The time of the last firing as its row tells it, in the form of whichever SDK; NULL when that is no time.
CREATE OR REPLACE FUNCTION dbos_sys.fired_ms(p_fired text)
RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN (EXTRACT(epoch FROM p_fired::timestamptz) * 1000)::bigint;
EXCEPTION WHEN data_exception THEN
  RETURN NULL;
END;
$$;

-- The next time of a schedule after another, or why there is none: nothing raises here, for one row must not stop the others.
CREATE OR REPLACE FUNCTION dbos_sys.plan_schedule(
  p_cron text, p_zone text, p_context text, p_server boolean, p_after bigint, OUT next_at bigint, OUT obstacle text)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  v_format text := dbos_sys.schedule_format(p_context);
BEGIN
  obstacle := COALESCE(dbos_sys.schedule_obstacle(v_format, p_server), dbos_sys.schedule_times_obstacle(v_format, p_cron, p_zone));
  IF obstacle IS NULL THEN
    next_at := (SELECT c.at FROM dbos_sys.cron_instants(p_cron, COALESCE(p_zone, 'UTC'), p_after, 7289654400000, 1) AS c(at));
    obstacle := CASE WHEN next_at IS NULL THEN 'it does not fire within a hundred years' END;
  END IF;
EXCEPTION WHEN OTHERS THEN
  next_at := NULL;
  obstacle := SQLERRM;
END;
$$;

-- The runs of a schedule at these instants, as the SDK enqueues them but for the version: without one, they are for the newest of the
-- application whichever that is when they are taken. Returns how many are new.
CREATE OR REPLACE FUNCTION dbos_sys.enqueue_scheduled(p_name text, p_ids text[], p_instants bigint[])
RETURNS integer
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET jit = off
AS $$
DECLARE
  v_now bigint := dbos_sys.now_ms();
  v_new text[];
  v_schedule record;
BEGIN
  SELECT s.*, dbos_sys.schedule_format(s.context) AS format INTO v_schedule FROM dbos.workflow_schedules AS s WHERE s.schedule_name = p_name;
  WITH added AS (
    INSERT INTO dbos.workflow_status (
      workflow_uuid, status, name, class_name, queue_name, priority, executor_id, application_id, application_name, recovery_attempts,
      created_at, updated_at, authenticated_user, assumed_role, authenticated_roles, serialization, schedule_name)
    SELECT i.id, 'ENQUEUED', v_schedule.workflow_name, NULLIF(v_schedule.workflow_class_name, ''), COALESCE(NULLIF(v_schedule.queue_name, ''), '_dbos_internal_queue'),
      0, '', '', v_schedule.application_name, 0, v_now, v_now, '', '', '[]',
      CASE v_schedule.format WHEN 'typescript' THEN 'js_superjson' ELSE 'portable_json' END, p_name
    FROM unnest(p_ids) WITH ORDINALITY AS i(id, place) ORDER BY i.place
    ON CONFLICT (workflow_uuid) DO NOTHING RETURNING workflow_uuid)
  SELECT array_agg(a.workflow_uuid) INTO v_new FROM added AS a;
  INSERT INTO dbos.workflow_input AS w (workflow_uuid, inputs, retention_timestamp)
  SELECT i.id, dbos_sys.schedule_inputs(v_schedule.context, v_schedule.format, i.at), v_now FROM unnest(p_ids, p_instants) AS i(id, at) WHERE i.id = ANY (v_new)
  ON CONFLICT (workflow_uuid) DO UPDATE SET inputs = EXCLUDED.inputs, retention_timestamp = EXCLUDED.retention_timestamp;
  IF cardinality(v_new) > 0 THEN
    PERFORM dbos_sys.wake(true, false);
  END IF;
  RETURN COALESCE(cardinality(v_new), 0);
END;
$$;

-- For how long after a time the tick fires it, whether or not it was missed.
CREATE OR REPLACE FUNCTION dbos_sys.schedule_grace()
RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN GREATEST(60000, 5 * dbos_sys.setting_ms('tick_interval', '1s'));
END;
$$;

-- Since when a time that is due is fired, without a backfill. One between two ticks was not missed, however far apart these come, and whoever held
-- the schedule's row at the first of them: so far back as ticks came as they should, at most two of their longest pauses. What was due before that passed
-- while the server was down, or nobody ticked; the SDKs leave that out as well.
CREATE OR REPLACE FUNCTION dbos_sys.schedule_reach(p_now bigint)
RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN LEAST(p_now - dbos_sys.schedule_grace(), GREATEST(COALESCE(dbos_sys.ticked_since(p_now), p_now), p_now - 2 * dbos_sys.longest_pause()));
END;
$$;

-- Whether somebody may still come to the time of this run, and would make it again were its row gone: our tick, or an executor of an SDK that is
-- late. For its timer that is ten seconds; when it had lost the database, it tries again up to a minute and a half after the return. A tick passes a time
-- when it moves next_at beyond it. A backfill begins where the schedule's row says that the last firing was, and an SDK writes that after the run.
CREATE OR REPLACE FUNCTION dbos_sys.may_fire_again(p_id text, p_schedule text, p_created_at bigint, p_now bigint)
RETURNS boolean
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  v_time text := substr(p_id, length('sched-' || p_schedule || '-') + 1);
BEGIN
  RETURN p_created_at > p_now - dbos_sys.schedule_grace() - 120000
    OR (p_created_at > p_now - 2 * dbos_sys.longest_pause() AND EXISTS (
      SELECT FROM dbos_ops.schedules AS o WHERE o.schedule_name = p_schedule AND o.next_at <= dbos_sys.fired_ms(v_time)))
    OR EXISTS (
      SELECT FROM dbos.workflow_schedules AS s
      WHERE s.schedule_name = p_schedule AND s.automatic_backfill AND dbos_sys.fired_ms(s.last_fired_at) < dbos_sys.fired_ms(v_time));
END;
$$;

-- Where firing goes on: nothing is left out that is within reach, and nothing at all with a backfill; but what has been fired by whoever it was is
-- not looked at again.
CREATE OR REPLACE FUNCTION dbos_sys.schedule_base(p_next bigint, p_now bigint, p_backfill boolean, p_fired text)
RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  v_reach bigint := dbos_sys.schedule_reach(p_now);
BEGIN
  IF p_next >= v_reach THEN
    RETURN p_next - 1;
  ELSIF p_backfill THEN
    RETURN GREATEST(p_next - 1, LEAST(dbos_sys.fired_ms(p_fired), p_now));
  END IF;
  RETURN v_reach;
END;
$$;

-- Fires what is due of one schedule, at most so much; its row is locked and unchanged since it was planned. Returns how many instants it passed.
CREATE OR REPLACE FUNCTION dbos_sys.fire_schedule(p_name text, p_now bigint, p_limit integer)
RETURNS integer
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  v_most CONSTANT integer := 10000;
  v_row record;
  v_instants bigint[];
  v_stopped boolean;
  v_last bigint;
BEGIN
  SELECT s.schedule AS cron, COALESCE(s.cron_timezone, 'UTC') AS zone, s.automatic_backfill, s.last_fired_at, o.next_at, o.backfilled INTO v_row
  FROM dbos.workflow_schedules AS s JOIN dbos_ops.schedules AS o ON o.schedule_name = s.schedule_name WHERE s.schedule_name = p_name;
  v_instants := ARRAY(SELECT c.at FROM dbos_sys.cron_instants(v_row.cron, v_row.zone,
    dbos_sys.schedule_base(v_row.next_at, p_now, v_row.automatic_backfill, v_row.last_fired_at), p_now + 1, p_limit) AS c(at));
  PERFORM dbos_sys.enqueue_scheduled(p_name, ARRAY(SELECT format('sched-%s-%s', p_name, dbos_sys.iso_time(i.at)) FROM unnest(v_instants) AS i(at)), v_instants);
  v_last := v_instants[cardinality(v_instants)];
  v_stopped := cardinality(v_instants) = p_limit AND v_row.backfilled + p_limit >= v_most;
  IF v_stopped THEN
    RAISE WARNING USING MESSAGE = format('backfill of schedule %s stops after %s runs at %s', dbos_sys.shown(p_name), v_row.backfilled + p_limit,
      dbos_sys.iso_time(v_last)), HINT = format('SELECT * FROM dbos_sys.backfill_schedule(%L, %L, now());', p_name, dbos_sys.iso_time(v_last));
  END IF;
  UPDATE dbos_ops.schedules AS o
  SET next_at = (SELECT c.at FROM dbos_sys.cron_instants(v_row.cron, v_row.zone,
      CASE WHEN cardinality(v_instants) = p_limit AND NOT v_stopped THEN v_last ELSE p_now END, 7289654400000, 1) AS c(at)),
    backfilled = CASE WHEN cardinality(v_instants) = p_limit AND NOT v_stopped THEN o.backfilled + p_limit ELSE 0 END,
    backfill_from = CASE WHEN v_stopped THEN v_last ELSE o.backfill_from END, retry_at = NULL
  WHERE o.schedule_name = p_name;
  UPDATE dbos.workflow_schedules AS s SET last_fired_at = dbos_sys.iso_time(v_last)
  WHERE s.schedule_name = p_name AND COALESCE(dbos_sys.fired_ms(s.last_fired_at), 0) < v_last;
  RETURN cardinality(v_instants);
END;
$$;

-- Plans the schedules that are new or have changed. With a backfill the plan begins where the last firing was, as the SDKs do it.
CREATE OR REPLACE FUNCTION dbos_sys.plan_schedules(p_now bigint)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  DELETE FROM dbos_ops.schedules AS o WHERE NOT EXISTS (SELECT FROM dbos.workflow_schedules AS s WHERE s.schedule_name = o.schedule_name);
  INSERT INTO dbos_ops.schedules AS o (schedule_name, definition, next_at)
  SELECT r.schedule_name, r.definition, CASE WHEN r.status = 'ACTIVE' THEN p.next_at END
  FROM (
    SELECT s.*, o.server, o.definition AS known,
      dbos_sys.schedule_definition(s.status, s.schedule, s.cron_timezone, s.automatic_backfill, s.context) AS definition
    FROM dbos.workflow_schedules AS s LEFT JOIN dbos_ops.schedules AS o ON o.schedule_name = s.schedule_name) AS r,
  LATERAL dbos_sys.plan_schedule(r.schedule, r.cron_timezone, r.context, r.server,
    CASE WHEN r.automatic_backfill THEN LEAST(p_now, dbos_sys.fired_ms(r.last_fired_at)) ELSE p_now END) AS p
  WHERE r.known IS DISTINCT FROM r.definition
  ON CONFLICT (schedule_name) DO UPDATE SET definition = EXCLUDED.definition, next_at = EXCLUDED.next_at, retry_at = NULL, backfilled = 0;
END;
$$;

CREATE OR REPLACE FUNCTION dbos_sys.schedule_tick()
RETURNS integer
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET dbos_sys.quiet = on
SET lock_timeout = '1s'
AS $$
DECLARE
  v_now bigint := dbos_sys.now_ms();
  v_name text;
  v_rows integer := 0;
BEGIN
  PERFORM dbos_sys.check_isolation();
  IF NOT pg_try_advisory_xact_lock(hashtextextended('dbos_sys.schedule_tick', 0)) THEN
    RETURN 0;
  END IF;
  PERFORM dbos_sys.plan_schedules(v_now);
  FOR v_name IN
    SELECT o.schedule_name FROM dbos_ops.schedules AS o WHERE o.next_at <= v_now AND COALESCE(o.retry_at, 0) <= v_now ORDER BY o.next_at, o.schedule_name
  LOOP
    EXIT WHEN v_rows >= 1000;
    -- Paused, altered or dropped since: a later tick plans it anew. One schedule's trouble, as an SDK whose transaction that makes the run
    -- does not end, is not the others'; it comes again before its time is over.
    BEGIN
      PERFORM FROM dbos.workflow_schedules AS s JOIN dbos_ops.schedules AS o ON o.schedule_name = s.schedule_name
      WHERE s.schedule_name = v_name AND s.status = 'ACTIVE'
        AND o.definition = dbos_sys.schedule_definition(s.status, s.schedule, s.cron_timezone, s.automatic_backfill, s.context)
      FOR NO KEY UPDATE OF s SKIP LOCKED;
      IF FOUND THEN
        v_rows := v_rows + dbos_sys.fire_schedule(v_name, v_now, 1000);
      END IF;
    EXCEPTION WHEN OTHERS THEN
      RAISE WARNING 'schedule % is not fired: %', dbos_sys.shown(v_name), SQLERRM USING ERRCODE = SQLSTATE;
      UPDATE dbos_ops.schedules AS o SET retry_at = v_now + 5000 WHERE o.schedule_name = v_name;
    END;
  END LOOP;
  RETURN v_rows;
END;
$$;
COMMENT ON FUNCTION dbos_sys.schedule_tick() IS
'Enqueues the runs of schedules that are due; returns how many times it passed. Each is enqueued once, whoever else fires the schedule. What became due
between two ticks is fired by the second, when they are five minutes apart at most (recover_tick() notes them, as maintain() does). What is due for longer than a
minute (five tick intervals, when these are longer), because the server was down or nobody ticked, is left out, or comes with automatic_backfill, up to
10,000 runs.';

CREATE OR REPLACE FUNCTION dbos_sys.schedule_due()
RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN (
    SELECT min(CASE WHEN o.definition = dbos_sys.schedule_definition(s.status, s.schedule, s.cron_timezone, s.automatic_backfill, s.context)
      THEN GREATEST(o.next_at, o.retry_at) ELSE 0 END)
    FROM dbos.workflow_schedules AS s LEFT JOIN dbos_ops.schedules AS o ON o.schedule_name = s.schedule_name);
END;
$$;
COMMENT ON FUNCTION dbos_sys.schedule_due() IS
'When schedule_tick() has something to do next, in ms since 1970: a firing, or 0 when a schedule is new or was changed. NULL: nothing.';
