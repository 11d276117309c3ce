-- Time comes from the server, and from the setting when a test sets it; ids are time-ordered UUIDs.
\set SHOW_CONTEXT never
\set ECHO errors
\getenv root PG_ABS_SRCDIR
\set setup :root /sql/include/setup.psql
\i :setup
\set ECHO all

SELECT dbos_sys.now_ms();
SET dbos_sys.fake_now = '';
SELECT abs(dbos_sys.now_ms() - EXTRACT(epoch FROM clock_timestamp()) * 1000) < 60000 AS is_now;
-- Settings in ms, with or without the library.
SELECT dbos_sys.setting_ms('grace', '2s'), dbos_sys.setting_ms('reconnect_backoff', '90s'), dbos_sys.setting_ms('no_such_setting', '1min'), dbos_sys.setting_ms('no_such_setting', '90000') AS bare;
-- Version 7, variant 10, and ids made one after the other sort so.
SELECT bool_and(i.id ~ '^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$') AS version_7, count(DISTINCT i.id)
FROM (SELECT dbos_sys.new_id() AS id FROM generate_series(1, 1000)) AS i;
SELECT abs(('x' || lpad(left(replace(dbos_sys.new_id(), '-', ''), 12), 16, '0'))::bit(64)::bigint - dbos_sys.now_ms()) < 60000 AS id_has_the_time;
DO $$
DECLARE
  v_last text := dbos_sys.new_id();
  v_next text;
BEGIN
  FOR i IN 1 .. 100 LOOP
    PERFORM pg_sleep(0.00001);
    v_next := dbos_sys.new_id();
    IF v_next COLLATE "C" <= v_last THEN
      RAISE EXCEPTION '% after %', v_next, v_last;
    END IF;
    v_last := v_next;
  END LOOP;
END;
$$;
