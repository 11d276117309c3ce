-- Operations whose outcome the database decides: sleep, messages, events, streams, results of other runs, debounces. Each op_… function serves one
-- operation of one run whose owner row is locked, records it as that run's step, and tells (state, value, info):
-- The argument `unrecorded` (send, events, streams) marks what a step body does: written at once under the step's function id, no record.
--   ok (value: the recorded text) · none (recorded as NULL) · error (recorded; value: portable error) · wait (nothing written)

-- A portable error as every SDK reads it.
CREATE OR REPLACE FUNCTION dbos_sys.error_json(p_name text, p_message text, p_data jsonb DEFAULT NULL)
RETURNS text
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN jsonb_strip_nulls(jsonb_build_object('name', p_name, 'message', p_message)) || CASE WHEN p_data IS NULL THEN '{}' ELSE jsonb_build_object('data', p_data) END;
END;
$$;

-- Arguments of an operation: a text (absent or null is NULL), a flag (absent is false).
CREATE OR REPLACE FUNCTION dbos_sys.op_text(p_args jsonb, p_key text)
RETURNS text
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  IF jsonb_typeof(p_args -> p_key) NOT IN ('string', 'null') THEN
    PERFORM dbos_sys.fail('WF001', format('argument %s is %s', p_key, left((p_args -> p_key)::text, 60)), NULL, 'Give a text.');
  END IF;
  RETURN p_args ->> p_key;
END;
$$;

CREATE OR REPLACE FUNCTION dbos_sys.op_flag(p_args jsonb, p_key text)
RETURNS boolean
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  IF jsonb_typeof(p_args -> p_key) <> 'boolean' THEN
    PERFORM dbos_sys.fail('WF001', format('argument %s is %s', p_key, left((p_args -> p_key)::text, 60)), NULL, 'Give true or false.');
  END IF;
  RETURN COALESCE((p_args ->> p_key)::boolean, false);
END;
$$;

-- A whole number of ms; absent or null is NULL.
CREATE OR REPLACE FUNCTION dbos_sys.op_ms(p_args jsonb, p_key text)
RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  v_value jsonb := p_args -> p_key;
BEGIN
  IF (CASE jsonb_typeof(v_value) WHEN 'number' THEN v_value::numeric % 1 <> 0 OR abs(v_value::numeric) > 9e18 WHEN 'null' THEN false
    ELSE v_value IS NOT NULL END) THEN
    PERFORM dbos_sys.fail('WF001', format('argument %s is %s', p_key, left(v_value::text, 60)), NULL, 'Give a whole number of ms.');
  END IF;
  RETURN CASE jsonb_typeof(v_value) WHEN 'number' THEN v_value::numeric::bigint END;
END;
$$;

CREATE OR REPLACE FUNCTION dbos_sys.op_serialization(p_args jsonb)
RETURNS text
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  v_value text := COALESCE(dbos_sys.op_text(p_args, 'serialization'), 'portable_json');
BEGIN
  PERFORM dbos_sys.check_text('serialization', v_value);
  RETURN v_value;
END;
$$;

-- Operations and the step name each is recorded under; `check` records nothing.
CREATE OR REPLACE FUNCTION dbos_sys.op_step_name(p_kind text, p_args jsonb)
RETURNS text
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN CASE p_kind
    WHEN 'sleep' THEN COALESCE(dbos_sys.op_text(p_args, 'name'), 'DBOS.sleep') WHEN 'marker' THEN 'DBOS.sleep'
    WHEN 'send' THEN 'DBOS.send' WHEN 'recv' THEN 'DBOS.recv'
    WHEN 'set_event' THEN 'DBOS.setEvent' WHEN 'get_event' THEN 'DBOS.getEvent'
    WHEN 'write_stream' THEN 'DBOS.writeStream' WHEN 'close_stream' THEN 'DBOS.closeStream'
    WHEN 'get_result' THEN 'DBOS.getResult' WHEN 'debounce' THEN 'DBOS.debounceDelayedWorkflow' END;
END;
$$;

-- An operation that is recorded already is not done again. `refused`: something else is recorded there.
CREATE OR REPLACE FUNCTION dbos_sys.op_recorded(p_id text, p_fid integer, p_step text, OUT state text, OUT value text, OUT info jsonb)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  v_step record;
BEGIN
  SELECT o.function_name, o.output, o.error, o.serialization INTO v_step
  FROM dbos.operation_outputs AS o WHERE o.workflow_uuid = p_id AND o.function_id = p_fid;
  IF NOT FOUND THEN
    RETURN;
  ELSIF v_step.function_name <> p_step THEN
    state := 'refused';
    info := jsonb_build_object('function_id', p_fid, 'recorded', v_step.function_name, 'given', p_step);
  ELSE
    state := CASE WHEN v_step.error IS NOT NULL THEN 'error'
      WHEN v_step.output IS NULL AND p_step IN ('DBOS.recv', 'DBOS.getEvent') THEN 'none' ELSE 'ok' END;
    value := COALESCE(v_step.error, v_step.output);
    info := jsonb_build_object('serialization', v_step.serialization);
  END IF;
END;
$$;

-- sleep: completed when it ends. marker: the timeout of a recv or get_event, completed at once.
CREATE OR REPLACE FUNCTION dbos_sys.op_sleep(
  p_application text, p_id text, p_fid integer, p_now bigint, p_kind text, p_args jsonb, OUT state text, OUT value text, OUT info jsonb)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  v_ms bigint;
BEGIN
  v_ms := dbos_sys.op_ms(p_args, 'ms');
  IF v_ms IS NULL THEN
    PERFORM dbos_sys.fail('WF001', format('argument ms is %s', CASE WHEN p_args ? 'ms' THEN 'null' ELSE 'missing' END), NULL, 'Give a whole number of ms.');
  END IF;
  PERFORM dbos_sys.check_span('sleep', v_ms, true);
  PERFORM dbos_sys.check_text('step name', dbos_sys.op_step_name(p_kind, p_args));
  state := 'ok';
  value := (p_now + v_ms)::text;
  PERFORM dbos_sys.record_step(p_application, p_id, p_fid, dbos_sys.op_step_name(p_kind, p_args), value, NULL, 'portable_json', p_now,
    CASE p_kind WHEN 'sleep' THEN p_now + v_ms ELSE p_now END);
END;
$$;

-- Topic as it is stored: upstream's word stands for none and cannot be used as one.
CREATE OR REPLACE FUNCTION dbos_sys.stored_topic(p_topic text)
RETURNS text
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  IF p_topic IS NULL THEN
    RETURN '__null__topic__';
  END IF;
  PERFORM dbos_sys.check_text('topic', p_topic);
  IF p_topic = '__null__topic__' THEN
    PERFORM dbos_sys.fail('WF001', 'topic "__null__topic__" stands for no topic', NULL, 'Pass NULL, or take another topic.');
  END IF;
  RETURN p_topic;
END;
$$;

-- A payload that must be there.
CREATE OR REPLACE FUNCTION dbos_sys.check_value(p_what text, p_value text)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  IF p_value IS NULL THEN
    PERFORM dbos_sys.fail('WF001', format('%s is NULL', p_what), NULL, 'Give the JSON null for no value.');
  END IF;
  PERFORM dbos_sys.check_payloads(p_what, ARRAY[p_value]);
END;
$$;

-- Puts a message into a workflow's inbox, once per key; false when the destination does not exist. It is locked first as the foreign
-- key would lock it, so that one which is deleted meanwhile is told and not raised. Messages of one session sort by age:
-- recv takes the oldest, and their ids tell those of one millisecond apart.
CREATE OR REPLACE FUNCTION dbos_sys.put_message(
  p_destination text, p_topic text, p_message text, p_key text, p_serialization text, p_now bigint)
RETURNS boolean
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  v_topic text := dbos_sys.stored_topic(p_topic);
BEGIN
  PERFORM dbos_sys.check_text('destination id', p_destination);
  IF p_key IS NOT NULL THEN
    PERFORM dbos_sys.check_text('idempotency key', p_key);
  END IF;
  PERFORM dbos_sys.check_value('message', p_message);
  PERFORM FROM dbos.workflow_status AS w WHERE w.workflow_uuid = p_destination FOR KEY SHARE;
  IF NOT FOUND THEN
    RETURN false;
  END IF;
  INSERT INTO dbos.notifications (message_uuid, destination_uuid, topic, message, created_at_epoch_ms, serialization)
  VALUES (COALESCE(p_key || '::' || p_destination, dbos_sys.new_id()), p_destination, v_topic, p_message, p_now, p_serialization)
  ON CONFLICT (message_uuid) DO NOTHING;
  RETURN true;
END;
$$;

CREATE OR REPLACE FUNCTION dbos_sys.op_send(
  p_application text, p_id text, p_fid integer, p_now bigint, p_args jsonb, OUT state text, OUT value text, OUT info jsonb)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  v_destination text := dbos_sys.op_text(p_args, 'destination');
BEGIN
  state := 'ok';
  IF NOT dbos_sys.put_message(v_destination, dbos_sys.op_text(p_args, 'topic'), dbos_sys.op_text(p_args, 'message'), dbos_sys.op_text(p_args, 'key'),
    dbos_sys.op_serialization(p_args), p_now) THEN
    state := 'error';
    value := dbos_sys.error_json('NonExistentWorkflow', format('destination workflow %s does not exist', v_destination),
      jsonb_build_object('destinationID', v_destination));
  END IF;
  IF NOT dbos_sys.op_flag(p_args, 'unrecorded') THEN
    PERFORM dbos_sys.record_step(p_application, p_id, p_fid, 'DBOS.send', NULL, value, 'portable_json', p_now, p_now);
  END IF;
END;
$$;

-- Takes the oldest message of the topic. None: `final` records that, otherwise the run waits.
CREATE OR REPLACE FUNCTION dbos_sys.op_recv(
  p_application text, p_id text, p_fid integer, p_now bigint, p_args jsonb, OUT state text, OUT value text, OUT info jsonb)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  v_topic text := dbos_sys.stored_topic(dbos_sys.op_text(p_args, 'topic'));
  v_final boolean := dbos_sys.op_flag(p_args, 'final');
  v_serialization text;
BEGIN
  UPDATE dbos.notifications AS n SET consumed = true, consumed_by_function_id = p_fid
  WHERE n.message_uuid = (
      SELECT m.message_uuid FROM dbos.notifications AS m
      WHERE m.destination_uuid = p_id AND m.topic = v_topic AND NOT m.consumed
      ORDER BY m.created_at_epoch_ms, m.message_uuid LIMIT 1)
    AND NOT n.consumed
  RETURNING 'ok', n.message, n.serialization INTO state, value, v_serialization;
  IF NOT FOUND AND NOT v_final THEN
    state := 'wait';
    RETURN;
  END IF;
  state := COALESCE(state, 'none');
  info := jsonb_build_object('serialization', v_serialization);
  PERFORM dbos_sys.record_step(p_application, p_id, p_fid, 'DBOS.recv', value, NULL, v_serialization, p_now, p_now);
END;
$$;

-- Listeners of every SDK wait on these channels; a key too long for a notification is found by their polls.
CREATE OR REPLACE FUNCTION dbos_sys.notify_key(p_channel text, p_id text, p_key text)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  PERFORM pg_notify(p_channel, p_id || '::' || p_key);
END;
$$;

CREATE OR REPLACE FUNCTION dbos_sys.op_set_event(
  p_application text, p_id text, p_fid integer, p_now bigint, p_args jsonb, OUT state text, OUT value text, OUT info jsonb)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  v_key text := dbos_sys.op_text(p_args, 'key');
  v_value text := dbos_sys.op_text(p_args, 'value');
  v_serialization text := dbos_sys.op_serialization(p_args);
BEGIN
  PERFORM dbos_sys.check_text('event key', v_key);
  PERFORM dbos_sys.check_value('event value', v_value);
  INSERT INTO dbos.workflow_events AS e (workflow_uuid, key, value, serialization) VALUES (p_id, v_key, v_value, v_serialization)
  ON CONFLICT (workflow_uuid, key) DO UPDATE SET value = EXCLUDED.value, serialization = EXCLUDED.serialization;
  INSERT INTO dbos.workflow_events_history AS h (workflow_uuid, function_id, key, value, serialization)
  VALUES (p_id, p_fid, v_key, v_value, v_serialization)
  ON CONFLICT (workflow_uuid, function_id, key) DO UPDATE SET value = EXCLUDED.value, serialization = EXCLUDED.serialization;
  IF NOT dbos_sys.op_flag(p_args, 'unrecorded') THEN
    PERFORM dbos_sys.record_step(p_application, p_id, p_fid, 'DBOS.setEvent', NULL, NULL, 'portable_json', p_now, p_now);
  END IF;
  PERFORM dbos_sys.notify_key('dbos_workflow_events_channel', p_id, v_key);
  state := 'ok';
END;
$$;

CREATE OR REPLACE FUNCTION dbos_sys.op_get_event(
  p_application text, p_id text, p_fid integer, p_now bigint, p_args jsonb, OUT state text, OUT value text, OUT info jsonb)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  v_id text := dbos_sys.op_text(p_args, 'id');
  v_key text := dbos_sys.op_text(p_args, 'key');
  v_final boolean := dbos_sys.op_flag(p_args, 'final');
  v_serialization text;
BEGIN
  PERFORM dbos_sys.check_text('workflow id', v_id);
  PERFORM dbos_sys.check_text('event key', v_key);
  SELECT 'ok', e.value, e.serialization INTO state, value, v_serialization
  FROM dbos.workflow_events AS e WHERE e.workflow_uuid = v_id AND e.key = v_key;
  IF NOT FOUND AND NOT v_final THEN
    state := 'wait';
    RETURN;
  END IF;
  state := COALESCE(state, 'none');
  info := jsonb_build_object('serialization', v_serialization);
  PERFORM dbos_sys.record_step(p_application, p_id, p_fid, 'DBOS.getEvent', value, NULL, v_serialization, p_now, p_now);
END;
$$;

-- Streams end with upstream's sentinel; nothing can be written after it, which is the step's error.
CREATE OR REPLACE FUNCTION dbos_sys.op_stream(
  p_application text, p_id text, p_fid integer, p_now bigint, p_kind text, p_args jsonb, OUT state text, OUT value text, OUT info jsonb)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  v_end CONSTANT text := '"__DBOS_STREAM_CLOSED__"';
  v_key text := dbos_sys.op_text(p_args, 'key');
  v_value text := CASE p_kind WHEN 'close_stream' THEN v_end ELSE dbos_sys.op_text(p_args, 'value') END;
  v_serialization text := dbos_sys.op_serialization(p_args);
  v_last record;
BEGIN
  PERFORM dbos_sys.check_text('stream key', v_key);
  PERFORM dbos_sys.check_value('stream value', v_value);
  SELECT s."offset", s.value INTO v_last FROM dbos.streams AS s WHERE s.workflow_uuid = p_id AND s.key = v_key
  ORDER BY s."offset" DESC LIMIT 1;
  IF v_last.value IN (v_end, '__DBOS_STREAM_CLOSED__') THEN
    state := 'error';
    value := dbos_sys.error_json('StreamClosed', format('stream %s of workflow %s is closed', v_key, p_id));
  ELSE
    state := 'ok';
    INSERT INTO dbos.streams (workflow_uuid, key, value, "offset", function_id, serialization)
    VALUES (p_id, v_key, v_value, COALESCE(v_last."offset", -1) + 1, p_fid, v_serialization);
    PERFORM dbos_sys.notify_key('dbos_streams_channel', p_id, v_key);
  END IF;
  IF NOT dbos_sys.op_flag(p_args, 'unrecorded') THEN
    PERFORM dbos_sys.record_step(p_application, p_id, p_fid, dbos_sys.op_step_name(p_kind, p_args), NULL, value, 'portable_json', p_now, p_now);
  END IF;
END;
$$;

-- The outcome of another run, once it has one. A missing run may still be started: the caller waits.
CREATE OR REPLACE FUNCTION dbos_sys.op_get_result(
  p_application text, p_id text, p_fid integer, p_now bigint, p_args jsonb, OUT state text, OUT value text, OUT info jsonb)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  v_id text := dbos_sys.op_text(p_args, 'id');
  v_run record;
  v_ended jsonb;
  v_error text;
BEGIN
  PERFORM dbos_sys.check_text('workflow id', v_id);
  SELECT w.status, w.serialization, COALESCE(o.output, w.output) AS output, COALESCE(o.error, w.error) AS error INTO v_run
  FROM dbos.workflow_status AS w LEFT JOIN dbos.workflow_output AS o ON o.workflow_uuid = w.workflow_uuid
  WHERE w.workflow_uuid = v_id AND w.status NOT IN ('PENDING', 'ENQUEUED', 'DELAYED');
  IF NOT FOUND THEN
    state := 'wait';
    RETURN;
  END IF;
  state := CASE v_run.status WHEN 'SUCCESS' THEN 'ok' ELSE 'error' END;
  -- The name alone does not tell: a workflow may have failed with an error of that name.
  v_ended := jsonb_build_object('awaited_workflow', v_id, 'status', v_run.status);
  v_error := CASE v_run.status WHEN 'SUCCESS' THEN NULL WHEN 'ERROR' THEN v_run.error
    WHEN 'CANCELLED' THEN dbos_sys.error_json('AwaitedWorkflowCancelled', format('workflow %s was cancelled', v_id), v_ended)
    ELSE dbos_sys.error_json('AwaitedWorkflowMaxRecoveryAttemptsExceeded', format('workflow %s is in the dead letter', v_id), v_ended) END;
  value := CASE WHEN state = 'ok' THEN v_run.output ELSE v_error END;
  info := jsonb_build_object('serialization', CASE WHEN v_run.status IN ('SUCCESS', 'ERROR') THEN v_run.serialization ELSE 'portable_json' END);
  PERFORM dbos_sys.record_step(p_application, p_id, p_fid, 'DBOS.getResult', CASE WHEN state = 'ok' THEN value END, v_error,
    info ->> 'serialization', p_now, p_now, v_id);
END;
$$;

-- Puts a run off, or makes it; what debounce() refuses is the step's error. Waits for the row of a run that another transaction puts off.
CREATE OR REPLACE FUNCTION dbos_sys.op_debounce(
  p_application text, p_id text, p_fid integer, p_now bigint, p_args jsonb, OUT state text, OUT value text, OUT info jsonb)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  v_name text := dbos_sys.op_text(p_args, 'name');
  v_key text := dbos_sys.op_text(p_args, 'key');
  v_ms bigint := dbos_sys.op_ms(p_args, 'ms');
  v_deadline_ms bigint := dbos_sys.op_ms(p_args, 'deadline_ms');
  v_inputs text := dbos_sys.op_text(p_args, 'inputs');
  v_id text := dbos_sys.op_text(p_args, 'id');
  v_run text;
BEGIN
  BEGIN
    v_run := dbos_sys.debounce_inputs(v_name, v_key, v_ms, v_inputs, v_deadline_ms, p_args -> 'options', v_id);
    state := 'ok';
    value := to_json(v_run)::text;
  EXCEPTION WHEN SQLSTATE 'WF001' OR SQLSTATE 'WF011' OR SQLSTATE 'WF012' THEN
    state := 'error';
    value := dbos_sys.error_json(CASE SQLSTATE WHEN 'WF012' THEN 'QueueDeduplicated' WHEN 'WF011' THEN 'ConflictingWorkflow' ELSE 'InvalidArgument' END, SQLERRM);
  END;
  PERFORM dbos_sys.record_step(p_application, p_id, p_fid, 'DBOS.debounceDelayedWorkflow', CASE state WHEN 'ok' THEN value END,
    CASE state WHEN 'error' THEN value END, 'portable_json', p_now, p_now, v_run);
END;
$$;

CREATE OR REPLACE FUNCTION dbos_sys.run_op(
  p_application text, p_id text, p_fid integer, p_now bigint, p_kind text, p_args jsonb, OUT state text, OUT value text, OUT info jsonb)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  v_step text := dbos_sys.op_step_name(p_kind, p_args);
BEGIN
  IF p_kind = 'check' THEN
    state := 'ok';
    RETURN;
  ELSIF v_step IS NULL THEN
    PERFORM dbos_sys.fail('WF001', format('unknown operation %s', dbos_sys.shown(p_kind)), NULL,
      'Operations: check, sleep, marker, send, recv, set_event, get_event, write_stream, close_stream, get_result, debounce.');
  ELSIF COALESCE(p_fid, -1) < 0 OR jsonb_typeof(p_args) IS DISTINCT FROM 'object' THEN
    PERFORM dbos_sys.fail('WF001', format('operation %s has function id %s and arguments %s', p_kind, COALESCE(p_fid::text, 'NULL'),
      COALESCE(left(p_args::text, 60), 'NULL')), NULL, 'Function ids count from 0, arguments are a JSON object.');
  ELSIF p_args - '{ms,name,destination,topic,message,key,serialization,unrecorded,final,value,id,deadline_ms,inputs,options}'::text[] <> '{}' THEN
    PERFORM dbos_sys.fail('WF001', format('operation %s has unknown arguments: %s', p_kind, left(p_args::text, 60)), NULL,
      'Arguments are: deadline_ms, destination, final, id, inputs, key, message, ms, name, options, serialization, topic, unrecorded, value.');
  END IF;
  IF NOT dbos_sys.op_flag(p_args, 'unrecorded') THEN
    SELECT r.state, r.value, r.info INTO state, value, info FROM dbos_sys.op_recorded(p_id, p_fid, v_step) AS r;
    IF state IS NOT NULL THEN
      RETURN;
    END IF;
  ELSIF p_kind NOT IN ('send', 'set_event', 'write_stream', 'close_stream') THEN
    PERFORM dbos_sys.fail('WF001', format('operation %s cannot go unrecorded', p_kind), NULL, 'Call it from the workflow''s own code.');
  END IF;
  CASE p_kind
    WHEN 'sleep', 'marker' THEN
      SELECT r.* INTO state, value, info FROM dbos_sys.op_sleep(p_application, p_id, p_fid, p_now, p_kind, p_args) AS r;
    WHEN 'send' THEN SELECT r.* INTO state, value, info FROM dbos_sys.op_send(p_application, p_id, p_fid, p_now, p_args) AS r;
    WHEN 'recv' THEN SELECT r.* INTO state, value, info FROM dbos_sys.op_recv(p_application, p_id, p_fid, p_now, p_args) AS r;
    WHEN 'set_event' THEN SELECT r.* INTO state, value, info FROM dbos_sys.op_set_event(p_application, p_id, p_fid, p_now, p_args) AS r;
    WHEN 'get_event' THEN SELECT r.* INTO state, value, info FROM dbos_sys.op_get_event(p_application, p_id, p_fid, p_now, p_args) AS r;
    WHEN 'write_stream', 'close_stream' THEN
      SELECT r.* INTO state, value, info FROM dbos_sys.op_stream(p_application, p_id, p_fid, p_now, p_kind, p_args) AS r;
    WHEN 'get_result' THEN SELECT r.* INTO state, value, info FROM dbos_sys.op_get_result(p_application, p_id, p_fid, p_now, p_args) AS r;
    WHEN 'debounce' THEN SELECT r.* INTO state, value, info FROM dbos_sys.op_debounce(p_application, p_id, p_fid, p_now, p_args) AS r;
  END CASE;
END;
$$;

CREATE OR REPLACE FUNCTION dbos_sys.send(p_destination text, p_message json, p_topic text DEFAULT NULL, p_key text DEFAULT NULL)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  IF NOT dbos_sys.put_message(p_destination, p_topic, p_message::text, p_key, 'portable_json', dbos_sys.now_ms()) THEN
    PERFORM dbos_sys.fail('WF032', format('destination workflow %s does not exist', dbos_sys.shown(p_destination)), NULL,
      'Start the workflow first, or look at its id.');
  END IF;
END;
$$;
COMMENT ON FUNCTION dbos_sys.send(text, json, text, text) IS
'Sends a message to a workflow, whatever its status. p_topic NULL: no topic. p_key: sent once per key and destination. Errors: WF001, WF032.';

CREATE OR REPLACE FUNCTION dbos_sys.get_event(p_id text, p_key text)
RETURNS TABLE (value text, serialization text)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  PERFORM dbos_sys.check_text('workflow id', p_id);
  PERFORM dbos_sys.check_text('event key', p_key);
  RETURN QUERY SELECT e.value, e.serialization FROM dbos.workflow_events AS e WHERE e.workflow_uuid = p_id AND e.key = p_key;
END;
$$;
COMMENT ON FUNCTION dbos_sys.get_event(text, text) IS 'The present value of a workflow''s event, with its format; no row when it is not set. Never waits.';
