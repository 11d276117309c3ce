-- Wake-ups and waits: the C functions. src/README.md has the picture; plain/module.sql stands in for this file where there is no library.

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
