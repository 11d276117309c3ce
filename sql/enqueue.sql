-- start() and enqueue(): what they write, when an id or deduplication id is taken, and what they refuse.
\set SHOW_CONTEXT never
\set ECHO errors
\getenv root PG_ABS_SRCDIR
\set setup :root /sql/include/setup.psql
\i :setup
\set ECHO all

-- A start is an enqueue on the internal queue, with portable inputs; the row has upstream's columns.
SELECT dbos_sys.start('checkout', '["order-9", {"a": 1}, null]', 'o-9');
SELECT to_jsonb(w) - '{creator_xid}'::text[] - (SELECT array_agg(key) FROM jsonb_each(to_jsonb(w)) WHERE value = 'null') AS row, w.creator_xid ~ '^[0-9a-f-]{36}$' AS creator
FROM dbos.workflow_status AS w WHERE workflow_uuid = 'o-9';
SELECT inputs, retention_timestamp FROM dbos.workflow_input WHERE workflow_uuid = 'o-9';
SELECT dbos_sys.start('checkout', '{"order": "x"}', 'o-10');
SELECT inputs FROM dbos.workflow_input WHERE workflow_uuid = 'o-10';
SELECT dbos_sys.start('checkout') ~ '^[0-9a-f]{8}-[0-9a-f]{4}-7' AS new_id;

-- Every option has its column.
SELECT dbos_sys.start('checkout', '[]', 'o-all', 'orders', '{"class_name": "C", "config_name": "c", "deduplication_id": "d-all", "priority": 7,
  "delay_ms": 5000, "timeout_ms": 60000, "application_name": "shop", "application_version": "v7", "parent_id": "o-9", "authenticated_user": "u",
  "assumed_role": "r", "authenticated_roles": ["a", "b"], "attributes": {"k": [1]}, "serialization": "js_superjson"}');
SELECT to_jsonb(w) - '{creator_xid}'::text[] - (SELECT array_agg(key) FROM jsonb_each(to_jsonb(w)) WHERE value = 'null') AS row
FROM dbos.workflow_status AS w WHERE workflow_uuid = 'o-all';
SELECT dbos_sys.register_queue('orders');
SELECT dbos_sys.start('checkout', '[]', 'o-deadline', 'orders', '{"deadline_epoch_ms": 1800000060000, "delay_ms": 0}');
SELECT status, workflow_deadline_epoch_ms, delay_until_epoch_ms FROM dbos.workflow_status WHERE workflow_uuid = 'o-deadline';

-- The same id and name: the same workflow, nothing written. Another name, class or config: an error.
SELECT dbos_sys.start('checkout', '["other"]', 'o-9', 'orders');
SELECT queue_name, (SELECT inputs FROM dbos.workflow_input WHERE workflow_uuid = 'o-9') FROM dbos.workflow_status WHERE workflow_uuid = 'o-9';
SELECT dbos_sys.start('refund', '[]', 'o-9');
SELECT dbos_sys.start('checkout', '[]', 'o-9', p_options => '{"class_name": "C"}');
SELECT dbos_sys.start('checkout', '[]', 'o-9', p_options => '{"config_name": "c"}');

-- Deduplication: the holder is named, or returned; it ends with the workflow.
SELECT dbos_sys.start('checkout', '[]', 'd-1', 'orders', '{"deduplication_id": "d"}');
SELECT dbos_sys.start('checkout', '[]', 'd-2', 'orders', '{"deduplication_id": "d"}');
SELECT dbos_sys.start('checkout', '[]', 'd-2', 'orders', '{"deduplication_id": "d", "on_duplicate": "return_existing"}');
SELECT dbos_sys.start('checkout', '[]', 'd-1', 'orders', '{"deduplication_id": "d"}');
SELECT dbos_sys.enqueue('orders', '{checkout,checkout}', '{[],[]}', '{d-3,d-4}',
  ARRAY['{"deduplication_id": "e"}', '{"deduplication_id": "e", "on_duplicate": "return_existing"}']::jsonb[]);
SELECT dbos_sys.cancel('{d-1}');
SELECT dbos_sys.start('checkout', '[]', 'd-2', 'orders', '{"deduplication_id": "d"}');

-- Many at once, in order; an error writes none of them; ids may repeat.
SELECT dbos_sys.enqueue('orders', '{a,b,c}', ARRAY['[1]', '[2]', '{"n": 3}']::jsonb[], '{m-1,m-2,m-3}');
SELECT w.workflow_uuid, w.name, i.inputs, w.queue_name FROM dbos.workflow_status AS w JOIN dbos.workflow_input AS i USING (workflow_uuid)
WHERE w.workflow_uuid LIKE 'm-%' ORDER BY 1;
SELECT dbos_sys.enqueue('orders', '{a,b}', '{[],[]}', '{n-1,m-1}');
SELECT count(*) FROM dbos.workflow_status WHERE workflow_uuid = 'n-1';
SELECT dbos_sys.enqueue('orders', '{a,a}', '{[],[]}', '{n-2,n-2}');
SELECT count(*) FROM dbos_sys.enqueue('orders', '{a,a}', '{[],[]}', ARRAY[NULL, 'n-3']);
SELECT dbos_sys.enqueue('orders', '{}', '{}');
-- A rolled-back start leaves nothing.
BEGIN;
SELECT dbos_sys.start('a', '[]', 'rolled-back');
ROLLBACK;
SELECT count(*) FROM dbos.workflow_status WHERE workflow_uuid = 'rolled-back';
-- Text is data, whatever it looks like.
SELECT dbos_sys.start('%s %I', '["''; DROP TABLE x; --", "$$", "\\"]', '''"; DROP TABLE dbos.queues; -- %', 'select');
SELECT w.name, i.inputs FROM dbos.workflow_status AS w JOIN dbos.workflow_input AS i USING (workflow_uuid) WHERE w.queue_name = 'select';

-- Bad input.
SELECT dbos_sys.start(NULL);
SELECT dbos_sys.start('');
SELECT dbos_sys.start('  ');
SELECT dbos_sys.start(repeat('n', 256));
SELECT dbos_sys.start('a', p_id => '');
SELECT length(dbos_sys.start('a', p_id => repeat('i', 100000)));
SELECT dbos_sys.start('a', p_queue => NULL);
SELECT dbos_sys.start('a', p_queue => '');
SELECT dbos_sys.start('a', NULL);
SELECT dbos_sys.start('a', '"text"');
SELECT dbos_sys.start('a', 'null');
SELECT dbos_sys.start('a', '[1,]');
SELECT dbos_sys.start('a', p_options => '[]');
SELECT dbos_sys.start('a', p_options => '{"priorty": 1}');
SELECT dbos_sys.start('a', p_options => '{"priority": -1}');
SELECT dbos_sys.start('a', p_options => '{"priority": 2147483648}');
SELECT dbos_sys.start('a', p_options => '{"priority": 1.5}');
SELECT dbos_sys.start('a', p_options => '{"priority": "1"}');
SELECT dbos_sys.start('a', p_options => '{"priority": 1e400}');
SELECT dbos_sys.start('a', p_options => '{"delay_ms": -1}');
SELECT dbos_sys.start('a', p_options => '{"timeout_ms": 0}');
SELECT dbos_sys.start('a', p_options => '{"timeout_ms": 1e18}');
SELECT dbos_sys.start('a', p_options => '{"timeout_ms": 9223372036854775808}');
SELECT dbos_sys.start('a', p_options => '{"deadline_epoch_ms": 1800000000}');
SELECT dbos_sys.start('a', p_options => '{"attributes": [1]}');
SELECT dbos_sys.start('a', p_options => '{"authenticated_roles": "a"}');
SELECT dbos_sys.start('a', p_options => '{"class_name": null}');
SELECT dbos_sys.start('a', p_options => '{"partition_key": ""}');
SELECT dbos_sys.start('a', p_options => '{"on_duplicate": "return_existing"}');
SELECT dbos_sys.start('a', p_options => '{"deduplication_id": "d", "on_duplicate": "replace"}');
SELECT dbos_sys.start('a', p_options => '{"queue": "q"}');
SELECT dbos_sys.start('a', p_options => '{"parent_run": 1, "parent_fid": 0}');
SELECT dbos_sys.enqueue('orders', NULL, '{}');
SELECT dbos_sys.enqueue('orders', '{a,b}', '{[]}');
SELECT dbos_sys.enqueue('orders', '{a}', '{[]}', '{x,y}');
SELECT dbos_sys.enqueue('orders', '{a,NULL}', '{[],[]}');
BEGIN READ ONLY;
SELECT dbos_sys.start('a');
ROLLBACK;
SELECT count(*) FROM dbos.workflow_status;
SELECT dbos_sys.start('a', p_options => '{"priority": 1.0}');
SELECT dbos_sys.start('a', p_options => '{"authenticated_roles": [1]}');
SELECT dbos_sys.start('a', p_options => jsonb_build_object('assumed_role', repeat('r', 256)));
SELECT dbos_sys.enqueue('orders', '[2:2]={a}', '{[]}');
SELECT dbos_sys.enqueue('orders', '{a}', ARRAY[ARRAY['[]'::jsonb]]);
SELECT dbos_sys.enqueue('orders', '{a}', '{[]}', ARRAY[' ']);
SELECT count(*) FROM dbos.workflow_status;
