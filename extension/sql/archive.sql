-- The archive: whole workflows, packed before they are deleted. Packing and deleting are one transaction: a workflow is in the tables or here.
-- dbos_ops.archive is partitioned by the month (UTC) in which workflows ended. A row, a chunk, has many workflows that are alike (one name, application,
-- queue and status), for a server compresses texts above 2 kB only, and like ones well. `ids` are in order; `data` has a line for each of their rows in
-- schema dbos: a letter for the table (see archive_tables()) and a JSON array of the columns but the id, in the order that `shape` names, so that a
-- table may gain columns. An `s` line begins the next of the ids. A workflow above 16 MiB is several rows (`part` of `parts`) with one chunk's number.

-- Tables that hold a workflow: letter, column of the id, and two keys that order a workflow's rows.
CREATE OR REPLACE FUNCTION dbos_sys.archive_tables()
RETURNS TABLE (place integer, letter text, table_name text, id_column text, key_1 text, key_2 text)
LANGUAGE sql
IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
  VALUES (1, 's', 'workflow_status', 'workflow_uuid', '0', ''''''), (2, 'i', 'workflow_input', 'workflow_uuid', '0', ''''''),
    (3, 'o', 'workflow_output', 'workflow_uuid', '0', ''''''), (4, 'p', 'operation_outputs', 'workflow_uuid', 't.function_id', ''''''),
    (5, 'n', 'notifications', 'destination_uuid', 't.created_at_epoch_ms', 't.message_uuid'), (6, 'e', 'workflow_events', 'workflow_uuid', '0', 't.key'),
    (7, 'h', 'workflow_events_history', 'workflow_uuid', 't.function_id', 't.key'), (8, 't', 'streams', 'workflow_uuid', 't."offset"', 't.key')
$$;

-- The columns of these tables as they are now, by letter; and which of them are packed as texts.
CREATE OR REPLACE FUNCTION dbos_sys.archive_columns()
RETURNS jsonb
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN (
    SELECT jsonb_object_agg(c.letter, c.names) || jsonb_build_object('jsonb', jsonb_object_agg(c.letter, c.texts) FILTER (WHERE c.texts IS NOT NULL))
    FROM (
      SELECT t.letter, jsonb_agg(a.attname ORDER BY a.attnum) AS names, jsonb_agg(a.attname ORDER BY a.attnum) FILTER (WHERE a.atttypid = 'jsonb'::regtype) AS texts
      FROM dbos_sys.archive_tables() AS t JOIN pg_attribute AS a
        ON a.attrelid = to_regclass('dbos.' || t.table_name) AND a.attnum > 0 AND NOT a.attisdropped AND a.attname <> t.id_column
      GROUP BY t.letter) AS c);
END;
$$;

-- The number under which these columns are known.
CREATE OR REPLACE FUNCTION dbos_sys.archive_shape(p_columns jsonb)
RETURNS smallint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  v_shape smallint := (SELECT s.shape FROM dbos_ops.archive_shapes AS s WHERE s.columns = p_columns);
BEGIN
  IF v_shape IS NULL THEN
    PERFORM pg_advisory_xact_lock(hashtextextended('dbos_sys.archive_shape', 0));
    INSERT INTO dbos_ops.archive_shapes AS s (shape, columns)
    SELECT COALESCE(max(o.shape), 0) + 1, p_columns FROM dbos_ops.archive_shapes AS o
    ON CONFLICT (columns) DO UPDATE SET shape = s.shape RETURNING s.shape INTO v_shape;
  END IF;
  RETURN v_shape;
END;
$$;

-- Times beyond what a calendar partition can have are filed under its ends; the row itself keeps what it says.
CREATE OR REPLACE FUNCTION dbos_sys.archive_time(p_ms bigint)
RETURNS bigint
LANGUAGE plpgsql
IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN LEAST(GREATEST(p_ms, 0), 7258118399999);
END;
$$;

-- The name of the partition of this time.
CREATE OR REPLACE FUNCTION dbos_sys.archive_month(p_ms bigint)
RETURNS text
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN to_char(to_timestamp(dbos_sys.archive_time(p_ms) / 1000) AT TIME ZONE 'UTC', '"archive_"YYYY_MM');
END;
$$;

-- Makes the partition of this time's month. Only who owns the archive can; where the worker runs as another role, the owner makes them ahead
-- with archive_partitions().
CREATE OR REPLACE FUNCTION dbos_sys.archive_partition(p_ms bigint)
RETURNS text
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  v_month timestamp := date_trunc('month', to_timestamp(dbos_sys.archive_time(p_ms) / 1000) AT TIME ZONE 'UTC');
  v_name text := dbos_sys.archive_month(p_ms);
  v_owner name := (SELECT pg_get_userbyid(c.relowner) FROM pg_class AS c WHERE c.oid = to_regclass('dbos_ops.archive'));
BEGIN
  IF to_regclass('dbos_ops.' || v_name) IS NULL THEN
    EXECUTE format('CREATE TABLE dbos_ops.%I PARTITION OF dbos_ops.archive FOR VALUES FROM (%s) TO (%s)', v_name,
      EXTRACT(epoch FROM v_month)::bigint * 1000, EXTRACT(epoch FROM v_month + interval '1 month')::bigint * 1000);
    IF v_owner <> current_user THEN
      EXECUTE format('ALTER TABLE dbos_ops.%I OWNER TO %I', v_name, v_owner);
    END IF;
  END IF;
  RETURN v_name;
EXCEPTION WHEN insufficient_privilege THEN
  PERFORM dbos_sys.fail('WF052', format('the archive has no partition %s, and role %I may not make it', v_name, current_user), NULL,
    format('As %I: SELECT dbos_sys.archive_partitions();', v_owner));
END;
$$;

CREATE OR REPLACE FUNCTION dbos_sys.archive_partitions(months integer DEFAULT 24)
RETURNS integer
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  v_now timestamptz := to_timestamp(dbos_sys.now_ms() / 1000);
  v_oldest bigint := (SELECT min(w.completed_at) FROM dbos.workflow_status AS w WHERE w.completed_at IS NOT NULL);
  -- A clock that was wrong is no reason for partitions without end: twenty years.
  v_first timestamptz := GREATEST(LEAST(v_now, to_timestamp(COALESCE(v_oldest, dbos_sys.now_ms()) / 1000)), v_now - interval '240 months');
  v_made integer := 0;
  v_month timestamptz;
BEGIN
  PERFORM dbos_sys.check_primary('archive_partitions');
  IF (months BETWEEN 0 AND 240) IS NOT TRUE THEN
    PERFORM dbos_sys.fail('WF001', format('months is %s', COALESCE(months::text, 'NULL')), NULL, 'Give 0 to 240.');
  END IF;
  FOR v_month IN
    SELECT m.month FROM generate_series(date_trunc('month', v_first, 'UTC'), v_now + months * interval '1 month', interval '1 month') AS m(month)
    WHERE to_regclass('dbos_ops.' || to_char(m.month AT TIME ZONE 'UTC', '"archive_"YYYY_MM')) IS NULL
  LOOP
    PERFORM dbos_sys.archive_partition((EXTRACT(epoch FROM v_month) * 1000)::bigint);
    v_made := v_made + 1;
  END LOOP;
  RETURN v_made;
END;
$$;
COMMENT ON FUNCTION dbos_sys.archive_partitions(integer) IS
'Makes the monthly partitions of the archive that are missing, from the oldest ended workflow on until so many months ahead; returns how many. prune()
makes the one that it needs where it runs as the owner of the archive; where it does not, the owner calls this. Errors: WF001, WF052 (not the owner).';

-- Who sets a policy that archives is often the owner, and prune() is not always: makes partitions ahead where it can.
CREATE OR REPLACE FUNCTION dbos_sys.archive_ahead()
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  IF pg_has_role(current_user, (SELECT c.relowner FROM pg_class AS c WHERE c.oid = to_regclass('dbos_ops.archive')), 'USAGE') THEN
    PERFORM dbos_sys.archive_partitions();
  END IF;
END;
$$;

-- The query that packs the workflows of $1, each by itself: id, part, row_count, doc.
CREATE OR REPLACE FUNCTION dbos_sys.archive_query(p_columns jsonb)
RETURNS text
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN format($query$
    SELECT l.id, l.part::smallint AS part, count(*)::integer AS row_count, string_agg(l.line, E'\n' ORDER BY l.place, l.key_1, l.key_2) AS doc
    FROM (
      SELECT r.*, (sum(octet_length(r.line)) OVER (PARTITION BY r.id ORDER BY r.place, r.key_1, r.key_2 ROWS UNBOUNDED PRECEDING)
        - octet_length(r.line)) / 16777216 AS part
      FROM (%s) AS r) AS l
    GROUP BY l.id, l.part $query$, (
    SELECT string_agg(format('SELECT u.id, %s AS place, %s::bigint AS key_1, %s AS key_2, %L || json_build_array(%s)::text AS line
        FROM unnest($1) AS u(id), LATERAL (SELECT * FROM dbos.%I AS s WHERE s.%I = u.id OFFSET 0) AS t',
      t.place, t.key_1, t.key_2, t.letter, (
        SELECT string_agg(format('t.%I', c.name) || CASE WHEN p_columns -> 'jsonb' -> t.letter ? c.name THEN '::text' ELSE '' END, ', ' ORDER BY c.place)
        FROM jsonb_array_elements_text(p_columns -> t.letter) WITH ORDINALITY AS c(name, place)),
      t.table_name, t.id_column), ' UNION ALL ' ORDER BY t.place)
    FROM dbos_sys.archive_tables() AS t));
END;
$$;

-- What a chunk says of itself, to be held against it later: all of its row, and for the number of the shape, which is this database's own, what it
-- stands for. NULL when that is not known.
CREATE OR REPLACE FUNCTION dbos_sys.archive_digest(p_columns jsonb, p_row jsonb)
RETURNS bigint
LANGUAGE plpgsql
IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN hashtextextended(p_columns::text || E'\n' || (p_row - '{digest,shape,chunk,data}'::text[])::text || E'\n' || (p_row ->> 'data'), 0);
END;
$$;

-- Packs workflows whose rows the caller has locked.
CREATE OR REPLACE FUNCTION dbos_sys.archive_rows(p_ids text[], p_now bigint)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET jit = off
AS $$
DECLARE
  v_columns jsonb := dbos_sys.archive_columns();
  v_shape smallint := dbos_sys.archive_shape(v_columns);
  v_month bigint;
BEGIN
  FOR v_month IN
    SELECT min(w.at) FROM (
      SELECT dbos_sys.archive_time(COALESCE(s.completed_at, s.updated_at)) AS at FROM dbos.workflow_status AS s WHERE s.workflow_uuid = ANY (p_ids)) AS w
    GROUP BY date_trunc('month', to_timestamp(w.at / 1000) AT TIME ZONE 'UTC')
  LOOP
    PERFORM dbos_sys.archive_partition(v_month);
  END LOOP;
  EXECUTE format($query$
    WITH docs AS MATERIALIZED (
      SELECT q.*, count(*) OVER (PARTITION BY q.id) AS parts, w.*, date_trunc('month', to_timestamp(w.at / 1000) AT TIME ZONE 'UTC') AS month
      FROM (%s) AS q,
      LATERAL (
        SELECT dbos_sys.archive_time(COALESCE(s.completed_at, s.updated_at)) AS at, s.created_at, s.status, s.name, s.application_name, s.queue_name
        FROM dbos.workflow_status AS s WHERE s.workflow_uuid = q.id OFFSET 0) AS w),
    placed AS (
      SELECT d.*, CASE WHEN d.parts > 1 THEN d.id END AS alone, sum(octet_length(d.doc)) OVER (
        PARTITION BY d.month, d.status, d.name, d.application_name, d.queue_name, d.parts > 1 ORDER BY d.at, d.id ROWS UNBOUNDED PRECEDING) / 49152 AS heap
      FROM docs AS d),
    chunks AS (
      SELECT p.part, max(p.parts)::smallint AS parts, p.alone, min(p.at) AS first_ended, max(p.at) AS last_ended, min(p.created_at) AS first_created,
        max(p.created_at) AS last_created, p.status, p.name, p.application_name, p.queue_name, sum(p.row_count)::integer AS row_count,
        array_agg(p.id ORDER BY p.at, p.id) AS ids, string_agg(p.doc, E'\n' ORDER BY p.at, p.id) AS data
      FROM placed AS p
      GROUP BY p.month, p.status, p.name, p.application_name, p.queue_name, p.alone, p.part, CASE WHEN p.alone IS NULL THEN p.heap END)
    INSERT INTO dbos_ops.archive (chunk, part, parts, shape, archived_at, first_ended, last_ended, first_created, last_created, status, name,
      application_name, queue_name, row_count, digest, ids, data)
    SELECT COALESCE(a.chunk, gen_random_uuid()), c.part, c.parts, $2, $3, c.first_ended, c.last_ended, c.first_created, c.last_created, c.status, c.name,
      c.application_name, c.queue_name, c.row_count, dbos_sys.archive_digest($4, to_jsonb(c) - 'alone' || jsonb_build_object('archived_at', $3)), c.ids, c.data
    FROM chunks AS c LEFT JOIN (
      SELECT o.alone, gen_random_uuid() AS chunk FROM chunks AS o WHERE o.part = 0 AND o.alone IS NOT NULL) AS a ON a.alone = c.alone
    $query$, dbos_sys.archive_query(v_columns))
  USING p_ids, v_shape, p_now, v_columns;
END;
$$;

-- The same, one by one when that cannot be done together; returns those that are packed. What cannot be packed stays in the tables.
CREATE OR REPLACE FUNCTION dbos_sys.archive_batch(p_ids text[], p_now bigint)
RETURNS text[]
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  v_id text;
  v_packed text[] := '{}';
BEGIN
  BEGIN
    PERFORM dbos_sys.archive_rows(p_ids, p_now);
    RETURN p_ids;
  EXCEPTION WHEN program_limit_exceeded OR out_of_memory THEN
    NULL;
  END;
  FOREACH v_id IN ARRAY p_ids LOOP
    BEGIN
      PERFORM dbos_sys.archive_rows(ARRAY[v_id], p_now);
      v_packed := v_packed || v_id;
    EXCEPTION WHEN program_limit_exceeded OR out_of_memory THEN
      RAISE WARNING 'workflow % cannot be archived, and stays: %', dbos_sys.shown(v_id), SQLERRM USING ERRCODE = SQLSTATE;
    END;
  END LOOP;
  RETURN v_packed;
END;
$$;

-- The chunk of an id, of several the one that was archived last; nothing when it is not in the archive.
CREATE OR REPLACE FUNCTION dbos_sys.archive_find(p_id text, OUT first_ended bigint, OUT chunk uuid)
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_custom_plan
AS $$
BEGIN
  SELECT a.first_ended, a.chunk INTO first_ended, chunk FROM dbos_ops.archive AS a
  WHERE a.ids @> ARRAY[p_id] AND a.part = 0 ORDER BY a.archived_at DESC, a.last_ended DESC LIMIT 1;
END;
$$;

-- The lines of a chunk with the id that each belongs to. Raises when the chunk is not what was written.
CREATE OR REPLACE FUNCTION dbos_sys.archive_lines(p_first bigint, p_chunk uuid)
RETURNS TABLE (id text, shape smallint, part smallint, place bigint, line text)
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  IF (
    SELECT NOT (count(*) = min(a.parts) AND count(DISTINCT a.part) = count(*) AND max(a.part) = count(*) - 1 AND count(s.shape) = count(*)
      AND bool_and(a.digest = dbos_sys.archive_digest(s.columns, to_jsonb(a))))
    FROM dbos_ops.archive AS a LEFT JOIN dbos_ops.archive_shapes AS s ON s.shape = a.shape
    WHERE a.first_ended = p_first AND a.chunk = p_chunk
  ) THEN
    PERFORM dbos_sys.fail('WF053', format('the archive is not as it was written, in the chunk of workflow %s', (
        SELECT dbos_sys.shown(min(a.ids[1])) FROM dbos_ops.archive AS a WHERE a.first_ended = p_first AND a.chunk = p_chunk)),
      'A part or its shape is missing, or its digest differs from its text.', 'Restore the partition from a backup or an export.');
  END IF;
  RETURN QUERY
  SELECT a.ids[GREATEST(count(*) FILTER (WHERE starts_with(l.line, 's')) OVER (PARTITION BY a.part ORDER BY l.place), 1)], a.shape, a.part, l.place, l.line
  FROM dbos_ops.archive AS a, LATERAL string_to_table(a.data, E'\n') WITH ORDINALITY AS l(line, place)
  WHERE a.first_ended = p_first AND a.chunk = p_chunk ORDER BY a.part, l.place;
END;
$$;

-- The rows of a chunk, or of one workflow in it, unpacked: the table's letter and an object of its columns. A column that was packed as a text and is
-- NULL has no key, so that null is what it was.
CREATE OR REPLACE FUNCTION dbos_sys.archive_objects(p_first bigint, p_chunk uuid, p_letters text[], p_id text DEFAULT NULL)
RETURNS TABLE (id text, letter text, o jsonb)
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN QUERY
  SELECT l.id, left(l.line, 1), v.o
  FROM dbos_sys.archive_lines(p_first, p_chunk) AS l LEFT JOIN dbos_ops.archive_shapes AS s ON s.shape = l.shape,
  LATERAL (
    SELECT jsonb_object_agg(c.name, CASE WHEN t.is_text THEN (e.value #>> '{}')::jsonb ELSE e.value END) FILTER (WHERE NOT t.is_text OR e.value <> 'null') AS o
    FROM jsonb_array_elements_text(s.columns -> left(l.line, 1)) WITH ORDINALITY AS c(name, place)
    JOIN jsonb_array_elements(substr(l.line, 2)::jsonb) WITH ORDINALITY AS e(value, place) ON e.place = c.place,
    LATERAL (SELECT COALESCE(s.columns -> 'jsonb' -> left(l.line, 1) ? c.name, false) AS is_text) AS t) AS v
  WHERE left(l.line, 1) = ANY (p_letters) AND (p_id IS NULL OR l.id = p_id) ORDER BY l.part, l.place;
END;
$$;

-- Takes a workflow out of its chunk, which the caller has locked.
CREATE OR REPLACE FUNCTION dbos_sys.archive_remove(p_first bigint, p_chunk uuid, p_id text)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  v_ids text[] := (SELECT array_remove(a.ids, p_id) FROM dbos_ops.archive AS a WHERE a.first_ended = p_first AND a.chunk = p_chunk AND a.part = 0);
  v_rest record;
BEGIN
  IF v_ids = '{}' THEN
    DELETE FROM dbos_ops.archive AS a WHERE a.first_ended = p_first AND a.chunk = p_chunk;
    RETURN;
  END IF;
  SELECT string_agg(l.line, E'\n' ORDER BY l.place) AS data, count(*) AS row_count INTO v_rest
  FROM dbos_sys.archive_lines(p_first, p_chunk) AS l WHERE l.id <> p_id;
  UPDATE dbos_ops.archive AS a
  SET ids = v_ids, data = v_rest.data, row_count = v_rest.row_count, digest = dbos_sys.archive_digest(s.columns,
    to_jsonb(a) || jsonb_build_object('ids', v_ids, 'data', v_rest.data, 'row_count', v_rest.row_count))
  FROM dbos_ops.archive_shapes AS s
  WHERE s.shape = a.shape AND a.first_ended = p_first AND a.chunk = p_chunk;
END;
$$;
