-- Claims on partitioned queues: limits per partition, and the share of each partition key.
\set SHOW_CONTEXT never
\set ECHO errors
\getenv root PG_ABS_SRCDIR
\set setup :root /sql/include/setup.psql
\i :setup
\set ECHO all
SET client_min_messages = error;

-- Rows per partition key, each with its own ids (key-1, key-2, …); and a claim that says how many of each key it got.
CREATE FUNCTION pg_temp.fill(p_queue text, p_key text, p_rows integer, p_priority integer DEFAULT 0) RETURNS bigint LANGUAGE sql AS $$
  SELECT count(*) FROM dbos_sys.enqueue(p_queue, array_fill('w'::text, ARRAY[p_rows]), array_fill('[]'::jsonb, ARRAY[p_rows]),
    ARRAY(SELECT format('%s-%s-%s-%s', p_queue, p_key, p_priority, n) FROM generate_series(1, p_rows) AS n),
    array_fill(jsonb_build_object('partition_key', p_key, 'priority', p_priority), ARRAY[p_rows]))
$$;
CREATE FUNCTION pg_temp.take(p_queue text, p_limit integer, p_token text DEFAULT gen_random_uuid()::text, p_executor text DEFAULT 'e1')
RETURNS TABLE (key text, runs bigint) LANGUAGE sql AS $$
  SELECT c.partition_key, count(*)
  FROM dbos_sys.claim('shop', p_executor, 'i1', 'v1', p_token, ARRAY[p_queue], ARRAY[p_limit], '{w}', '{""}', '{100}') AS c GROUP BY 1 ORDER BY 1
$$;
-- As take(), in as many claims as it needs: each ends after 50 ms at the latest, which on a busy machine is not all.
CREATE FUNCTION pg_temp.take_all(p_queue text, p_limit integer) RETURNS TABLE (key text, runs bigint) LANGUAGE plpgsql AS $$
DECLARE
  v_token text := gen_random_uuid()::text;
  v_left bigint := p_limit;
BEGIN
  FOR i IN 1 .. 20 LOOP
    v_left := v_left - (SELECT COALESCE(sum(t.runs), 0) FROM pg_temp.take(p_queue, v_left::integer, v_token) AS t);
    EXIT WHEN v_left <= 0;
  END LOOP;
  RETURN QUERY SELECT w.queue_partition_key, count(*) FROM dbos.workflow_status AS w WHERE w.owner_xid = v_token GROUP BY 1;
END;
$$;
CREATE FUNCTION pg_temp.hint(p_queue text, p_limit integer) RETURNS TABLE (runs bigint, waits boolean, retry_ms integer) LANGUAGE sql AS $$
  SELECT count(c.id), bool_or(c.waits), min(c.retry_ms) FROM dbos_sys.claim('shop', 'e1', 'i1', 'v1', gen_random_uuid()::text, ARRAY[p_queue], ARRAY[p_limit], '{w}', '{""}', '{100}', '{NULL}', '{NULL}') AS c
$$;
SELECT state FROM dbos_sys.heartbeat('e1', '15 s', 'shop', 'i1', 'v1');

-- Who has much waits beside who has little; within a partition priority and age decide; a key that appears begins where the others are.
SELECT dbos_sys.register_queue('fair', '{"fair_by_partition": true}');
SELECT pg_temp.fill('fair', 'a', 100), pg_temp.fill('fair', 'b', 3), pg_temp.fill('fair', 'c', 10);
SELECT * FROM pg_temp.take('fair', 9);
SELECT * FROM pg_temp.take('fair', 9);
SELECT pg_temp.fill('fair', 'd', 2), pg_temp.fill('fair', 'c', 1, 1);
SELECT * FROM pg_temp.take('fair', 9);
SELECT * FROM pg_temp.take('fair', 4);
SELECT count(*) FROM dbos_ops.queue_arrivals;
SELECT partition_key FROM dbos_ops.queue_partitions WHERE queue_name = 'fair' ORDER BY 1;

-- Shares follow the weights, over any number of starts; a key without one has 1.
SELECT dbos_sys.register_queue('weighted', '{"fair_by_partition": true, "weights": {"gold": 3, "tin": 0.5}}');
SELECT pg_temp.fill('weighted', k, 1000) FROM unnest('{gold,silver,tin}'::text[]) AS k;
SELECT * FROM pg_temp.take('weighted', 90);
SELECT * FROM pg_temp.take('weighted', 450);
SELECT dbos_sys.alter_queue('weighted', '{"weights": {"tin": 8}}');
SELECT * FROM pg_temp.take('weighted', 100);

-- Keys that others insert are found by the scan, and many of them do not keep the others waiting. A row without a key is not taken.
INSERT INTO dbos.workflow_status (workflow_uuid, status, name, queue_name, queue_partition_key, created_at)
SELECT 'sdk-' || n, 'ENQUEUED', 'w', 'fair', 'sdk-' || (n % 500), 1 FROM generate_series(1, 1000) AS n;
INSERT INTO dbos.workflow_status (workflow_uuid, status, name, queue_name, created_at) VALUES ('sdk-without', 'ENQUEUED', 'w', 'fair', 1);
SELECT count(*), min(t.runs), max(t.runs) FROM pg_temp.take('fair', 501) AS t;
-- A second later, so that the scan may take 200 ms: on a busy machine it would not come round in the least time.
SET dbos_sys.fake_now = '1800000001000';
SELECT count(*), min(t.runs), max(t.runs) FROM pg_temp.take_all('fair', 501) AS t;
SET dbos_sys.fake_now = '1800000000000';
SELECT count(*) FROM dbos.workflow_status WHERE queue_name = 'fair' AND status = 'ENQUEUED' AND queue_partition_key <> 'a';
SELECT status FROM dbos.workflow_status WHERE workflow_uuid = 'sdk-without';

-- Concurrency of a partition over all executors, and of one executor; what is not free for one is for another.
SELECT dbos_sys.register_queue('narrow', '{"partition_concurrency": 3, "partition_worker_concurrency": 2}');
SELECT count(*) FROM dbos_sys.register_executor('shop', 'e2', 'i1', 'v1');
SELECT pg_temp.fill('narrow', 'a', 20), pg_temp.fill('narrow', 'b', 1);
SELECT * FROM pg_temp.take('narrow', 50, 't-e1');
SELECT * FROM pg_temp.take('narrow', 50, 't-e1');
SELECT * FROM pg_temp.take('narrow', 50, 't-e2', 'e2');
SELECT * FROM pg_temp.hint('narrow', 50);
-- However often it is looked at meanwhile, it loses one turn.
DO $$ BEGIN FOR n IN 1 .. 20 LOOP PERFORM FROM dbos_sys.claim('shop', 'e1', 'i1', 'v1', 't-e1', '{narrow}', '{50}', '{w}', '{""}', '{100}'); END LOOP; END $$;
SELECT p.partition_key, p.finish - w.virtual_time <= 1 AS next FROM dbos_ops.queue_partitions AS p JOIN dbos_ops.queue_walks AS w USING (queue_name) WHERE queue_name = 'narrow';
SELECT count(*) FROM dbos.workflow_status WHERE owner_xid = 't-e1' AND queue_partition_key = 'a' AND dbos_sys.cancel(ARRAY[workflow_uuid]) = 1;
SELECT * FROM pg_temp.take('narrow', 50, 't-e1');
-- With a concurrency of the whole queue besides.
SELECT dbos_sys.register_queue('both', '{"concurrency": 5, "partition_concurrency": 2}');
SELECT pg_temp.fill('both', k, 9) FROM unnest('{a,b,c,d}'::text[]) AS k;
SELECT sum(t.runs), max(t.runs) FROM pg_temp.take('both', 50) AS t;
SELECT * FROM pg_temp.hint('both', 50);

-- Rates of partitions and of the queue; when to look again. A start counts although it was cancelled, or its executor died.
SELECT dbos_sys.register_queue('rated', '{"rate_limit_max": 5, "rate_limit_period_sec": 10, "partition_rate_limit_max": 2, "partition_rate_limit_period_sec": 20}');
SELECT pg_temp.fill('rated', k, 9) FROM unnest('{a,b,c}'::text[]) AS k;
SELECT sum(t.runs), max(t.runs) FROM pg_temp.take('rated', 50, 't-rated') AS t;
SELECT * FROM pg_temp.hint('rated', 50);
SELECT count(*) FROM dbos.workflow_status WHERE owner_xid = 't-rated' AND dbos_sys.cancel(ARRAY[workflow_uuid]) = 1;
SET dbos_sys.fake_now = '1800000009999';
SELECT * FROM pg_temp.hint('rated', 50);
SET dbos_sys.fake_now = '1800000010000';
SELECT sum(t.runs), max(t.runs) FROM pg_temp.take('rated', 50) AS t;
SELECT * FROM pg_temp.hint('rated', 50);
SET dbos_sys.fake_now = '1800000020000';
SELECT sum(t.runs), max(t.runs) FROM pg_temp.take('rated', 50) AS t;
SELECT whole, partition_key, started_at, runs FROM dbos_ops.queue_starts WHERE queue_name = 'rated' AND (whole OR partition_key = 'a') ORDER BY 1, 2, 3;
-- Long periods are logged in slots, which count from their end.
SELECT dbos_sys.register_queue('daily', '{"rate_limit_max": 5, "rate_limit_period_sec": 86400}');
SELECT count(*) FROM dbos_sys.enqueue('daily', array_fill('w'::text, '{9}'), array_fill('[]'::jsonb, '{9}'));
SELECT * FROM pg_temp.hint('daily', 2);
SELECT * FROM pg_temp.hint('daily', 9);
SELECT started_at - 1800000020000 AS after, runs FROM dbos_ops.queue_starts WHERE queue_name = 'daily';
SELECT dbos_sys.drop_queue('daily', true);
SELECT count(*) FROM dbos_ops.queue_starts WHERE queue_name = 'daily';
SELECT dbos_sys.register_queue('plain-rate', '{"rate_limit_max": 2, "rate_limit_period_sec": 10}');
SELECT count(*) FROM dbos_sys.enqueue('plain-rate', '{w,w,w}', '{[],[],[]}');
SELECT count(*) FROM pg_temp.take('plain-rate', 9, 't-plain');
SELECT count(*) FROM dbos.workflow_status WHERE owner_xid = 't-plain' AND dbos_sys.cancel(ARRAY[workflow_uuid]) = 1;
SELECT * FROM pg_temp.hint('plain-rate', 9);
-- What an SDK started is counted too.
INSERT INTO dbos.workflow_status (workflow_uuid, status, name, queue_name, queue_partition_key, rate_limited, started_at_epoch_ms, application_name)
SELECT 'by-sdk-' || n, 'SUCCESS', 'w', 'rated', 'x', true, 1800000020000, 'shop' FROM generate_series(1, 2) AS n;
SELECT dbos_sys.alter_queue('rated', '{"rate_limit_max": 50}');
SELECT pg_temp.fill('rated', 'x', 3);
SELECT * FROM pg_temp.hint('rated', 50);

-- One application on both: what was started under the log and what SDKs started add up, also where ours were cancelled and theirs were not.
SELECT dbos_sys.register_queue('shared-rate', '{"rate_limit_max": 8, "rate_limit_period_sec": 10}');
SELECT dbos_sys.register_queue('shared-keys', '{"partition_rate_limit_max": 8, "partition_rate_limit_period_sec": 10}');
SELECT count(*) FROM dbos_sys.enqueue('shared-rate', array_fill('w'::text, '{20}'), array_fill('[]'::jsonb, '{20}'));
SELECT pg_temp.fill('shared-keys', 'k', 20);
SELECT r.runs AS rate, k.runs AS keys FROM pg_temp.take('shared-rate', 3, 't-shared') AS r, pg_temp.take('shared-keys', 3, 't-shared') AS k;
SELECT count(*) FROM (SELECT workflow_uuid AS id FROM dbos.workflow_status WHERE owner_xid = 't-shared' ORDER BY queue_name DESC LIMIT 5) AS w
WHERE dbos_sys.cancel(ARRAY[w.id]) = 1;
INSERT INTO dbos.workflow_status (workflow_uuid, status, name, queue_name, queue_partition_key, rate_limited, started_at_epoch_ms, application_name,
  executor_id, owner_xid)
SELECT format('%s-sdk-%s', q.name, n), 'PENDING', 'w', q.name, q.key, true, 1800000020000, 'shop', 'sdk-1', 'x-1'
FROM (VALUES ('shared-rate', NULL), ('shared-keys', 'k')) AS q(name, key), generate_series(1, 4) AS n;
-- 3 and 4 of 8: one is left, at once and until the window has passed.
SELECT r.runs AS rate, r.retry_ms AS rate_retry, k.runs AS keys, k.retry_ms AS keys_retry
FROM pg_temp.hint('shared-rate', 9) AS r, pg_temp.hint('shared-keys', 9) AS k;
SELECT r.runs AS rate, k.runs AS keys FROM pg_temp.hint('shared-rate', 9) AS r, pg_temp.hint('shared-keys', 9) AS k;
-- SDKs count by rows: ours that were not cancelled are among them.
SELECT queue_name, count(*), count(*) FILTER (WHERE executor_id = 'e1') AS ours FROM dbos.workflow_status
WHERE rate_limited AND status NOT IN ('ENQUEUED', 'DELAYED') AND queue_name LIKE 'shared%' AND started_at_epoch_ms > 1800000020000 - 10000 GROUP BY 1 ORDER BY 1;
SET dbos_sys.fake_now = '1800000030000';
SELECT r.runs AS rate, k.runs AS keys FROM pg_temp.hint('shared-rate', 20) AS r, pg_temp.hint('shared-keys', 20) AS k;
SET dbos_sys.fake_now = '1800000020000';

-- SDKs take '' for a key like any other; ours refuse it, but their rows are found, round after round.
SELECT dbos_sys.register_queue('nameless', '{"partition_concurrency": 2}');
INSERT INTO dbos.workflow_status (workflow_uuid, status, name, queue_name, queue_partition_key, created_at)
SELECT format('nameless-%s-%s', k, n), 'ENQUEUED', 'w', 'nameless', k, n FROM unnest('{"",a}'::text[]) AS k, generate_series(1, 3) AS n;
SELECT * FROM pg_temp.take('nameless', 9, 't-nameless');
UPDATE dbos.workflow_status SET status = 'SUCCESS' WHERE owner_xid = 't-nameless';
SET dbos_sys.fake_now = '1800000021000';
SELECT * FROM pg_temp.take('nameless', 9, 't-nameless');
INSERT INTO dbos.workflow_status (workflow_uuid, status, name, queue_name, queue_partition_key, created_at) VALUES ('nameless-late', 'ENQUEUED', 'w', 'nameless', '', 9);
SET dbos_sys.fake_now = '1800000022000';
SELECT * FROM pg_temp.take('nameless', 9, 't-nameless');
SELECT dbos_sys.start('w', '[]', 'x', 'nameless', '{"partition_key": ""}');
SET dbos_sys.fake_now = '1800000020000';

-- Runs for others keep nobody from his turn, and are kept: another version's.
SELECT dbos_sys.register_queue('mixed', '{"fair_by_partition": true}');
SELECT count(*) FROM dbos_sys.enqueue('mixed', '{w,w,w}', '{[],[],[]}', '{m-1,m-2,m-3}', ARRAY['{"partition_key": "a", "application_version": "v2"}', '{"partition_key": "b"}', '{"partition_key": "a"}']::jsonb[]);
SELECT * FROM pg_temp.take('mixed', 9);
SELECT id FROM dbos_sys.claim('shop', 'e1', 'i1', 'v2', 't-v2', '{mixed}', '{9}', '{w}', '{""}', '{100}');

-- Bad input.
SELECT dbos_sys.start('w', '[]', 'x', 'fair');
SELECT dbos_sys.register_queue('whole');
SELECT dbos_sys.start('w', '[]', 'x', 'whole', '{"partition_key": "a"}');
SELECT dbos_sys.start('w', '[]', 'x', 'fair', '{"partition_key": "a", "deduplication_id": "d"}');
SELECT dbos_sys.start('w', '[]', 'x', 'fair', jsonb_build_object('partition_key', repeat('k', 10000)));
SELECT dbos_sys.start('w', '[]', 'x', 'fair', '{"partition_key": " "}');
SELECT dbos_sys.start('w', '[]', 'x', 'fair', '{"partition_key": 5}');
SELECT dbos_sys.start('w', '[]', 'x', 'fair', '{"partition_key": null}');
SELECT dbos_sys.start('w', '[]', 'longest', 'fair', jsonb_build_object('partition_key', repeat('k', 1024)));
SELECT dbos_sys.start('w', '[]', 'free', 'unregistered', '{"partition_key": "a"}'), dbos_sys.start('w', '[]', 'free-2', 'unregistered');
SELECT count(*) FROM dbos.workflow_status WHERE workflow_uuid = 'x';
SELECT * FROM dbos_sys.claim('shop', 'e1', 'i1', 'v1', 't', '{q}', '{1}', '{w}', '{""}', '{1}', '{1,2}', '{1,2}');
SELECT * FROM dbos_sys.claim('shop', 'e1', 'i1', 'v1', 't', '{q}', '{1}', '{w}', '{""}', '{1}', '{1}', NULL);
