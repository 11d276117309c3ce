-- fork() and delete(): both reach workflows in the tables and in the archive.

-- Copies what a workflow has recorded below a step to another, whose status row stands.
CREATE OR REPLACE FUNCTION dbos_sys.fork_rows(p_id text, p_new text, p_step integer, p_now bigint)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  INSERT INTO dbos.operation_outputs (workflow_uuid, function_id, function_name, output, error, child_workflow_id, started_at_epoch_ms,
    completed_at_epoch_ms, serialization, application_name, retention_timestamp)
  SELECT p_new, o.function_id, o.function_name, o.output, o.error, o.child_workflow_id, o.started_at_epoch_ms, o.completed_at_epoch_ms, o.serialization,
    o.application_name, p_now
  FROM dbos.operation_outputs AS o WHERE o.workflow_uuid = p_id AND o.function_id < p_step;
  INSERT INTO dbos.streams (workflow_uuid, key, value, "offset", function_id, serialization)
  SELECT p_new, s.key, s.value, s."offset", s.function_id, s.serialization FROM dbos.streams AS s WHERE s.workflow_uuid = p_id AND s.function_id < p_step;
  INSERT INTO dbos.workflow_events_history (workflow_uuid, function_id, key, value, serialization)
  SELECT p_new, h.function_id, h.key, h.value, h.serialization
  FROM dbos.workflow_events_history AS h WHERE h.workflow_uuid = p_id AND h.function_id < p_step;
  -- An event is what its newest entry below the cut says.
  INSERT INTO dbos.workflow_events (workflow_uuid, key, value, serialization)
  SELECT DISTINCT ON (h.key) p_new, h.key, h.value, h.serialization
  FROM dbos.workflow_events_history AS h WHERE h.workflow_uuid = p_id AND h.function_id < p_step ORDER BY h.key, h.function_id DESC;
END;
$$;

CREATE OR REPLACE FUNCTION dbos_sys.check_fork(p_id text, p_step integer, p_new text)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  v_last integer := COALESCE((SELECT max(o.function_id) FROM dbos.operation_outputs AS o WHERE o.workflow_uuid = p_id), -1);
BEGIN
  IF p_step < 0 OR p_step > v_last + 1 THEN
    PERFORM dbos_sys.fail('WF001', format('start_step is %s', p_step), format('Workflow %s has recorded steps up to %s.', dbos_sys.shown(p_id), v_last),
      format('Give 0 (from the beginning) to %s.', v_last + 1));
  ELSIF EXISTS (SELECT FROM dbos.workflow_status AS w WHERE w.workflow_uuid = p_new) THEN
    PERFORM dbos_sys.fail('WF011', format('workflow %s exists already', dbos_sys.shown(p_new)), NULL, 'Give a new id, or none.');
  END IF;
END;
$$;

-- Marks a workflow of a chunk, which the caller has locked, as one that was forked; where it bears the mark nothing changes, and archive_sum() neither.
CREATE OR REPLACE FUNCTION dbos_sys.archive_forked(p_first bigint, p_chunk uuid, p_id text)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  v_place integer := (
    SELECT c.place - 1 FROM dbos_ops.archive AS a JOIN dbos_ops.archive_shapes AS s ON s.shape = a.shape,
    LATERAL jsonb_array_elements_text(s.columns -> 's') WITH ORDINALITY AS c(name, place)
    WHERE a.first_ended = p_first AND a.chunk = p_chunk AND a.part = 0 AND c.name = 'was_forked_from');
  v_data text;
BEGIN
  SELECT string_agg(CASE WHEN l.id = p_id AND starts_with(l.line, 's') THEN 's' || m.line ELSE l.line END, E'\n' ORDER BY l.place) INTO v_data
  FROM dbos_sys.archive_lines(p_first, p_chunk) AS l, LATERAL (
    -- The other columns as they were written.
    SELECT '[' || string_agg(CASE WHEN e.place = v_place + 1 THEN 'true' ELSE e.value::text END, ', ' ORDER BY e.place) || ']' AS line
    FROM json_array_elements(CASE WHEN l.id = p_id AND starts_with(l.line, 's') THEN substr(l.line, 2)::json END) WITH ORDINALITY AS e(value, place)) AS m
  WHERE l.part = 0;
  UPDATE dbos_ops.archive AS a
  SET data = v_data, digest = dbos_sys.archive_digest(s.columns, to_jsonb(a) || jsonb_build_object('data', v_data))
  FROM dbos_ops.archive_shapes AS s
  WHERE s.shape = a.shape AND a.first_ended = p_first AND a.chunk = p_chunk AND a.part = 0 AND a.data <> v_data;
END;
$$;

CREATE OR REPLACE FUNCTION dbos_sys.fork(
  id text, start_step integer DEFAULT 0, new_id text DEFAULT NULL, queue text DEFAULT NULL, version text DEFAULT NULL, partition_key text DEFAULT NULL)
RETURNS text
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET dbos_sys.quiet = on
AS $$
#variable_conflict use_column
DECLARE
  v_now bigint := dbos_sys.now_ms();
  v_new text := COALESCE(fork.new_id, dbos_sys.new_id());
  v_found record;
BEGIN
  PERFORM dbos_sys.check_text('workflow id', fork.id);
  PERFORM dbos_sys.check_text('new workflow id', v_new);
  PERFORM dbos_sys.check_text('queue', fork.queue) WHERE fork.queue IS NOT NULL;
  PERFORM dbos_sys.check_text('version', fork.version) WHERE fork.version IS NOT NULL;
  PERFORM dbos_sys.check_text('partition_key', fork.partition_key) WHERE fork.partition_key IS NOT NULL;
  PERFORM FROM dbos.workflow_status AS w WHERE w.workflow_uuid = fork.id FOR NO KEY UPDATE;
  IF NOT FOUND THEN
    -- Into the tables for this moment; the archive keeps what it has, with the mark that it was forked.
    SELECT a.first_ended, a.chunk INTO v_found FROM dbos_sys.archive_lock(fork.id) AS a;
    IF v_found.chunk IS NULL THEN
      -- Unless it was restored between the two looks.
      PERFORM dbos_sys.check_exist(ARRAY[fork.id]);
      PERFORM FROM dbos.workflow_status AS w WHERE w.workflow_uuid = fork.id FOR NO KEY UPDATE;
    ELSE
      PERFORM dbos_sys.restore_rows(fork.id, v_found.first_ended, v_found.chunk);
    END IF;
  END IF;
  PERFORM dbos_sys.check_fork(fork.id, COALESCE(fork.start_step, 0), v_new);
  INSERT INTO dbos.workflow_status (workflow_uuid, status, name, class_name, config_name, authenticated_user, assumed_role, authenticated_roles,
    application_id, application_name, application_version, serialization, attributes, queue_name, queue_partition_key, forked_from, priority,
    recovery_attempts, created_at, updated_at)
  SELECT v_new, 'ENQUEUED', w.name, w.class_name, w.config_name, w.authenticated_user, w.assumed_role, w.authenticated_roles, w.application_id,
    w.application_name, COALESCE(fork.version, w.application_version), w.serialization, w.attributes, COALESCE(fork.queue, '_dbos_internal_queue'),
    fork.partition_key, w.workflow_uuid, 0, 0, v_now, v_now
  FROM dbos.workflow_status AS w WHERE w.workflow_uuid = fork.id;
  INSERT INTO dbos.workflow_input AS n (workflow_uuid, inputs, retention_timestamp)
  SELECT v_new, COALESCE(i.inputs, w.inputs), v_now
  FROM dbos.workflow_status AS w LEFT JOIN dbos.workflow_input AS i ON i.workflow_uuid = w.workflow_uuid WHERE w.workflow_uuid = fork.id
  ON CONFLICT (workflow_uuid) DO UPDATE SET inputs = EXCLUDED.inputs, retention_timestamp = EXCLUDED.retention_timestamp;
  PERFORM dbos_sys.fork_rows(fork.id, v_new, fork.start_step, v_now);
  PERFORM dbos_sys.restore_children(v_new, false, '1 day');
  IF v_found IS NOT NULL THEN
    PERFORM dbos_sys.prune_rows(ARRAY[fork.id]);
    PERFORM dbos_sys.archive_forked(v_found.first_ended, v_found.chunk, fork.id);
  ELSE
    UPDATE dbos.workflow_status AS w SET was_forked_from = true WHERE w.workflow_uuid = fork.id;
  END IF;
  PERFORM dbos_sys.wake(true, false);
  RETURN v_new;
END;
$$;
COMMENT ON FUNCTION dbos_sys.fork(text, integer, text, text, text, text) IS
'Starts a copy of a workflow, which has recorded what the original has below start_step and runs on from there; returns its id. The original may be in the
archive, where it stays and is marked as forked: the first fork changes archive_sum(), no other does; children whose results the fork will ask for come
back from there. queue NULL: the internal queue; version NULL: the original''s. As upstream''s fork, messages are not copied. Errors: WF001, WF010 (no such workflow), WF011 (new_id exists), WF053, WF054 (as restore()).';

-- Archived workflows that these started, by the record of those, here or in the archive.
CREATE OR REPLACE FUNCTION dbos_sys.archived_children(p_ids text[])
RETURNS text[]
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN ARRAY(
    SELECT DISTINCT c.child
    FROM unnest(p_ids) AS i(id),
    LATERAL (
      SELECT o.child_workflow_id AS child FROM dbos.operation_outputs AS o WHERE o.workflow_uuid = i.id AND o.function_name <> 'DBOS.getResult'
      UNION
      SELECT r.o ->> 'child_workflow_id' FROM dbos_sys.archive_find(i.id) AS f, LATERAL dbos_sys.archive_objects(f.first_ended, f.chunk, '{p}', i.id) AS r
      WHERE f.chunk IS NOT NULL AND r.o ->> 'function_name' <> 'DBOS.getResult') AS c,
    LATERAL dbos_sys.archive_find(c.child) AS a,
    LATERAL dbos_sys.archive_objects(a.first_ended, a.chunk, '{s}', c.child) AS s
    WHERE c.child IS NOT NULL AND a.chunk IS NOT NULL AND s.o ->> 'parent_workflow_id' = i.id);
END;
$$;

CREATE OR REPLACE FUNCTION dbos_sys.check_delete(p_ids text[], p_force boolean)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  v_missing text[] := ARRAY(
    SELECT i.id FROM unnest(p_ids) AS i(id)
    WHERE NOT EXISTS (SELECT FROM dbos.workflow_status AS w WHERE w.workflow_uuid = i.id) AND (SELECT f.chunk FROM dbos_sys.archive_find(i.id) AS f) IS NULL
      AND NOT EXISTS (SELECT FROM dbos_sys.exports_with(i.id)));
  v_live record;
BEGIN
  IF v_missing <> '{}' THEN
    PERFORM dbos_sys.fail_delete(v_missing);
  END IF;
  SELECT w.workflow_uuid AS id, w.status INTO v_live FROM dbos.workflow_status AS w
  WHERE w.workflow_uuid = ANY (p_ids) AND w.status IN ('ENQUEUED', 'DELAYED', 'PENDING') ORDER BY w.workflow_uuid LIMIT 1;
  IF FOUND AND p_force IS NOT TRUE THEN
    PERFORM dbos_sys.fail('WF013', format('workflow %s cannot be deleted', dbos_sys.shown(v_live.id)), format('Its status is %s. Nothing was changed.', v_live.status),
      'Cancel it first, or: force => true.');
  END IF;
END;
$$;

CREATE OR REPLACE FUNCTION dbos_sys.delete(ids text[], children boolean DEFAULT false, force boolean DEFAULT false)
RETURNS TABLE (workflow_uuid text, place text)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
  v_ids text[] := dbos_sys.check_ids('workflow id', delete.ids);
  v_family text[];
  v_here text[];
  v_id text;
  v_found record;
BEGIN
  PERFORM dbos_sys.check_archive_tables();
  PERFORM dbos_sys.check_primary('delete');
  -- An export that is being noted has these workflows, or is refused: note_export() waits for this, or this for it.
  PERFORM pg_advisory_xact_lock_shared(hashtextextended('dbos_sys.note_export', 0));
  WHILE children LOOP
    v_family := dbos_sys.with_descendants(v_ids || dbos_sys.archived_children(v_ids));
    EXIT WHEN cardinality(v_family) = cardinality(v_ids);
    v_ids := v_family;
  END LOOP;
  PERFORM FROM dbos.workflow_status AS w WHERE w.workflow_uuid = ANY (v_ids) ORDER BY w.workflow_uuid FOR UPDATE;
  PERFORM dbos_sys.check_delete(v_ids, delete.force);
  v_here := ARRAY(SELECT w.workflow_uuid FROM dbos.workflow_status AS w WHERE w.workflow_uuid = ANY (v_ids) ORDER BY w.workflow_uuid);
  -- What waits or runs is cancelled before, so that its room on a queue is free and its executor learns of it.
  PERFORM dbos_sys.cancel_rows(v_here);
  PERFORM dbos_sys.prune_rows(v_ids);
  RETURN QUERY SELECT u.id, 'tables' FROM unnest(v_here) AS u(id);
  FOREACH v_id IN ARRAY v_ids LOOP
    LOOP
      SELECT a.first_ended, a.chunk INTO v_found FROM dbos_sys.archive_lock(v_id) AS a;
      EXIT WHEN v_found.chunk IS NULL;
      PERFORM dbos_sys.archive_remove(v_found.first_ended, v_found.chunk, v_id);
      RETURN QUERY SELECT v_id, 'archive';
    END LOOP;
    -- Wherever it was: it may have been restored since, or archived in other months too.
    RETURN QUERY SELECT v_id, 'still in the export ' || e.name FROM dbos_sys.exports_with(v_id) AS e(name);
    RETURN QUERY SELECT v_id, 'may be in the export ' || e.name FROM dbos_sys.unlisted_exports() AS e(name);
  END LOOP;
  DELETE FROM dbos_ops.retention_holds AS h WHERE h.workflow_uuid = ANY (v_ids);
END;
$$;
COMMENT ON FUNCTION dbos_sys.delete(text[], boolean, boolean) IS
'Deletes workflows from the tables and from the archive, with children also those that they started, in both. Returns where each was, and the noted exports
of the archive that still hold it, also those of months that were dropped: these files are yours to clean, then forget_export(). One that has not ended
is refused; with force it is cancelled before. Errors: WF001, WF010 (in neither place, and in no export), WF013 (has not ended); nothing was changed then.';
