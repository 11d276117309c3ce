-- The rows of workflows in all tables that hold one: finding them, and deleting them set by set, so that the foreign keys' cascades find nothing left.

-- The rows of these workflows in all tables, at most `p_most` of each table: where they are (NULL: there are none), how many, and about how many bytes:
-- texts as they are stored, a row at 60 beside them; no indexes. To find a row costs more than to delete it where it was found.
CREATE OR REPLACE FUNCTION dbos_sys.prune_find(
  p_ids text[], p_most bigint, OUT status tid[], OUT inputs tid[], OUT outputs tid[], OUT steps tid[], OUT messages tid[], OUT events tid[],
  OUT history tid[], OUT streams tid[], OUT row_count bigint, OUT byte_count bigint)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_bitmapscan = off
SET jit = off
SET max_parallel_workers_per_gather = 0
AS $$
BEGIN
  row_count := 0;
  byte_count := 0;
  SELECT array_agg(f.tid), row_count + count(*), byte_count + COALESCE(sum(60 + f.bytes), 0) INTO status, row_count, byte_count
  FROM (
    SELECT t.ctid AS tid, 300 + COALESCE(pg_column_size(t.inputs), 0) + COALESCE(pg_column_size(t.output), 0) + COALESCE(pg_column_size(t.error), 0)
      + COALESCE(pg_column_size(t.attributes), 0) AS bytes
    FROM dbos.workflow_status AS t WHERE t.workflow_uuid = ANY (p_ids) LIMIT p_most) AS f;
  SELECT array_agg(f.tid), row_count + count(*), byte_count + COALESCE(sum(60 + f.bytes), 0) INTO inputs, row_count, byte_count
  FROM (
    SELECT t.ctid AS tid, COALESCE(pg_column_size(t.inputs), 0) AS bytes
    FROM dbos.workflow_input AS t WHERE t.workflow_uuid = ANY (p_ids) LIMIT p_most) AS f;
  SELECT array_agg(f.tid), row_count + count(*), byte_count + COALESCE(sum(60 + f.bytes), 0) INTO outputs, row_count, byte_count
  FROM (
    SELECT t.ctid AS tid, COALESCE(pg_column_size(t.output), 0) + COALESCE(pg_column_size(t.error), 0) AS bytes
    FROM dbos.workflow_output AS t WHERE t.workflow_uuid = ANY (p_ids) LIMIT p_most) AS f;
  SELECT array_agg(f.tid), row_count + count(*), byte_count + COALESCE(sum(60 + f.bytes), 0) INTO steps, row_count, byte_count
  FROM (
    SELECT t.ctid AS tid, octet_length(t.function_name) + COALESCE(pg_column_size(t.output), 0) + COALESCE(pg_column_size(t.error), 0) AS bytes
    FROM dbos.operation_outputs AS t WHERE t.workflow_uuid = ANY (p_ids) LIMIT p_most) AS f;
  SELECT array_agg(f.tid), row_count + count(*), byte_count + COALESCE(sum(60 + f.bytes), 0) INTO messages, row_count, byte_count
  FROM (
    SELECT t.ctid AS tid, pg_column_size(t.message) AS bytes
    FROM dbos.notifications AS t WHERE t.destination_uuid = ANY (p_ids) LIMIT p_most) AS f;
  SELECT array_agg(f.tid), row_count + count(*), byte_count + COALESCE(sum(60 + f.bytes), 0) INTO events, row_count, byte_count
  FROM (
    SELECT t.ctid AS tid, pg_column_size(t.value) AS bytes
    FROM dbos.workflow_events AS t WHERE t.workflow_uuid = ANY (p_ids) LIMIT p_most) AS f;
  SELECT array_agg(f.tid), row_count + count(*), byte_count + COALESCE(sum(60 + f.bytes), 0) INTO history, row_count, byte_count
  FROM (
    SELECT t.ctid AS tid, pg_column_size(t.value) AS bytes
    FROM dbos.workflow_events_history AS t WHERE t.workflow_uuid = ANY (p_ids) LIMIT p_most) AS f;
  SELECT array_agg(f.tid), row_count + count(*), byte_count + COALESCE(sum(60 + f.bytes), 0) INTO streams, row_count, byte_count
  FROM (
    SELECT t.ctid AS tid, pg_column_size(t.value) AS bytes
    FROM dbos.streams AS t WHERE t.workflow_uuid = ANY (p_ids) LIMIT p_most) AS f;
END;
$$;

-- Deletes what prune_find() found of these workflows in the same statement of the client, whose snapshot keeps vacuum from giving a place away meanwhile;
-- returns how many rows. The ids are looked at again, for with partitions or children of a table a place is no name. A row that somebody changed in between
-- is in another place: `p_exact` undoes all (40001), otherwise such a table is gone through by the ids. Not found are rows that came since: none where a
-- foreign key leads to a status row that the caller has locked; steps, inputs and outputs are orphans then.
CREATE OR REPLACE FUNCTION dbos_sys.prune_found(p_ids text[], p_found record, p_exact boolean)
RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET jit = off
SET dbos_sys.quiet = on
AS $$
DECLARE
  v_table record;
  v_rows bigint;
  v_total bigint := 0;
BEGIN
  FOR v_table IN
    SELECT t.name, t.key, t.places
    FROM (VALUES (1, 'operation_outputs', 'workflow_uuid', p_found.steps), (2, 'workflow_input', 'workflow_uuid', p_found.inputs),
      (3, 'workflow_output', 'workflow_uuid', p_found.outputs), (4, 'notifications', 'destination_uuid', p_found.messages),
      (5, 'workflow_events', 'workflow_uuid', p_found.events), (6, 'workflow_events_history', 'workflow_uuid', p_found.history),
      (7, 'streams', 'workflow_uuid', p_found.streams), (8, 'workflow_status', 'workflow_uuid', p_found.status)) AS t(n, name, key, places)
    WHERE t.places IS NOT NULL ORDER BY t.n
  LOOP
    EXECUTE format('DELETE FROM dbos.%I AS t WHERE t.ctid = ANY ($1) AND (t.%I = ANY ($2)) IS TRUE', v_table.name, v_table.key) USING v_table.places, p_ids;
    GET DIAGNOSTICS v_rows = ROW_COUNT;
    v_total := v_total + v_rows;
    CONTINUE WHEN v_rows >= cardinality(v_table.places);
    IF p_exact THEN
      RAISE serialization_failure USING MESSAGE = format('rows of %s were changed meanwhile', v_table.name);
    END IF;
    EXECUTE format('DELETE FROM dbos.%I AS t WHERE t.%I = ANY ($1)', v_table.name, v_table.key) USING p_ids;
    GET DIAGNOSTICS v_rows = ROW_COUNT;
    v_total := v_total + v_rows;
  END LOOP;
  RETURN v_total;
END;
$$;

-- Deletes all rows of these workflows, whose status rows the caller holds; returns how many.
CREATE OR REPLACE FUNCTION dbos_sys.prune_rows(p_ids text[])
RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  v_found record;
BEGIN
  v_found := dbos_sys.prune_find(p_ids, NULL);
  RETURN dbos_sys.prune_found(p_ids, v_found, false);
END;
$$;

-- Whether deleting rows of the eight tables would set off nothing but upstream's cascades from workflow_status, which find nothing after prune_found(), and
-- this transaction may leave them out, by session_replication_role. They look for rows workflow by workflow, at over a third of the cost of a batch.
-- Locks the tables, so that nobody adds a trigger or a foreign key that would be left out too.
CREATE OR REPLACE FUNCTION dbos_sys.prune_alone()
RETURNS boolean
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  v_status CONSTANT oid := 'dbos.workflow_status'::regclass;
  v_tables CONSTANT oid[] := ARRAY[v_status, 'dbos.workflow_input'::regclass, 'dbos.workflow_output'::regclass, 'dbos.operation_outputs'::regclass,
    'dbos.notifications'::regclass, 'dbos.workflow_events'::regclass, 'dbos.workflow_events_history'::regclass, 'dbos.streams'::regclass];
BEGIN
  IF NOT has_parameter_privilege('session_replication_role', 'SET') OR current_setting('session_replication_role') <> 'origin'
    -- Another transaction's rows that came before the lock on their workflow are to be seen.
    OR current_setting('transaction_isolation') <> 'read committed' THEN
    RETURN false;
  END IF;
  LOCK TABLE dbos.workflow_status, dbos.workflow_input, dbos.workflow_output, dbos.operation_outputs, dbos.notifications, dbos.workflow_events,
    dbos.workflow_events_history, dbos.streams IN ROW EXCLUSIVE MODE;
  -- 8: fires on DELETE. Upstream's keys are cascades to the id of these four tables.
  RETURN NOT EXISTS (
      SELECT FROM pg_trigger AS t
      WHERE t.tgrelid = ANY (v_tables) AND t.tgtype & 8 <> 0 AND NOT EXISTS (
        SELECT FROM pg_constraint AS c
        JOIN pg_attribute AS a ON a.attrelid = c.conrelid AND c.conkey = ARRAY[a.attnum]
        JOIN (VALUES ('dbos.notifications'::regclass, 'destination_uuid'), ('dbos.workflow_events'::regclass, 'workflow_uuid'),
          ('dbos.workflow_events_history'::regclass, 'workflow_uuid'), ('dbos.streams'::regclass, 'workflow_uuid')) AS k(child, key)
          ON k.child = c.conrelid AND k.key = a.attname
        WHERE c.oid = t.tgconstraint AND t.tgisinternal AND c.contype = 'f' AND c.confrelid = v_status AND c.confdeltype = 'c'))
    AND NOT EXISTS (SELECT FROM pg_rewrite AS r WHERE r.ev_class = ANY (v_tables))
    -- Children have triggers of their own.
    AND NOT EXISTS (SELECT FROM pg_inherits AS i WHERE i.inhparent = ANY (v_tables));
END;
$$;
