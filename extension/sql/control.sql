-- Control from outside: cancel and resume. Both lock the rows they mean by id, waiting for a flush that holds one, and decide then.

-- `p_more`, `p_hint`: what else is known of those that are in no table, and what to do then.
CREATE OR REPLACE FUNCTION dbos_sys.check_exist(
  p_ids text[], p_more text DEFAULT '', p_hint text DEFAULT 'SELECT workflow_uuid FROM dbos_sys.list() shows the ids.')
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  v_missing text[] := ARRAY(
    SELECT i.id FROM unnest(p_ids) AS i(id) WHERE NOT EXISTS (SELECT FROM dbos.workflow_status AS w WHERE w.workflow_uuid = i.id) ORDER BY i.id);
BEGIN
  IF v_missing <> '{}' THEN
    PERFORM dbos_sys.fail('WF010', CASE WHEN cardinality(v_missing) = 1 THEN format('workflow %s does not exist', dbos_sys.shown(v_missing[1]))
        ELSE format('%s workflows do not exist', cardinality(v_missing)) END,
      format('Missing: %s%s. Nothing was changed.%s', (SELECT string_agg(dbos_sys.shown(m.id), ', ') FROM unnest(v_missing[1:5]) AS m(id)),
        CASE WHEN cardinality(v_missing) > 5 THEN ' …' ELSE '' END, p_more), p_hint);
  END IF;
END;
$$;

-- The ids and all that they started, directly or through others.
CREATE OR REPLACE FUNCTION dbos_sys.with_descendants(p_ids text[])
RETURNS text[]
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN ARRAY(
    WITH RECURSIVE family (id) AS (
      SELECT i.id FROM unnest(p_ids) AS i(id)
      UNION
      SELECT w.workflow_uuid FROM family AS f JOIN dbos.workflow_status AS w ON w.parent_workflow_id = f.id)
    SELECT f.id FROM family AS f ORDER BY f.id);
END;
$$;

-- Cancels those of the ids that have not ended otherwise; also the deadline sweep's transition.
CREATE OR REPLACE FUNCTION dbos_sys.cancel_rows(p_ids text[])
RETURNS integer
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET dbos_sys.quiet = on
AS $$
DECLARE
  v_now bigint := dbos_sys.now_ms();
  v_room boolean;
  v_rows integer;
BEGIN
  PERFORM FROM dbos.workflow_status AS w WHERE w.workflow_uuid = ANY (p_ids) ORDER BY w.workflow_uuid FOR NO KEY UPDATE;
  v_room := dbos_sys.frees_room(p_ids);
  UPDATE dbos.workflow_status AS w
  SET status = 'CANCELLED', owner_xid = NULL, queue_name = NULL, deduplication_id = NULL, started_at_epoch_ms = NULL, completed_at = v_now,
    updated_at = v_now
  WHERE w.workflow_uuid = ANY (p_ids) AND w.status NOT IN ('SUCCESS', 'ERROR', 'CANCELLED');
  GET DIAGNOSTICS v_rows = ROW_COUNT;
  IF v_rows > 0 THEN
    PERFORM dbos_sys.wake(v_room, true);
  END IF;
  RETURN v_rows;
END;
$$;

CREATE OR REPLACE FUNCTION dbos_sys.cancel(p_ids text[], p_children boolean DEFAULT false)
RETURNS integer
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  v_ids text[] := dbos_sys.check_ids('workflow id', p_ids);
  v_family text[];
  v_rows integer;
BEGIN
  PERFORM dbos_sys.check_exist(v_ids);
  v_rows := dbos_sys.cancel_rows(v_ids);
  -- A cancelled parent starts no more children: what is new at the next look was started before.
  WHILE COALESCE(p_children, false) LOOP
    v_family := dbos_sys.with_descendants(v_ids);
    EXIT WHEN cardinality(v_family) = cardinality(v_ids);
    v_ids := v_family;
    v_rows := v_rows + dbos_sys.cancel_rows(v_ids);
  END LOOP;
  RETURN v_rows;
END;
$$;
COMMENT ON FUNCTION dbos_sys.cancel(text[], boolean) IS
'Cancels workflows, with p_children also those that they started, and returns how many changed. What has ended stays as it is. A running one
stops at its next write. A cancelled workflow can be resumed. Errors: WF001, WF010 (an id does not exist; nothing was changed).';

CREATE OR REPLACE FUNCTION dbos_sys.resume(p_ids text[], p_queue text DEFAULT NULL)
RETURNS integer
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET dbos_sys.quiet = on
AS $$
DECLARE
  v_ids text[] := dbos_sys.check_ids('workflow id', p_ids);
  v_ended record;
BEGIN
  IF p_queue IS NOT NULL THEN
    PERFORM dbos_sys.check_text('queue', p_queue);
    PERFORM dbos_sys.warn_of_queue(p_queue);
  END IF;
  PERFORM FROM dbos.workflow_status AS w WHERE w.workflow_uuid = ANY (v_ids) ORDER BY w.workflow_uuid FOR NO KEY UPDATE;
  PERFORM dbos_sys.check_exist(v_ids);
  SELECT w.workflow_uuid AS id, w.status INTO v_ended FROM dbos.workflow_status AS w
  WHERE w.workflow_uuid = ANY (v_ids) AND w.status IN ('SUCCESS', 'ERROR') ORDER BY w.workflow_uuid LIMIT 1;
  IF FOUND THEN
    PERFORM dbos_sys.fail('WF013', format('workflow %s cannot be resumed', dbos_sys.shown(v_ended.id)),
      format('Its status is %s. Nothing was changed.', v_ended.status), 'Start it again under a new id.');
  END IF;
  -- A dead letter may have a reason where outcomes stand.
  DELETE FROM dbos.workflow_output AS o WHERE o.workflow_uuid = ANY (v_ids);
  UPDATE dbos.workflow_status AS w
  SET status = 'ENQUEUED', owner_xid = NULL, queue_name = COALESCE(p_queue, '_dbos_internal_queue'), recovery_attempts = 0,
    workflow_deadline_epoch_ms = NULL, deduplication_id = NULL, started_at_epoch_ms = NULL, completed_at = NULL, output = NULL, error = NULL,
    updated_at = dbos_sys.now_ms()
  WHERE w.workflow_uuid = ANY (v_ids);
  PERFORM dbos_sys.restore_children(u.id, false, '1 day') FROM unnest(v_ids) AS u(id) ORDER BY u.id;
  PERFORM dbos_sys.wake(true, false);
  RETURN cardinality(v_ids);
END;
$$;
COMMENT ON FUNCTION dbos_sys.resume(text[], text) IS
'Enqueues workflows again that were cancelled, went to the dead letter, or are to run elsewhere: from their recorded steps on, attempts from 0,
a timeout anew from the next run. Archived children whose results they will ask for come back. p_queue NULL: the internal queue. Returns how many. Errors: WF001, WF010 (an id does not exist),
WF013 (one ended with SUCCESS or ERROR); nothing was changed then.';
