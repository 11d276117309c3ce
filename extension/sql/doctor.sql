-- doctor(): is this database, its server and what runs on it as a production system should be? The checklist is the table below.

-- One row for each line, in the order in which they are told; the first six are those of the checklist in docs/production.md. `run` is the call that
-- judges, with what the client tells of itself as $1. Who adds a line adds a row here, its function to a doctor_checks*.sql, and a paragraph there;
-- and its name below where it looks at DBOS's tables, for without them no such line is judged.
CREATE OR REPLACE FUNCTION dbos_sys.doctor_checks()
RETURNS TABLE (place bigint, name text, run text, wanted text, why text, mend text, of_tables boolean)
LANGUAGE sql
IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
  SELECT row_number() OVER (), c.name, c.run, c.wanted, c.why, c.mend, c.name = ANY ('{throttling,table version,maintenance,unlogged tables,triggers,
    storage parameters,dead rows,statistics,invalid indexes,index bloat,dead letters,overdue,waiting,unowned,watched,stuck,version skew,payloads}')
  FROM (VALUES
    ('dedicated instance', 'doctor_dedicated()', 'a server of its own: no other busy database, no business tables in this one',
      'The rows of workflows come and go fast; they take WAL, cache and vacuum from the business data, and it from them.',
      'dbos-sys init --db postgresql://postgres@NEW-SERVER/dbos_sys  # then point the applications'' system database there'),
    ('pooler', 'doctor_pooler($1)', 'sessions that stay, under half of what the server takes: by a pooler or by small pools',
      'Each session costs memory and a share of every snapshot; a burst of clients that connect anew can lock everybody out.',
      'Put PgBouncer (pool_mode = transaction) before the server; docs/production.md has its settings.'),
    ('prune job', 'doctor_prune()', 'a job that deletes finished workflows, and whose last run, within a day, succeeded',
      'DBOS records every input, output and step for ever; without a job the disk fills and each index grows.',
      'SELECT dbos_sys.schedule_maintenance(''*/5 * * * *'');  -- with pg_cron; or a retention policy and the background worker'),
    ('determinism', 'doctor_unreported(''no gate has reported: this release has none yet'')', 'a determinism test of the newest version, passed',
      'Recovery runs the code again over its record; code that takes another path goes to the dead letter.',
      'Run each workflow twice in CI and compare its recorded steps.'),
    ('throttling', 'doctor_throttling()', 'every step that calls another service has a limit',
      'A backlog or a recovery starts thousands of steps at once; without limits that falls on the services which they call.',
      'SELECT dbos_sys.register_limit(''NAME'', rate => 100);'),
    ('traces', 'doctor_unreported(''no export has reported: this release has none yet'')', 'traces that were exported within the hour',
      'Where a slow workflow spends its time is seen in its trace, and nowhere else across services.',
      'Set up OpenTelemetry in the applications'' SDK.'),

    ('collation', 'doctor_collation()', 'encoding UTF8, collation C',
      'Ids are compared for equality only; any other collation makes each comparison in an index slower, and a new libc can break the index.',
      'dbos-sys init --name dbos_sys2  # then pg_dump --data-only into it'),
    ('shared_buffers', 'doctor_range(''shared_buffers'', ''warn'', ''256MB'', NULL, ''1GB'')', 'at least 256 MB; a quarter of the memory',
      'The active rows and the inner pages of all indexes should stay in memory.', NULL),
    ('max_wal_size', 'doctor_range(''max_wal_size'', ''warn'', ''4GB'', NULL, ''8GB'')', 'at least 4 GB',
      'Many small writes fill it fast, and each checkpoint makes the next write of every page a whole page of WAL.', NULL),
    ('checkpoint_timeout', 'doctor_range(''checkpoint_timeout'', ''warn'', ''10min'', NULL, ''15min'')', 'at least 10 minutes',
      'The same: fewer checkpoints, fewer whole pages in WAL.', NULL),
    ('checkpoint_completion_target', 'doctor_range(''checkpoint_completion_target'', ''warn'', ''0.8'', NULL, ''0.9'')', 'about 0.9',
      'A checkpoint that is written in a rush makes commits wait.', NULL),
    ('checkpoints', 'doctor_checkpoints()', 'checkpoints that come by the clock',
      'A checkpoint that comes because WAL is full comes when most is written.', NULL),
    ('wal_compression', 'doctor_choice(''wal_compression'', ''warn'', ''{lz4,zstd,pglz,on}'')', 'on (lz4)',
      'Whole pages are most of the WAL that small random writes make; they compress to a fraction.', NULL),
    ('fsync', 'doctor_choice(''fsync'', ''bad'', ''{on}'')', 'on', 'Without it a power cut leaves a database that cannot be used.', NULL),
    ('full_page_writes', 'doctor_choice(''full_page_writes'', ''bad'', ''{on}'')', 'on', 'Without it a crash leaves torn pages.', NULL),
    ('synchronous_commit', 'doctor_choice(''synchronous_commit'', ''bad'', ''{on,remote_apply,remote_write,local}'')', 'on',
      'A step counts as done once its record has committed; an answer before the disk lets a crash forget it, and it runs again.', NULL),
    ('autovacuum', 'doctor_autovacuum()', 'on, and so is track_counts',
      'Every workflow leaves dead rows; without vacuum each claim reads more of them, and transaction ids run out.', NULL),
    ('autovacuum_naptime', 'doctor_range(''autovacuum_naptime'', ''warn'', NULL, ''1min'', ''15s'')', 'at most a minute',
      'Tables of queues need vacuum several times a minute at full load.', NULL),
    ('jit', 'doctor_choice(''jit'', ''warn'', ''{off}'')', 'off', 'The statements are short; compiling one costs more than running it.', NULL),
    ('random_page_cost', 'doctor_range(''random_page_cost'', ''warn'', NULL, ''2'', ''1.1'')', 'at most 2, 1.1 on SSDs',
      'At 4 the planner takes an index for dear and reads whole tables.', NULL),
    ('idle_in_transaction_session_timeout', 'doctor_range(''idle_in_transaction_session_timeout'', ''warn'', ''1s'', ''1h'', ''5min'')', 'set, at most an hour',
      'A client that forgets its transaction holds locks, and vacuum back, for as long as it lives.', NULL),
    ('statement_timeout', 'doctor_statement_timeout()', 'none for the server, the database and its roles, or at least 30 s',
      'It ends prune(), the building of an index and this checklist half way. Who wants one sets it for its own session.', NULL),
    ('isolation', 'doctor_isolation()', 'READ COMMITTED, read and write',
      'Claims skip rows that others hold; at a higher level they fail instead, and read-only sessions cannot run anything.', NULL),
    ('overrides', 'doctor_overrides()', 'no settings of roles or databases that contradict these',
      'ALTER ROLE and ALTER DATABASE … SET count more than the configuration, and are forgotten.', NULL),
    ('configuration', 'doctor_pending_restart()', 'a configuration that is in force', 'What waits for a restart comes with the next crash.',
      'Restart the server; SELECT * FROM pg_file_settings WHERE error IS NOT NULL; shows wrong lines.'),

    ('connections', 'doctor_connections()', 'less than 70 percent taken', 'The next deploy or reconnect of all clients needs room.',
      'ALTER SYSTEM SET max_connections = 200; -- then restart; or a pooler'),
    ('horizon', 'doctor_horizon()', 'nobody who holds vacuum back for minutes',
      'One old snapshot, slot, prepared transaction or standby keeps every dead row in the database; each claim then reads past them.', NULL),
    ('idle transactions', 'doctor_idle_transactions()', 'no transaction that waits for its client', 'It keeps its locks and its snapshot.', NULL),
    ('locks', 'doctor_blocked()', 'nobody who waits for a lock for seconds', 'Who waits lets all behind it wait.', NULL),
    ('replication slots', 'doctor_slots()', 'slots that somebody uses', 'A slot keeps WAL until somebody takes it, or the disk is full.', NULL),
    ('synchronous standby', 'doctor_synchronous()', 'as many standbys connected as commits wait for', 'Without them no commit returns.',
      'ALTER SYSTEM SET synchronous_standby_names = ''''; SELECT pg_reload_conf();  -- or start the standby'),
    ('backups', 'doctor_backups()', 'WAL that is archived, or a standby', 'The state of every workflow lies here and nowhere else.',
      'Set archive_mode = on with an archive_command (pgBackRest, WAL-G), or a standby; where the provider takes snapshots this line cannot see them.'),
    ('wraparound', 'doctor_wraparound()', 'transaction ids that vacuum has freed in time', 'At 2,147 million the server stops writing.', NULL),
    ('clock', 'doctor_clock($1)', 'clocks of server and clients within two seconds', 'Delays, timeouts and schedules are points in time; the server''s counts.',
      'Run chrony or another NTP client on both machines.'),

    ('tables', 'doctor_tables()', 'tables, indexes, constraints and functions as DBOS makes them',
      'A missing index makes every claim read the whole table; a missing constraint lets a step be recorded twice.', NULL),
    ('table version', 'doctor_schema_version()', 'the shared version that this release knows', 'Older tables lack columns and indexes that limits and recovery use.', NULL),
    ('versions of dbos_sys', 'doctor_library()', 'functions, library and files of one version', 'An update is half done.',
      'ALTER EXTENSION dbos_sys UPDATE;  -- then restart the server, if it loads the library'),
    ('background worker', 'doctor_worker()', 'loaded with the server, and told of this database',
      'It recovers, fires delays and wakes executors without polling.', NULL),
    ('maintenance', 'doctor_maintained()', 'a round of maintain() within 90 seconds', 'Without it no dead executor is noticed and no delay fires.',
      'Name the database in dbos_sys.databases, or let pg_cron call SELECT dbos_sys.maintain();'),
    ('unlogged tables', 'doctor_unlogged()', 'tables that survive a crash', 'A crash empties an unlogged table, and a standby does not have it.', NULL),
    ('triggers', 'doctor_strangers()', 'no triggers, rules or row security of others', 'They run with every row of every workflow, and can make an SDK''s write fail.', NULL),
    ('storage parameters', 'doctor_storage()', 'autovacuum parameters of their own for the hot tables',
      'By default vacuum waits for a fifth of the table to be dead; that is hours of workflows.', 'SELECT * FROM dbos_sys.tune_tables();'),
    ('dead rows', 'doctor_dead_rows()', 'autovacuum that keeps up', 'Claims and counts read every dead row that vacuum has not removed.', NULL),
    ('statistics', 'doctor_statistics()', 'tables analysed since half of their rows changed', 'The planner takes a table that it saw empty for empty still.', NULL),
    ('invalid indexes', 'doctor_invalid_indexes()', 'no index that an interrupted build left', 'It is written with every row and read by nobody.', NULL),
    ('index bloat', 'doctor_index_bloat()', 'btrees about as large as their entries need', 'Deleted entries leave pages that are read and cached still.', NULL),

    ('dead letters', 'doctor_dead_letters()', 'none', 'Each is a workflow that somebody started and nobody will finish.', NULL),
    ('overdue', 'doctor_overdue()', 'delays and deadlines that are acted on', 'Nobody maintains this database.',
      'SELECT * FROM dbos_sys.maintain();  -- once by hand; then see the line maintenance'),
    ('waiting', 'doctor_waiting()', 'nothing that waits for an hour on an open queue', 'No executor serves the queue or the version, or there are too few.',
      'dbos-sys queues list; start executors of the application, or: dbos-sys list --status ENQUEUED --oldest-first'),
    ('unowned', 'doctor_unowned()', 'an executor behind every PENDING workflow', 'Nobody runs them, until somebody recovers them.', NULL),
    ('watched', 'doctor_watched()', 'executors that registered, or are watched', 'When one dies, its workflows stay PENDING.', NULL),
    ('stuck', 'doctor_stuck()', 'a step within a day in every PENDING workflow', 'It hangs in a call without a timeout, or its executor lost it.', NULL),
    ('version skew', 'doctor_versions()', 'work of versions that somebody runs', 'Only executors of that very version take it.',
      'Start the old version until its work is done, or watch(…, version_gone => ''upgrade'') moves it.'),
    ('payloads', 'doctor_payloads()', 'at most 64 KiB each', 'A payload is written to WAL, replicated, backed up and read again at each recovery.',
      'SELECT * FROM dbos_sys.large_payloads();  -- keep such data in a file store and pass its address')
  ) AS c (name, run, wanted, why, mend)
$$;

CREATE OR REPLACE FUNCTION dbos_sys.check_doctor(p_names text[], p_client jsonb)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  v_unknown text;
BEGIN
  SELECT n.name INTO v_unknown FROM unnest(p_names) AS n(name) WHERE NOT EXISTS (SELECT FROM dbos_sys.doctor_checks() AS c WHERE c.name = n.name) LIMIT 1;
  IF FOUND THEN
    PERFORM dbos_sys.fail('WF001', format('the doctor has no line %s', dbos_sys.shown(v_unknown)), NULL,
      'Lines are: ' || (SELECT string_agg(c.name, ', ' ORDER BY c.place) FROM dbos_sys.doctor_checks() AS c) || '.');
  ELSIF jsonb_typeof(p_client) IS DISTINCT FROM 'object' OR (jsonb_typeof(p_client -> 'pid') <> 'number') OR (jsonb_typeof(p_client -> 'now') <> 'number') THEN
    PERFORM dbos_sys.fail('WF001', format('client is %s', COALESCE(left(p_client::text, 60), 'NULL')), NULL,
      'Give a JSON object: pid, the process id that the server told the client, and now, its clock in ms; both may be absent.');
  END IF;
END;
$$;

CREATE OR REPLACE FUNCTION dbos_sys.doctor(names text[] DEFAULT NULL, client jsonb DEFAULT '{}')
RETURNS TABLE (place bigint, name text, state text, finding text, wanted text, why text, mend text)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET lock_timeout = '1s'
SET jit = off
AS $$
#variable_conflict use_column
DECLARE
  v_check record;
  v_tables boolean := dbos_sys.has_tables();
BEGIN
  PERFORM dbos_sys.check_doctor(doctor.names, doctor.client);
  PERFORM pg_stat_clear_snapshot();
  FOR v_check IN
    SELECT c.place, c.name, c.run, c.wanted, c.why, c.mend, c.of_tables FROM dbos_sys.doctor_checks() AS c
    WHERE doctor.names IS NULL OR c.name = ANY (doctor.names) ORDER BY c.place
  LOOP
    place := v_check.place;
    name := v_check.name;
    wanted := v_check.wanted;
    why := v_check.why;
    -- What one line trips over is not the others'.
    BEGIN
      IF v_check.of_tables AND NOT v_tables THEN
        state := 'not known';
        finding := 'DBOS tables are not installed here';
        mend := 'SELECT dbos_sys.install();';
      ELSE
        EXECUTE 'SELECT c.state, c.finding, c.mend FROM dbos_sys.' || v_check.run || ' AS c' INTO state, finding, mend USING doctor.client;
      END IF;
    EXCEPTION WHEN OTHERS THEN
      state := 'not known';
      finding := SQLERRM;
      mend := CASE SQLSTATE WHEN '42501' THEN format('Ask as the owner of schema dbos, or: SELECT dbos_sys.grant_access(%L);', current_user)
        WHEN '55P03' THEN 'Ask again when nobody has the table locked.' END;
    END;
    state := COALESCE(state, 'not known');
    mend := CASE WHEN state <> 'ok' THEN COALESCE(mend, v_check.mend, 'docs/production.md has the line.') END;
    RETURN NEXT;
  END LOOP;
END;
$$;
COMMENT ON FUNCTION dbos_sys.doctor(text[], jsonb) IS
'The checklist of a production system, line by line: what was found, what was wanted, why, and the command that mends it. state: ok; warn (it costs
speed, or will hurt); bad (work is lost or stands still); not known (it cannot be seen from here, or by this role). The first six lines are always
dedicated instance, pooler, prune job, determinism, throttling, traces. names: these lines only. client: what the client knows of itself, pid and now
(ms), as dbos-sys tells it. Reads only, and waits for no lock longer than a second; where statement_timeout is short, set it to 0 first. Errors: WF001 (no such line).';
