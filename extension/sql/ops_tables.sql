-- Our own tables: ordinary objects in schema `dbos_ops`, owned by the owner of schema `dbos`, carried by dumps, left by DROP EXTENSION.

-- One row per table; install() makes those that are absent.
CREATE OR REPLACE FUNCTION dbos_sys.ops_tables()
RETURNS TABLE (table_name text, ddl text)
LANGUAGE sql
IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
  VALUES
  -- steady_since: from then to last_seen heartbeats came without a gap (heartbeat_gap).
  ('executors', '
    CREATE TABLE dbos_ops.executors (
      application_name text NOT NULL,
      executor_id text NOT NULL,
      incarnation text NOT NULL,
      application_version text,
      lease_ms bigint NOT NULL,
      started_at bigint NOT NULL,
      last_seen bigint NOT NULL,
      sessions boolean NOT NULL DEFAULT false,
      suspect_since bigint,
      ended_at bigint,
      ended_why text,
      accept_unfenced boolean NOT NULL DEFAULT false,
      steady_since bigint,
      PRIMARY KEY (application_name, executor_id)
    )'),
  -- next_tick: the background worker rests until then; NULL: it does not. ticked_by: the name of the session that ticked last. steady_since: from then
  -- to last_tick ticks came without a pause above longest_pause(), and without a server start that made one of them late.
  ('ticker', '
    CREATE TABLE dbos_ops.ticker (
      one boolean PRIMARY KEY DEFAULT true CHECK (one),
      last_tick bigint,
      next_tick bigint,
      ticked_by text,
      hold_from bigint,
      hold_until bigint,
      server_start timestamptz,
      pause_ms bigint,
      pause_before_ms bigint,
      steady_since bigint
    )'),
  ('watches', '
    CREATE TABLE dbos_ops.watches (
      application_name text PRIMARY KEY,
      session_name text NOT NULL,
      grace_ms bigint NOT NULL,
      accept_unfenced boolean NOT NULL,
      version_gone text NOT NULL,
      version_grace_ms bigint NOT NULL,
      since bigint NOT NULL,
      seen_at bigint,
      scanned_at bigint,
      versions_at bigint,
      kills bigint NOT NULL,
      killed_at bigint,
      lent_at bigint
    )'),
  ('watched_sessions', '
    CREATE TABLE dbos_ops.watched_sessions (
      application_name text NOT NULL,
      session_name text NOT NULL,
      seen_at bigint NOT NULL,
      gone_since bigint,
      hold_until bigint,
      pids integer[] NOT NULL DEFAULT ''{}'',
      PRIMARY KEY (application_name, session_name)
    )'),
  ('watched_versions', '
    CREATE TABLE dbos_ops.watched_versions (
      application_name text NOT NULL,
      application_version text NOT NULL,
      gone_since bigint NOT NULL,
      hold_until bigint,
      PRIMARY KEY (application_name, application_version)
    )'),
  -- Of the queue whose row has this id, and of no later one of its name; NULL: of one that was dropped.
  ('queue_settings', '
    CREATE TABLE dbos_ops.queue_settings (
      queue_name text PRIMARY KEY,
      queue_id text,
      paused boolean NOT NULL DEFAULT false,
      saved_concurrency integer,
      fair boolean NOT NULL DEFAULT false,
      weights jsonb NOT NULL DEFAULT ''{}'',
      updated_at bigint NOT NULL
    )'),
  -- What the columns mean stands in limits_grant.sql. The row of a limit changes with each grant and has room for its next versions.
  ('limits', '
    CREATE TABLE dbos_ops.limits (
      name text PRIMARY KEY,
      rate double precision,
      per_ms bigint NOT NULL,
      burst integer NOT NULL,
      concurrency integer,
      weights jsonb NOT NULL,
      interval_ns bigint,
      next_ns bigint NOT NULL DEFAULT 0,
      held_until bigint NOT NULL DEFAULT 0,
      vtime double precision NOT NULL DEFAULT 0,
      waiting bigint NOT NULL DEFAULT 0,
      waiting_keys bigint NOT NULL DEFAULT 0,
      taken bigint NOT NULL DEFAULT 0,
      granted bigint NOT NULL DEFAULT 0,
      created_at bigint NOT NULL,
      updated_at bigint NOT NULL
    ) WITH (fillfactor = 50)'),
  ('limit_keys', '
    CREATE TABLE dbos_ops.limit_keys (
      limit_name text NOT NULL,
      key text NOT NULL,
      vstart double precision NOT NULL,
      waiting bigint NOT NULL,
      arrived bigint NOT NULL,
      served bigint NOT NULL,
      PRIMARY KEY (limit_name, key)
    );
    CREATE INDEX limit_keys_next ON dbos_ops.limit_keys (limit_name, vstart, key) WHERE waiting > 0;
    CREATE INDEX limit_keys_idle ON dbos_ops.limit_keys (limit_name, vstart) WHERE waiting = 0'),
  ('limit_tickets', '
    CREATE TABLE dbos_ops.limit_tickets (
      ticket text PRIMARY KEY,
      limit_name text NOT NULL,
      key text NOT NULL,
      place bigint NOT NULL,
      state text NOT NULL,
      caller text,
      holder text NOT NULL,
      asks_at bigint NOT NULL,
      ends_at bigint,
      lease_ms bigint NOT NULL,
      start_ns bigint,
      created_at bigint NOT NULL
    );
    CREATE INDEX limit_tickets_next ON dbos_ops.limit_tickets (limit_name, key, place) WHERE state = ''waiting'';
    CREATE INDEX limit_tickets_reserved ON dbos_ops.limit_tickets (limit_name, start_ns) WHERE state = ''reserved'';
    CREATE INDEX limit_tickets_end ON dbos_ops.limit_tickets (limit_name, ends_at) WHERE ends_at IS NOT NULL;
    CREATE INDEX limit_tickets_caller ON dbos_ops.limit_tickets (caller, limit_name, state, place) WHERE caller IS NOT NULL'),
  ('limit_callers', '
    CREATE TABLE dbos_ops.limit_callers (
      caller text PRIMARY KEY,
      application_name text,
      executor_id text,
      listens boolean NOT NULL,
      asks_at bigint NOT NULL,
      ends_at bigint NOT NULL
    ) WITH (fillfactor = 50)'),
  -- next_at: the next firing from here, ms; definition: what it was computed for. server: whether it is fired from here, NULL: as it follows.
  ('schedules', '
    CREATE TABLE dbos_ops.schedules (
      schedule_name text PRIMARY KEY,
      made_here boolean NOT NULL DEFAULT false,
      server boolean,
      definition text,
      next_at bigint,
      retry_at bigint,
      backfilled bigint NOT NULL DEFAULT 0,
      backfill_from bigint
    ) WITH (fillfactor = 50)'),
  ('queue_starts', '
    CREATE TABLE dbos_ops.queue_starts (
      queue_name text NOT NULL,
      application_name text NOT NULL,
      whole boolean NOT NULL,
      partition_key text NOT NULL,
      started_at bigint NOT NULL,
      runs bigint NOT NULL,
      PRIMARY KEY (queue_name, application_name, whole, partition_key, started_at)
    )'),
  ('queue_walks', '
    CREATE TABLE dbos_ops.queue_walks (
      queue_name text PRIMARY KEY,
      virtual_time double precision NOT NULL DEFAULT 0,
      low double precision NOT NULL DEFAULT 0,
      scan_after text NOT NULL DEFAULT '''',
      scanned_at bigint NOT NULL DEFAULT 0,
      circle_seen bigint NOT NULL DEFAULT 0,
      circle_keys bigint NOT NULL DEFAULT 0
    )'),
  ('queue_partitions', '
    CREATE TABLE dbos_ops.queue_partitions (
      queue_name text NOT NULL,
      partition_key text NOT NULL,
      finish double precision NOT NULL,
      walk text GENERATED ALWAYS AS (queue_name) STORED,
      turn text GENERATED ALWAYS AS (partition_key) STORED,
      PRIMARY KEY (queue_name, partition_key),
      UNIQUE (walk, finish, turn)
    )'),
  ('queue_arrivals', '
    CREATE TABLE dbos_ops.queue_arrivals (
      queue_name text NOT NULL,
      id uuid NOT NULL DEFAULT gen_random_uuid(),
      partition_key text NOT NULL,
      PRIMARY KEY (queue_name, partition_key, id)
    )'),
  -- '' selects any. How policies are compared stands in retention.sql.
  ('retention_policies', '
    CREATE TABLE dbos_ops.retention_policies (
      id text PRIMARY KEY DEFAULT gen_random_uuid(),
      application_name text NOT NULL,
      queue_name text NOT NULL,
      workflow text NOT NULL,
      workflow_like text,
      status text NOT NULL,
      weight integer NOT NULL,
      keeps boolean NOT NULL,
      keep_ms bigint,
      keep_rows bigint,
      cancel_after_ms bigint,
      archive boolean NOT NULL,
      updated_at bigint NOT NULL,
      CONSTRAINT retention_policies_selector UNIQUE (application_name, queue_name, workflow, status)
    )'),
  ('pruner', '
    CREATE TABLE dbos_ops.pruner (
      one boolean PRIMARY KEY DEFAULT true CHECK (one),
      runner integer,
      runner_until bigint NOT NULL DEFAULT 0,
      due_at bigint NOT NULL DEFAULT 0,
      window_from bigint NOT NULL DEFAULT 0,
      spent_ms bigint NOT NULL DEFAULT 0,
      round_at bigint,
      full_at bigint NOT NULL DEFAULT 0,
      sweep_at bigint NOT NULL DEFAULT 0,
      ended_at bigint,
      failure text,
      workflows bigint NOT NULL DEFAULT 0,
      orphans bigint NOT NULL DEFAULT 0,
      bytes bigint NOT NULL DEFAULT 0
    ) WITH (fillfactor = 50)'),
  ('prune_marks', '
    CREATE TABLE dbos_ops.prune_marks (
      source text PRIMARY KEY,
      at bigint NOT NULL DEFAULT 0,
      id text NOT NULL DEFAULT '''',
      goal bigint NOT NULL,
      done boolean NOT NULL DEFAULT false
    ) WITH (fillfactor = 50)'),
  -- What the columns mean stands in archive.sql. Its partitions are made when they are needed.
  ('archive', '
    CREATE TABLE dbos_ops.archive (
      first_ended bigint NOT NULL,
      last_ended bigint NOT NULL,
      first_created bigint NOT NULL,
      last_created bigint NOT NULL,
      archived_at bigint NOT NULL,
      digest bigint NOT NULL,
      chunk uuid NOT NULL,
      row_count integer NOT NULL,
      part smallint NOT NULL,
      parts smallint NOT NULL,
      shape smallint NOT NULL,
      status text,
      name text,
      application_name text,
      queue_name text,
      ids text[] NOT NULL,
      data text NOT NULL,
      PRIMARY KEY (first_ended, chunk, part)
    ) PARTITION BY RANGE (first_ended);
    CREATE INDEX archive_ids ON dbos_ops.archive USING gin (ids)'),
  ('archive_shapes', '
    CREATE TABLE dbos_ops.archive_shapes (
      shape smallint PRIMARY KEY,
      columns jsonb NOT NULL UNIQUE
    )'),
  ('archive_exports', '
    CREATE TABLE dbos_ops.archive_exports (
      partition text NOT NULL,
      place text NOT NULL,
      exported_at bigint NOT NULL,
      row_count bigint NOT NULL,
      digest text NOT NULL,
      PRIMARY KEY (partition, place)
    )'),
  -- What the columns mean stands in exports.sql.
  ('export_ids', '
    CREATE TABLE dbos_ops.export_ids (
      partition text NOT NULL,
      place text NOT NULL,
      digest text NOT NULL,
      buckets integer NOT NULL,
      bucket integer NOT NULL,
      hashes bigint[] NOT NULL,
      PRIMARY KEY (partition, place, digest, bucket)
    );
    CREATE INDEX export_ids_bucket ON dbos_ops.export_ids (bucket, buckets)'),
  ('retention_holds', '
    CREATE TABLE dbos_ops.retention_holds (
      workflow_uuid text PRIMARY KEY,
      until bigint NOT NULL
    )'),
  ('step_classes', '
    CREATE TABLE dbos_ops.step_classes (
      pattern text PRIMARY KEY,
      outbound boolean NOT NULL,
      limit_name text,
      declared boolean NOT NULL DEFAULT false,
      updated_at bigint NOT NULL
    )')
$$;
