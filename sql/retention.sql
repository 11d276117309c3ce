-- Retention policies: which of them governs a workflow, and what is refused.
\set SHOW_CONTEXT never
\set ECHO errors
\getenv root PG_ABS_SRCDIR
\set setup :root /sql/include/setup.psql
\i :setup
\set ECHO all

SELECT dbos_sys.retain('30 days', application => 'shop');
SELECT dbos_sys.retain('7 days', workflow => 'order*');
SELECT dbos_sys.retain('1 day', workflow => 'order_paid*', keep_rows => 10);
SELECT dbos_sys.retain('2 days', workflow => 'order_paid');
SELECT dbos_sys.retain(workflow => 'audit');
SELECT dbos_sys.retain('90 days', application => 'shop', status => 'ERROR');
SELECT dbos_sys.retain('5 minutes', queue => 'mail');
SELECT dbos_sys.retain(cancel_after => '10 days', queue => 'mail', application => 'shop');
SELECT dbos_sys.retain('365 days', workflow => '**', force => true);
SELECT * FROM dbos_sys.retention();
-- The same selectors again replace the policy.
SELECT dbos_sys.retain('6 days', 100, workflow => 'order*');
SELECT keep, keep_rows FROM dbos_sys.retention() WHERE workflow = 'order*';
-- What it was is told, unless that is the same.
SELECT dbos_sys.retain('6 days', 100, workflow => 'order*');
SELECT dbos_sys.retain(workflow => 'order*', cancel_after => '3 days');
SELECT dbos_sys.retain('7 days', workflow => 'order*', archive => true);
-- Names that nothing here has may be misspelt; it is the policy all the same.
INSERT INTO dbos.workflow_status (workflow_uuid, status, name, application_name) VALUES ('known', 'SUCCESS', 'pay%_out', 'bank');
SELECT FROM dbos_sys.register_queue('bills');
SELECT dbos_sys.retain('1 day', application => 'bank', queue => 'bills', workflow => 'pay%_out');
SELECT dbos_sys.retain('1 day', application => 'bank', workflow => 'pay*');
SELECT dbos_sys.retain('1 day', application => 'bonk', queue => 'bils', workflow => 'pay%_ou_');
SELECT dbos_sys.drop_retention(application => 'bank', queue => 'bills', workflow => 'pay%_out'), dbos_sys.drop_retention(application => 'bank', workflow => 'pay*'),
  dbos_sys.drop_retention(application => 'bonk', queue => 'bils', workflow => 'pay%_ou_');
DELETE FROM dbos.workflow_status;
SELECT dbos_sys.retain('6 days', 100, workflow => 'order*');

-- The most specific governs: the whole name before a pattern, the longer pattern, then queue, application, status.
SELECT c.name, c.queue, c.application, c.status, r.workflow, r.queue_name AS by_queue, r.application_name AS by_application, r.status AS by_status,
  r.keep_ms / 60000 AS minutes
FROM (VALUES ('order_paid', 'mail', 'shop', 'ERROR'), ('order_paid_2', NULL, 'shop', 'SUCCESS'), ('orderXpaid', NULL, NULL, 'SUCCESS'),
  ('order', NULL, NULL, 'SUCCESS'), ('border', 'mail', 'shop', 'ERROR'), ('border', NULL, 'shop', 'ERROR'), ('border', NULL, 'shop', 'SUCCESS'),
  ('audit', 'mail', 'shop', 'ERROR'), (NULL, NULL, NULL, 'SUCCESS'), ('Order', NULL, '', 'CANCELLED')) AS c(name, queue, application, status)
LEFT JOIN dbos_ops.retention_policies AS r ON r.id = dbos_sys.retention_of(true, c.name, c.queue, c.application, c.status);
-- What cancels is looked up apart: the policy of a name that only keeps does not hide it.
SELECT r.queue_name, r.cancel_after_ms FROM dbos_ops.retention_policies AS r WHERE r.id = dbos_sys.retention_of(false, 'audit', 'mail', 'shop', 'PENDING');
SELECT dbos_sys.retention_of(false, 'audit', 'mail', 'other', 'PENDING') IS NULL AS none;
-- Letters that LIKE reads otherwise stand for themselves.
SELECT dbos_sys.retention_like('100%_\*'), 'x' LIKE dbos_sys.retention_like('_*') AS underscore, 'a%b' LIKE dbos_sys.retention_like('*%*') AS percent;

-- Gone; what it governed is governed by the next.
SELECT dbos_sys.drop_retention(workflow => 'order_paid');
SELECT r.workflow FROM dbos_ops.retention_policies AS r WHERE r.id = dbos_sys.retention_of(true, 'order_paid', NULL, NULL, 'SUCCESS');
SELECT dbos_sys.drop_retention();
SELECT dbos_sys.drop_retention();
\echo :LAST_ERROR_SQLSTATE

-- Timeouts: what has not ended so long after it was created is cancelled; what ended, or is younger, stays.
SELECT FROM dbos_sys.retain(cancel_after => '1 h', workflow => 'slow');
SELECT FROM dbos_sys.retain(cancel_after => '2 h', workflow => 'slow', application => 'patient');
INSERT INTO dbos.workflow_status (workflow_uuid, status, name, application_name, queue_name, created_at, completed_at)
SELECT format('%s-%s-%s', s.status, a.application, m.minutes), s.status, 'slow', a.application, 'q', 1800000000000 - 60000 * m.minutes,
  CASE WHEN s.status = 'SUCCESS' THEN 1800000000000 END
FROM (VALUES ('PENDING'), ('ENQUEUED'), ('DELAYED'), ('SUCCESS')) AS s(status), (VALUES ('shop'), ('patient')) AS a(application), (VALUES (60), (59), (120)) AS m(minutes);
SELECT dbos_sys.timeout_batch(4), dbos_sys.timeout_batch(1000), dbos_sys.timeout_batch(1000);
SELECT workflow_uuid, completed_at FROM dbos.workflow_status WHERE status = 'CANCELLED' ORDER BY 1;

-- Refused.
\set VERBOSITY default
SELECT dbos_sys.retain('-1 day', workflow => 'w');
SELECT dbos_sys.retain('40000 days', workflow => 'w');
SELECT dbos_sys.retain('1 month', workflow => 'w');
SELECT dbos_sys.retain('178000000 years', workflow => 'w');
SELECT dbos_sys.retain('0 s', workflow => 'w');
SELECT dbos_sys.retain('59 s', workflow => 'w');
SELECT dbos_sys.retain(keep_rows => -1, workflow => 'w');
SELECT dbos_sys.retain(keep_rows => 0, workflow => 'w');
SELECT dbos_sys.retain(keep_rows => 10000001, workflow => 'w', force => true);
SELECT dbos_sys.retain('1 day');
SELECT dbos_sys.retain('1 day', workflow => '*');
SELECT dbos_sys.retain(cancel_after => '0 s', workflow => 'w');
SELECT dbos_sys.retain(cancel_after => '59 s', workflow => 'w');
SELECT dbos_sys.retain(cancel_after => '1 day');
SELECT dbos_sys.retain(cancel_after => '1 day', status => 'ERROR');
SELECT dbos_sys.retain('1 day', status => 'PENDING');
SELECT dbos_sys.retain('1 day', queue => ' ');
SELECT dbos_sys.retain('1 day', workflow => repeat('w', 256));
SELECT count(*) FROM dbos_sys.retention() WHERE workflow = 'w';
-- What is meant may be short: the second thought is `force`.
SELECT dbos_sys.retain('0 s', keep_rows => 0, cancel_after => '1 s', workflow => 'w', force => true);
-- Without the tables.
BEGIN;
DROP TABLE dbos_ops.prune_marks;
SELECT dbos_sys.retain('1 day', workflow => 'w');
ROLLBACK;
\echo :LAST_ERROR_SQLSTATE
