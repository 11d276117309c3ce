-- Queues: rows of dbos.queues, with upstream's columns and rules, and what upstream does not know in dbos_ops.queue_settings. The internal
-- queue has no row and no limits. Lock order: the row of dbos.queues, then its settings.
-- A paused queue has concurrency 0 in dbos.queues, which official SDKs read as "no room"; what it was stands in the settings.

-- Options of a queue and what each may hold.
CREATE OR REPLACE FUNCTION dbos_sys.queue_option_kinds()
RETURNS TABLE (key text, kind text)
LANGUAGE sql
IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
  VALUES ('concurrency', 'count'), ('worker_concurrency', 'count'), ('rate_limit_max', 'count'), ('rate_limit_period_sec', 'seconds'),
    ('partition_queue', 'boolean'), ('partition_concurrency', 'count'), ('partition_worker_concurrency', 'count'),
    ('partition_rate_limit_max', 'count'), ('partition_rate_limit_period_sec', 'seconds'), ('polling_interval_sec', 'seconds'),
    ('fair_by_partition', 'boolean'), ('weights', 'weights'), ('application_name', 'name'), ('application_version', 'name'), ('on_conflict', 'policy')
$$;

-- One option by itself. null clears a limit, the weights or the fairness.
CREATE OR REPLACE FUNCTION dbos_sys.check_queue_option(p_key text, p_value jsonb)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  v_kind text := (SELECT k.kind FROM dbos_sys.queue_option_kinds() AS k WHERE k.key = p_key);
  v_type text := jsonb_typeof(p_value);
  v_shown text := left(p_value::text, 60);
BEGIN
  IF v_kind IS NULL THEN
    PERFORM dbos_sys.fail('WF001', format('unknown option %s', dbos_sys.shown(p_key)), NULL,
      'Options are: ' || (SELECT string_agg(k.key, ', ' ORDER BY k.key) FROM dbos_sys.queue_option_kinds() AS k) || '.');
  ELSIF v_type = 'null' AND v_kind IN ('count', 'seconds', 'boolean', 'weights') THEN
    RETURN;
  ELSIF v_kind = 'count' AND (v_type <> 'number' OR p_value::text !~ '^\d{1,10}$' OR p_value::text::numeric NOT BETWEEN 1 AND 2147483647) THEN
    PERFORM dbos_sys.fail('WF001', format('option %s is %s', p_key, v_shown), NULL, 'Give a whole number from 1 to 2147483647.');
  ELSIF v_kind = 'seconds' AND (CASE WHEN v_type = 'number' THEN p_value::numeric NOT BETWEEN 0.001 AND 3155760000 ELSE true END) THEN
    PERFORM dbos_sys.fail('WF001', format('option %s is %s', p_key, v_shown), NULL, 'Give 0.001 to 3155760000 s (100 years).');
  ELSIF v_kind = 'boolean' AND v_type <> 'boolean' THEN
    PERFORM dbos_sys.fail('WF001', format('option %s is %s', p_key, v_shown), NULL, 'Give true or false.');
  ELSIF v_kind = 'weights' THEN
    PERFORM dbos_sys.check_weights('partition', p_value, 1, 1024);
  ELSIF v_kind = 'name' THEN
    IF v_type <> 'string' THEN
      PERFORM dbos_sys.fail('WF001', format('option %s is %s', p_key, v_shown), NULL, 'Give a text, or leave it out.');
    END IF;
    PERFORM dbos_sys.check_text(replace(p_key, '_', ' '), p_value #>> '{}');
  ELSIF v_kind = 'policy' AND p_value NOT IN ('"always_update"', '"update_if_latest_version"', '"never_update"') THEN
    PERFORM dbos_sys.fail('WF001', format('option on_conflict is %s', v_shown), NULL, 'Give always_update, update_if_latest_version or never_update.');
  END IF;
END;
$$;

CREATE OR REPLACE FUNCTION dbos_sys.check_queue_options(p_options jsonb)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  IF jsonb_typeof(p_options) IS DISTINCT FROM 'object' THEN
    PERFORM dbos_sys.fail('WF001', format('options are %s', COALESCE(left(p_options::text, 60), 'NULL')), NULL, 'Give a JSON object.');
  END IF;
  PERFORM dbos_sys.check_queue_option(e.key, e.value) FROM (SELECT o.key, o.value FROM jsonb_each(p_options) AS o ORDER BY o.key) AS e;
END;
$$;

-- Whether options ask for partitions otherwise than by partition_queue.
CREATE OR REPLACE FUNCTION dbos_sys.has_partition_options(p_options jsonb)
RETURNS boolean
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN p_options ?| '{partition_concurrency,partition_worker_concurrency,partition_rate_limit_max}'
    OR COALESCE((p_options ->> 'fair_by_partition')::boolean, false);
END;
$$;

-- All options of a queue together: none of a part exceeds that of the whole, a rate has a period.
CREATE OR REPLACE FUNCTION dbos_sys.check_queue_limits(p_options jsonb)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  v_wrong record;
BEGIN
  SELECT r.part, r.whole, r.why INTO v_wrong
  FROM (VALUES ('worker_concurrency', 'concurrency', 'One worker cannot run more than all workers together.'),
    ('partition_concurrency', 'concurrency', 'One partition cannot run more than the whole queue.'),
    ('partition_worker_concurrency', 'partition_concurrency', 'One worker cannot run more of a partition than all workers together.'),
    ('partition_worker_concurrency', 'worker_concurrency', 'One worker cannot run more of one partition than of the whole queue.'),
    ('partition_worker_concurrency', 'concurrency', 'One worker cannot run more of one partition than all workers of the whole queue.'))
    AS r(part, whole, why)
  WHERE (p_options ->> r.part)::bigint > (p_options ->> r.whole)::bigint LIMIT 1;
  IF FOUND THEN
    PERFORM dbos_sys.fail('WF001', format('%s %s exceeds %s %s', v_wrong.part, p_options ->> v_wrong.part, v_wrong.whole, p_options ->> v_wrong.whole),
      v_wrong.why, format('Lower %s, or raise %s.', v_wrong.part, v_wrong.whole));
  END IF;
  SELECT r.prefix INTO v_wrong FROM (VALUES (''), ('partition_')) AS r(prefix)
  WHERE (p_options ? (r.prefix || 'rate_limit_max')) <> (p_options ? (r.prefix || 'rate_limit_period_sec')) LIMIT 1;
  IF FOUND THEN
    PERFORM dbos_sys.fail('WF001', format('%1$srate_limit_max and %1$srate_limit_period_sec go together', v_wrong.prefix), NULL, 'Give both, or none.');
  ELSIF p_options ? 'weights' AND COALESCE((p_options ->> 'fair_by_partition')::boolean, false) IS FALSE AND p_options -> 'weights' <> '{}' THEN
    PERFORM dbos_sys.fail('WF001', 'weights without fair_by_partition', 'Weights are shares of a queue that is fair by partition.', 'Add "fair_by_partition": true.');
  ELSIF p_options -> 'partition_queue' = 'false' AND dbos_sys.has_partition_options(p_options) THEN
    PERFORM dbos_sys.fail('WF001', 'partition_queue is false with options per partition', 'Each of them, and fair_by_partition, makes a queue partitioned.',
      'Clear them, or leave partition_queue out.');
  END IF;
END;
$$;

CREATE OR REPLACE FUNCTION dbos_sys.check_queue_name(p_name text)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  PERFORM dbos_sys.check_text('queue', p_name);
  IF starts_with(p_name, '_dbos_') THEN
    PERFORM dbos_sys.fail('WF001', format('queue name %s is reserved', dbos_sys.shown(p_name)), 'Names that begin with _dbos_ belong to DBOS.', 'Take another name.');
  END IF;
END;
$$;

-- Locks the queue's row for a change by `p_application` (NULL: by whoever may); WF030 when there is none, WF001 when it is another's.
CREATE OR REPLACE FUNCTION dbos_sys.lock_queue(p_name text, p_application text)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  v_owner text;
BEGIN
  SELECT q.application_name INTO v_owner FROM dbos.queues AS q WHERE q.name = p_name FOR NO KEY UPDATE;
  IF NOT FOUND THEN
    PERFORM dbos_sys.fail('WF030', format('queue %s is not registered', dbos_sys.shown(p_name)), NULL, 'SELECT * FROM dbos_sys.queues() lists them.');
  ELSIF v_owner <> p_application THEN
    PERFORM dbos_sys.fail('WF001', format('queue %s belongs to application %s', dbos_sys.shown(p_name), dbos_sys.shown(v_owner)), NULL, 'Take another queue name.');
  END IF;
END;
$$;

-- The options that hold for a queue: its limits as they are when it is not paused.
CREATE OR REPLACE FUNCTION dbos_sys.queue_options(p_name text)
RETURNS jsonb
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN (
    SELECT jsonb_strip_nulls(jsonb_build_object(
      'concurrency', CASE WHEN s.paused AND q.concurrency = 0 THEN s.saved_concurrency ELSE q.concurrency END,
      'worker_concurrency', q.worker_concurrency, 'rate_limit_max', q.rate_limit_max, 'rate_limit_period_sec', q.rate_limit_period_sec,
      'partition_concurrency', q.partition_concurrency, 'partition_worker_concurrency', q.partition_worker_concurrency,
      'partition_rate_limit_max', q.partition_rate_limit_max, 'partition_rate_limit_period_sec', q.partition_rate_limit_period_sec,
      'partition_queue', CASE WHEN q.partition_queue THEN true END, 'polling_interval_sec', q.polling_interval_sec, 'fair_by_partition', s.fair, 'weights', s.weights))
    FROM dbos.queues AS q LEFT JOIN dbos_ops.queue_settings AS s ON s.queue_name = q.name AND s.queue_id = q.queue_id
    WHERE q.name = p_name);
END;
$$;

-- Settings of a queue that is gone, though another may bear its name by now: SDKs delete its row alone. What is left tells executors that serve
-- the queue that it is gone: without its limits they would take all of it.
CREATE OR REPLACE FUNCTION dbos_sys.forget_queue(p_name text)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  UPDATE dbos_ops.queue_settings AS s
  SET queue_id = NULL, paused = false, saved_concurrency = NULL, fair = false, weights = '{}', updated_at = dbos_sys.now_ms()
  WHERE s.queue_name = p_name AND s.queue_id IS NOT NULL
    AND NOT EXISTS (SELECT FROM dbos.queues AS q WHERE q.name = p_name AND q.queue_id = s.queue_id);
  -- Of its successor these hold what has begun already.
  IF FOUND AND NOT EXISTS (SELECT FROM dbos.queues AS q WHERE q.name = p_name) THEN
    DELETE FROM dbos_ops.queue_arrivals AS a WHERE a.queue_name = p_name;
    DELETE FROM dbos_ops.queue_partitions AS p WHERE p.queue_name = p_name;
    DELETE FROM dbos_ops.queue_walks AS w WHERE w.queue_name = p_name;
    DELETE FROM dbos_ops.queue_starts AS s WHERE s.queue_name = p_name;
  END IF;
END;
$$;

-- Writes options that were checked into a row that is locked. What is absent is no limit; a pause stays.
CREATE OR REPLACE FUNCTION dbos_sys.write_queue(p_name text, p_options jsonb, p_application text)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  v_now bigint := dbos_sys.now_ms();
  v_paused boolean;
  v_fair boolean := COALESCE((p_options ->> 'fair_by_partition')::boolean, false);
BEGIN
  PERFORM dbos_sys.forget_queue(p_name);
  v_paused := COALESCE((SELECT s.paused FROM dbos_ops.queue_settings AS s WHERE s.queue_name = p_name), false);
  UPDATE dbos.queues AS q
  SET concurrency = CASE WHEN v_paused THEN 0 ELSE (p_options ->> 'concurrency')::integer END,
    worker_concurrency = (p_options ->> 'worker_concurrency')::integer,
    rate_limit_max = (p_options ->> 'rate_limit_max')::integer, rate_limit_period_sec = (p_options ->> 'rate_limit_period_sec')::double precision,
    partition_concurrency = (p_options ->> 'partition_concurrency')::integer,
    partition_worker_concurrency = (p_options ->> 'partition_worker_concurrency')::integer,
    partition_rate_limit_max = (p_options ->> 'partition_rate_limit_max')::integer,
    partition_rate_limit_period_sec = (p_options ->> 'partition_rate_limit_period_sec')::double precision,
    partition_queue = COALESCE((p_options ->> 'partition_queue')::boolean, false) OR dbos_sys.has_partition_options(p_options), priority_enabled = true,
    polling_interval_sec = COALESCE((p_options ->> 'polling_interval_sec')::double precision, 1.0), updated_at = v_now,
    application_name = COALESCE(q.application_name, p_application)
  WHERE q.name = p_name;
  INSERT INTO dbos_ops.queue_settings AS s (queue_name, queue_id, paused, saved_concurrency, fair, weights, updated_at)
  SELECT p_name, q.queue_id, v_paused, CASE WHEN v_paused THEN (p_options ->> 'concurrency')::integer END, v_fair, COALESCE(p_options -> 'weights', '{}'), v_now
  FROM dbos.queues AS q WHERE q.name = p_name
  ON CONFLICT (queue_name) DO UPDATE
  SET queue_id = EXCLUDED.queue_id, saved_concurrency = EXCLUDED.saved_concurrency, fair = EXCLUDED.fair, weights = EXCLUDED.weights, updated_at = EXCLUDED.updated_at;
  PERFORM dbos_sys.wake(true, false);
END;
$$;

-- Whether runs without a version are for this version: it is the newest of the application, or none is registered.
CREATE OR REPLACE FUNCTION dbos_sys.is_latest_version(p_application text, p_version text)
RETURNS boolean
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN COALESCE((
    SELECT v.version_name FROM dbos.application_versions AS v
    WHERE v.application_name = p_application OR v.application_name IS NULL ORDER BY v.version_timestamp DESC LIMIT 1), p_version) = p_version;
END;
$$;

CREATE OR REPLACE FUNCTION dbos_sys.register_queue(p_name text, p_options jsonb DEFAULT '{}')
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET dbos_sys.quiet = on
AS $$
DECLARE
  v_now bigint := dbos_sys.now_ms();
  v_options jsonb;
  v_policy text;
  v_rows integer;
BEGIN
  PERFORM dbos_sys.check_queue_name(p_name);
  PERFORM dbos_sys.check_queue_options(p_options);
  v_options := jsonb_strip_nulls(p_options);
  v_policy := COALESCE(v_options ->> 'on_conflict', 'always_update');
  PERFORM dbos_sys.check_queue_limits(v_options);
  IF v_policy = 'update_if_latest_version' AND NOT v_options ?& '{application_name,application_version}' THEN
    PERFORM dbos_sys.fail('WF001', 'on_conflict is update_if_latest_version without a version', NULL, 'Add application_name and application_version.');
  END IF;
  INSERT INTO dbos.queues (queue_id, name, created_at, updated_at, application_name)
  VALUES (gen_random_uuid()::text, p_name, v_now, v_now, v_options ->> 'application_name') ON CONFLICT (name) DO NOTHING;
  GET DIAGNOSTICS v_rows = ROW_COUNT;
  PERFORM dbos_sys.lock_queue(p_name, v_options ->> 'application_name');
  IF v_rows > 0 OR v_policy = 'always_update' OR (v_policy = 'update_if_latest_version'
    AND dbos_sys.is_latest_version(v_options ->> 'application_name', v_options ->> 'application_version')) THEN
    PERFORM dbos_sys.write_queue(p_name, v_options, v_options ->> 'application_name');
  END IF;
END;
$$;
COMMENT ON FUNCTION dbos_sys.register_queue(text, jsonb) IS
'Makes a queue, or replaces its options; a pause stays. Options: concurrency (runs at once, all executors), worker_concurrency (per executor),
rate_limit_max per rate_limit_period_sec (starts); partition_concurrency, partition_worker_concurrency, partition_rate_limit_max and
partition_rate_limit_period_sec, the same for each partition key; fair_by_partition (starts are shared among the partition keys that wait),
weights ({"key": share}, 1 for others); polling_interval_sec (1.0), application_name (its owner; kept once set), on_conflict (always_update, the
default, never_update, or update_if_latest_version, which needs application_version). A queue with any option per partition is partitioned, and so is
one with partition_queue: each workflow on it needs a partition key. Errors: WF001.';

CREATE OR REPLACE FUNCTION dbos_sys.alter_queue(p_name text, p_options jsonb)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET dbos_sys.quiet = on
AS $$
DECLARE
  v_before jsonb;
  v_options jsonb;
BEGIN
  PERFORM dbos_sys.check_queue_name(p_name);
  PERFORM dbos_sys.check_queue_options(p_options);
  IF p_options ?| '{on_conflict,application_version}' THEN
    PERFORM dbos_sys.fail('WF001', 'on_conflict and application_version are for register_queue()', NULL, 'Leave them out.');
  END IF;
  PERFORM dbos_sys.lock_queue(p_name, p_options ->> 'application_name');
  v_before := dbos_sys.queue_options(p_name);
  -- Where other options made it partitioned it is so by what they are now.
  IF dbos_sys.has_partition_options(v_before) THEN
    v_before := v_before - 'partition_queue';
  END IF;
  v_options := jsonb_strip_nulls(v_before || p_options);
  IF p_options -> 'fair_by_partition' IN ('false', 'null') AND NOT p_options ? 'weights' THEN
    v_options := v_options - 'weights';
  END IF;
  PERFORM dbos_sys.check_queue_limits(v_options);
  PERFORM dbos_sys.write_queue(p_name, v_options, p_options ->> 'application_name');
END;
$$;
COMMENT ON FUNCTION dbos_sys.alter_queue(text, jsonb) IS
'Changes the named options of a queue, those of register_queue(); null clears one. It holds from the next claim on. application_name must be the
owner''s, or is given to a queue without one. Errors: WF001, WF030 (not registered).';

CREATE OR REPLACE FUNCTION dbos_sys.pause_queue(p_name text, p_application text DEFAULT NULL)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  v_now bigint := dbos_sys.now_ms();
BEGIN
  PERFORM dbos_sys.check_queue_name(p_name);
  PERFORM dbos_sys.lock_queue(p_name, p_application);
  PERFORM dbos_sys.forget_queue(p_name);
  INSERT INTO dbos_ops.queue_settings AS s (queue_name, queue_id, paused, saved_concurrency, updated_at)
  SELECT q.name, q.queue_id, true, q.concurrency, v_now FROM dbos.queues AS q WHERE q.name = p_name
  ON CONFLICT (queue_name) DO UPDATE
  SET queue_id = EXCLUDED.queue_id, paused = true, updated_at = v_now,
    saved_concurrency = CASE WHEN s.paused AND EXCLUDED.saved_concurrency = 0 THEN s.saved_concurrency ELSE EXCLUDED.saved_concurrency END;
  UPDATE dbos.queues AS q SET concurrency = 0, updated_at = v_now WHERE q.name = p_name;
END;
$$;
COMMENT ON FUNCTION dbos_sys.pause_queue(text, text) IS
'Nothing of the queue is claimed until resume_queue(); what runs goes on, and enqueues wait. Its concurrency in dbos.queues is 0 meanwhile, which
official SDKs keep to. An SDK that registers the queue again overwrites that until the next delayed_tick(); our own claims keep to the pause all
the same. p_application: refused (WF001) when the queue is another''s. Errors: WF001, WF030 (not registered).';

CREATE OR REPLACE FUNCTION dbos_sys.resume_queue(p_name text, p_application text DEFAULT NULL)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  v_now bigint := dbos_sys.now_ms();
BEGIN
  PERFORM dbos_sys.check_queue_name(p_name);
  PERFORM dbos_sys.lock_queue(p_name, p_application);
  PERFORM dbos_sys.forget_queue(p_name);
  UPDATE dbos.queues AS q SET concurrency = s.saved_concurrency, updated_at = v_now
  FROM dbos_ops.queue_settings AS s WHERE q.name = p_name AND s.queue_name = p_name AND s.paused AND q.concurrency = 0;
  UPDATE dbos_ops.queue_settings AS s SET paused = false, saved_concurrency = NULL, updated_at = v_now WHERE s.queue_name = p_name;
  PERFORM dbos_sys.wake(true, false);
END;
$$;
COMMENT ON FUNCTION dbos_sys.resume_queue(text, text) IS
'Ends a pause; the limits are those of before, or what was set meanwhile. Not paused: nothing happens.
p_application: refused (WF001) when the queue is another''s. Errors: WF001, WF030 (not registered).';

-- An SDK that deleted a queue has left its settings. One that registered a paused queue again has written its limit over the pause: that limit is
-- kept for later.
CREATE OR REPLACE FUNCTION dbos_sys.hold_pauses()
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  v_name text;
BEGIN
  FOR v_name IN
    SELECT s.queue_name FROM dbos_ops.queue_settings AS s
    WHERE s.queue_id IS NOT NULL AND NOT EXISTS (SELECT FROM dbos.queues AS q WHERE q.name = s.queue_name AND q.queue_id = s.queue_id)
    FOR NO KEY UPDATE SKIP LOCKED
  LOOP
    PERFORM dbos_sys.forget_queue(v_name);
  END LOOP;
  FOR v_name IN
    SELECT q.name FROM dbos_ops.queue_settings AS s, LATERAL (
      SELECT r.name FROM dbos.queues AS r
      WHERE r.name = s.queue_name AND r.queue_id = s.queue_id AND r.concurrency IS DISTINCT FROM 0 FOR NO KEY UPDATE SKIP LOCKED) AS q
    WHERE s.paused
  LOOP
    PERFORM dbos_sys.pause_queue(v_name);
  END LOOP;
END;
$$;

CREATE OR REPLACE FUNCTION dbos_sys.drop_queue(p_name text, p_force boolean DEFAULT false, p_application text DEFAULT NULL)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET jit = off
AS $$
DECLARE
  v_waiting bigint;
BEGIN
  PERFORM dbos_sys.check_text('queue', p_name);
  PERFORM dbos_sys.lock_queue(p_name, p_application);
  IF p_force IS NOT TRUE THEN
    v_waiting := (SELECT count(*) FROM dbos.workflow_status AS w WHERE w.status = 'ENQUEUED' AND w.queue_name = p_name)
      + (SELECT count(*) FROM dbos.workflow_status AS w WHERE w.status = 'DELAYED' AND w.queue_name = p_name);
    IF v_waiting > 0 THEN
      PERFORM dbos_sys.fail('WF036', format('queue %s has %s waiting workflow%s', dbos_sys.shown(p_name), v_waiting, CASE WHEN v_waiting > 1 THEN 's' ELSE '' END),
        'They would stay until a queue of this name is registered again.',
        format('Let them run or cancel them, or: SELECT dbos_sys.drop_queue(%L, p_force => true);', p_name));
    END IF;
  END IF;
  INSERT INTO dbos_ops.queue_settings AS s (queue_name, queue_id, updated_at)
  SELECT q.name, q.queue_id, dbos_sys.now_ms() FROM dbos.queues AS q WHERE q.name = p_name
  ON CONFLICT (queue_name) DO UPDATE SET queue_id = EXCLUDED.queue_id;
  DELETE FROM dbos.queues AS q WHERE q.name = p_name;
  PERFORM dbos_sys.forget_queue(p_name);
END;
$$;
COMMENT ON FUNCTION dbos_sys.drop_queue(text, boolean, text) IS
'Takes a queue off the list. Refused while workflows wait on it, unless p_force: then they stay ENQUEUED until it is
registered again, also where executors serve it. p_application: refused (WF001) when the queue is another''s. Errors: WF001, WF030 (not registered), WF036 (workflows wait).';

CREATE OR REPLACE FUNCTION dbos_sys.queues()
RETURNS TABLE (
  name text, application_name text, concurrency integer, worker_concurrency integer, rate_limit_max integer, rate_limit_period_sec double precision,
  polling_interval_sec double precision, partitioned boolean, created_at bigint, updated_at bigint, partition_concurrency integer,
  partition_worker_concurrency integer, partition_rate_limit_max integer, partition_rate_limit_period_sec double precision,
  fair_by_partition boolean, weights jsonb, paused boolean)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN QUERY
  SELECT q.name, q.application_name, CASE WHEN s.paused AND q.concurrency = 0 THEN s.saved_concurrency ELSE q.concurrency END,
    q.worker_concurrency, q.rate_limit_max, q.rate_limit_period_sec, q.polling_interval_sec,
    q.partition_queue OR COALESCE(s.fair, false)
      OR COALESCE(q.partition_concurrency, q.partition_worker_concurrency, q.partition_rate_limit_max) IS NOT NULL,
    q.created_at, q.updated_at, q.partition_concurrency, q.partition_worker_concurrency, q.partition_rate_limit_max,
    q.partition_rate_limit_period_sec, COALESCE(s.fair, false), COALESCE(s.weights, '{}'), COALESCE(s.paused, false)
  FROM dbos.queues AS q LEFT JOIN dbos_ops.queue_settings AS s ON s.queue_name = q.name AND s.queue_id = q.queue_id ORDER BY q.name;
END;
$$;
COMMENT ON FUNCTION dbos_sys.queues() IS
'Registered queues of every application with their options; times in ms since 1970. A paused queue is shown with the concurrency that it will have
again.';

-- Those of the queues of new runs that nobody registered.
CREATE OR REPLACE FUNCTION dbos_sys.unknown_queues(p_options jsonb[])
RETURNS SETOF text
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN QUERY
  SELECT n.name FROM (SELECT DISTINCT r.o ->> 'queue' AS name FROM unnest(p_options) AS r(o) WHERE r.o ? 'queue') AS n
  WHERE NOT starts_with(n.name, '_dbos_') AND NOT EXISTS (SELECT FROM dbos.queues AS q WHERE q.name = n.name OFFSET 0) ORDER BY n.name;
END;
$$;

CREATE OR REPLACE FUNCTION dbos_sys.unregistered_queues(p_application text DEFAULT NULL)
RETURNS TABLE (name text, waiting bigint, oldest bigint)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET jit = off
AS $$
BEGIN
  RETURN QUERY
  -- From name to name in the index of what is in flight, whatever lies between.
  WITH RECURSIVE seen (name) AS (
    (SELECT w.queue_name FROM dbos.workflow_status AS w
      WHERE w.status IN ('ENQUEUED', 'PENDING') AND w.queue_name >= '' ORDER BY w.queue_name LIMIT 1)
    UNION ALL
    SELECT n.name FROM seen AS s, LATERAL (
      SELECT w.queue_name AS name FROM dbos.workflow_status AS w
      WHERE w.status IN ('ENQUEUED', 'PENDING') AND w.queue_name > s.name ORDER BY w.queue_name LIMIT 1) AS n),
  waits AS (
    SELECT s.name, r.number, r.oldest FROM seen AS s, LATERAL (
      SELECT count(*) AS number, min(w.created_at) AS oldest FROM dbos.workflow_status AS w
      WHERE w.status = 'ENQUEUED' AND w.queue_name = s.name AND (w.application_name = p_application OR w.application_name IS NULL OR p_application IS NULL)
      OFFSET 0) AS r
    WHERE NOT EXISTS (SELECT FROM dbos.queues AS q WHERE q.name = s.name OFFSET 0)
    UNION ALL
    SELECT w.queue_name, count(*), min(w.created_at) FROM dbos.workflow_status AS w
    WHERE w.status = 'DELAYED' AND w.delay_until_epoch_ms IS NOT NULL AND NOT EXISTS (SELECT FROM dbos.queues AS q WHERE q.name = w.queue_name)
      AND (w.application_name = p_application OR w.application_name IS NULL OR p_application IS NULL)
    GROUP BY 1)
  SELECT w.name, sum(w.number)::bigint, min(w.oldest) FROM waits AS w
  WHERE w.number > 0 AND NOT starts_with(w.name, '_dbos_') GROUP BY 1 ORDER BY 1;
END;
$$;
COMMENT ON FUNCTION dbos_sys.unregistered_queues(text) IS
'Queues that nobody registered and where workflows wait all the same, delayed ones included: how many, and when the oldest was made (ms since 1970).
They wait until an application serves the queue, or for ever where its name is misspelt. p_application: only its workflows, and those of none.';
