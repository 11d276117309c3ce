-- New runs: their options, the rows, what happens when an id or a deduplication id is taken, and the calls start() and enqueue().
-- Runs come as arrays of equal length; `take` is a mask over them, so that a part is handled without copying the arrays.

-- Options of a new run and what each may hold.
CREATE OR REPLACE FUNCTION dbos_sys.run_option_kinds()
RETURNS jsonb
LANGUAGE plpgsql
IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN '{"queue": "name", "class_name": "name", "config_name": "name", "deduplication_id": "id", "partition_key": "key",
    "priority": "integer", "parent_run": "integer", "parent_fid": "integer", "parent_id": "id", "delay_ms": "delay",
    "timeout_ms": "span", "deadline_epoch_ms": "time", "application_name": "name or null", "application_version": "name or null",
    "authenticated_user": "text", "assumed_role": "text", "authenticated_roles": "array", "attributes": "object",
    "serialization": "name", "on_duplicate": "policy"}'::jsonb;
END;
$$;

-- Raises when `p_value` is not what option `p_key` may hold.
CREATE OR REPLACE FUNCTION dbos_sys.check_option(p_key text, p_value jsonb)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  v_kind text := dbos_sys.run_option_kinds() ->> p_key;
  v_type text := jsonb_typeof(p_value);
  v_text text := p_value #>> '{}';
BEGIN
  IF v_kind IS NULL THEN
    PERFORM dbos_sys.fail('WF001', format('unknown option %s', dbos_sys.shown(p_key)), NULL,
      'Options are: ' || (SELECT string_agg(k.key, ', ' ORDER BY k.key) FROM jsonb_object_keys(dbos_sys.run_option_kinds()) AS k(key)) || '.');
  ELSIF v_type <> (CASE WHEN v_kind IN ('array', 'object') THEN v_kind WHEN v_kind IN ('integer', 'delay', 'span', 'time') THEN 'number' ELSE 'string' END)
    AND NOT (v_kind = 'name or null' AND v_type = 'null') THEN
    PERFORM dbos_sys.fail('WF001', format('option %s is %s', p_key, left(p_value::text, 60)), NULL, format('Give %s.', (
      SELECT k.means FROM (VALUES ('name', 'a text'), ('id', 'a text'), ('key', 'a text'), ('text', 'a text'), ('name or null', 'a text or null'), ('integer', 'a number'),
        ('delay', 'a number of ms'), ('span', 'a number of ms'), ('time', 'ms since 1970'), ('array', 'an array of texts'), ('object', 'an object'),
        ('policy', 'reject or return_existing')) AS k(kind, means) WHERE k.kind = v_kind)));
  ELSIF v_type = 'number' AND (v_text !~ '^-?\d+$' OR abs(v_text::numeric) > 9223372036854775807) THEN
    PERFORM dbos_sys.fail('WF001', format('option %s is %s', p_key, left(v_text, 60)), NULL, 'Give a whole number.');
  ELSIF v_kind = 'integer' AND v_text::numeric NOT BETWEEN 0 AND 2147483647 THEN
    PERFORM dbos_sys.fail('WF001', format('option %s is %s', p_key, v_text), NULL, 'Give 0 to 2147483647.');
  ELSIF v_kind IN ('delay', 'span') THEN
    PERFORM dbos_sys.check_span('option ' || p_key, v_text::numeric::bigint, v_kind = 'delay');
  ELSIF v_kind = 'time' THEN
    PERFORM dbos_sys.check_time('option ' || p_key, v_text::numeric::bigint);
  ELSIF v_kind LIKE 'name%' AND v_type = 'string' OR v_kind = 'id' THEN
    IF octet_length(v_text) > 255 OR btrim(v_text, E' \t\n\r\f\x0b') = '' THEN
      PERFORM dbos_sys.check_text('option ' || p_key, v_text);
    END IF;
  ELSIF v_kind = 'key' AND octet_length(v_text) > 1024 THEN
    PERFORM dbos_sys.fail('WF001', format('option %s %s has %s bytes', p_key, dbos_sys.shown(v_text), octet_length(v_text)),
      'At most 1024 bytes are allowed: the key stands in an index.', 'Give a shorter key, as a digest.');
  ELSIF v_kind = 'key' AND octet_length(v_text) <= 255 THEN
    PERFORM dbos_sys.check_text('option ' || p_key, v_text);
  ELSIF v_kind = 'text' AND octet_length(v_text) > 255 THEN
    PERFORM dbos_sys.check_text('option ' || p_key, v_text);
  ELSIF v_kind = 'array' AND jsonb_path_exists(p_value, 'strict $[*] ? (@.type() != "string")') THEN
    PERFORM dbos_sys.fail('WF001', format('option %s is %s', p_key, left(p_value::text, 60)), NULL, 'Give an array of texts.');
  ELSIF v_kind = 'policy' AND v_text NOT IN ('reject', 'return_existing') THEN
    PERFORM dbos_sys.fail('WF001', format('option on_duplicate is %s', dbos_sys.shown(v_text)), NULL, 'Give reject or return_existing.');
  END IF;
END;
$$;

-- A partition key belongs to a partitioned queue, and there every run has one. A queue that nobody registered takes both.
CREATE OR REPLACE FUNCTION dbos_sys.check_partition_keys(p_options jsonb[])
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  v_wrong record;
BEGIN
  SELECT r.queue, r.with_key INTO v_wrong
  FROM (SELECT DISTINCT o.options ->> 'queue' AS queue, o.options ? 'partition_key' AS with_key FROM unnest(p_options) AS o(options)) AS r,
  LATERAL (
    SELECT q.partition_queue OR COALESCE(s.fair, false)
      OR COALESCE(q.partition_concurrency, q.partition_worker_concurrency, q.partition_rate_limit_max) IS NOT NULL AS partitioned
    FROM dbos.queues AS q LEFT JOIN dbos_ops.queue_settings AS s ON s.queue_name = q.name AND s.queue_id = q.queue_id WHERE q.name = r.queue OFFSET 0) AS q
  WHERE q.partitioned <> r.with_key LIMIT 1;
  IF NOT FOUND THEN
    RETURN;
  ELSIF v_wrong.with_key THEN
    PERFORM dbos_sys.fail('WF001', format('partition_key on queue %s, which has no partitions', dbos_sys.shown(v_wrong.queue)), NULL,
      format('Leave it out, or make the queue partitioned: SELECT dbos_sys.alter_queue(%L, ''{"fair_by_partition": true}'');', v_wrong.queue));
  END IF;
  PERFORM dbos_sys.fail('WF001', format('queue %s needs a partition_key', dbos_sys.shown(v_wrong.queue)),
    'It is partitioned: a workflow without a key would never be taken.', 'Add option partition_key.');
END;
$$;

-- Every option by itself (each different value once), then those that need another.
CREATE OR REPLACE FUNCTION dbos_sys.check_options(p_options jsonb[], p_statuses text[])
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  v_wrong jsonb;
  v_rule text;
  v_runs integer := cardinality(p_options);
BEGIN
  SELECT o.options INTO v_wrong FROM unnest(p_options) AS o(options) WHERE jsonb_typeof(o.options) <> 'object' LIMIT 1;
  IF FOUND THEN
    PERFORM dbos_sys.fail('WF001', format('options are %s', left(v_wrong::text, 60)), NULL, 'Give a JSON object.');
  END IF;
  PERFORM dbos_sys.check_option(d.key, d.value)
  FROM (SELECT DISTINCT e.key, e.value FROM unnest(p_options) AS o(options), jsonb_each(o.options) AS e) AS d;
  SELECT o.options, o.rule INTO v_wrong, v_rule
  FROM (
    SELECT u.options, CASE
      WHEN NOT u.options ? 'queue' AND u.options ?| '{deduplication_id,partition_key,priority,delay_ms,on_duplicate}' THEN 'queue'
      WHEN (u.options ? 'parent_run') <> (u.options ? 'parent_fid') OR (u.options ->> 'parent_run')::bigint NOT BETWEEN 1 AND v_runs
        OR (u.options ? 'on_duplicate' AND NOT u.options ? 'deduplication_id') OR (u.status IS NOT NULL AND u.options ? 'queue') THEN 'together'
      WHEN u.options ?& '{partition_key,deduplication_id}' THEN 'partition' END AS rule
    FROM unnest(p_options, p_statuses) AS u(options, status)) AS o
  WHERE o.rule IS NOT NULL LIMIT 1;
  IF v_rule = 'queue' THEN
    PERFORM dbos_sys.fail('WF001', format('options need a queue: %s', left(v_wrong::text, 200)),
      'deduplication_id, partition_key, priority, delay_ms and on_duplicate mean nothing without one.', 'Add option queue, or leave them out.');
  ELSIF v_rule = 'together' THEN
    PERFORM dbos_sys.fail('WF001', format('options do not fit together: %s', left(v_wrong::text, 200)), NULL,
      'parent_run (from 1) and parent_fid go together; on_duplicate needs deduplication_id; a run on a queue has no final status.');
  ELSIF v_rule = 'partition' THEN
    PERFORM dbos_sys.fail('WF001', format('partition_key with deduplication_id: %s', left(v_wrong::text, 200)),
      'A deduplication id holds for the whole queue, not for a partition.', 'Leave one out.');
  END IF;
  PERFORM dbos_sys.check_partition_keys(p_options);
END;
$$;

-- Inputs as text: the portable envelope, unless another format is named. The block costs one subtransaction without an id per call.
CREATE OR REPLACE FUNCTION dbos_sys.check_inputs(p_inputs text[], p_options jsonb[], p_new boolean[])
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  v_input text;
BEGIN
  SELECT r.inputs INTO v_input
  FROM unnest(p_inputs, p_options, p_new) AS r(inputs, o, new), LATERAL (SELECT r.inputs::jsonb AS value OFFSET 0) AS j
  WHERE r.new AND COALESCE(r.o ->> 'serialization', 'portable_json') = 'portable_json'
    AND (jsonb_typeof(j.value) = 'object' AND j.value - '{positionalArgs,namedArgs}'::text[] = '{}'
      AND COALESCE(jsonb_typeof(j.value -> 'positionalArgs'), 'null') IN ('array', 'null')
      AND COALESCE(jsonb_typeof(j.value -> 'namedArgs'), 'null') IN ('object', 'null')) IS NOT TRUE LIMIT 1;
  IF FOUND THEN
    PERFORM dbos_sys.fail('WF001', format('inputs are not the portable envelope: %s', dbos_sys.shown(v_input)), NULL,
      'Give {"positionalArgs": [...], "namedArgs": {...}}; either key may be missing or null.');
  END IF;
EXCEPTION
  WHEN untranslatable_character THEN
    PERFORM dbos_sys.fail('WF001', 'inputs contain the character U+0000', 'PostgreSQL cannot hold it in text or jsonb.', 'Remove or encode it, as base64.');
  WHEN data_exception OR statement_too_complex THEN
    PERFORM dbos_sys.fail('WF001', 'inputs are not JSON', format('%s.', SQLERRM), 'Give {"positionalArgs": [...], "namedArgs": {...}}.');
END;
$$;

-- Arguments of new runs. What a start costs most is here the point: one scan each, JSON only where there are options.
CREATE OR REPLACE FUNCTION dbos_sys.check_runs(
  p_ids text[], p_tokens text[], p_names text[], p_inputs text[], p_options jsonb[], p_statuses text[])
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  IF EXISTS (
    SELECT FROM unnest(p_ids, p_names, p_tokens) AS r(id, name, token)
    WHERE (octet_length(r.id) <= 512 AND octet_length(r.name) <= 255 AND octet_length(r.token) <= 40 AND btrim(r.id, E' \t\n\r\f\x0b') <> ''
      AND btrim(r.name, E' \t\n\r\f\x0b') <> '' AND btrim(r.token, E' \t\n\r\f\x0b') <> '') IS NOT TRUE) THEN
    PERFORM dbos_sys.check_texts('workflow id', p_ids);
    PERFORM dbos_sys.check_texts('workflow name', p_names);
    PERFORM dbos_sys.check_texts('owner token', p_tokens);
  END IF;
  IF pg_column_size(p_inputs) > 1000000 THEN
    PERFORM dbos_sys.check_payloads('input', p_inputs);
  END IF;
  IF cardinality(array_remove(p_options, NULL)) > 0 THEN
    PERFORM dbos_sys.check_options(p_options, p_statuses);
  END IF;
END;
$$;

-- The rows. A duplicate raises 23505. A run without a queue is owned by its token from the start, or stands in its final state at once.
CREATE OR REPLACE FUNCTION dbos_sys.insert_runs(
  p_application text, p_executor text, p_version text, p_now bigint, p_careful boolean, p_take boolean[],
  p_ids text[], p_tokens text[], p_names text[], p_inputs text[], p_options jsonb[], p_statuses text[], p_parents text[])
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  INSERT INTO dbos.workflow_status (
    workflow_uuid, status, name, class_name, config_name, queue_name, deduplication_id, priority, queue_partition_key,
    executor_id, application_name, application_version, recovery_attempts, owner_xid, creator_xid,
    created_at, updated_at, completed_at, delay_until_epoch_ms, workflow_timeout_ms, workflow_deadline_epoch_ms,
    parent_workflow_id, authenticated_user, assumed_role, authenticated_roles, attributes, serialization)
  SELECT r.id,
    CASE WHEN NOT r.queued THEN COALESCE(r.status, 'PENDING') WHEN r.delay > 0 THEN 'DELAYED' ELSE 'ENQUEUED' END,
    r.name, r.o ->> 'class_name', r.o ->> 'config_name', r.o ->> 'queue', r.o ->> 'deduplication_id',
    COALESCE((r.o ->> 'priority')::integer, 0), r.o ->> 'partition_key',
    CASE WHEN NOT r.queued THEN p_executor END,
    CASE WHEN r.queued AND r.o ? 'application_name' THEN r.o ->> 'application_name' ELSE p_application END,
    CASE WHEN r.o ? 'application_version' THEN r.o ->> 'application_version' WHEN NOT r.queued THEN p_version END,
    CASE WHEN r.queued THEN 0 ELSE 1 END,
    CASE WHEN NOT r.queued AND r.status IS NULL THEN r.token END, r.token,
    p_now, p_now, CASE WHEN r.status IS NOT NULL THEN p_now END, CASE WHEN r.delay > 0 THEN p_now + r.delay END,
    (r.o ->> 'timeout_ms')::bigint,
    COALESCE((r.o ->> 'deadline_epoch_ms')::bigint, CASE WHEN NOT r.queued THEN p_now + (r.o ->> 'timeout_ms')::bigint END,
      -- A child without a timeout of its own ends with its parent.
      CASE WHEN p_parents[r.place] IS NOT NULL AND NOT r.o ? 'timeout_ms' THEN (
        SELECT w.workflow_deadline_epoch_ms FROM dbos.workflow_status AS w WHERE w.workflow_uuid = p_parents[r.place]) END),
    COALESCE(p_parents[r.place], r.o ->> 'parent_id'), r.o ->> 'authenticated_user', r.o ->> 'assumed_role',
    r.o ->> 'authenticated_roles', r.o -> 'attributes', COALESCE(r.o ->> 'serialization', 'portable_json')
  FROM (
    SELECT u.*, COALESCE(u.o ? 'queue', false) AS queued, (u.o ->> 'delay_ms')::bigint AS delay
    FROM unnest(p_ids, p_tokens, p_names, p_options, p_statuses) WITH ORDINALITY AS u(id, token, name, o, status, place)
    WHERE p_take[u.place]) AS r;
  IF p_careful THEN
    -- An input may outlive its row: retention deletes rows first.
    INSERT INTO dbos.workflow_input AS i (workflow_uuid, inputs, retention_timestamp)
    SELECT r.id, r.inputs, p_now FROM unnest(p_ids, p_inputs) WITH ORDINALITY AS r(id, inputs, place) WHERE p_take[r.place]
    ON CONFLICT (workflow_uuid) DO UPDATE SET inputs = EXCLUDED.inputs, retention_timestamp = EXCLUDED.retention_timestamp;
  ELSE
    INSERT INTO dbos.workflow_input (workflow_uuid, inputs, retention_timestamp)
    SELECT r.id, r.inputs, p_now FROM unnest(p_ids, p_inputs) WITH ORDINALITY AS r(id, inputs, place) WHERE p_take[r.place];
  END IF;
END;
$$;

-- What stands already under the ids, or holds the deduplication ids, of new runs. States: `mine` (an earlier try of the same insert),
-- `exists` and `conflict` (value: status; recorded name), `lost` (mine, but somebody else has it now), `deduplicated` (value: holder).
CREATE OR REPLACE FUNCTION dbos_sys.match_runs(
  p_take boolean[], p_ids text[], p_tokens text[], p_names text[], p_options jsonb[], p_statuses text[])
RETURNS TABLE (idx integer, state text, value text, info jsonb)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  v_ids text[] := ARRAY(SELECT r.id FROM unnest(p_ids, p_take) AS r(id, take) WHERE r.take);
  v_found text[];
BEGIN
  v_found := ARRAY(SELECT w.workflow_uuid FROM dbos.workflow_status AS w WHERE w.workflow_uuid = ANY (v_ids));
  IF v_found <> '{}' THEN
    RETURN QUERY
    SELECT r.place::integer,
      CASE WHEN w.creator_xid = r.token AND (r.o ? 'queue' OR w.status = r.status OR (r.status IS NULL AND w.status = 'PENDING' AND w.owner_xid = r.token))
             THEN 'mine'
           WHEN w.creator_xid = r.token THEN 'lost'
           WHEN w.name = r.name AND COALESCE(w.class_name, '') = COALESCE(r.o ->> 'class_name', '')
             AND COALESCE(w.config_name, '') = COALESCE(r.o ->> 'config_name', '') THEN 'exists'
           ELSE 'conflict' END,
      CASE WHEN w.creator_xid = r.token THEN NULL
           WHEN w.name = r.name AND COALESCE(w.class_name, '') = COALESCE(r.o ->> 'class_name', '')
             AND COALESCE(w.config_name, '') = COALESCE(r.o ->> 'config_name', '') THEN w.status
           ELSE w.name END,
      jsonb_strip_nulls(jsonb_build_object('status', w.status, 'name', w.name, 'class_name', w.class_name, 'config_name', w.config_name,
        'queue', w.queue_name)) || CASE WHEN w.creator_xid = r.token AND w.status NOT IN ('PENDING', 'ENQUEUED', 'DELAYED')
          THEN jsonb_build_object('output', w.result, 'error', w.failure, 'serialization', w.serialization) ELSE '{}' END
    FROM unnest(p_ids, p_tokens, p_names, p_options, p_statuses) WITH ORDINALITY AS r(id, token, name, o, status, place),
    LATERAL (
      SELECT s.*, COALESCE(o.output, s.output) AS result, COALESCE(o.error, s.error) AS failure
      FROM dbos.workflow_status AS s LEFT JOIN dbos.workflow_output AS o ON o.workflow_uuid = s.workflow_uuid
      WHERE s.workflow_uuid = r.id OFFSET 0) AS w
    WHERE p_take[r.place] AND r.id = ANY (v_found);
  END IF;
  IF cardinality(array_remove(p_options, NULL)) = 0 THEN
    RETURN;
  END IF;
  RETURN QUERY
  SELECT r.place::integer,
    CASE WHEN r.o ->> 'on_duplicate' = 'return_existing' THEN 'exists' ELSE 'deduplicated' END,
    CASE WHEN r.o ->> 'on_duplicate' = 'return_existing' THEN w.status ELSE w.workflow_uuid END,
    jsonb_build_object('id', w.workflow_uuid, 'status', w.status, 'queue', w.queue_name, 'name', w.name)
  FROM unnest(p_ids, p_options) WITH ORDINALITY AS r(id, o, place),
  LATERAL (
    SELECT s.workflow_uuid, s.status, s.queue_name, s.name FROM dbos.workflow_status AS s
    WHERE s.queue_name = r.o ->> 'queue' AND s.deduplication_id = r.o ->> 'deduplication_id' OFFSET 0) AS w
  WHERE p_take[r.place] AND r.o ? 'deduplication_id' AND r.id <> ALL (v_found);
END;
$$;

-- The careful form: run by run, waiting for transactions that hold the same keys, and telling what they left. State `busy`: whoever
-- was in the way has gone meanwhile; the same call again succeeds.
CREATE OR REPLACE FUNCTION dbos_sys.insert_each(
  p_application text, p_executor text, p_version text, p_now bigint, p_take boolean[],
  p_ids text[], p_tokens text[], p_names text[], p_inputs text[], p_options jsonb[], p_statuses text[], p_parents text[])
RETURNS TABLE (idx integer, state text, value text, info jsonb)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  i integer;
BEGIN
  FOR i IN 1 .. cardinality(p_ids) LOOP
    CONTINUE WHEN NOT p_take[i];
    BEGIN
      PERFORM dbos_sys.insert_runs(p_application, p_executor, p_version, p_now, true, '{t}',
        p_ids[i:i], p_tokens[i:i], p_names[i:i], p_inputs[i:i], p_options[i:i], p_statuses[i:i], p_parents[i:i]);
    EXCEPTION WHEN unique_violation THEN
      SELECT i, m.state, m.value, m.info INTO idx, state, value, info
      FROM dbos_sys.match_runs('{t}', p_ids[i:i], p_tokens[i:i], p_names[i:i], p_options[i:i], p_statuses[i:i]) AS m;
      IF NOT FOUND THEN
        SELECT i, 'busy' INTO idx, state;
      END IF;
      IF state <> 'mine' THEN
        RETURN NEXT;
      END IF;
    END;
  END LOOP;
END;
$$;

-- Tells the claims of queues that they serve (they have a walk) which partition keys came that they do not know. Nothing waits here: two
-- transactions may announce the same key. One that is missed is found by the scan of find_partitions().
CREATE OR REPLACE FUNCTION dbos_sys.announce_partitions(p_take boolean[], p_options jsonb[])
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  INSERT INTO dbos_ops.queue_arrivals (queue_name, partition_key)
  SELECT n.queue, n.key
  FROM (SELECT DISTINCT r.o ->> 'queue' AS queue, r.o ->> 'partition_key' AS key FROM unnest(p_take, p_options) AS r(take, o)
    WHERE r.take AND r.o ? 'partition_key') AS n
  WHERE EXISTS (SELECT FROM dbos_ops.queue_walks AS w WHERE w.queue_name = n.queue OFFSET 0)
    AND NOT EXISTS (SELECT FROM dbos_ops.queue_partitions AS p WHERE p.queue_name = n.queue AND p.partition_key = n.key OFFSET 0)
    AND NOT EXISTS (SELECT FROM dbos_ops.queue_arrivals AS a WHERE a.queue_name = n.queue AND a.partition_key = n.key OFFSET 0);
END;
$$;

-- Inserts the runs of the mask that do not exist yet. Returns those that are not the caller's now, in the states of match_runs().
CREATE OR REPLACE FUNCTION dbos_sys.add_level(
  p_application text, p_executor text, p_version text, p_now bigint, p_careful boolean, p_take boolean[],
  p_ids text[], p_tokens text[], p_names text[], p_inputs text[], p_options jsonb[], p_statuses text[], p_parents text[])
RETURNS TABLE (idx integer, state text, value text, info jsonb)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  v_insert boolean[] := p_take;
BEGIN
  FOR idx, state, value, info IN
    SELECT m.* FROM dbos_sys.match_runs(p_take, p_ids, p_tokens, p_names, p_options, p_statuses) AS m
  LOOP
    v_insert[idx] := false;
    IF state <> 'mine' THEN
      RETURN NEXT;
    END IF;
  END LOOP;
  IF p_careful THEN
    RETURN QUERY SELECT e.* FROM dbos_sys.insert_each(p_application, p_executor, p_version, p_now, v_insert,
      p_ids, p_tokens, p_names, p_inputs, p_options, p_statuses, p_parents) AS e;
  ELSIF true = ANY (v_insert) THEN
    PERFORM dbos_sys.insert_runs(p_application, p_executor, p_version, p_now, false, v_insert,
      p_ids, p_tokens, p_names, p_inputs, p_options, p_statuses, p_parents);
  END IF;
  IF cardinality(array_remove(p_options, NULL)) > 0 AND EXISTS (SELECT FROM unnest(p_options) AS r(o) WHERE r.o ? 'partition_key') THEN
    PERFORM dbos_sys.announce_partitions(v_insert, p_options);
  END IF;
END;
$$;

-- A queue nobody registered is allowed, as upstream allows it: rows wait there until somebody serves it.
CREATE OR REPLACE FUNCTION dbos_sys.warn_of_queue(p_queue text)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  IF p_queue <> '_dbos_internal_queue' AND NOT EXISTS (SELECT FROM dbos.queues AS q WHERE q.name = p_queue) THEN
    RAISE WARNING USING ERRCODE = 'WF030', MESSAGE = format('queue %s is not registered', dbos_sys.shown(p_queue)),
      DETAIL = 'What is enqueued there waits until an application serves the queue.',
      HINT = format('SELECT dbos_sys.register_queue(%L), or look for a misspelling.', p_queue);
  END IF;
END;
$$;

-- Positional (array) or named (object) arguments as the text that every SDK reads.
CREATE OR REPLACE FUNCTION dbos_sys.portable_inputs(p_args jsonb)
RETURNS text
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  CASE jsonb_typeof(p_args)
    WHEN 'array' THEN RETURN '{"positionalArgs":' || p_args::text || '}';
    WHEN 'object' THEN RETURN '{"positionalArgs":[],"namedArgs":' || p_args::text || '}';
    ELSE PERFORM dbos_sys.fail('WF001', format('arguments are %s', COALESCE(left(p_args::text, 60), 'NULL')), NULL,
      'Give a JSON array (positional) or object (named), as ''["a", 1]''.');
  END CASE;
END;
$$;

-- What keeps an enqueue() from going on; `exists` is no error.
CREATE OR REPLACE FUNCTION dbos_sys.check_added(p_id text, p_name text, p_options jsonb, p_state text, p_value text, p_info jsonb)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  IF p_state = 'conflict' THEN
    PERFORM dbos_sys.fail('WF011', format('workflow id %s belongs to another workflow than %s', dbos_sys.shown(p_id), dbos_sys.shown(p_name)),
      format('Recorded: %s; given: %s.', p_info - 'status' - 'queue', jsonb_strip_nulls(jsonb_build_object('name', p_name,
        'class_name', p_options -> 'class_name', 'config_name', p_options -> 'config_name'))), 'Take another id.');
  ELSIF p_state = 'deduplicated' THEN
    PERFORM dbos_sys.fail('WF012', format('queue %s has a workflow of this deduplication id', dbos_sys.shown(p_info ->> 'queue')),
      format('Its id is %s.', p_value), 'Wait for it, or pass "on_duplicate": "return_existing".');
  ELSIF p_state <> 'exists' THEN
    PERFORM dbos_sys.fail('40001', format('workflow %s is being changed by another transaction', dbos_sys.shown(p_id)), NULL, 'Try again.');
  END IF;
END;
$$;

-- enqueue() after its checks: in the fast form, or with care where another transaction is inserting the same keys.
CREATE OR REPLACE FUNCTION dbos_sys.enqueue_checked(p_ids text[], p_tokens text[], p_names text[], p_inputs text[], p_options jsonb[])
RETURNS SETOF text
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET dbos_sys.quiet = on
SET enable_seqscan = off
SET jit = off
SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
  v_now bigint := dbos_sys.now_ms();
  v_none text[] := array_fill(NULL::text, ARRAY[cardinality(p_ids)]);
  v_take boolean[] := array_fill(true, ARRAY[cardinality(p_ids)]);
  v_ids text[] := p_ids;
  v_run record;
  v_careful boolean;
BEGIN
  FOREACH v_careful IN ARRAY '{f,t}'::boolean[] LOOP
    BEGIN
      FOR v_run IN
        SELECT a.* FROM dbos_sys.add_level(NULL, NULL, NULL, v_now, v_careful, v_take, p_ids, p_tokens, p_names, p_inputs, p_options, v_none, v_none) AS a
      LOOP
        PERFORM dbos_sys.check_added(p_ids[v_run.idx], p_names[v_run.idx], p_options[v_run.idx], v_run.state, v_run.value, v_run.info);
        v_ids[v_run.idx] := COALESCE(v_run.info ->> 'id', p_ids[v_run.idx]);
      END LOOP;
      EXIT;
    EXCEPTION WHEN unique_violation THEN
      v_ids := p_ids;
    END;
  END LOOP;
  PERFORM dbos_sys.wake(true, false);
  RETURN QUERY SELECT i.id FROM unnest(v_ids) WITH ORDINALITY AS i(id, place) ORDER BY i.place;
END;
$$;

CREATE OR REPLACE FUNCTION dbos_sys.enqueue(
  p_queue text, p_names text[], p_args jsonb[], p_ids text[] DEFAULT NULL, p_options jsonb[] DEFAULT NULL)
RETURNS SETOF text
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  v_runs integer := cardinality(p_names);
  v_ids text[];
  v_tokens text[];
  v_options jsonb[];
  v_inputs text[];
BEGIN
  PERFORM dbos_sys.check_text('queue', p_queue);
  IF (dbos_sys.shape(p_names), dbos_sys.shape(p_args)) IS DISTINCT FROM (v_runs::text, v_runs::text)
    OR dbos_sys.shape(p_ids) NOT IN (v_runs::text, 'NULL') OR dbos_sys.shape(p_options) NOT IN (v_runs::text, 'NULL') THEN
    PERFORM dbos_sys.fail('WF001', format('names, arguments, ids and options differ in number: %s, %s, %s, %s', dbos_sys.shape(p_names),
      dbos_sys.shape(p_args), dbos_sys.shape(p_ids), dbos_sys.shape(p_options)), NULL,
      'Give flat arrays of one length; ids and options may be NULL as a whole.');
  ELSIF v_runs = 0 THEN
    RETURN;
  END IF;
  PERFORM dbos_sys.fail('WF001', format('options are %s', left(o.options::text, 200)), 'queue is an argument of its own; parent_run and parent_fid are for flush().',
      'Leave them out.')
  FROM unnest(p_options) AS o(options) WHERE o.options ?| '{queue,parent_run,parent_fid}' LIMIT 1;
  v_ids := ARRAY(SELECT COALESCE(r.id, dbos_sys.new_id()) FROM unnest(p_ids, p_names) AS r(id, name));
  v_tokens := ARRAY(SELECT gen_random_uuid()::text FROM generate_series(1, v_runs));
  v_options := ARRAY(SELECT CASE WHEN COALESCE(jsonb_typeof(r.options), 'object') = 'object'
      THEN COALESCE(r.options, '{}') || jsonb_build_object('queue', p_queue) ELSE r.options END
    FROM unnest(p_options, p_names) AS r(options, name));
  v_inputs := ARRAY(SELECT dbos_sys.portable_inputs(r.args) FROM unnest(p_args) AS r(args));
  PERFORM dbos_sys.check_runs(v_ids, v_tokens, p_names, v_inputs, v_options, array_fill(NULL::text, ARRAY[v_runs]));
  PERFORM dbos_sys.warn_of_queue(p_queue);
  RETURN QUERY SELECT e.id FROM dbos_sys.enqueue_checked(v_ids, v_tokens, p_names, v_inputs, v_options) AS e(id);
END;
$$;
COMMENT ON FUNCTION dbos_sys.enqueue(text, text[], jsonb[], text[], jsonb[]) IS
'Enqueues many workflows in one statement; returns their ids in order. p_args: per workflow a JSON array (positional) or object (named).
p_ids: NULL, as a whole or one by one, means a new id; an id that exists under the same name is returned and nothing is written.
p_options: per workflow an object with class_name, config_name, deduplication_id, on_duplicate (reject, the default, or return_existing),
partition_key (on partitioned queues, and only there), priority (0 first), delay_ms, timeout_ms (from the first run on), deadline_epoch_ms, application_name (none: any application
takes it), application_version, parent_id, authenticated_user, assumed_role, authenticated_roles, attributes, serialization.
Errors: WF001, WF011 (id of another workflow), WF012 (deduplicated; the detail names the holder).';

CREATE OR REPLACE FUNCTION dbos_sys.start(
  p_name text, p_args jsonb DEFAULT '[]', p_id text DEFAULT NULL, p_queue text DEFAULT '_dbos_internal_queue', p_options jsonb DEFAULT '{}')
RETURNS text
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN (SELECT e.id FROM dbos_sys.enqueue(p_queue, ARRAY[p_name], ARRAY[p_args], ARRAY[p_id], ARRAY[p_options]) AS e(id));
END;
$$;
COMMENT ON FUNCTION dbos_sys.start(text, jsonb, text, text, jsonb) IS
'Starts one workflow on some executor of its application, through a queue that every executor serves unless p_queue names another, and
returns its id. Idempotent by p_id. Arguments, options and errors as in enqueue().';
