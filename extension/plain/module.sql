-- In place of sql/module.sql, where there is no library: nothing wakes anybody, who waits looks again, at first often, then once a second.

CREATE OR REPLACE FUNCTION dbos_sys.preloaded()
RETURNS boolean
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN false;
END;
$$;
COMMENT ON FUNCTION dbos_sys.preloaded() IS 'False: there is no library, and so no background worker. pg_cron or a client maintains the database.';

CREATE OR REPLACE FUNCTION dbos_sys.library_version()
RETURNS text
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN NULL;
END;
$$;
COMMENT ON FUNCTION dbos_sys.library_version() IS 'NULL: there is no library.';

CREATE OR REPLACE FUNCTION dbos_sys.wake(p_work boolean, p_done boolean)
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  NULL;  -- a NOTIFY in each transaction would make their commits wait for each other
END;
$$;
COMMENT ON FUNCTION dbos_sys.wake(boolean, boolean) IS 'Does nothing: without the library who waits looks again by itself.';

-- When a wait of this length ends, by the server's clock in ms.
CREATE OR REPLACE FUNCTION dbos_sys.wait_end(p_timeout interval)
RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  v_ms bigint := dbos_sys.interval_ms('p_timeout', p_timeout);
BEGIN
  PERFORM dbos_sys.check_span('p_timeout', v_ms, true);
  RETURN (EXTRACT(epoch FROM clock_timestamp()) * 1000)::bigint + v_ms;
END;
$$;

-- Seconds until the next look after a pause of `p_pause`; NULL when the wait is over.
CREATE OR REPLACE FUNCTION dbos_sys.wait_pause(p_end bigint, p_pause double precision)
RETURNS double precision
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  v_left double precision := p_end / 1000.0 - EXTRACT(epoch FROM clock_timestamp());
BEGIN
  RETURN CASE WHEN v_left > 0 THEN LEAST(p_pause * 1.5, 1, v_left) END;
END;
$$;

CREATE OR REPLACE FUNCTION dbos_sys.await_look(p_id text, OUT status text, OUT output text, OUT error text, OUT ended boolean)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  IF to_regclass('dbos.workflow_status') IS NULL THEN
    PERFORM dbos_sys.fail('WF002', 'the DBOS tables are not installed in this database', NULL, 'SELECT dbos_sys.install();');
  END IF;
  SELECT w.status, COALESCE(o.output, w.output), COALESCE(o.error, w.error) INTO status, output, error
  FROM dbos.workflow_status AS w LEFT JOIN dbos.workflow_output AS o ON o.workflow_uuid = w.workflow_uuid
  WHERE w.workflow_uuid = p_id;
  ended := status NOT IN ('ENQUEUED', 'DELAYED', 'PENDING');
END;
$$;

CREATE OR REPLACE PROCEDURE dbos_sys.await(
  p_id text,
  p_timeout interval DEFAULT '60 s',
  INOUT p_status text DEFAULT NULL,
  INOUT p_output text DEFAULT NULL,
  INOUT p_error text DEFAULT NULL)
LANGUAGE plpgsql
AS $$
DECLARE
  v_end bigint := dbos_sys.wait_end(p_timeout);
  v_pause double precision := 0.02;
  v_ended boolean;
BEGIN
  PERFORM dbos_sys.check_text('p_id', p_id);
  LOOP
    SELECT l.status, l.output, l.error, l.ended INTO p_status, p_output, p_error, v_ended FROM dbos_sys.await_look(p_id) AS l;
    v_pause := dbos_sys.wait_pause(v_end, v_pause);
    EXIT WHEN v_ended OR v_pause IS NULL;
    COMMIT;
    PERFORM pg_catalog.pg_sleep(v_pause);
  END LOOP;
END;
$$;
COMMENT ON PROCEDURE dbos_sys.await(text, interval, text, text, text) IS
  'Waits until the workflow has ended, at most p_timeout (0 looks once), and returns its status, output and error. An unknown id is '
  'waited for too. At the timeout p_status is the present status, or NULL when there is no such workflow. It commits while it waits: '
  'not inside a transaction block (2D000), not through a transaction pooler.';

CREATE OR REPLACE PROCEDURE dbos_sys.wait_for_work(
  p_queues text[],
  p_timeout interval DEFAULT '60 s',
  INOUT p_found boolean DEFAULT NULL)
LANGUAGE plpgsql
AS $$
DECLARE
  v_end bigint := dbos_sys.wait_end(p_timeout);
  v_pause double precision := 0.02;
BEGIN
  PERFORM dbos_sys.check_ids('p_queue', p_queues);
  LOOP
    p_found := dbos_sys.work_waits(p_queues);
    v_pause := dbos_sys.wait_pause(v_end, v_pause);
    EXIT WHEN p_found OR v_pause IS NULL;
    COMMIT;
    PERFORM pg_catalog.pg_sleep(v_pause);
  END LOOP;
END;
$$;
COMMENT ON PROCEDURE dbos_sys.wait_for_work(text[], interval, boolean) IS
  'Waits until a workflow is ENQUEUED on one of the queues, at most p_timeout (0 looks once); p_found tells whether one is. It may '
  'still be one that the caller cannot claim (another version, a limit): pause after a claim that brought nothing. It commits while '
  'it waits: not inside a transaction block (2D000), not through a transaction pooler.';
