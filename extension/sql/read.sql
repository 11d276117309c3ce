-- Reading: one workflow, lists, recorded steps, outcomes. Nothing here locks or writes.

CREATE OR REPLACE FUNCTION dbos_sys.outcomes(p_ids text[])
RETURNS TABLE (id text, status text, output text, error text, serialization text)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET jit = off
SET plan_cache_mode = force_generic_plan
AS $$
BEGIN
  PERFORM dbos_sys.check_list('workflow id', p_ids);
  RETURN QUERY
  SELECT r.id, w.status, w.output, w.error, w.serialization
  FROM unnest(p_ids) AS r(id)
  LEFT JOIN LATERAL (
    SELECT s.status, s.serialization, COALESCE(o.output, s.output) AS output, COALESCE(o.error, s.error) AS error
    FROM dbos.workflow_status AS s LEFT JOIN dbos.workflow_output AS o ON o.workflow_uuid = s.workflow_uuid
    WHERE s.workflow_uuid = r.id OFFSET 0) AS w ON true
  WHERE COALESCE(w.status, '') NOT IN ('PENDING', 'ENQUEUED', 'DELAYED');
END;
$$;
COMMENT ON FUNCTION dbos_sys.outcomes(text[]) IS
'Of these workflows the ones that have ended, with output or error as recorded, and the ones that do not exist (status NULL). Errors: WF001.';

CREATE OR REPLACE FUNCTION dbos_sys.steps(p_id text)
RETURNS SETOF dbos_sys.step
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  PERFORM dbos_sys.check_text('workflow id', p_id);
  RETURN QUERY
  SELECT o.function_id, o.function_name, o.output, o.error, o.child_workflow_id, o.serialization, o.started_at_epoch_ms, o.completed_at_epoch_ms,
    o.application_name
  FROM dbos.operation_outputs AS o WHERE o.workflow_uuid = p_id ORDER BY o.function_id;
END;
$$;
COMMENT ON FUNCTION dbos_sys.steps(text) IS
'Recorded steps of a workflow in order. A child''s start has the child''s id; a sleep completes at its end. Times in ms since 1970. Errors: WF001.';

-- list() after its checks. Planned for each call: filters that are absent vanish from the plan.
CREATE OR REPLACE FUNCTION dbos_sys.list_rows(p_filter jsonb)
RETURNS SETOF dbos_sys.workflow
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_custom_plan
AS $$
DECLARE
  v_ids text[] := dbos_sys.filter_texts(p_filter, 'ids');
  v_prefix text := p_filter ->> 'id_prefix';
  v_name text[] := dbos_sys.filter_texts(p_filter, 'name');
  v_class text[] := dbos_sys.filter_texts(p_filter, 'class_name');
  v_status text[] := dbos_sys.filter_texts(p_filter, 'status');
  v_queue text[] := dbos_sys.filter_texts(p_filter, 'queue_name');
  v_schedule text[] := dbos_sys.filter_texts(p_filter, 'schedule_name');
  v_application text[] := dbos_sys.filter_texts(p_filter, 'application_name');
  v_version text[] := dbos_sys.filter_texts(p_filter, 'application_version');
  v_executor text[] := dbos_sys.filter_texts(p_filter, 'executor_id');
  v_user text[] := dbos_sys.filter_texts(p_filter, 'authenticated_user');
  v_forked_from text[] := dbos_sys.filter_texts(p_filter, 'forked_from');
  v_parent text[] := dbos_sys.filter_texts(p_filter, 'parent_workflow_id');
  v_dedup text[] := dbos_sys.filter_texts(p_filter, 'deduplication_id');
  v_was_forked boolean := (p_filter ->> 'was_forked_from')::boolean;
  v_is_fork boolean := (p_filter ->> 'is_fork')::boolean;
  v_has_parent boolean := (p_filter ->> 'has_parent')::boolean;
  v_queued boolean := COALESCE((p_filter ->> 'queues_only')::boolean, false);
  v_desc boolean := COALESCE((p_filter ->> 'sort_desc')::boolean, false);
  v_input boolean := COALESCE((p_filter ->> 'load_input')::boolean, true);
  v_output boolean := COALESCE((p_filter ->> 'load_output')::boolean, true);
  v_attributes jsonb := p_filter -> 'attributes';
  v_created_from bigint := dbos_sys.filter_time('start_time', p_filter -> 'start_time');
  v_created_to bigint := dbos_sys.filter_time('end_time', p_filter -> 'end_time');
  v_completed_from bigint := dbos_sys.filter_time('completed_after', p_filter -> 'completed_after');
  v_completed_to bigint := dbos_sys.filter_time('completed_before', p_filter -> 'completed_before');
  v_started_from bigint := dbos_sys.filter_time('dequeued_after', p_filter -> 'dequeued_after');
  v_started_to bigint := dbos_sys.filter_time('dequeued_before', p_filter -> 'dequeued_before');
BEGIN
  RETURN QUERY
  SELECT w.workflow_uuid, w.status, w.name, w.class_name::text, w.config_name::text, w.application_name, w.application_version, w.application_id,
    w.executor_id, w.queue_name, w.queue_partition_key, w.priority, w.deduplication_id,
    CASE WHEN v_input THEN COALESCE(i.inputs, w.inputs) END, CASE WHEN v_output THEN COALESCE(o.output, w.output) END,
    CASE WHEN v_output THEN COALESCE(o.error, w.error) END, w.serialization, w.recovery_attempts, w.created_at, w.updated_at, w.started_at_epoch_ms,
    w.completed_at, w.delay_until_epoch_ms, w.workflow_timeout_ms, w.workflow_deadline_epoch_ms, w.parent_workflow_id, w.forked_from,
    w.was_forked_from, w.schedule_name, w.rate_limited, w.debounce_deadline_epoch_ms, w.is_debounced, w.authenticated_user, w.assumed_role,
    w.authenticated_roles, w.attributes, w.owner_xid::text, w.creator_xid
  FROM dbos.workflow_status AS w
  LEFT JOIN dbos.workflow_input AS i ON v_input AND i.workflow_uuid = w.workflow_uuid
  LEFT JOIN dbos.workflow_output AS o ON v_output AND o.workflow_uuid = w.workflow_uuid
  WHERE (v_ids IS NULL OR w.workflow_uuid = ANY (v_ids)) AND (v_prefix IS NULL OR starts_with(w.workflow_uuid, v_prefix))
    AND (v_name IS NULL OR w.name = ANY (v_name)) AND (v_class IS NULL OR w.class_name = ANY (v_class))
    AND (v_status IS NULL OR w.status = ANY (v_status)) AND (v_queue IS NULL OR w.queue_name = ANY (v_queue))
    AND (v_schedule IS NULL OR w.schedule_name = ANY (v_schedule)) AND (v_application IS NULL OR w.application_name = ANY (v_application))
    AND (v_version IS NULL OR w.application_version = ANY (v_version)) AND (v_executor IS NULL OR w.executor_id = ANY (v_executor))
    AND (v_user IS NULL OR w.authenticated_user = ANY (v_user)) AND (v_forked_from IS NULL OR w.forked_from = ANY (v_forked_from))
    AND (v_parent IS NULL OR w.parent_workflow_id = ANY (v_parent)) AND (v_dedup IS NULL OR w.deduplication_id = ANY (v_dedup))
    AND (v_was_forked IS NULL OR w.was_forked_from = v_was_forked) AND (v_is_fork IS NULL OR (w.forked_from IS NOT NULL) = v_is_fork)
    AND (v_has_parent IS NULL OR (w.parent_workflow_id IS NOT NULL) = v_has_parent)
    AND (NOT v_queued OR (w.queue_name IS NOT NULL AND w.status IN ('ENQUEUED', 'PENDING', 'DELAYED')))
    AND (v_attributes IS NULL OR w.attributes @> v_attributes)
    AND (v_created_from IS NULL OR w.created_at >= v_created_from) AND (v_created_to IS NULL OR w.created_at <= v_created_to)
    AND (v_completed_from IS NULL OR w.completed_at >= v_completed_from) AND (v_completed_to IS NULL OR w.completed_at <= v_completed_to)
    AND (v_started_from IS NULL OR w.started_at_epoch_ms >= v_started_from) AND (v_started_to IS NULL OR w.started_at_epoch_ms <= v_started_to)
  ORDER BY CASE WHEN NOT v_desc THEN w.created_at END, CASE WHEN v_desc THEN w.created_at END DESC, w.workflow_uuid
  LIMIT (p_filter ->> 'limit')::numeric::bigint OFFSET (p_filter ->> 'offset')::numeric::bigint;
END;
$$;

CREATE OR REPLACE FUNCTION dbos_sys.list(p_filter jsonb DEFAULT '{}', archived boolean DEFAULT false)
RETURNS SETOF dbos_sys.workflow
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  PERFORM dbos_sys.check_filter(p_filter);
  IF archived THEN
    RETURN QUERY SELECT l.* FROM dbos_sys.list_archived(p_filter) AS l;
  ELSE
    RETURN QUERY SELECT l.* FROM dbos_sys.list_rows(p_filter) AS l;
  END IF;
END;
$$;
COMMENT ON FUNCTION dbos_sys.list(jsonb, boolean) IS
'Workflows that meet every key of the filter, oldest first. One text or an array: ids, name, class_name, status, queue_name, schedule_name,
application_name, application_version, executor_id, authenticated_user, forked_from, parent_workflow_id, deduplication_id. id_prefix: taken
literally. true or false: was_forked_from, is_fork, has_parent, queues_only (on a queue and not ended), sort_desc, load_input and load_output
(true unless false is given). Times (ms, or a timestamp with zone): start_time and end_time (created), completed_after, completed_before,
dequeued_after, dequeued_before. attributes: an object that is contained. limit, offset. archived => true lists the archive instead. Errors: WF001 (unknown key, wrong
value).';

CREATE OR REPLACE FUNCTION dbos_sys.status(p_id text)
RETURNS SETOF dbos_sys.workflow
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  PERFORM dbos_sys.check_text('workflow id', p_id);
  RETURN QUERY SELECT l.* FROM dbos_sys.list_rows(jsonb_build_object('ids', p_id)) AS l;
END;
$$;
COMMENT ON FUNCTION dbos_sys.status(text) IS
'One workflow with every column, inputs, output and error; no row when it does not exist. Times in ms since 1970. Errors: WF001.';
