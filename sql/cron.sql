-- Cron: the answers of the official SDK, and what is refused in which words.
\set SHOW_CONTEXT never
\set ECHO errors
\getenv root PG_ABS_SRCDIR
\set setup :root /sql/include/setup.psql
\i :setup
CREATE TEMP TABLE cron_cases (cron text, zone text, after timestamptz, expected text);
\set cases :root /sql/include/cron_cases.psql
\i :cases
CREATE FUNCTION pg_temp.answer(p_cron text, p_zone text, p_after timestamptz, p_count integer) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
  RETURN (SELECT '{' || COALESCE(string_agg(dbos_sys.iso_time(t.at), ',' ORDER BY t.at), '') || '}'
    FROM dbos_sys.cron_instants(p_cron, p_zone, (EXTRACT(epoch FROM p_after) * 1000)::bigint, 7289654400000, GREATEST(p_count, 1)) AS t(at));
EXCEPTION WHEN SQLSTATE 'WF001' THEN
  RETURN 'error';
END;
$$;
\set ECHO all

-- Each row as the SDK answered: texts that it refuses, and times in zones whose clocks change.
SELECT count(*) >= 500 AS many, count(*) FILTER (WHERE expected = 'error') AS refused FROM cron_cases;
SELECT c.cron, c.zone, c.after AT TIME ZONE 'UTC' AS after, c.expected, a.answer
FROM cron_cases AS c, LATERAL pg_temp.answer(c.cron, c.zone, c.after, cardinality(string_to_array(btrim(c.expected, '{}'), ','))) AS a(answer)
WHERE a.answer <> c.expected;

-- In words: what is skipped in Paris on 29 March 2026 does not fire, what is repeated on 25 October fires twice.
SET TIME ZONE 'Europe/Paris';
SELECT * FROM dbos_sys.cron_times('30 2 * * *', 'Europe/Paris', '2026-03-28 12:00', 2);
SELECT * FROM dbos_sys.cron_times('30 2 * * *', 'Europe/Paris', '2026-10-24 12:00', 3);
SET TIME ZONE 'UTC';
-- From now on, in UTC, five times.
SELECT * FROM dbos_sys.cron_times('@hourly');
-- Whether a zone matters.
SELECT c.cron, dbos_sys.cron_needs_zone(c.cron) FROM (VALUES ('* * * * *'), ('*/5 * * * *'), ('*/15 * * * * *'), ('0 * * * *'), ('*/20 * * * *'),
  ('*/5 9-17 * * *'), ('* * * * 1-5'), ('* * 1 * *'), ('* * * 6 *'), ('* * ? * ?')) AS c(cron);

-- Refused.
SELECT dbos_sys.cron_times(NULL);
SELECT dbos_sys.cron_times('');
SELECT dbos_sys.cron_times('   ');
SELECT dbos_sys.cron_times('* * * *');
SELECT dbos_sys.cron_times('* * * * * * *');
SELECT dbos_sys.cron_times('60 * * * *');
SELECT dbos_sys.cron_times('0 24 * * *');
SELECT dbos_sys.cron_times('0 0 32 * *');
SELECT dbos_sys.cron_times('0 0 * 13 *');
SELECT dbos_sys.cron_times('0 0 * * FOO');
SELECT dbos_sys.cron_times('61 0 0 * * *');
SELECT dbos_sys.cron_times('0 0 31 4,6 *');
SELECT dbos_sys.cron_times('0 0 1	* *');
SELECT dbos_sys.cron_times('0 0 1 * *; DROP TABLE x');
SELECT dbos_sys.cron_times('@reboot');
SELECT dbos_sys.cron_times('0-4294967296 * * * *');
SELECT dbos_sys.cron_times(repeat('1,', 40) || '1 * * * x');
SELECT dbos_sys.cron_times('* * * * *', 'Europe/Pariss');
SELECT dbos_sys.cron_times('* * * * *', '');
SELECT dbos_sys.cron_times('* * * * *', NULL);
SELECT dbos_sys.cron_times('* * * * *', 'UTC+5');
SELECT dbos_sys.cron_times('* * * * *', 'posix/Europe/Paris');
SELECT dbos_sys.cron_times('* * * * *', p_count => 0);
SELECT dbos_sys.cron_times('* * * * *', p_count => 10001);
SELECT dbos_sys.cron_times('* * * * *', p_after => 'infinity');
SELECT dbos_sys.cron_times('* * * * *', p_after => '1999-01-01 00:00+00');
-- A zone as PostgreSQL writes it.
SELECT dbos_sys.check_zone('europe/paris');
