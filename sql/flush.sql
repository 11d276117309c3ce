-- flush(): one transaction for many runs, and a reply for each that is not simply done.
\set SHOW_CONTEXT never
\set ECHO errors
\getenv root PG_ABS_SRCDIR
\set setup :root /sql/include/setup.psql
\i :setup
\set ECHO all

-- New runs: started here, finished at once, or put on a queue.
SELECT * FROM pg_temp.trip('[{"id": "run", "new": true, "inputs": "{\"positionalArgs\":[1]}"}, {"id": "final", "new": true, "status": "SUCCESS", "output": "7"},
  {"id": "queued", "new": true, "options": {"queue": "q", "timeout_ms": 5}}, {"id": "delayed", "new": true, "options": {"queue": "q", "delay_ms": 9}},
  {"id": "timed", "new": true, "options": {"timeout_ms": 60000, "application_name": null, "application_version": "v9", "class_name": "C"}}]');
SELECT workflow_uuid AS id, status, queue_name AS queue, class_name AS class, recovery_attempts AS n, executor_id AS executor, application_name AS app, application_version AS version,
  owner_xid AS owner, creator_xid AS creator, started_at_epoch_ms AS started, completed_at, workflow_timeout_ms AS timeout, workflow_deadline_epoch_ms AS deadline, delay_until_epoch_ms AS delay
FROM dbos.workflow_status ORDER BY 1;
SELECT i.workflow_uuid, i.inputs, o.output FROM dbos.workflow_input AS i LEFT JOIN dbos.workflow_output AS o USING (workflow_uuid) ORDER BY 1;
-- The payload is never older than its row: retention would take it.
SELECT count(*) FROM dbos.workflow_status AS w JOIN dbos.workflow_input AS i USING (workflow_uuid) WHERE i.retention_timestamp < w.created_at;

-- Its own retry changes nothing, whichever form it has, and goes on with the steps.
SELECT * FROM pg_temp.trip('[{"id": "run", "new": true}, {"id": "final", "new": true, "status": "SUCCESS", "output": "7"}, {"id": "queued", "new": true, "options": {"queue": "q"}}]',
  '[{"run": 1, "fid": 0, "name": "s"}]', '[]', true);
SELECT * FROM pg_temp.trip('[{"id": "run", "new": true}, {"id": "second", "new": true}]', '[{"run": 1, "fid": 1, "name": "s"}]');
SELECT workflow_uuid, function_id FROM dbos.operation_outputs ORDER BY 1, 2;
SELECT inputs FROM dbos.workflow_input WHERE workflow_uuid = 'run';
-- A retry after somebody else has cancelled the run, or has it: lost.
SELECT dbos_sys.cancel('{second}');
SELECT * FROM pg_temp.trip('[{"id": "second", "new": true}]', '[{"run": 1, "fid": 0, "name": "s"}]', '[]', true);

-- Ids of somebody else: nothing of that run is written.
SELECT * FROM pg_temp.trip('[{"id": "run", "new": true, "token": "u1"}, {"id": "final", "new": true, "token": "u2", "name": "other", "status": "SUCCESS"},
  {"id": "timed", "new": true, "token": "u3"}, {"id": "fresh", "new": true}]', '[{"run": 1, "fid": 9, "name": "x"}, {"run": 2, "fid": 9, "name": "x"}, {"run": 4, "fid": 0, "name": "x"}]');
SELECT * FROM pg_temp.trip('[{"id": "run", "new": true, "token": "u1"}, {"id": "fresh-2", "new": true}]', '[]', '[]', true);
SELECT workflow_uuid, function_id FROM dbos.operation_outputs WHERE function_name = 'x';
-- The same id twice in one trip: the first wins.
SELECT * FROM pg_temp.trip('[{"id": "twin", "new": true, "token": "1"}, {"id": "twin", "new": true, "token": "2"}]');
SELECT * FROM pg_temp.trip('[{"id": "twin", "new": true, "token": "1"}, {"id": "twin", "new": true, "token": "2"}]', '[]', '[]', true);
-- A queue of new runs that is not registered is told, an internal one and one that is are not.
SELECT dbos_sys.register_queue('registered');
SELECT part, value FROM pg_temp.trip('[{"id": "q-1", "new": true, "options": {"queue": "registered"}}, {"id": "q-2", "new": true, "options": {"queue": "_dbos_internal_queue"}},
  {"id": "q-3", "new": true, "options": {"queue": "two"}}, {"id": "q-4", "new": true, "options": {"queue": "one"}}, {"id": "q-5", "new": true, "options": {"queue": "two"}},
  {"id": "q-6", "new": true, "options": {"timeout_ms": 5}}]') WHERE part <> 'now';
DELETE FROM dbos.workflow_status WHERE workflow_uuid LIKE 'q-%';
DELETE FROM dbos.queues;

-- Deduplication ids, also within one trip.
SELECT * FROM pg_temp.trip('[{"id": "d1", "new": true, "options": {"queue": "q", "deduplication_id": "d"}}]');
SELECT * FROM pg_temp.trip('[{"id": "d2", "new": true, "options": {"queue": "q", "deduplication_id": "d"}},
  {"id": "d3", "new": true, "options": {"queue": "q", "deduplication_id": "d", "on_duplicate": "return_existing"}},
  {"id": "d1", "new": true, "options": {"queue": "q", "deduplication_id": "d"}}]');
SELECT * FROM pg_temp.trip('[{"id": "d4", "new": true, "options": {"queue": "q", "deduplication_id": "e"}},
  {"id": "d5", "new": true, "options": {"queue": "q", "deduplication_id": "e"}}]', '[]', '[]', true);

-- Children stand only where their parent does, and are its steps: in the trip of the parent's own start, too, over generations.
SELECT * FROM pg_temp.trip('[{"id": "p", "new": true}, {"id": "p-0", "new": true, "name": "child", "options": {"parent_run": 1, "parent_fid": 0}},
  {"id": "p-0-0", "new": true, "name": "grandchild", "options": {"queue": "q", "parent_run": 2, "parent_fid": 0}},
  {"id": "run"}, {"id": "run-5", "new": true, "name": "child", "options": {"parent_run": 4, "parent_fid": 5}}]');
SELECT workflow_uuid, parent_workflow_id, status FROM dbos.workflow_status WHERE parent_workflow_id IS NOT NULL ORDER BY 1;
SELECT workflow_uuid, function_id, function_name, child_workflow_id, output, error FROM dbos.operation_outputs WHERE child_workflow_id IS NOT NULL ORDER BY 1;
SELECT * FROM pg_temp.trip('[{"id": "run", "token": "stale"}, {"id": "orphan", "new": true, "options": {"parent_run": 1, "parent_fid": 7}},
  {"id": "orphan-2", "new": true, "options": {"parent_run": 2, "parent_fid": 0}}]');
SELECT count(*) FROM dbos.workflow_status WHERE workflow_uuid LIKE 'orphan%';
-- A child whose id or deduplication id is taken: the parent records it.
SELECT * FROM pg_temp.trip('[{"id": "run"}, {"id": "final", "new": true, "token": "u", "options": {"parent_run": 1, "parent_fid": 10}},
  {"id": "final", "new": true, "name": "other", "token": "u", "options": {"parent_run": 1, "parent_fid": 11}},
  {"id": "d6", "new": true, "options": {"queue": "q", "deduplication_id": "d", "parent_run": 1, "parent_fid": 12}},
  {"id": "d7", "new": true, "options": {"queue": "q", "deduplication_id": "d", "on_duplicate": "return_existing", "parent_run": 1, "parent_fid": 13}}]');
SELECT function_id, function_name, child_workflow_id, error FROM dbos.operation_outputs WHERE workflow_uuid = 'run' AND function_id >= 10 ORDER BY 1;
-- The retry of a child's start; and a start where the parent's record names something else.
SELECT * FROM pg_temp.trip('[{"id": "run"}, {"id": "run-5", "new": true, "name": "child", "options": {"parent_run": 1, "parent_fid": 5}}]', '[]', '[]', true);
SELECT * FROM pg_temp.trip('[{"id": "run"}, {"id": "run-0", "new": true, "name": "child", "options": {"parent_run": 1, "parent_fid": 0}}]', '[]', '[]', true);
SELECT count(*) FROM dbos.workflow_status WHERE workflow_uuid = 'run-0';

-- A start that is sent again after an older SDK ended the run is told the outcome, which that one wrote into the row.
INSERT INTO dbos.workflow_status (workflow_uuid, status, name, output, error, creator_xid) VALUES ('old-ok', 'SUCCESS', 'w', '7', NULL, 't-old-ok'), ('old-bad', 'ERROR', 'w', NULL, '{}', 't-old-bad');
SELECT * FROM pg_temp.trip('[{"id": "old-ok", "new": true}, {"id": "old-bad", "new": true}]', '[]', '[]', true);

-- A client that only enqueues needs no executor; a direct start needs the incarnation.
SELECT f.* FROM dbos_sys.flush(NULL, NULL, NULL, NULL, false, '{enq}', '{t}', '{t}', '{w}', '{"{}"}', ARRAY['{"queue": "q"}']::jsonb[], '{NULL}', '{NULL}', '{NULL}',
  '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}') AS f;
SELECT executor_id, application_name FROM dbos.workflow_status WHERE workflow_uuid = 'enq';
SELECT * FROM pg_temp.trip('[{"id": "no", "new": true}]', p_incarnation => 'i0');
-- Nothing at all.
SELECT * FROM pg_temp.trip('[]');

-- Bad input: nothing of the trip is written.
SELECT * FROM pg_temp.trip('[{"id": "", "new": true}]');
SELECT * FROM pg_temp.trip('[{"id": "x", "new": true, "name": null}]');
SELECT * FROM pg_temp.trip('[{"id": "x", "new": true, "options": {"queu": "q"}}]');
SELECT * FROM pg_temp.trip('[{"id": "x", "new": true, "options": {"delay_ms": 5}}]');
SELECT * FROM pg_temp.trip('[{"id": "x", "new": true, "options": {"parent_run": 1}}]');
SELECT * FROM pg_temp.trip('[{"id": "x", "new": true, "options": {"parent_run": 1, "parent_fid": 0}}]');
SELECT * FROM pg_temp.trip('[{"id": "x", "new": true, "options": {"parent_run": 3, "parent_fid": 0}}, {"id": "y", "new": true}]');
SELECT * FROM pg_temp.trip('[{"id": "x", "new": true, "options": {"queue": "q"}, "status": "SUCCESS"}]');
SELECT * FROM pg_temp.trip('[{"id": "x", "new": null}]', '[]', '[]', NULL);
SELECT f.* FROM dbos_sys.flush('shop', 'e1', 'i1', 'v1', false, '{a,b}', '{t}', '{t,t}', '{w,w}', '{NULL,NULL}', '{NULL,NULL}', '{NULL,NULL}', '{NULL,NULL}', '{NULL,NULL}',
  '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}') AS f;
SELECT * FROM pg_temp.trip('[{"id": "x", "new": true, "inputs": "[1"}]');
SELECT * FROM pg_temp.trip('[{"id": "x", "new": true, "inputs": "[1]"}]');
SELECT * FROM pg_temp.trip('[{"id": "x", "new": true, "inputs": ""}]');
SELECT * FROM pg_temp.trip('[{"id": "x", "new": true, "inputs": "{\"positionalArgs\": [\"\\u0000\"]}"}]');
SELECT * FROM pg_temp.trip('[{"id": "x", "new": true, "inputs": "{\"positionalArgs\": {}}"}]');
SELECT * FROM pg_temp.trip('[{"id": "x", "new": true, "inputs": "{\"args\": []}"}]');
SELECT f.* FROM dbos_sys.flush('shop', 'e1', 'i1', 'v1', false, '{x}', '{t}', '{t}', '{w}', '{NULL}', '{NULL}', '{NULL}', '{NULL}', '{NULL}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}') AS f;
SELECT f.* FROM dbos_sys.flush('shop', 'e1', 'i1', 'v1', false, '{x}', '{t}', '{t}', '{w}', ARRAY[repeat('[', 100000)], '{NULL}', '{NULL}', '{NULL}', '{NULL}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}') AS f;
SELECT count(*) FROM dbos.workflow_status WHERE workflow_uuid IN ('x', 'y', '', 'a', 'b', 'no');
-- All that an envelope may be; other formats are stored as they are.
SELECT * FROM pg_temp.trip('[{"id": "in-1", "new": true, "inputs": "{}"}, {"id": "in-2", "new": true, "inputs": "{\"positionalArgs\":null,\"namedArgs\":null}"},
  {"id": "in-3", "new": true, "inputs": "{\"namedArgs\" : {\"n\": 1}, \"positionalArgs\" : [1e2]}"}]');
SELECT * FROM pg_temp.trip('[{"id": "in-4", "new": true, "inputs": "gASVBQ==", "options": {"serialization": "py_pickle"}}]');

-- What no run could be named for is an error of the call: NULL keys, arrays that are not flat, a start without a version.
SELECT f.* FROM dbos_sys.flush('shop', 'e1', 'i1', 'v1', false, '{run,NULL}', '{t,t}', '{f,f}', '{NULL,NULL}', '{NULL,NULL}', '{NULL,NULL}', '{NULL,NULL}', '{NULL,NULL}', '{NULL,NULL}',
  '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}') AS f;
SELECT f.* FROM dbos_sys.flush('shop', 'e1', 'i1', 'v1', false, '{run}', '{NULL}', '{f}', '{NULL}', '{NULL}', '{NULL}', '{NULL}', '{NULL}', '{NULL}',
  '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}') AS f;
SELECT f.* FROM dbos_sys.flush('shop', 'e1', 'i1', 'v1', false, NULL, '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}',
  '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}') AS f;
SELECT f.* FROM dbos_sys.flush('shop', 'e1', 'i1', 'v1', false, '{{x}}', '{t}', '{t}', '{w}', '{"{}"}', '{NULL}', '{NULL}', '{NULL}', '{NULL}',
  '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}') AS f;
SELECT f.* FROM dbos_sys.flush('shop', 'e1', 'i1', NULL, false, '{x}', '{t}', '{t}', '{w}', '{"{}"}', '{NULL}', '{NULL}', '{NULL}', '{NULL}',
  '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}') AS f;
SELECT f.* FROM dbos_sys.flush(' ', NULL, NULL, NULL, false, '{x}', '{t}', '{t}', '{w}', '{"{}"}', ARRAY['{"queue": "q"}']::jsonb[], '{NULL}', '{NULL}', '{NULL}',
  '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}') AS f;
SELECT count(*) FROM dbos.workflow_status WHERE workflow_uuid = 'x';
