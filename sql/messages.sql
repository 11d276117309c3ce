-- Sleeps, messages, events, streams and results as steps of a run; each happens once.
\set SHOW_CONTEXT never
\set ECHO errors
\getenv root PG_ABS_SRCDIR
\set setup :root /sql/include/setup.psql
\i :setup
\set ECHO all

SELECT * FROM pg_temp.trip('[{"id": "a", "new": true}, {"id": "b", "new": true}]');
-- Sleep: the wake time is the server's, completed when it ends; a marker is completed at once. Again: the recorded time.
SELECT * FROM pg_temp.trip('[{"id": "a"}]', '[]', '[{"run": 1, "fid": 0, "kind": "sleep", "args": {"ms": 60000}}, {"run": 1, "fid": 1, "kind": "marker", "args": {"ms": 5000}}]');
SET dbos_sys.fake_now = '1800000009000';
SELECT * FROM pg_temp.trip('[{"id": "a"}]', '[]', '[{"run": 1, "fid": 0, "kind": "sleep", "args": {"ms": 60000}}]');
SELECT function_id, function_name, output, serialization, started_at_epoch_ms, completed_at_epoch_ms FROM dbos.operation_outputs ORDER BY 1;

-- recv waits, or records that nothing came; oldest first, per topic; a message is consumed by one recv, whose retry returns it again.
SELECT * FROM pg_temp.trip('[{"id": "b"}]', '[]', '[{"run": 1, "fid": 0, "kind": "recv", "args": {"topic": null}}]');
SELECT * FROM pg_temp.trip('[{"id": "a"}]', '[]', '[{"run": 1, "fid": 2, "kind": "send", "args": {"destination": "b", "message": "\"one\""}},
  {"run": 1, "fid": 3, "kind": "send", "args": {"destination": "b", "message": "\"two\""}},
  {"run": 1, "fid": 4, "kind": "send", "args": {"destination": "b", "topic": "t", "message": "\"topic\"", "serialization": "js_superjson"}},
  {"run": 1, "fid": 5, "kind": "send", "args": {"destination": "nobody", "message": "1"}}]');
SELECT function_id, function_name, output, error FROM dbos.operation_outputs WHERE function_name = 'DBOS.send' ORDER BY 1;
SELECT * FROM pg_temp.trip('[{"id": "b"}]', '[]', '[{"run": 1, "fid": 0, "kind": "recv", "args": {}}, {"run": 1, "fid": 2, "kind": "recv", "args": {"topic": "t"}}]');
SELECT * FROM pg_temp.trip('[{"id": "b"}]', '[]', '[{"run": 1, "fid": 0, "kind": "recv", "args": {}}, {"run": 1, "fid": 4, "kind": "recv", "args": {}},
  {"run": 1, "fid": 6, "kind": "recv", "args": {"final": true}}]');
SELECT function_id, output, serialization FROM dbos.operation_outputs WHERE workflow_uuid = 'b' ORDER BY 1;
SELECT topic, message, serialization, consumed, consumed_by_function_id FROM dbos.notifications ORDER BY consumed_by_function_id;
-- The retry of a send sends nothing; a key sends once per destination.
SELECT * FROM pg_temp.trip('[{"id": "a"}]', '[]', '[{"run": 1, "fid": 2, "kind": "send", "args": {"destination": "b", "message": "\"one\""}}]', true);
SELECT * FROM pg_temp.trip('[{"id": "a"}]', '[]', '[{"run": 1, "fid": 6, "kind": "send", "args": {"destination": "b", "message": "3", "key": "k"}},
  {"run": 1, "fid": 7, "kind": "send", "args": {"destination": "b", "message": "3", "key": "k"}}, {"run": 1, "fid": 8, "kind": "send", "args": {"destination": "a", "message": "3", "key": "k"}}]');
SELECT message_uuid, destination_uuid FROM dbos.notifications WHERE message = '3' ORDER BY 1;
SELECT dbos_sys.send('b', '{"from": "psql"}', 't'), dbos_sys.send('b', '1', p_key => 'k');
SELECT message, serialization, consumed FROM dbos.notifications WHERE destination_uuid = 'b' AND topic = 't' ORDER BY created_at_epoch_ms, message_uuid;
SELECT dbos_sys.send('nobody', '1');
SELECT dbos_sys.send('b', '1', '__null__topic__');
SELECT dbos_sys.send('b', NULL);
SELECT dbos_sys.send(NULL, '1');
SELECT dbos_sys.send('b', '1', '');
SELECT dbos_sys.send('b', '1', 't', '');
SELECT dbos_sys.send('b', '{"a": }');

-- Events: the newest value, with its history.
SELECT * FROM pg_temp.trip('[{"id": "b"}]', '[]', '[{"run": 1, "fid": 8, "kind": "get_event", "args": {"id": "a", "key": "k"}}]');
SELECT * FROM pg_temp.trip('[{"id": "a"}]', '[]', '[{"run": 1, "fid": 9, "kind": "set_event", "args": {"key": "k", "value": "1"}}]');
SELECT * FROM pg_temp.trip('[{"id": "a"}]', '[]', '[{"run": 1, "fid": 10, "kind": "set_event", "args": {"key": "k", "value": "2"}}]');
SELECT * FROM pg_temp.trip('[{"id": "b"}]', '[]', '[{"run": 1, "fid": 8, "kind": "get_event", "args": {"id": "a", "key": "k"}},
  {"run": 1, "fid": 10, "kind": "get_event", "args": {"id": "a", "key": "none", "final": true}}]');
SELECT * FROM dbos.workflow_events;
SELECT * FROM dbos.workflow_events_history ORDER BY function_id;
SELECT * FROM dbos_sys.get_event('a', 'k');
SELECT * FROM dbos_sys.get_event('a', 'none');
SELECT * FROM dbos_sys.get_event('a', '');

-- Streams: offsets from 0, an end, and nothing after it.
SELECT * FROM pg_temp.trip('[{"id": "a"}]', '[]', '[{"run": 1, "fid": 11, "kind": "write_stream", "args": {"key": "s", "value": "1"}},
  {"run": 1, "fid": 12, "kind": "write_stream", "args": {"key": "s", "value": "2"}}, {"run": 1, "fid": 13, "kind": "close_stream", "args": {"key": "s"}},
  {"run": 1, "fid": 14, "kind": "write_stream", "args": {"key": "s", "value": "3"}}]');
SELECT * FROM dbos.streams ORDER BY "offset";
SELECT function_id, function_name, error FROM dbos.operation_outputs WHERE function_name LIKE 'DBOS.%Stream' ORDER BY 1;

-- What a step body does goes unrecorded, and happens each time.
SELECT * FROM pg_temp.trip('[{"id": "a"}]', '[]', '[{"run": 1, "fid": 15, "kind": "send", "args": {"destination": "b", "topic": "body", "message": "1", "unrecorded": true}},
  {"run": 1, "fid": 15, "kind": "send", "args": {"destination": "nobody", "message": "1", "unrecorded": true}},
  {"run": 1, "fid": 15, "kind": "set_event", "args": {"key": "body", "value": "7", "unrecorded": true}},
  {"run": 1, "fid": 15, "kind": "write_stream", "args": {"key": "body", "value": "8", "unrecorded": true}}]');
SELECT (SELECT count(*) FROM dbos.notifications WHERE topic = 'body') AS messages, (SELECT value FROM dbos.workflow_events WHERE key = 'body') AS event,
  (SELECT function_id FROM dbos.streams WHERE key = 'body') AS stream, (SELECT count(*) FROM dbos.operation_outputs WHERE function_id = 15) AS steps;
SELECT * FROM pg_temp.trip('[{"id": "a"}]', '[]', '[{"run": 1, "fid": 15, "kind": "recv", "args": {"unrecorded": true}}]');

-- Results of other runs, copied with their format; who has none is waited for.
SELECT * FROM pg_temp.trip('[{"id": "ok", "new": true, "status": "SUCCESS", "output": "[1]"}, {"id": "bad", "new": true, "status": "ERROR", "error": "{\"name\":\"E\"}"},
  {"id": "gone", "new": true, "status": "CANCELLED"}, {"id": "dead", "new": true, "status": "MAX_RECOVERY_ATTEMPTS_EXCEEDED"}]');
SELECT * FROM pg_temp.trip('[{"id": "b"}]', '[]', '[{"run": 1, "fid": 20, "kind": "get_result", "args": {"id": "ok"}}, {"run": 1, "fid": 21, "kind": "get_result", "args": {"id": "bad"}},
  {"run": 1, "fid": 22, "kind": "get_result", "args": {"id": "gone"}}, {"run": 1, "fid": 23, "kind": "get_result", "args": {"id": "dead"}},
  {"run": 1, "fid": 24, "kind": "get_result", "args": {"id": "a"}}, {"run": 1, "fid": 25, "kind": "get_result", "args": {"id": "nobody"}},
  {"run": 1, "fid": 26, "kind": "check", "args": {}}]');
SELECT function_id, function_name, output, error, child_workflow_id FROM dbos.operation_outputs WHERE workflow_uuid = 'b' AND function_id >= 20 ORDER BY 1;

-- Outcomes that an older SDK wrote into the row.
INSERT INTO dbos.workflow_status (workflow_uuid, status, name, output, error, serialization) VALUES ('old-ok', 'SUCCESS', 'w', '"old"', NULL, 'js_superjson'),
  ('old-bad', 'ERROR', 'w', NULL, '{"name":"Old"}', 'js_superjson');
SELECT * FROM pg_temp.trip('[{"id": "b"}]', '[]', '[{"run": 1, "fid": 27, "kind": "get_result", "args": {"id": "old-ok"}}, {"run": 1, "fid": 28, "kind": "get_result", "args": {"id": "old-bad"}}]');

-- Something else is recorded there: the run is refused, and does not end.
SELECT * FROM pg_temp.trip('[{"id": "b", "status": "SUCCESS"}]', '[]', '[{"run": 1, "fid": 20, "kind": "recv", "args": {}}, {"run": 1, "fid": 30, "kind": "recv", "args": {"final": true}}]');
SELECT status FROM dbos.workflow_status WHERE workflow_uuid = 'b';
-- Who is no owner does nothing.
SELECT * FROM pg_temp.trip('[{"id": "b", "token": "x"}]', '[]', '[{"run": 1, "fid": 31, "kind": "sleep", "args": {"ms": 1}}]');

-- Bad input.
SELECT * FROM pg_temp.trip('[{"id": "b"}]', '[]', '[{"run": 1, "fid": 31, "kind": "nap", "args": {}}]');
SELECT * FROM pg_temp.trip('[{"id": "b"}]', '[]', '[{"run": 1, "fid": 31, "kind": "sleep", "args": {"ms": -1}}]');
SELECT * FROM pg_temp.trip('[{"id": "b"}]', '[]', '[{"run": 1, "fid": 31, "kind": "sleep", "args": {}}]');
SELECT * FROM pg_temp.trip('[{"id": "b"}]', '[]', '[{"run": 1, "fid": -1, "kind": "sleep", "args": {"ms": 1}}]');
SELECT * FROM pg_temp.trip('[{"id": "b"}]', '[]', '[{"run": 1, "fid": 31, "kind": "set_event", "args": {"key": "", "value": "1"}}]');
SELECT * FROM pg_temp.trip('[{"id": "b"}]', '[]', '[{"run": 1, "fid": 31, "kind": "set_event", "args": {"key": "k"}}]');
SELECT * FROM pg_temp.trip('[{"id": "b"}]', '[]', '[{"run": 1, "fid": 31, "kind": "write_stream", "args": {"key": "k"}}]');
SELECT * FROM pg_temp.trip('[{"id": "b"}]', '[]', '[{"run": 1, "fid": 31, "kind": "recv", "args": null}]');
SELECT * FROM pg_temp.trip('[{"id": "b"}]', '[]', '[{"run": 1, "fid": 31, "kind": "send", "args": {"message": "1"}}]');
SELECT count(*) FROM dbos.operation_outputs WHERE function_id = 31;
SELECT * FROM pg_temp.trip('[{"id": "b"}]', '[]', '[{"run": 1, "fid": 31, "kind": "sleep", "args": {"ms": "1"}}]');
SELECT * FROM pg_temp.trip('[{"id": "b"}]', '[]', '[{"run": 1, "fid": 31, "kind": "sleep", "args": {"ms": 1.5}}]');
SELECT * FROM pg_temp.trip('[{"id": "b"}]', '[]', '[{"run": 1, "fid": 31, "kind": "marker", "args": {"ms": 1e100}}]');
SELECT * FROM pg_temp.trip('[{"id": "b"}]', '[]', '[{"run": 1, "fid": 31, "kind": "sleep", "args": {"ms": 1, "name": " "}}]');
SELECT * FROM pg_temp.trip('[{"id": "b"}]', '[]', '[{"run": 1, "fid": 31, "kind": "sleep", "args": {"ms": 1, "nane": "x"}}]');
SELECT * FROM pg_temp.trip('[{"id": "b"}]', '[]', '[{"run": 1, "fid": 31, "kind": "recv", "args": {"final": "no"}}]');
SELECT * FROM pg_temp.trip('[{"id": "b"}]', '[]', '[{"run": 1, "fid": 31, "kind": "recv", "args": {"topic": 7}}]');
SELECT * FROM pg_temp.trip('[{"id": "b"}]', '[]', '[{"run": 1, "fid": 31, "kind": "send", "args": {"destination": ["a"], "message": "1"}}]');
SELECT * FROM pg_temp.trip('[{"id": "b"}]', '[]', '[{"run": 1, "fid": 31, "kind": "send", "args": {"destination": "a", "message": "1", "serialization": ""}}]');
SELECT * FROM pg_temp.trip('[{"id": "b"}]', '[]', '[{"run": 1, "fid": 31, "kind": "get_event", "args": {"id": "a", "key": "k", "final": 1}}]');
SELECT * FROM pg_temp.trip('[{"id": "b"}]', '[]', '[{"run": 1, "fid": 31, "kind": "get_result", "args": {"id": {}}}]');
SELECT * FROM pg_temp.trip('[{"id": "b"}]', '[]', '[{"run": 2, "fid": 31, "kind": "sleep", "args": {"ms": 1}}]');
SELECT * FROM pg_temp.trip('[{"id": "b"}]', '[]', '[{"fid": 31, "kind": "sleep", "args": {"ms": 1}}]');
SELECT count(*) FROM dbos.operation_outputs WHERE function_id = 31;

-- debounce: the run that a key puts off, by its id; again it is the recorded one, and nothing is put off. What debounce() refuses is the step's error.
SELECT * FROM pg_temp.trip('[{"id": "b"}]', '[]', '[{"run": 1, "fid": 40, "kind": "debounce", "args": {"name": "w", "key": "k", "ms": 5000, "deadline_ms": 8000, "inputs": "{\"positionalArgs\":[1]}", "options": {"queue": "put-off", "parent_id": "b"}, "id": "b-40"}}]');
SELECT * FROM pg_temp.trip('[{"id": "a"}]', '[]', '[{"run": 1, "fid": 40, "kind": "debounce", "args": {"name": "w", "key": "k", "ms": 6000, "inputs": "{\"positionalArgs\":[2]}", "options": {"queue": "put-off"}, "id": "a-40"}}]');
SELECT * FROM pg_temp.trip('[{"id": "b"}]', '[]', '[{"run": 1, "fid": 40, "kind": "debounce", "args": {"name": "w", "key": "k", "ms": 5000, "inputs": "{\"positionalArgs\":[3]}", "options": {"queue": "put-off"}, "id": "b-40"}}]', true);
SELECT w.workflow_uuid, w.status, w.is_debounced, w.parent_workflow_id, w.delay_until_epoch_ms - dbos_sys.now_ms() AS delay, i.inputs
FROM dbos.workflow_status AS w JOIN dbos.workflow_input AS i USING (workflow_uuid) WHERE w.queue_name = 'put-off';
SELECT * FROM pg_temp.trip('[{"id": "b"}]', '[]', '[{"run": 1, "fid": 41, "kind": "debounce", "args": {"name": "x", "key": "k2", "ms": 1, "inputs": "{}", "options": {"queue": "put-off"}, "id": "a"}},
  {"run": 1, "fid": 42, "kind": "debounce", "args": {"name": "w", "key": "k2", "ms": 0, "inputs": "{}", "options": {"queue": "put-off"}, "id": "b-42"}},
  {"run": 1, "fid": 43, "kind": "debounce", "args": {"name": "other", "key": "k", "ms": 1, "inputs": "{}", "options": {"queue": "put-off", "priority": 1}, "id": "b-43"}}]');
SELECT dbos_sys.start('w', '[]', 'plain', 'put-off', '{"deduplication_id": ".w-held"}');
SELECT * FROM pg_temp.trip('[{"id": "b"}]', '[]', '[{"run": 1, "fid": 44, "kind": "debounce", "args": {"name": "w", "key": "held", "ms": 1, "inputs": "{}", "options": {"queue": "put-off"}, "id": "b-44"}}]');
SELECT workflow_uuid, function_id, function_name, output, error, child_workflow_id FROM dbos.operation_outputs WHERE function_id BETWEEN 40 AND 49 ORDER BY 1, 2;
SELECT * FROM pg_temp.trip('[{"id": "b"}]', '[]', '[{"run": 1, "fid": 45, "kind": "debounce", "args": {"name": "w", "key": "k", "ms": "5", "inputs": "{}", "options": {"queue": "put-off"}, "id": "b-45"}}]');
SELECT * FROM pg_temp.trip('[{"id": "b"}]', '[]', '[{"run": 1, "fid": 45, "kind": "debounce", "args": {"key": "k", "unrecorded": true}}]');
