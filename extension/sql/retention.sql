-- Retention policies: how long ended workflows stay, and after which time others are cancelled. prune.sql acts on them.
-- A policy selects by workflow name (`*` stands for any text), queue, application and status; '' in a column is any. The most specific policy
-- that fits a workflow governs it: a name in full before a pattern, of patterns the one with more letters, then who names the queue, the
-- application, the status. What keeps (`keeps`) and what cancels (`cancel_after_ms`) are looked up apart.

CREATE OR REPLACE FUNCTION dbos_sys.check_retention_tables()
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  IF to_regclass('dbos_ops.retention_policies') IS NULL OR to_regclass('dbos_ops.pruner') IS NULL OR to_regclass('dbos_ops.prune_marks') IS NULL THEN
    PERFORM dbos_sys.fail('WF002', 'the tables of retention are not installed in this database', NULL, 'SELECT dbos_sys.install();');
  END IF;
END;
$$;

-- A selector as it is stored.
CREATE OR REPLACE FUNCTION dbos_sys.retention_selector(p_what text, p_value text)
RETURNS text
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  IF p_value IS NULL THEN
    RETURN '';
  END IF;
  PERFORM dbos_sys.check_text(p_what, p_value);
  IF p_what = 'status' AND p_value NOT IN ('SUCCESS', 'ERROR', 'CANCELLED', 'MAX_RECOVERY_ATTEMPTS_EXCEEDED') THEN
    PERFORM dbos_sys.fail('WF001', format('status is %s', dbos_sys.shown(p_value)), 'Only workflows that have ended are kept for a time.',
      'Give SUCCESS, ERROR, CANCELLED or MAX_RECOVERY_ATTEMPTS_EXCEEDED; or NULL for all of them.');
  END IF;
  -- Nothing but stars is any name.
  RETURN CASE WHEN p_what = 'workflow' AND btrim(p_value, '*') = '' THEN '' ELSE p_value END;
END;
$$;

-- The pattern as LIKE reads it; NULL where there is none.
CREATE OR REPLACE FUNCTION dbos_sys.retention_like(p_workflow text)
RETURNS text
LANGUAGE plpgsql
IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN CASE WHEN strpos(p_workflow, '*') > 0
    THEN replace(replace(replace(replace(p_workflow, '\', '\\'), '%', '\%'), '_', '\_'), '*', '%') END;
END;
$$;

-- The order of policies: the greater one is the more specific.
CREATE OR REPLACE FUNCTION dbos_sys.retention_weight(p_workflow text, p_queue text, p_application text, p_status text)
RETURNS integer
LANGUAGE plpgsql
IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN 8 * CASE WHEN p_workflow = '' THEN 0 WHEN strpos(p_workflow, '*') > 0 THEN length(replace(p_workflow, '*', '')) ELSE 1000 END
    + CASE WHEN p_queue = '' THEN 0 ELSE 4 END + CASE WHEN p_application = '' THEN 0 ELSE 2 END + CASE WHEN p_status = '' THEN 0 ELSE 1 END;
END;
$$;

-- A length of time as ms; NULL stays NULL.
CREATE OR REPLACE FUNCTION dbos_sys.retention_span(p_what text, p_value interval)
RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  v_ms bigint;
BEGIN
  IF p_value IS NULL THEN
    RETURN NULL;
  END IF;
  v_ms := dbos_sys.interval_ms(p_what, p_value);
  PERFORM dbos_sys.check_span(p_what, v_ms, p_what = 'keep');
  RETURN v_ms;
END;
$$;

-- What needs a second thought: `p_force` says that it was given.
CREATE OR REPLACE FUNCTION dbos_sys.check_retention(
  p_any boolean, p_status text, p_keep bigint, p_rows bigint, p_cancel_after bigint, p_force boolean)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  IF p_rows NOT BETWEEN 0 AND 10000000 THEN
    PERFORM dbos_sys.fail('WF001', format('keep_rows is %s', p_rows), NULL, 'Give 0 to 10000000, or NULL for no bound on their number.');
  ELSIF p_status <> '' AND p_cancel_after IS NOT NULL THEN
    PERFORM dbos_sys.fail('WF001', format('cancel_after goes with status %s', p_status), 'A workflow with that status has ended.', 'Leave the status out.');
  ELSIF COALESCE(p_force, false) THEN
    RETURN;
  ELSIF p_any AND (p_keep IS NOT NULL OR p_rows IS NOT NULL OR p_cancel_after IS NOT NULL) THEN
    PERFORM dbos_sys.fail('WF001', 'this policy is for every workflow of every application', NULL,
      'Name an application, a queue, a workflow or a status; or mean it: retain(…, force => true).');
  ELSIF p_keep < 60000 OR p_rows = 0 THEN
    PERFORM dbos_sys.fail('WF001', CASE WHEN p_rows = 0 THEN 'keep_rows is 0' ELSE format('keep is %s ms', p_keep) END,
      'Who waits for a result from outside looks once a second or less often, and would look in vain.',
      CASE WHEN p_rows = 0 THEN 'Keep a row or more' ELSE 'Keep a minute or more' END || '; or mean it: force => true.');
  ELSIF p_cancel_after < 60000 THEN
    PERFORM dbos_sys.fail('WF001', format('cancel_after is %s ms', p_cancel_after), 'What waits or runs longer is cancelled, from now on.',
      'Give a minute or more; or mean it: force => true.');
  END IF;
END;
$$;

-- Who changes policies holds the pruner to the end of the transaction: a batch under way ends before, and while it lasts who would begin one goes home.
CREATE OR REPLACE FUNCTION dbos_sys.hold_pruner()
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  PERFORM FROM dbos_ops.pruner AS r FOR NO KEY UPDATE;
END;
$$;

-- A policy may come before what it is for; more often its name is misspelt, and what it should let go stays for ever. No index finds a name or an
-- application, so the newest workflows stand for all; where there is none yet, nothing can be told of names.
CREATE OR REPLACE FUNCTION dbos_sys.warn_of_selectors(p_application text, p_queue text, p_workflow text)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  v_like text := dbos_sys.retention_like(p_workflow);
  v_unknown record;
BEGIN
  FOR v_unknown IN
    WITH newest AS MATERIALIZED (
      SELECT w.application_name AS application, w.name FROM dbos.workflow_status AS w ORDER BY w.created_at DESC LIMIT 10000)
    SELECT 'application' AS what, p_application AS name WHERE p_application <> '' AND EXISTS (SELECT FROM newest)
      AND NOT EXISTS (SELECT FROM dbos_ops.executors AS e WHERE e.application_name = p_application)
      AND NOT EXISTS (SELECT FROM dbos.application_versions AS v WHERE v.application_name = p_application)
      AND NOT EXISTS (SELECT FROM dbos.queues AS q WHERE q.application_name = p_application)
      AND NOT EXISTS (SELECT FROM dbos.workflow_schedules AS s WHERE s.application_name = p_application)
      AND NOT EXISTS (SELECT FROM newest AS n WHERE n.application = p_application)
    UNION ALL
    SELECT 'queue', p_queue WHERE p_queue NOT IN ('', '_dbos_internal_queue') AND NOT EXISTS (SELECT FROM dbos.queues AS q WHERE q.name = p_queue)
    UNION ALL
    SELECT 'workflow', p_workflow WHERE p_workflow <> '' AND EXISTS (SELECT FROM newest)
      AND NOT EXISTS (SELECT FROM dbos.workflow_schedules AS s WHERE s.workflow_name = p_workflow OR s.workflow_name LIKE v_like)
      AND NOT EXISTS (SELECT FROM newest AS n WHERE n.name = p_workflow OR n.name LIKE v_like)
  LOOP
    RAISE WARNING USING MESSAGE = format('no %s %s is known here', v_unknown.what, dbos_sys.shown(v_unknown.name)),
      DETAIL = CASE v_unknown.what WHEN 'queue' THEN 'No queue of that name is registered.'
        WHEN 'application' THEN 'No executor, version, queue, schedule or workflow among the newest 10000 belongs to it.'
        ELSE 'No schedule and no workflow among the newest 10000 has such a name.' END,
      HINT = 'The policy is set, and waits for it. Look for a misspelling; SELECT * FROM dbos_sys.prune(dry_run => true) shows what would go.';
  END LOOP;
END;
$$;

-- A policy in words.
CREATE OR REPLACE FUNCTION dbos_sys.retention_text(p_keep_ms bigint, p_keep_rows bigint, p_cancel_after_ms bigint, p_archive boolean)
RETURNS text
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN concat_ws(', ', 'keep ' || justify_hours(p_keep_ms * interval '1 millisecond'), 'keep_rows ' || p_keep_rows,
    CASE WHEN COALESCE(p_keep_ms, p_keep_rows, p_cancel_after_ms) IS NULL THEN 'for ever' END,
    'cancel_after ' || justify_hours(p_cancel_after_ms * interval '1 millisecond'), CASE WHEN p_archive THEN 'archive' END);
END;
$$;

CREATE OR REPLACE FUNCTION dbos_sys.retain(
  keep interval DEFAULT NULL, keep_rows bigint DEFAULT NULL, application text DEFAULT NULL, queue text DEFAULT NULL, workflow text DEFAULT NULL,
  status text DEFAULT NULL, cancel_after interval DEFAULT NULL, archive boolean DEFAULT false, force boolean DEFAULT false)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  v_now bigint := dbos_sys.now_ms();
  v_application text := dbos_sys.retention_selector('application', retain.application);
  v_queue text := dbos_sys.retention_selector('queue', retain.queue);
  v_workflow text := dbos_sys.retention_selector('workflow', retain.workflow);
  v_status text := dbos_sys.retention_selector('status', retain.status);
  v_keep bigint := dbos_sys.retention_span('keep', retain.keep);
  v_cancel bigint := dbos_sys.retention_span('cancel_after', retain.cancel_after);
  v_before text;
BEGIN
  PERFORM dbos_sys.check_retention_tables();
  PERFORM dbos_sys.check_primary('retain');
  PERFORM dbos_sys.check_retention(v_application || v_queue || v_workflow || v_status = '', v_status, v_keep, retain.keep_rows, v_cancel, retain.force);
  IF retain.archive AND v_keep IS NULL AND retain.keep_rows IS NULL THEN
    PERFORM dbos_sys.fail('WF001', 'archive goes with neither keep nor keep_rows', 'What stays for ever is not archived.', 'Say how long it stays in the tables, as keep => ''30 days''.');
  ELSIF retain.archive THEN
    PERFORM dbos_sys.archive_ahead();
  END IF;
  PERFORM dbos_sys.warn_of_selectors(v_application, v_queue, v_workflow);
  PERFORM dbos_sys.hold_pruner();
  SELECT dbos_sys.retention_text(p.keep_ms, p.keep_rows, p.cancel_after_ms, p.archive) INTO v_before FROM dbos_ops.retention_policies AS p
  WHERE p.application_name = v_application AND p.queue_name = v_queue AND p.workflow = v_workflow AND p.status = v_status;
  IF v_before <> dbos_sys.retention_text(v_keep, retain.keep_rows, v_cancel, COALESCE(retain.archive, false)) THEN
    RAISE NOTICE 'the policy with these selectors was: %', v_before;
  END IF;
  INSERT INTO dbos_ops.retention_policies AS p (application_name, queue_name, workflow, workflow_like, status, weight, keeps, keep_ms, keep_rows,
    cancel_after_ms, archive, updated_at)
  VALUES (v_application, v_queue, v_workflow, dbos_sys.retention_like(v_workflow), v_status,
    dbos_sys.retention_weight(v_workflow, v_queue, v_application, v_status), v_keep IS NOT NULL OR retain.keep_rows IS NOT NULL OR v_cancel IS NULL,
    v_keep, retain.keep_rows, v_cancel, COALESCE(retain.archive, false), v_now)
  ON CONFLICT ON CONSTRAINT retention_policies_selector DO UPDATE
  SET keeps = EXCLUDED.keeps, keep_ms = EXCLUDED.keep_ms, keep_rows = EXCLUDED.keep_rows, cancel_after_ms = EXCLUDED.cancel_after_ms,
    archive = EXCLUDED.archive, updated_at = EXCLUDED.updated_at;
  -- What a policy governs depends on all others: everything is looked at again.
  DELETE FROM dbos_ops.prune_marks;
  UPDATE dbos_ops.pruner AS r SET due_at = 0;
END;
$$;
COMMENT ON FUNCTION dbos_sys.retain(interval, bigint, text, text, text, text, interval, boolean, boolean) IS
'Sets how long ended workflows stay that the selectors fit: those that ended longer ago than keep go, and those beyond the newest keep_rows; with
neither of them (and no cancel_after) they stay for ever. workflow is a name, or a pattern in which * stands for any text; NULL selects any. The most
specific policy governs: by workflow, then queue, application, status. cancel_after cancels workflows that were created so long ago and have not
ended. With archive, what goes is packed into the archive (history(), list(archived => true), restore()). The same selectors again replace the policy, and a NOTICE tells what it
was. A WARNING tells of an application, queue or workflow that nothing here has the name of. A workflow that has been cancelled has left its queue. Errors: WF001 (also a policy for
everything, keep or cancel_after below a minute or keep_rows 0, unless force), WF002, WF050 (a standby).';

CREATE OR REPLACE FUNCTION dbos_sys.drop_retention(
  application text DEFAULT NULL, queue text DEFAULT NULL, workflow text DEFAULT NULL, status text DEFAULT NULL)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  PERFORM dbos_sys.check_retention_tables();
  PERFORM dbos_sys.check_primary('drop_retention');
  PERFORM dbos_sys.hold_pruner();
  DELETE FROM dbos_ops.retention_policies AS p
  WHERE p.application_name = dbos_sys.retention_selector('application', drop_retention.application)
    AND p.queue_name = dbos_sys.retention_selector('queue', drop_retention.queue)
    AND p.workflow = dbos_sys.retention_selector('workflow', drop_retention.workflow)
    AND p.status = dbos_sys.retention_selector('status', drop_retention.status);
  IF NOT FOUND THEN
    PERFORM dbos_sys.fail('WF051', format('there is no retention policy for application %s, queue %s, workflow %s, status %s',
        dbos_sys.shown(drop_retention.application), dbos_sys.shown(drop_retention.queue), dbos_sys.shown(drop_retention.workflow),
        dbos_sys.shown(drop_retention.status)), NULL, 'SELECT * FROM dbos_sys.retention(); lists them.');
  END IF;
  DELETE FROM dbos_ops.prune_marks;
  UPDATE dbos_ops.pruner AS r SET due_at = 0;
END;
$$;
COMMENT ON FUNCTION dbos_sys.drop_retention(text, text, text, text) IS
'Removes the policy with these selectors; what it governed is governed by the next that fits, or stays. Errors: WF001, WF050 (a standby), WF051 (no such
policy).';

CREATE OR REPLACE FUNCTION dbos_sys.retention()
RETURNS TABLE (workflow text, queue text, application text, status text, keep interval, keep_rows bigint, archive boolean, cancel_after interval)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  PERFORM dbos_sys.check_retention_tables();
  RETURN QUERY
  SELECT NULLIF(p.workflow, ''), NULLIF(p.queue_name, ''), NULLIF(p.application_name, ''), NULLIF(p.status, ''),
    justify_hours(p.keep_ms * interval '1 millisecond'), p.keep_rows, p.archive, justify_hours(p.cancel_after_ms * interval '1 millisecond')
  FROM dbos_ops.retention_policies AS p ORDER BY p.weight DESC, p.workflow, p.queue_name, p.application_name, p.status;
END;
$$;
COMMENT ON FUNCTION dbos_sys.retention() IS 'The retention policies, the most specific first; NULL selects any.';

-- The policy that governs a workflow, for keeping or for cancelling; NULL: none.
CREATE OR REPLACE FUNCTION dbos_sys.retention_of(p_keeps boolean, p_workflow text, p_queue text, p_application text, p_status text)
RETURNS text
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN (
    SELECT p.id FROM dbos_ops.retention_policies AS p
    WHERE CASE WHEN p_keeps THEN p.keeps ELSE p.cancel_after_ms IS NOT NULL END
      AND (p.workflow IN ('', p_workflow) OR p_workflow LIKE p.workflow_like) AND p.queue_name IN ('', p_queue)
      AND p.application_name IN ('', p_application) AND p.status IN ('', p_status)
    ORDER BY p.weight DESC, p.workflow LIMIT 1);
END;
$$;

-- Workflows that have not ended in the time that their policy gives them are cancelled, as cancel() does it.
CREATE OR REPLACE FUNCTION dbos_sys.timeout_batch(p_limit integer)
RETURNS integer
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  v_now bigint := dbos_sys.now_ms();
  v_before bigint := v_now - (SELECT min(p.cancel_after_ms) FROM dbos_ops.retention_policies AS p);
BEGIN
  IF v_before IS NULL THEN
    RETURN 0;
  END IF;
  RETURN dbos_sys.cancel_rows(ARRAY(
    SELECT w.workflow_uuid FROM dbos.workflow_status AS w
    WHERE w.status IN ('ENQUEUED', 'PENDING', 'DELAYED') AND w.created_at <= v_before
      AND w.created_at <= v_now - (
        SELECT p.cancel_after_ms FROM dbos_ops.retention_policies AS p
        WHERE p.id = dbos_sys.retention_of(false, w.name, w.queue_name, w.application_name, w.status))
    LIMIT p_limit FOR NO KEY UPDATE SKIP LOCKED));
END;
$$;
