-- Lines of doctor() about what lies in the tables: throttling, dead letters, what waits, who owns it, versions, payloads, maintenance.

CREATE OR REPLACE FUNCTION dbos_sys.doctor_throttling(OUT state text, OUT finding text, OUT mend text)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  v_limits text[] := '{}';
  v_bare text[];
  v_silent text[];
  v_held bigint;
  v_total bigint;
BEGIN
  IF to_regclass('dbos_ops.limits') IS NOT NULL THEN
    v_limits := ARRAY(SELECT l.name FROM dbos_ops.limits AS l);
  END IF;
  SELECT array_agg(c.name || CASE WHEN c.limit_name IS NOT NULL THEN format(' (limit %s is not registered)', dbos_sys.shown(c.limit_name)) ELSE '' END ORDER BY c.runs DESC, c.name)
      FILTER (WHERE c.outbound AND (c.limit_name = ANY (v_limits)) IS NOT TRUE),
    array_agg(c.name ORDER BY c.runs DESC, c.name) FILTER (WHERE c.outbound IS NULL),
    count(*) FILTER (WHERE c.outbound AND c.limit_name = ANY (v_limits)), count(*)
  INTO v_bare, v_silent, v_held, v_total FROM dbos_sys.step_classes() AS c;
  state := CASE WHEN v_bare IS NOT NULL THEN 'warn' WHEN v_silent IS NOT NULL OR v_total = 0 THEN 'not known' ELSE 'ok' END;
  finding := CASE WHEN v_total = 0 THEN 'no step has been recorded yet' ELSE array_to_string(array_remove(ARRAY[
    'outbound without a limit: ' || dbos_sys.some_of(v_bare),
    format('%s names of steps are not classified: ', cardinality(v_silent)) || dbos_sys.some_of(v_silent),
    format('%s outbound steps have a limit', v_held)], NULL), '; ') END;
  mend := CASE WHEN v_bare IS NOT NULL THEN 'SELECT dbos_sys.register_limit(''NAME'', rate => 100); SELECT dbos_sys.classify_step(''STEP'', limit_name => ''NAME'');'
    WHEN v_silent IS NOT NULL THEN format('SELECT dbos_sys.classify_step(%L, outbound => false);  -- or true, with its limit_name', v_silent[1]) END;
END;
$$;
COMMENT ON FUNCTION dbos_sys.doctor_throttling() IS
'ok: every step of the newest workflows is classified, and the outbound ones have a registered limit. not known: some names are not classified.';

CREATE OR REPLACE FUNCTION dbos_sys.doctor_dead_letters(OUT state text, OUT finding text, OUT mend text)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  v_names text[];
BEGIN
  SELECT array_agg(format('%s %s', d.rows, d.name) ORDER BY d.rows DESC, d.name), min(format('SELECT dbos_sys.resume(ARRAY[%L]);  -- once its code is mended', d.id))
  INTO v_names, mend
  FROM (
    SELECT COALESCE(w.name, 'without a name') AS name, count(*) AS rows, min(w.workflow_uuid) AS id FROM dbos.workflow_status AS w
    WHERE w.status = 'MAX_RECOVERY_ATTEMPTS_EXCEEDED' GROUP BY 1) AS d;
  state := CASE WHEN v_names IS NULL THEN 'ok' ELSE 'warn' END;
  finding := COALESCE(dbos_sys.some_of(v_names), 'the dead letter is empty');
END;
$$;
COMMENT ON FUNCTION dbos_sys.doctor_dead_letters() IS 'warn: workflows were recovered too often and given up.';

CREATE OR REPLACE FUNCTION dbos_sys.doctor_overdue(OUT state text, OUT finding text, OUT mend text)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  v_before bigint := dbos_sys.now_ms() - 60000;
  v_delayed bigint;
  v_late bigint;
BEGIN
  SELECT count(*) INTO v_delayed FROM (
    SELECT FROM dbos.workflow_status AS w WHERE w.status = 'DELAYED' AND w.delay_until_epoch_ms < v_before LIMIT 1000) AS d;
  SELECT count(*) INTO v_late FROM (
    SELECT FROM dbos.workflow_status AS w
    WHERE w.status IN ('ENQUEUED', 'PENDING', 'DELAYED') AND w.workflow_deadline_epoch_ms < v_before LIMIT 1000) AS d;
  state := CASE WHEN v_delayed > 0 OR v_late > 0 THEN 'bad' ELSE 'ok' END;
  finding := CASE state WHEN 'ok' THEN 'every delay and deadline that is over has been acted on'
    ELSE format('%s delayed workflows are due, %s ran past their deadline, for longer than a minute', v_delayed, v_late) END;
END;
$$;
COMMENT ON FUNCTION dbos_sys.doctor_overdue() IS 'bad: delays or deadlines ended over a minute ago, and nobody acted. Counts to 1000.';

CREATE OR REPLACE FUNCTION dbos_sys.doctor_waiting(OUT state text, OUT finding text, OUT mend text)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  v_before bigint := dbos_sys.now_ms() - 3600000;
  v_paused text[] := '{}';
  v_queues text[];
BEGIN
  IF to_regclass('dbos_ops.queue_settings') IS NOT NULL THEN
    v_paused := ARRAY(
      SELECT q.name FROM dbos_ops.queue_settings AS s JOIN dbos.queues AS q ON q.name = s.queue_name AND q.queue_id = s.queue_id WHERE s.paused);
  END IF;
  SELECT array_agg(format('%s of queue %s', w.rows, dbos_sys.shown(w.queue_name)) ORDER BY w.rows DESC, w.queue_name) INTO v_queues
  FROM (
    SELECT o.queue_name, count(*) AS rows
    FROM (
      SELECT s.queue_name FROM dbos.workflow_status AS s
      WHERE s.status = 'ENQUEUED' AND GREATEST(s.created_at, s.updated_at, s.delay_until_epoch_ms) < v_before AND COALESCE(s.queue_name, '') <> ALL (v_paused)
      LIMIT 10000) AS o
    GROUP BY o.queue_name) AS w;
  state := CASE WHEN v_queues IS NULL THEN 'ok' ELSE 'warn' END;
  finding := COALESCE('waiting for longer than an hour: ' || dbos_sys.some_of(v_queues), 'nothing waits for longer than an hour on a queue that is open');
END;
$$;
COMMENT ON FUNCTION dbos_sys.doctor_waiting() IS 'warn: workflows have been ENQUEUED for an hour, since they were started, delayed, resumed or recovered, on a queue that is not paused.';

-- Executors that hold PENDING workflows, and what is seen of each: its lease, sessions of the name that watch() knows or the TypeScript SDK gives,
-- or sessions that an SDK names alike in all its executors, behind which it may be.
CREATE OR REPLACE FUNCTION dbos_sys.pending_owners()
RETURNS TABLE (application text, executor text, version text, rows bigint, registered boolean, watched boolean, seen text)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  v_now bigint := dbos_sys.now_ms();
  v_ops boolean := to_regclass('dbos_ops.watches') IS NOT NULL;
  v_watches jsonb := '{}';
  v_leases text[] := '{}';
  v_registered text[] := '{}';
BEGIN
  IF v_ops THEN
    SELECT COALESCE(jsonb_object_agg(a.application_name, a.session_name), '{}') INTO v_watches FROM dbos_ops.watches AS a;
    SELECT COALESCE(array_agg(e.application_name || chr(31) || e.executor_id) FILTER (WHERE e.last_seen + e.lease_ms > v_now AND e.ended_at IS NULL), '{}'),
      COALESCE(array_agg(e.application_name || chr(31) || e.executor_id), '{}')
    INTO v_leases, v_registered FROM dbos_ops.executors AS e;
  END IF;
  RETURN QUERY
  WITH held AS MATERIALIZED (
    SELECT COALESCE(w.application_name, '') AS app, COALESCE(w.executor_id, '') AS exe, COALESCE(w.application_version, '') AS ver, count(*) AS runs
    FROM dbos.workflow_status AS w WHERE w.status = 'PENDING' AND COALESCE(w.started_at_epoch_ms, w.created_at) < v_now - 60000
    GROUP BY 1, 2, 3),
  named AS MATERIALIZED (
    SELECT DISTINCT a.application_name AS name FROM pg_stat_activity AS a WHERE a.datname = current_database())
  SELECT h.app, h.exe, h.ver, h.runs, h.app || chr(31) || h.exe = ANY (v_registered), v_watches ? h.app,
    CASE WHEN h.app || chr(31) || h.exe = ANY (v_leases) THEN 'lease'
         WHEN EXISTS (SELECT FROM named AS n WHERE n.name = dbos_sys.session_name(
           COALESCE(v_watches ->> h.app, 'dbos_transact_{executor}_{version}'), h.exe, h.ver)) THEN 'session'
         WHEN dbos_sys.has_nameless_session(h.app) THEN 'perhaps' END
  FROM held AS h ORDER BY h.runs DESC, h.app, h.exe;
END;
$$;

CREATE OR REPLACE FUNCTION dbos_sys.doctor_unowned(OUT state text, OUT finding text, OUT mend text)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  v_gone text[];
  v_perhaps text[];
BEGIN
  SELECT array_agg(format('%s of executor %s%s', o.rows, dbos_sys.shown(o.executor), CASE WHEN o.application <> '' THEN ' of ' || o.application ELSE '' END))
      FILTER (WHERE o.seen IS NULL),
    array_agg(format('%s of executor %s', o.rows, dbos_sys.shown(o.executor))) FILTER (WHERE o.seen = 'perhaps'),
    min(format('SELECT dbos_sys.recover(ARRAY[%L]);  -- when its process is dead', o.executor)) FILTER (WHERE o.seen IS NULL)
  INTO v_gone, v_perhaps, mend FROM dbos_sys.pending_owners() AS o;
  state := CASE WHEN v_gone IS NOT NULL THEN 'bad' WHEN v_perhaps IS NOT NULL THEN 'not known' ELSE 'ok' END;
  finding := CASE state WHEN 'bad' THEN 'PENDING, and nobody of the name is here: ' || dbos_sys.some_of(v_gone)
    WHEN 'not known' THEN 'PENDING under names that sessions do not tell: ' || dbos_sys.some_of(v_perhaps) ELSE 'who holds a PENDING workflow is here' END;
END;
$$;
COMMENT ON FUNCTION dbos_sys.doctor_unowned() IS
'bad: workflows are PENDING for a minute under executors of which neither a lease nor a session is seen. not known: sessions that all have one name are here.';

CREATE OR REPLACE FUNCTION dbos_sys.doctor_watched(OUT state text, OUT finding text, OUT mend text)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  v_blind text[];
BEGIN
  SELECT array_agg(DISTINCT CASE WHEN o.application = '' THEN 'workflows without an application' ELSE dbos_sys.shown(o.application) END),
    min(format('SELECT * FROM dbos_sys.watch(%L);', NULLIF(o.application, '')))
  INTO v_blind, mend FROM dbos_sys.pending_owners() AS o WHERE NOT o.registered AND NOT o.watched;
  state := CASE WHEN v_blind IS NULL THEN 'ok' ELSE 'warn' END;
  finding := COALESCE('nobody notices when executors die of: ' || dbos_sys.some_of(v_blind), 'every executor with PENDING workflows registered, or its application is watched');
END;
$$;
COMMENT ON FUNCTION dbos_sys.doctor_watched() IS 'warn: executors hold PENDING workflows that neither registered nor belong to an application that watch() was told of.';

-- PENDING workflows without a step since then, and without a sleep or wait that is recorded to end later, of the `p_look` oldest, at most `p_most`; and
-- whether that were all. Of each the last hundred steps that it began are read, so the work has a bound whatever is in the tables; plans are held to
-- indexes as in prune.sql.
CREATE OR REPLACE FUNCTION dbos_sys.find_stuck(p_since bigint, p_look integer, p_most integer, OUT ids text[], OUT names text[], OUT complete boolean)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_sort = off
SET jit = off
SET max_parallel_workers_per_gather = 0
AS $$
BEGIN
  WITH oldest AS MATERIALIZED (
    SELECT w.workflow_uuid, w.name, w.created_at, COALESCE(w.started_at_epoch_ms, w.created_at) AS started FROM dbos.workflow_status AS w
    WHERE w.status = 'PENDING' AND w.created_at < p_since ORDER BY w.created_at LIMIT p_look),
  stuck AS (
    SELECT o.* FROM oldest AS o
    WHERE o.started < p_since AND NOT EXISTS (
      SELECT FROM (
        SELECT s.completed_at_epoch_ms FROM dbos.operation_outputs AS s WHERE s.workflow_uuid = o.workflow_uuid ORDER BY s.function_id DESC LIMIT 100) AS l
      WHERE l.completed_at_epoch_ms >= p_since)
    LIMIT p_most)
  SELECT COALESCE(array_agg(s.workflow_uuid ORDER BY s.created_at, s.workflow_uuid), '{}'), COALESCE(array_agg(s.name ORDER BY s.created_at, s.workflow_uuid), '{}'),
    count(*) < p_most AND (SELECT count(*) FROM oldest) < p_look
  INTO ids, names, complete FROM stuck AS s;
END;
$$;

CREATE OR REPLACE FUNCTION dbos_sys.doctor_stuck(OUT state text, OUT finding text, OUT mend text)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  v_look CONSTANT integer := 50000;
  v_found record;
BEGIN
  SELECT f.ids, f.names, f.complete INTO v_found FROM dbos_sys.find_stuck(dbos_sys.now_ms() - 86400000, v_look, 1000) AS f;
  state := CASE WHEN v_found.ids <> '{}' THEN 'warn' WHEN v_found.complete THEN 'ok' ELSE 'not known' END;
  finding := CASE state
    WHEN 'warn' THEN format('%s%s PENDING workflows recorded no step for a day: ', CASE WHEN v_found.complete THEN '' ELSE 'at least ' END, cardinality(v_found.ids))
      || dbos_sys.some_of(ARRAY(SELECT format('%s (%s)', dbos_sys.shown(u.id), u.name) FROM unnest(v_found.ids, v_found.names) AS u(id, name)))
    WHEN 'ok' THEN 'every PENDING workflow recorded a step within a day'
    ELSE format('the %s oldest PENDING workflows recorded a step within a day; the others were not looked at', v_look) END;
  mend := CASE state WHEN 'warn' THEN format('SELECT dbos_sys.cancel(ARRAY[%L]);', v_found.ids[1]) END;
END;
$$;
COMMENT ON FUNCTION dbos_sys.doctor_stuck() IS
'warn: workflows have been PENDING for a day without recording a step; sleeps and waits that end later do not count. It looks at the 50000 oldest and names
a thousand at most: at least so many. not known: these are well, and there are more.';

CREATE OR REPLACE FUNCTION dbos_sys.doctor_versions(OUT state text, OUT finding text, OUT mend text)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  v_alive text[] := '{}';
  v_left text[];
BEGIN
  IF to_regclass('dbos_ops.executors') IS NOT NULL THEN
    v_alive := ARRAY(SELECT e.application_version FROM dbos_ops.executors AS e
      WHERE e.ended_at IS NULL AND e.last_seen + e.lease_ms > dbos_sys.now_ms() AND e.application_version IS NOT NULL);
  END IF;
  SELECT array_agg(format('%s of version %s%s', a.rows, dbos_sys.shown(a.version), COALESCE(' of ' || dbos_sys.shown(a.application), '')) ORDER BY a.rows DESC, a.version)
  INTO v_left
  FROM (
    SELECT w.application_name AS application, w.application_version AS version, count(*) AS rows FROM dbos.workflow_status AS w
    WHERE w.status IN ('ENQUEUED', 'PENDING') AND w.application_version IS NOT NULL GROUP BY 1, 2) AS a
  WHERE a.version <> COALESCE(dbos_sys.newest_version(COALESCE(a.application, '')), a.version) AND a.version <> ALL (v_alive)
    AND NOT EXISTS (SELECT FROM dbos_sys.sessions_like('dbos_transact_{executor}_{version}', a.version));
  state := CASE WHEN v_left IS NULL THEN 'ok' ELSE 'warn' END;
  finding := COALESCE('work of versions that nobody runs: ' || dbos_sys.some_of(v_left), 'all work is of the latest version, or of one that runs');
END;
$$;
COMMENT ON FUNCTION dbos_sys.doctor_versions() IS
'warn: workflows are ENQUEUED or PENDING under a version that is not the latest, and no executor of it is seen.';

CREATE OR REPLACE FUNCTION dbos_sys.large_payloads()
RETURNS TABLE (name text, workflows bigint, largest bigint, place text)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET jit = off
AS $$
BEGIN
  -- octet_length() of a payload reads its head only.
  RETURN QUERY
  WITH newest AS MATERIALIZED (
    SELECT w.workflow_uuid AS id, COALESCE(w.name, '') AS name, octet_length(w.inputs) AS bytes_in, GREATEST(octet_length(w.output), octet_length(w.error)) AS bytes_out
    FROM dbos.workflow_status AS w ORDER BY w.created_at DESC LIMIT 5000),
  payloads AS (
    SELECT n.id, n.name, 'input' AS place, GREATEST(n.bytes_in, octet_length(i.inputs)) AS bytes
    FROM newest AS n LEFT JOIN dbos.workflow_input AS i ON i.workflow_uuid = n.id
    UNION ALL
    SELECT n.id, n.name, 'output', GREATEST(n.bytes_out, octet_length(o.output), octet_length(o.error))
    FROM newest AS n LEFT JOIN dbos.workflow_output AS o ON o.workflow_uuid = n.id
    UNION ALL
    SELECT n.id, n.name, 'step ' || s.function_name, GREATEST(octet_length(s.output), octet_length(s.error))
    FROM newest AS n JOIN dbos.operation_outputs AS s ON s.workflow_uuid = n.id
    UNION ALL
    SELECT n.id, n.name, 'message', octet_length(m.message) FROM newest AS n JOIN dbos.notifications AS m ON m.destination_uuid = n.id
    UNION ALL
    SELECT n.id, n.name, 'event ' || e.key, octet_length(e.value) FROM newest AS n JOIN dbos.workflow_events AS e ON e.workflow_uuid = n.id
    UNION ALL
    SELECT n.id, n.name, 'stream ' || t.key, octet_length(t.value) FROM newest AS n JOIN dbos.streams AS t ON t.workflow_uuid = n.id)
  SELECT p.name, count(DISTINCT p.id), max(p.bytes)::bigint, (array_agg(p.place ORDER BY p.bytes DESC))[1] FROM payloads AS p
  WHERE p.bytes > 65536 GROUP BY p.name ORDER BY 3 DESC, 1;
END;
$$;
COMMENT ON FUNCTION dbos_sys.large_payloads() IS
'Names of workflows with inputs, outputs, results of steps, errors, messages, events or stream entries above 64 KiB among the newest 5000: how many, the
largest in bytes, and what it is.';

CREATE OR REPLACE FUNCTION dbos_sys.doctor_payloads(OUT state text, OUT finding text, OUT mend text)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  v_large text[];
BEGIN
  SELECT array_agg(format('%s (%s workflows, the largest %s: %s)', p.name, p.workflows, pg_size_pretty(p.largest), p.place)) INTO v_large
  FROM dbos_sys.large_payloads() AS p;
  state := CASE WHEN v_large IS NULL THEN 'ok' ELSE 'warn' END;
  finding := COALESCE(dbos_sys.some_of(v_large), 'no payload of the newest workflows is above 64 KiB');
END;
$$;
COMMENT ON FUNCTION dbos_sys.doctor_payloads() IS 'warn: large_payloads() lists something.';

CREATE OR REPLACE FUNCTION dbos_sys.doctor_maintained(OUT state text, OUT finding text, OUT mend text)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  v_last bigint;
  v_ago bigint;
BEGIN
  IF to_regclass('dbos_ops.ticker') IS NULL THEN
    state := 'warn';
    finding := 'the tables of dbos_sys are not installed, so nobody maintains this database';
    mend := 'SELECT dbos_sys.install();';
    RETURN;
  END IF;
  SELECT t.last_tick INTO v_last FROM dbos_ops.ticker AS t;
  v_ago := (dbos_sys.now_ms() - v_last) / 1000;
  state := CASE WHEN v_ago <= 90 THEN 'ok' ELSE 'bad' END;
  finding := CASE WHEN v_last IS NULL THEN 'nobody has ever maintained this database' ELSE format('the last round was %s s ago', v_ago) END
    || CASE WHEN dbos_sys.preloaded() THEN '' ELSE '; no background worker' END;
END;
$$;
COMMENT ON FUNCTION dbos_sys.doctor_maintained() IS 'bad: no round of maintain() for 90 seconds.';

-- The libraries that are loaded with the server, and ours, as ALTER SYSTEM takes them; NULL for roles that do not see which are.
CREATE OR REPLACE FUNCTION dbos_sys.preload_with_ours()
RETURNS text
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  v_present text := (SELECT s.value FROM dbos_sys.setting_value('shared_preload_libraries') AS s);
BEGIN
  IF v_present IS NULL THEN
    RETURN NULL;
  END IF;
  RETURN (
    SELECT string_agg(quote_literal(l.name), ', ' ORDER BY l.place)
    FROM (
      SELECT btrim(p.name, ' "') AS name, p.place FROM unnest(string_to_array(v_present, ',')) WITH ORDINALITY AS p(name, place)
      UNION ALL SELECT 'dbos_sys', 1000) AS l
    WHERE l.name <> '' AND (l.place = 1000 OR l.name <> 'dbos_sys'));
END;
$$;

CREATE OR REPLACE FUNCTION dbos_sys.databases_with_this()
RETURNS text
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN concat_ws(', ', NULLIF(current_setting('dbos_sys.databases', true), ''), quote_ident(current_database()));
END;
$$;

-- The background worker: loaded with the server, and told of this database.
CREATE OR REPLACE FUNCTION dbos_sys.doctor_worker(OUT state text, OUT finding text, OUT mend text)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  IF dbos_sys.library_version() IS NULL THEN
    state := 'ok';
    finding := 'plain SQL: there is none, clients poll';
  ELSIF NOT dbos_sys.preloaded() THEN
    state := 'warn';
    finding := 'the library is not loaded with the server: wake-ups come by NOTIFY in each transaction and by polling';
    mend := COALESCE('ALTER SYSTEM SET shared_preload_libraries = ' || dbos_sys.preload_with_ours() || '; -- then restart the server',
      'Add dbos_sys to shared_preload_libraries, beside what is there (hidden from this role: SHOW shared_preload_libraries; as a superuser), and restart the server.');
  ELSE
    state := CASE WHEN current_database() = ANY (dbos_sys.worker_databases()) THEN 'ok' ELSE 'bad' END;
    finding := format('dbos_sys.databases = %s', current_setting('dbos_sys.databases'));
    mend := format('ALTER SYSTEM SET dbos_sys.databases = %L; -- then restart the server', dbos_sys.databases_with_this());
  END IF;
END;
$$;
COMMENT ON FUNCTION dbos_sys.doctor_worker() IS 'ok: the server loads the library and dbos_sys.databases names this database; or plain SQL, where there is no library.';
