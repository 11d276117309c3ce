-- claim(): ENQUEUED runs become PENDING under a token of the caller, and come back with inputs and recorded steps. load(): a held run
-- read again. Lock order: the executor's advisory lock (shared), limited queues' advisory locks by name, rows without waiting.

-- How many runs of the queue may be taken now, at most `p_limit`, by upstream's limits on its row. A queue with a shared limit is counted
-- under a lock that is held until the claim has committed, and never waited for. Queues with limits per partition, which this version does
-- not keep, are left to the SDKs that do: no room. `rate`: whether the runs count for a rate limit.
CREATE OR REPLACE FUNCTION dbos_sys.queue_room(
  p_application text, p_queue text, p_limit integer, p_now bigint, OUT room bigint, OUT rate boolean)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  v_queue record;
BEGIN
  SELECT q.concurrency, q.rate_limit_max, q.rate_limit_period_sec,
    q.partition_queue OR COALESCE(q.partition_concurrency, q.partition_worker_concurrency, q.partition_rate_limit_max) IS NOT NULL AS partitioned, s.paused
  INTO v_queue FROM dbos.queues AS q LEFT JOIN dbos_ops.queue_settings AS s ON s.queue_name = q.name WHERE q.name = p_queue;
  room := p_limit;
  rate := v_queue.rate_limit_max IS NOT NULL;
  IF v_queue.partitioned OR v_queue.paused THEN
    room := 0;
    RETURN;
  ELSIF (v_queue.concurrency IS NOT NULL OR rate) AND NOT pg_try_advisory_xact_lock(hashtextextended('dbos_sys.queue:' || p_queue, 0)) THEN
    -- Another claim is counting: its caller takes what there is, this one looks again later.
    room := 0;
    RETURN;
  END IF;
  IF v_queue.concurrency IS NOT NULL THEN
    room := LEAST(room, v_queue.concurrency - (
      SELECT count(*) FROM dbos.workflow_status AS w
      WHERE w.status = 'PENDING' AND w.queue_name = p_queue AND (w.application_name = p_application OR w.application_name IS NULL)));
  END IF;
  IF rate THEN
    room := LEAST(room, v_queue.rate_limit_max - (
      SELECT count(*) FROM dbos.workflow_status AS w
      WHERE w.rate_limited = true AND w.status NOT IN ('ENQUEUED', 'DELAYED') AND w.queue_name = p_queue
        AND w.started_at_epoch_ms > p_now - (v_queue.rate_limit_period_sec * 1000)::bigint
        AND (w.application_name = p_application OR w.application_name IS NULL)));
  END IF;
END;
$$;

-- Takes up to `p_room` runs of one queue and returns their ids in claim order, and (mostly none) those among them that an executor has had
-- before: resume starts attempts from 0, but leaves the executor. `p_keys` are name and class of the workflows that the caller knows, `p_max` the
-- recoveries each may have: who has used them up goes to the dead letter instead.
CREATE OR REPLACE FUNCTION dbos_sys.claim_queue(
  p_application text, p_executor text, p_version text, p_latest boolean, p_token text, p_queue text, p_room bigint, p_rate boolean,
  p_keys text[], p_max integer[], p_now bigint, OUT ids text[], OUT again text[])
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  v_dead text[];
BEGIN
  WITH picked AS MATERIALIZED (
    SELECT w.workflow_uuid AS id, COALESCE(w.recovery_attempts, 0) > 0 OR COALESCE(w.executor_id, '') <> '' AS again,
      COALESCE(w.recovery_attempts, 0) > p_max[array_position(p_keys, w.name || E'\x1f' || COALESCE(w.class_name, ''))] AS dead
    FROM dbos.workflow_status AS w
    WHERE w.status = 'ENQUEUED' AND w.queue_name = p_queue
      AND (w.application_version = p_version OR (p_latest AND w.application_version IS NULL))
      AND (w.application_name = p_application OR w.application_name IS NULL)
      AND w.name || E'\x1f' || COALESCE(w.class_name, '') = ANY (p_keys) AND COALESCE(w.config_name, '') = ''
    ORDER BY w.priority, w.created_at LIMIT p_room
    FOR NO KEY UPDATE SKIP LOCKED)
  SELECT COALESCE(array_agg(p.id) FILTER (WHERE p.dead IS NOT TRUE), '{}'), array_agg(p.id) FILTER (WHERE p.again), array_agg(p.id) FILTER (WHERE p.dead)
  INTO ids, again, v_dead FROM picked AS p;
  UPDATE dbos.workflow_status AS w
  SET status = 'PENDING', owner_xid = p_token, executor_id = p_executor, application_version = p_version,
    application_name = COALESCE(w.application_name, p_application), recovery_attempts = COALESCE(w.recovery_attempts, 0) + 1,
    started_at_epoch_ms = p_now, updated_at = p_now, rate_limited = p_rate,
    workflow_deadline_epoch_ms = COALESCE(w.workflow_deadline_epoch_ms, p_now + w.workflow_timeout_ms)
  WHERE w.workflow_uuid = ANY (ids);
  IF v_dead IS NOT NULL THEN
    UPDATE dbos.workflow_status AS w
    SET status = 'MAX_RECOVERY_ATTEMPTS_EXCEEDED', recovery_attempts = COALESCE(w.recovery_attempts, 0) + 1, owner_xid = NULL, queue_name = NULL,
      deduplication_id = NULL, started_at_epoch_ms = NULL, completed_at = p_now, updated_at = p_now
    WHERE w.workflow_uuid = ANY (v_dead);
    PERFORM dbos_sys.wake(false, true);
  END IF;
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

CREATE OR REPLACE FUNCTION dbos_sys.check_claim(p_queues text[], p_limits integer[], p_names text[], p_classes text[], p_max integer[])
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  PERFORM dbos_sys.check_list('queue', p_queues);
  PERFORM dbos_sys.check_list('workflow name', p_names);
  IF dbos_sys.shape(p_limits) <> cardinality(p_queues)::text OR dbos_sys.shape(p_classes) <> cardinality(p_names)::text
    OR dbos_sys.shape(p_max) <> cardinality(p_names)::text THEN
    PERFORM dbos_sys.fail('WF001', format('%s limits of %s queues; %s classes and %s numbers of recoveries of %s names', dbos_sys.shape(p_limits),
      cardinality(p_queues), dbos_sys.shape(p_classes), dbos_sys.shape(p_max), cardinality(p_names)), NULL,
      'Give one limit per queue; one class ('''' for none) and one number of recoveries per name.');
  ELSIF array_position(p_limits, NULL) IS NOT NULL OR array_position(p_classes, NULL) IS NOT NULL THEN
    PERFORM dbos_sys.fail('WF001', 'a limit or a class is NULL', NULL, 'Give 0 for a queue that is left alone, '''' for no class.');
  ELSIF 0 > ANY (p_max) THEN
    PERFORM dbos_sys.fail('WF001', format('a number of recoveries is negative: %s', left(p_max::text, 60)), NULL, 'Give 0 or more, or NULL for any number.');
  END IF;
END;
$$;

CREATE OR REPLACE FUNCTION dbos_sys.claim(
  p_application text, p_executor text, p_incarnation text, p_version text, p_token text,
  p_queues text[], p_limits integer[], p_names text[], p_classes text[], p_max_attempts integer[])
RETURNS TABLE (
  id text, name text, class_name text, queue_name text, inputs text, serialization text, attempts bigint, timeout_ms bigint, deadline_ms bigint,
  created_at bigint, parent_id text, partition_key text, priority integer,
  step_ids integer[], step_names text[], step_outputs text[], step_errors text[], step_children text[], step_serializations text[], now_ms bigint,
  first_run boolean)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET dbos_sys.quiet = on
SET enable_seqscan = off
SET jit = off
SET enable_bitmapscan = off
SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
  v_now bigint := dbos_sys.now_ms();
  v_latest boolean;
  v_keys text[];
  v_ids text[] := '{}';
  v_again text[] := '{}';
  v_queue record;
  v_free record;
BEGIN
  PERFORM dbos_sys.check_claim(p_queues, p_limits, p_names, p_classes, p_max_attempts);
  PERFORM dbos_sys.check_text('version', p_version);
  PERFORM dbos_sys.check_text('owner token', p_token);
  PERFORM dbos_sys.hold_incarnation(p_application, p_executor, p_incarnation);
  v_latest := dbos_sys.is_latest_version(p_application, p_version);
  v_keys := ARRAY(SELECT n.name || E'\x1f' || COALESCE(n.class, '') FROM unnest(p_names, p_classes) AS n(name, class));
  FOR v_queue IN SELECT q.name, q.free FROM unnest(p_queues, p_limits) AS q(name, free) WHERE q.free > 0 ORDER BY q.name LOOP
    SELECT r.room, r.rate INTO v_free FROM dbos_sys.queue_room(p_application, v_queue.name, v_queue.free, v_now) AS r;
    CONTINUE WHEN v_free.room <= 0;
    SELECT v_ids || t.ids, v_again || t.again INTO v_ids, v_again
    FROM dbos_sys.claim_queue(p_application, p_executor, p_version, v_latest, p_token, v_queue.name, v_free.room, v_free.rate, v_keys,
      p_max_attempts, v_now) AS t;
  END LOOP;
  IF v_ids <> '{}' THEN
    RETURN QUERY SELECT l.*, l.id <> ALL (v_again) FROM dbos_sys.load_runs(v_ids, array_fill(p_token, ARRAY[cardinality(v_ids)]), v_now) AS l;
  END IF;
END;
$$;
COMMENT ON FUNCTION dbos_sys.claim(text, text, text, text, text, text[], integer[], text[], text[], integer[]) IS
'Takes waiting runs for an executor: per queue at most its limit (0 or less: none), lowest priority number and oldest first, of the given names
and classes (exactly; '''' = none) and of no configured instance, of the caller''s version (and without one, if that is the newest), of its
application or of none. p_token: a fresh uuid, the owner token of all runs that come back. p_max_attempts: recoveries a run may have (NULL: any
number); beyond that it goes to the dead letter. first_run: no executor
has had the run before. Limits of the queue''s row in dbos.queues are kept; a queue with limits per partition is left
alone. Never waits for a lock.
Errors: WF001, WF021 (register again).';
