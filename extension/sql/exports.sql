-- What is known of exports: which months were written where, and whose workflows they have, for people have a right to be forgotten. Files cannot be
-- looked into from here, and a month may have been dropped, so each noted export has its ids in dbos_ops.export_ids: the first 64 bits of each one's
-- SHA-256, which never miss an id and almost never take another for it (hash functions of the server may change with its version; this one does not).
-- They lie in `buckets` rows, a power of two that leaves about 100 to 200 in each; the last bits of a hash say in which: a look at any number of exports
-- reads a few short rows. An export is a month, a place and the sum of its contents: a place may have several of one month.

CREATE OR REPLACE FUNCTION dbos_sys.export_hash(p_id text)
RETURNS bigint
LANGUAGE plpgsql
IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN ('x' || encode(substr(sha256(convert_to(p_id, 'UTF8')), 1, 8), 'hex'))::bit(64)::bigint;
END;
$$;

-- Keeps what ids a partition has now as those of this export, unless they are kept already.
CREATE OR REPLACE FUNCTION dbos_sys.keep_export_ids(p_partition text, p_place text, p_digest text)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  IF EXISTS (SELECT FROM dbos_ops.export_ids AS x WHERE x.partition = p_partition AND x.place = p_place AND x.digest = p_digest) THEN
    RETURN;
  END IF;
  EXECUTE format($query$
    WITH ids AS MATERIALIZED (
      SELECT DISTINCT dbos_sys.export_hash(u.id) AS hash FROM dbos_ops.%I AS a, unnest(a.ids) AS u(id) WHERE a.part = 0),
    size AS (
      SELECT 1 << LEAST(ceil(log(2.0, GREATEST(count(*) / 200.0, 1.0)))::integer, 24) AS buckets FROM ids)
    INSERT INTO dbos_ops.export_ids (partition, place, digest, buckets, bucket, hashes)
    SELECT $1, $2, $3, s.buckets, (i.hash & (s.buckets - 1))::integer, array_agg(i.hash) FROM ids AS i, size AS s GROUP BY 4, 5 $query$, p_partition)
  USING p_partition, p_place, p_digest;
END;
$$;

CREATE OR REPLACE FUNCTION dbos_sys.note_export(partition text, place text, row_count bigint, digest text)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
  v_rows bigint;
BEGIN
  PERFORM dbos_sys.check_archive_tables();
  PERFORM dbos_sys.check_primary('note_export');
  PERFORM dbos_sys.check_text('place', note_export.place);
  PERFORM dbos_sys.check_text('digest', note_export.digest);
  PERFORM dbos_sys.check_partition(note_export.partition);
  -- A delete() under way either shows in the sum below, or finds this note.
  PERFORM pg_advisory_xact_lock(hashtextextended('dbos_sys.note_export', 0));
  EXECUTE format('SELECT COALESCE(sum(a.row_count), 0) FROM dbos_ops.%I AS a', note_export.partition) INTO v_rows;
  IF v_rows IS DISTINCT FROM note_export.row_count THEN
    PERFORM dbos_sys.fail('WF055', format('the export of %s has %s rows, the partition %s', note_export.partition, COALESCE(note_export.row_count::text, 'NULL'), v_rows), NULL,
      'Export it again.');
  END IF;
  -- The ids before the sum: if anything comes in or goes between, the sum is another.
  PERFORM dbos_sys.keep_export_ids(note_export.partition, note_export.place, note_export.digest);
  IF dbos_sys.archive_sum(note_export.partition) <> note_export.digest THEN
    PERFORM dbos_sys.fail('WF055', format('the export of %s is not what the partition has now', note_export.partition),
      'Its digest is another than archive_sum() gives.', 'Export it again.');
  END IF;
  INSERT INTO dbos_ops.archive_exports AS e (partition, place, exported_at, row_count, digest)
  VALUES (note_export.partition, note_export.place, dbos_sys.now_ms(), v_rows, note_export.digest)
  ON CONFLICT (partition, place) DO UPDATE SET exported_at = EXCLUDED.exported_at, row_count = EXCLUDED.row_count, digest = EXCLUDED.digest;
END;
$$;
COMMENT ON FUNCTION dbos_sys.note_export(text, text, bigint, text) IS
'Notes that a partition of the archive has been written to a place and read back; digest is what archive_sum() gave for what was written. delete() names
the exports that still hold a workflow, until forget_export(); drop_archive() wants one. Errors: WF001, WF055 (no such partition, or it has changed
since).';

-- The digests of the exports of a partition that this database has noted for a place.
CREATE OR REPLACE FUNCTION dbos_sys.exports_at(p_partition text, p_place text)
RETURNS SETOF text
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN QUERY
  SELECT e.digest FROM dbos_ops.archive_exports AS e WHERE e.partition = p_partition AND e.place = p_place
  UNION
  SELECT x.digest FROM dbos_ops.export_ids AS x WHERE x.partition = p_partition AND x.place = p_place;
END;
$$;
COMMENT ON FUNCTION dbos_sys.exports_at(text, text) IS
'The digests of the exports of a partition at a place that note_export() has noted here and forget_export() not forgotten. Files of others are not this
database''s to remove.';

CREATE OR REPLACE FUNCTION dbos_sys.forget_export(partition text, place text, keep text[] DEFAULT '{}')
RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
  v_gone text[];
BEGIN
  PERFORM dbos_sys.check_archive_tables();
  PERFORM dbos_sys.check_primary('forget_export');
  PERFORM dbos_sys.check_text('partition', forget_export.partition);
  PERFORM dbos_sys.check_text('place', forget_export.place);
  IF keep IS NULL OR array_position(keep, NULL) IS NOT NULL THEN
    PERFORM dbos_sys.fail('WF001', 'keep has NULL', NULL, 'Give the digests of the exports that the place still has, or ''{}''.');
  END IF;
  v_gone := ARRAY(SELECT e.digest FROM dbos_sys.exports_at(forget_export.partition, forget_export.place) AS e(digest));
  IF v_gone = '{}' THEN
    PERFORM dbos_sys.fail('WF055', format('no export of %s in %s is noted', dbos_sys.shown(forget_export.partition), dbos_sys.shown(forget_export.place)), NULL,
      'SELECT partition, place FROM dbos_ops.archive_exports UNION SELECT partition, place FROM dbos_ops.export_ids; lists them.');
  END IF;
  v_gone := ARRAY(SELECT u.digest FROM unnest(v_gone) AS u(digest) WHERE u.digest <> ALL (keep));
  DELETE FROM dbos_ops.export_ids AS x WHERE x.partition = forget_export.partition AND x.place = forget_export.place AND x.digest = ANY (v_gone);
  DELETE FROM dbos_ops.archive_exports AS e WHERE e.partition = forget_export.partition AND e.place = forget_export.place AND e.digest = ANY (v_gone);
  RETURN cardinality(v_gone);
END;
$$;
COMMENT ON FUNCTION dbos_sys.forget_export(text, text, text[]) IS
'Says that the files of a noted export are gone: delete() does not name it any more, drop_archive() does not count on it. All that are noted of this
partition at this place, but those with the digests of keep; returns how many. Errors: WF001, WF055 (none is noted).';

-- Noted exports that have this workflow, wherever it is now. None is missed.
CREATE OR REPLACE FUNCTION dbos_sys.exports_with(p_id text)
RETURNS SETOF text
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
AS $$
DECLARE
  v_hash bigint := dbos_sys.export_hash(p_id);
BEGIN
  RETURN QUERY
  SELECT DISTINCT x.place || ', ' || x.partition
  FROM generate_series(0, 24) AS b(bits),
  LATERAL (
    SELECT o.place, o.partition, o.hashes FROM dbos_ops.export_ids AS o
    WHERE o.bucket = (v_hash & ((1 << b.bits) - 1))::integer AND o.buckets = 1 << b.bits OFFSET 0) AS x
  WHERE v_hash = ANY (x.hashes) ORDER BY 1;
END;
$$;

-- Noted exports whose ids are not kept, as they were noted before that was done.
CREATE OR REPLACE FUNCTION dbos_sys.unlisted_exports()
RETURNS SETOF text
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN QUERY
  SELECT e.place || ', ' || e.partition FROM dbos_ops.archive_exports AS e
  WHERE e.row_count > 0 AND NOT EXISTS (
    SELECT FROM dbos_ops.export_ids AS x WHERE x.partition = e.partition AND x.place = e.place AND x.digest = e.digest)
  ORDER BY 1;
END;
$$;

-- Of what is in neither place, nor in an export whose ids are known.
CREATE OR REPLACE FUNCTION dbos_sys.fail_delete(p_ids text[])
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  v_exports text[] := ARRAY(SELECT e.name FROM dbos_sys.unlisted_exports() AS e(name));
BEGIN
  IF v_exports <> '{}' THEN
    PERFORM dbos_sys.check_exist(p_ids, format(' Exports that may have it, for they were noted without their ids: %s.', array_to_string(v_exports, '; ')),
      'To be sure: dbos-sys archive import --from each of them, delete it, export again; or search their files.');
  END IF;
  PERFORM dbos_sys.check_exist(p_ids);
END;
$$;
