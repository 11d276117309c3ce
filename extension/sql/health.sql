-- The health of tables and indexes: what holds vacuum back, how much is dead, how much larger an index is than its rows need, and which
-- storage parameters the tables that change with each workflow should have. Everything here reads but clean_indexes() and tune_tables().

CREATE OR REPLACE FUNCTION dbos_sys.sees_sessions()
RETURNS boolean
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN pg_has_role('pg_read_all_stats', 'USAGE');
END;
$$;

COMMENT ON FUNCTION dbos_sys.sees_sessions() IS
'Whether this role sees what sessions of other roles do (pg_read_all_stats, in pg_monitor); else their state, transaction and horizon are hidden.';

-- Sessions in other databases hold only catalogs back; a vacuum's own snapshot holds nobody.
CREATE OR REPLACE FUNCTION dbos_sys.horizon_sessions()
RETURNS TABLE (kind text, holder text, xids bigint, held_ms bigint, mend text)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN QUERY
  SELECT 'session', format('pid %s of role %s (%s), %s: %s', a.pid, a.usename, COALESCE(NULLIF(a.application_name, ''), 'unnamed'), a.state, dbos_sys.shown(a.query)),
    GREATEST(age(a.backend_xmin), age(a.backend_xid))::bigint, (dbos_sys.now_ms() - EXTRACT(epoch FROM a.xact_start) * 1000)::bigint,
    format('SELECT pg_terminate_backend(%s);', a.pid)
  FROM pg_stat_activity AS a
  WHERE a.datid = (SELECT d.oid FROM pg_database AS d WHERE d.datname = current_database()) AND a.pid <> pg_backend_pid()
    AND (a.backend_xmin IS NOT NULL OR a.backend_xid IS NOT NULL) AND a.backend_type <> 'walsender'
    AND NOT EXISTS (SELECT FROM pg_stat_progress_vacuum AS v WHERE v.pid = a.pid);
END;
$$;

-- A slot that is in use speaks for who streams through it.
CREATE OR REPLACE FUNCTION dbos_sys.horizon_replication()
RETURNS TABLE (kind text, holder text, xids bigint, held_ms bigint, mend text)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN QUERY
  SELECT CASE WHEN s.active AND s.slot_type = 'physical' THEN 'standby' ELSE 'slot' END,
    format('%s slot %s, %s', s.slot_type, dbos_sys.shown(s.slot_name::text),
      CASE WHEN s.active THEN 'used by ' || COALESCE((
        SELECT format('%s (pid %s)', COALESCE(dbos_sys.shown(NULLIF(r.application_name, '')), 'somebody'), r.pid)
        FROM pg_stat_replication AS r WHERE r.pid = s.active_pid), 'pid ' || s.active_pid) ELSE 'which nobody uses' END),
    GREATEST(age(s.xmin), age(s.catalog_xmin))::bigint, NULL::bigint,
    CASE WHEN s.active AND s.slot_type = 'physical' THEN 'On the standby: end its long queries, or set hot_standby_feedback = off.'
      ELSE format('SELECT pg_drop_replication_slot(%L);', s.slot_name) END
  FROM pg_replication_slots AS s
  WHERE (s.xmin IS NOT NULL OR s.catalog_xmin IS NOT NULL)
    AND (s.slot_type = 'physical' OR s.database = current_database())
  UNION ALL
  SELECT 'standby', format('%s (pid %s, %s)', COALESCE(dbos_sys.shown(NULLIF(r.application_name, '')), 'a standby'), r.pid, COALESCE(host(r.client_addr), 'local')),
    age(r.backend_xmin)::bigint, NULL, 'On the standby: end its long queries, or set hot_standby_feedback = off.'
  FROM pg_stat_replication AS r WHERE r.backend_xmin IS NOT NULL;
END;
$$;

CREATE OR REPLACE FUNCTION dbos_sys.horizon()
RETURNS TABLE (kind text, holder text, xids bigint, held_ms bigint, mend text)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN QUERY
  SELECT h.kind, h.holder, h.xids, h.held_ms, h.mend
  FROM (
    SELECT s.* FROM dbos_sys.horizon_sessions() AS s
    UNION ALL
    SELECT r.* FROM dbos_sys.horizon_replication() AS r
    UNION ALL
    SELECT 'prepared transaction', format('%s of role %s', dbos_sys.shown(p.gid), p.owner), age(p.transaction)::bigint,
      (dbos_sys.now_ms() - EXTRACT(epoch FROM p.prepared) * 1000)::bigint, format('ROLLBACK PREPARED %L;', p.gid)
    FROM pg_prepared_xacts AS p WHERE p.database = current_database()
  ) AS h
  ORDER BY h.xids DESC, h.held_ms DESC NULLS LAST, h.holder;
END;
$$;
COMMENT ON FUNCTION dbos_sys.horizon() IS
'Who keeps vacuum from removing dead rows of this database, the worst first: session, slot, prepared transaction, standby. xids: transactions begun
since its horizon; held_ms: how long its transaction is open (NULL for slots and standbys); mend: what ends it. Sessions of other roles and standbys
are seen only by members of pg_read_all_stats.';

-- The tables that change with each workflow: what of autovacuum's defaults does not fit them. A name that begins with toast. is for its payloads.
CREATE OR REPLACE FUNCTION dbos_sys.storage_parameters()
RETURNS TABLE (table_name text, parameter text, value text)
LANGUAGE sql
IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
  SELECT t.table_name, p.parameter, p.value
  FROM (VALUES
    ('dbos.workflow_status', 'changed'), ('dbos.notifications', 'changed'), ('dbos.workflow_events', 'changed'),
    ('dbos.operation_outputs', 'appended'), ('dbos.workflow_input', 'appended'), ('dbos.workflow_output', 'appended'),
    ('dbos.workflow_events_history', 'appended'), ('dbos.streams', 'appended'),
    ('dbos_ops.limit_tickets', 'changed'), ('dbos_ops.queue_starts', 'changed')
  ) AS t (table_name, kind)
  JOIN (VALUES
    ('changed', 'autovacuum_vacuum_scale_factor', '0.02'), ('changed', 'autovacuum_vacuum_threshold', '500'),
    ('changed', 'autovacuum_analyze_scale_factor', '0.05'), ('changed', 'autovacuum_vacuum_cost_delay', '0'),
    ('appended', 'autovacuum_vacuum_scale_factor', '0.05'), ('appended', 'autovacuum_vacuum_insert_scale_factor', '0.05'),
    ('appended', 'autovacuum_analyze_scale_factor', '0.05'), ('appended', 'autovacuum_vacuum_cost_delay', '0'),
    ('appended', 'toast.autovacuum_vacuum_scale_factor', '0.05')
  ) AS p (kind, parameter, value) ON p.kind = t.kind
$$;

-- Storage parameters that a table does not have; those that somebody gave it, whatever their value, are there.
CREATE OR REPLACE FUNCTION dbos_sys.absent_parameters()
RETURNS TABLE (table_name text, parameter text, value text)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN QUERY
  SELECT p.table_name, p.parameter, p.value
  FROM dbos_sys.storage_parameters() AS p
  JOIN pg_class AS c ON c.oid = to_regclass(p.table_name)
  LEFT JOIN pg_class AS t ON t.oid = c.reltoastrelid
  WHERE NOT EXISTS (
    SELECT FROM unnest(CASE WHEN p.parameter LIKE 'toast.%' THEN t.reloptions ELSE c.reloptions END) AS o(option)
    WHERE split_part(o.option, '=', 1) = replace(p.parameter, 'toast.', ''))
    AND (p.parameter NOT LIKE 'toast.%' OR t.oid IS NOT NULL)
  ORDER BY p.table_name, p.parameter;
END;
$$;

CREATE OR REPLACE FUNCTION dbos_sys.tune_tables(dry_run boolean DEFAULT false)
RETURNS TABLE (table_name text, parameters text)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET lock_timeout = '5s'
AS $$
BEGIN
  FOR tune_tables.table_name, tune_tables.parameters IN
    SELECT a.table_name, string_agg(a.parameter || ' = ' || a.value, ', ' ORDER BY a.parameter)
    FROM dbos_sys.absent_parameters() AS a GROUP BY a.table_name ORDER BY a.table_name
  LOOP
    IF NOT COALESCE(dry_run, false) THEN
      EXECUTE format('ALTER TABLE %s SET (%s)', tune_tables.table_name, tune_tables.parameters);
    END IF;
    RETURN NEXT;
  END LOOP;
END;
$$;
COMMENT ON FUNCTION dbos_sys.tune_tables(boolean) IS
'Gives the tables that change with each workflow the storage parameters that they lack, so that autovacuum comes after 2 to 5 percent of dead rows
instead of 20; what is set already stays. Returns what was set, with dry_run what would be. Blocks no reader and no writer. To be called by their
owner.';

-- Dead rows at which autovacuum starts on the table, by its own parameters or the server's settings.
CREATE OR REPLACE FUNCTION dbos_sys.vacuum_threshold(p_options text[], p_rows double precision)
RETURNS double precision
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  v_threshold text := current_setting('autovacuum_vacuum_threshold');
  v_scale text := current_setting('autovacuum_vacuum_scale_factor');
BEGIN
  SELECT COALESCE(max(split_part(o.option, '=', 2)) FILTER (WHERE o.option LIKE 'autovacuum\_vacuum\_threshold=%'), v_threshold),
    COALESCE(max(split_part(o.option, '=', 2)) FILTER (WHERE o.option LIKE 'autovacuum\_vacuum\_scale\_factor=%'), v_scale)
  INTO v_threshold, v_scale FROM unnest(p_options) AS o(option);
  RETURN v_threshold::double precision + v_scale::double precision * GREATEST(p_rows, 0);
END;
$$;

CREATE OR REPLACE FUNCTION dbos_sys.table_health()
RETURNS TABLE (
  table_name text, bytes bigint, live_rows bigint, dead_rows bigint, vacuum_at bigint, vacuumed timestamptz, xid_age bigint, advice text)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN QUERY
  WITH seen AS MATERIALIZED (
    SELECT format('%I.%I', s.schemaname, s.relname) AS name, pg_table_size(s.relid) AS size, s.n_live_tup AS live, s.n_dead_tup AS dead,
      dbos_sys.vacuum_threshold(c.reloptions, c.reltuples)::bigint AS due, GREATEST(s.last_vacuum, s.last_autovacuum) AS vacuumed,
      age(c.relfrozenxid)::bigint AS xids, s.n_mod_since_analyze AS changed,
      COALESCE(c.reloptions, '{}') && ARRAY['autovacuum_enabled=false', 'autovacuum_enabled=off', 'autovacuum_enabled=0', 'autovacuum_enabled=no'] AS vacuum_off
    FROM pg_stat_all_tables AS s JOIN pg_class AS c ON c.oid = s.relid
    -- The root of the archive has no rows and no age of its own.
    WHERE s.schemaname IN ('dbos', 'dbos_ops') AND c.relkind <> 'p')
  SELECT s.name, s.size, s.live, s.dead, s.due, s.vacuumed, s.xids,
    CASE WHEN s.vacuum_off THEN format('ALTER TABLE %s RESET (autovacuum_enabled);', s.name)
         WHEN s.dead > 2 * s.due AND s.dead > 10000 THEN format('VACUUM (ANALYZE) %s;', s.name)
         WHEN s.changed > 10000 AND s.changed > s.live / 2 THEN format('ANALYZE %s;', s.name) END
  FROM seen AS s ORDER BY s.size DESC, s.name;
END;
$$;
COMMENT ON FUNCTION dbos_sys.table_health() IS
'Tables of dbos and dbos_ops, the largest first: bytes with payloads, live and dead rows as the statistics tell, dead rows at which autovacuum comes
(vacuum_at), the last vacuum, and the age of the oldest transaction id. advice: what to run, NULL when nothing.';

-- Bytes that the entries of a btree need at nine tenths full pages; NULL where the rows or the widths are not known yet.
CREATE OR REPLACE FUNCTION dbos_sys.expected_index_bytes(p_index oid)
RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN (
    SELECT CASE WHEN count(*) = count(s.avg_width) AND min(c.reltuples) >= 0
      THEN (ceil(min(c.reltuples) * (12 + 8 * ceil(sum(s.avg_width * (1 - s.null_frac)) / 8)) / 7335) + 2)::bigint * 8192 END
    FROM pg_index AS x
    JOIN pg_class AS c ON c.oid = x.indexrelid
    JOIN pg_class AS t ON t.oid = x.indrelid
    CROSS JOIN LATERAL unnest(x.indkey::smallint[]) AS k(attnum)
    LEFT JOIN pg_attribute AS a ON a.attrelid = x.indrelid AND a.attnum = k.attnum
    LEFT JOIN pg_stats AS s ON s.schemaname = t.relnamespace::regnamespace::text AND s.tablename = t.relname AND s.attname = a.attname AND NOT s.inherited
    WHERE x.indexrelid = p_index);
END;
$$;

CREATE OR REPLACE FUNCTION dbos_sys.index_health()
RETURNS TABLE (index_name text, table_name text, bytes bigint, expected_bytes bigint, scans bigint, valid boolean, advice text)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN QUERY
  WITH seen AS MATERIALIZED (
    SELECT format('%I.%I', s.schemaname, s.indexrelname) AS name, format('%I.%I', s.schemaname, s.relname) AS of_table, s.indexrelname::text AS bare,
      pg_relation_size(s.indexrelid) AS size, s.idx_scan AS used, x.indisvalid AND x.indisready AS usable,
      CASE WHEN m.amname = 'btree' THEN dbos_sys.expected_index_bytes(s.indexrelid) END AS expected
    FROM pg_stat_all_indexes AS s
    JOIN pg_index AS x ON x.indexrelid = s.indexrelid
    JOIN pg_class AS c ON c.oid = s.indexrelid
    JOIN pg_am AS m ON m.oid = c.relam
    WHERE s.schemaname IN ('dbos', 'dbos_ops'))
  SELECT s.name, s.of_table, s.size, s.expected, s.used, s.usable,
    CASE WHEN NOT s.usable AND s.bare IN (SELECT u.index_name FROM dbos_sys.upstream_indexes() AS u) THEN 'dbos-sys migrate'
         WHEN NOT s.usable THEN 'SELECT * FROM dbos_sys.clean_indexes();'
         WHEN s.size > 2.5 * s.expected AND s.size - s.expected > 8388608 THEN format('REINDEX INDEX CONCURRENTLY %s;', s.name) END
  FROM seen AS s ORDER BY s.size DESC, s.name;
END;
$$;
COMMENT ON FUNCTION dbos_sys.index_health() IS
'Indexes of dbos and dbos_ops, the largest first: bytes, the bytes that their entries would need (expected_bytes; btrees of analysed tables, else
NULL), scans since the statistics began, whether it is valid. advice: what to run, NULL when nothing.';

CREATE OR REPLACE FUNCTION dbos_sys.clean_indexes(dry_run boolean DEFAULT false)
RETURNS TABLE (index_name text, outcome text)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET lock_timeout = '1s'
AS $$
DECLARE
  v_index record;
BEGIN
  FOR v_index IN
    SELECT h.index_name AS name, h.advice LIKE '%clean\_indexes%' AS leftover FROM dbos_sys.index_health() AS h WHERE NOT h.valid ORDER BY h.index_name
  LOOP
    index_name := v_index.name;
    outcome := CASE WHEN v_index.leftover AND dry_run THEN 'to be dropped' WHEN v_index.leftover THEN 'dropped' ELSE 'kept: dbos-sys migrate builds it again' END;
    IF v_index.leftover AND NOT COALESCE(dry_run, false) THEN
      -- Who builds it holds a lock on the table that this waits for.
      BEGIN
        EXECUTE format('DROP INDEX %s', v_index.name);
      EXCEPTION WHEN lock_not_available THEN
        outcome := 'busy: somebody builds it, or has its table locked';
      END;
    END IF;
    RETURN NEXT;
  END LOOP;
END;
$$;
COMMENT ON FUNCTION dbos_sys.clean_indexes(boolean) IS
'Drops indexes of dbos and dbos_ops that are not valid: what an interrupted CREATE INDEX or REINDEX CONCURRENTLY left. Each is written to with every
row and read by nobody. One that DBOS needs is kept, for dbos-sys migrate to build again; one that is being built is left. With dry_run it only
tells. To be called by their owner.';
