-- register_queue(), alter_queue(), pause_queue(), resume_queue(), drop_queue(), queues(): upstream's row and rules, and ours.
\set SHOW_CONTEXT never
\set ECHO errors
\getenv root PG_ABS_SRCDIR
\set setup :root /sql/include/setup.psql
\i :setup
\set ECHO all

SELECT dbos_sys.register_queue('orders');
SELECT dbos_sys.register_queue('mail', '{"concurrency": 10, "worker_concurrency": 5, "rate_limit_max": 100, "rate_limit_period_sec": 1.5, "polling_interval_sec": 0.1, "application_name": "shop"}');
SELECT * FROM dbos_sys.queues() \gx
SELECT priority_enabled, partition_queue FROM dbos.queues;
-- Again: replaced, or kept on request; its owner stays.
SELECT dbos_sys.register_queue('mail', '{"concurrency": 3, "application_name": "shop"}');
SELECT dbos_sys.register_queue('mail', '{"concurrency": 4, "on_conflict": "never_update"}');
SELECT concurrency, worker_concurrency, application_name FROM dbos_sys.queues() WHERE name = 'mail';
SELECT dbos_sys.register_queue('mail', '{"concurrency": 4, "application_name": "other"}');
SELECT dbos_sys.register_queue('orders', '{"application_name": "shop"}');
SELECT name, application_name, concurrency FROM dbos_sys.queues();
SELECT dbos_sys.drop_queue('mail');
SELECT dbos_sys.drop_queue('mail');
SELECT name FROM dbos_sys.queues();

-- Bad input.
SELECT dbos_sys.register_queue(NULL);
SELECT dbos_sys.register_queue('');
SELECT dbos_sys.register_queue('_dbos_mine');
SELECT dbos_sys.register_queue('q', NULL);
SELECT dbos_sys.register_queue('q', '{"limit": 1}');
SELECT dbos_sys.register_queue('q', '{"concurrency": 0}');
SELECT dbos_sys.register_queue('q', '{"concurrency": -5}');
SELECT dbos_sys.register_queue('q', '{"concurrency": 2147483648}');
SELECT dbos_sys.register_queue('q', '{"worker_concurrency": 5, "concurrency": 2}');
SELECT dbos_sys.register_queue('q', '{"rate_limit_max": 5}');
SELECT dbos_sys.register_queue('q', '{"rate_limit_max": 5, "rate_limit_period_sec": 0}');
SELECT dbos_sys.register_queue('q', '{"rate_limit_max": 5, "rate_limit_period_sec": "NaN"}');
SELECT dbos_sys.register_queue('q', '{"polling_interval_sec": -1}');
SELECT dbos_sys.register_queue('q', '{"partition_concurrency": 0}');
SELECT dbos_sys.register_queue('q', '{"partition_concurrency": 3, "concurrency": 2}');
SELECT dbos_sys.register_queue('q', '{"partition_worker_concurrency": 3, "partition_concurrency": 2}');
SELECT dbos_sys.register_queue('q', '{"partition_worker_concurrency": 3, "worker_concurrency": 2}');
SELECT dbos_sys.register_queue('q', '{"partition_worker_concurrency": 3, "concurrency": 2}');
SELECT dbos_sys.register_queue('q', '{"partition_rate_limit_max": 3}');
SELECT dbos_sys.register_queue('q', '{"partition_rate_limit_period_sec": 3}');
SELECT dbos_sys.register_queue('q', '{"partition_rate_limit_max": 3, "partition_rate_limit_period_sec": -1}');
SELECT dbos_sys.register_queue('q', '{"fair_by_partition": "yes"}');
SELECT dbos_sys.register_queue('q', '{"weights": {"a": 2}}');
SELECT dbos_sys.register_queue('q', '{"fair_by_partition": true, "weights": [1]}');
SELECT dbos_sys.register_queue('q', '{"fair_by_partition": true, "weights": {"a": 0}}');
SELECT dbos_sys.register_queue('q', '{"fair_by_partition": true, "weights": {"a": -1}}');
SELECT dbos_sys.register_queue('q', '{"fair_by_partition": true, "weights": {"a": "NaN"}}');
SELECT dbos_sys.register_queue('q', '{"fair_by_partition": true, "weights": {"a": null}}');
SELECT dbos_sys.register_queue('q', '{"fair_by_partition": true, "weights": {" ": 1}}');
SELECT dbos_sys.register_queue('q', '{"on_conflict": "update_if_latest_version"}');
SELECT dbos_sys.register_queue('q', '{"on_conflict": "maybe"}');
SELECT count(*) FROM dbos_sys.queues() WHERE name = 'q';
SELECT dbos_sys.register_queue('q', '{"application_name": 5}');
SELECT dbos_sys.register_queue('q', '{"application_name": null}');
SELECT dbos_sys.register_queue('q', '{"concurrency": 1.0}');
SELECT dbos_sys.register_queue('q', '{"rate_limit_max": 1, "rate_limit_period_sec": 1e-400}');
SELECT dbos_sys.register_queue('q', '{"polling_interval_sec": 1e400}');
SELECT count(*) FROM dbos_sys.queues() WHERE name = 'q';

-- Limits per partition make a queue partitioned, and so does fairness, which upstream's row does not know.
SELECT dbos_sys.register_queue('parts', '{"concurrency": 20, "partition_concurrency": 4, "partition_worker_concurrency": 2, "partition_rate_limit_max": 7, "partition_rate_limit_period_sec": 60}');
SELECT dbos_sys.register_queue('fair', '{"fair_by_partition": true, "weights": {"gold": 3, "silver": 1.5}}');
SELECT name, partitioned, partition_concurrency AS pc, partition_worker_concurrency AS pwc, partition_rate_limit_max AS pr,
  partition_rate_limit_period_sec AS pps, fair_by_partition AS fair, weights, paused FROM dbos_sys.queues() WHERE name IN ('parts', 'fair');
SELECT name, partition_queue FROM dbos.queues WHERE name IN ('parts', 'fair') ORDER BY 1;
-- update_if_latest_version, as an application says it.
INSERT INTO dbos.application_versions (version_id, version_name, version_timestamp, application_name) VALUES ('x', 'v2', 1900000000000, 'shop');
SELECT dbos_sys.register_queue('parts', '{"concurrency": 5, "on_conflict": "update_if_latest_version", "application_name": "shop", "application_version": "v1"}');
SELECT concurrency FROM dbos_sys.queues() WHERE name = 'parts';
SELECT dbos_sys.register_queue('parts', '{"concurrency": 6, "on_conflict": "update_if_latest_version", "application_name": "shop", "application_version": "v2"}');
SELECT concurrency, application_name, partitioned FROM dbos_sys.queues() WHERE name = 'parts';

-- alter_queue(): what is named changes, null clears; the rest is judged with what stands.
SELECT dbos_sys.alter_queue('fair', '{"concurrency": 9, "partition_concurrency": 3}');
SELECT dbos_sys.alter_queue('fair', '{"partition_concurrency": null}');
SELECT concurrency, partition_concurrency, fair_by_partition, weights, polling_interval_sec FROM dbos_sys.queues() WHERE name = 'fair';
SELECT dbos_sys.alter_queue('fair', '{"worker_concurrency": 10}');
SELECT dbos_sys.alter_queue('fair', '{"rate_limit_period_sec": 1}');
SELECT dbos_sys.alter_queue('fair', '{"fair_by_partition": null}');
SELECT partitioned, fair_by_partition, weights, concurrency FROM dbos_sys.queues() WHERE name = 'fair';
SELECT dbos_sys.alter_queue('parts', '{"concurrency": 3, "application_name": "other"}');
SELECT dbos_sys.alter_queue('nowhere', '{"concurrency": 3}');
SELECT dbos_sys.alter_queue('parts', '{"on_conflict": "never_update"}');
SELECT dbos_sys.alter_queue('parts', '[]');
SELECT dbos_sys.alter_queue(NULL, '{}');

-- A queue may be partitioned without any other option, as other SDKs make them; no change of something else takes that away.
INSERT INTO dbos.queues (name, partition_queue, concurrency) VALUES ('by-flag', true, 1);
SELECT dbos_sys.alter_queue('by-flag', '{"concurrency": 2}');
SELECT partitioned, concurrency FROM dbos_sys.queues() WHERE name = 'by-flag';
SELECT dbos_sys.register_queue('flagged', '{"partition_queue": true}');
SELECT dbos_sys.alter_queue('flagged', '{"partition_concurrency": 3}');
SELECT dbos_sys.alter_queue('flagged', '{"rate_limit_max": 3, "rate_limit_period_sec": 1}');
SELECT partitioned, partition_concurrency FROM dbos_sys.queues() WHERE name = 'flagged';
SELECT dbos_sys.alter_queue('flagged', '{"partition_concurrency": null}');
SELECT partitioned FROM dbos_sys.queues() WHERE name = 'flagged';
SELECT dbos_sys.alter_queue('flagged', '{"partition_queue": true}'), dbos_sys.alter_queue('flagged', '{"partition_queue": false}');
SELECT partitioned FROM dbos_sys.queues() WHERE name = 'flagged';
SELECT dbos_sys.register_queue('q', '{"partition_queue": "yes"}');
SELECT dbos_sys.register_queue('q', '{"partition_queue": false, "partition_concurrency": 3}');
-- A fair queue stays partitioned when an SDK, which does not know that, writes its row.
SELECT dbos_sys.register_queue('shared', '{"fair_by_partition": true}');
UPDATE dbos.queues SET partition_queue = false WHERE name = 'shared';
SELECT dbos_sys.start('w', '[]', 'shared-1', 'shared', '{"partition_key": "a"}');
SELECT dbos_sys.start('w', '[]', 'shared-2', 'shared');
SELECT partitioned FROM dbos_sys.queues() WHERE name = 'shared';
SELECT dbos_sys.alter_queue('shared', '{"partition_queue": false}');

-- A pause survives a registration, ours or an SDK's, and gives back the limit of before or what was set meanwhile.
SELECT dbos_sys.pause_queue('parts'), dbos_sys.pause_queue('parts');
SELECT q.concurrency AS in_row, s.concurrency, s.paused FROM dbos.queues AS q JOIN dbos_sys.queues() AS s USING (name) WHERE name = 'parts';
SELECT dbos_sys.register_queue('parts', '{"concurrency": 8}');
SELECT q.concurrency AS in_row, s.concurrency, s.paused FROM dbos.queues AS q JOIN dbos_sys.queues() AS s USING (name) WHERE name = 'parts';
UPDATE dbos.queues SET concurrency = 7 WHERE name = 'parts';
SELECT dbos_sys.delayed_tick();
SELECT q.concurrency AS in_row, s.concurrency, s.paused FROM dbos.queues AS q JOIN dbos_sys.queues() AS s USING (name) WHERE name = 'parts';
SELECT dbos_sys.alter_queue('parts', '{"worker_concurrency": 8}');
SELECT dbos_sys.alter_queue('parts', '{"worker_concurrency": 7}');
SELECT dbos_sys.resume_queue('parts'), dbos_sys.resume_queue('parts');
SELECT q.concurrency AS in_row, s.concurrency, s.paused, s.worker_concurrency FROM dbos.queues AS q JOIN dbos_sys.queues() AS s USING (name) WHERE name = 'parts';
SELECT dbos_sys.pause_queue('fair');
SELECT dbos_sys.alter_queue('fair', '{"concurrency": null}');
SELECT dbos_sys.resume_queue('fair');
SELECT concurrency, paused FROM dbos_sys.queues() WHERE name = 'fair';
-- A queue that an SDK made has no settings of ours until then.
INSERT INTO dbos.queues (name, concurrency) VALUES ('by-sdk', 4);
SELECT dbos_sys.pause_queue('by-sdk');
SELECT q.concurrency AS in_row, s.concurrency, s.paused FROM dbos.queues AS q JOIN dbos_sys.queues() AS s USING (name) WHERE name = 'by-sdk';
SELECT dbos_sys.resume_queue('by-sdk');
SELECT q.concurrency AS in_row, s.concurrency, s.paused FROM dbos.queues AS q JOIN dbos_sys.queues() AS s USING (name) WHERE name = 'by-sdk';
SELECT dbos_sys.pause_queue('nowhere');
SELECT dbos_sys.resume_queue('nowhere');
SELECT dbos_sys.pause_queue('_dbos_internal_queue');
SELECT dbos_sys.pause_queue(NULL);

-- Another application's queue is not paused, resumed or dropped by who says for whom it speaks.
SELECT dbos_sys.pause_queue('parts', 'other');
SELECT dbos_sys.resume_queue('parts', 'other');
SELECT dbos_sys.drop_queue('parts', p_application => 'other');
SELECT dbos_sys.pause_queue('parts', 'shop'), dbos_sys.resume_queue('parts', 'shop');

-- An SDK deletes the row of a queue and nothing else. A queue that bears the name later, an SDK's or ours, has none of the old settings: by
-- its id, whether or not a tick came between, which then forgets them.
CREATE VIEW pg_temp.reborn AS SELECT q.concurrency AS in_row, s.concurrency, s.paused, s.fair_by_partition AS fair, s.weights, s.partitioned
  FROM dbos.queues AS q JOIN dbos_sys.queues() AS s USING (name) WHERE name = 'reborn';
CREATE VIEW pg_temp.kept AS SELECT queue_id IS NOT NULL AS of_a_row, paused, saved_concurrency, fair, weights,
  (SELECT count(*) FROM dbos_ops.queue_walks WHERE queue_name = 'reborn') AS walks FROM dbos_ops.queue_settings WHERE queue_name = 'reborn';
SELECT dbos_sys.register_queue('reborn', '{"concurrency": 3, "fair_by_partition": true, "weights": {"a": 2}}'), dbos_sys.pause_queue('reborn');
INSERT INTO dbos_ops.queue_walks (queue_name) VALUES ('reborn');
TABLE pg_temp.reborn;
DELETE FROM dbos.queues WHERE name = 'reborn';
INSERT INTO dbos.queues (name, concurrency) VALUES ('reborn', 5);
TABLE pg_temp.reborn;
SELECT l.paused, l.partitioned, l.weights FROM dbos_sys.queue_limits('reborn') AS l;
SELECT dbos_sys.start('w', '[]', 'reborn-1', 'reborn');
SELECT dbos_sys.resume_queue('reborn');
TABLE pg_temp.reborn;
SELECT dbos_sys.pause_queue('reborn');
TABLE pg_temp.reborn;
-- The pause is the new one's; ours takes its place.
DELETE FROM dbos.queues WHERE name = 'reborn';
SELECT dbos_sys.register_queue('reborn', '{"concurrency": 6}');
TABLE pg_temp.reborn;
SELECT dbos_sys.alter_queue('reborn', '{"fair_by_partition": true, "weights": {"a": 2}}'), dbos_sys.pause_queue('reborn');
-- A tick with a successor, and without one: who serves the queue takes nothing then.
DELETE FROM dbos.queues WHERE name = 'reborn';
INSERT INTO dbos.queues (name, concurrency) VALUES ('reborn', 7);
SELECT dbos_sys.delayed_tick();
TABLE pg_temp.reborn;
TABLE pg_temp.kept;
SELECT dbos_sys.pause_queue('reborn');
DELETE FROM dbos.queues WHERE name = 'reborn';
SELECT dbos_sys.delayed_tick();
TABLE pg_temp.kept;
SELECT l.paused FROM dbos_sys.queue_limits('reborn') AS l;
DELETE FROM dbos.workflow_status WHERE workflow_uuid = 'reborn-1';

-- drop_queue() says how many wait.
SELECT count(*) FROM dbos_sys.enqueue('by-sdk', '{w,w}', '{[],[]}', NULL, ARRAY[NULL, '{"delay_ms": 60000}']::jsonb[]);
SELECT dbos_sys.drop_queue('by-sdk');
SELECT dbos_sys.drop_queue('by-sdk', NULL);
SELECT dbos_sys.drop_queue('by-sdk', p_force => true);
SELECT dbos_sys.drop_queue('by-sdk', true);
SELECT dbos_sys.drop_queue('fair');
-- What is left of a queue takes nothing over to the next of its name.
SELECT dbos_sys.register_queue('again', '{"fair_by_partition": true, "weights": {"a": 2}}'), dbos_sys.pause_queue('again'), dbos_sys.drop_queue('again');
INSERT INTO dbos.queues (name, concurrency) VALUES ('again', 3);
SELECT concurrency, partitioned, fair_by_partition, weights, paused FROM dbos_sys.queues() WHERE name = 'again';

-- Queues where workflows wait although nobody registered them: of an application and of none, delayed ones too; not what runs or has ended.
DELETE FROM dbos.workflow_status;
SELECT * FROM dbos_sys.unregistered_queues();
SELECT dbos_sys.register_queue('known');
INSERT INTO dbos.workflow_status (workflow_uuid, status, name, queue_name, application_name, created_at, delay_until_epoch_ms)
VALUES ('s-1', 'ENQUEUED', 'w', 'known', 'shop', 1, NULL), ('s-2', 'ENQUEUED', 'w', 'stray', 'shop', 7, NULL), ('s-3', 'DELAYED', 'w', 'stray', 'shop', 5, 9000000000000),
  ('s-4', 'ENQUEUED', 'w', 'stray', 'other', 3, NULL), ('s-5', 'ENQUEUED', 'w', 'nobodys', NULL, 2, NULL), ('s-6', 'PENDING', 'w', 'runs', 'shop', 1, NULL),
  ('s-7', 'SUCCESS', 'w', 'ended', 'shop', 1, NULL), ('s-8', 'ENQUEUED', 'w', '_dbos_internal_queue', 'shop', 1, NULL), ('s-9', 'PENDING', 'w', NULL, 'shop', 1, NULL),
  ('s-10', 'DELAYED', 'w', 'later', 'other', 4, 9000000000000), ('s-11', 'DELAYED', 'w', 'known', 'shop', 4, 9000000000000);
SELECT * FROM dbos_sys.unregistered_queues();
SELECT * FROM dbos_sys.unregistered_queues('shop');
