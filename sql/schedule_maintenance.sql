-- Jobs of pg_cron: what is said where it is not. How they run is shown by the suite `retention`.
\set SHOW_CONTEXT never
\set ECHO errors
\getenv root PG_ABS_SRCDIR
\set setup :root /sql/include/setup.psql
\i :setup
\set ECHO all

SELECT * FROM dbos_sys.schedule_maintenance();
\echo :LAST_ERROR_SQLSTATE
SELECT dbos_sys.unschedule_maintenance();
\echo :LAST_ERROR_SQLSTATE
SELECT * FROM dbos_sys.schedule_maintenance(database => 'nowhere');
\echo :LAST_ERROR_SQLSTATE
SELECT * FROM dbos_sys.schedule_maintenance('');
SELECT * FROM dbos_sys.schedule_maintenance(NULL);
SELECT * FROM dbos_sys.schedule_maintenance('* * * *');
SELECT * FROM dbos_sys.schedule_maintenance('* * * * * *');
SELECT * FROM dbos_sys.schedule_maintenance(budget => '0 s');
SELECT * FROM dbos_sys.schedule_maintenance(budget => '-1 s');
SELECT * FROM dbos_sys.schedule_maintenance(budget => '1 month');
SELECT * FROM dbos_sys.schedule_maintenance(database => NULL);
