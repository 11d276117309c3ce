-- Out of a partition of the archive into lines of JSON, and back: what a client writes to files, and reads from them. A line has a chunk, all columns of
-- its row in dbos_ops.archive; before the first that needs it comes a line with a shape. Pages are transactions of their own, so that no export holds
-- vacuum back: whether the partition stayed as it was meanwhile, its sum tells in the end.

-- A page of a partition: the chunks behind the stamp `after`, shapes first, which have no stamp. Raises when a chunk is not what was written.
CREATE OR REPLACE FUNCTION dbos_sys.export_archive(partition text, after text DEFAULT NULL, page_bytes integer DEFAULT 4194304)
RETURNS TABLE (stamp text, line text, workflows integer, row_count integer)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
  v_after text[] := string_to_array(export_archive.after, ' ');
  v_shapes smallint[] := '{}';
  v_row record;
BEGIN
  PERFORM dbos_sys.check_archive_tables();
  PERFORM dbos_sys.check_partition(export_archive.partition);
  IF (export_archive.page_bytes BETWEEN 1 AND 1073741824) IS NOT TRUE THEN
    PERFORM dbos_sys.fail('WF001', format('page_bytes is %s', COALESCE(export_archive.page_bytes::text, 'NULL')), NULL, 'Give 1 to 1073741824.');
  ELSIF export_archive.after !~ '^\d{1,18} [0-9a-f-]{36} \d{1,4} ' THEN
    PERFORM dbos_sys.fail('WF001', format('after is %s', dbos_sys.shown(export_archive.after)), NULL, 'Give the last stamp of the page before.');
  END IF;
  FOR v_row IN EXECUTE format($query$
    SELECT a.*, s.columns, a.digest = dbos_sys.archive_digest(s.columns, to_jsonb(a)) AND s.shape IS NOT NULL AND (a.parts = 1 OR a.parts = (
        SELECT count(*) FROM dbos_ops.%1$I AS o WHERE o.first_ended = a.first_ended AND o.chunk = a.chunk)) AS whole
    FROM (
      SELECT h.first_ended, h.chunk, h.part FROM (
        SELECT p.first_ended, p.chunk, p.part,
          sum(octet_length(p.data)::bigint) OVER (ORDER BY p.first_ended, p.chunk, p.part) - octet_length(p.data) AS before
        FROM (
          SELECT t.* FROM dbos_ops.%1$I AS t WHERE (t.first_ended, t.chunk, t.part) > ($1, $2, $3)
          ORDER BY t.first_ended, t.chunk, t.part LIMIT 256) AS p) AS h
      WHERE h.before < $4) AS k
    JOIN dbos_ops.%1$I AS a USING (first_ended, chunk, part) LEFT JOIN dbos_ops.archive_shapes AS s USING (shape)
    ORDER BY a.first_ended, a.chunk, a.part $query$, export_archive.partition)
  USING COALESCE(v_after[1], '-1')::bigint, COALESCE(v_after[2], '00000000-0000-0000-0000-000000000000')::uuid, COALESCE(v_after[3], '0')::smallint,
    export_archive.page_bytes
  LOOP
    IF v_row.whole IS NOT TRUE THEN
      PERFORM dbos_sys.fail('WF053', format('the archive is not as it was written, in the chunk of workflow %s', dbos_sys.shown(v_row.ids[1])),
        'A part or its shape is missing, or its digest differs from its text.', 'Restore the partition from a backup or an export.');
    END IF;
    IF v_row.shape <> ALL (v_shapes) THEN
      v_shapes := v_shapes || v_row.shape;
      RETURN QUERY SELECT NULL::text, json_build_object('shape', v_row.shape, 'columns', v_row.columns)::text, 0, 0;
    END IF;
    RETURN QUERY
    SELECT concat_ws(' ', v_row.first_ended, v_row.chunk, v_row.part, v_row.digest), json_build_object('first_ended', v_row.first_ended,
        'last_ended', v_row.last_ended, 'first_created', v_row.first_created, 'last_created', v_row.last_created, 'archived_at', v_row.archived_at,
        'digest', v_row.digest, 'chunk', v_row.chunk, 'row_count', v_row.row_count, 'part', v_row.part, 'parts', v_row.parts, 'shape', v_row.shape,
        'status', v_row.status, 'name', v_row.name, 'application_name', v_row.application_name, 'queue_name', v_row.queue_name, 'ids', v_row.ids,
        'data', v_row.data)::text,
      CASE v_row.part WHEN 0 THEN cardinality(v_row.ids) ELSE 0 END, v_row.row_count;
  END LOOP;
END;
$$;
COMMENT ON FUNCTION dbos_sys.export_archive(text, text, integer) IS
'A page of a partition of the archive as lines of JSON, of about so many bytes; none when it is over. after: the last stamp of the page before. The
SHA-256 of all stamps, each but the last with a line feed behind it, is archive_sum() unless the partition has changed meanwhile. Errors: WF001, WF053
(the archive has been altered), WF055 (no such partition).';

-- A chunk of an export as rows of the archive, for this database's shapes. Raises when it is not whole.
CREATE OR REPLACE FUNCTION dbos_sys.import_rows(p_lines jsonb[], p_shapes jsonb)
RETURNS SETOF jsonb
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN QUERY
  SELECT l.line || jsonb_build_object('shape', s.shape)
  FROM unnest(p_lines) AS l(line) JOIN dbos_ops.archive_shapes AS s ON s.shape = (p_shapes ->> (l.line ->> 'shape'))::smallint
  WHERE jsonb_typeof(l.line -> 'ids') = 'array' AND jsonb_array_length(l.line -> 'ids') > 0
    AND (l.line ->> 'first_ended')::bigint = dbos_sys.archive_time((l.line ->> 'first_ended')::bigint)
    AND (l.line ->> 'row_count')::integer = cardinality(string_to_array(l.line ->> 'data', E'\n'))
    AND (l.line ->> 'digest')::bigint = dbos_sys.archive_digest(s.columns, l.line);
END;
$$;

-- The ids of a chunk whose workflow is here already: the same id, created at the same time, in the tables or in another chunk.
CREATE OR REPLACE FUNCTION dbos_sys.import_present(p_first bigint, p_chunk uuid)
RETURNS text[]
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_custom_plan
AS $$
DECLARE
  v_ids text[];
  v_created bigint[];
BEGIN
  SELECT array_agg(r.id), array_agg((r.o ->> 'created_at')::bigint) INTO v_ids, v_created
  FROM dbos_sys.archive_objects(p_first, p_chunk, ARRAY['s']) AS r;
  RETURN ARRAY(
    SELECT u.id FROM unnest(v_ids, v_created) AS u(id, created) JOIN dbos.workflow_status AS w ON w.workflow_uuid = u.id AND w.created_at = u.created
    UNION
    SELECT u.id FROM dbos_ops.archive AS a, unnest(v_ids, v_created) AS u(id, created), LATERAL dbos_sys.archive_objects(a.first_ended, a.chunk, ARRAY['s'], u.id) AS r
    WHERE a.ids && v_ids AND a.part = 0 AND a.chunk <> p_chunk AND a.ids @> ARRAY[u.id] AND (r.o ->> 'created_at')::bigint = u.created);
END;
$$;

CREATE OR REPLACE FUNCTION dbos_sys.import_archive(lines text[], OUT workflows bigint, OUT present bigint)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  v_shapes jsonb;
  v_lines jsonb[];
  v_chunk record;
  v_rows jsonb[];
  v_made bigint;
  v_present text[];
BEGIN
  PERFORM dbos_sys.check_archive_tables();
  PERFORM dbos_sys.check_primary('import_archive');
  IF import_archive.lines IS NULL OR array_position(import_archive.lines, NULL) IS NOT NULL THEN
    PERFORM dbos_sys.fail('WF001', 'a line is NULL', NULL, 'Give lines of export_archive().');
  END IF;
  workflows := 0;
  present := 0;
  v_lines := ARRAY(SELECT l.line::jsonb FROM unnest(import_archive.lines) AS l(line));
  SELECT COALESCE(jsonb_object_agg(l.line ->> 'shape', dbos_sys.archive_shape(l.line -> 'columns')), '{}') INTO v_shapes
  FROM unnest(v_lines) AS l(line) WHERE jsonb_typeof(l.line -> 'columns') = 'object';
  FOR v_chunk IN
    SELECT (l.line ->> 'first_ended')::bigint AS first_ended, (l.line ->> 'chunk')::uuid AS chunk, array_agg(l.line) AS lines,
      max(jsonb_array_length(l.line -> 'ids')) AS workflows, count(DISTINCT l.line ->> 'part') = count(*) AND count(*) = max((l.line ->> 'parts')::bigint) AS whole
    FROM unnest(v_lines) AS l(line) WHERE NOT l.line ? 'columns' GROUP BY 1, 2 ORDER BY 1, 2
  LOOP
    v_rows := ARRAY(SELECT dbos_sys.import_rows(v_chunk.lines, v_shapes));
    IF cardinality(v_rows) < cardinality(v_chunk.lines) OR v_chunk.whole IS NOT TRUE OR v_chunk.chunk IS NULL THEN
      PERFORM dbos_sys.fail('WF053', format('the export is not as it was written, in the chunk of workflow %s', dbos_sys.shown(v_chunk.lines[1] -> 'ids' ->> 0)),
        'A part or its shape is missing, or its digest differs from its text.', 'Use another copy of the export.');
    END IF;
    PERFORM dbos_sys.archive_partition(v_chunk.first_ended);
    INSERT INTO dbos_ops.archive SELECT r.* FROM unnest(v_rows) AS u(o), LATERAL jsonb_populate_record(NULL::dbos_ops.archive, u.o) AS r ON CONFLICT DO NOTHING;
    GET DIAGNOSTICS v_made = ROW_COUNT;
    IF v_made = 0 THEN
      present := present + v_chunk.workflows;
      CONTINUE;
    END IF;
    v_present := dbos_sys.import_present(v_chunk.first_ended, v_chunk.chunk);
    PERFORM dbos_sys.archive_remove(v_chunk.first_ended, v_chunk.chunk, u.id) FROM unnest(v_present) AS u(id);
    present := present + cardinality(v_present);
    workflows := workflows + v_chunk.workflows - cardinality(v_present);
  END LOOP;
EXCEPTION WHEN data_exception OR not_null_violation OR program_limit_exceeded THEN
  PERFORM dbos_sys.fail('WF053', 'the export is not as it was written', format('%s.', SQLERRM), 'Use another copy of the export.');
END;
$$;
COMMENT ON FUNCTION dbos_sys.import_archive(text[]) IS
'Puts lines of export_archive() back into the archive: those of the shapes that they need, and all parts of a chunk, in one call. A chunk that is there,
and a workflow that is in the tables or in another chunk, is left as it is and counted as present. Errors: WF001, WF002, WF052, WF053 (a line is not as it
was written; nothing was changed then).';

-- Of the workflows in lines of an export those that the archive has not: by id and time of creation, for an id may have been used again.
CREATE OR REPLACE FUNCTION dbos_sys.not_archived(lines text[])
RETURNS SETOF text
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_custom_plan
AS $$
DECLARE
  v_lines jsonb[];
  v_columns jsonb;
  v_line jsonb;
  v_created_at integer;
  v_ids text[];
  v_created bigint[];
BEGIN
  PERFORM dbos_sys.check_archive_tables();
  IF not_archived.lines IS NULL OR array_position(not_archived.lines, NULL) IS NOT NULL THEN
    PERFORM dbos_sys.fail('WF001', 'a line is NULL', NULL, 'Give lines of export_archive().');
  END IF;
  v_lines := ARRAY(SELECT l.line::jsonb FROM unnest(not_archived.lines) AS l(line));
  SELECT jsonb_object_agg(l.line ->> 'shape', l.line #> '{columns,s}') INTO v_columns FROM unnest(v_lines) AS l(line) WHERE l.line ? 'columns';
  FOREACH v_line IN ARRAY v_lines LOOP
    -- The row of a workflow stands in the first part of its chunk.
    CONTINUE WHEN v_line ? 'columns' OR v_line -> 'part' <> '0';
    SELECT c.place - 1 INTO v_created_at
    FROM jsonb_array_elements_text(v_columns -> (v_line ->> 'shape')) WITH ORDINALITY AS c(name, place) WHERE c.name = 'created_at';
    v_ids := ARRAY(SELECT jsonb_array_elements_text(v_line -> 'ids'));
    v_created := ARRAY(
      SELECT (substr(l.line, 2)::jsonb ->> v_created_at)::bigint FROM string_to_table(v_line ->> 'data', E'\n') WITH ORDINALITY AS l(line, place)
      WHERE starts_with(l.line, 's') ORDER BY l.place);
    IF v_ids = '{}' OR cardinality(v_ids) <> cardinality(v_created) OR array_position(v_created, NULL) IS NOT NULL THEN
      PERFORM dbos_sys.fail('WF053', format('the export is not as it was written, in the chunk of workflow %s', dbos_sys.shown(v_ids[1])),
        'Its rows are not those of its workflows, or its shape is missing.', 'Use another copy of the export.');
    END IF;
    RETURN QUERY
    SELECT u.id
    FROM unnest(v_ids, v_created) WITH ORDINALITY AS u(id, created, place) LEFT JOIN (
      SELECT r.id, (r.o ->> 'created_at')::bigint AS created
      FROM (SELECT a.first_ended, a.chunk FROM dbos_ops.archive AS a WHERE a.ids && v_ids AND a.part = 0 OFFSET 0) AS c,
        LATERAL dbos_sys.archive_objects(c.first_ended, c.chunk, ARRAY['s']) AS r) AS h ON h.id = u.id AND h.created = u.created
    WHERE h.id IS NULL ORDER BY u.place;
  END LOOP;
EXCEPTION WHEN data_exception THEN
  PERFORM dbos_sys.fail('WF053', 'the export is not as it was written', format('%s.', SQLERRM), 'Use another copy of the export.');
END;
$$;
COMMENT ON FUNCTION dbos_sys.not_archived(text[]) IS
'Of the workflows in lines of export_archive(), given with the shapes that they need, those that are not in the archive now, in whatever chunk or month;
the same id created at another time is another workflow. Errors: WF001, WF002, WF053 (a line is not as it was written, or the archive has been altered).';
