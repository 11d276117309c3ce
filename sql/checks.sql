-- Argument checks name the argument, show the value and say what is allowed.
\set SHOW_CONTEXT never
\set ECHO errors
\getenv root PG_ABS_SRCDIR
\set setup :root /sql/include/setup.psql
\i :setup
\set ECHO all

SELECT dbos_sys.check_text('queue', NULL);
SELECT dbos_sys.check_text('queue', '');
SELECT dbos_sys.check_text('queue', E' \t\n');
SELECT dbos_sys.check_text('queue', repeat('q', 256));
SELECT dbos_sys.check_text('workflow id', repeat('i', 100000));
SELECT dbos_sys.check_text('workflow id', repeat('i', 512)), dbos_sys.check_text('queue', ' keeps its blanks ');
SELECT dbos_sys.check_texts('workflow name', ARRAY['a', NULL]);
SELECT dbos_sys.check_ids('workflow id', ARRAY['b', 'a', 'b', '%''"; DROP TABLE x; --']);
SELECT dbos_sys.check_ids('workflow id', NULL);
SELECT dbos_sys.check_ids('workflow id', '{}');
SELECT dbos_sys.check_ids('workflow id', ARRAY['a', NULL]);
SELECT dbos_sys.check_ids('workflow id', ARRAY[['a'], ['b']]);
SELECT dbos_sys.check_span('delay', -1), dbos_sys.check_span('delay', 0);
SELECT dbos_sys.check_span('timeout', 0);
SELECT dbos_sys.check_span('timeout', 9223372036854775807);
SELECT dbos_sys.check_span('timeout', 3155760000000), dbos_sys.check_span('delay', 0, true), dbos_sys.check_span('delay', NULL);
SELECT dbos_sys.check_time('deadline', 1800000000);
SELECT dbos_sys.check_time('deadline', 1800000000000000);
SELECT dbos_sys.check_time('deadline', -9223372036854775808);
SELECT dbos_sys.check_time('deadline', 1800000000000);
SELECT dbos_sys.interval_ms('lease', '15 s'), dbos_sys.interval_ms('lease', '1 day 00:00:00.5');
SELECT dbos_sys.interval_ms('lease', '1 mon');
SELECT dbos_sys.interval_ms('lease', NULL);
SELECT dbos_sys.check_payloads('input', ARRAY['x', NULL, repeat('x', 67108864)]);
SELECT dbos_sys.check_payloads('input', ARRAY['x', NULL, repeat('x', 67108865)]);
-- Arrays that go together: flat, counted from 1, no element NULL or blank.
SELECT dbos_sys.shape(NULL::integer[]), dbos_sys.shape('{}'::text[]), dbos_sys.shape('{1,2}'::integer[]), dbos_sys.shape('[2:3]={1,2}'::integer[]), dbos_sys.shape('{{1},{2}}'::integer[]);
SELECT dbos_sys.check_list('queue', '{}'), dbos_sys.check_list('queue', ARRAY['a', repeat('b', 10000)]);
SELECT dbos_sys.check_list('queue', NULL);
SELECT dbos_sys.check_list('queue', ARRAY['a', NULL]);
SELECT dbos_sys.check_list('queue', ARRAY['a', E'\n']);
SELECT dbos_sys.check_list('queue', '[0:1]={a,b}');
SELECT dbos_sys.check_keys('{a}', NULL);
SELECT dbos_sys.check_keys('{a}', '{t,u}');
SELECT dbos_sys.check_lease(1000), dbos_sys.check_lease(86400000);
SELECT dbos_sys.check_lease(999);
SELECT dbos_sys.check_lease(NULL);
