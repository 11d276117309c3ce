-- Lines of doctor() about the server: connections, transactions, replication, backups, checkpoints, clock.

-- What lets this role see what it does not.
CREATE OR REPLACE FUNCTION dbos_sys.mend_sight()
RETURNS text
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN format('GRANT pg_monitor TO %I;', current_user);
END;
$$;

CREATE OR REPLACE FUNCTION dbos_sys.doctor_connections(OUT state text, OUT finding text, OUT mend text)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  v_room integer := current_setting('max_connections')::integer - current_setting('superuser_reserved_connections')::integer;
  v_limit integer;
  v_server bigint;
  v_here bigint;
  v_share numeric;
BEGIN
  SELECT NULLIF(d.datconnlimit, -1) INTO v_limit FROM pg_database AS d WHERE d.datname = current_database();
  SELECT count(*), count(*) FILTER (WHERE a.datname = current_database()) INTO v_server, v_here
  FROM pg_stat_activity AS a WHERE a.datname IS NOT NULL AND a.usename IS NOT NULL AND COALESCE(a.backend_type, 'client backend') = 'client backend';
  v_share := GREATEST(v_server / GREATEST(v_room, 1)::numeric, v_here / NULLIF(v_limit, 0)::numeric);
  state := CASE WHEN v_share >= 0.9 THEN 'bad' WHEN v_share >= 0.7 THEN 'warn' ELSE 'ok' END;
  finding := format('%s of %s connections are taken', v_server, v_room)
    || CASE WHEN v_limit IS NOT NULL THEN format(', %s of the %s that this database may have', v_here, v_limit) ELSE '' END;
END;
$$;
COMMENT ON FUNCTION dbos_sys.doctor_connections() IS 'warn from 70 percent, bad from 90 percent of what the server, or the database''s limit, allows.';

CREATE OR REPLACE FUNCTION dbos_sys.doctor_horizon(OUT state text, OUT finding text, OUT mend text)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  v_holders text[];
BEGIN
  SELECT array_agg(format('%s %s, %s', h.kind, h.holder,
      CASE WHEN h.held_ms IS NOT NULL THEN format('for %s min, ', h.held_ms / 60000) ELSE '' END || h.xids || ' transactions back') ORDER BY h.of_kind, h.place),
    (array_agg(h.mend ORDER BY h.of_kind, h.place))[1]
  INTO v_holders, mend
  FROM (
    SELECT o.*, o.ordinality AS place, row_number() OVER (PARTITION BY o.kind ORDER BY o.ordinality) AS of_kind FROM dbos_sys.horizon() WITH ORDINALITY AS o
    WHERE o.held_ms >= 300000 OR (o.kind IN ('slot', 'standby') AND o.xids >= 10000)
  ) AS h;
  state := CASE WHEN v_holders IS NOT NULL THEN 'bad' WHEN NOT dbos_sys.sees_sessions() THEN 'not known' ELSE 'ok' END;
  finding := CASE state WHEN 'ok' THEN 'nobody holds vacuum back for longer than five minutes'
    WHEN 'bad' THEN dbos_sys.some_of(v_holders, 6) ELSE 'what sessions of other roles and standbys hold is hidden from this role' END;
  mend := COALESCE(mend, dbos_sys.mend_sight());
END;
$$;
COMMENT ON FUNCTION dbos_sys.doctor_horizon() IS
'bad: a session or prepared transaction has held vacuum back for five minutes, or a slot or standby for ten thousand transactions; each is named.';

CREATE OR REPLACE FUNCTION dbos_sys.doctor_idle_transactions(OUT state text, OUT finding text, OUT mend text)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  v_idle text[];
BEGIN
  IF NOT dbos_sys.sees_sessions() THEN
    state := 'not known';
    finding := 'the state of other roles'' sessions is hidden from this role';
    mend := dbos_sys.mend_sight();
    RETURN;
  END IF;
  SELECT array_agg(format('pid %s of role %s (%s), for %s min', a.pid, a.usename, COALESCE(NULLIF(a.application_name, ''), 'unnamed'),
      ((dbos_sys.now_ms() - EXTRACT(epoch FROM a.state_change) * 1000) / 60000)::bigint) ORDER BY a.state_change),
    min(format('SELECT pg_terminate_backend(%s);', a.pid))
  INTO v_idle, mend
  FROM pg_stat_activity AS a
  WHERE a.datname = current_database() AND a.state LIKE 'idle in transaction%' AND EXTRACT(epoch FROM a.state_change) * 1000 < dbos_sys.now_ms() - 60000;
  state := CASE WHEN v_idle IS NULL THEN 'ok' ELSE 'warn' END;
  finding := COALESCE(dbos_sys.some_of(v_idle), 'no transaction waits for its client for longer than a minute');
END;
$$;
COMMENT ON FUNCTION dbos_sys.doctor_idle_transactions() IS 'warn: a session has been idle in its transaction for a minute.';

CREATE OR REPLACE FUNCTION dbos_sys.doctor_blocked(OUT state text, OUT finding text, OUT mend text)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  v_blocked text[];
BEGIN
  SELECT array_agg(DISTINCT format('pid %s waits for pid %s', l.pid, b.pid)), min(format('SELECT pg_terminate_backend(%s);', b.pid))
  INTO v_blocked, mend
  FROM pg_locks AS l, unnest(pg_blocking_pids(l.pid)) AS b(pid)
  WHERE NOT l.granted AND EXTRACT(epoch FROM l.waitstart) * 1000 < dbos_sys.now_ms() - 10000
    AND (l.database = (SELECT d.oid FROM pg_database AS d WHERE d.datname = current_database()) OR l.locktype = 'transactionid');
  state := CASE WHEN v_blocked IS NULL THEN 'ok' ELSE 'bad' END;
  finding := COALESCE(dbos_sys.some_of(v_blocked), 'nobody waits for a lock for longer than ten seconds');
END;
$$;
COMMENT ON FUNCTION dbos_sys.doctor_blocked() IS 'bad: a session has waited for a lock for ten seconds.';

CREATE OR REPLACE FUNCTION dbos_sys.doctor_slots(OUT state text, OUT finding text, OUT mend text)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  v_slots text[];
  v_keep numeric := (SELECT s.number FROM dbos_sys.setting_value('max_slot_wal_keep_size') AS s);
BEGIN
  SELECT array_agg(format('%s: %s, WAL kept: %s', s.slot_name, CASE WHEN s.active THEN 'in use' ELSE 'used by nobody' END, COALESCE(s.wal_status, 'none yet'))
      ORDER BY s.slot_name), min(format('SELECT pg_drop_replication_slot(%L);', s.slot_name))
  INTO v_slots, mend
  FROM pg_replication_slots AS s WHERE NOT s.temporary AND (NOT s.active OR s.wal_status IN ('unreserved', 'lost'));
  state := CASE WHEN v_slots IS NULL THEN 'ok' WHEN v_keep < 0 THEN 'bad' ELSE 'warn' END;
  finding := COALESCE(dbos_sys.some_of(v_slots), 'every replication slot is in use')
    || CASE WHEN state = 'bad' THEN '; max_slot_wal_keep_size sets no bound, so they can fill the disk' ELSE '' END;
END;
$$;
COMMENT ON FUNCTION dbos_sys.doctor_slots() IS
'warn: a replication slot is used by nobody or has lost its WAL. bad: the same, and max_slot_wal_keep_size sets no bound to what it keeps.';

-- Who receives all WAL: neither who decodes it nor a backup that is being taken. NULL where this role does not see what they do.
CREATE OR REPLACE FUNCTION dbos_sys.wal_receivers()
RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  IF NOT dbos_sys.sees_sessions() AND EXISTS (SELECT FROM pg_stat_replication) THEN
    RETURN NULL;
  END IF;
  RETURN (
    SELECT count(*) FROM pg_stat_replication AS r
    WHERE r.state <> 'backup' AND r.application_name <> 'pg_basebackup' AND NOT EXISTS (
      SELECT FROM pg_replication_slots AS s WHERE s.active_pid = r.pid AND (s.slot_type = 'logical' OR s.slot_name LIKE 'pg\_basebackup\_%')));
END;
$$;

-- The number of a segment of WAL by the name of its file; NULL for other files.
CREATE OR REPLACE FUNCTION dbos_sys.segment_number(p_file text)
RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN CASE WHEN p_file ~ '^[0-9A-F]{24}' THEN
    ('x' || substr(p_file, 9, 8))::bit(32)::bigint * (4294967296 / pg_size_bytes(current_setting('wal_segment_size'))) + ('x' || substr(p_file, 17, 8))::bit(32)::bigint END;
END;
$$;

-- Segments that wait for archive_command, and since when the oldest does; where this role may not look, what lies between the last one and the current.
CREATE OR REPLACE FUNCTION dbos_sys.waiting_segments(OUT sees boolean, OUT segments bigint, OUT since timestamptz)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  sees := has_function_privilege('pg_ls_archive_statusdir()', 'EXECUTE');
  IF sees THEN
    SELECT count(*), min(f.modification) INTO segments, since FROM pg_ls_archive_statusdir() AS f WHERE f.name LIKE '%.ready';
  ELSIF NOT pg_is_in_recovery() THEN
    SELECT dbos_sys.segment_number(pg_walfile_name(pg_current_wal_lsn())) - dbos_sys.segment_number(a.last_archived_wal) - 1, a.last_archived_time
    INTO segments, since FROM pg_stat_archiver AS a;
  END IF;
END;
$$;

-- What archive_mode comes to; NULL where it is off.
CREATE OR REPLACE FUNCTION dbos_sys.archiving(OUT state text, OUT finding text, OUT mend text)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  v_archiver record;
  v_waits record;
  v_late boolean;
BEGIN
  IF (SELECT s.value FROM dbos_sys.setting_value('archive_mode') AS s) = 'off' THEN
    RETURN;
  END IF;
  SELECT a.last_archived_time AS archived, a.last_failed_time AS failed, a.last_failed_wal AS wal, a.failed_count AS failures INTO v_archiver
  FROM pg_stat_archiver AS a;
  SELECT w.sees, w.segments, w.since INTO v_waits FROM dbos_sys.waiting_segments() AS w;
  v_late := v_waits.segments > 0 AND EXTRACT(epoch FROM v_waits.since) * 1000 < dbos_sys.now_ms() - 300000;
  -- Without a command nothing fails: WAL is kept, and piles up.
  IF (SELECT s.value FROM dbos_sys.setting_value('archive_command') AS s) = '' AND COALESCE((SELECT s.value FROM dbos_sys.setting_value('archive_library') AS s), '') = '' THEN
    state := 'bad';
    finding := 'archive_mode is on and archive_command empty: WAL stays on this server, and piles up';
  ELSIF v_archiver.failed > COALESCE(v_archiver.archived, '-infinity') THEN
    state := 'bad';
    finding := format('archiving of WAL fails (%s times, last at %s)', v_archiver.failures, v_archiver.wal);
  ELSIF v_late THEN
    state := CASE WHEN v_waits.sees THEN 'bad' ELSE 'not known' END;
    finding := format('%s segments of WAL wait to be archived, %s', v_waits.segments,
      CASE WHEN v_waits.sees THEN 'the oldest for longer than five minutes: archive_command hangs, or is too slow' ELSE 'and whether they have for long is hidden from this role' END);
    mend := CASE WHEN NOT v_waits.sees THEN dbos_sys.mend_sight() END;
  ELSE
    state := CASE WHEN v_archiver.archived IS NULL THEN 'not known' ELSE 'ok' END;
    finding := CASE state WHEN 'ok' THEN 'WAL is archived' ELSE 'archive_mode is on, and nothing has been archived yet' END;
  END IF;
END;
$$;
COMMENT ON FUNCTION dbos_sys.archiving() IS 'bad: archiving fails, has no command, or leaves a segment for longer than five minutes.';

CREATE OR REPLACE FUNCTION dbos_sys.doctor_backups(OUT state text, OUT finding text, OUT mend text)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  v_archive record;
  v_receivers bigint := dbos_sys.wal_receivers();
BEGIN
  SELECT a.state, a.finding, a.mend INTO v_archive FROM dbos_sys.archiving() AS a;
  state := CASE WHEN v_archive.state IN ('ok', 'bad') THEN v_archive.state WHEN v_receivers > 0 THEN 'ok' WHEN v_receivers IS NULL THEN 'not known'
    ELSE COALESCE(v_archive.state, 'warn') END;
  finding := COALESCE(v_archive.finding, 'WAL is not archived') || ', '
    || CASE WHEN v_receivers IS NULL THEN 'whether a standby receives it is hidden from this role' ELSE format('%s standbys or receivers', v_receivers) END;
  mend := COALESCE(v_archive.mend, CASE WHEN v_receivers IS NULL THEN dbos_sys.mend_sight() END);
END;
$$;
COMMENT ON FUNCTION dbos_sys.doctor_backups() IS
'ok: WAL is archived, or a standby or pg_receivewal receives it; who decodes it, or takes a backup, does not count. bad: archiving fails, stands still for
five minutes, or has no command. Snapshots of disks and dumps cannot be seen from inside.';

-- `2 (a, b)`, `FIRST 2 (a, b)`, `ANY 2 (a, b)`, or a mere list, of which one is enough.
CREATE OR REPLACE FUNCTION dbos_sys.standbys_asked(p_names text)
RETURNS integer
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN CASE WHEN btrim(p_names) = '' THEN 0 ELSE COALESCE((regexp_match(p_names, '^\s*(?:first\s|any\s)?\s*(\d+)\s*\(', 'i'))[1]::integer, 1) END;
END;
$$;

CREATE OR REPLACE FUNCTION dbos_sys.doctor_synchronous(OUT state text, OUT finding text, OUT mend text)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  v_names text := (SELECT s.value FROM dbos_sys.setting_value('synchronous_standby_names') AS s);
  v_asked integer := dbos_sys.standbys_asked(v_names);
  v_here bigint := (SELECT count(*) FROM pg_stat_replication AS r WHERE r.sync_state IN ('sync', 'quorum'));
BEGIN
  state := CASE WHEN v_asked = 0 THEN 'ok' WHEN v_asked IS NULL OR NOT dbos_sys.sees_sessions() THEN 'not known' WHEN v_here >= v_asked THEN 'ok' ELSE 'bad' END;
  finding := CASE WHEN v_asked = 0 THEN 'commits wait for no standby' WHEN state = 'not known' THEN 'the state of standbys is hidden from this role'
    ELSE format('commits wait for %s: %s of %s connected', v_names, LEAST(v_here, v_asked), v_asked) END;
  mend := CASE WHEN state = 'not known' THEN dbos_sys.mend_sight() END;
END;
$$;
COMMENT ON FUNCTION dbos_sys.doctor_synchronous() IS 'bad: commits wait for more synchronous standbys than are connected.';

CREATE OR REPLACE FUNCTION dbos_sys.doctor_wraparound(OUT state text, OUT finding text, OUT mend text)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  v_xids bigint;
  v_multis bigint;
  v_max bigint := current_setting('autovacuum_freeze_max_age')::bigint;
  v_name name;
BEGIN
  SELECT d.datname, age(d.datfrozenxid), mxid_age(d.datminmxid) INTO v_name, v_xids, v_multis
  FROM pg_database AS d ORDER BY GREATEST(age(d.datfrozenxid), mxid_age(d.datminmxid)) DESC LIMIT 1;
  state := CASE WHEN GREATEST(v_xids, v_multis) > 1000000000 THEN 'bad'
    WHEN v_xids > v_max * 1.25 OR v_multis > current_setting('autovacuum_multixact_freeze_max_age')::bigint * 1.25 THEN 'warn' ELSE 'ok' END;
  finding := format('database %s: the oldest row is %s transactions and %s multixacts old, of 2147 million', v_name, v_xids, v_multis);
  mend := format('vacuumdb --freeze --dbname=%s  # after whoever holds the horizon is gone', v_name);
END;
$$;
COMMENT ON FUNCTION dbos_sys.doctor_wraparound() IS
'warn: the oldest row is a quarter older than autovacuum should let it become. bad: it is a thousand million transactions old, of 2147 million.';

CREATE OR REPLACE FUNCTION dbos_sys.doctor_checkpoints(OUT state text, OUT finding text, OUT mend text)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  v_timed bigint;
  v_asked bigint;
BEGIN
  IF to_regclass('pg_catalog.pg_stat_checkpointer') IS NOT NULL THEN
    EXECUTE 'SELECT c.num_timed, c.num_requested FROM pg_catalog.pg_stat_checkpointer AS c' INTO v_timed, v_asked;
  ELSE
    EXECUTE 'SELECT b.checkpoints_timed, b.checkpoints_req FROM pg_catalog.pg_stat_bgwriter AS b' INTO v_timed, v_asked;
  END IF;
  state := CASE WHEN v_asked > 10 AND v_asked > v_timed THEN 'warn' ELSE 'ok' END;
  finding := format('%s checkpoints came by the clock, %s because WAL was full or somebody asked', v_timed, v_asked);
  mend := dbos_sys.setting_mend('max_wal_size', '8GB', false);
END;
$$;
COMMENT ON FUNCTION dbos_sys.doctor_checkpoints() IS 'warn: more than ten checkpoints, and more than half of all, did not come by the clock.';

-- Rows of the last hour that say they are from the future, and the client's own clock where it tells it (p_client.now, ms).
CREATE OR REPLACE FUNCTION dbos_sys.doctor_clock(p_client jsonb, OUT state text, OUT finding text, OUT mend text)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  v_now bigint := dbos_sys.now_ms();
  v_off bigint := (p_client ->> 'now')::bigint - v_now;
  v_executor text;
  v_ahead bigint;
BEGIN
  IF to_regclass('dbos.workflow_status') IS NOT NULL THEN
    SELECT w.executor_id, w.created_at - v_now INTO v_executor, v_ahead FROM dbos.workflow_status AS w ORDER BY w.created_at DESC LIMIT 1;
  END IF;
  state := CASE WHEN abs(v_off) > 2000 OR v_ahead > 2000 THEN 'warn' WHEN v_off IS NULL AND v_ahead IS NULL THEN 'not known' ELSE 'ok' END;
  finding := CASE WHEN v_ahead > 2000 THEN format('a workflow of executor %s was created %s s in the future', COALESCE(dbos_sys.shown(v_executor), 'none'), v_ahead / 1000)
    WHEN abs(v_off) > 2000 THEN format('this client''s clock is off by %s s', v_off / 1000)
    WHEN state = 'ok' THEN 'no row comes from the future' || CASE WHEN v_off IS NOT NULL THEN ', this client''s clock agrees' ELSE '' END
    ELSE 'there is no row to compare the clock with' END;
END;
$$;
COMMENT ON FUNCTION dbos_sys.doctor_clock(jsonb) IS 'warn: a row was created more than two seconds ahead of this server''s clock, or the client''s clock is off by as much.';
