-- Settings of the library: who may change them.
\set SHOW_CONTEXT never
\set ECHO errors
\getenv root PG_ABS_SRCDIR
\set setup :root /sql/include/setup.psql
\i :setup
\set ECHO all

-- Whoever is no superuser cannot turn the clock.
CREATE ROLE regress_clock;
SET ROLE regress_clock;
SET dbos_sys.fake_now = '1';
RESET ROLE;
DROP ROLE regress_clock;
