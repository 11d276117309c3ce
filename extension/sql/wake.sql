-- What the waits look at.

-- True when a workflow of one of the queues is ENQUEUED. Status is a literal: a parameter would not match the partial index.
CREATE OR REPLACE FUNCTION dbos_sys.work_waits(p_queues text[])
RETURNS boolean
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
AS $$
BEGIN
  IF to_regclass('dbos.workflow_status') IS NULL THEN
    PERFORM dbos_sys.fail('WF002', 'the DBOS tables are not installed in this database', NULL, 'SELECT dbos_sys.install();');
  END IF;
  PERFORM dbos_sys.check_list('queue', p_queues);
  RETURN EXISTS (
    SELECT FROM dbos.workflow_status AS w
    WHERE w.status = 'ENQUEUED' AND w.queue_name = ANY (p_queues));
END;
$$;
COMMENT ON FUNCTION dbos_sys.work_waits(text[]) IS 'True when a workflow is ENQUEUED on one of the queues. Errors: WF001, WF002.';
