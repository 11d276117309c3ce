-- debounce(): one run per key, put off by each call, with the arguments of the last; what it refuses.
\set SHOW_CONTEXT never
\set ECHO errors
\getenv root PG_ABS_SRCDIR
\set setup :root /sql/include/setup.psql
\i :setup
CREATE VIEW pg_temp.runs AS
SELECT w.workflow_uuid AS id, w.status, w.name, w.class_name AS class, w.queue_name AS queue, w.deduplication_id AS key, w.is_debounced AS debounced,
  w.delay_until_epoch_ms - 1800000000000 AS until, w.debounce_deadline_epoch_ms - 1800000000000 AS deadline, w.application_name AS app, i.inputs
FROM dbos.workflow_status AS w JOIN dbos.workflow_input AS i USING (workflow_uuid);
\set ECHO all

-- The first call makes a DELAYED run under the key; those that follow put it off, up to the deadline, and give it their arguments.
SELECT dbos_sys.debounce('index', 'file-1', 5000, '["a"]', 12000, p_id => 'b-1');
SELECT * FROM pg_temp.runs;
SET dbos_sys.fake_now = '1800000004000';
SELECT dbos_sys.debounce('index', 'file-1', 5000, '["b"]', 12000, p_id => 'b-2');
SELECT * FROM pg_temp.runs;
SET dbos_sys.fake_now = '1800000008000';
SELECT dbos_sys.debounce('index', 'file-1', 5000, '["c"]');
SELECT id, until, deadline, inputs FROM pg_temp.runs;

-- Another key, class, queue or name is another run.
SELECT dbos_sys.debounce('index', 'file-2', 5000, p_id => 'b-2');
SELECT dbos_sys.debounce('index', 'file-1', 5000, p_options => '{"class_name": "C"}', p_id => 'b-3');
SELECT dbos_sys.debounce('index', 'file-1', 5000, p_queue => '_dbos_other', p_id => 'b-4');
SELECT dbos_sys.debounce('other', 'file-1', 5000, p_id => 'b-5');
SELECT id, name, class, queue, key, inputs FROM pg_temp.runs ORDER BY id;

-- Not before it is due; then it is released together with its key, and the next call begins another run.
SET dbos_sys.fake_now = '1800000011999';
SELECT dbos_sys.delayed_tick();
SET dbos_sys.fake_now = '1800000012000';
SELECT dbos_sys.delayed_tick();
SELECT id, status, key, debounced FROM pg_temp.runs WHERE id = 'b-1';
SELECT dbos_sys.debounce('index', 'file-1', 5000, '["d"]', p_id => 'b-6');
SELECT id, status, key, until, deadline, inputs FROM pg_temp.runs WHERE name = 'index' AND class IS NULL ORDER BY id;
-- A deadline before the delay is over ends the wait.
SELECT dbos_sys.debounce('index', 'short', 5000, p_deadline_ms => 100, p_id => 'b-7');
SELECT until - 12000 AS until, deadline - 12000 AS deadline FROM pg_temp.runs WHERE id = 'b-7';

-- A run without an application is taken by the caller's; another application's run is not touched.
SELECT dbos_sys.debounce('index', 'file-1', 6000, '["e"]', p_options => '{"application_name": "shop"}');
SELECT app, until, inputs FROM pg_temp.runs WHERE id = 'b-6';
SELECT dbos_sys.debounce('index', 'file-1', 6000, '["f"]', p_options => '{"application_name": "other"}');
SELECT dbos_sys.debounce('index', 'file-1', 7000, '["g"]');
SELECT app, until, inputs FROM pg_temp.runs WHERE id = 'b-6';

-- Cancelled, its key is free.
SELECT dbos_sys.cancel('{b-6}');
SELECT dbos_sys.debounce('index', 'file-1', 5000, p_id => 'b-8');

-- A row as the official SDK's debouncer writes it, with inputs of its own format: the call takes it over, in the portable one.
INSERT INTO dbos.workflow_status (workflow_uuid, status, name, class_name, queue_name, deduplication_id, is_debounced, delay_until_epoch_ms,
  debounce_deadline_epoch_ms, serialization)
VALUES ('ts-1', 'DELAYED', 'index', NULL, '_dbos_internal_queue', '.index-shared', true, 1800000013000, 1800000014000, 'js_superjson');
INSERT INTO dbos.workflow_input (workflow_uuid, inputs) VALUES ('ts-1', '{"json":["x"]}');
SELECT dbos_sys.debounce('index', 'shared', 5000, '["y"]');
SELECT r.id, r.until, r.inputs, w.serialization FROM pg_temp.runs AS r JOIN dbos.workflow_status AS w ON w.workflow_uuid = r.id WHERE r.id = 'ts-1';

-- A key that a run holds which is no debounced one of this name; an id that exists.
SELECT dbos_sys.start('index', '[]', 'plain', p_options => '{"deduplication_id": ".index-taken"}');
SELECT dbos_sys.debounce('index', 'taken', 5000);
SELECT dbos_sys.debounce('a', 'b-c', 5000, p_id => 'b-9');
SELECT dbos_sys.debounce('a-b', 'c', 5000);
SELECT dbos_sys.debounce('other', 'new', 5000, p_id => 'plain');
SELECT dbos_sys.debounce('index', 'new', 5000, p_id => 'plain');
SELECT id, debounced, until FROM pg_temp.runs WHERE id = 'plain';

-- Refused, and nothing is written.
SELECT count(*) AS before FROM pg_temp.runs \gset
SELECT dbos_sys.debounce(NULL, 'k', 1);
SELECT dbos_sys.debounce('index', '', 1);
SELECT dbos_sys.debounce('index', repeat('k', 10000), 1);
SELECT dbos_sys.debounce(repeat('n', 255), repeat('k', 255), 1, p_options => jsonb_build_object('class_name', repeat('c', 255)));
SELECT dbos_sys.debounce('index', 'k', 0);
SELECT dbos_sys.debounce('index', 'k', NULL);
SELECT dbos_sys.debounce('index', 'k', -5);
SELECT dbos_sys.debounce('index', 'k', 9223372036854775807);
SELECT dbos_sys.debounce('index', 'k', 1, p_deadline_ms => 0);
SELECT dbos_sys.debounce('index', 'k', 1, '"text"');
SELECT dbos_sys.debounce('index', 'k', 1, p_queue => ' ');
SELECT dbos_sys.debounce('index', 'k', 1, p_options => '[]');
SELECT dbos_sys.debounce('index', 'k', 1, p_options => '{"priority": 1}');
SELECT dbos_sys.debounce('index', 'k', 1, p_options => '{"deduplication_id": "d"}');
SELECT dbos_sys.debounce('index', 'k', 1, p_options => '{"colour": 1}');
SELECT dbos_sys.debounce_inputs('index', 'k', 1, '[1]', NULL, '{"queue": "_dbos_internal_queue"}', NULL);
SELECT dbos_sys.debounce('index', 'k', 1, p_options => '{"queue": "q"}');
SELECT count(*) - :before AS written FROM pg_temp.runs;
