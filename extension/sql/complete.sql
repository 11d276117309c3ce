-- The end of a run.

CREATE OR REPLACE FUNCTION dbos_sys.check_completions(p_statuses text[], p_output text[], p_error text[])
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  v_status text;
BEGIN
  SELECT s.status INTO v_status FROM unnest(p_statuses) AS s(status)
  WHERE s.status NOT IN ('SUCCESS', 'ERROR', 'CANCELLED', 'MAX_RECOVERY_ATTEMPTS_EXCEEDED') LIMIT 1;
  IF FOUND THEN
    PERFORM dbos_sys.fail('WF001', format('%s is not a final status', dbos_sys.shown(v_status)), NULL,
      'Give SUCCESS, ERROR, CANCELLED or MAX_RECOVERY_ATTEMPTS_EXCEEDED.');
  END IF;
  IF pg_column_size(p_output) + pg_column_size(p_error) > 1000000 THEN
    PERFORM dbos_sys.check_payloads('output', p_output);
    PERFORM dbos_sys.check_payloads('error', p_error);
  END IF;
END;
$$;

-- Ends the runs of the mask that have a status; their rows are locked by the caller. New runs stand in it since their insert. CANCELLED
-- and the dead letter leave the queue, as cancel() does. Why created_at is set: mark_claimed().
CREATE OR REPLACE FUNCTION dbos_sys.complete_runs(
  p_now bigint, p_careful boolean, p_take boolean[], p_ids text[], p_new boolean[], p_statuses text[], p_output text[], p_error text[])
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  v_status text;
  v_ids text[];
BEGIN
  FOR v_status, v_ids IN
    SELECT r.status, array_agg(r.id)
    FROM unnest(p_ids, p_new, p_statuses) WITH ORDINALITY AS r(id, new, status, place)
    WHERE NOT r.new AND r.status IS NOT NULL AND p_take[r.place] GROUP BY r.status
  LOOP
    UPDATE dbos.workflow_status AS w
    SET status = v_status, created_at = w.created_at, deduplication_id = NULL, completed_at = p_now, updated_at = p_now, owner_xid = NULL,
      queue_name = CASE WHEN v_status IN ('SUCCESS', 'ERROR') THEN w.queue_name END,
      started_at_epoch_ms = CASE WHEN v_status IN ('SUCCESS', 'ERROR') THEN w.started_at_epoch_ms END
    WHERE w.workflow_uuid = ANY (v_ids);
  END LOOP;
  IF p_careful THEN
    -- A resumed dead letter, or a reused id, may have an output already.
    INSERT INTO dbos.workflow_output AS o (workflow_uuid, output, error, retention_timestamp)
    SELECT r.id, r.output, r.error, p_now
    FROM unnest(p_ids, p_statuses, p_output, p_error) WITH ORDINALITY AS r(id, status, output, error, place)
    WHERE r.status IS NOT NULL AND p_take[r.place]
    ON CONFLICT (workflow_uuid) DO UPDATE
    SET output = EXCLUDED.output, error = EXCLUDED.error, retention_timestamp = EXCLUDED.retention_timestamp;
  ELSE
    INSERT INTO dbos.workflow_output (workflow_uuid, output, error, retention_timestamp)
    SELECT r.id, r.output, r.error, p_now
    FROM unnest(p_ids, p_statuses, p_output, p_error) WITH ORDINALITY AS r(id, status, output, error, place)
    WHERE r.status IS NOT NULL AND p_take[r.place];
  END IF;
END;
$$;
