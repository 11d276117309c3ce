-- Reading the archive: archived workflows as list() returns them, and the history of a workflow wherever it is.

-- Archived workflows as rows of list(), from the chunks that may have what the filter wants: archive_fits() decides.
CREATE OR REPLACE FUNCTION dbos_sys.archived_workflows(p_filter jsonb)
RETURNS SETOF dbos_sys.workflow
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_custom_plan
AS $$
DECLARE
  v_ids text[] := dbos_sys.filter_texts(p_filter, 'ids');
  v_name text[] := dbos_sys.filter_texts(p_filter, 'name');
  v_status text[] := dbos_sys.filter_texts(p_filter, 'status');
  v_queue text[] := dbos_sys.filter_texts(p_filter, 'queue_name');
  v_application text[] := dbos_sys.filter_texts(p_filter, 'application_name');
  v_prefix text := p_filter ->> 'id_prefix';
  v_created_from bigint := dbos_sys.filter_time('start_time', p_filter -> 'start_time');
  v_created_to bigint := dbos_sys.filter_time('end_time', p_filter -> 'end_time');
  v_completed_from bigint := dbos_sys.filter_time('completed_after', p_filter -> 'completed_after');
  v_completed_to bigint := dbos_sys.filter_time('completed_before', p_filter -> 'completed_before');
  v_input boolean := COALESCE((p_filter ->> 'load_input')::boolean, true);
  v_output boolean := COALESCE((p_filter ->> 'load_output')::boolean, true);
  v_null dbos_sys.workflow;
BEGIN
  v_null.attributes := 'null';
  PERFORM dbos_sys.check_archive_tables();
  RETURN QUERY
  SELECT w.*
  FROM dbos_ops.archive AS a,
  LATERAL (
    SELECT r.id, (jsonb_agg(r.o) FILTER (WHERE r.letter = 's')) -> 0 AS s, (jsonb_agg(r.o) FILTER (WHERE r.letter = 'i')) -> 0 AS i,
      (jsonb_agg(r.o) FILTER (WHERE r.letter = 'o')) -> 0 AS o
    FROM dbos_sys.archive_objects(a.first_ended, a.chunk, ARRAY['s', CASE WHEN v_input THEN 'i' END, CASE WHEN v_output THEN 'o' END]) AS r
    WHERE (v_ids IS NULL OR r.id = ANY (v_ids)) AND (v_prefix IS NULL OR starts_with(r.id, v_prefix))
    GROUP BY r.id) AS d,
  -- A record would take null in JSON for NULL.
  LATERAL (SELECT CASE WHEN d.s -> 'attributes' = 'null' THEN '{attributes}' ELSE '{}' END::text[] AS keys) AS n,
  LATERAL jsonb_populate_record(CASE WHEN n.keys <> '{}' THEN v_null END, d.s - n.keys || jsonb_build_object('workflow_uuid', d.id,
    'inputs', CASE WHEN v_input THEN COALESCE(d.i ->> 'inputs', d.s ->> 'inputs') END,
    'output', CASE WHEN v_output THEN COALESCE(d.o ->> 'output', d.s ->> 'output') END,
    'error', CASE WHEN v_output THEN COALESCE(d.o ->> 'error', d.s ->> 'error') END)) AS w
  WHERE a.part = 0 AND (v_ids IS NULL OR a.ids && v_ids)
    AND (v_name IS NULL OR a.name = ANY (v_name)) AND (v_status IS NULL OR a.status = ANY (v_status))
    AND (v_queue IS NULL OR a.queue_name = ANY (v_queue)) AND (v_application IS NULL OR a.application_name = ANY (v_application))
    AND (v_created_from IS NULL OR a.last_created >= v_created_from) AND (v_created_to IS NULL OR a.first_created <= v_created_to)
    AND (v_completed_from IS NULL OR a.last_ended >= v_completed_from) AND (v_completed_to IS NULL OR a.first_ended <= v_completed_to);
END;
$$;

-- Whether an archived workflow meets every key of a filter that list() takes.
CREATE OR REPLACE FUNCTION dbos_sys.archive_fits(p_workflow jsonb, p_filter jsonb)
RETURNS boolean
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN NOT EXISTS (
    SELECT FROM jsonb_each(p_filter) AS f JOIN dbos_sys.filter_kinds() AS k ON k.key = f.key
    WHERE NOT COALESCE(CASE
      WHEN f.key = 'ids' THEN p_workflow ->> 'workflow_uuid' = ANY (dbos_sys.filter_texts(p_filter, f.key))
      WHEN k.kind = 'texts' THEN p_workflow ->> f.key = ANY (dbos_sys.filter_texts(p_filter, f.key))
      WHEN f.key = 'id_prefix' THEN starts_with(p_workflow ->> 'workflow_uuid', f.value #>> '{}')
      WHEN f.key = 'was_forked_from' THEN (p_workflow -> f.key) = f.value
      WHEN f.key = 'is_fork' THEN (p_workflow ->> 'forked_from' IS NOT NULL) = f.value::boolean
      WHEN f.key = 'has_parent' THEN (p_workflow ->> 'parent_workflow_id' IS NOT NULL) = f.value::boolean
      WHEN f.key = 'queues_only' THEN NOT f.value::boolean
      WHEN f.key = 'attributes' THEN (p_workflow -> f.key) @> f.value
      WHEN f.key = 'start_time' THEN (p_workflow ->> 'created_at')::bigint >= dbos_sys.filter_time(f.key, f.value)
      WHEN f.key = 'end_time' THEN (p_workflow ->> 'created_at')::bigint <= dbos_sys.filter_time(f.key, f.value)
      WHEN f.key = 'completed_after' THEN (p_workflow ->> 'completed_at')::bigint >= dbos_sys.filter_time(f.key, f.value)
      WHEN f.key = 'completed_before' THEN (p_workflow ->> 'completed_at')::bigint <= dbos_sys.filter_time(f.key, f.value)
      WHEN f.key = 'dequeued_after' THEN (p_workflow ->> 'started_at_epoch_ms')::bigint >= dbos_sys.filter_time(f.key, f.value)
      WHEN f.key = 'dequeued_before' THEN (p_workflow ->> 'started_at_epoch_ms')::bigint <= dbos_sys.filter_time(f.key, f.value)
      ELSE true END, false));
END;
$$;

-- list() of the archive after its checks.
CREATE OR REPLACE FUNCTION dbos_sys.list_archived(p_filter jsonb)
RETURNS SETOF dbos_sys.workflow
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  v_desc boolean := COALESCE((p_filter ->> 'sort_desc')::boolean, false);
BEGIN
  RETURN QUERY
  SELECT w.* FROM dbos_sys.archived_workflows(p_filter) AS w WHERE dbos_sys.archive_fits(to_jsonb(w), p_filter)
  ORDER BY CASE WHEN NOT v_desc THEN w.created_at END, CASE WHEN v_desc THEN w.created_at END DESC, w.workflow_uuid
  LIMIT (p_filter ->> 'limit')::numeric::bigint OFFSET (p_filter ->> 'offset')::numeric::bigint;
END;
$$;

-- The rows of a workflow as objects, as archive_objects() gives them: from the tables, else from the archive (the last of that id).
-- STABLE, as all that it calls for rows: both looks are one snapshot's, and what is moved between them is not missed.
CREATE OR REPLACE FUNCTION dbos_sys.workflow_objects(p_id text)
RETURNS TABLE (archived boolean, letter text, o jsonb)
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_custom_plan
AS $$
DECLARE
  v_found record;
BEGIN
  IF EXISTS (SELECT FROM dbos.workflow_status AS w WHERE w.workflow_uuid = p_id) THEN
    RETURN QUERY
    SELECT false, 's', to_jsonb(w) FROM dbos.workflow_status AS w WHERE w.workflow_uuid = p_id
    UNION ALL SELECT false, 'o', to_jsonb(t) FROM dbos.workflow_output AS t WHERE t.workflow_uuid = p_id
    UNION ALL SELECT false, 'i', to_jsonb(t) FROM dbos.workflow_input AS t WHERE t.workflow_uuid = p_id
    UNION ALL SELECT false, 'p', to_jsonb(t) FROM dbos.operation_outputs AS t WHERE t.workflow_uuid = p_id
    UNION ALL SELECT false, 'n', to_jsonb(t) FROM dbos.notifications AS t WHERE t.destination_uuid = p_id
    UNION ALL SELECT false, 'h', to_jsonb(t) FROM dbos.workflow_events_history AS t WHERE t.workflow_uuid = p_id
    UNION ALL SELECT false, 't', to_jsonb(t) FROM dbos.streams AS t WHERE t.workflow_uuid = p_id;
  ELSIF to_regclass('dbos_ops.archive') IS NOT NULL THEN
    SELECT f.first_ended, f.chunk INTO v_found FROM dbos_sys.archive_find(p_id) AS f;
    RETURN QUERY
    SELECT true, r.letter, r.o FROM dbos_sys.archive_objects(v_found.first_ended, v_found.chunk, ARRAY['s', 'i', 'o', 'p', 'n', 'h', 't'], p_id) AS r
    WHERE v_found.chunk IS NOT NULL;
  END IF;
END;
$$;

CREATE OR REPLACE FUNCTION dbos_sys.history(id text)
RETURNS TABLE (at timestamptz, what text, function_id integer, name text, value text, error text, archived boolean)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
  PERFORM dbos_sys.check_text('workflow id', history.id);
  RETURN QUERY
  WITH objects AS MATERIALIZED (SELECT r.* FROM dbos_sys.workflow_objects(history.id) AS r),
  steps AS MATERIALIZED (
    SELECT (r.o ->> 'completed_at_epoch_ms')::bigint AS ms, (r.o ->> 'function_id')::integer AS fid, r.* FROM objects AS r WHERE r.letter = 'p'),
  lines AS (
    SELECT 1 AS place, (r.o ->> 'created_at')::bigint AS ms, 'created' AS what, NULL::integer AS fid, r.o ->> 'name' AS name,
      COALESCE((SELECT i.o ->> 'inputs' FROM objects AS i WHERE i.letter = 'i'), r.o ->> 'inputs') AS value, NULL::text AS error, r.archived
    FROM objects AS r WHERE r.letter = 's'
    UNION ALL
    SELECT 2, (r.o ->> 'started_at_epoch_ms')::bigint, 'started', NULL, r.o ->> 'executor_id', NULL, NULL, r.archived
    FROM objects AS r WHERE r.letter = 's' AND r.o ->> 'started_at_epoch_ms' IS NOT NULL
    UNION ALL
    SELECT 3, r.ms, CASE WHEN r.o ->> 'child_workflow_id' IS NULL THEN 'step' ELSE 'child' END, r.fid, r.o ->> 'function_name',
      COALESCE(r.o ->> 'output', r.o ->> 'child_workflow_id'), r.o ->> 'error', r.archived
    FROM steps AS r
    UNION ALL
    SELECT 4, (r.o ->> 'created_at_epoch_ms')::bigint, 'message', (r.o ->> 'consumed_by_function_id')::integer, NULLIF(r.o ->> 'topic', '__null__topic__'),
      r.o ->> 'message', NULL, r.archived
    FROM objects AS r WHERE r.letter = 'n'
    UNION ALL
    -- Events and stream entries have no time of their own: that of the step that wrote them.
    SELECT 5, (SELECT s.ms FROM steps AS s WHERE s.fid = (r.o ->> 'function_id')::integer), CASE r.letter WHEN 'h' THEN 'event' ELSE 'stream' END,
      (r.o ->> 'function_id')::integer, r.o ->> 'key', r.o ->> 'value', NULL, r.archived
    FROM objects AS r WHERE r.letter IN ('h', 't')
    UNION ALL
    SELECT 6, (r.o ->> 'completed_at')::bigint, r.o ->> 'status', NULL, NULL,
      COALESCE((SELECT t.o ->> 'output' FROM objects AS t WHERE t.letter = 'o'), r.o ->> 'output'),
      COALESCE((SELECT t.o ->> 'error' FROM objects AS t WHERE t.letter = 'o'), r.o ->> 'error'), r.archived
    FROM objects AS r WHERE r.letter = 's' AND r.o ->> 'status' NOT IN ('ENQUEUED', 'DELAYED', 'PENDING'))
  SELECT to_timestamp(l.ms / 1000.0), l.what, l.fid, l.name, l.value, l.error, l.archived FROM lines AS l
  ORDER BY l.place = 6, l.ms NULLS LAST, l.place, l.fid, l.name, l.value;
END;
$$;
COMMENT ON FUNCTION dbos_sys.history(text) IS
'All that is recorded of a workflow in the order of time: created, started, steps, children, messages, events, stream entries, its end; from the tables, or
from the archive when it is there. No row when it is in neither. Errors: WF001, WF053 (the archive has been altered).';
