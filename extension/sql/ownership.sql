-- Who may write: the incarnation of an executor, and the owner token of a run.
-- How plans are pinned: the entry points (flush, claim, load, enqueue_checked) ask for generic plans without sequential scans, for all
-- that they call. Such a plan may be made on an empty table and is kept, so a table is reached by `= ANY (ids)` or by a LATERAL
-- subquery that cannot be pulled up (a locking clause, OFFSET 0): the planner is left no join order in which it is read from end to end.
-- jit is off with them: where only a sequential scan is left (a table of a few rows) its forbidding cost would call the compiler.
-- Lock order of every function here: advisory lock of the executor, then rows of workflow_status by id.

-- Starts and claims hold this lock shared until they commit; register, retire and recover hold it exclusively: none of them crosses
-- a start or a claim of the executor.
CREATE OR REPLACE FUNCTION dbos_sys.executor_key(p_application text, p_executor text)
RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN hashtextextended('dbos_sys.executor:' || p_application || '/' || p_executor, 0);
END;
$$;

-- An older snapshot than the lock would show an executor as it was before.
CREATE OR REPLACE FUNCTION dbos_sys.check_isolation()
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  IF current_setting('transaction_isolation') <> 'read committed' THEN
    PERFORM dbos_sys.fail('WF001', format('the transaction is %s', current_setting('transaction_isolation')),
      'Starts, claims and what ends an executor must see each other''s commits.', 'BEGIN ISOLATION LEVEL READ COMMITTED;');
  END IF;
END;
$$;

-- Where a crash of the server must not forget what the caller acts upon: a start or a grant under a limit would be given twice.
CREATE OR REPLACE FUNCTION dbos_sys.commit_durably()
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  IF current_setting('synchronous_commit') = 'off' THEN
    PERFORM set_config('synchronous_commit', 'local', true);
  END IF;
END;
$$;

CREATE OR REPLACE FUNCTION dbos_sys.check_executor(p_application text, p_executor text, p_incarnation text)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  PERFORM dbos_sys.check_text('application', p_application);
  PERFORM dbos_sys.check_text('executor id', p_executor);
  PERFORM dbos_sys.check_text('incarnation', p_incarnation);
END;
$$;

-- For the rest of the transaction the incarnation stands; WF021 when it does not.
CREATE OR REPLACE FUNCTION dbos_sys.hold_incarnation(p_application text, p_executor text, p_incarnation text)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  v_executor record;
BEGIN
  PERFORM pg_advisory_xact_lock_shared(dbos_sys.executor_key(p_application, p_executor));
  SELECT e.incarnation, e.ended_at, e.ended_why INTO v_executor
  FROM dbos_ops.executors AS e WHERE e.application_name = p_application AND e.executor_id = p_executor;
  IF v_executor.incarnation = p_incarnation AND p_incarnation <> '' AND v_executor.ended_at IS NULL
    AND current_setting('transaction_isolation') = 'read committed' THEN
    RETURN;
  END IF;
  -- Every trip comes by here, so what is wrong is told apart only now.
  PERFORM dbos_sys.check_executor(p_application, p_executor, p_incarnation);
  PERFORM dbos_sys.check_isolation();
  PERFORM dbos_sys.fail('WF021', format('incarnation %s of executor %s of application %s has ended', dbos_sys.shown(p_incarnation),
      dbos_sys.shown(p_executor), dbos_sys.shown(p_application)),
    CASE WHEN v_executor.incarnation IS NULL THEN 'It was never registered.'
         WHEN v_executor.incarnation = p_incarnation THEN format('Reason: %s.', v_executor.ended_why)
         ELSE format('Incarnation %s has taken its place.', v_executor.incarnation) END,
    'Register again under a new incarnation; its workflows are run by others.');
END;
$$;

-- Locks the rows of runs that exist and are owned by their tokens; tells per run whether it got it (false for new ones). Rows that
-- another transaction has locked are left out: a flush never waits for one.
CREATE OR REPLACE FUNCTION dbos_sys.lock_runs(p_ids text[], p_tokens text[], p_new boolean[])
RETURNS boolean[]
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  v_got bigint[];
BEGIN
  v_got := ARRAY(
    SELECT r.place
    FROM (
      SELECT u.id, u.token, u.place FROM unnest(p_ids, p_tokens, p_new) WITH ORDINALITY AS u(id, token, new, place)
      WHERE NOT u.new ORDER BY u.id) AS r,
    LATERAL (
      SELECT FROM dbos.workflow_status AS w
      WHERE w.workflow_uuid = r.id AND w.owner_xid = r.token
        AND COALESCE(w.status, '') = 'PENDING'   -- so written, the partial index of PENDING rows cannot offer itself
      FOR NO KEY UPDATE SKIP LOCKED) AS l);
  IF cardinality(v_got) = cardinality(p_ids) THEN
    RETURN array_fill(true, ARRAY[cardinality(p_ids)]);
  END IF;
  RETURN ARRAY(
    SELECT g.place IS NOT NULL
    FROM generate_series(1, cardinality(p_ids)) AS r(place) LEFT JOIN unnest(v_got) AS g(place) ON g.place = r.place
    ORDER BY r.place);
END;
$$;

-- Runs that lock_runs() did not get: `busy` (ours, but another transaction holds the row) or `lost`, with the outcome when there is one.
CREATE OR REPLACE FUNCTION dbos_sys.missed_runs(p_ids text[], p_tokens text[], p_missed boolean[])
RETURNS TABLE (idx integer, state text, info jsonb)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN QUERY
  SELECT r.place::integer,
    CASE WHEN w.status = 'PENDING' AND w.owner_xid = r.token THEN 'busy' ELSE 'lost' END,
    CASE WHEN w.status IN ('PENDING', 'ENQUEUED', 'DELAYED') THEN jsonb_build_object('status', w.status)
         ELSE jsonb_build_object('status', w.status, 'output', w.output, 'error', w.error, 'serialization', w.serialization) END
  FROM unnest(p_ids, p_tokens) WITH ORDINALITY AS r(id, token, place)
  LEFT JOIN LATERAL (
    SELECT s.status, s.owner_xid, s.serialization, COALESCE(o.output, s.output) AS output, COALESCE(o.error, s.error) AS error
    FROM dbos.workflow_status AS s LEFT JOIN dbos.workflow_output AS o ON o.workflow_uuid = s.workflow_uuid
    WHERE s.workflow_uuid = r.id OFFSET 0) AS w ON true
  WHERE p_missed[r.place];
END;
$$;
