-- Upstream's shared migrations from 101 on, as data: what each adds to the tables or takes from them. The numbers mean the same in every
-- SDK. The shape of what is added stands in upstream_tables.sql, and nothing that one migration adds is altered by a later one.

-- `kind` is column, table, index, function (added), or drop_index, drop_constraint, drop_function; `object` its name, for a table the same
-- as `table_name`. An online migration has one row: it builds or drops one index, which the SDKs do CONCURRENTLY.
CREATE OR REPLACE FUNCTION dbos_sys.upstream_migrations()
RETURNS TABLE (version bigint, online boolean, kind text, table_name text, object text)
LANGUAGE sql
IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
  VALUES
    (101::bigint, false, 'column', 'queues', 'application_name'),
    (102, false, 'column', 'workflow_schedules', 'application_name'),
    (103, false, 'column', 'application_versions', 'application_name'),
    (104, false, 'column', 'operation_outputs', 'application_name'),
    (105, false, 'drop_function', NULL,
     'dbos.enqueue_workflow(text,text,json[],json,text,text,text,text,bigint,bigint,text,integer,text,text,text,bigint)'),
    (105, false, 'function', NULL, 'enqueue_workflow'),
    (106, false, 'index', 'application_versions', 'uq_application_versions_owner_version'),
    (107, true, 'index', 'application_versions', 'uq_application_versions_unclaimed_version'),
    (108, false, 'column', 'queues', 'partition_concurrency'),
    (108, false, 'column', 'queues', 'partition_worker_concurrency'),
    (108, false, 'column', 'queues', 'partition_rate_limit_max'),
    (108, false, 'column', 'queues', 'partition_rate_limit_period_sec'),
    (109, false, 'table', 'workflow_input', 'workflow_input'),
    (109, false, 'table', 'workflow_output', 'workflow_output'),
    (109, false, 'index', 'workflow_input', 'idx_workflow_input_retention'),
    (109, false, 'index', 'workflow_output', 'idx_workflow_output_retention'),
    (110, false, 'column', 'operation_outputs', 'retention_timestamp'),
    (111, true, 'index', 'operation_outputs', 'idx_operation_outputs_retention'),
    (112, false, 'drop_constraint', 'operation_outputs', 'operation_outputs_workflow_uuid_foreign'),
    (112, false, 'drop_constraint', 'operation_outputs', 'operation_outputs_workflow_uuid_fkey'),
    (113, false, 'function', NULL, 'enqueue_workflow'),
    (114, true, 'drop_index', 'notifications', 'idx_notifications'),
    (115, true, 'index', 'workflow_status', 'idx_workflow_status_in_flight_v2'),
    (116, true, 'drop_index', 'workflow_status', 'idx_workflow_status_in_flight'),
    (117, true, 'index', 'workflow_status', 'idx_workflow_status_partition_dequeue_v3'),
    (118, true, 'drop_index', 'workflow_status', 'idx_workflow_status_partition_dequeue_v2'),
    (119, true, 'index', 'operation_outputs', 'idx_operation_outputs_completed_at_function_name_v2'),
    (120, true, 'drop_index', 'operation_outputs', 'idx_operation_outputs_completed_at_function_name'),
    (121, false, 'column', 'notifications', 'consumed_by_function_id'),
    (122, true, 'index', 'workflow_status', 'idx_workflow_status_deadline'),
    (123, false, 'column', 'workflow_status', 'creator_xid'),
    (124, true, 'index', 'application_versions', 'idx_application_versions_timestamp'),
    (125, true, 'index', 'application_versions', 'idx_application_versions_owner_timestamp')
$$;

-- DDL for one column, index, constraint or table as upstream_tables.sql describes it.
CREATE OR REPLACE FUNCTION dbos_sys.upstream_column_ddl(p_table text, p_column text)
RETURNS text
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN (
    SELECT concat_ws(' ', quote_ident(c.column_name), c.type_name, 'DEFAULT ' || c.default_value, CASE WHEN c.required THEN 'NOT NULL' END)
    FROM dbos_sys.upstream_columns() AS c WHERE c.table_name = p_table AND c.column_name = p_column);
END;
$$;

CREATE OR REPLACE FUNCTION dbos_sys.upstream_index_ddl(p_index text, p_concurrently boolean)
RETURNS text
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN (
    SELECT format('CREATE %sINDEX %s%I ON dbos.%I %s', CASE WHEN i.is_unique THEN 'UNIQUE ' END,
      CASE WHEN p_concurrently THEN 'CONCURRENTLY ' END, i.index_name, i.table_name, i.definition)
    FROM dbos_sys.upstream_indexes() AS i WHERE i.index_name = p_index);
END;
$$;

CREATE OR REPLACE FUNCTION dbos_sys.upstream_constraint_ddl(p_constraint text)
RETURNS text
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN (
    SELECT format('ALTER TABLE dbos.%I ADD CONSTRAINT %I %s', k.table_name, k.constraint_name, k.definition)
    FROM dbos_sys.upstream_constraints() AS k WHERE k.constraint_name = p_constraint);
END;
$$;

-- A table with its columns only.
CREATE OR REPLACE FUNCTION dbos_sys.upstream_table_ddl(p_table text)
RETURNS text
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN (
    SELECT format('CREATE TABLE dbos.%I (%s)', p_table, string_agg(dbos_sys.upstream_column_ddl(p_table, c.column_name), ', ' ORDER BY c.place))
    FROM dbos_sys.upstream_columns() AS c WHERE c.table_name = p_table);
END;
$$;
