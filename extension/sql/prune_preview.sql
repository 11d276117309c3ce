-- What prune() would do: looks at everything that is due, changes nothing, and may run on a standby.

-- Workflows that would be cancelled, and those that ended without a time and would go, by the policies that say so.
CREATE OR REPLACE FUNCTION dbos_sys.prune_preview_scanned(p_now bigint, p_awaited text[])
RETURNS TABLE (policy text, what text, item_count bigint, byte_count bigint, oldest timestamptz)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET jit = off
AS $$
BEGIN
  RETURN QUERY
  SELECT p.id, 'to be cancelled', count(*), 0::bigint, to_timestamp(min(w.created_at) / 1000.0)
  FROM dbos.workflow_status AS w,
  LATERAL (SELECT dbos_sys.retention_of(false, w.name, w.queue_name, w.application_name, w.status) AS id OFFSET 0) AS g
  JOIN dbos_ops.retention_policies AS p ON p.id = g.id
  WHERE w.status IN ('ENQUEUED', 'PENDING', 'DELAYED') AND w.created_at <= p_now - p.cancel_after_ms GROUP BY p.id;
  RETURN QUERY
  WITH goals AS MATERIALIZED (
    SELECT p.id, dbos_sys.prune_goal(p.id, p_now) AS goal FROM dbos_ops.retention_policies AS p WHERE p.keep_ms IS NOT NULL OR p.keep_rows IS NOT NULL),
  due AS MATERIALIZED (
    SELECT d.id AS policy, array_agg(w.workflow_uuid) AS ids, min(w.updated_at) AS at
    FROM dbos.workflow_status AS w,
    LATERAL (SELECT dbos_sys.retention_of(true, w.name, w.queue_name, w.application_name, w.status) AS id OFFSET 0) AS g
    JOIN goals AS d ON d.id = g.id
    WHERE w.completed_at IS NULL AND w.status IN ('SUCCESS', 'ERROR', 'CANCELLED', 'MAX_RECOVERY_ATTEMPTS_EXCEEDED', 'RETRIES_EXCEEDED') AND w.updated_at <= d.goal
    GROUP BY d.id)
  SELECT d.policy, 'without a time of their end, ' || CASE WHEN p.archive THEN 'to be archived' ELSE 'to be deleted' END, cardinality(f.ids)::bigint, (dbos_sys.prune_find(f.ids, NULL)).byte_count,
    to_timestamp(d.at / 1000.0)
  FROM due AS d, LATERAL (SELECT dbos_sys.prune_free(d.ids, p_now, p_awaited) AS ids OFFSET 0) AS f, dbos_ops.retention_policies AS p
  WHERE p.id = d.policy AND f.ids <> '{}';
END;
$$;

-- Policy by policy, then orphans.
CREATE OR REPLACE FUNCTION dbos_sys.prune_preview()
RETURNS TABLE (workflow text, queue text, application text, status text, what text, item_count bigint, byte_count bigint, oldest timestamptz)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  v_now bigint := dbos_sys.now_ms();
  v_policy record;
  v_found record;
  v_free text[];
  v_table text;
  v_awaited text[];
BEGIN
  PERFORM dbos_sys.check_retention_tables();
  v_awaited := ARRAY(SELECT a.id FROM dbos_sys.prune_awaited(true) AS a(id));
  FOR v_policy IN
    SELECT p.*, dbos_sys.prune_goal(p.id, v_now) AS goal FROM dbos_ops.retention_policies AS p
    WHERE p.keep_ms IS NOT NULL OR p.keep_rows IS NOT NULL ORDER BY p.weight DESC, p.workflow, p.queue_name, p.application_name, p.status
  LOOP
    workflow := NULLIF(v_policy.workflow, ''); queue := NULLIF(v_policy.queue_name, '');
    application := NULLIF(v_policy.application_name, ''); status := NULLIF(v_policy.status, '');
    what := CASE WHEN v_policy.archive THEN 'to be archived' ELSE 'to be deleted' END; item_count := 0; byte_count := 0; oldest := NULL;
    SELECT 5000 AS scanned, 0::bigint AS at, '' AS id INTO v_found;
    WHILE v_found.scanned = 5000 AND v_policy.goal IS NOT NULL LOOP
      SELECT s.* INTO v_found FROM dbos_sys.prune_scan(v_policy.id, v_found.at, v_found.id, v_policy.goal, 5000, 5000) AS s;
      v_free := dbos_sys.prune_free(v_found.ids, v_now, v_awaited);
      item_count := item_count + cardinality(v_free);
      byte_count := byte_count + (dbos_sys.prune_find(v_free, NULL)).byte_count;
      oldest := LEAST(oldest, (SELECT to_timestamp(min(u.at) / 1000.0) FROM unnest(v_found.ids, v_found.ats) AS u(id, at) WHERE u.id = ANY (v_free)));
    END LOOP;
    RETURN NEXT;
  END LOOP;
  FOR workflow, queue, application, status, what, item_count, byte_count, oldest IN
    SELECT NULLIF(p.workflow, ''), NULLIF(p.queue_name, ''), NULLIF(p.application_name, ''), NULLIF(p.status, ''), s.what, s.item_count, s.byte_count, s.oldest
    FROM dbos_sys.prune_preview_scanned(v_now, v_awaited) AS s JOIN dbos_ops.retention_policies AS p ON p.id = s.policy
    ORDER BY s.what, p.weight DESC, p.workflow, p.queue_name, p.application_name, p.status
  LOOP
    RETURN NEXT;
  END LOOP;
  workflow := NULL; queue := NULL; application := NULL; status := NULL; oldest := NULL;
  FOREACH v_table IN ARRAY ARRAY['workflow_input', 'workflow_output', 'operation_outputs'] LOOP
    what := 'orphans of ' || v_table; item_count := 0; byte_count := 0;
    SELECT 5000 AS scanned, 0::bigint AS at, '' AS id INTO v_found;
    WHILE v_found.scanned = 5000 LOOP
      SELECT o.* INTO v_found FROM dbos_sys.prune_orphans(v_table, v_found.at, v_found.id, v_now - 3600000, 5000, true) AS o;
      item_count := item_count + v_found.orphans;
      byte_count := byte_count + v_found.bytes;
    END LOOP;
    RETURN NEXT;
  END LOOP;
END;
$$;

CREATE OR REPLACE FUNCTION dbos_sys.prune(dry_run boolean)
RETURNS TABLE (workflow text, queue text, application text, status text, what text, item_count bigint, byte_count bigint, oldest timestamptz)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  IF dry_run IS NOT TRUE THEN
    PERFORM dbos_sys.fail('WF001', format('dry_run is %s', COALESCE(dry_run::text, 'NULL')), 'To prune is a procedure, which commits after each batch.',
      'CALL dbos_sys.prune();');
  END IF;
  RETURN QUERY SELECT p.* FROM dbos_sys.prune_preview() AS p;
END;
$$;
COMMENT ON FUNCTION dbos_sys.prune(boolean) IS
'SELECT * FROM dbos_sys.prune(dry_run => true): what CALL dbos_sys.prune() would archive, delete and cancel now, policy by policy, with about how many bytes its rows
have in the tables (their indexes not counted) and when the oldest ended. Looks at all of it; changes nothing. Errors: WF001, WF002.';
