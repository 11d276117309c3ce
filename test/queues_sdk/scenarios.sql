-- Queues with each kind of limit, and jobs that wait on them before any worker runs. Run with psql -v app=APPLICATION.
SELECT dbos_sys.register_queue(name, options::jsonb || '{"polling_interval_sec": 0.1}') FROM (VALUES
  ('whole', '{"concurrency": 3}'), ('worker', '{"worker_concurrency": 2}'), ('rate', '{"rate_limit_max": 4, "rate_limit_period_sec": 1}'),
  ('order', '{"concurrency": 1}'), ('delayed', '{}'), ('parts', '{"partition_concurrency": 1}'),
  ('both', '{"concurrency": 2, "partition_concurrency": 1}'), ('partworker', '{"partition_worker_concurrency": 1}'),
  ('partrate', '{"partition_rate_limit_max": 2, "partition_rate_limit_period_sec": 1}'), ('live', '{"concurrency": 1}'),
  ('paused', '{"concurrency": 2}'), ('probe', '{}')) AS q(name, options) ORDER BY name;

CREATE FUNCTION pg_temp.jobs(p_queue text, p_count integer, p_ms integer, p_keys text[] DEFAULT '{NULL}', p_priorities integer[] DEFAULT NULL)
RETURNS void LANGUAGE sql AS $$
  SELECT dbos.enqueue_workflow('job', p_queue, ARRAY[to_json(p_queue || '-' || i), to_json(p_ms)], workflow_id => p_queue || '-' || i,
    priority => p_priorities[i], queue_partition_key => p_keys[1 + (i - 1) % cardinality(p_keys)], application_name => current_setting('test.app'))
  FROM generate_series(1, p_count) AS i ORDER BY i
$$;
SET test.app = :'app';
SELECT pg_temp.jobs('whole', 12, 200);
SELECT pg_temp.jobs('worker', 12, 200);
SELECT pg_temp.jobs('rate', 10, 1);
-- In statements of their own, so that those of one priority differ in age.
SELECT dbos.enqueue_workflow('job', 'order', ARRAY[to_json('order-' || i), '50'], workflow_id => 'order-' || i, priority => p, application_name => :'app')
FROM (VALUES (1, 7), (2, 4), (3, 1)) AS o(i, p) ORDER BY i;
SELECT pg_sleep(0.005);
SELECT dbos.enqueue_workflow('job', 'order', ARRAY[to_json('order-' || i), '50'], workflow_id => 'order-' || i, priority => p, application_name => :'app')
FROM (VALUES (4, 7), (5, 1), (6, 4)) AS o(i, p) ORDER BY i;
SELECT dbos.enqueue_workflow('job', 'delayed', ARRAY['"delayed-1"', '1']::json[], workflow_id => 'delayed-1', application_name => :'app',
  delay_until_epoch_ms => (extract(epoch FROM clock_timestamp()) * 1000)::bigint + 5000);
SELECT dbos.enqueue_workflow('job', 'delayed', ARRAY['"delayed-2"', '1']::json[], workflow_id => 'delayed-2', application_name => :'app');
SELECT pg_temp.jobs('parts', 9, 200, '{a,b,c}');
SELECT pg_temp.jobs('both', 9, 200, '{a,b,c}');
SELECT pg_temp.jobs('partworker', 8, 300, '{a}');
SELECT pg_temp.jobs('partrate', 10, 1, '{a,b}');
SELECT pg_temp.jobs('live', 14, 300);
SELECT pg_temp.jobs('paused', 20, 300);
