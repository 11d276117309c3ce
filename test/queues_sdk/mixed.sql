-- Four queues that applications of three languages share: limits count within an application. 40 jobs of each on each.
SELECT dbos_sys.register_queue(name, options::jsonb || '{"polling_interval_sec": 0.1}') FROM (VALUES
  ('m-whole', '{"concurrency": 3}'), ('m-worker', '{"worker_concurrency": 2}'), ('m-parts', '{"partition_concurrency": 1}'), ('m-free', '{}'))
  AS q(name, options);
SELECT dbos.enqueue_workflow('job', q.name, ARRAY[to_json(q.name || '/' || a.name || '/' || i), '20'], workflow_id => q.name || '/' || a.name || '/' || i,
  queue_partition_key => CASE WHEN q.name = 'm-parts' THEN 'key-' || i % 4 END, application_name => a.name)
FROM (VALUES ('m-whole'), ('m-worker'), ('m-parts'), ('m-free')) AS q(name), (VALUES ('app-cpp'), ('app-ts'), ('app-python')) AS a(name),
  generate_series(1, 40) AS i ORDER BY i;
