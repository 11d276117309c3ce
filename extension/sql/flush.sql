-- flush(): what is ready of many runs, in one transaction. The unit of failure is one run: whatever can be told by reading first is
-- answered per run; what raises ends the whole call, and the client sends it again with p_careful, then in halves.
-- Lock order: the executor's advisory lock (starts only), owner rows by id without waiting, then unique keys of new rows.

-- The child's start as a step of its parent: the child's id, or the error that kept it from being started.
CREATE OR REPLACE FUNCTION dbos_sys.record_children(
  p_application text, p_now bigint, p_careful boolean, p_take boolean[], p_ids text[], p_names text[], p_options jsonb[],
  p_parents text[], p_children text[], p_errors text[])
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  INSERT INTO dbos.operation_outputs (workflow_uuid, function_id, function_name, error, child_workflow_id,
    started_at_epoch_ms, completed_at_epoch_ms, serialization, application_name, retention_timestamp)
  SELECT p_parents[r.place], (r.o ->> 'parent_fid')::integer, r.name, p_errors[r.place],
    CASE WHEN p_errors[r.place] IS NULL THEN COALESCE(p_children[r.place], r.id) END,
    p_now, p_now, 'portable_json', p_application, p_now
  FROM unnest(p_ids, p_names, p_options) WITH ORDINALITY AS r(id, name, o, place)
  WHERE p_take[r.place] AND r.o ? 'parent_fid' AND NOT (p_careful AND EXISTS (
    SELECT FROM dbos.operation_outputs AS s
    WHERE s.workflow_uuid = p_parents[r.place] AND s.function_id = (r.o ->> 'parent_fid')::integer OFFSET 0));
END;
$$;

-- Parents (for the careful form) whose record names another step where a child's start belongs.
CREATE OR REPLACE FUNCTION dbos_sys.differing_parents(p_names text[], p_options jsonb[], p_parent integer[], p_parents text[])
RETURNS TABLE (idx integer, info jsonb)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN QUERY
  SELECT DISTINCT ON (r.parent) r.parent, jsonb_build_object('function_id', s.function_id, 'recorded', s.function_name, 'given', r.name)
  FROM unnest(p_names, p_options, p_parent, p_parents) AS r(name, o, parent, parent_id),
  LATERAL (
    SELECT o.function_id, o.function_name FROM dbos.operation_outputs AS o
    WHERE o.workflow_uuid = r.parent_id AND o.function_id = (r.o ->> 'parent_fid')::integer OFFSET 0) AS s
  WHERE s.function_name <> r.name
  ORDER BY r.parent, s.function_id;
END;
$$;

-- The error that a parent records when its child's id or deduplication id is taken; NULL for other states.
CREATE OR REPLACE FUNCTION dbos_sys.child_error(p_id text, p_name text, p_state text, p_value text, p_info jsonb)
RETURNS text
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN CASE p_state
    WHEN 'conflict' THEN dbos_sys.error_json('ConflictingWorkflow', format('workflow id %s belongs to workflow %s, not to %s', p_id, p_value, p_name),
      jsonb_build_object('workflowID', p_id, 'expectedName', p_name, 'recordedName', p_value))
    WHEN 'deduplicated' THEN dbos_sys.error_json('QueueDeduplicated', format('workflow %s was deduplicated by workflow %s', p_id, p_value),
      jsonb_build_object('workflowID', p_id, 'queueName', p_info ->> 'queue', 'holderID', p_value)) END;
END;
$$;

-- New runs of which some are children of runs in this flush: generation by generation, since a child stands only where its parent does.
-- `p_alive` tells the runs that were there and are held. Returns what is not the caller's: states of match_runs(), and `refused` parents.
CREATE OR REPLACE FUNCTION dbos_sys.add_families(
  p_application text, p_executor text, p_version text, p_now bigint, p_careful boolean, p_alive boolean[], p_new boolean[],
  p_ids text[], p_tokens text[], p_names text[], p_inputs text[], p_options jsonb[], p_statuses text[])
RETURNS TABLE (idx integer, state text, value text, info jsonb)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  v_parent integer[] := ARRAY(SELECT (r.o ->> 'parent_run')::integer FROM unnest(p_options) AS r(o));
  v_parents text[] := ARRAY(SELECT p_ids[r.parent] FROM unnest(v_parent) AS r(parent));
  v_none text[] := array_fill(NULL::text, ARRAY[cardinality(p_ids)]);
  v_alive boolean[] := p_alive;
  v_todo boolean[] := p_new;
  v_take boolean[];
  v_record boolean[];
  v_children text[];
  v_errors text[];
BEGIN
  IF p_careful THEN
    FOR idx, state, value, info IN
      SELECT d.idx, 'refused', 'WF014', d.info FROM dbos_sys.differing_parents(p_names, p_options, v_parent, v_parents) AS d
    LOOP
      v_alive[idx] := false;
      RETURN NEXT;
    END LOOP;
  END IF;
  WHILE true = ANY (v_todo) LOOP
    v_take := ARRAY(SELECT r.todo AND NOT COALESCE(v_todo[r.parent], false) FROM unnest(v_todo, v_parent) AS r(todo, parent));
    IF NOT true = ANY (v_take) THEN
      PERFORM dbos_sys.fail('WF001', 'option parent_run goes round in a circle', NULL, 'A run cannot be its own ancestor.');
    END IF;
    v_todo := ARRAY(SELECT r.todo AND NOT r.take FROM unnest(v_todo, v_take) AS r(todo, take));
    FOR idx, state, value, info IN
      SELECT r.place, 'lost', NULL, jsonb_build_object('parent', r.parent)
      FROM unnest(v_take, v_parent) WITH ORDINALITY AS r(take, parent, place) WHERE r.take AND NOT v_alive[r.parent]
    LOOP
      v_take[idx] := false;
      RETURN NEXT;
    END LOOP;
    v_record := v_take;
    v_children := v_none;
    v_errors := v_none;
    FOR idx, state, value, info IN
      SELECT a.* FROM dbos_sys.add_level(p_application, p_executor, p_version, p_now, p_careful, v_take,
        p_ids, p_tokens, p_names, p_inputs, p_options, p_statuses, v_parents) AS a
    LOOP
      v_take[idx] := false;
      v_record[idx] := state IN ('exists', 'conflict', 'deduplicated');
      v_children[idx] := info ->> 'id';
      v_errors[idx] := dbos_sys.child_error(p_ids[idx], p_names[idx], state, value, info);
      IF v_errors[idx] IS NOT NULL AND v_parent[idx] IS NOT NULL THEN
        info := info || jsonb_build_object('error', v_errors[idx]);
      END IF;
      RETURN NEXT;
    END LOOP;
    PERFORM dbos_sys.record_children(p_application, p_now, p_careful, v_record, p_ids, p_names, p_options, v_parents, v_children, v_errors);
    v_alive := ARRAY(SELECT r.alive OR r.take FROM unnest(v_alive, v_take) AS r(alive, take));
  END LOOP;
END;
$$;

-- Checks and inserts the new runs of a flush; returns those that are not the caller's now.
CREATE OR REPLACE FUNCTION dbos_sys.add_runs(
  p_application text, p_executor text, p_version text, p_now bigint, p_careful boolean, p_families boolean, p_alive boolean[],
  p_new boolean[], p_ids text[], p_tokens text[], p_names text[], p_inputs text[], p_options jsonb[], p_statuses text[])
RETURNS TABLE (idx integer, state text, value text, info jsonb)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  IF false = ANY (p_new) THEN
    PERFORM dbos_sys.check_runs(
      ARRAY(SELECT r.id FROM unnest(p_ids, p_new) AS r(id, new) WHERE r.new),
      ARRAY(SELECT r.token FROM unnest(p_tokens, p_new) AS r(token, new) WHERE r.new),
      ARRAY(SELECT r.name FROM unnest(p_names, p_new) AS r(name, new) WHERE r.new), p_inputs, p_options, p_statuses);
  ELSE
    PERFORM dbos_sys.check_runs(p_ids, p_tokens, p_names, p_inputs, p_options, p_statuses);
  END IF;
  PERFORM dbos_sys.check_inputs(p_inputs, p_options, p_new);
  IF p_families THEN
    RETURN QUERY SELECT a.* FROM dbos_sys.add_families(p_application, p_executor, p_version, p_now, p_careful, p_alive, p_new,
      p_ids, p_tokens, p_names, p_inputs, p_options, p_statuses) AS a;
  ELSE
    RETURN QUERY SELECT a.* FROM dbos_sys.add_level(p_application, p_executor, p_version, p_now, p_careful, p_new,
      p_ids, p_tokens, p_names, p_inputs, p_options, p_statuses, array_fill(NULL::text, ARRAY[cardinality(p_ids)])) AS a;
  END IF;
END;
$$;

-- Arrays that go together have equal bounds, flat and from 1, or none where they are empty.
CREATE OR REPLACE FUNCTION dbos_sys.check_shapes(p_given boolean, p_runs text[], p_steps text[], p_ops text[])
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  IF NOT p_given OR array_remove(p_runs, p_runs[1]) <> '{}' OR array_remove(p_steps, p_steps[1]) <> '{}' OR array_remove(p_ops, p_ops[1]) <> '{}'
    OR p_runs[1] !~ '^\[1:\d+\]$' OR p_steps[1] !~ '^\[1:\d+\]$' OR p_ops[1] !~ '^\[1:\d+\]$' THEN
    PERFORM dbos_sys.fail('WF001', 'arrays of flush() differ in length, are NULL or not flat',
      format('Bounds of runs: %s; of steps: %s; of operations: %s.', p_runs, p_steps, p_ops), 'Give flat arrays of one length for each of the three.');
  END IF;
END;
$$;

-- What is no reply of one run but a mistake of the caller.
CREATE OR REPLACE FUNCTION dbos_sys.check_flush(
  p_application text, p_careful boolean, p_ids text[], p_tokens text[], p_new boolean[], p_op_run integer[])
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  IF p_application IS NOT NULL THEN
    PERFORM dbos_sys.check_text('application', p_application);
  END IF;
  IF p_careful IS NULL OR array_position(p_new, NULL) IS NOT NULL THEN
    PERFORM dbos_sys.fail('WF001', 'p_careful or one of r_new is NULL', NULL, 'p_careful: false, or true after an error or a lost reply; r_new: whether the run starts here.');
  ELSIF array_position(p_ids, NULL) IS NOT NULL OR array_position(p_tokens, NULL) IS NOT NULL THEN
    PERFORM dbos_sys.check_list('workflow id', p_ids);
    PERFORM dbos_sys.check_list('owner token', p_tokens);
  ELSIF (1 <= ALL (p_op_run) AND cardinality(p_ids) >= ALL (p_op_run)) IS NOT TRUE THEN
    PERFORM dbos_sys.fail('WF001', format('operations name runs that are not there: %s', left(p_op_run::text, 60)), NULL,
      format('Runs are 1 to %s.', cardinality(p_ids)));
  END IF;
END;
$$;

CREATE OR REPLACE FUNCTION dbos_sys.flush(
  p_application text, p_executor text, p_incarnation text, p_version text, p_careful boolean,
  r_id text[], r_token text[], r_new boolean[], r_name text[], r_inputs text[], r_options jsonb[], r_status text[], r_output text[], r_error text[],
  s_run integer[], s_fid integer[], s_name text[], s_output text[], s_error text[], s_started bigint[], s_completed bigint[],
  o_run integer[], o_fid integer[], o_kind text[], o_args jsonb[])
RETURNS TABLE (part text, idx integer, state text, value text, info jsonb)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET dbos_sys.quiet = on
SET enable_seqscan = off
SET jit = off
SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
  v_now bigint := dbos_sys.now_ms();
  v_runs integer := cardinality(r_id);
  v_starts boolean;
  v_options boolean;
  v_families boolean := false;
  v_direct boolean;   -- a run starts here, not on a queue
  v_ends boolean;
  v_ok boolean[];   -- whose items are written
  v_not integer[] := '{}';
  v_queued boolean := false;
BEGIN
  PERFORM dbos_sys.check_shapes(
    (r_id, r_token, r_new, r_name, r_inputs, r_options, r_status, r_output, r_error, s_run, s_fid, s_name, s_output, s_error, s_started, s_completed,
      o_run, o_fid, o_kind, o_args) IS NOT NULL,
    ARRAY[array_dims(r_id), array_dims(r_token), array_dims(r_new), array_dims(r_name), array_dims(r_inputs), array_dims(r_options), array_dims(r_status),
      array_dims(r_output), array_dims(r_error)],
    ARRAY[array_dims(s_run), array_dims(s_fid), array_dims(s_name), array_dims(s_output), array_dims(s_error), array_dims(s_started), array_dims(s_completed)],
    ARRAY[array_dims(o_run), array_dims(o_fid), array_dims(o_kind), array_dims(o_args)]);
  PERFORM dbos_sys.check_flush(p_application, p_careful, r_id, r_token, r_new, o_run);
  v_starts := true = ANY (r_new);
  v_options := v_starts AND cardinality(array_remove(r_options, NULL)) > 0;
  v_ends := cardinality(array_remove(r_status, NULL)) > 0;
  v_ok := array_fill(false, ARRAY[v_runs]);
  IF v_ends THEN
    PERFORM dbos_sys.check_completions(r_status, r_output, r_error);
  END IF;
  v_direct := v_starts;
  IF v_options THEN
    SELECT bool_or(r.o ? 'queue') IS TRUE, bool_or(r.o ? 'parent_run') IS TRUE, bool_or(r.new AND (r.o ? 'queue') IS NOT TRUE)
    INTO v_queued, v_families, v_direct FROM unnest(r_new, r_options) AS r(new, o);
  END IF;
  IF v_direct THEN
    PERFORM dbos_sys.check_text('version', p_version);
    PERFORM dbos_sys.hold_incarnation(p_application, p_executor, p_incarnation);
  END IF;
  IF false = ANY (r_new) THEN
    v_ok := dbos_sys.lock_runs(r_id, r_token, r_new);
    IF false = ANY (v_ok) AND EXISTS (SELECT FROM unnest(r_new, v_ok) AS r(new, ok) WHERE NOT (r.new OR r.ok)) THEN
      part := 'run';
      FOR idx, state, info IN
        SELECT m.idx, m.state, m.info FROM dbos_sys.missed_runs(r_id, r_token, ARRAY(SELECT NOT (r.new OR r.ok) FROM unnest(r_new, v_ok) AS r(new, ok))) AS m
      LOOP
        RETURN NEXT;
      END LOOP;
    END IF;
  END IF;
  IF v_starts THEN
    part := 'run';
    FOR idx, state, value, info IN
      SELECT a.* FROM dbos_sys.add_runs(p_application, p_executor, p_version, v_now, p_careful, v_families, v_ok, r_new,
        r_id, r_token, r_name, r_inputs, r_options, r_status) AS a
    LOOP
      v_not := v_not || idx;
      RETURN NEXT;
    END LOOP;
    IF v_not = '{}' AND NOT false = ANY (r_new) THEN
      v_ok := r_new;
    ELSE
      v_ok := ARRAY(SELECT (r.new OR r.ok) AND r.place <> ALL (v_not) FROM unnest(r_new, v_ok) WITH ORDINALITY AS r(new, ok, place));
    END IF;
  END IF;
  IF cardinality(s_run) > 0 THEN
    PERFORM dbos_sys.check_steps(v_runs, s_run, s_fid, s_name, s_output, s_error, s_started, s_completed);
    IF p_careful THEN
      part := 'run';
      FOR idx, state, value, info IN
        SELECT d.idx, 'refused', 'WF014', d.info FROM dbos_sys.differing_steps(v_ok, r_id, s_run, s_fid, s_name, s_completed) AS d
      LOOP
        v_ok[idx] := false;
        RETURN NEXT;
      END LOOP;
    END IF;
    PERFORM dbos_sys.insert_steps(p_application, v_now, p_careful, v_ok, r_id, s_run, s_fid, s_name, s_output, s_error, s_started, s_completed);
  END IF;
  FOR i IN 1 .. cardinality(o_run) LOOP
    CONTINUE WHEN NOT COALESCE(v_ok[o_run[i]], false);
    SELECT 'op', i, r.* INTO part, idx, state, value, info
    FROM dbos_sys.run_op(p_application, r_id[o_run[i]], o_fid[i], v_now, o_kind[i], o_args[i]) AS r;
    IF state = 'refused' THEN
      v_ok[o_run[i]] := false;
      SELECT 'run', o_run[i], 'WF014' INTO part, idx, value;
    END IF;
    RETURN NEXT;
  END LOOP;
  IF v_ends THEN
    v_queued := v_queued OR dbos_sys.frees_room(ARRAY(SELECT r.id FROM unnest(r_id, r_status, v_ok, r_new) AS r(id, status, ok, new)
      WHERE r.status IS NOT NULL AND r.ok AND NOT r.new));
    PERFORM dbos_sys.complete_runs(v_now, p_careful, v_ok, r_id, r_new, r_status, r_output, r_error);
    PERFORM dbos_sys.wake(v_queued, true);
  ELSIF v_queued THEN
    PERFORM dbos_sys.wake(true, false);
  END IF;
  idx := 0; state := NULL; info := NULL;
  IF v_options THEN
    part := 'queue';
    FOR value IN SELECT u.name FROM dbos_sys.unknown_queues(r_options) AS u(name) LOOP
      RETURN NEXT;
    END LOOP;
  END IF;
  part := 'now';
  value := v_now;
  RETURN NEXT;
END;
$$;
COMMENT ON FUNCTION dbos_sys.flush(text, text, text, text, boolean, text[], text[], boolean[], text[], text[], jsonb[], text[], text[], text[],
  integer[], integer[], text[], text[], text[], bigint[], bigint[], integer[], integer[], text[], jsonb[]) IS
'What an executor has ready of many runs, in one transaction: new runs, steps, operations, completions. Runs (r_…) are named by id and owner
token; steps (s_…) and operations (o_…) by the place of their run, from 1. Times in ms since 1970. Returns only what is not simply done:
part run: lost, busy (send again), exists, conflict, deduplicated, refused; part op: one row per operation; part queue: one of new runs that
is not registered; part now: the server''s time.
p_careful: true after an error or a lost reply. Errors: WF001, WF014, WF021; 23505 and transient ones mean: again, with p_careful.';
