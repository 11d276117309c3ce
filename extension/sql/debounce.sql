-- Debounce: one DELAYED run per key, which each further call puts off and gives new inputs, on upstream's columns and keys, so that an
-- official SDK's debouncer and this one work on the same run. Lock order: the row of the run, then the unique keys of a new one.

CREATE OR REPLACE FUNCTION dbos_sys.check_debounce(p_name text, p_key text, p_delay_ms bigint, p_deadline_ms bigint, p_options jsonb)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  v_option text;
BEGIN
  PERFORM dbos_sys.check_text('workflow name', p_name);
  PERFORM dbos_sys.check_text('debounce key', p_key);
  IF p_delay_ms IS NULL THEN
    PERFORM dbos_sys.fail('WF001', 'delay is NULL', NULL, 'Give a positive number of ms.');
  ELSIF jsonb_typeof(p_options) IS DISTINCT FROM 'object' THEN
    PERFORM dbos_sys.fail('WF001', format('options are %s', COALESCE(left(p_options::text, 60), 'NULL')), NULL, 'Give a JSON object.');
  END IF;
  PERFORM dbos_sys.check_span('delay', p_delay_ms);
  PERFORM dbos_sys.check_span('deadline', p_deadline_ms);
  SELECT o.key INTO v_option FROM jsonb_object_keys(p_options) AS o(key)
  WHERE o.key IN ('deduplication_id', 'on_duplicate', 'delay_ms', 'priority', 'partition_key', 'config_name', 'serialization', 'parent_run',
    'parent_fid') ORDER BY o.key LIMIT 1;
  IF FOUND THEN
    PERFORM dbos_sys.fail('WF001', format('option %s does not go with a debounce', v_option),
      'The key is its deduplication id and the delay its own; what is put off has no priority, partition or instance.', 'Leave it out.');
  END IF;
END;
$$;

-- Puts off the run that holds the key. NULL: nobody holds it. `busy`: its holder is being released, or taken by another transaction.
CREATE OR REPLACE FUNCTION dbos_sys.bounce(
  p_name text, p_class text, p_queue text, p_key text, p_until bigint, p_now bigint, p_inputs text, p_application text, OUT id text, OUT busy boolean)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
AS $$
DECLARE
  v_holder record;
BEGIN
  UPDATE dbos.workflow_status AS w
  SET delay_until_epoch_ms = LEAST(p_until, w.debounce_deadline_epoch_ms), serialization = 'portable_json', updated_at = p_now,
    application_name = COALESCE(w.application_name, p_application)
  WHERE w.queue_name = p_queue AND w.deduplication_id = p_key AND w.status = 'DELAYED' AND w.is_debounced
    AND w.name = p_name AND w.class_name IS NOT DISTINCT FROM p_class
    AND (w.application_name = p_application OR w.application_name IS NULL OR p_application IS NULL)
  RETURNING w.workflow_uuid INTO id;
  IF FOUND THEN
    INSERT INTO dbos.workflow_input AS i (workflow_uuid, inputs, retention_timestamp) VALUES (id, p_inputs, p_now)
    ON CONFLICT (workflow_uuid) DO UPDATE SET inputs = EXCLUDED.inputs;
    RETURN;
  END IF;
  SELECT w.workflow_uuid, w.name, w.class_name, w.application_name, w.status,
    w.is_debounced AND w.name = p_name AND w.class_name IS NOT DISTINCT FROM p_class
      AND COALESCE(w.application_name = p_application, true) AS ours
  INTO v_holder FROM dbos.workflow_status AS w WHERE w.queue_name = p_queue AND w.deduplication_id = p_key;
  IF v_holder.workflow_uuid IS NOT NULL AND NOT v_holder.ours THEN
    PERFORM dbos_sys.fail('WF012', format('queue %s has another workflow of the deduplication id %s', dbos_sys.shown(p_queue), dbos_sys.shown(p_key)),
      format('Its id is %s, its name %s; it is no debounced run of %s in this application.', v_holder.workflow_uuid, v_holder.name, p_name),
      'Wait for it, or take another key or queue.');
  END IF;
  busy := v_holder.ours;
END;
$$;

-- A new run that holds the key. NULL: somebody else was first.
CREATE OR REPLACE FUNCTION dbos_sys.enqueue_debounced(
  p_id text, p_name text, p_inputs text, p_options jsonb, p_deadline bigint)
RETURNS text
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
AS $$
DECLARE
  v_id text;
BEGIN
  v_id := (SELECT e.id FROM dbos_sys.enqueue_checked(ARRAY[p_id], ARRAY[gen_random_uuid()::text], ARRAY[p_name], ARRAY[p_inputs], ARRAY[p_options]) AS e(id));
  -- The id may have been given, and be that of a run which exists.
  UPDATE dbos.workflow_status AS w
  SET is_debounced = true, debounce_deadline_epoch_ms = p_deadline, delay_until_epoch_ms = LEAST(w.delay_until_epoch_ms, p_deadline)
  WHERE w.workflow_uuid = v_id AND w.status = 'DELAYED' AND w.queue_name = p_options ->> 'queue' AND w.deduplication_id = p_options ->> 'deduplication_id';
  RETURN v_id;
EXCEPTION WHEN SQLSTATE 'WF012' THEN
  RETURN NULL;
END;
$$;

-- debounce() with the inputs as text, in the portable envelope, and the queue among the options.
CREATE OR REPLACE FUNCTION dbos_sys.debounce_inputs(
  p_name text, p_key text, p_delay_ms bigint, p_inputs text, p_deadline_ms bigint, p_options jsonb, p_id text)
RETURNS text
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  v_queue text := p_options ->> 'queue';
  v_key text;
  v_options jsonb;
  v_id text := COALESCE(p_id, dbos_sys.new_id());
  v_now bigint;
  v_bounced record;
BEGIN
  PERFORM dbos_sys.check_isolation();
  PERFORM dbos_sys.check_debounce(p_name, p_key, p_delay_ms, p_deadline_ms, p_options);
  PERFORM dbos_sys.check_text('queue', v_queue);
  v_key := format('%s.%s-%s', COALESCE(p_options ->> 'class_name', ''), p_name, p_key);
  v_options := p_options || jsonb_build_object('deduplication_id', v_key, 'delay_ms', LEAST(p_delay_ms, p_deadline_ms));
  PERFORM dbos_sys.check_runs(ARRAY[v_id], ARRAY[gen_random_uuid()::text], ARRAY[p_name], ARRAY[p_inputs], ARRAY[v_options], ARRAY[NULL::text]);
  PERFORM dbos_sys.check_inputs(ARRAY[p_inputs], ARRAY[v_options], ARRAY[true]);
  PERFORM dbos_sys.warn_of_queue(v_queue);
  -- Each turn sees what others have committed meanwhile; more than two need a third caller in between.
  FOR i IN 1 .. 10 LOOP
    v_now := dbos_sys.now_ms();
    SELECT b.id, b.busy INTO v_bounced FROM dbos_sys.bounce(p_name, p_options ->> 'class_name', v_queue, v_key, v_now + p_delay_ms, v_now, p_inputs,
      p_options ->> 'application_name') AS b;
    IF v_bounced.id IS NULL AND v_bounced.busy IS NULL THEN
      v_bounced.id := dbos_sys.enqueue_debounced(v_id, p_name, p_inputs, v_options, v_now + p_deadline_ms);
    END IF;
    IF v_bounced.id IS NOT NULL THEN
      RETURN v_bounced.id;
    END IF;
  END LOOP;
  PERFORM dbos_sys.fail('40001', format('the debounced workflow of key %s is being released', dbos_sys.shown(p_key)), NULL, 'Try again.');
END;
$$;

CREATE OR REPLACE FUNCTION dbos_sys.debounce(
  p_name text, p_key text, p_delay_ms bigint, p_args jsonb DEFAULT '[]', p_deadline_ms bigint DEFAULT NULL,
  p_queue text DEFAULT '_dbos_internal_queue', p_options jsonb DEFAULT '{}', p_id text DEFAULT NULL)
RETURNS text
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  IF jsonb_typeof(p_options) = 'object' AND p_options ? 'queue' THEN
    PERFORM dbos_sys.fail('WF001', format('options are %s', left(p_options::text, 200)), 'queue is an argument of its own.', 'Leave it out.');
  END IF;
  RETURN dbos_sys.debounce_inputs(p_name, p_key, p_delay_ms, dbos_sys.portable_inputs(p_args), p_deadline_ms,
    CASE WHEN jsonb_typeof(p_options) = 'object' THEN p_options || jsonb_build_object('queue', p_queue) ELSE p_options END, p_id);
END;
$$;
COMMENT ON FUNCTION dbos_sys.debounce(text, text, bigint, jsonb, bigint, text, jsonb, text) IS
'Starts a workflow once calls with its key have paused for p_delay_ms, with the arguments of the last call; at the latest p_deadline_ms after the
first (NULL: calls may put it off for ever). Returns the id of the run that all these calls share; once it has started, the next call begins
another. p_id: the id of a new run. Keys are shared with the official SDKs'' debouncers of the same workflow name, class and queue. p_options:
those of enqueue(), but for deduplication_id, delay_ms, priority, partition_key, config_name, serialization and on_duplicate.
Errors: WF001, WF011 (id of another workflow), WF012 (the key belongs to a run that is not debounced, or to another application), 40001.';
