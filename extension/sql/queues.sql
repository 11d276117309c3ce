-- Queues: rows of dbos.queues, with upstream's columns and rules. The internal queue has no row and no limits.

-- Options of register_queue(); partition limits are known here only to be refused by name.
CREATE OR REPLACE FUNCTION dbos_sys.check_queue_options(p_name text, p_options jsonb)
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
  FOR v_option IN SELECT e.key, e.value, jsonb_typeof(e.value) AS type FROM jsonb_each(p_options) AS e ORDER BY e.key LOOP
    IF v_option.key LIKE 'partition\_%' THEN
      PERFORM dbos_sys.fail('WF031', format('queue %s: option %s', dbos_sys.shown(p_name), v_option.key), 'This version does not keep limits per partition.',
        'Leave it out.');
    ELSIF v_option.key IN ('concurrency', 'worker_concurrency', 'rate_limit_max') THEN
      IF v_option.type <> 'number' OR v_option.value::text !~ '^\d{1,10}$' OR v_option.value::numeric NOT BETWEEN 1 AND 2147483647 THEN
        PERFORM dbos_sys.fail('WF001', format('option %s is %s', v_option.key, left(v_option.value::text, 60)), NULL, 'Give a whole number from 1 to 2147483647.');
      END IF;
    ELSIF v_option.key IN ('rate_limit_period_sec', 'polling_interval_sec') THEN
      IF v_option.type <> 'number' OR v_option.value::numeric NOT BETWEEN 0.001 AND 3155760000 THEN
        PERFORM dbos_sys.fail('WF001', format('option %s is %s', v_option.key, left(v_option.value::text, 60)), NULL, 'Give 0.001 to 3155760000 s (100 years).');
      END IF;
    ELSIF v_option.key = 'application_name' THEN
      IF v_option.type <> 'string' THEN
        PERFORM dbos_sys.fail('WF001', format('option application_name is %s', left(v_option.value::text, 60)), NULL, 'Give a text, or leave it out.');
      END IF;
      PERFORM dbos_sys.check_text('application name', v_option.value #>> '{}');
    ELSIF v_option.key = 'on_conflict' THEN
      IF v_option.value NOT IN ('"always_update"', '"never_update"') THEN
        PERFORM dbos_sys.fail('WF001', format('option on_conflict is %s', left(v_option.value::text, 60)), NULL, 'Give always_update or never_update.');
      END IF;
    ELSE
      PERFORM dbos_sys.fail('WF001', format('unknown option %s', dbos_sys.shown(v_option.key)), NULL,
        'Options are: application_name, concurrency, on_conflict, polling_interval_sec, rate_limit_max, rate_limit_period_sec, worker_concurrency.');
    END IF;
  END LOOP;
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

CREATE OR REPLACE FUNCTION dbos_sys.register_queue(p_name text, p_options jsonb DEFAULT '{}')
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  v_now bigint := dbos_sys.now_ms();
  v_owner text;
BEGIN
  PERFORM dbos_sys.check_queue_name(p_name);
  PERFORM dbos_sys.check_queue_options(p_name, p_options);
  IF (p_options ->> 'worker_concurrency')::integer > (p_options ->> 'concurrency')::integer THEN
    PERFORM dbos_sys.fail('WF001', format('worker_concurrency %s exceeds concurrency %s', p_options ->> 'worker_concurrency', p_options ->> 'concurrency'),
      'One worker cannot run more than all workers together.', 'Lower worker_concurrency, or raise concurrency.');
  ELSIF (p_options ? 'rate_limit_max') <> (p_options ? 'rate_limit_period_sec') THEN
    PERFORM dbos_sys.fail('WF001', 'rate_limit_max and rate_limit_period_sec go together', NULL, 'Give both, or none.');
  END IF;
  INSERT INTO dbos.queues AS q (queue_id, name, concurrency, worker_concurrency, rate_limit_max, rate_limit_period_sec, priority_enabled,
    partition_queue, polling_interval_sec, created_at, updated_at, application_name)
  VALUES (gen_random_uuid()::text, p_name, (p_options ->> 'concurrency')::integer, (p_options ->> 'worker_concurrency')::integer,
    (p_options ->> 'rate_limit_max')::integer, (p_options ->> 'rate_limit_period_sec')::double precision, true,
    false, COALESCE((p_options ->> 'polling_interval_sec')::double precision, 1.0), v_now, v_now, p_options ->> 'application_name')
  ON CONFLICT (name) DO UPDATE
  SET concurrency = EXCLUDED.concurrency, worker_concurrency = EXCLUDED.worker_concurrency, rate_limit_max = EXCLUDED.rate_limit_max,
    rate_limit_period_sec = EXCLUDED.rate_limit_period_sec, priority_enabled = true, polling_interval_sec = EXCLUDED.polling_interval_sec,
    partition_queue = false, partition_concurrency = NULL, partition_worker_concurrency = NULL, partition_rate_limit_max = NULL,
    partition_rate_limit_period_sec = NULL, updated_at = EXCLUDED.updated_at, application_name = COALESCE(q.application_name, EXCLUDED.application_name)
  WHERE COALESCE(p_options ->> 'on_conflict', 'always_update') = 'always_update'
    AND COALESCE(q.application_name = EXCLUDED.application_name, true);
  SELECT q.application_name INTO v_owner FROM dbos.queues AS q WHERE q.name = p_name;
  IF v_owner <> p_options ->> 'application_name' THEN
    PERFORM dbos_sys.fail('WF001', format('queue %s belongs to application %s', dbos_sys.shown(p_name), dbos_sys.shown(v_owner)), NULL, 'Take another queue name.');
  END IF;
END;
$$;
COMMENT ON FUNCTION dbos_sys.register_queue(text, jsonb) IS
'Makes a queue, or replaces its limits. Options: concurrency (runs at once, all executors), worker_concurrency (per executor, kept by the
executor), rate_limit_max per rate_limit_period_sec (starts), polling_interval_sec (1.0), application_name (its owner; kept once set),
on_conflict (always_update, the default, or never_update). Errors: WF001, WF031 (limits per partition).';

CREATE OR REPLACE FUNCTION dbos_sys.drop_queue(p_name text)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  PERFORM dbos_sys.check_text('queue', p_name);
  DELETE FROM dbos.queues AS q WHERE q.name = p_name;
  IF NOT FOUND THEN
    PERFORM dbos_sys.fail('WF030', format('queue %s is not registered', dbos_sys.shown(p_name)), NULL, 'SELECT * FROM dbos_sys.queues() lists them.');
  END IF;
END;
$$;
COMMENT ON FUNCTION dbos_sys.drop_queue(text) IS
'Takes a queue off the list. Its waiting workflows stay ENQUEUED until somebody serves the queue. Errors: WF001, WF030 (not registered).';

CREATE OR REPLACE FUNCTION dbos_sys.queues()
RETURNS TABLE (
  name text, application_name text, concurrency integer, worker_concurrency integer, rate_limit_max integer, rate_limit_period_sec double precision,
  polling_interval_sec double precision, partitioned boolean, created_at bigint, updated_at bigint)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN QUERY
  SELECT q.name, q.application_name, q.concurrency, q.worker_concurrency, q.rate_limit_max, q.rate_limit_period_sec, q.polling_interval_sec,
    q.partition_queue OR COALESCE(q.partition_concurrency, q.partition_worker_concurrency, q.partition_rate_limit_max) IS NOT NULL,
    q.created_at, q.updated_at
  FROM dbos.queues AS q ORDER BY q.name;
END;
$$;
COMMENT ON FUNCTION dbos_sys.queues() IS 'Registered queues of every application with their limits; times in ms since 1970.';
