-- Wake-ups and waits: the C functions, and what the waits look at. src/README.md has the picture.

CREATE OR REPLACE FUNCTION dbos_sys.preloaded()
RETURNS boolean
LANGUAGE c STABLE
AS 'MODULE_PATHNAME', 'dbos_sys_preloaded';
COMMENT ON FUNCTION dbos_sys.preloaded() IS
  'True when shared_preload_libraries has dbos_sys, so that background workers maintain the databases named in dbos_sys.databases.';

CREATE OR REPLACE FUNCTION dbos_sys.library_version()
RETURNS text
LANGUAGE c STABLE
AS 'MODULE_PATHNAME', 'dbos_sys_library_version';
COMMENT ON FUNCTION dbos_sys.library_version() IS
  'Version of the loaded library. It may be newer than version(), that of the SQL functions, until ALTER EXTENSION dbos_sys UPDATE.';

CREATE OR REPLACE FUNCTION dbos_sys.wake(p_work boolean, p_done boolean)
RETURNS void
LANGUAGE c VOLATILE
AS 'MODULE_PATHNAME', 'dbos_sys_wake';
COMMENT ON FUNCTION dbos_sys.wake(boolean, boolean) IS
  'Tells, once this transaction has committed and if it wrote anything, that work became claimable (p_work) or workflows finished '
  '(p_done): listeners of channel dbos_sys get the payload work or done, and waiting CALLs look again.';

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

CREATE OR REPLACE PROCEDURE dbos_sys.await(
  p_id text,
  p_timeout interval DEFAULT '60 s',
  INOUT p_status text DEFAULT NULL,
  INOUT p_output text DEFAULT NULL,
  INOUT p_error text DEFAULT NULL)
LANGUAGE c
AS 'MODULE_PATHNAME', 'dbos_sys_await';
COMMENT ON PROCEDURE dbos_sys.await(text, interval, text, text, text) IS
  'Waits until the workflow has ended, at most p_timeout (0 looks once), and returns its status, output and error. An unknown id is '
  'waited for too. At the timeout p_status is the present status, or NULL when there is no such workflow. It commits while it waits: '
  'not inside a transaction block (WF015), not through a transaction pooler.';

CREATE OR REPLACE PROCEDURE dbos_sys.wait_for_work(
  p_queues text[],
  p_timeout interval DEFAULT '60 s',
  INOUT p_found boolean DEFAULT NULL)
LANGUAGE c
AS 'MODULE_PATHNAME', 'dbos_sys_wait_for_work';
COMMENT ON PROCEDURE dbos_sys.wait_for_work(text[], interval, boolean) IS
  'Waits until a workflow is ENQUEUED on one of the queues, at most p_timeout (0 looks once); p_found tells whether one is. It may '
  'still be one that the caller cannot claim (another version, a limit): pause after a claim that brought nothing. It commits while '
  'it waits: not inside a transaction block (WF015), not through a transaction pooler.';
