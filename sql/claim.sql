-- claim() and load(): who gets which runs, and what comes back with them.
\set SHOW_CONTEXT never
\set ECHO errors
\getenv root PG_ABS_SRCDIR
\set setup :root /sql/include/setup.psql
\i :setup
\set ECHO all

-- A claim of up to p_limit runs of queue q, for workflows named w without a class.
CREATE FUNCTION pg_temp.claim(p_token text, p_limit integer, p_queue text DEFAULT 'q', p_version text DEFAULT 'v1', p_max integer DEFAULT 100)
RETURNS TABLE (id text, attempts bigint, priority integer) LANGUAGE sql AS
$$SELECT c.id, c.attempts, c.priority FROM dbos_sys.claim('shop', 'e1', 'i1', p_version, p_token, ARRAY[p_queue], ARRAY[p_limit], '{w}', '{""}', ARRAY[p_max]) AS c$$;
SET client_min_messages = error;

-- Lowest priority number and oldest first; none twice.
SELECT dbos_sys.enqueue('q', '{w,w,w}', '{[1],[2],[3]}', '{new-1,new-2,urgent}', ARRAY['{"priority": 5}', '{"priority": 5}', NULL]::jsonb[]);
SET dbos_sys.fake_now = '1799999000000';
SELECT dbos_sys.start('w', '[0]', 'old', 'q', '{"priority": 5, "timeout_ms": 1000}');
SET dbos_sys.fake_now = '1800000005000';
SELECT * FROM pg_temp.claim('t1', 2);
SELECT * FROM pg_temp.claim('t2', 0);
SELECT * FROM pg_temp.claim('t2', -1);
SELECT * FROM pg_temp.claim('t2', 10);
SELECT workflow_uuid AS id, status, owner_xid AS owner, executor_id AS executor, application_name AS app, application_version AS version, recovery_attempts AS n,
  started_at_epoch_ms AS started, workflow_deadline_epoch_ms AS deadline, rate_limited FROM dbos.workflow_status ORDER BY 1;

-- Everything a run needs comes back in the same trip: inputs and steps in order. An input of an old SDK lies in the row.
SELECT dbos_sys.start('w', '["in"]', 'full', 'q');
UPDATE dbos.workflow_status SET recovery_attempts = 1, parent_workflow_id = 'old' WHERE workflow_uuid = 'full';
INSERT INTO dbos.operation_outputs (workflow_uuid, function_id, function_name, output, error, child_workflow_id, serialization)
VALUES ('full', 1, 'second', NULL, '{}', NULL, 'portable_json'), ('full', 0, 'first', '"x"', NULL, NULL, 'portable_json'), ('full', 2, 'child', NULL, NULL, 'c-1', NULL);
INSERT INTO dbos.workflow_status (workflow_uuid, status, name, queue_name, inputs, created_at) VALUES ('legacy', 'ENQUEUED', 'w', 'q', '{"positionalArgs":["legacy"]}', 1800000004000);
SELECT * FROM dbos_sys.claim('shop', 'e1', 'i1', 'v1', 't3', '{q}', '{10}', '{w}', '{""}', '{100}') ORDER BY id \gx
SELECT id, inputs, step_ids, attempts FROM dbos_sys.load('{full,new-1,legacy}', '{t3,t2,other}');
SELECT id, attempts FROM dbos_sys.load('{full}', '{t3}');
SELECT count(*) FROM dbos_sys.load('{}', '{}');

-- Names and classes are matched exactly; configured instances are not ours; other applications' runs neither. What is not taken stays.
SELECT dbos_sys.enqueue('names', '{w,w,W,w,w,w}', '{[],[],[],[],[],[]}', '{plain,class,upper,config,other-app,app}', ARRAY[NULL, '{"class_name": "C"}', NULL, '{"config_name": "c"}',
  '{"application_name": "other"}', '{"application_name": "shop"}']::jsonb[]);
SELECT id FROM pg_temp.claim('t4', 10, 'names') ORDER BY 1;
SELECT id, class_name FROM dbos_sys.claim('shop', 'e1', 'i1', 'v1', 't5', '{names}', '{10}', '{w,W}', '{C,C}', '{1,1}');
SELECT workflow_uuid, status FROM dbos.workflow_status WHERE queue_name = 'names' AND status = 'ENQUEUED' ORDER BY 1;

-- Versions: one's own; and without a version, if one's own is the newest.
SELECT dbos_sys.enqueue('versions', '{w,w,w}', '{[],[],[]}', '{any,v1,v2}', ARRAY[NULL, '{"application_version": "v1"}', '{"application_version": "v2"}']::jsonb[]);
INSERT INTO dbos.application_versions (version_id, version_name, version_timestamp, application_name) VALUES ('x', 'v2', 1900000000000, 'shop'), ('y', 'v3', 1950000000000, 'other');
SELECT id FROM pg_temp.claim('t6', 10, 'versions');
SELECT id FROM pg_temp.claim('t7', 10, 'versions', 'v2') ORDER BY 1;
SELECT workflow_uuid, application_version FROM dbos.workflow_status WHERE queue_name = 'versions' ORDER BY 1;
DELETE FROM dbos.application_versions WHERE version_id IN ('x', 'y');

-- Who has used up its recoveries goes to the dead letter: first run and p_max recoveries are allowed.
SELECT dbos_sys.enqueue('dead', '{w,w,w}', '{[],[],[]}', '{one-left,none-left,uncounted}');
UPDATE dbos.workflow_status SET recovery_attempts = CASE workflow_uuid WHEN 'one-left' THEN 2 WHEN 'none-left' THEN 3 END, deduplication_id = 'd-' || workflow_uuid WHERE queue_name = 'dead';
SELECT id, attempts FROM pg_temp.claim('t8', 10, 'dead', p_max => 2) ORDER BY 1;
SELECT workflow_uuid AS id, status, queue_name, deduplication_id AS dedup, recovery_attempts AS n, owner_xid AS owner, completed_at FROM dbos.workflow_status
WHERE workflow_uuid IN ('one-left', 'none-left', 'uncounted') ORDER BY 1;
SELECT dbos_sys.enqueue('dead', '{w}', '{[]}', '{endless}');
UPDATE dbos.workflow_status SET recovery_attempts = 1000000 WHERE workflow_uuid = 'endless';
SELECT id, attempts FROM pg_temp.claim('t9', 10, 'dead', p_max => NULL);

-- Limits of the queue's row: concurrency over all executors, and starts per period.
SELECT dbos_sys.register_queue('narrow', '{"concurrency": 3}');
SELECT count(*) FROM dbos_sys.enqueue('narrow', array_fill('w'::text, '{5}'), array_fill('[]'::jsonb, '{5}'));
SELECT count(*) FROM pg_temp.claim('t10', 2, 'narrow');
SELECT count(*) FROM pg_temp.claim('t11', 2, 'narrow');
SELECT count(*) FROM pg_temp.claim('t12', 2, 'narrow');
SELECT count(*) FROM dbos.workflow_status WHERE owner_xid = 't10' AND dbos_sys.cancel(ARRAY[workflow_uuid]) = 1;
SELECT count(*) FROM pg_temp.claim('t13', 9, 'narrow');
SELECT dbos_sys.register_queue('slow', '{"rate_limit_max": 2, "rate_limit_period_sec": 10}');
SELECT count(*) FROM dbos_sys.enqueue('slow', array_fill('w'::text, '{5}'), array_fill('[]'::jsonb, '{5}'));
SELECT count(*) FROM pg_temp.claim('t14', 9, 'slow');
SELECT count(*) FROM pg_temp.claim('t15', 9, 'slow');
SET dbos_sys.fake_now = '1800000014999';
SELECT count(*) FROM pg_temp.claim('t16', 9, 'slow');
SET dbos_sys.fake_now = '1800000015000';
SELECT count(*) FROM pg_temp.claim('t17', 9, 'slow');
SELECT rate_limited, count(*) FROM dbos.workflow_status WHERE queue_name = 'slow' GROUP BY 1 ORDER BY 1;
-- From a place on: what stands before it is not looked at; what the claim found out about the queue comes with it.
SELECT dbos_sys.enqueue('places', '{w,w,w}', '{[],[],[]}', '{place-1,place-2,place-3}', ARRAY['{"priority": 1}', '{"priority": 2}', '{"priority": 3}']::jsonb[]);
SELECT id, queue_name, priority, created_at, waits, retry_ms, walk_us >= 0 AS measured
FROM dbos_sys.claim('shop', 'e1', 'i1', 'v1', 't18', '{places}', '{1}', '{w}', '{""}', '{100}', '{2}', '{0}');
SELECT id, queue_name, priority, created_at, waits, retry_ms, walk_us >= 0 AS measured
FROM dbos_sys.claim('shop', 'e1', 'i1', 'v1', 't18a', '{none,narrow,places,slow}', '{9,9,1,9}', '{w}', '{""}', '{100}', '{NULL,NULL,NULL,NULL}', '{NULL,NULL,NULL,NULL}');
-- With it comes what the queue grants one worker, also to who has no room: he takes nothing. Without places nothing is told.
SELECT dbos_sys.alter_queue('narrow', '{"worker_concurrency": 2}'), dbos_sys.enqueue('narrow', '{w}', '{[]}', '{in-narrow}');
SELECT id, queue_name, workers, waits FROM dbos_sys.claim('shop', 'e1', 'i1', 'v1', 't18c', '{narrow,none,places}', '{0,0,-1}', '{w}', '{""}', '{100}', '{NULL,NULL,NULL}', '{NULL,NULL,NULL}');
SELECT dbos_sys.alter_queue('narrow', '{"concurrency": 3000, "worker_concurrency": 2000}');
SELECT id, queue_name, workers, waits FROM dbos_sys.claim('shop', 'e1', 'i1', 'v1', 't18d', '{narrow}', '{0}', '{w}', '{""}', '{100}', '{NULL}', '{NULL}');
SELECT count(*) FROM dbos_sys.claim('shop', 'e1', 'i1', 'v1', 't18e', '{narrow}', '{0}', '{w}', '{""}', '{100}');
SELECT status FROM dbos.workflow_status WHERE workflow_uuid = 'in-narrow';
-- A paused queue gives nothing, whatever an SDK wrote over its row.
SELECT dbos_sys.enqueue('slack', '{w}', '{[]}', '{in-slack}'), dbos_sys.register_queue('slack'), dbos_sys.pause_queue('slack');
UPDATE dbos.queues SET concurrency = NULL WHERE name = 'slack';
SELECT count(*) FROM pg_temp.claim('t18b', 9, 'slack');
SELECT dbos_sys.resume_queue('slack');
SELECT count(*) FROM pg_temp.claim('t18c', 9, 'slack');
-- A queue that was dropped gives nothing, for without its row nobody would know its limits; registered again, it does.
SELECT dbos_sys.enqueue('slack', '{w,w}', '{[],[]}', '{left-1,left-2}');
SELECT dbos_sys.drop_queue('slack', p_force => true);
SELECT count(*) FROM pg_temp.claim('t18d', 9, 'slack');
INSERT INTO dbos.queues (name, concurrency) VALUES ('slack', 2);
SELECT count(*) FROM pg_temp.claim('t18e', 9, 'slack');
-- What counts for a shared limit is not forgotten by a crash, whatever the default of the database.
SET synchronous_commit = off;
BEGIN;
SELECT count(*) FROM pg_temp.claim('t18f', 1, 'places');
SHOW synchronous_commit;
SELECT dbos_sys.cancel('{left-1}');
SELECT count(*) FROM dbos_sys.enqueue('slack', '{w}', '{[]}'), pg_temp.claim('t18g', 1, 'slack');
SHOW synchronous_commit;
ROLLBACK;
RESET synchronous_commit;
-- Who knows how many runs of a queue it holds says so; the others are counted.
SELECT dbos_sys.register_queue('counted', '{"worker_concurrency": 3}'), dbos_sys.enqueue('counted', '{w,w,w,w,w}', '{[],[],[],[],[]}', '{n1,n2,n3,n4,n5}');
SELECT id FROM dbos_sys.claim('shop', 'e1', 'i1', 'v1', 't18e', '{counted}', '{9}', '{w}', '{""}', '{100}', p_running => '{2}');
SELECT id FROM dbos_sys.claim('shop', 'e1', 'i1', 'v1', 't18f', '{counted}', '{9}', '{w}', '{""}', '{100}', p_running => '{3}');
SELECT id FROM dbos_sys.claim('shop', 'e1', 'i1', 'v1', 't18g', '{counted}', '{1}', '{w}', '{""}', '{100}', p_running => '{NULL}');
SELECT id FROM dbos_sys.claim('shop', 'e1', 'i1', 'v1', 't18h', '{counted}', '{9}', '{w}', '{""}', '{100}');
SELECT id, waits FROM dbos_sys.claim('shop', 'e1', 'i1', 'v1', 't18i', '{counted}', '{9}', '{w}', '{""}', '{100}', '{NULL}', '{NULL}', '{3}');

-- Several queues in one trip.
SELECT dbos_sys.enqueue('qa', '{w}', '{[]}', '{in-a}'), dbos_sys.enqueue('qb', '{w}', '{[]}', '{in-b}');
SELECT id, queue_name FROM dbos_sys.claim('shop', 'e1', 'i1', 'v1', 't19', '{qb,none,qa}', '{5,5,5}', '{w}', '{""}', '{100}');

-- Whether a run is the first one: not where an executor had it before, although a resume or a return begins the attempts anew.
SELECT dbos_sys.enqueue('first', '{w,w,w}', '{[],[],[]}', '{resumed,returned,by-sdk}');
UPDATE dbos.workflow_status SET executor_id = '' WHERE workflow_uuid = 'by-sdk';
SELECT id, attempts, first_run FROM dbos_sys.claim('shop', 'e1', 'i1', 'v1', 'f1', '{first}', '{9}', '{w}', '{""}', '{100}') ORDER BY 1;
SELECT dbos_sys.give_back('{returned}', '{f1}'), dbos_sys.cancel('{resumed}'), dbos_sys.resume('{resumed}', 'first'), dbos_sys.start('w', '[]', 'unseen', 'first');
SELECT id, attempts, first_run FROM dbos_sys.claim('shop', 'e1', 'i1', 'v1', 'f2', '{first}', '{9}', '{w}', '{""}', '{100}') ORDER BY 1;

-- A run that an older SDK cancelled keeps its token: it is not held, and load() leaves it out.
SELECT count(*) FROM dbos_sys.load('{in-b}', '{t19}');
UPDATE dbos.workflow_status SET status = 'CANCELLED' WHERE workflow_uuid = 'in-b';
SELECT count(*) FROM dbos_sys.load('{in-b}', '{t19}');

-- Bad input, and who may not claim.
SELECT dbos_sys.claim('shop', 'e1', 'i0', 'v1', 't', '{q}', '{1}', '{w}', '{""}', '{1}');
SELECT dbos_sys.claim('shop', 'e1', 'i1', 'v1', 't', '{q}', '{1,2}', '{w}', '{""}', '{1}');
SELECT dbos_sys.claim('shop', 'e1', 'i1', 'v1', 't', NULL, NULL, '{w}', '{""}', '{1}');
SELECT dbos_sys.claim('shop', 'e1', 'i1', 'v1', NULL, '{q}', '{1}', '{w}', '{""}', '{1}');
SELECT dbos_sys.claim('shop', 'e1', 'i1', 'v1', repeat('t', 41), '{q}', '{1}', '{w}', '{""}', '{1}');
SELECT dbos_sys.claim('shop', 'e1', 'i1', '', 't', '{q}', '{1}', '{w}', '{""}', '{1}');
SELECT dbos_sys.load('{a}', '{}');
SELECT dbos_sys.load(NULL, NULL);
SELECT dbos_sys.load(ARRAY['a', NULL], '{t,t}');
SELECT dbos_sys.load('{a}', ARRAY[' ']);
SELECT dbos_sys.load('{{a}}', '{t}');
SELECT dbos_sys.claim('shop', 'e1', 'i1', 'v1', 't', ARRAY['q', ''], '{1,1}', '{w}', '{""}', '{1}');
SELECT dbos_sys.claim('shop', 'e1', 'i1', 'v1', 't', ARRAY['q', NULL], '{1,1}', '{w}', '{""}', '{1}');
SELECT dbos_sys.claim('shop', 'e1', 'i1', 'v1', 't', '{q}', '{NULL}', '{w}', '{""}', '{1}');
SELECT dbos_sys.claim('shop', 'e1', 'i1', 'v1', 't', '{q}', '{1}', '{w,NULL}', '{"",""}', '{1,1}');
SELECT dbos_sys.claim('shop', 'e1', 'i1', 'v1', 't', '{q}', '{1}', '{w}', '{NULL}', '{1}');
SELECT dbos_sys.claim('shop', 'e1', 'i1', 'v1', 't', '{q}', '{1}', '{w}', '{""}', '[2:2]={1}');
SELECT dbos_sys.claim('shop', 'e1', 'i1', 'v1', 't', '{q}', '{1}', '{w}', '{""}', '{-1}');
SELECT dbos_sys.claim('shop', 'e1', 'i1', 'v1', 't', '{q}', '{1}', '{w}', '{""}', '{1}', p_running => '{1,2}');
SELECT dbos_sys.claim('shop', 'e1', 'i1', 'v1', 't', '{q}', '{1}', '{w}', '{""}', '{1}', p_running => '{-1}');
SELECT dbos_sys.claim(' ', 'e1', 'i1', 'v1', 't', '{q}', '{1}', '{w}', '{""}', '{1}');
-- An id that another SDK made as long as it liked is claimed all the same.
INSERT INTO dbos.workflow_status (workflow_uuid, status, name, queue_name, application_name) VALUES (repeat('i', 600), 'ENQUEUED', 'w', 'long', 'shop');
SELECT length(id) FROM dbos_sys.claim('shop', 'e1', 'i1', 'v1', 't-long', '{long}', '{1}', '{w}', '{""}', '{1}');
SELECT length(id), attempts FROM dbos_sys.load(ARRAY[repeat('i', 600)], '{t-long}');
