-- Recorded steps: rows of operation_outputs. The owner row of a run is locked before any of them is written.

-- Steps (for the careful form) that stand already and differ: another name, or another execution's result. An equal completion time
-- is an earlier try of the same write.
CREATE OR REPLACE FUNCTION dbos_sys.differing_steps(
  p_take boolean[], p_ids text[], p_run integer[], p_fid integer[], p_name text[], p_completed bigint[])
RETURNS TABLE (idx integer, info jsonb)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN QUERY
  SELECT DISTINCT ON (s.run) s.run, jsonb_build_object('function_id', s.fid, 'recorded', o.function_name, 'given', s.name)
  FROM unnest(p_run, p_fid, p_name, p_completed) AS s(run, fid, name, completed),
  LATERAL (
    SELECT r.function_name, r.completed_at_epoch_ms FROM dbos.operation_outputs AS r
    WHERE r.workflow_uuid = p_ids[s.run] AND r.function_id = s.fid OFFSET 0) AS o
  WHERE p_take[s.run] AND (o.function_name <> s.name OR o.completed_at_epoch_ms IS DISTINCT FROM s.completed)
  ORDER BY s.run, s.fid;
END;
$$;

CREATE OR REPLACE FUNCTION dbos_sys.insert_steps(
  p_application text, p_now bigint, p_careful boolean, p_take boolean[], p_ids text[],
  p_run integer[], p_fid integer[], p_name text[], p_output text[], p_error text[], p_started bigint[], p_completed bigint[])
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  INSERT INTO dbos.operation_outputs (workflow_uuid, function_id, function_name, output, error, started_at_epoch_ms, completed_at_epoch_ms,
    serialization, application_name, retention_timestamp)
  SELECT p_ids[s.run], s.fid, s.name, s.output, s.error, s.started, s.completed, 'portable_json', p_application, p_now
  FROM unnest(p_run, p_fid, p_name, p_output, p_error, p_started, p_completed) AS s(run, fid, name, output, error, started, completed)
  WHERE p_take[s.run] AND NOT (p_careful AND EXISTS (
    SELECT FROM dbos.operation_outputs AS o WHERE o.workflow_uuid = p_ids[s.run] AND o.function_id = s.fid OFFSET 0));
END;
$$;

-- One step that the database itself decides (message, sleep, child, result).
CREATE OR REPLACE FUNCTION dbos_sys.record_step(
  p_application text, p_id text, p_fid integer, p_name text, p_output text, p_error text, p_serialization text,
  p_started bigint, p_completed bigint, p_child text DEFAULT NULL)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  INSERT INTO dbos.operation_outputs (workflow_uuid, function_id, function_name, output, error, child_workflow_id,
    started_at_epoch_ms, completed_at_epoch_ms, serialization, application_name, retention_timestamp)
  VALUES (p_id, p_fid, p_name, p_output, p_error, p_child, p_started, p_completed, p_serialization, p_application, p_started);
END;
$$;

CREATE OR REPLACE FUNCTION dbos_sys.check_steps(
  p_runs integer, p_run integer[], p_fid integer[], p_name text[], p_output text[], p_error text[], p_started bigint[], p_completed bigint[])
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  v_2200 CONSTANT bigint := 7258118400000;
  v_step record;
BEGIN
  SELECT s.* INTO v_step
  FROM (
    SELECT u.run, u.fid, u.name, CASE WHEN u.started NOT BETWEEN 0 AND v_2200 THEN u.started ELSE u.completed END AS ms,
      COALESCE(u.run BETWEEN 1 AND p_runs AND u.fid >= 0 AND octet_length(u.name) <= 255 AND btrim(u.name, E' \t\n\r\f\x0b') <> '', false) AS valid
    FROM unnest(p_run, p_fid, p_name, p_started, p_completed) AS u(run, fid, name, started, completed)) AS s
  WHERE NOT s.valid OR s.ms NOT BETWEEN 0 AND v_2200 LIMIT 1;
  IF NOT v_step.valid THEN
    PERFORM dbos_sys.fail('WF001', format('step %s %s of run %s is not valid', COALESCE(v_step.fid::text, 'NULL'), dbos_sys.shown(v_step.name),
      COALESCE(v_step.run::text, 'NULL')), NULL, format('Runs are 1 to %s, steps count from 0, a name is not blank and has at most 255 bytes.', p_runs));
  ELSIF v_step.valid THEN
    PERFORM dbos_sys.fail('WF001', format('a time of step %s of run %s is %s', v_step.fid, v_step.run, v_step.ms), NULL,
      'Give ms since 1970, until the year 2200.');
  END IF;
  IF pg_column_size(p_output) + pg_column_size(p_error) > 1000000 THEN
    PERFORM dbos_sys.check_payloads('step output', p_output);
    PERFORM dbos_sys.check_payloads('step error', p_error);
  END IF;
END;
$$;
