-- Our own tables: ordinary ones of the owner of schema dbos, which DROP EXTENSION leaves and dumps carry.
\set SHOW_CONTEXT never
\set ECHO errors
\getenv root PG_ABS_SRCDIR
\set setup :root /sql/include/setup.psql
\i :setup
\set ECHO all

SELECT t.table_name, c.relkind, c.relpersistence, c.relowner = n.nspowner AS of_the_owner,
  EXISTS (SELECT FROM pg_depend AS d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e') AS is_member
FROM dbos_sys.ops_tables() AS t JOIN pg_class AS c ON c.oid = ('dbos_ops.' || t.table_name)::regclass, pg_namespace AS n
WHERE n.nspname = 'dbos' ORDER BY 1;
-- An executor is (application, id), once; a server has one ticker.
INSERT INTO dbos_ops.executors (application_name, executor_id, incarnation, lease_ms, started_at, last_seen) VALUES ('shop', 'e1', 'i2', 1000, 1, 1);
INSERT INTO dbos_ops.executors (application_name, executor_id, incarnation, lease_ms, started_at, last_seen) VALUES ('other', 'e1', 'i2', 1000, 1, 1);
DELETE FROM dbos_ops.ticker;
INSERT INTO dbos_ops.ticker (last_tick) VALUES (1);
INSERT INTO dbos_ops.ticker (last_tick) VALUES (2);
INSERT INTO dbos_ops.ticker (one) VALUES (false);
SELECT count(*) FROM dbos_ops.ticker;
-- install() makes the one that is missing, and leaves the rows of the others.
BEGIN;
DROP TABLE dbos_ops.ticker;
SELECT * FROM dbos_sys.verify();
SELECT dbos_sys.install() IS NOT NULL AS installed;
SELECT * FROM dbos_sys.verify();
SELECT application_name, executor_id FROM dbos_ops.executors ORDER BY 1, 2;
ROLLBACK;
