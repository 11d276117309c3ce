-- Upstream's three functions in schema `dbos`: its names, signatures, attributes and observable behaviour, our bodies.
-- They are ordinary objects of the tables' owner; an SDK's migration may replace or drop them.

-- enqueue_workflow as migration 105 makes it, with the inputs in the row itself, or as 113 does, with the inputs in a table of their own.
CREATE OR REPLACE FUNCTION dbos_sys.upstream_enqueue_ddl(p_version bigint)
RETURNS text
LANGUAGE plpgsql
IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
  v_old boolean := p_version < 113;
  v_inputs CONSTANT text := 'json_build_object(''positionalArgs'', positional_args, ''namedArgs'', named_args)';
  v_ddl text := $ddl$
CREATE OR REPLACE FUNCTION dbos.enqueue_workflow(
  workflow_name text,
  queue_name text,
  positional_args json[] DEFAULT ARRAY[]::json[],
  named_args json DEFAULT '{}'::json,
  class_name text DEFAULT NULL,
  config_name text DEFAULT NULL,
  workflow_id text DEFAULT NULL,
  app_version text DEFAULT NULL,
  timeout_ms bigint DEFAULT NULL,
  deadline_epoch_ms bigint DEFAULT NULL,
  deduplication_id text DEFAULT NULL,
  priority integer DEFAULT NULL,
  queue_partition_key text DEFAULT NULL,
  authenticated_user text DEFAULT NULL,
  authenticated_roles text DEFAULT NULL,
  delay_until_epoch_ms bigint DEFAULT NULL,
  application_name text DEFAULT NULL
) RETURNS text
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $body$
DECLARE
  v_id text := coalesce(workflow_id, gen_random_uuid()::text);
  v_now bigint := extract(epoch FROM now()) * 1000;
  v_refusal text;
BEGIN
  v_refusal := CASE
    WHEN coalesce(workflow_name, '') = '' THEN 'workflow_name is missing: give the name of a registered workflow'
    WHEN coalesce(queue_name, '') = '' THEN 'queue_name is missing: give the queue that the workflow is to wait on'
    WHEN jsonb_typeof(named_args::jsonb) <> 'object' THEN 'named_args has to be a JSON object'
    WHEN workflow_id = '' THEN 'workflow_id is blank: leave it out to have one made'
    WHEN delay_until_epoch_ms < 0 THEN 'delay_until_epoch_ms is negative'
  END;
  IF v_refusal IS NOT NULL THEN
    RAISE EXCEPTION USING MESSAGE = v_refusal;
  END IF;

  -- An id that exists already keeps its row: only the sign of life is renewed, and the inputs stay the first ones.
  INSERT INTO dbos.workflow_status (
    workflow_uuid, name, class_name, config_name, queue_name, status, delay_until_epoch_ms,
    priority, deduplication_id, queue_partition_key, application_name, application_version,
    workflow_timeout_ms, workflow_deadline_epoch_ms, authenticated_user, authenticated_roles,
    owner_xid, serialization, recovery_attempts, created_at, updated_at@inputs_column@
  ) VALUES (
    v_id, workflow_name, class_name, config_name, queue_name,
    CASE WHEN delay_until_epoch_ms IS NOT NULL THEN 'DELAYED' ELSE 'ENQUEUED' END, delay_until_epoch_ms,
    coalesce(priority, 0), deduplication_id, queue_partition_key, application_name, app_version,
    timeout_ms, deadline_epoch_ms, authenticated_user, authenticated_roles,
    gen_random_uuid()::text, 'portable_json', 0, v_now, v_now@inputs_value@
  ) ON CONFLICT (workflow_uuid) DO UPDATE SET updated_at = excluded.updated_at;

@inputs_row@  RETURN v_id;
EXCEPTION WHEN unique_violation THEN
  RAISE EXCEPTION 'DBOS queue duplicated' USING
    ERRCODE = 'unique_violation',
    DETAIL = format('Workflow %s with queue %s and deduplication ID %s already exists', v_id, queue_name, deduplication_id);
END;
$body$
  $ddl$;
BEGIN
  v_ddl := replace(v_ddl, '@inputs_column@', CASE WHEN v_old THEN ', inputs' ELSE '' END);
  v_ddl := replace(v_ddl, '@inputs_value@', CASE WHEN v_old THEN ', ' || v_inputs ELSE '' END);
  RETURN replace(v_ddl, '@inputs_row@', CASE WHEN v_old THEN '' ELSE
    '  INSERT INTO dbos.workflow_input (workflow_uuid, inputs, retention_timestamp)' || E'\n'
    || '  VALUES (v_id, ' || v_inputs || ', v_now)' || E'\n'
    || '  ON CONFLICT (workflow_uuid) DO NOTHING;' || E'\n\n' END);
END;
$function$;

-- One row per function: `signature` as regprocedure reads it, `ddl` makes it. Makers and checkers both read from here.
CREATE OR REPLACE FUNCTION dbos_sys.upstream_functions()
RETURNS TABLE (signature text, result_type text, ddl text)
LANGUAGE sql
IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $functions$
  VALUES
  ('dbos.enqueue_workflow(text,text,json[],json,text,text,text,text,bigint,bigint,text,integer,text,text,text,bigint,text)', 'text',
   dbos_sys.upstream_enqueue_ddl(113)),

  ('dbos.send_message(text,json,text,text)', 'void',
  $ddl$
CREATE OR REPLACE FUNCTION dbos.send_message(
  destination_id text,
  message json,
  topic text DEFAULT NULL,
  message_id text DEFAULT NULL
) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $body$
BEGIN
  -- A message id that was used before makes this call a repetition: nothing is added.
  INSERT INTO dbos.notifications (message_uuid, destination_uuid, topic, message, serialization)
  SELECT coalesce(message_id, gen_random_uuid()::text), destination_id, coalesce(topic, '__null__topic__'), message::text, 'portable_json'
  ON CONFLICT (message_uuid) DO NOTHING;
EXCEPTION WHEN foreign_key_violation THEN
  RAISE EXCEPTION 'DBOS non-existent workflow' USING
    ERRCODE = 'foreign_key_violation',
    DETAIL = format('Destination workflow %s does not exist', destination_id);
END;
$body$
  $ddl$),

  ('dbos.notifications_function()', 'trigger',
  $ddl$
CREATE OR REPLACE FUNCTION dbos.notifications_function() RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $body$
BEGIN
  -- Receivers of every SDK listen here; the payload tells them which mailbox has grown.
  PERFORM pg_notify('dbos_notifications_channel', NEW.destination_uuid || '::' || NEW.topic);
  RETURN NEW;
END;
$body$
  $ddl$)
$functions$;
