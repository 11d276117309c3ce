-- Which steps call another service. The records cannot tell, so somebody says it: a C++ step by .outbound, everybody else by classify_step().

-- A pattern as LIKE takes it: * stands for any characters, all others for themselves.
CREATE OR REPLACE FUNCTION dbos_sys.like_pattern(p_pattern text)
RETURNS text
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN replace(regexp_replace(p_pattern, '([\\%_])', '\\\1', 'g'), '*', '%');
END;
$$;

CREATE OR REPLACE FUNCTION dbos_sys.classify_step(pattern text, outbound boolean DEFAULT true, limit_name text DEFAULT NULL)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
  IF to_regclass('dbos_ops.step_classes') IS NULL THEN
    PERFORM dbos_sys.fail('WF002', 'the tables of dbos_sys are not installed in this database', NULL, 'SELECT dbos_sys.install();');
  END IF;
  PERFORM dbos_sys.check_text('pattern', classify_step.pattern);
  IF classify_step.pattern ~ '^\*+$' THEN
    PERFORM dbos_sys.fail('WF001', format('pattern %s matches every step', dbos_sys.shown(classify_step.pattern)),
      'Steps to come would count as judged before anybody has seen them.', 'Name the steps, as ''stripe.*''.');
  ELSIF classify_step.outbound IS NULL THEN
    PERFORM dbos_sys.fail('WF001', 'outbound is NULL', NULL, 'Give true for steps that call another service, false for those that do not.');
  ELSIF classify_step.limit_name IS NOT NULL THEN
    PERFORM dbos_sys.check_limit_name(classify_step.limit_name);
    IF NOT classify_step.outbound THEN
      PERFORM dbos_sys.fail('WF001', format('steps %s are not outbound, and have the limit %s', dbos_sys.shown(classify_step.pattern), dbos_sys.shown(classify_step.limit_name)),
        NULL, 'Give outbound => true, or no limit.');
    END IF;
  END IF;
  INSERT INTO dbos_ops.step_classes AS c (pattern, outbound, limit_name, updated_at)
  VALUES (classify_step.pattern, classify_step.outbound, classify_step.limit_name, dbos_sys.now_ms())
  ON CONFLICT (pattern) DO UPDATE SET outbound = EXCLUDED.outbound, limit_name = EXCLUDED.limit_name, declared = false, updated_at = EXCLUDED.updated_at
  WHERE c.declared OR (c.outbound, c.limit_name) IS DISTINCT FROM (EXCLUDED.outbound, EXCLUDED.limit_name);
END;
$$;
COMMENT ON FUNCTION dbos_sys.classify_step(text, boolean, text) IS
'Says of steps whether they call another service: outbound, and by which limit they are held (its name, as register_limit() has it). pattern: a step''s
name, * for any characters; of several that match a name the longest counts, one without * before all others. Again: replaces what was said. Errors: WF001, WF002.';

-- Rides with heartbeats, so it raises for nothing that a program can do: names that no pattern may have are left out.
CREATE OR REPLACE FUNCTION dbos_sys.declare_steps(p_names text[], p_limits text[])
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  IF cardinality(p_names) IS DISTINCT FROM cardinality(p_limits) THEN
    PERFORM dbos_sys.fail('WF001', format('%s names and %s limits', dbos_sys.shape(p_names), dbos_sys.shape(p_limits)), NULL, 'Give one limit per name, NULL for none.');
  ELSIF to_regclass('dbos_ops.step_classes') IS NULL THEN
    RETURN;
  END IF;
  INSERT INTO dbos_ops.step_classes AS c (pattern, outbound, limit_name, declared, updated_at)
  SELECT DISTINCT ON (n.name) n.name, true, n.limit_name, true, dbos_sys.now_ms()
  FROM unnest(p_names, p_limits) AS n(name, limit_name)
  WHERE octet_length(n.name) <= 255 AND btrim(n.name, E' \t\n\r\f\x0b*') <> ''
    AND NOT EXISTS (
      SELECT FROM dbos_ops.step_classes AS k
      WHERE k.pattern = n.name AND (NOT k.declared OR k.limit_name IS NOT DISTINCT FROM n.limit_name))
  ORDER BY n.name
  ON CONFLICT (pattern) DO UPDATE SET limit_name = EXCLUDED.limit_name, updated_at = EXCLUDED.updated_at WHERE c.declared;
END;
$$;
COMMENT ON FUNCTION dbos_sys.declare_steps(text[], text[]) IS
'A program says which of its steps call another service, and by which limit each is held (NULL: none). What classify_step() says of the same name stays.
Errors: WF001 (not one limit per name).';

CREATE OR REPLACE FUNCTION dbos_sys.unclassify_step(pattern text)
RETURNS boolean
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
  PERFORM dbos_sys.check_text('pattern', unclassify_step.pattern);
  DELETE FROM dbos_ops.step_classes AS c WHERE c.pattern = unclassify_step.pattern;
  RETURN FOUND;
END;
$$;
COMMENT ON FUNCTION dbos_sys.unclassify_step(text) IS 'Takes back what classify_step() said of this pattern; false when nothing was. Errors: WF001.';

-- Steps of the newest 5000 workflows under each name. The SDKs' own (DBOS.sleep) and starts of children call nobody.
CREATE OR REPLACE FUNCTION dbos_sys.recent_steps()
RETURNS TABLE (name text, runs bigint)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET jit = off
AS $$
BEGIN
  RETURN QUERY
  SELECT o.function_name, count(*)
  FROM (SELECT w.workflow_uuid FROM dbos.workflow_status AS w ORDER BY w.created_at DESC LIMIT 5000) AS n
  JOIN dbos.operation_outputs AS o ON o.workflow_uuid = n.workflow_uuid
  WHERE o.child_workflow_id IS NULL AND o.function_name NOT LIKE 'DBOS.%' AND o.function_name <> ''
  GROUP BY o.function_name;
END;
$$;

CREATE OR REPLACE FUNCTION dbos_sys.step_classes()
RETURNS TABLE (name text, runs bigint, outbound boolean, limit_name text, pattern text)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  IF to_regclass('dbos_ops.step_classes') IS NULL THEN
    RETURN QUERY SELECT r.name, r.runs, NULL::boolean, NULL, NULL FROM dbos_sys.recent_steps() AS r ORDER BY 1;
    RETURN;
  END IF;
  RETURN QUERY
  SELECT r.name, r.runs, b.outbound, b.limit_name, b.pattern
  FROM dbos_sys.recent_steps() AS r
  LEFT JOIN LATERAL (
    SELECT c.outbound, c.limit_name, c.pattern FROM dbos_ops.step_classes AS c
    WHERE r.name = c.pattern OR r.name LIKE dbos_sys.like_pattern(c.pattern)
    ORDER BY c.pattern LIKE '%*%', length(c.pattern) DESC, c.pattern LIMIT 1) AS b ON true
  ORDER BY r.name;
END;
$$;
COMMENT ON FUNCTION dbos_sys.step_classes() IS
'Names of steps that the newest 5000 workflows recorded, how often, and what classify_step() or a C++ program (.outbound) said of them: outbound is NULL
where nobody has said anything.';
