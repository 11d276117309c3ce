-- Claims on partitioned queues: every partition key gets its share of the starts, by its weight (1 unless the queue is fair with weights).
-- Start-time fair queueing: a partition has a virtual time, `finish`, that each start moves on by 1/weight; the next start is that of the
-- partition with the lowest one. The queue's own virtual time is that of its last start; a partition that comes (again) begins there, so
-- nobody saves up starts while idle. A partition is forgotten when the walk reaches it and nothing of it waits.
-- All of it happens under the queue's advisory lock: rows of queue_walks and queue_partitions have one writer at a time.
-- Its rows are found by (queue_name, partition_key) or walked by (walk, finish, turn), the same names again: a plan that is made while the
-- table is small cannot take the one index for the other.
-- `low` of a queue: no partition that counts stands below it. Index entries that vacuum cannot remove yet lie below, and are not walked.

-- Up to `p_budget` (2 or more) partition keys of which runs wait, in order, after `p_after`; after '' from the first on, which may be '' itself, for
-- SDKs take it as a key. It stops at the given time, whatever the number.
CREATE OR REPLACE FUNCTION dbos_sys.scan_keys(p_queue text, p_after text, p_budget bigint, p_until timestamptz)
RETURNS text[]
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  v_keys text[] := '{}';
  v_some text[];
  v_number bigint;
BEGIN
  IF p_after = '' AND EXISTS (
    SELECT FROM dbos.workflow_status AS w WHERE w.status = 'ENQUEUED' AND w.queue_name = p_queue AND w.queue_partition_key = '' OFFSET 0) THEN
    v_keys := '{""}';
  END IF;
  LOOP
    v_number := LEAST(p_budget - cardinality(v_keys), 256);
    v_some := ARRAY(
      WITH RECURSIVE keys (key, number) AS (
        (SELECT w.queue_partition_key, 1 FROM dbos.workflow_status AS w
          WHERE w.status = 'ENQUEUED' AND w.queue_name = p_queue AND w.queue_partition_key > COALESCE(v_keys[cardinality(v_keys)], p_after)
          ORDER BY w.queue_partition_key LIMIT 1)
        UNION ALL
        SELECT n.key, k.number + 1 FROM keys AS k, LATERAL (
          SELECT w.queue_partition_key AS key FROM dbos.workflow_status AS w
          WHERE w.status = 'ENQUEUED' AND w.queue_name = p_queue AND w.queue_partition_key > k.key
          ORDER BY w.queue_partition_key LIMIT 1) AS n
        WHERE k.number < v_number)
      SELECT k.key FROM keys AS k);
    v_keys := v_keys || v_some;
    EXIT WHEN cardinality(v_some) < v_number OR cardinality(v_keys) >= p_budget OR clock_timestamp() > p_until;
  END LOOP;
  RETURN v_keys;
END;
$$;

-- Partitions that enqueue() announced, and the next ones of a scan that goes round all keys that wait in 800 ms, but takes no more than a
-- fifth of the time: so those that other SDKs bring are found, and those that came while the walk forgot them. `more`: the round is longer
-- than the last one was, or behind its time.
CREATE OR REPLACE FUNCTION dbos_sys.find_partitions(
  p_queue text, p_now bigint, OUT low double precision, OUT virtual_time double precision, OUT more boolean)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  v_walk record;
  v_keys text[];
  v_new text[];
  v_since bigint;
  v_budget bigint;
  v_ended boolean;
BEGIN
  SELECT w.* INTO v_walk FROM dbos_ops.queue_walks AS w WHERE w.queue_name = p_queue;
  IF NOT FOUND THEN
    INSERT INTO dbos_ops.queue_walks AS w (queue_name) VALUES (p_queue) RETURNING w.* INTO v_walk;
  END IF;
  v_since := LEAST(GREATEST(p_now - v_walk.scanned_at, 0), 1000);
  -- One more than it takes to see the end of the round.
  v_budget := GREATEST(ceil(v_walk.circle_keys * v_since / 800.0) + 1, CASE WHEN v_walk.circle_seen >= v_walk.circle_keys THEN 2000 ELSE 16 END);
  v_keys := dbos_sys.scan_keys(p_queue, v_walk.scan_after, v_budget, clock_timestamp() + GREATEST(v_since / 5, 5) * interval '1 millisecond');
  v_ended := cardinality(v_keys) < v_budget AND (v_keys = '{}' OR NOT EXISTS (
    SELECT FROM dbos.workflow_status AS w
    WHERE w.status = 'ENQUEUED' AND w.queue_name = p_queue AND w.queue_partition_key > v_keys[cardinality(v_keys)] OFFSET 0));
  WITH taken AS (
    DELETE FROM dbos_ops.queue_arrivals AS a
    WHERE (a.queue_name, a.partition_key, a.id) IN (
      SELECT f.queue_name, f.partition_key, f.id FROM dbos_ops.queue_arrivals AS f WHERE f.queue_name = p_queue LIMIT 1000 FOR UPDATE SKIP LOCKED)
    RETURNING a.partition_key)
  SELECT array_agg(DISTINCT t.partition_key) INTO v_new FROM taken AS t;
  INSERT INTO dbos_ops.queue_partitions (queue_name, partition_key, finish)
  SELECT p_queue, k.key, v_walk.virtual_time FROM (SELECT DISTINCT n.key FROM unnest(v_keys || v_new) AS n(key)) AS k
  WHERE NOT EXISTS (
    SELECT FROM dbos_ops.queue_partitions AS p WHERE p.queue_name = p_queue AND p.partition_key = k.key AND p.finish >= v_walk.low OFFSET 0)
  ON CONFLICT (queue_name, partition_key) DO UPDATE SET finish = EXCLUDED.finish;
  UPDATE dbos_ops.queue_walks AS w
  SET scanned_at = p_now,
    scan_after = CASE WHEN v_ended THEN '' ELSE v_keys[cardinality(v_keys)] END,
    circle_seen = CASE WHEN v_ended THEN 0 ELSE w.circle_seen + cardinality(v_keys) END,
    circle_keys = CASE WHEN v_ended THEN w.circle_seen + cardinality(v_keys) ELSE GREATEST(w.circle_keys, w.circle_seen + cardinality(v_keys)) END
  WHERE w.queue_name = p_queue;
  low := v_walk.low;
  virtual_time := v_walk.virtual_time;
  more := NOT v_ended AND (cardinality(v_keys) < v_budget OR v_walk.circle_seen + v_budget > v_walk.circle_keys);
END;
$$;

-- The partitions whose turn is next, and up to which virtual time (`horizon`) they may start: that of the first partition left out, or, when
-- all are there, one by which they can start `p_room` runs. `shares`: how many runs each may start by then.
CREATE OR REPLACE FUNCTION dbos_sys.next_partitions(
  p_queue text, p_weights jsonb, p_from double precision, p_from_key text, p_room bigint,
  OUT keys text[], OUT finishes double precision[], OUT weights double precision[], OUT shares bigint[], OUT horizon double precision, OUT next_key text)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  v_batch integer := LEAST(GREATEST(p_room, 32), 512);
BEGIN
  SELECT array_agg(p.partition_key ORDER BY p.place), array_agg(p.finish ORDER BY p.place), array_agg(p.weight ORDER BY p.place),
    max(p.finish) + p_room / sum(p.weight)
  INTO keys, finishes, weights, horizon
  FROM (
    SELECT q.partition_key, q.finish, COALESCE((p_weights ->> q.partition_key)::double precision, 1) AS weight,
      row_number() OVER (ORDER BY q.finish, q.partition_key) AS place
    FROM (
      SELECT f.turn AS partition_key, f.finish FROM dbos_ops.queue_partitions AS f
      WHERE f.walk = p_queue AND (f.finish, f.turn) >= (p_from, p_from_key)
      ORDER BY f.finish, f.turn LIMIT v_batch + 1) AS q) AS p;
  next_key := '';
  IF cardinality(keys) > v_batch THEN
    horizon := finishes[v_batch + 1];
    next_key := keys[v_batch + 1];
    keys := keys[1:v_batch];
    finishes := finishes[1:v_batch];
    weights := weights[1:v_batch];
  END IF;
  shares := ARRAY(
    SELECT LEAST(floor((horizon - r.finish) * r.weight)::bigint + 1, p_room)
    FROM unnest(finishes, weights) WITH ORDINALITY AS r(finish, weight, place) ORDER BY r.place);
END;
$$;

-- What the limits per partition leave of the shares. `waits`: a concurrency was the bound, `retry_ms`: a rate was.
CREATE OR REPLACE FUNCTION dbos_sys.partition_rooms(
  p_application text, p_executor text, p_queue text, p_keys text[], p_shares bigint[], p_concurrency integer, p_worker integer,
  p_rate_max integer, p_rate_ms bigint, p_now bigint, OUT rooms bigint[], OUT waits boolean, OUT retry_ms integer)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  waits := false;
  rooms := p_shares;
  IF p_concurrency IS NOT NULL OR p_worker IS NOT NULL THEN
    SELECT array_agg(GREATEST(LEAST(r.share, p_concurrency - r.running, p_worker - r.mine), 0) ORDER BY r.place),
      bool_or(LEAST(p_concurrency - r.running, p_worker - r.mine) < r.share)
    INTO rooms, waits
    FROM (
      SELECT k.share, k.place, (
          SELECT count(*) FROM dbos.workflow_status AS w
          WHERE p_concurrency IS NOT NULL AND w.status = 'PENDING' AND w.queue_name = p_queue AND w.queue_partition_key = k.key
            AND (w.application_name = p_application OR w.application_name IS NULL)) AS running, (
          SELECT count(*) FROM dbos.workflow_status AS w
          WHERE p_worker IS NOT NULL AND w.status = 'PENDING' AND w.queue_name = p_queue AND w.queue_partition_key = k.key
            AND w.application_name = p_application AND w.executor_id = p_executor) AS mine
      FROM unnest(p_keys, rooms) WITH ORDINALITY AS k(key, share, place)) AS r;
  END IF;
  IF p_rate_max IS NOT NULL THEN
    WITH counted AS MATERIALIZED (
      SELECT w.queue_partition_key AS key, count(*) AS starts, min(w.started_at_epoch_ms) AS oldest,
        count(*) FILTER (WHERE COALESCE(w.executor_id, '') NOT IN (
          SELECT e.executor_id FROM dbos_ops.executors AS e WHERE e.application_name = p_application AND e.incarnation <> '')) AS by_sdk
      FROM dbos.workflow_status AS w
      WHERE w.rate_limited = true AND w.status NOT IN ('ENQUEUED', 'DELAYED') AND w.queue_name = p_queue
        AND w.started_at_epoch_ms > p_now - p_rate_ms AND (w.application_name = p_application OR w.application_name IS NULL)
        AND w.queue_partition_key = ANY (p_keys)
      GROUP BY w.queue_partition_key)
    SELECT array_agg(GREATEST(LEAST(r.room, p_rate_max - r.starts), 0) ORDER BY r.place),
      min(dbos_sys.rate_pause(r.oldest, p_rate_ms, p_now)) FILTER (WHERE p_rate_max - r.starts < r.room)
    INTO rooms, retry_ms
    FROM (
      SELECT k.room, k.place, GREATEST(COALESCE(l.starts, 0) + COALESCE(c.by_sdk, 0), COALESCE(c.starts, 0)) AS starts, LEAST(l.oldest, c.oldest) AS oldest
      FROM unnest(p_keys, rooms) WITH ORDINALITY AS k(key, room, place)
      LEFT JOIN counted AS c ON c.key = k.key,
      LATERAL (
        SELECT sum(s.runs) AS starts, min(s.started_at) AS oldest FROM dbos_ops.queue_starts AS s
        WHERE s.queue_name = p_queue AND s.application_name = p_application AND NOT s.whole AND s.partition_key = k.key
          AND s.started_at > p_now - p_rate_ms OFFSET 0) AS l) AS r;
  END IF;
END;
$$;

-- The first runs of these partitions in order of their virtual start times, at most `p_room` together; locked, and those that another
-- transaction holds left out. `counts`: how many each partition gave, dead ones not counted; `missed`: some were held.
CREATE OR REPLACE FUNCTION dbos_sys.pick_by_partition(
  p_application text, p_version text, p_latest boolean, p_queue text, p_room bigint, p_names text[], p_max integer[],
  p_keys text[], p_finishes double precision[], p_weights double precision[], p_rooms bigint[],
  OUT ids text[], OUT tuples tid[], OUT again text[], OUT dead text[], OUT counts bigint[], OUT last_start double precision, OUT missed boolean)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  WITH heads AS MATERIALIZED (
    SELECT h.id, k.place, k.finish + (h.number - 1) / k.weight AS start
    FROM unnest(p_keys, p_finishes, p_weights, p_rooms) WITH ORDINALITY AS k(key, finish, weight, room, place),
    LATERAL (
      SELECT o.id, row_number() OVER () AS number
      FROM (
        SELECT w.workflow_uuid AS id FROM dbos.workflow_status AS w
        WHERE w.status = 'ENQUEUED' AND w.queue_name = p_queue AND w.queue_partition_key = k.key
          AND (w.application_version = p_version OR (p_latest AND w.application_version IS NULL))
          AND (w.application_name = p_application OR w.application_name IS NULL)
          AND w.name || E'\x1f' || COALESCE(w.class_name, '') = ANY (p_names) AND COALESCE(w.config_name, '') = ''
        ORDER BY w.priority, w.created_at, w.workflow_uuid LIMIT k.room) AS o) AS h
    WHERE k.room > 0
    ORDER BY start, k.place LIMIT p_room),
  held AS MATERIALIZED (
    SELECT h.id, w.tuple, h.place, h.start, w.again,
      w.attempts > p_max[array_position(p_names, w.name || E'\x1f' || COALESCE(w.class_name, ''))] AS dead
    FROM heads AS h, LATERAL (
      SELECT s.ctid AS tuple, s.name, s.class_name, COALESCE(s.recovery_attempts, 0) AS attempts,
        COALESCE(s.recovery_attempts, 0) > 0 OR COALESCE(s.executor_id, '') <> '' AS again
      FROM dbos.workflow_status AS s
      WHERE s.workflow_uuid = h.id AND COALESCE(s.status, '') = 'ENQUEUED' AND s.queue_name = p_queue FOR NO KEY UPDATE SKIP LOCKED) AS w)
  SELECT COALESCE(array_agg(h.id ORDER BY h.start, h.place) FILTER (WHERE h.dead IS NOT TRUE), '{}'),
    array_agg(h.tuple) FILTER (WHERE h.dead IS NOT TRUE), COALESCE(array_agg(h.id) FILTER (WHERE h.again), '{}'),
    COALESCE(array_agg(h.id) FILTER (WHERE h.dead), '{}'), max(h.start) FILTER (WHERE h.dead IS NOT TRUE),
    count(*) < (SELECT count(*) FROM heads),
    ARRAY(SELECT (SELECT count(*) FROM held AS g WHERE g.place = r.place AND g.dead IS NOT TRUE)
      FROM generate_series(1, cardinality(p_keys)) AS r(place) ORDER BY r.place)
  INTO ids, tuples, again, dead, last_start, missed, counts
  FROM held AS h;
END;
$$;

-- Moves partitions on by what they started. One that gave nothing is forgotten when nothing of it waits; else (its limits, or runs for
-- others) it loses this turn and no more, so that the walk comes to those behind it. None is left behind the queue's time.
CREATE OR REPLACE FUNCTION dbos_sys.move_partitions(
  p_queue text, p_virtual_time double precision, p_keys text[], p_finishes double precision[], p_weights double precision[], p_counts bigint[])
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  v_empty text[] := ARRAY(
    SELECT r.key FROM unnest(p_keys, p_counts) AS r(key, runs)
    WHERE r.runs = 0 AND NOT EXISTS (
      SELECT FROM dbos.workflow_status AS w WHERE w.status = 'ENQUEUED' AND w.queue_name = p_queue AND w.queue_partition_key = r.key OFFSET 0));
BEGIN
  IF v_empty <> '{}' THEN
    DELETE FROM dbos_ops.queue_partitions AS p WHERE p.queue_name = p_queue AND p.partition_key = ANY (v_empty);
  END IF;
  -- An insert that always meets its row: by the key's index, whatever the plan.
  INSERT INTO dbos_ops.queue_partitions (queue_name, partition_key, finish)
  SELECT p_queue, r.key, CASE WHEN r.runs > 0 THEN GREATEST(r.finish + r.runs / r.weight, p_virtual_time)
    ELSE GREATEST(r.finish, p_virtual_time + 1 / r.weight) END
  FROM unnest(p_keys, p_finishes, p_weights, p_counts) AS r(key, finish, weight, runs) WHERE r.key <> ALL (v_empty)
  ON CONFLICT (queue_name, partition_key) DO UPDATE SET finish = EXCLUDED.finish;
END;
$$;

-- The claim of one partitioned queue, whose lock the caller holds. It ends after 50 ms at the latest; what is left is for the next.
CREATE OR REPLACE FUNCTION dbos_sys.claim_partitions(
  p_application text, p_executor text, p_version text, p_latest boolean, p_token text, p_queue text, p_limits record, p_room bigint,
  p_names text[], p_max integer[], p_now bigint, OUT ids text[], OUT again text[], OUT waits boolean, OUT retry_ms integer)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  v_until timestamptz := clock_timestamp() + interval '50 ms';
  v_rate CONSTANT boolean := p_limits.rate_max IS NOT NULL OR p_limits.part_rate_max IS NOT NULL;
  v_walk record;
  v_next record;
  v_bound record;
  v_got record;
  v_from double precision;
  v_key text := '';
  v_last double precision;
BEGIN
  ids := '{}';
  again := '{}';
  waits := false;
  SELECT f.* INTO v_walk FROM dbos_sys.find_partitions(p_queue, p_now) AS f;
  v_from := v_walk.low;
  v_last := v_walk.virtual_time;
  WHILE p_room > cardinality(ids) LOOP
    SELECT n.* INTO v_next FROM dbos_sys.next_partitions(p_queue, p_limits.weights, v_from, v_key, p_room - cardinality(ids)) AS n;
    IF v_next.keys IS NULL THEN
      retry_ms := LEAST(retry_ms, CASE WHEN v_walk.more THEN 1 END);
      EXIT;
    END IF;
    SELECT r.* INTO v_bound FROM dbos_sys.partition_rooms(p_application, p_executor, p_queue, v_next.keys, v_next.shares,
      p_limits.part_concurrency, p_limits.part_worker, p_limits.part_rate_max, p_limits.part_rate_ms, p_now) AS r;
    SELECT g.* INTO v_got FROM dbos_sys.pick_by_partition(p_application, p_version, p_latest, p_queue, p_room - cardinality(ids), p_names, p_max,
      v_next.keys, v_next.finishes, v_next.weights, v_bound.rooms) AS g;
    PERFORM dbos_sys.mark_claimed(p_application, p_executor, p_version, p_token, v_rate, p_now, v_got.tuples, v_got.dead);
    IF p_limits.part_rate_max IS NOT NULL AND v_got.ids <> '{}' THEN
      PERFORM dbos_sys.log_starts(p_application, p_queue, v_next.keys, v_got.counts, p_limits.part_rate_ms, p_now);
    END IF;
    ids := ids || v_got.ids;
    again := again || v_got.again;
    waits := waits OR v_bound.waits;
    retry_ms := LEAST(retry_ms, v_bound.retry_ms, CASE WHEN v_got.missed THEN 20 END);
    v_last := GREATEST(v_last, v_got.last_start);
    v_from := v_next.horizon;
    v_key := v_next.next_key;
    -- When the room is used up those behind the last start had no turn to lose.
    PERFORM dbos_sys.move_partitions(p_queue, v_walk.virtual_time, m.keys, m.finishes, m.weights, m.counts)
    FROM (
      SELECT array_agg(r.key) AS keys, array_agg(r.finish) AS finishes, array_agg(r.weight) AS weights, array_agg(r.runs) AS counts
      FROM unnest(v_next.keys, v_next.finishes, v_next.weights, v_got.counts) AS r(key, finish, weight, runs)
      WHERE r.runs > 0 OR p_room > cardinality(ids) OR r.finish < v_got.last_start) AS m
    WHERE m.keys IS NOT NULL;
    IF clock_timestamp() > v_until AND p_room > cardinality(ids) THEN
      retry_ms := LEAST(retry_ms, 1);
      EXIT;
    END IF;
  END LOOP;
  UPDATE dbos_ops.queue_walks AS w SET low = v_walk.virtual_time, virtual_time = v_last
  WHERE w.queue_name = p_queue AND (w.low, w.virtual_time) <> (v_walk.virtual_time, v_last);
END;
$$;
