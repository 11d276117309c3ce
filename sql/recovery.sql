-- Executors: register, heartbeat, retire, give back, recover; whose runs are put back, and when.
\set SHOW_CONTEXT never
\set ECHO errors
\getenv root PG_ABS_SRCDIR
\set setup :root /sql/include/setup.psql
\i :setup
\set ECHO all

SET client_min_messages = error;
SET dbos_sys.fake_now = '1800000000000';
SELECT application_name, executor_id, incarnation, state, started_at, last_seen, lease_ms, sessions, pending FROM dbos_sys.executors();
SELECT version_name, application_name, version_timestamp FROM dbos.application_versions;
SELECT maintained, extension_version = dbos_sys.version() AS version FROM dbos_sys.register_executor('shop', 'e1', 'i1', 'v1');

-- A second live incarnation of an id is refused while the lease of the first is not over; then it takes over, and its runs are put back at once.
SELECT * FROM pg_temp.trip('[{"id": "a", "new": true}, {"id": "b", "new": true}]');
SELECT dbos_sys.register_executor('shop', 'e1', 'i2', 'v1');
\echo :LAST_ERROR_SQLSTATE
SET dbos_sys.fake_now = '1800000014999';
SELECT dbos_sys.register_executor('shop', 'e1', 'i2', 'v1');
SET dbos_sys.fake_now = '1800000015000';
SELECT now_ms, maintained FROM dbos_sys.register_executor('shop', 'e1', 'i2', 'v1', 20000);
SELECT workflow_uuid AS id, status, queue_name, owner_xid AS owner, recovery_attempts AS n, started_at_epoch_ms AS started FROM dbos.workflow_status ORDER BY 1;
SELECT * FROM pg_temp.trip('[{"id": "new", "new": true}]');
\echo :LAST_ERROR_SQLSTATE
SELECT state FROM dbos_sys.heartbeat('e1', '15 s', 'shop', 'i1');
-- A process that registers once more, as after a lost reply, keeps what it runs.
SELECT * FROM pg_temp.trip('[{"id": "kept", "new": true}]', p_incarnation => 'i2');
SELECT now_ms FROM dbos_sys.register_executor('shop', 'e1', 'i2', 'v1', 20000);
SELECT status, owner_xid FROM dbos.workflow_status WHERE workflow_uuid = 'kept';
DELETE FROM dbos.workflow_status WHERE workflow_uuid = 'kept';
SELECT state, now_ms FROM dbos_sys.heartbeat('e1', '20 s', 'shop', 'i2');
SELECT dbos_sys.held('shop', 'e1', 'i1');
-- A session that is named for its incarnation is a sign of life of its own, whatever the clock says.
SET application_name = 'dbos_sys/i2';
SELECT state FROM dbos_sys.heartbeat('e1', '20 s', 'shop', 'i2');
SET dbos_sys.fake_now = '1800000900000';
SELECT dbos_sys.register_executor('shop', 'e1', 'i3', 'v1');
RESET application_name;
SELECT now_ms FROM dbos_sys.register_executor('shop', 'e1', 'i3', 'v1');
-- Other executors, other applications are left alone.
SELECT now_ms FROM dbos_sys.register_executor('shop', 'e2', 'j1', 'v1');
SELECT now_ms FROM dbos_sys.register_executor('other', 'e1', 'k1', 'other v1');
UPDATE dbos.workflow_status SET status = 'PENDING', owner_xid = 't-' || workflow_uuid, executor_id = CASE workflow_uuid WHEN 'a' THEN 'e1' ELSE 'e2' END, recovery_attempts = 1;

-- held() and give_back(): a claim whose reply was lost is undone, its attempt too.
SELECT * FROM dbos_sys.held('shop', 'e1', 'i3');
-- beat(): heartbeat() and held() in one.
SELECT last_seen, lease_ms FROM dbos_ops.executors WHERE incarnation = 'i3';
SET dbos_sys.fake_now = '1800000901000';
SELECT * FROM dbos_sys.beat('shop', 'e1', 'i3', 'v1', 20000);
SELECT last_seen, lease_ms FROM dbos_ops.executors WHERE incarnation = 'i3';
SELECT * FROM dbos_sys.beat('shop', 'e2', 'j1', 'v1', 15000);
SELECT state, ids, tokens FROM dbos_sys.beat('other', 'e1', 'k1', 'other v1', 15000);
SELECT state, ids, tokens FROM dbos_sys.beat('shop', 'e1', 'i2', 'v1', 15000);
SET dbos_sys.fake_now = '1800000900000';
SELECT state FROM dbos_sys.beat('shop', 'e1', 'i3', 'v1', 15000);
SELECT dbos_sys.give_back('{a,b,x}', '{t-a,wrong,t-x}');
SELECT workflow_uuid AS id, status, queue_name, recovery_attempts AS n FROM dbos.workflow_status ORDER BY 1;
SELECT dbos_sys.give_back('{a}', '{t-a}'), dbos_sys.give_back('{}', '{}');
SELECT executor_id, (SELECT count(*) FROM dbos_sys.held('shop', 'e1', 'i3')) AS held FROM dbos.workflow_status WHERE workflow_uuid = 'a';
SELECT dbos_sys.give_back('{a}', '{}');
-- Attempts do not go below none: an SDK may have written a run that counts none.
UPDATE dbos.workflow_status SET status = 'PENDING', owner_xid = 't-a', executor_id = 'e1', recovery_attempts = 0, started_at_epoch_ms = 1 WHERE workflow_uuid = 'a';
SELECT dbos_sys.give_back('{a}', '{t-a}');
SELECT recovery_attempts, started_at_epoch_ms FROM dbos.workflow_status WHERE workflow_uuid = 'a';

-- A clean shutdown: attempts are not counted; the incarnation has ended.
UPDATE dbos.workflow_status SET status = 'PENDING', owner_xid = 't-' || workflow_uuid, executor_id = 'e2', recovery_attempts = 3, queue_name = CASE workflow_uuid WHEN 'a' THEN 'q' END;
SELECT dbos_sys.retire_executor('shop', 'e2', 'j0');
SELECT dbos_sys.retire_executor('shop', 'e2', 'j1');
SELECT workflow_uuid AS id, status, queue_name, recovery_attempts AS n FROM dbos.workflow_status ORDER BY 1;
SELECT dbos_sys.retire_executor('shop', 'e2', 'j1');
\echo :LAST_ERROR_SQLSTATE
SELECT dbos_sys.register_executor('shop', 'e2', 'j1', 'v1');
\echo :LAST_ERROR_SQLSTATE
SELECT state, ended_why FROM dbos_sys.executors() WHERE executor_id = 'e2';

-- recover(): an operator's command, for executors of every SDK; live ones of ours only by force.
INSERT INTO dbos.workflow_status (workflow_uuid, status, name, executor_id, application_name, application_version, owner_xid, recovery_attempts)
VALUES ('sdk-1', 'PENDING', 'w', 'local', 'ts', 'v1', 'x', 1), ('sdk-2', 'PENDING', 'w', 'local', NULL, 'v2', 'x', 1), ('sdk-3', 'PENDING', 'w', 'local', 'ts', 'v2', 'x', 1);
SELECT dbos_sys.recover('{local}', 'ts', 'v1'), dbos_sys.recover('{local,nobody}', 'ts'), dbos_sys.recover('{local}');
SELECT workflow_uuid, status, queue_name, recovery_attempts, owner_xid FROM dbos.workflow_status WHERE workflow_uuid LIKE 'sdk-%' ORDER BY 1;
UPDATE dbos.workflow_status SET status = 'PENDING', executor_id = 'e1', owner_xid = 't-a' WHERE workflow_uuid = 'a';
SELECT dbos_sys.recover('{e1}', 'shop');
\echo :LAST_ERROR_SQLSTATE
SELECT dbos_sys.recover('{e1}', 'shop', p_force => true);
SELECT state FROM dbos_sys.heartbeat('e1', '15 s', 'shop', 'i3');
SELECT dbos_sys.recover('{}');
SELECT dbos_sys.recover(NULL);
SELECT dbos_sys.recover('{""}');
-- A version or an application that nothing here bears is said, and nothing is done; one that has nothing left is no error.
SELECT dbos_sys.recover('{local}', p_version => 'v9');
\echo :LAST_ERROR_SQLSTATE
SELECT dbos_sys.recover('{local}', 'other', 'v1');
SELECT dbos_sys.recover('{local}', 'tss');
\echo :LAST_ERROR_SQLSTATE
SELECT dbos_sys.recover('{local}', 'other', 'other v1'), dbos_sys.recover('{nobody}', p_version => 'v1');

-- Whose sessions were seen and are gone is recovered by hand before its lease is over.
SET application_name = 'dbos_sys/s1';
SELECT now_ms FROM dbos_sys.register_executor('shop', 's', 's1', 'v1');
SELECT dbos_sys.recover('{s}', 'shop');
RESET application_name;
SELECT dbos_sys.recover('{s}', 'shop');
SELECT state, ended_why FROM dbos_sys.executors() WHERE executor_id = 's';

-- Executors of other SDKs by heartbeats alone: the first begins, a later one revives. Ids repeat among applications: each speaks for its own
-- workflows, and one without an application for those that have none.
UPDATE dbos.workflow_status SET status = 'PENDING', executor_id = 'pod-1' WHERE workflow_uuid LIKE 'sdk-%';
SELECT dbos_sys.heartbeat('pod-1', '10 s');
\echo :LAST_ERROR_SQLSTATE
UPDATE dbos.workflow_status SET status = 'ENQUEUED' WHERE workflow_uuid = 'sdk-1';
SELECT state FROM dbos_sys.heartbeat('pod-1', '10 s', 'ts');
UPDATE dbos.workflow_status SET application_name = 'py' WHERE workflow_uuid = 'sdk-1';
UPDATE dbos.workflow_status SET status = 'ENQUEUED' WHERE workflow_uuid = 'sdk-3';
SELECT state FROM dbos_sys.heartbeat('pod-1', '10 s');
UPDATE dbos.workflow_status SET status = 'PENDING' WHERE workflow_uuid LIKE 'sdk-%';
SELECT application_name, incarnation, state, lease_ms, sessions, pending FROM dbos_sys.executors() WHERE executor_id = 'pod-1';
-- An operator who names no application means all.
SELECT dbos_sys.recover('{pod-1}');
\echo :LAST_ERROR_SQLSTATE
SELECT dbos_sys.recover('{pod-1}', p_force => true);
SELECT workflow_uuid, status FROM dbos.workflow_status WHERE workflow_uuid LIKE 'sdk-%' ORDER BY 1;

-- An id that processes share cannot have heartbeats: the end of one's would take what the other runs.
UPDATE dbos.workflow_status SET status = 'PENDING', executor_id = 'local' WHERE workflow_uuid LIKE 'sdk-%';
SELECT dbos_sys.heartbeat('local', '10 s', 'ts');
\echo :LAST_ERROR_SQLSTATE
SELECT dbos_sys.heartbeat('local');
SELECT count(*) FROM dbos_sys.executors() WHERE executor_id = 'local';

-- Bad input.
SELECT dbos_sys.register_executor(NULL, 'e', 'i', 'v');
SELECT dbos_sys.register_executor('shop', '', 'i', 'v');
SELECT dbos_sys.register_executor('shop', 'e', NULL, 'v');
SELECT dbos_sys.register_executor('shop', 'e', 'i', NULL);
SELECT dbos_sys.register_executor('shop', 'e', 'i', 'v', 0);
SELECT dbos_sys.register_executor('shop', 'e', 'i', 'v', NULL);
SELECT dbos_sys.register_executor('shop', 'e', 'i', 'other v1');
SELECT dbos_sys.heartbeat(NULL);
SELECT dbos_sys.heartbeat('e', '0 s');
SELECT dbos_sys.heartbeat('e', '-1 day');
SELECT dbos_sys.heartbeat('e', '1 mon');
SELECT dbos_sys.heartbeat('e', NULL);
SELECT dbos_sys.heartbeat('e', '178000000 years');
SELECT dbos_sys.heartbeat('e', '15 s', ' ');
SELECT dbos_sys.heartbeat('e', '15 s', p_incarnation => 'i');
SELECT dbos_sys.heartbeat('e', '15 s', 'shop', '');
SELECT dbos_sys.heartbeat('e', '15 s', 'shop', p_version => repeat('v', 256));
SELECT dbos_sys.register_executor('shop', 'e', 'i', 'v', 9223372036854775807);
SELECT dbos_sys.retire_executor(NULL, NULL, NULL);
SELECT dbos_sys.retire_executor('shop', 'e1', '');
SELECT dbos_sys.held(NULL, NULL, NULL);
SELECT dbos_sys.beat('shop', 'e1', NULL, 'v1', 15000);
SELECT dbos_sys.beat('shop', 'e1', 'i3', 'v1', NULL);
SELECT dbos_sys.beat('shop', 'e1', 'i3', 'v1', 999);
SELECT dbos_sys.recover(ARRAY['e1', NULL]);
SELECT dbos_sys.recover('{e1}', p_version => '');
SELECT dbos_sys.give_back(ARRAY['a', NULL], '{t,t}');
SELECT dbos_sys.give_back(ARRAY[''], '{t}');
SELECT dbos_sys.give_back('{a}', ARRAY[' ']);
SELECT dbos_sys.give_back('{{a}}', '{t}');
SELECT dbos_sys.give_back(NULL, NULL);
SELECT count(*) FROM dbos_sys.executors() WHERE executor_id = 'e';
-- Nor under an older snapshot.
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT dbos_sys.register_executor('shop', 'e', 'i', 'v');
ROLLBACK;
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT dbos_sys.retire_executor('shop', 'e1', 'i3');
ROLLBACK;
BEGIN ISOLATION LEVEL SERIALIZABLE;
SELECT dbos_sys.recover('{e1}', 'shop');
ROLLBACK;
