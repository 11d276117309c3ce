-- register_queue(), queues(), drop_queue(): upstream's row and rules.
\set SHOW_CONTEXT never
\set ECHO errors
\getenv root PG_ABS_SRCDIR
\set setup :root /sql/include/setup.psql
\i :setup
\set ECHO all

SELECT dbos_sys.register_queue('orders');
SELECT dbos_sys.register_queue('mail', '{"concurrency": 10, "worker_concurrency": 5, "rate_limit_max": 100, "rate_limit_period_sec": 1.5, "polling_interval_sec": 0.1, "application_name": "shop"}');
SELECT * FROM dbos_sys.queues();
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
SELECT dbos_sys.register_queue('q', '{"partition_concurrency": 1}');
SELECT dbos_sys.register_queue('q', '{"on_conflict": "maybe"}');
SELECT count(*) FROM dbos_sys.queues() WHERE name = 'q';
SELECT dbos_sys.register_queue('q', '{"application_name": 5}');
SELECT dbos_sys.register_queue('q', '{"application_name": null}');
SELECT dbos_sys.register_queue('q', '{"concurrency": 1.0}');
SELECT dbos_sys.register_queue('q', '{"rate_limit_max": 1, "rate_limit_period_sec": 1e-400}');
SELECT dbos_sys.register_queue('q', '{"polling_interval_sec": 1e400}');
SELECT count(*) FROM dbos_sys.queues() WHERE name = 'q';
