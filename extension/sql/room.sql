-- How much of a queue may be taken: its limits, what runs and what was started, and the mark on what is taken.
-- Starts under a rate limit are logged in dbos_ops.queue_starts: a row of workflow_status forgets its start when it is
-- cancelled or recovered, and then a window would let through more than its rate. SDKs log nothing: what their executors started is counted by
-- its rows, as they count ours. Executors are forgotten a week after their end; in a longer period their starts then count twice.
-- Everything here that counts for a limit is called under the queue's advisory lock, which is held until the claim has committed.

-- The limits on a queue's row and its settings; all NULL or false where it has none. `paused`: nothing is to be taken.
CREATE OR REPLACE FUNCTION dbos_sys.queue_limits(
  p_queue text, OUT concurrency integer, OUT worker integer, OUT rate_max integer, OUT rate_ms bigint, OUT part_concurrency integer, OUT part_worker integer,
  OUT part_rate_max integer, OUT part_rate_ms bigint, OUT partitioned boolean, OUT paused boolean, OUT weights jsonb)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  SELECT q.concurrency, q.worker_concurrency, q.rate_limit_max, (q.rate_limit_period_sec * 1000)::bigint, q.partition_concurrency, q.partition_worker_concurrency,
    q.partition_rate_limit_max, (q.partition_rate_limit_period_sec * 1000)::bigint,
    q.partition_queue OR COALESCE(s.fair, false)
      OR COALESCE(q.partition_concurrency, q.partition_worker_concurrency, q.partition_rate_limit_max) IS NOT NULL,
    COALESCE(s.paused, false), CASE WHEN s.fair THEN s.weights ELSE '{}' END
  INTO concurrency, worker, rate_max, rate_ms, part_concurrency, part_worker, part_rate_max, part_rate_ms, partitioned, paused, weights
  FROM dbos.queues AS q LEFT JOIN dbos_ops.queue_settings AS s ON s.queue_name = q.name AND s.queue_id = q.queue_id WHERE q.name = p_queue;
  -- Dropped, by us or by an SDK: it is nobody's until it is registered again. One that never was has no settings, and no limits.
  IF NOT FOUND AND NOT starts_with(p_queue, '_dbos_') THEN
    paused := EXISTS (SELECT FROM dbos_ops.queue_settings AS s WHERE s.queue_name = p_queue);
  END IF;
  -- Half a rate is none, as upstream reads it.
  IF rate_max IS NULL OR rate_ms IS NULL THEN
    rate_max := NULL;
    rate_ms := NULL;
  END IF;
  IF part_rate_max IS NULL OR part_rate_ms IS NULL THEN
    part_rate_max := NULL;
    part_rate_ms := NULL;
  END IF;
  partitioned := COALESCE(partitioned, false);
  paused := COALESCE(paused, false);
END;
$$;

-- Takes the queue's lock, or says that another claim has it: that one takes what there is.
CREATE OR REPLACE FUNCTION dbos_sys.try_queue_lock(p_queue text)
RETURNS boolean
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN pg_try_advisory_xact_lock(hashtextextended('dbos_sys.queue:' || p_queue, 0));
END;
$$;

-- After how many ms a claim that a rate limit cut short is worth repeating: when the oldest start leaves the window (NULL: the claim's own),
-- but so that what is freed bit by bit is taken in bites of a hundredth of the period.
CREATE OR REPLACE FUNCTION dbos_sys.rate_pause(p_oldest bigint, p_period_ms bigint, p_now bigint)
RETURNS integer
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN LEAST(GREATEST(COALESCE(p_oldest, p_now) + p_period_ms - p_now, LEAST(p_period_ms / 100, 50), 1), 2147483647)::integer;
END;
$$;

-- How many workflows of a queue an executor runs: nobody else claims for it, so it needs no lock. The walk passes all that has ended since
-- the last vacuum.
CREATE OR REPLACE FUNCTION dbos_sys.count_running(p_application text, p_executor text, p_queue text)
RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN (
    SELECT count(*) FROM dbos.workflow_status AS w
    WHERE w.status = 'PENDING' AND w.queue_name = p_queue AND w.executor_id = p_executor AND w.application_name = p_application);
END;
$$;

-- What the queue's own limits leave of `p_limit`. `waits`: the concurrency cut it, so the end of a run makes room; `retry_ms`: the rate did.
CREATE OR REPLACE FUNCTION dbos_sys.queue_room(
  p_application text, p_queue text, p_limit bigint, p_concurrency integer, p_rate_max integer, p_rate_ms bigint, p_now bigint,
  OUT room bigint, OUT waits boolean, OUT retry_ms integer)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  v_logged record;
  v_rows record;
  v_free bigint;
BEGIN
  room := p_limit;
  waits := false;
  IF p_concurrency IS NOT NULL THEN
    v_free := p_concurrency - (
      SELECT count(*) FROM dbos.workflow_status AS w
      WHERE w.status = 'PENDING' AND w.queue_name = p_queue AND (w.application_name = p_application OR w.application_name IS NULL));
    waits := v_free < room;
    room := LEAST(room, v_free);
  END IF;
  IF p_rate_max IS NOT NULL AND room > 0 THEN
    SELECT COALESCE(sum(s.runs), 0) AS starts, min(s.started_at) AS oldest INTO v_logged FROM dbos_ops.queue_starts AS s
    WHERE s.queue_name = p_queue AND s.application_name = p_application AND s.whole AND s.partition_key = '' AND s.started_at > p_now - p_rate_ms;
    SELECT count(*) AS starts, min(w.started_at_epoch_ms) AS oldest, count(*) FILTER (WHERE COALESCE(w.executor_id, '') NOT IN (
      SELECT e.executor_id FROM dbos_ops.executors AS e WHERE e.application_name = p_application AND e.incarnation <> '')) AS by_sdk
    INTO v_rows FROM dbos.workflow_status AS w
    WHERE w.rate_limited = true AND w.status NOT IN ('ENQUEUED', 'DELAYED') AND w.queue_name = p_queue
      AND w.started_at_epoch_ms > p_now - p_rate_ms AND (w.application_name = p_application OR w.application_name IS NULL);
    -- The rows alone where some were started before this was logged.
    v_free := p_rate_max - GREATEST(v_logged.starts + v_rows.by_sdk, v_rows.starts);
    IF v_free < room THEN
      retry_ms := dbos_sys.rate_pause(LEAST(v_logged.oldest, v_rows.oldest), p_rate_ms, p_now);
    END IF;
    room := LEAST(room, v_free);
  END IF;
END;
$$;

-- Logs starts: of the whole queue (`p_keys` NULL, one number), or of its partitions. What has left the window goes; that of partitions
-- which do not come again goes at times. Of periods above a minute a thousandth is one row, which counts from its end: the sum stays short.
CREATE OR REPLACE FUNCTION dbos_sys.log_starts(
  p_application text, p_queue text, p_keys text[], p_runs bigint[], p_period_ms bigint, p_now bigint)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  v_slot CONSTANT bigint := CASE WHEN p_period_ms > 60000 THEN p_period_ms / 1000 ELSE 1 END;
BEGIN
  IF p_keys IS NOT NULL AND random() < 0.005 THEN
    DELETE FROM dbos_ops.queue_starts AS s
    WHERE s.queue_name = p_queue AND s.application_name = p_application AND NOT s.whole AND s.started_at <= p_now - p_period_ms;
  END IF;
  DELETE FROM dbos_ops.queue_starts AS s
  WHERE s.queue_name = p_queue AND s.application_name = p_application AND s.whole = (p_keys IS NULL)
    AND s.partition_key = ANY (COALESCE(p_keys, '{""}')) AND s.started_at <= p_now - p_period_ms;
  INSERT INTO dbos_ops.queue_starts AS s (queue_name, application_name, whole, partition_key, started_at, runs)
  SELECT p_queue, p_application, p_keys IS NULL, r.key, (p_now / v_slot + 1) * v_slot - 1, r.runs
  FROM unnest(COALESCE(p_keys, '{""}'), p_runs) AS r(key, runs) WHERE r.runs > 0
  ON CONFLICT (queue_name, application_name, whole, partition_key, started_at) DO UPDATE SET runs = s.runs + EXCLUDED.runs;
END;
$$;

-- Whether the end of these runs, which the caller holds, makes room on a queue whose concurrency executors share: they are to look again.
CREATE OR REPLACE FUNCTION dbos_sys.frees_room(p_ids text[])
RETURNS boolean
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  v_limited text[] := ARRAY(SELECT q.name FROM dbos.queues AS q WHERE q.concurrency IS NOT NULL OR q.partition_concurrency IS NOT NULL);
BEGIN
  RETURN v_limited <> '{}' AND EXISTS (
    SELECT FROM dbos.workflow_status AS w
    WHERE w.workflow_uuid = ANY (p_ids) AND w.queue_name = ANY (v_limited) AND COALESCE(w.status, '') = 'PENDING');
END;
$$;

-- Makes rows that the caller has locked PENDING under the token, by their places in the table: no index is searched. The dead ones have used
-- up their recoveries. created_at is named as if it changed: for an index whose columns an UPDATE leaves alone nbtree searches a full page for
-- versions to drop (README of PostgreSQL's access method, "bottom-up deletion"), and the pages of this one hold over a thousand entries.
CREATE OR REPLACE FUNCTION dbos_sys.mark_claimed(
  p_application text, p_executor text, p_version text, p_token text, p_rate boolean, p_now bigint, p_tuples tid[], p_dead text[])
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  UPDATE dbos.workflow_status AS w
  SET status = 'PENDING', created_at = w.created_at, owner_xid = p_token, executor_id = p_executor, application_version = p_version,
    application_name = COALESCE(w.application_name, p_application), recovery_attempts = COALESCE(w.recovery_attempts, 0) + 1,
    started_at_epoch_ms = p_now, updated_at = p_now, rate_limited = p_rate,
    workflow_deadline_epoch_ms = COALESCE(w.workflow_deadline_epoch_ms, p_now + w.workflow_timeout_ms)
  WHERE w.ctid = ANY (p_tuples);
  IF p_dead <> '{}' THEN
    UPDATE dbos.workflow_status AS w
    SET status = 'MAX_RECOVERY_ATTEMPTS_EXCEEDED', recovery_attempts = COALESCE(w.recovery_attempts, 0) + 1, owner_xid = NULL, queue_name = NULL,
      deduplication_id = NULL, started_at_epoch_ms = NULL, completed_at = p_now, updated_at = p_now
    WHERE w.workflow_uuid = ANY (p_dead);
    PERFORM dbos_sys.wake(false, true);
  END IF;
END;
$$;
