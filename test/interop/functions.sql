-- What upstream's three functions do, call by call. Run on two databases; the outputs are to be equal.
-- Times and random ids are replaced by what they have to be; the texts of the argument checks are ours, so those errors print SQLSTATE and DETAIL only.
SET search_path = pg_catalog;
LISTEN dbos_notifications_channel;

-- Runs one call; prints its result or its error.
CREATE FUNCTION pg_temp.try(p_call text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  v_result text;
  v_state text;
  v_message text;
  v_detail text;
BEGIN
  EXECUTE p_call INTO v_result;
  RETURN 'returned ' || CASE WHEN v_result ~ '^[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}$' THEN '<uuid>' ELSE coalesce(quote_literal(v_result), 'NULL') END;
EXCEPTION WHEN OTHERS THEN
  GET STACKED DIAGNOSTICS v_state = RETURNED_SQLSTATE, v_message = MESSAGE_TEXT, v_detail = PG_EXCEPTION_DETAIL;
  v_detail := regexp_replace(regexp_replace(v_detail, '[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}', '<uuid>', 'g'), '\m\d{13}\M', '<time>', 'g');
  RETURN format('failed %s%s detail=%s', v_state, CASE WHEN v_state <> 'P0001' THEN ' ' || v_message END, quote_literal(v_detail));
END;
$$;

-- A time is shown by what it is near to; a text that is a uuid is shown as such.
CREATE FUNCTION pg_temp.row_text(p_row jsonb) RETURNS text LANGUAGE sql AS $$
  SELECT string_agg(format('%s=%s', key, CASE
    WHEN value ~ '^\d{13}$' AND abs(value::numeric - extract(epoch FROM clock_timestamp()) * 1000) < 60000 THEN '<now>'
    WHEN value ~ '^[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}$' THEN '<uuid>'
    ELSE value END), ' ' ORDER BY key)
  FROM jsonb_each_text(p_row) WHERE value IS NOT NULL
$$;

\echo == enqueue_workflow: results and errors
SELECT call, pg_temp.try(call) AS outcome FROM (VALUES
  ($q$SELECT dbos.enqueue_workflow('w', 'q')$q$),
  ($q$SELECT dbos.enqueue_workflow('w', 'q', workflow_id => 'plain')$q$),
  ($q$SELECT dbos.enqueue_workflow('w', 'q', ARRAY['"first"', '{"a": 1}']::json[], '{"n":2}', workflow_id => 'arguments')$q$),
  ($q$SELECT dbos.enqueue_workflow('w', 'q', NULL, NULL, workflow_id => 'null-arguments')$q$),
  ($q$SELECT dbos.enqueue_workflow('w', 'q', ARRAY[NULL, 'null', '[]']::json[], '{ "spaced" :  "kept" }', workflow_id => 'verbatim')$q$),
  ($q$SELECT dbos.enqueue_workflow('w', 'q', ARRAY['"\u0000"']::json[], workflow_id => 'nul-positional')$q$),
  ($q$SELECT dbos.enqueue_workflow('w', 'q', named_args => '{"a":"\u0000"}', workflow_id => 'nul-named')$q$),
  ($q$SELECT dbos.enqueue_workflow('w', 'q', '{}', '{}', 'Class', 'config', 'all', 'v7', 5000, 1999999999999, 'dedup', 9, 'tenant', 'ada', '["r"]', 1999999999998, 'shop')$q$),
  ($q$SELECT dbos.enqueue_workflow('w', 'q', workflow_id => 'due', delay_until_epoch_ms => 0)$q$),
  ($q$SELECT dbos.enqueue_workflow('w', 'q', workflow_id => 'priority-null', priority => NULL)$q$),
  ($q$SELECT dbos.enqueue_workflow('w', 'q', workflow_id => 'priority-negative', priority => -5)$q$),
  ($q$SELECT dbos.enqueue_workflow('w', 'q', workflow_id => 'timeout-negative', timeout_ms => -1)$q$),
  ($q$SELECT dbos.enqueue_workflow('w', 'q', workflow_id => ' ')$q$),
  ($q$SELECT dbos.enqueue_workflow(' ', ' ', workflow_id => 'blank-names')$q$),
  ($q$SELECT dbos.enqueue_workflow(NULL, 'q')$q$),
  ($q$SELECT dbos.enqueue_workflow('', 'q')$q$),
  ($q$SELECT dbos.enqueue_workflow('w', NULL)$q$),
  ($q$SELECT dbos.enqueue_workflow('w', '')$q$),
  ($q$SELECT dbos.enqueue_workflow('w', 'q', named_args => '[]')$q$),
  ($q$SELECT dbos.enqueue_workflow('w', 'q', named_args => 'null')$q$),
  ($q$SELECT dbos.enqueue_workflow('w', 'q', named_args => '7')$q$),
  ($q$SELECT dbos.enqueue_workflow('w', 'q', workflow_id => '')$q$),
  ($q$SELECT dbos.enqueue_workflow('w', 'q', delay_until_epoch_ms => -1)$q$),
  ($q$SELECT dbos.enqueue_workflow('', 'q', named_args => '[]', workflow_id => '')$q$),
  ($q$SELECT dbos.enqueue_workflow('w', 'q', class_name => repeat('c', 256))$q$),
  ($q$SELECT dbos.enqueue_workflow('w', 'q', class_name => repeat('c', 255), config_name => '', workflow_id => 'long-class')$q$),
  ($q$SELECT dbos.enqueue_workflow('other', 'elsewhere', ARRAY['1']::json[], workflow_id => 'arguments')$q$),
  ($q$SELECT dbos.enqueue_workflow('w', 'q', workflow_id => 'second', deduplication_id => 'dedup')$q$),
  ($q$SELECT dbos.enqueue_workflow('w', 'q2', workflow_id => 'other-queue', deduplication_id => 'dedup')$q$),
  ($q$SELECT dbos.enqueue_workflow('w', 'q', workflow_id => 'all', deduplication_id => 'dedup')$q$)
) AS c (call);

\echo == enqueue_workflow: the rows
SELECT pg_temp.row_text(to_jsonb(s)) FROM dbos.workflow_status s WHERE workflow_uuid !~ '^[0-9a-f]{8}-' ORDER BY workflow_uuid COLLATE "C";
SELECT pg_temp.row_text(to_jsonb(s)) FROM dbos.workflow_status s WHERE workflow_uuid ~ '^[0-9a-f]{8}-';
SELECT CASE WHEN workflow_uuid ~ '^[0-9a-f]{8}-' THEN '<uuid>' ELSE workflow_uuid END AS id, inputs, pg_temp.row_text(jsonb_build_object('t', retention_timestamp))
FROM dbos.workflow_input ORDER BY CASE WHEN workflow_uuid ~ '^[0-9a-f]{8}-' THEN '' ELSE workflow_uuid END COLLATE "C";
SELECT count(*) AS equal_times FROM dbos.workflow_status s JOIN dbos.workflow_input i USING (workflow_uuid)
WHERE s.created_at = s.updated_at AND i.retention_timestamp = s.created_at;

\echo == enqueue_workflow: a repeated id renews updated_at only
BEGIN;
UPDATE dbos.workflow_status SET updated_at = 1, created_at = 1, status = 'SUCCESS' WHERE workflow_uuid = 'plain';
UPDATE dbos.workflow_input SET inputs = 'kept', retention_timestamp = 1 WHERE workflow_uuid = 'plain';
SELECT dbos.enqueue_workflow('x', 'y', workflow_id => 'plain', priority => 3);
SELECT pg_temp.row_text(to_jsonb(s)), pg_temp.row_text(to_jsonb(i)) FROM dbos.workflow_status s JOIN dbos.workflow_input i USING (workflow_uuid)
WHERE workflow_uuid = 'plain';
DELETE FROM dbos.workflow_input WHERE workflow_uuid = 'plain';
SELECT dbos.enqueue_workflow('x', 'y', ARRAY['"late"']::json[], workflow_id => 'plain');
SELECT inputs FROM dbos.workflow_input WHERE workflow_uuid = 'plain';
ROLLBACK;

\echo == send_message: results and errors
SELECT call, pg_temp.try(call) AS outcome FROM (VALUES
  ($q$SELECT dbos.send_message('plain', '{"a":  1}')$q$),
  ($q$SELECT dbos.send_message('plain', '"x"', 'topic', 'm-1')$q$),
  ($q$SELECT dbos.send_message('plain', '"another"', 'topic', 'm-1')$q$),
  ($q$SELECT dbos.send_message('all', '"another"', 'topic', 'm-1')$q$),
  ($q$SELECT dbos.send_message('plain', 'null', '', '')$q$),
  ($q$SELECT dbos.send_message('nobody', '1')$q$),
  ($q$SELECT dbos.send_message('nobody', '1', 'topic', 'm-1')$q$),
  ($q$SELECT dbos.send_message(NULL, '1')$q$),
  ($q$SELECT dbos.send_message('plain', NULL)$q$)
) AS c (call);
SELECT pg_temp.row_text(to_jsonb(n)) FROM dbos.notifications n ORDER BY message COLLATE "C";

\echo == the trigger: one notification per new row, with destination and topic
INSERT INTO dbos.notifications (destination_uuid, topic, message) VALUES ('plain', NULL, 'no topic'), ('all', 'a::b', 'x');
SELECT pg_temp.try($q$INSERT INTO dbos.notifications (destination_uuid, topic, message) VALUES ('plain', repeat('t', 8001), 'too long') RETURNING 1$q$);
SELECT 1 AS flushed;

\echo == cascades
DELETE FROM dbos.workflow_status WHERE workflow_uuid = 'plain';
SELECT count(*) FROM dbos.notifications;
SELECT count(*) FROM dbos.workflow_input WHERE workflow_uuid = 'plain';
UPDATE dbos.workflow_status SET workflow_uuid = 'renamed' WHERE workflow_uuid = 'all';
SELECT destination_uuid FROM dbos.notifications;
