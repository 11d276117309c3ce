-- The shape of upstream's schema `dbos` at shared version 125, as data. install() makes the tables from it and verify()
-- compares a live catalog with it, so the two cannot drift apart. Whoever changes a row here changes the version too.

-- The shared schema version that this release writes and compares with: the highest that a published SDK applies (Python 3.4, Go 1.8;
-- TypeScript 5.3 stops at 123 and runs on 125 as it is).
CREATE OR REPLACE FUNCTION dbos_sys.upstream_version()
RETURNS bigint
LANGUAGE sql
IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$ SELECT 125::bigint $$;

-- Columns in upstream's order, which an SDK's own history also gives. A default stands as pg_get_expr prints it.
CREATE OR REPLACE FUNCTION dbos_sys.upstream_columns()
RETURNS TABLE (table_name text, place bigint, column_name text, type_name text, required boolean, default_value text)
LANGUAGE sql
IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
  SELECT c.table_name, row_number() OVER (), c.column_name, c.type_name, c.required,
         CASE c.default_value WHEN 'now-ms' THEN '((EXTRACT(epoch FROM now()) * 1000.0))::bigint' ELSE c.default_value END
  FROM (VALUES
    ('workflow_status', 'workflow_uuid', 'text', true, NULL),
    ('workflow_status', 'status', 'text', false, NULL),
    ('workflow_status', 'name', 'text', false, NULL),
    ('workflow_status', 'authenticated_user', 'text', false, NULL),
    ('workflow_status', 'assumed_role', 'text', false, NULL),
    ('workflow_status', 'authenticated_roles', 'text', false, NULL),
    ('workflow_status', 'request', 'text', false, NULL),
    ('workflow_status', 'output', 'text', false, NULL),
    ('workflow_status', 'error', 'text', false, NULL),
    ('workflow_status', 'executor_id', 'text', false, NULL),
    ('workflow_status', 'created_at', 'bigint', true, 'now-ms'),
    ('workflow_status', 'updated_at', 'bigint', true, 'now-ms'),
    ('workflow_status', 'application_version', 'text', false, NULL),
    ('workflow_status', 'application_id', 'text', false, NULL),
    ('workflow_status', 'class_name', 'character varying(255)', false, 'NULL::character varying'),
    ('workflow_status', 'config_name', 'character varying(255)', false, 'NULL::character varying'),
    ('workflow_status', 'recovery_attempts', 'bigint', false, '0'),
    ('workflow_status', 'queue_name', 'text', false, NULL),
    ('workflow_status', 'workflow_timeout_ms', 'bigint', false, NULL),
    ('workflow_status', 'workflow_deadline_epoch_ms', 'bigint', false, NULL),
    ('workflow_status', 'inputs', 'text', false, NULL),
    ('workflow_status', 'started_at_epoch_ms', 'bigint', false, NULL),
    ('workflow_status', 'deduplication_id', 'text', false, NULL),
    ('workflow_status', 'priority', 'integer', true, '0'),
    ('workflow_status', 'queue_partition_key', 'text', false, NULL),
    ('workflow_status', 'forked_from', 'text', false, NULL),
    ('workflow_status', 'owner_xid', 'text', false, NULL),
    ('workflow_status', 'parent_workflow_id', 'text', false, NULL),
    ('workflow_status', 'serialization', 'text', false, NULL),
    ('workflow_status', 'delay_until_epoch_ms', 'bigint', false, NULL),
    ('workflow_status', 'was_forked_from', 'boolean', true, 'false'),
    ('workflow_status', 'rate_limited', 'boolean', true, 'false'),
    ('workflow_status', 'completed_at', 'bigint', false, NULL),
    ('workflow_status', 'attributes', 'jsonb', false, NULL),
    ('workflow_status', 'schedule_name', 'text', false, NULL),
    ('workflow_status', 'debounce_deadline_epoch_ms', 'bigint', false, NULL),
    ('workflow_status', 'is_debounced', 'boolean', true, 'false'),
    ('workflow_status', 'application_name', 'text', false, NULL),
    ('workflow_status', 'creator_xid', 'text', false, NULL),
    ('workflow_input', 'workflow_uuid', 'text', true, NULL),
    ('workflow_input', 'inputs', 'text', false, NULL),
    ('workflow_input', 'retention_timestamp', 'bigint', true, 'now-ms'),
    ('workflow_output', 'workflow_uuid', 'text', true, NULL),
    ('workflow_output', 'output', 'text', false, NULL),
    ('workflow_output', 'error', 'text', false, NULL),
    ('workflow_output', 'retention_timestamp', 'bigint', true, 'now-ms'),
    ('operation_outputs', 'workflow_uuid', 'text', true, NULL),
    ('operation_outputs', 'function_id', 'integer', true, NULL),
    ('operation_outputs', 'function_name', 'text', true, '''''::text'),
    ('operation_outputs', 'output', 'text', false, NULL),
    ('operation_outputs', 'error', 'text', false, NULL),
    ('operation_outputs', 'child_workflow_id', 'text', false, NULL),
    ('operation_outputs', 'started_at_epoch_ms', 'bigint', false, NULL),
    ('operation_outputs', 'completed_at_epoch_ms', 'bigint', false, NULL),
    ('operation_outputs', 'serialization', 'text', false, NULL),
    ('operation_outputs', 'application_name', 'text', false, NULL),
    ('operation_outputs', 'retention_timestamp', 'bigint', true, 'now-ms'),
    ('notifications', 'message_uuid', 'text', true, 'gen_random_uuid()'),
    ('notifications', 'destination_uuid', 'text', true, NULL),
    ('notifications', 'topic', 'text', false, NULL),
    ('notifications', 'message', 'text', true, NULL),
    ('notifications', 'created_at_epoch_ms', 'bigint', true, 'now-ms'),
    ('notifications', 'serialization', 'text', false, NULL),
    ('notifications', 'consumed', 'boolean', true, 'false'),
    ('notifications', 'consumed_by_function_id', 'integer', false, NULL),
    ('workflow_events', 'workflow_uuid', 'text', true, NULL),
    ('workflow_events', 'key', 'text', true, NULL),
    ('workflow_events', 'value', 'text', true, NULL),
    ('workflow_events', 'serialization', 'text', false, NULL),
    ('workflow_events_history', 'workflow_uuid', 'text', true, NULL),
    ('workflow_events_history', 'function_id', 'integer', true, NULL),
    ('workflow_events_history', 'key', 'text', true, NULL),
    ('workflow_events_history', 'value', 'text', true, NULL),
    ('workflow_events_history', 'serialization', 'text', false, NULL),
    ('streams', 'workflow_uuid', 'text', true, NULL),
    ('streams', 'key', 'text', true, NULL),
    ('streams', 'value', 'text', true, NULL),
    ('streams', 'offset', 'integer', true, NULL),
    ('streams', 'function_id', 'integer', true, '0'),
    ('streams', 'serialization', 'text', false, NULL),
    ('queues', 'queue_id', 'text', true, '(gen_random_uuid())::text'),
    ('queues', 'name', 'text', true, NULL),
    ('queues', 'concurrency', 'integer', false, NULL),
    ('queues', 'worker_concurrency', 'integer', false, NULL),
    ('queues', 'rate_limit_max', 'integer', false, NULL),
    ('queues', 'rate_limit_period_sec', 'double precision', false, NULL),
    ('queues', 'priority_enabled', 'boolean', true, 'false'),
    ('queues', 'partition_queue', 'boolean', true, 'false'),
    ('queues', 'polling_interval_sec', 'double precision', true, '1.0'),
    ('queues', 'created_at', 'bigint', true, 'now-ms'),
    ('queues', 'updated_at', 'bigint', true, 'now-ms'),
    ('queues', 'application_name', 'text', false, NULL),
    ('queues', 'partition_concurrency', 'integer', false, NULL),
    ('queues', 'partition_worker_concurrency', 'integer', false, NULL),
    ('queues', 'partition_rate_limit_max', 'integer', false, NULL),
    ('queues', 'partition_rate_limit_period_sec', 'double precision', false, NULL),
    ('workflow_schedules', 'schedule_id', 'text', true, NULL),
    ('workflow_schedules', 'schedule_name', 'text', true, NULL),
    ('workflow_schedules', 'workflow_name', 'text', true, NULL),
    ('workflow_schedules', 'workflow_class_name', 'text', false, NULL),
    ('workflow_schedules', 'schedule', 'text', true, NULL),
    ('workflow_schedules', 'status', 'text', true, '''ACTIVE''::text'),
    ('workflow_schedules', 'context', 'text', true, NULL),
    ('workflow_schedules', 'last_fired_at', 'text', false, NULL),
    ('workflow_schedules', 'automatic_backfill', 'boolean', true, 'false'),
    ('workflow_schedules', 'cron_timezone', 'text', false, NULL),
    ('workflow_schedules', 'queue_name', 'text', false, NULL),
    ('workflow_schedules', 'application_name', 'text', false, NULL),
    ('application_versions', 'version_id', 'text', true, NULL),
    ('application_versions', 'version_name', 'text', true, NULL),
    ('application_versions', 'version_timestamp', 'bigint', true, 'now-ms'),
    ('application_versions', 'created_at', 'bigint', true, 'now-ms'),
    ('application_versions', 'application_name', 'text', false, NULL),
    ('event_dispatch_kv', 'service_name', 'text', true, NULL),
    ('event_dispatch_kv', 'workflow_fn_name', 'text', true, NULL),
    ('event_dispatch_kv', 'key', 'text', true, NULL),
    ('event_dispatch_kv', 'value', 'text', false, NULL),
    ('event_dispatch_kv', 'update_seq', 'numeric(38,0)', false, NULL),
    ('event_dispatch_kv', 'update_time', 'numeric(38,15)', false, NULL),
    ('dbos_migrations', 'version', 'bigint', true, NULL)
  ) AS c (table_name, column_name, type_name, required, default_value)
$$;

-- Keys and foreign keys, in an order in which they can be added. The payload tables and operation_outputs reference nothing:
-- their rows are deleted by name.
CREATE OR REPLACE FUNCTION dbos_sys.upstream_constraints()
RETURNS TABLE (table_name text, place bigint, constraint_name text, definition text)
LANGUAGE sql
IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
  SELECT c.table_name, row_number() OVER (), c.constraint_name,
         CASE WHEN c.definition LIKE 'status by %'
              THEN format('FOREIGN KEY (%s) REFERENCES dbos.workflow_status(workflow_uuid) ON UPDATE CASCADE ON DELETE CASCADE',
                          substr(c.definition, length('status by %')))
              ELSE c.definition END
  FROM (VALUES
    ('application_versions', 'application_versions_pkey', 'PRIMARY KEY (version_id)'),
    ('dbos_migrations', 'dbos_migrations_pkey', 'PRIMARY KEY (version)'),
    ('event_dispatch_kv', 'event_dispatch_kv_pkey', 'PRIMARY KEY (service_name, workflow_fn_name, key)'),
    ('notifications', 'notifications_pkey', 'PRIMARY KEY (message_uuid)'),
    ('operation_outputs', 'operation_outputs_pkey', 'PRIMARY KEY (workflow_uuid, function_id)'),
    ('queues', 'queues_pkey', 'PRIMARY KEY (queue_id)'),
    ('streams', 'streams_pkey', 'PRIMARY KEY (workflow_uuid, key, "offset")'),
    ('workflow_events', 'workflow_events_pkey', 'PRIMARY KEY (workflow_uuid, key)'),
    ('workflow_events_history', 'workflow_events_history_pkey', 'PRIMARY KEY (workflow_uuid, function_id, key)'),
    ('workflow_input', 'workflow_input_pkey', 'PRIMARY KEY (workflow_uuid)'),
    ('workflow_output', 'workflow_output_pkey', 'PRIMARY KEY (workflow_uuid)'),
    ('workflow_schedules', 'workflow_schedules_pkey', 'PRIMARY KEY (schedule_id)'),
    ('workflow_status', 'workflow_status_pkey', 'PRIMARY KEY (workflow_uuid)'),
    ('application_versions', 'application_versions_version_name_key', 'UNIQUE (version_name)'),
    ('queues', 'queues_name_key', 'UNIQUE (name)'),
    ('workflow_schedules', 'workflow_schedules_schedule_name_key', 'UNIQUE (schedule_name)'),
    ('notifications', 'notifications_destination_uuid_fkey', 'status by destination_uuid'),
    ('streams', 'streams_workflow_uuid_fkey', 'status by workflow_uuid'),
    ('workflow_events', 'workflow_events_workflow_uuid_fkey', 'status by workflow_uuid'),
    ('workflow_events_history', 'workflow_events_history_workflow_uuid_fkey', 'status by workflow_uuid')
  ) AS c (table_name, constraint_name, definition)
$$;

-- Indexes beside those of the constraints: `definition` is what follows the table's name in pg_get_indexdef().
CREATE OR REPLACE FUNCTION dbos_sys.upstream_indexes()
RETURNS TABLE (table_name text, index_name text, is_unique boolean, definition text)
LANGUAGE sql
IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
  VALUES
    ('application_versions', 'idx_application_versions_owner_timestamp', false, 'USING btree (application_name, version_timestamp DESC)'),
    ('application_versions', 'idx_application_versions_timestamp', false, 'USING btree (version_timestamp DESC)'),
    ('application_versions', 'uq_application_versions_owner_version', true, 'USING btree (application_name, version_name) WHERE (application_name IS NOT NULL)'),
    ('application_versions', 'uq_application_versions_unclaimed_version', true, 'USING btree (version_name) WHERE (application_name IS NULL)'),
    ('notifications', 'idx_workflow_topic', false, 'USING btree (destination_uuid, topic)'),
    ('operation_outputs', 'idx_operation_outputs_completed_at_function_name_v2', false, 'USING btree (completed_at_epoch_ms, function_name) INCLUDE (application_name)'),
    ('operation_outputs', 'idx_operation_outputs_retention', false, 'USING btree (retention_timestamp)'),
    ('workflow_input', 'idx_workflow_input_retention', false, 'USING btree (retention_timestamp)'),
    ('workflow_output', 'idx_workflow_output_retention', false, 'USING btree (retention_timestamp)'),
    ('workflow_status', 'idx_workflow_status_attributes', false, 'USING gin (attributes) WHERE (attributes IS NOT NULL)'),
    ('workflow_status', 'idx_workflow_status_completed_at', false, 'USING btree (completed_at) WHERE (completed_at IS NOT NULL)'),
    ('workflow_status', 'idx_workflow_status_deadline', false, 'USING btree (workflow_deadline_epoch_ms) WHERE ((status = ANY (ARRAY[''ENQUEUED''::text, ''PENDING''::text, ''DELAYED''::text])) AND (workflow_deadline_epoch_ms IS NOT NULL))'),
    ('workflow_status', 'idx_workflow_status_delayed', false, 'USING btree (delay_until_epoch_ms) WHERE (status = ''DELAYED''::text)'),
    ('workflow_status', 'idx_workflow_status_failed', false, 'USING btree (status, created_at) WHERE (status = ANY (ARRAY[''ERROR''::text, ''CANCELLED''::text, ''MAX_RECOVERY_ATTEMPTS_EXCEEDED''::text]))'),
    ('workflow_status', 'idx_workflow_status_forked_from', false, 'USING btree (forked_from) WHERE (forked_from IS NOT NULL)'),
    ('workflow_status', 'idx_workflow_status_in_flight_v2', false, 'USING btree (queue_name, status, priority, created_at) INCLUDE (application_name) WHERE (status = ANY (ARRAY[''ENQUEUED''::text, ''PENDING''::text]))'),
    ('workflow_status', 'idx_workflow_status_parent_workflow_id', false, 'USING btree (parent_workflow_id) WHERE (parent_workflow_id IS NOT NULL)'),
    ('workflow_status', 'idx_workflow_status_partition_dequeue_v3', false, 'USING btree (queue_name, status, queue_partition_key, priority, created_at, workflow_uuid) INCLUDE (application_name) WHERE ((status = ANY (ARRAY[''ENQUEUED''::text, ''PENDING''::text])) AND (queue_partition_key IS NOT NULL))'),
    ('workflow_status', 'idx_workflow_status_pending', false, 'USING btree (created_at) WHERE (status = ''PENDING''::text)'),
    ('workflow_status', 'idx_workflow_status_rate_limited', false, 'USING btree (queue_name, started_at_epoch_ms) WHERE (rate_limited = true)'),
    ('workflow_status', 'idx_workflow_status_schedule_name', false, 'USING btree (schedule_name) WHERE (schedule_name IS NOT NULL)'),
    ('workflow_status', 'idx_workflow_status_started_at', false, 'USING btree (started_at_epoch_ms) WHERE (started_at_epoch_ms IS NOT NULL)'),
    ('workflow_status', 'uq_workflow_status_dedup_id', true, 'USING btree (queue_name, deduplication_id) WHERE (deduplication_id IS NOT NULL)'),
    ('workflow_status', 'workflow_status_created_at_index', false, 'USING btree (created_at)')
$$;
