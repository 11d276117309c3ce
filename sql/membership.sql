-- The tables are no members of the extension: dumps carry them, and an SDK's migrations may drop and replace.
\set SHOW_CONTEXT never
CREATE DATABASE regress_membership TEMPLATE template0 ENCODING 'UTF8' LOCALE 'C';
\c regress_membership
CREATE EXTENSION dbos_sys;
SELECT dbos_sys.install();

-- Objects that someone made members of an extension would be missing from dumps.
BEGIN;
ALTER EXTENSION dbos_sys ADD TABLE dbos.workflow_status;
SELECT * FROM dbos_sys.verify();
SELECT dbos_sys.install();
ROLLBACK;
\echo :LAST_ERROR_SQLSTATE

-- The extension's end leaves the tables, and the schema of its name to whoever drops it.
DROP EXTENSION dbos_sys;
SELECT to_regclass('dbos.workflow_status') IS NOT NULL AS kept, to_regclass('dbos_ops.executors') IS NOT NULL AS ours;
DROP SCHEMA dbos_sys;

\c postgres
DROP DATABASE regress_membership;
