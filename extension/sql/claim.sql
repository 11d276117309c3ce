-- claim(): ENQUEUED runs become PENDING under a token of the caller, and come back with inputs and recorded steps. load(): a held run
-- read again. Lock order: the executor's advisory lock (shared), limited queues' advisory locks by name, rows without waiting.

-- Takes up to `p_room` runs of one queue from a place of its order on and returns their ids in claim order, and (mostly none) those among
-- them that an executor has had before: resume starts attempts from 0, but leaves the executor. `p_keys` are name and class of the workflows
-- that the caller knows, `p_max` the recoveries each may have: who has used them up goes to the dead letter instead. `priority`, `created`:
-- of the last row taken.
CREATE OR REPLACE FUNCTION dbos_sys.claim_queue(
  p_application text, p_executor text, p_version text, p_latest boolean, p_token text, p_queue text, p_room bigint, p_rate boolean,
  p_keys text[], p_max integer[], p_now bigint, p_priority integer, p_created bigint,
  OUT ids text[], OUT again text[], OUT priority integer, OUT created bigint)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  v_tuples tid[];
  v_dead text[];
BEGIN
  WITH picked AS MATERIALIZED (
    SELECT w.ctid AS tuple, w.workflow_uuid AS id, COALESCE(w.recovery_attempts, 0) > 0 OR COALESCE(w.executor_id, '') <> '' AS again,
      COALESCE(w.recovery_attempts, 0) > p_max[array_position(p_keys, w.name || E'\x1f' || COALESCE(w.class_name, ''))] AS dead,
      w.priority, w.created_at
    FROM dbos.workflow_status AS w
    WHERE w.status = 'ENQUEUED' AND w.queue_name = p_queue AND (w.priority, w.created_at) >= (p_priority, p_created)
      AND (w.application_version = p_version OR (p_latest AND w.application_version IS NULL))
      AND (w.application_name = p_application OR w.application_name IS NULL)
      AND w.name || E'\x1f' || COALESCE(w.class_name, '') = ANY (p_keys) AND COALESCE(w.config_name, '') = ''
    ORDER BY w.priority, w.created_at LIMIT p_room
    FOR NO KEY UPDATE SKIP LOCKED)
  SELECT COALESCE(array_agg(p.id) FILTER (WHERE p.dead IS NOT TRUE), '{}'), array_agg(p.tuple) FILTER (WHERE p.dead IS NOT TRUE),
    array_agg(p.id) FILTER (WHERE p.again), COALESCE(array_agg(p.id) FILTER (WHERE p.dead), '{}'),
    (array_agg(p.priority))[count(*)], (array_agg(p.created_at))[count(*)]
  INTO ids, v_tuples, again, v_dead, priority, created FROM picked AS p;
  PERFORM dbos_sys.mark_claimed(p_application, p_executor, p_version, p_token, p_rate, p_now, v_tuples, v_dead);
END;
$$;

-- The claim of one queue: its limits, then its runs. A queue with a shared limit, or with partitions, is claimed under its lock, which is
-- held until the claim has committed, and never waited for.
CREATE OR REPLACE FUNCTION dbos_sys.claim_one(
  p_application text, p_executor text, p_version text, p_latest boolean, p_token text, p_queue text, p_limit integer,
  p_keys text[], p_max integer[], p_priority integer, p_created bigint, p_running integer,
  OUT ids text[], OUT again text[], OUT waits boolean, OUT retry_ms integer, OUT walk_us bigint, OUT priority integer, OUT created bigint, OUT workers integer)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  v_limits record;
  v_room bigint;
  v_room_waits boolean := false;
  v_room_retry integer;
  v_mine bigint := p_limit;
  v_begin timestamptz := clock_timestamp();
  v_now bigint;
BEGIN
  ids := '{}';
  waits := false;
  walk_us := 0;
  SELECT l.* INTO v_limits FROM dbos_sys.queue_limits(p_queue) AS l;
  workers := v_limits.worker;
  -- Without room the caller asks only how much it may have.
  IF v_limits.paused OR p_limit <= 0 THEN
    RETURN;
  ELSIF (v_limits.partitioned OR v_limits.concurrency IS NOT NULL OR v_limits.rate_max IS NOT NULL) AND NOT dbos_sys.try_queue_lock(p_queue) THEN
    -- The more claim, the later each comes again: together they try no more often.
    retry_ms := 5 + floor(random() * 5 * (
      SELECT LEAST(GREATEST(count(*), 2), 100) FROM dbos_ops.executors AS e WHERE e.application_name = p_application AND e.ended_at IS NULL));
    RETURN;
  END IF;
  -- Under the lock: starts are stamped in the order in which they are counted.
  v_now := dbos_sys.now_ms();
  IF v_limits.worker IS NOT NULL THEN
    v_mine := LEAST(p_limit, v_limits.worker - COALESCE(p_running, dbos_sys.count_running(p_application, p_executor, p_queue)));
  END IF;
  v_room := v_mine;
  IF COALESCE(v_limits.concurrency, v_limits.rate_max) IS NOT NULL THEN
    SELECT r.room, r.waits, r.retry_ms INTO v_room, v_room_waits, v_room_retry
    FROM dbos_sys.queue_room(p_application, p_queue, v_mine, v_limits.concurrency, v_limits.rate_max, v_limits.rate_ms, v_now) AS r;
  END IF;
  IF v_room > 0 AND v_limits.partitioned THEN
    SELECT c.ids, c.again, c.waits, c.retry_ms INTO ids, again, waits, retry_ms
    FROM dbos_sys.claim_partitions(p_application, p_executor, p_version, p_latest, p_token, p_queue, v_limits, v_room, p_keys, p_max, v_now) AS c;
  ELSIF v_room > 0 THEN
    SELECT c.ids, c.again, c.priority, c.created INTO ids, again, priority, created
    FROM dbos_sys.claim_queue(p_application, p_executor, p_version, p_latest, p_token, p_queue, v_room, v_limits.rate_max IS NOT NULL,
      p_keys, p_max, v_now, COALESCE(p_priority, -2147483648), COALESCE(p_created, -9223372036854775808)) AS c;
  END IF;
  IF ids <> '{}' AND COALESCE(v_limits.concurrency, v_limits.rate_max, v_limits.part_concurrency, v_limits.part_rate_max) IS NOT NULL THEN
    PERFORM dbos_sys.commit_durably();
  END IF;
  IF v_limits.rate_max IS NOT NULL AND ids <> '{}' THEN
    PERFORM dbos_sys.log_starts(p_application, p_queue, NULL, ARRAY[cardinality(ids)::bigint], v_limits.rate_ms, v_now);
  END IF;
  IF cardinality(ids) >= GREATEST(v_room, 0) THEN
    waits := waits OR v_room_waits OR v_mine < p_limit;
    retry_ms := LEAST(retry_ms, v_room_retry);
  END IF;
  walk_us := (EXTRACT(epoch FROM clock_timestamp() - v_begin) * 1000000)::bigint;
END;
$$;

-- Those of many queues where something waits at all.
CREATE OR REPLACE FUNCTION dbos_sys.busy_queues(p_queues text[], p_limits integer[], p_priority integer[], p_created bigint[])
RETURNS text[]
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN ARRAY(
    SELECT q.name FROM unnest(p_queues, p_limits, p_priority, p_created) AS q(name, free, priority, created)
    WHERE q.free > 0 AND EXISTS (
      SELECT FROM dbos.workflow_status AS w
      WHERE w.status = 'ENQUEUED' AND w.queue_name = q.name
        AND (w.priority, w.created_at) >= (COALESCE(q.priority, -2147483648), COALESCE(q.created, -9223372036854775808)) OFFSET 0));
END;
$$;

-- Runs that are PENDING under these tokens, with inputs and recorded steps. Their ids are as whoever wrote them liked.
CREATE OR REPLACE FUNCTION dbos_sys.load_runs(p_ids text[], p_tokens text[], p_now bigint)
RETURNS TABLE (
  id text, name text, class_name text, queue_name text, inputs text, serialization text, attempts bigint, timeout_ms bigint, deadline_ms bigint,
  created_at bigint, parent_id text, partition_key text, priority integer,
  step_ids integer[], step_names text[], step_outputs text[], step_errors text[], step_children text[], step_serializations text[], now_ms bigint)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN QUERY
  SELECT w.workflow_uuid, w.name, w.class_name::text, w.queue_name, w.inputs, w.serialization, w.recovery_attempts, w.workflow_timeout_ms,
    w.workflow_deadline_epoch_ms, w.created_at, w.parent_workflow_id, w.queue_partition_key, w.priority,
    COALESCE(s.ids, '{}'), COALESCE(s.names, '{}'), COALESCE(s.outputs, '{}'), COALESCE(s.errors, '{}'), COALESCE(s.children, '{}'),
    COALESCE(s.serializations, '{}'), p_now
  FROM unnest(p_ids, p_tokens) WITH ORDINALITY AS r(id, token, place),
  LATERAL (
    SELECT t.workflow_uuid, t.name, t.class_name, t.queue_name, COALESCE(i.inputs, t.inputs) AS inputs, t.serialization, t.recovery_attempts,
      t.workflow_timeout_ms, t.workflow_deadline_epoch_ms, t.created_at, t.parent_workflow_id, t.queue_partition_key, t.priority
    FROM dbos.workflow_status AS t LEFT JOIN dbos.workflow_input AS i ON i.workflow_uuid = t.workflow_uuid
    WHERE t.workflow_uuid = r.id AND t.owner_xid = r.token AND COALESCE(t.status, '') = 'PENDING' OFFSET 0) AS w,
  LATERAL (
    SELECT array_agg(o.function_id) AS ids, array_agg(o.function_name) AS names, array_agg(o.output) AS outputs, array_agg(o.error) AS errors,
      array_agg(o.child_workflow_id) AS children, array_agg(o.serialization) AS serializations
    FROM (SELECT t.* FROM dbos.operation_outputs AS t WHERE t.workflow_uuid = r.id ORDER BY t.function_id OFFSET 0) AS o) AS s
  ORDER BY r.place;
END;
$$;

CREATE OR REPLACE FUNCTION dbos_sys.load(p_ids text[], p_tokens text[])
RETURNS TABLE (
  id text, name text, class_name text, queue_name text, inputs text, serialization text, attempts bigint, timeout_ms bigint, deadline_ms bigint,
  created_at bigint, parent_id text, partition_key text, priority integer,
  step_ids integer[], step_names text[], step_outputs text[], step_errors text[], step_children text[], step_serializations text[], now_ms bigint)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET jit = off
SET plan_cache_mode = force_generic_plan
AS $$
BEGIN
  PERFORM dbos_sys.check_keys(p_ids, p_tokens);
  RETURN QUERY SELECT l.* FROM dbos_sys.load_runs(p_ids, p_tokens, dbos_sys.now_ms()) AS l;
END;
$$;
COMMENT ON FUNCTION dbos_sys.load(text[], text[]) IS
'Runs that the caller holds under these owner tokens, with inputs and recorded steps (by function id), as claim() returned them: no attempt is
counted. Runs that are not held so any more are left out. Times in ms. Errors: WF001.';

CREATE OR REPLACE FUNCTION dbos_sys.check_claim(
  p_version text, p_token text, p_queues text[], p_limits integer[], p_names text[], p_classes text[], p_max integer[], p_priority integer[], p_created bigint[],
  p_running integer[])
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  v_flat CONSTANT boolean := COALESCE(array_dims(p_queues) ~ '^\[1:\d+\]$' AND array_dims(p_names) ~ '^\[1:\d+\]$', false);
BEGIN
  -- Every trip comes by here, so what is wrong is told apart only where something is.
  IF NOT v_flat OR EXISTS (SELECT FROM unnest(p_queues || p_names || p_version || p_token) AS v(value) WHERE (btrim(v.value, E' \t\n\r\f\x0b') <> '') IS NOT TRUE)
    OR octet_length(p_version) > 255 OR octet_length(p_token) > 40 THEN
    PERFORM dbos_sys.check_list('queue', p_queues);
    PERFORM dbos_sys.check_list('workflow name', p_names);
    PERFORM dbos_sys.check_text('version', p_version);
    PERFORM dbos_sys.check_text('owner token', p_token);
  END IF;
  -- The queues and the names are flat from here on.
  IF p_limits IS NULL OR p_classes IS NULL OR p_max IS NULL OR array_dims(p_limits) IS DISTINCT FROM array_dims(p_queues)
    OR array_dims(p_classes) IS DISTINCT FROM array_dims(p_names) OR array_dims(p_max) IS DISTINCT FROM array_dims(p_names) THEN
    PERFORM dbos_sys.fail('WF001', format('%s limits of %s queues; %s classes and %s numbers of recoveries of %s names', dbos_sys.shape(p_limits),
      cardinality(p_queues), dbos_sys.shape(p_classes), dbos_sys.shape(p_max), cardinality(p_names)), NULL,
      'Give one limit per queue; one class ('''' for none) and one number of recoveries per name.');
  ELSIF array_position(p_limits, NULL) IS NOT NULL OR array_position(p_classes, NULL) IS NOT NULL THEN
    PERFORM dbos_sys.fail('WF001', 'a limit or a class is NULL', NULL, 'Give 0 for a queue that is left alone, '''' for no class.');
  ELSIF 0 > ANY (p_max) THEN
    PERFORM dbos_sys.fail('WF001', format('a number of recoveries is negative: %s', left(p_max::text, 60)), NULL, 'Give 0 or more, or NULL for any number.');
  ELSIF (p_priority IS NULL) <> (p_created IS NULL) OR p_priority IS NOT NULL AND (
      array_dims(p_priority) IS DISTINCT FROM array_dims(p_queues) OR array_dims(p_created) IS DISTINCT FROM array_dims(p_queues)) THEN
    PERFORM dbos_sys.fail('WF001', format('%s and %s places of %s queues', dbos_sys.shape(p_priority), dbos_sys.shape(p_created), cardinality(p_queues)), NULL,
      'Give one priority and one time per queue, NULL for its head; or NULL for both.');
  ELSIF p_running IS NOT NULL AND array_dims(p_running) IS DISTINCT FROM array_dims(p_queues) OR 0 > ANY (p_running) THEN
    PERFORM dbos_sys.fail('WF001', format('%s numbers of running workflows of %s queues: %s', dbos_sys.shape(p_running), cardinality(p_queues),
      left(p_running::text, 60)), NULL, 'Give one number per queue, 0 or more, or NULL where they are to be counted; or NULL for all.');
  END IF;
END;
$$;

CREATE OR REPLACE FUNCTION dbos_sys.claim(
  p_application text, p_executor text, p_incarnation text, p_version text, p_token text,
  p_queues text[], p_limits integer[], p_names text[], p_classes text[], p_max_attempts integer[],
  p_after_priority integer[] DEFAULT NULL, p_after_created bigint[] DEFAULT NULL, p_running integer[] DEFAULT NULL)
RETURNS TABLE (
  id text, name text, class_name text, queue_name text, inputs text, serialization text, attempts bigint, timeout_ms bigint, deadline_ms bigint,
  created_at bigint, parent_id text, partition_key text, priority integer,
  step_ids integer[], step_names text[], step_outputs text[], step_errors text[], step_children text[], step_serializations text[], now_ms bigint,
  first_run boolean, waits boolean, retry_ms integer, walk_us bigint, workers integer)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET dbos_sys.quiet = on
SET enable_seqscan = off
SET jit = off
SET enable_bitmapscan = off
SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
  v_latest boolean;
  v_keys text[];
  v_ids text[] := '{}';
  v_again text[] := '{}';
  v_busy text[] := p_queues;
  v_queue record;
  v_got record;
BEGIN
  PERFORM dbos_sys.check_claim(p_version, p_token, p_queues, p_limits, p_names, p_classes, p_max_attempts, p_after_priority, p_after_created,
    p_running);
  PERFORM dbos_sys.hold_incarnation(p_application, p_executor, p_incarnation);
  v_latest := dbos_sys.is_latest_version(p_application, p_version);
  v_keys := ARRAY(SELECT n.name || E'\x1f' || COALESCE(n.class, '') FROM unnest(p_names, p_classes) AS n(name, class));
  IF cardinality(p_queues) > 4 THEN
    v_busy := dbos_sys.busy_queues(p_queues, p_limits, p_after_priority, p_after_created);
  END IF;
  FOR v_queue IN
    SELECT q.name, q.free, q.priority, q.created, q.running
    FROM unnest(p_queues, p_limits, p_after_priority, p_after_created, p_running) AS q(name, free, priority, created, running)
    WHERE (q.free > 0 AND q.name = ANY (v_busy)) OR (q.free = 0 AND p_after_priority IS NOT NULL) ORDER BY q.name
  LOOP
    SELECT c.* INTO v_got FROM dbos_sys.claim_one(p_application, p_executor, p_version, v_latest, p_token, v_queue.name, v_queue.free, v_keys,
      p_max_attempts, v_queue.priority, v_queue.created, v_queue.running) AS c;
    v_ids := v_ids || v_got.ids;
    v_again := v_again || v_got.again;
    IF p_after_priority IS NOT NULL THEN
      queue_name := v_queue.name;
      waits := v_got.waits;
      retry_ms := v_got.retry_ms;
      walk_us := v_got.walk_us;
      workers := v_got.workers;
      priority := v_got.priority;
      created_at := v_got.created;
      now_ms := dbos_sys.now_ms();
      RETURN NEXT;
    END IF;
  END LOOP;
  IF v_ids <> '{}' THEN
    RETURN QUERY SELECT l.*, l.id <> ALL (v_again), NULL::boolean, NULL::integer, NULL::bigint, NULL::integer
    FROM dbos_sys.load_runs(v_ids, array_fill(p_token, ARRAY[cardinality(v_ids)]), dbos_sys.now_ms()) AS l;
  END IF;
END;
$$;
COMMENT ON FUNCTION dbos_sys.claim(text, text, text, text, text, text[], integer[], text[], text[], integer[], integer[], bigint[], integer[]) IS
'Takes waiting runs for an executor: per queue at most its limit (0 or less: none), lowest priority number and oldest first, of the given names
and classes (exactly; '''' = none) and of no configured instance, of the caller''s version (and without one, if that is the newest), of its
application or of none. p_token: a fresh uuid, the owner token of all runs that come back. p_max_attempts: recoveries a run may have (NULL: any
number); beyond that it goes to the dead letter. first_run: no executor has had the run before. Limits of the queue''s row in dbos.queues are
kept; a partitioned queue is shared among its partition keys. p_after_priority, p_after_created: per queue the place in its order from which to
look (NULL: its head), for callers that have just found many dead or foreign entries there; partitioned queues have none. With them one more row
per queue that has work or limit 0 comes back, id NULL: workers (its worker_concurrency), waits (the end of a run makes room for more), retry_ms (look again then), priority and created_at
(place of the last run taken), walk_us (what the look cost). p_running: how many workflows of each queue this executor runs, from whoever knows
them all; NULL, as a whole or for a queue: they are counted, which is dear on a busy queue. Never waits for a lock. Errors: WF001, WF021 (register again).';
