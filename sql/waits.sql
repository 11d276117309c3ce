-- What the waits refuse. Those of the plain script say it in other words.
\set SHOW_CONTEXT never
\set ECHO errors
\getenv root PG_ABS_SRCDIR
\set setup :root /sql/include/setup.psql
\i :setup
\set ECHO all

-- A wait inside a transaction would hold vacuum back.
BEGIN;
CALL dbos_sys.wait_for_work('{q}', '0');
ROLLBACK;
\echo :LAST_ERROR_SQLSTATE
BEGIN;
CALL dbos_sys.await('a', '0');
ROLLBACK;
\echo :LAST_ERROR_SQLSTATE

-- Bad input.
CALL dbos_sys.wait_for_work(ARRAY[''], '0');
\echo :LAST_ERROR_SQLSTATE
CALL dbos_sys.wait_for_work(ARRAY['q', ' '], '0');
CALL dbos_sys.wait_for_work('{{q}}', '0');
CALL dbos_sys.wait_for_work(ARRAY['q', NULL], '0');
CALL dbos_sys.wait_for_work('{}', '0');
CALL dbos_sys.wait_for_work(NULL, '0');
CALL dbos_sys.wait_for_work('{q}', NULL);
CALL dbos_sys.wait_for_work('{q}', '178000000 years');
CALL dbos_sys.wait_for_work('{q}', '2147483647 days');
CALL dbos_sys.await('', '0');
CALL dbos_sys.await(NULL, '0');
CALL dbos_sys.await(repeat('i', 513), '0');
CALL dbos_sys.await('a', '-1 s');
