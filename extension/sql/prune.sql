-- Pruning: which ended workflows may go, and a batch of them. Everything here works on arrays of ids; prune_rows.sql finds and deletes their rows in all
-- tables, prune_rounds.sql calls batch by batch.
-- What never goes: a workflow that has not ended; one with a child that has not; one whose result its parent, or a fork of that, or another workflow that
-- started it too, may still ask for; one that counts in the window of its queue's rate; one that was restored lately; one of a schedule whose time somebody may come to again; one whose
-- row another transaction has locked.
-- Plans are held to index reads as in ownership.sql, and to one process: batches are small, and parallel workers cost more than they read.

-- The next `p_scan` ended workflows by (completed_at, id) after a mark, at most until `p_goal`, or fewer when `p_most` of them are found that this
-- policy governs: their ids and times, in order; where the mark then stands; and the number looked at, which is less than `p_scan` at the goal only.
CREATE OR REPLACE FUNCTION dbos_sys.prune_scan(
  p_policy text, p_at bigint, p_id text, p_goal bigint, p_scan integer, p_most integer,
  OUT scanned integer, OUT at bigint, OUT id text, OUT ids text[], OUT ats bigint[])
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_sort = off
SET jit = off
SET max_parallel_workers_per_gather = 0
AS $$
DECLARE
  v_policy record;
  -- Nobody has to ask which policy governs where no other could.
  v_first boolean;
BEGIN
  SELECT p.* INTO v_policy FROM dbos_ops.retention_policies AS p WHERE p.id = p_policy;
  v_first := NOT EXISTS (
    SELECT FROM dbos_ops.retention_policies AS p
    WHERE p.keeps AND p.id <> p_policy AND (p.weight, v_policy.workflow) >= (v_policy.weight, p.workflow));
  SELECT COALESCE(array_agg(s.id), '{}'), COALESCE(array_agg(s.at), '{}') INTO ids, ats
  FROM (
    SELECT w.workflow_uuid AS id, w.completed_at AS at
    FROM (
      SELECT t.workflow_uuid, t.completed_at, t.status, t.name, t.queue_name, t.application_name FROM dbos.workflow_status AS t
      WHERE t.completed_at IS NOT NULL AND (t.completed_at, t.workflow_uuid) > (p_at, p_id) AND t.completed_at <= p_goal
      ORDER BY t.completed_at, t.workflow_uuid LIMIT p_scan) AS w
    WHERE w.status IN ('SUCCESS', 'ERROR', 'CANCELLED', 'MAX_RECOVERY_ATTEMPTS_EXCEEDED', 'RETRIES_EXCEEDED')
      AND (v_policy.workflow IN ('', w.name) OR COALESCE(w.name LIKE v_policy.workflow_like, false)) AND v_policy.queue_name IN ('', w.queue_name)
      AND v_policy.application_name IN ('', w.application_name) AND v_policy.status IN ('', w.status)
      AND (v_first OR dbos_sys.retention_of(true, w.name, w.queue_name, w.application_name, w.status) = p_policy)
    ORDER BY w.completed_at, w.workflow_uuid LIMIT p_most) AS s;
  IF cardinality(ids) >= p_most THEN
    scanned := p_scan;
    at := ats[p_most];
    id := ids[p_most];
    RETURN;
  END IF;
  SELECT count(*), (array_agg(s.at))[count(*)], (array_agg(s.id))[count(*)] INTO scanned, at, id
  FROM (
    SELECT t.workflow_uuid AS id, t.completed_at AS at FROM dbos.workflow_status AS t
    WHERE t.completed_at IS NOT NULL AND (t.completed_at, t.workflow_uuid) > (p_at, p_id) AND t.completed_at <= p_goal
    ORDER BY t.completed_at, t.workflow_uuid LIMIT p_scan) AS s;
END;
$$;

-- The same for workflows that ended without a time: SDKs wrote none before completed_at was there. Their last change stands for it.
CREATE OR REPLACE FUNCTION dbos_sys.prune_scan_undated(
  p_policy text, p_at bigint, p_id text, p_goal bigint, p_scan integer, OUT scanned integer, OUT at bigint, OUT id text, OUT ids text[], OUT ats bigint[])
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_sort = off
SET jit = off
SET max_parallel_workers_per_gather = 0
AS $$
DECLARE
  v_before bigint := (SELECT m.goal FROM dbos_ops.prune_marks AS m WHERE m.source = 'policy ' || p_policy);
BEGIN
  SELECT count(*), (array_agg(s.at ORDER BY s.at DESC, s.id DESC))[1], (array_agg(s.id ORDER BY s.at DESC, s.id DESC))[1],
    COALESCE(array_agg(s.id ORDER BY s.at, s.id) FILTER (WHERE s.fits), '{}'), COALESCE(array_agg(s.at ORDER BY s.at, s.id) FILTER (WHERE s.fits), '{}')
  INTO scanned, at, id, ids, ats
  FROM (
    SELECT w.workflow_uuid AS id, w.created_at AS at,
      CASE WHEN w.completed_at IS NULL
          AND w.status IN ('SUCCESS', 'ERROR', 'CANCELLED', 'MAX_RECOVERY_ATTEMPTS_EXCEEDED', 'RETRIES_EXCEEDED')
        THEN w.updated_at <= v_before AND dbos_sys.retention_of(true, w.name, w.queue_name, w.application_name, w.status) = p_policy
        ELSE false END AS fits
    FROM dbos.workflow_status AS w
    WHERE (w.created_at, w.workflow_uuid) > (p_at, p_id) AND w.created_at <= p_goal
    ORDER BY w.created_at, w.workflow_uuid LIMIT p_scan) AS s;
END;
$$;

-- Ended workflows whose result a live one will ask for, by its record of having started them, though it is not their parent: another one started them
-- first, or it is a fork, of whose origins one may be gone. No index leads from a workflow to these, so a round looks at all that runs, and holds what it
-- finds (prune_begin()). `p_full`: at all that waits or may be resumed too.
CREATE OR REPLACE FUNCTION dbos_sys.prune_awaited(p_full boolean)
RETURNS SETOF text
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET jit = off
SET max_parallel_workers_per_gather = 0
AS $$
BEGIN
  RETURN QUERY
  WITH open AS MATERIALIZED (
    SELECT w.workflow_uuid AS id FROM dbos.workflow_status AS w WHERE w.status = 'PENDING'
    UNION
    SELECT w.workflow_uuid FROM dbos.workflow_status AS w WHERE w.forked_from IS NOT NULL AND w.status IN ('ENQUEUED', 'DELAYED')
    UNION
    SELECT w.workflow_uuid FROM dbos.workflow_status AS w WHERE p_full AND w.status IN ('ENQUEUED', 'PENDING')
    UNION
    SELECT w.workflow_uuid FROM dbos.workflow_status AS w WHERE p_full AND w.status = 'DELAYED'
    UNION
    SELECT w.workflow_uuid FROM dbos.workflow_status AS w WHERE p_full AND w.status IN ('CANCELLED', 'MAX_RECOVERY_ATTEMPTS_EXCEEDED')),
  -- The ids of its own children begin with its own: of these prune_free() knows.
  recorded AS MATERIALIZED (
    SELECT a.id, o.child_workflow_id AS child, o.result FROM open AS a,
    LATERAL (
      SELECT r.child_workflow_id, r.function_name = 'DBOS.getResult' AS result FROM dbos.operation_outputs AS r
      WHERE r.workflow_uuid = a.id AND r.child_workflow_id IS NOT NULL OFFSET 0) AS o
    WHERE NOT starts_with(o.child_workflow_id, a.id || '-')),
  asked AS MATERIALIZED (
    SELECT DISTINCT r.child FROM (SELECT c.child FROM recorded AS c GROUP BY c.id, c.child HAVING NOT bool_or(c.result)) AS r)
  SELECT a.child FROM asked AS a,
  LATERAL (
    SELECT FROM dbos.workflow_status AS w WHERE w.workflow_uuid = a.child AND w.status NOT IN ('ENQUEUED', 'PENDING', 'DELAYED') OFFSET 0) AS w;
END;
$$;

-- Those of the ids that nobody needs any more. `p_awaited`: what prune_awaited() found, where it is not held.
CREATE OR REPLACE FUNCTION dbos_sys.prune_free(p_ids text[], p_now bigint, p_awaited text[] DEFAULT '{}')
RETURNS text[]
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET jit = off
SET max_parallel_workers_per_gather = 0
AS $$
BEGIN
  RETURN ARRAY(
    WITH RECURSIVE mine AS MATERIALIZED (
      SELECT w.* FROM unnest(p_ids) AS u(id),
      LATERAL (
        SELECT s.workflow_uuid, s.parent_workflow_id, s.queue_name, s.rate_limited, s.started_at_epoch_ms, s.schedule_name, s.created_at
        FROM dbos.workflow_status AS s WHERE s.workflow_uuid = u.id OFFSET 0) AS w),
    -- Who may ask for the result of a child: its parent, and forks of that, of forks of forks, that took over the record of its start.
    family (parent, id) AS (
      SELECT DISTINCT m.parent_workflow_id, m.parent_workflow_id FROM mine AS m WHERE m.parent_workflow_id IS NOT NULL
      UNION
      SELECT f.parent, w.workflow_uuid FROM family AS f,
      LATERAL (SELECT s.workflow_uuid FROM dbos.workflow_status AS s WHERE s.forked_from = f.id OFFSET 0) AS w),
    -- Of these one that runs, or may be resumed, asks for what it has not recorded yet.
    open AS MATERIALIZED (
      SELECT f.parent, f.id FROM family AS f,
      LATERAL (SELECT FROM dbos.workflow_status AS p WHERE p.workflow_uuid = f.id AND p.status NOT IN ('SUCCESS', 'ERROR') OFFSET 0) AS p),
    -- Their records are read once, however many children and forks there are.
    recorded AS MATERIALIZED (
      SELECT o.workflow_uuid, o.child_workflow_id, o.function_name = 'DBOS.getResult' AS result FROM (SELECT DISTINCT a.id FROM open AS a) AS a,
      LATERAL (
        SELECT r.workflow_uuid, r.child_workflow_id, r.function_name FROM dbos.operation_outputs AS r
        WHERE r.workflow_uuid = a.id AND r.child_workflow_id IS NOT NULL OFFSET 0) AS o
      -- Not a join, which would go through all of them for each where the planner expects a few.
      WHERE (o.child_workflow_id IN (SELECT m.workflow_uuid FROM mine AS m)) IS TRUE),
    asked (id, by) AS MATERIALIZED (
      (SELECT m.workflow_uuid, a.id FROM mine AS m JOIN open AS a ON a.id = m.parent_workflow_id AND a.parent = a.id WHERE a.id <> m.workflow_uuid
      UNION
      SELECT m.workflow_uuid, a.id FROM open AS a JOIN recorded AS r ON r.workflow_uuid = a.id
      JOIN mine AS m ON m.workflow_uuid = r.child_workflow_id AND m.parent_workflow_id = a.parent WHERE a.id <> m.workflow_uuid)
      EXCEPT
      SELECT r.child_workflow_id, r.workflow_uuid FROM recorded AS r WHERE r.result)
    SELECT m.workflow_uuid FROM mine AS m
    WHERE m.workflow_uuid NOT IN (SELECT a.id FROM asked AS a)
      AND NOT (m.workflow_uuid LIKE 'sched-%' AND dbos_sys.may_fire_again(m.workflow_uuid, m.schedule_name, m.created_at, p_now))
      AND NOT EXISTS (SELECT FROM dbos_ops.retention_holds AS h WHERE h.workflow_uuid = m.workflow_uuid AND h.until > p_now)
      AND NOT (m.workflow_uuid = ANY (p_awaited))
      AND NOT EXISTS (
        SELECT FROM dbos.workflow_status AS c
        WHERE c.parent_workflow_id = m.workflow_uuid AND c.workflow_uuid <> m.workflow_uuid AND c.status IN ('ENQUEUED', 'PENDING', 'DELAYED') OFFSET 0)
      -- Cancelled, or in the dead letter, it bears no time of a start, and counts no more.
      AND NOT (m.rate_limited AND COALESCE(m.started_at_epoch_ms > p_now - COALESCE((
        SELECT 1000 * GREATEST(q.rate_limit_period_sec, q.partition_rate_limit_period_sec) FROM dbos.queues AS q WHERE q.name = m.queue_name), 0), false))
    ORDER BY 1);
END;
$$;

-- One batch of ended workflows, of the given ones (in order): locks, looks again, archives, and deletes as many as a batch may have. `took` is the number
-- of given ones that were seen to: the rest is for the next batch. Raises 40001 when a row came, or was changed, since it was archived.
CREATE OR REPLACE FUNCTION dbos_sys.prune_take(
  p_ids text[], p_undated boolean, p_archive boolean, p_goal bigint, p_now bigint, OUT took integer, OUT workflows bigint, OUT bytes bigint)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET jit = off
AS $$
DECLARE
  v_most CONSTANT integer := 20000;
  v_given CONSTANT text[] := p_ids[1:1000];
  v_ids text[];
  v_places integer[];
  v_packed text[];
  v_some record;
  v_alone boolean;
  v_found record;
BEGIN
  v_ids := ARRAY(
    SELECT l.id FROM (SELECT u.id FROM unnest(v_given) AS u(id) ORDER BY u.id) AS u,
    LATERAL (
      SELECT w.workflow_uuid AS id FROM dbos.workflow_status AS w
      WHERE w.workflow_uuid = u.id AND w.status NOT IN ('ENQUEUED', 'PENDING', 'DELAYED')
        AND CASE WHEN p_undated THEN w.completed_at IS NULL ELSE w.completed_at <= p_goal END
      FOR UPDATE SKIP LOCKED) AS l);
  SELECT array_agg(u.id ORDER BY u.place), array_agg(u.place ORDER BY u.place) INTO v_ids, v_places
  FROM unnest(v_given) WITH ORDINALITY AS u(id, place) JOIN unnest(dbos_sys.prune_free(v_ids, p_now)) AS f(id) ON f.id = u.id;
  took := COALESCE(cardinality(v_given), 0);
  workflows := COALESCE(cardinality(v_ids), 0);
  bytes := 0;
  IF workflows = 0 THEN
    RETURN;
  END IF;
  -- Half of them, until they are a batch. One alone goes, whatever it has.
  LOOP
    v_found := dbos_sys.prune_find(v_ids, CASE WHEN workflows > 1 THEN v_most + 1 END);
    EXIT WHEN workflows = 1 OR (v_found.row_count <= v_most AND v_found.byte_count <= 67108864);
    workflows := workflows / 2;
    took := v_places[workflows + 1] - 1;
    v_ids := v_ids[1:workflows];
  END LOOP;
  IF p_archive THEN
    v_packed := dbos_sys.archive_batch(v_ids, p_now);
    IF cardinality(v_packed) < workflows THEN
      v_some := dbos_sys.prune_find(v_packed, NULL);
      IF dbos_sys.prune_find(v_ids, NULL) IS DISTINCT FROM v_found THEN
        RAISE serialization_failure USING MESSAGE = 'rows were written to a workflow while it was archived';
      END IF;
      v_found := v_some;
      v_ids := v_packed;
      workflows := cardinality(v_ids);
    END IF;
  END IF;
  bytes := v_found.byte_count;
  -- Each plan of the session is made anew after such a change: for a few it is dearer than the cascades.
  v_alone := workflows >= 400 AND dbos_sys.prune_alone();
  PERFORM set_config('session_replication_role', 'replica', true) WHERE v_alone;
  PERFORM dbos_sys.prune_found(v_ids, v_found, p_archive);
  PERFORM set_config('session_replication_role', 'origin', true) WHERE v_alone;
  -- Steps, inputs and outputs have no foreign key: somebody may have written one after it was packed.
  IF p_archive AND (dbos_sys.prune_find(v_ids, 1)).row_count > 0 THEN
    RAISE serialization_failure USING MESSAGE = 'rows were written to a workflow while it was archived';
  END IF;
END;
$$;

-- Rows of a payload table whose workflow has no status row. A row that an SDK has just written has a new retention_timestamp.
CREATE OR REPLACE FUNCTION dbos_sys.prune_orphans(
  p_table text, p_at bigint, p_id text, p_goal bigint, p_scan integer, p_dry boolean,
  OUT scanned integer, OUT at bigint, OUT id text, OUT orphans bigint, OUT bytes bigint)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_sort = off
SET jit = off
SET max_parallel_workers_per_gather = 0
AS $$
DECLARE
  v_ids text[];
  v_text CONSTANT text := CASE p_table WHEN 'workflow_input' THEN 'COALESCE(pg_column_size(t.inputs), 0)'
    ELSE 'COALESCE(pg_column_size(t.output), 0) + COALESCE(pg_column_size(t.error), 0)' END;
BEGIN
  EXECUTE format($query$
    SELECT count(*), (array_agg(s.at ORDER BY s.at DESC, s.id DESC))[1], (array_agg(s.id ORDER BY s.at DESC, s.id DESC))[1],
      COALESCE(array_agg(DISTINCT s.id) FILTER (WHERE s.lost), '{}')
    FROM (
      SELECT t.workflow_uuid AS id, t.retention_timestamp AS at, NOT EXISTS (
        SELECT FROM dbos.workflow_status AS w WHERE w.workflow_uuid = t.workflow_uuid OFFSET 0) AS lost
      FROM dbos.%I AS t
      WHERE (t.retention_timestamp, t.workflow_uuid) > ($1, $2) AND t.retention_timestamp <= $3
      ORDER BY t.retention_timestamp, t.workflow_uuid LIMIT $4) AS s $query$, p_table)
  INTO scanned, at, id, v_ids USING p_at, p_id, p_goal, p_scan;
  orphans := 0;
  bytes := 0;
  IF v_ids = '{}' THEN
    RETURN;
  END IF;
  EXECUTE format(CASE WHEN p_dry THEN 'SELECT count(*), COALESCE(sum(60 + %2$s), 0) FROM dbos.%1$I AS t WHERE %3$s'
      ELSE 'WITH gone AS (DELETE FROM dbos.%1$I AS t WHERE %3$s RETURNING 60 + %2$s AS bytes) SELECT count(*), COALESCE(sum(g.bytes), 0) FROM gone AS g' END,
    p_table, v_text, 't.workflow_uuid = ANY ($1) AND t.retention_timestamp <= $2
      AND NOT EXISTS (SELECT FROM dbos.workflow_status AS w WHERE w.workflow_uuid = t.workflow_uuid OFFSET 0)')
  INTO orphans, bytes USING v_ids, p_goal;
END;
$$;
