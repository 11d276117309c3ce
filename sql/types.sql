-- Row types: what callers of status(), list() and steps() may rely on.
\set SHOW_CONTEXT never
\set ECHO errors
\getenv root PG_ABS_SRCDIR
\set setup :root /sql/include/setup.psql
\i :setup
\set ECHO all

-- A workflow has every column of its row but request, which nobody fills, under the column's name; there is no other.
CREATE FUNCTION pg_temp.columns(p_relation regclass) RETURNS SETOF name LANGUAGE sql AS
$$SELECT a.attname FROM pg_attribute AS a WHERE a.attrelid = p_relation AND a.attnum > 0 AND NOT a.attisdropped$$;
SELECT * FROM pg_temp.columns('dbos.workflow_status') EXCEPT SELECT * FROM pg_temp.columns('dbos_sys.workflow');
SELECT * FROM pg_temp.columns('dbos_sys.workflow') EXCEPT SELECT * FROM pg_temp.columns('dbos.workflow_status');
-- A step has its row's columns but the run's id and what retention keeps.
SELECT * FROM pg_temp.columns('dbos.operation_outputs') EXCEPT SELECT * FROM pg_temp.columns('dbos_sys.step') ORDER BY 1;
SELECT * FROM pg_temp.columns('dbos_sys.step') EXCEPT SELECT * FROM pg_temp.columns('dbos.operation_outputs');
-- Each value comes back under its own name: no two columns are mixed up.
SELECT string_agg(format(CASE format_type(a.atttypid, a.atttypmod) WHEN 'jsonb' THEN '''{"%s": 1}''::jsonb' WHEN 'boolean' THEN 'true' WHEN 'integer' THEN '%2$s' WHEN 'bigint' THEN '%2$s'
    ELSE '''%1$s''' END, a.attname, a.attnum), ', ' ORDER BY a.attnum) AS row_values,
  string_agg(quote_ident(a.attname), ', ' ORDER BY a.attnum) AS row_columns
FROM pg_attribute AS a WHERE a.attrelid = 'dbos.workflow_status'::regclass AND a.attnum > 0 AND NOT a.attisdropped \gset
INSERT INTO dbos.workflow_status (:row_columns) VALUES (:row_values);
SELECT s.key, s.value AS shown, r.value AS stored
FROM dbos_sys.status('workflow_uuid') AS w, dbos.workflow_status AS t, jsonb_each_text(to_jsonb(w)) AS s JOIN jsonb_each_text(to_jsonb(t)) AS r ON r.key = s.key
WHERE t.workflow_uuid = 'workflow_uuid' AND s.value IS DISTINCT FROM r.value;
SELECT count(*) > 30 AS seen FROM dbos_sys.status('workflow_uuid') AS w, jsonb_each_text(to_jsonb(w)) AS s WHERE s.value IS NOT NULL;
-- They name no table: what upstream alters, and a restore that makes the extension first, leave them alone.
SELECT count(*) FROM pg_depend AS d JOIN pg_type AS t ON d.classid = 'pg_class'::regclass AND d.objid = t.typrelid
JOIN pg_class AS c ON d.refclassid = 'pg_class'::regclass AND c.oid = d.refobjid AND c.relnamespace IN ('dbos'::regnamespace, 'dbos_ops'::regnamespace)
WHERE t.typnamespace = 'dbos_sys'::regnamespace;
