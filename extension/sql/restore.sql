-- Out of the archive again, and its end.

CREATE OR REPLACE FUNCTION dbos_sys.check_archive_tables()
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  IF to_regclass('dbos_ops.archive') IS NULL OR to_regclass('dbos_ops.archive_exports') IS NULL OR to_regclass('dbos_ops.export_ids') IS NULL
    OR to_regclass('dbos_ops.retention_holds') IS NULL THEN
    PERFORM dbos_sys.fail('WF002', 'the tables of the archive are not installed in this database', NULL, 'SELECT dbos_sys.install();');
  END IF;
END;
$$;

-- Locks the chunk of an id; nothing when there is none. Who meant it too waits here, and then looks again.
CREATE OR REPLACE FUNCTION dbos_sys.archive_lock(p_id text, OUT first_ended bigint, OUT chunk uuid)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  v_found record;
BEGIN
  LOOP
    SELECT f.first_ended, f.chunk INTO v_found FROM dbos_sys.archive_find(p_id) AS f;
    EXIT WHEN v_found.chunk IS NULL;
    PERFORM FROM dbos_ops.archive AS a WHERE a.first_ended = v_found.first_ended AND a.chunk = v_found.chunk ORDER BY a.part FOR UPDATE;
    IF EXISTS (SELECT FROM dbos_ops.archive AS a WHERE a.first_ended = v_found.first_ended AND a.chunk = v_found.chunk AND a.part = 0 AND a.ids @> ARRAY[p_id]) THEN
      first_ended := v_found.first_ended;
      chunk := v_found.chunk;
      EXIT;
    END IF;
  END LOOP;
END;
$$;

-- Puts rows back, table by table, in the columns that they had. An executor that had lost the workflow may have written of it since: from the row of its
-- status on nobody else has the id, and such rows make way for the archive's.
CREATE OR REPLACE FUNCTION dbos_sys.restore_rows(p_id text, p_first bigint, p_chunk uuid)
RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET dbos_sys.quiet = on
AS $$
DECLARE
  v_letters text[];
  v_all jsonb[];
  v_objects jsonb[];
  v_columns jsonb := (SELECT s.columns FROM dbos_ops.archive AS a JOIN dbos_ops.archive_shapes AS s ON s.shape = a.shape
    WHERE a.first_ended = p_first AND a.chunk = p_chunk AND a.part = 0);
  v_table record;
  v_names text;
  v_values text;
  v_rows bigint;
  v_total bigint := 0;
BEGIN
  SELECT array_agg(r.letter), array_agg(r.o) INTO v_letters, v_all
  FROM dbos_sys.archive_objects(p_first, p_chunk, ARRAY(SELECT t.letter FROM dbos_sys.archive_tables() AS t), p_id) AS r;
  FOR v_table IN SELECT t.* FROM dbos_sys.archive_tables() AS t WHERE t.letter = ANY (v_letters) ORDER BY t.place LOOP
    v_objects := ARRAY(
      SELECT jsonb_build_object(v_table.id_column, p_id) || u.o FROM unnest(v_letters, v_all) AS u(letter, o) WHERE u.letter = v_table.letter);
    -- A record would take null in JSON for NULL.
    SELECT string_agg(format('%I', c.name), ', '),
      string_agg(format(CASE WHEN v_columns -> 'jsonb' -> v_table.letter ? c.name THEN 'u.o -> %2$L' ELSE 'r.%1$I' END, c.name, c.name), ', ')
    INTO v_names, v_values
    FROM (SELECT v_table.id_column AS name UNION ALL SELECT jsonb_array_elements_text(v_columns -> v_table.letter)) AS c;
    EXECUTE format('INSERT INTO dbos.%1$I (%2$s) SELECT %3$s FROM unnest($1) AS u(o), LATERAL jsonb_populate_record(NULL::dbos.%1$I, u.o) AS r',
      v_table.table_name, v_names, v_values) USING v_objects;
    GET DIAGNOSTICS v_rows = ROW_COUNT;
    v_total := v_total + v_rows;
    IF v_table.letter = 's' THEN
      DELETE FROM dbos.workflow_input AS i WHERE i.workflow_uuid = p_id;
      DELETE FROM dbos.workflow_output AS o WHERE o.workflow_uuid = p_id;
      DELETE FROM dbos.operation_outputs AS o WHERE o.workflow_uuid = p_id;
    END IF;
  END LOOP;
  RETURN v_total;
EXCEPTION
  WHEN unique_violation THEN
    PERFORM dbos_sys.fail('WF011', format('workflow %s exists already', dbos_sys.shown(p_id)), format('%s.', SQLERRM),
      'Its id was used again after it had been archived. SELECT * FROM dbos_sys.history(id) shows the one in the tables.');
  WHEN undefined_column OR not_null_violation THEN
    PERFORM dbos_sys.fail('WF054', format('workflow %s does not fit into the tables any more', dbos_sys.shown(p_id)), format('%s.', SQLERRM),
      'The tables have changed since it was archived.');
END;
$$;

-- Brings back the archived workflows that one in the tables started (`p_all`, with those that they started), or only those whose results it will ask
-- for; prune_free() leaves the rest of these alone from now on.
CREATE OR REPLACE FUNCTION dbos_sys.restore_children(p_id text, p_all boolean, p_hold interval)
RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  v_child text;
  v_rows bigint := 0;
BEGIN
  FOR v_child IN
    SELECT DISTINCT o.child_workflow_id FROM dbos.operation_outputs AS o
    WHERE o.workflow_uuid = p_id AND o.child_workflow_id IS NOT NULL AND o.function_name <> 'DBOS.getResult'
      AND (p_all OR NOT EXISTS (
        SELECT FROM dbos.operation_outputs AS r
        WHERE r.workflow_uuid = p_id AND r.child_workflow_id = o.child_workflow_id AND r.function_name = 'DBOS.getResult'))
    ORDER BY 1
  LOOP
    PERFORM FROM dbos.workflow_status AS w WHERE w.workflow_uuid = v_child FOR KEY SHARE;
    IF NOT FOUND AND to_regclass('dbos_ops.archive') IS NOT NULL AND (SELECT f.chunk FROM dbos_sys.archive_find(v_child) AS f) IS NOT NULL THEN
      v_rows := v_rows + dbos_sys.restore(v_child, p_hold, p_all);
    END IF;
  END LOOP;
  RETURN v_rows;
END;
$$;

CREATE OR REPLACE FUNCTION dbos_sys.restore(id text, hold interval DEFAULT '1 day', children boolean DEFAULT false)
RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
  v_now bigint := dbos_sys.now_ms();
  v_hold bigint := dbos_sys.interval_ms('hold', restore.hold);
  v_found record;
  v_rows bigint;
BEGIN
  PERFORM dbos_sys.check_text('workflow id', restore.id);
  PERFORM dbos_sys.check_span('hold', v_hold, true);
  PERFORM dbos_sys.check_archive_tables();
  PERFORM dbos_sys.check_primary('restore');
  SELECT a.first_ended, a.chunk INTO v_found FROM dbos_sys.archive_lock(restore.id) AS a;
  IF EXISTS (SELECT FROM dbos.workflow_status AS w WHERE w.workflow_uuid = restore.id) THEN
    v_rows := dbos_sys.restore_children(restore.id, true, restore.hold) WHERE children;
    IF v_rows > 0 THEN
      RETURN v_rows;
    END IF;
    PERFORM dbos_sys.fail('WF011', format('workflow %s exists already', dbos_sys.shown(restore.id)), NULL, 'It is in the tables: there is nothing to restore.');
  ELSIF v_found.chunk IS NULL THEN
    -- prune() moved it between the two looks, or it is nowhere.
    SELECT a.first_ended, a.chunk INTO v_found FROM dbos_sys.archive_lock(restore.id) AS a;
  END IF;
  IF v_found.chunk IS NULL THEN
    PERFORM dbos_sys.fail('WF010', format('workflow %s is not in the archive', dbos_sys.shown(restore.id)), NULL,
      'SELECT workflow_uuid FROM dbos_sys.list(archived => true) shows the ids.');
  END IF;
  v_rows := dbos_sys.restore_rows(restore.id, v_found.first_ended, v_found.chunk);
  PERFORM dbos_sys.archive_remove(v_found.first_ended, v_found.chunk, restore.id);
  INSERT INTO dbos_ops.retention_holds AS h (workflow_uuid, until) VALUES (restore.id, v_now + v_hold)
  ON CONFLICT (workflow_uuid) DO UPDATE SET until = EXCLUDED.until;
  -- Who may be resumed will ask for what its record has not.
  IF children OR EXISTS (SELECT FROM dbos.workflow_status AS w WHERE w.workflow_uuid = restore.id AND w.status NOT IN ('SUCCESS', 'ERROR')) THEN
    v_rows := v_rows + dbos_sys.restore_children(restore.id, COALESCE(children, false), restore.hold);
  END IF;
  RETURN v_rows;
END;
$$;
COMMENT ON FUNCTION dbos_sys.restore(text, interval, boolean) IS
'Moves a workflow from the archive back into the tables, byte for byte, and returns the number of rows. prune() leaves it alone for the time of hold.
children: with all that it started, and they, also when it is in the tables itself; an SDK that forks it from before their results needs them. Of one that was cancelled, or is a dead letter,
those whose results it has not recorded come back in any case, for it may be resumed. Of an id that was archived more than once, the last. Errors: WF001, WF010 (not in the archive), WF011 (the id exists in the tables), WF053 (the archive
has been altered), WF054 (the tables have changed).';

CREATE OR REPLACE FUNCTION dbos_sys.check_partition(p_partition text)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  IF NOT EXISTS (
    SELECT FROM pg_inherits AS i JOIN pg_class AS c ON c.oid = i.inhrelid WHERE i.inhparent = to_regclass('dbos_ops.archive') AND c.relname = p_partition) THEN
    PERFORM dbos_sys.fail('WF055', format('the archive has no partition %s', dbos_sys.shown(p_partition)), NULL, 'SELECT * FROM dbos_sys.archives(); lists them.');
  END IF;
END;
$$;

-- The places of noted exports of a partition: of those that have what is in it now, or of those that have an earlier state of it.
CREATE OR REPLACE FUNCTION dbos_sys.exports_of(p_partition text, p_current boolean)
RETURNS text[]
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  v_sum text;
BEGIN
  -- Most months of an archive that keeps them have none: the sum reads all chunks.
  IF NOT EXISTS (SELECT FROM dbos_ops.archive_exports AS e WHERE e.partition = p_partition) THEN
    RETURN '{}';
  END IF;
  v_sum := dbos_sys.archive_sum(p_partition);
  RETURN ARRAY(SELECT e.place FROM dbos_ops.archive_exports AS e WHERE e.partition = p_partition AND (e.digest = v_sum) = p_current ORDER BY e.place);
END;
$$;

-- What is in the archive, month by month.
CREATE OR REPLACE FUNCTION dbos_sys.archives()
RETURNS TABLE (partition text, workflows bigint, row_count bigint, bytes bigint, first_ended timestamptz, last_ended timestamptz, exports text[])
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  PERFORM dbos_sys.check_archive_tables();
  RETURN QUERY
  SELECT c.relname::text, COALESCE(s.workflows, 0), COALESCE(s.row_count, 0), pg_total_relation_size(c.oid), to_timestamp(s.first / 1000.0), to_timestamp(s.last / 1000.0),
    dbos_sys.exports_of(c.relname::text, true)
  FROM pg_inherits AS i JOIN pg_class AS c ON c.oid = i.inhrelid
  LEFT JOIN (
    SELECT a.tableoid, sum(cardinality(a.ids)) FILTER (WHERE a.part = 0) AS workflows, sum(a.row_count)::bigint AS row_count, min(a.first_ended) AS first, max(a.last_ended) AS last
    FROM dbos_ops.archive AS a GROUP BY a.tableoid) AS s ON s.tableoid = c.oid
  WHERE i.inhparent = to_regclass('dbos_ops.archive') ORDER BY 1;
END;
$$;
COMMENT ON FUNCTION dbos_sys.archives() IS
'The monthly partitions of the archive, what is in them, and the places whose noted export has just that: an export of an earlier state is none. Errors: WF002.';

CREATE OR REPLACE FUNCTION dbos_sys.archive_sum(partition text)
RETURNS text
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  v_sum text;
BEGIN
  PERFORM dbos_sys.check_archive_tables();
  PERFORM dbos_sys.check_partition(archive_sum.partition);
  EXECUTE format($query$
    SELECT encode(sha256(convert_to(COALESCE(string_agg(concat_ws(' ', a.first_ended, a.chunk, a.part, a.digest), E'\n'
      ORDER BY a.first_ended, a.chunk, a.part), ''), 'UTF8')), 'hex')
    FROM dbos_ops.%I AS a $query$, archive_sum.partition) INTO v_sum;
  RETURN v_sum;
END;
$$;
COMMENT ON FUNCTION dbos_sys.archive_sum(text) IS
'SHA-256 over the digests of all chunks of a partition of the archive: another one as soon as anything came in or went. Errors: WF002, WF055 (no such
partition).';

CREATE OR REPLACE FUNCTION dbos_sys.drop_archive(partition text, force boolean DEFAULT false)
RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET lock_timeout = '5s'
AS $$
#variable_conflict use_column
DECLARE
  v_workflows bigint;
  v_month bigint;
BEGIN
  PERFORM dbos_sys.check_archive_tables();
  PERFORM dbos_sys.check_primary('drop_archive');
  PERFORM dbos_sys.check_partition(drop_archive.partition);
  PERFORM dbos_sys.check_isolation();
  EXECUTE format('LOCK TABLE dbos_ops.archive, dbos_ops.%I IN ACCESS EXCLUSIVE MODE', drop_archive.partition);
  EXECUTE format('SELECT COALESCE(sum(cardinality(a.ids)) FILTER (WHERE a.part = 0), 0) FROM dbos_ops.%I AS a', drop_archive.partition) INTO v_workflows;
  -- By its contents, and not by the time of the export: what came in while it was written may have an earlier one.
  IF v_workflows > 0 AND force IS NOT TRUE AND NOT EXISTS (
    SELECT FROM dbos_ops.archive_exports AS e WHERE e.partition = drop_archive.partition AND e.digest = dbos_sys.archive_sum(drop_archive.partition)) THEN
    PERFORM dbos_sys.fail('WF055', format('%s workflows of %s are nowhere else', v_workflows, drop_archive.partition),
      'No export has been noted since a workflow last came in or went.', 'Export it first: dbos-sys archive export; or mean it: drop_archive(…, force => true).');
  END IF;
  EXECUTE format('DROP TABLE dbos_ops.%I', drop_archive.partition);
  -- More is to come into a month that is not over, and who prunes may not make partitions.
  v_month := (EXTRACT(epoch FROM to_date(right(drop_archive.partition, 7), 'YYYY_MM')) * 1000)::bigint;
  PERFORM dbos_sys.archive_partition(v_month) WHERE dbos_sys.archive_month(v_month) >= dbos_sys.archive_month(dbos_sys.now_ms());
  RETURN v_workflows;
END;
$$;
COMMENT ON FUNCTION dbos_sys.drop_archive(text, boolean) IS
'Drops a monthly partition of the archive and returns how many workflows were in it; of a month that is not over an empty one is left. Refused unless a noted export holds exactly what is in it, or force.
The note is from when the export was made: whether its files are still there and whole, SQL cannot see. dbos-sys archive drop reads them again. Called by the owner of the tables. Errors: WF001 (not READ COMMITTED), WF055 (no such partition, or not exported).';
