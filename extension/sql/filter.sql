-- Filters as list() takes them: what they may say, and their values.

-- Keys of a filter and what each holds: texts (one or an array), text, flag, time (ms or timestamp with time zone), object, number.
CREATE OR REPLACE FUNCTION dbos_sys.filter_kinds()
RETURNS TABLE (key text, kind text)
LANGUAGE sql
IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
  VALUES ('ids', 'texts'), ('id_prefix', 'text'), ('name', 'texts'), ('class_name', 'texts'), ('status', 'texts'), ('queue_name', 'texts'),
    ('schedule_name', 'texts'), ('application_name', 'texts'), ('application_version', 'texts'), ('executor_id', 'texts'),
    ('authenticated_user', 'texts'), ('forked_from', 'texts'), ('parent_workflow_id', 'texts'), ('deduplication_id', 'texts'),
    ('was_forked_from', 'flag'), ('is_fork', 'flag'), ('has_parent', 'flag'), ('queues_only', 'flag'),
    ('sort_desc', 'flag'), ('load_input', 'flag'), ('load_output', 'flag'), ('attributes', 'object'),
    ('start_time', 'time'), ('end_time', 'time'), ('completed_after', 'time'), ('completed_before', 'time'),
    ('dequeued_after', 'time'), ('dequeued_before', 'time'), ('limit', 'number'), ('offset', 'number')
$$;

-- A time of a filter as ms.
CREATE OR REPLACE FUNCTION dbos_sys.filter_time(p_key text, p_value jsonb)
RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  v_ms bigint;
BEGIN
  IF p_value IS NULL THEN
    RETURN NULL;
  ELSIF jsonb_typeof(p_value) = 'number' AND abs(p_value::numeric) < 9e18 AND p_value::numeric % 1 = 0 THEN
    v_ms := p_value::numeric::bigint;
  ELSIF p_value #>> '{}' ~ '^\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d(:?\d\d)?)$' THEN
    v_ms := (EXTRACT(epoch FROM (p_value #>> '{}')::timestamptz) * 1000)::bigint;
  ELSE
    PERFORM dbos_sys.fail('WF001', format('filter %s is %s', p_key, left(p_value::text, 60)), NULL,
      'Give ms since 1970, or a time with its zone, as "2026-01-31T12:00:00Z".');
  END IF;
  PERFORM dbos_sys.check_time('filter ' || p_key, v_ms);
  RETURN v_ms;
EXCEPTION WHEN datetime_field_overflow OR invalid_time_zone_displacement_value THEN
  PERFORM dbos_sys.fail('WF001', format('filter %s is no time: %s', p_key, left(p_value::text, 60)), format('%s.', SQLERRM),
    'Give a time of the calendar with its zone, as "2026-01-31T12:00:00Z".');
END;
$$;

-- One text or many, as an array; NULL when the filter has no such key.
CREATE OR REPLACE FUNCTION dbos_sys.filter_texts(p_filter jsonb, p_key text)
RETURNS text[]
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN CASE jsonb_typeof(p_filter -> p_key) WHEN 'array' THEN ARRAY(SELECT jsonb_array_elements_text(p_filter -> p_key))
    WHEN 'string' THEN ARRAY[p_filter ->> p_key] END;
END;
$$;

CREATE OR REPLACE FUNCTION dbos_sys.check_filter(p_filter jsonb)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  v_entry record;
  v_status text;
BEGIN
  IF jsonb_typeof(p_filter) IS DISTINCT FROM 'object' THEN
    PERFORM dbos_sys.fail('WF001', format('filter is %s', COALESCE(left(p_filter::text, 60), 'NULL')), NULL, 'Give a JSON object, as ''{"status": "ERROR"}''.');
  END IF;
  FOR v_entry IN
    SELECT e.key, e.value, k.kind, jsonb_typeof(e.value) AS type
    FROM jsonb_each(p_filter) AS e LEFT JOIN dbos_sys.filter_kinds() AS k ON k.key = e.key ORDER BY e.key
  LOOP
    IF v_entry.kind IS NULL THEN
      PERFORM dbos_sys.fail('WF001', format('unknown filter %s', dbos_sys.shown(v_entry.key)), NULL,
        'Filters are: ' || (SELECT string_agg(k.key, ', ' ORDER BY k.key) FROM dbos_sys.filter_kinds() AS k) || '.');
    ELSIF NOT (CASE v_entry.kind
        WHEN 'texts' THEN v_entry.type = 'string' OR (v_entry.type = 'array' AND NOT jsonb_path_exists(v_entry.value, 'strict $[*] ? (@.type() != "string")'))
        WHEN 'text' THEN v_entry.type = 'string' WHEN 'flag' THEN v_entry.type = 'boolean' WHEN 'object' THEN v_entry.type = 'object'
        WHEN 'number' THEN CASE v_entry.type WHEN 'number'
          THEN v_entry.value::numeric BETWEEN 0 AND 2147483647 AND v_entry.value::numeric % 1 = 0 ELSE false END ELSE true END) THEN
      PERFORM dbos_sys.fail('WF001', format('filter %s is %s', v_entry.key, left(v_entry.value::text, 60)), NULL, format('Give %s.',
        CASE v_entry.kind WHEN 'texts' THEN 'a text or an array of texts' WHEN 'flag' THEN 'true or false' WHEN 'object' THEN 'an object'
        WHEN 'number' THEN 'a whole number from 0 to 2147483647' ELSE 'a text' END));
    END IF;
  END LOOP;
  SELECT s.status INTO v_status FROM unnest(dbos_sys.filter_texts(p_filter, 'status')) AS s(status)
  WHERE s.status NOT IN ('PENDING', 'ENQUEUED', 'DELAYED', 'SUCCESS', 'ERROR', 'CANCELLED', 'MAX_RECOVERY_ATTEMPTS_EXCEEDED', 'RETRIES_EXCEEDED') LIMIT 1;
  IF FOUND THEN
    PERFORM dbos_sys.fail('WF001', format('filter status is %s', dbos_sys.shown(v_status)), NULL,
      'Statuses are: PENDING, ENQUEUED, DELAYED, SUCCESS, ERROR, CANCELLED, MAX_RECOVERY_ATTEMPTS_EXCEEDED.');
  END IF;
END;
$$;
