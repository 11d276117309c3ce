-- What is wrong with the tables of this database: the live catalog against the shape at the version that this release knows.
-- Only what could break a reader or writer counts. Names of constraints, defaults' spelling, text or varchar and the order of columns
-- differ between the SDKs that made a database, and all of them work on each.

CREATE OR REPLACE FUNCTION dbos_sys.version()
RETURNS text
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN '@VERSION@';
END;
$$;

-- Version of upstream's tables here, NULL when there are none.
CREATE OR REPLACE FUNCTION dbos_sys.schema_version()
RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  IF to_regclass('dbos.dbos_migrations') IS NULL THEN
    RETURN NULL;
  END IF;
  RETURN (SELECT max(m.version) FROM dbos.dbos_migrations AS m);
END;
$$;

CREATE OR REPLACE FUNCTION dbos_sys.verify_tables()
RETURNS TABLE (item text, problem text)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN QUERY
  SELECT 'table dbos.' || t.table_name, 'missing'
  FROM (SELECT DISTINCT c.table_name FROM dbos_sys.upstream_columns() AS c) AS t
  WHERE to_regclass('dbos.' || t.table_name) IS NULL
  UNION ALL
  SELECT 'table dbos_ops.' || t.table_name, 'missing'
  FROM dbos_sys.ops_tables() AS t
  WHERE to_regclass('dbos_ops.' || t.table_name) IS NULL
  ORDER BY 1;
END;
$$;

CREATE OR REPLACE FUNCTION dbos_sys.verify_columns()
RETURNS TABLE (item text, problem text)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN QUERY
  SELECT format('column dbos.%s.%s', e.table_name, e.column_name),
    CASE
      WHEN a.attnum IS NULL THEN 'missing'
      WHEN a.live_type <> e.type_name AND NOT (a.live_type ~ '^(text|character varying)' AND e.type_name ~ '^(text|character varying)')
        THEN format('is %s, expected %s', a.live_type, e.type_name)
      WHEN e.required AND NOT a.attnotnull THEN 'allows NULL, expected NOT NULL'
      WHEN a.attnotnull AND NOT e.required THEN 'is NOT NULL, expected to allow NULL'
      WHEN e.default_value NOT LIKE 'NULL::%' AND NOT a.atthasdef THEN 'has no default, expected ' || e.default_value
    END
  FROM dbos_sys.upstream_columns() AS e
  LEFT JOIN LATERAL (
    SELECT p.attnum, p.attnotnull, p.atthasdef, format_type(p.atttypid, p.atttypmod) AS live_type
    FROM pg_attribute AS p
    WHERE p.attrelid = to_regclass('dbos.' || e.table_name) AND p.attname = e.column_name AND NOT p.attisdropped
  ) AS a ON true
  WHERE to_regclass('dbos.' || e.table_name) IS NOT NULL
  ORDER BY e.place;
END;
$$;

-- By definition, not by name: a database that an old SDK made has other names and, for upstream, the same meaning.
CREATE OR REPLACE FUNCTION dbos_sys.verify_constraints()
RETURNS TABLE (item text, problem text)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN QUERY
  SELECT format('constraint %s on dbos.%s', e.constraint_name, e.table_name),
    CASE WHEN NOT EXISTS (
      SELECT FROM pg_constraint AS c
      WHERE c.conrelid = to_regclass('dbos.' || e.table_name) AND pg_get_constraintdef(c.oid) = e.definition
    ) THEN 'missing: ' || e.definition END
  FROM dbos_sys.upstream_constraints() AS e
  WHERE to_regclass('dbos.' || e.table_name) IS NOT NULL
  ORDER BY e.place;
END;
$$;

CREATE OR REPLACE FUNCTION dbos_sys.verify_indexes()
RETURNS TABLE (item text, problem text)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN QUERY
  SELECT 'index dbos.' || e.index_name,
    CASE
      WHEN i.usable IS NULL THEN format('missing: ON dbos.%s %s', e.table_name, e.definition)
      WHEN NOT i.usable THEN 'is not valid: a concurrent build failed'
    END
  FROM dbos_sys.upstream_indexes() AS e
  LEFT JOIN LATERAL (
    SELECT bool_or(x.indisvalid AND x.indisready) AS usable
    FROM pg_index AS x
    WHERE x.indrelid = to_regclass('dbos.' || e.table_name)
      AND x.indisunique = e.is_unique
      AND regexp_replace(pg_get_indexdef(x.indexrelid), '^.*? ON \S+ ', '') = e.definition
  ) AS i ON true
  WHERE to_regclass('dbos.' || e.table_name) IS NOT NULL
  ORDER BY e.index_name;
END;
$$;

-- The last branch sees a schema that was renamed to dbos: its function bodies still write to the old name.
CREATE OR REPLACE FUNCTION dbos_sys.verify_functions()
RETURNS TABLE (item text, problem text)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN QUERY
  SELECT 'function ' || e.signature,
    CASE
      WHEN p.oid IS NULL THEN 'missing'
      WHEN format_type(p.prorettype, NULL) <> e.result_type THEN format('returns %s, expected %s', format_type(p.prorettype, NULL), e.result_type)
      WHEN p.prosecdef THEN 'is SECURITY DEFINER, expected SECURITY INVOKER'
      WHEN p.proconfig IS DISTINCT FROM ARRAY['search_path=pg_catalog, pg_temp'] THEN 'does not pin its search_path'
      WHEN e.result_type <> 'trigger' AND p.prosrc !~ '\mdbos"?\.' THEN 'writes to another schema than dbos'
    END
  FROM dbos_sys.upstream_functions() AS e
  LEFT JOIN pg_proc AS p ON p.oid = to_regprocedure(e.signature)
  UNION ALL
  SELECT 'trigger dbos_notifications_trigger on dbos.notifications', CASE
    WHEN t.oid IS NULL THEN 'missing'
    WHEN t.tgenabled NOT IN ('O', 'A') THEN 'is disabled'
  END
  FROM (VALUES (1)) AS one
  LEFT JOIN pg_trigger AS t ON t.tgrelid = to_regclass('dbos.notifications') AND t.tgname = 'dbos_notifications_trigger';
END;
$$;

-- Members of an extension are missing from dumps and stop upstream's migrations.
CREATE OR REPLACE FUNCTION dbos_sys.verify_membership()
RETURNS TABLE (item text, problem text)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN QUERY
  SELECT pg_describe_object(d.classid, d.objid, 0), format('is a member of extension %s: dumps would leave it out', quote_ident(e.extname))
  FROM pg_depend AS d
  JOIN pg_extension AS e ON e.oid = d.refobjid
  LEFT JOIN pg_class AS c ON d.classid = 'pg_class'::regclass AND c.oid = d.objid
  LEFT JOIN pg_proc AS p ON d.classid = 'pg_proc'::regclass AND p.oid = d.objid
  WHERE d.deptype = 'e'
    AND d.refclassid = 'pg_extension'::regclass
    AND coalesce(c.relnamespace, p.pronamespace, CASE d.classid WHEN 'pg_namespace'::regclass THEN d.objid END)
        IN (SELECT n.oid FROM pg_namespace AS n WHERE n.nspname IN ('dbos', 'dbos_ops'))
  ORDER BY 1;
END;
$$;

-- No row: all is as it should be. `item` names the object, `problem` says what is wrong with it.
CREATE OR REPLACE FUNCTION dbos_sys.verify()
RETURNS TABLE (item text, problem text)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  v_version bigint := dbos_sys.schema_version();
BEGIN
  IF to_regclass('dbos.dbos_migrations') IS NULL THEN
    RETURN QUERY SELECT 'table dbos.dbos_migrations', 'missing: call dbos_sys.install()';
    RETURN;
  END IF;
  RETURN QUERY
  SELECT 'schema dbos', format('is at version %s, this release knows %s', coalesce(v_version::text, '(none)'), dbos_sys.upstream_version())
  WHERE v_version IS DISTINCT FROM dbos_sys.upstream_version();
  RETURN QUERY
  SELECT f.item, f.problem
  FROM (
    SELECT 1 AS part, t.item, t.problem FROM dbos_sys.verify_tables() AS t
    UNION ALL SELECT 2, c.item, c.problem FROM dbos_sys.verify_columns() AS c
    UNION ALL SELECT 3, k.item, k.problem FROM dbos_sys.verify_constraints() AS k
    UNION ALL SELECT 4, i.item, i.problem FROM dbos_sys.verify_indexes() AS i
    UNION ALL SELECT 5, p.item, p.problem FROM dbos_sys.verify_functions() AS p
    UNION ALL SELECT 6, m.item, m.problem FROM dbos_sys.verify_membership() AS m
  ) AS f
  WHERE f.problem IS NOT NULL;
END;
$$;

COMMENT ON FUNCTION dbos_sys.version() IS 'Version of these functions.';
COMMENT ON FUNCTION dbos_sys.schema_version() IS 'Version of the DBOS tables of this database, NULL when there are none.';
COMMENT ON FUNCTION dbos_sys.verify() IS 'Differences between the tables of this database and the shape that this release knows; no row when there are none.';
