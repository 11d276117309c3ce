-- What prune() would do, told before: the same that it then does.
\set SHOW_CONTEXT never
\set ECHO errors
\getenv root PG_ABS_SRCDIR
\set setup :root /sql/include/setup.psql
\i :setup
\set ECHO all

SELECT FROM dbos_sys.retain('1 day', workflow => 'w', cancel_after => '10 days');
SELECT FROM dbos_sys.retain(cancel_after => '1 hour', workflow => 'v', application => 'shop');
SELECT FROM dbos_sys.retain(keep_rows => 1, workflow => 'u', archive => true);
SELECT FROM dbos_sys.retain(workflow => 'stays');
-- Ended long ago, without a time and with one; not ended, too old and not; a child that is asked for.
INSERT INTO dbos.workflow_status (workflow_uuid, status, name, application_name, parent_workflow_id, created_at, updated_at, completed_at) VALUES
  ('w1', 'SUCCESS', 'w', NULL, NULL, 1799000000000, 1799000000000, NULL), ('w2', 'ERROR', 'w', NULL, NULL, 1799000000000, 1799000000001, 1799000000001),
  ('w3', 'RETRIES_EXCEEDED', 'w', NULL, NULL, 1798000000000, 1798000000000, NULL), ('w4', 'SUCCESS', 'w', NULL, NULL, 1799999999999, 1799999999999, NULL),
  ('w5', 'SUCCESS', 'w', NULL, 'w6', 1799000000000, 1799000000000, NULL), ('w6', 'PENDING', 'w', NULL, NULL, 1799999999999, 1799999999999, NULL),
  ('w7', 'PENDING', 'w', NULL, NULL, 1799000000000, 1799000000000, NULL), ('w8', 'DELAYED', 'w', NULL, NULL, 1799200000000, 1799200000000, NULL),
  ('v1', 'ENQUEUED', 'v', 'shop', NULL, 1799990000000, 1799990000000, NULL), ('v2', 'ENQUEUED', 'v', 'other', NULL, 1799990000000, 1799990000000, NULL),
  ('v3', 'PENDING', 'v', 'shop', NULL, 1799999000000, 1799999000000, NULL), ('stays', 'SUCCESS', 'stays', NULL, NULL, 1, 1, NULL),
  ('u1', 'SUCCESS', 'u', NULL, NULL, 1, 1, 1799000000000), ('u2', 'SUCCESS', 'u', NULL, NULL, 1, 1, 1799000000001);
INSERT INTO dbos.workflow_input (workflow_uuid, inputs) VALUES ('w1', repeat('x', 1000));
SELECT workflow, application, what, item_count, byte_count, oldest FROM dbos_sys.prune(dry_run => true) WHERE item_count > 0;
SELECT count(*) AS rows, count(*) FILTER (WHERE status = 'CANCELLED') AS cancelled FROM dbos.workflow_status;
CALL dbos_sys.prune();
SELECT workflow_uuid, status FROM dbos.workflow_status ORDER BY 1;
-- What was cancelled has ended now, and not long ago.
SELECT workflow, application, what, item_count FROM dbos_sys.prune(dry_run => true) WHERE item_count > 0;
-- A clock that was a year ahead for a moment does not put the next full look off for a year.
UPDATE dbos_ops.pruner SET full_at = 1830000000000, sweep_at = 1830000000000;
UPDATE dbos.workflow_status SET status = 'SUCCESS', completed_at = 1799000000000 WHERE workflow_uuid = 'w7';
UPDATE dbos.workflow_status SET status = 'SUCCESS' WHERE workflow_uuid = 'w6';
CALL dbos_sys.prune();
SELECT workflow_uuid FROM dbos.workflow_status WHERE name = 'w' ORDER BY 1;
SELECT full_at, sweep_at FROM dbos_ops.pruner;
