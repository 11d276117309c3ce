-- Wake-ups and waits: what a waiter looks at, and what it refuses. test/worker wakes real waiters.
\set SHOW_CONTEXT never
\set ECHO errors
\getenv root PG_ABS_SRCDIR
\set setup :root /sql/include/setup.psql
\i :setup
\set ECHO all

SET client_min_messages = error;
-- Work waits while a workflow is ENQUEUED on one of the queues, and only then.
SELECT dbos_sys.work_waits('{q}'), dbos_sys.work_waits('{}');
SELECT dbos_sys.start('w', p_id => 'a', p_queue => 'q'), dbos_sys.start('w', p_id => 'later', p_queue => 'slow', p_options => '{"delay_ms": 1000}');
SELECT dbos_sys.work_waits('{other,q}'), dbos_sys.work_waits('{other,slow}');
CALL dbos_sys.wait_for_work('{q}', '0');
CALL dbos_sys.wait_for_work('{slow}', '0');
SELECT id FROM dbos_sys.claim('shop', 'e1', 'i1', 'v1', 't', '{q}', '{1}', '{w}', '{""}', '{1}');
SELECT dbos_sys.work_waits('{q}');
-- A wait tells what it found: the outcome, the present status, or nothing.
CALL dbos_sys.await('a', '0');
SELECT * FROM pg_temp.trip('[{"id": "a", "token": "t", "status": "SUCCESS", "output": "1"}]');
CALL dbos_sys.await('a', '0');
CALL dbos_sys.await('nobody', '0');

-- Bad input.
SELECT dbos_sys.work_waits(NULL);
SELECT dbos_sys.work_waits(ARRAY['q', NULL]);
