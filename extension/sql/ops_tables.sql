-- Our own tables: ordinary objects in schema `dbos_ops`, owned by the owner of schema `dbos`, carried by dumps, left by DROP EXTENSION.

-- One row per table; install() makes those that are absent.
CREATE OR REPLACE FUNCTION dbos_sys.ops_tables()
RETURNS TABLE (table_name text, ddl text)
LANGUAGE sql
IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
  VALUES
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
      PRIMARY KEY (application_name, executor_id)
    )'),
  ('ticker', '
    CREATE TABLE dbos_ops.ticker (
      one boolean PRIMARY KEY DEFAULT true CHECK (one),
      last_tick bigint,
      hold_from bigint,
      hold_until bigint,
      server_start timestamptz
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
      killed_at bigint
    )'),
  ('watched_sessions', '
    CREATE TABLE dbos_ops.watched_sessions (
      application_name text NOT NULL,
      session_name text NOT NULL,
      seen_at bigint NOT NULL,
      gone_since bigint,
      hold_until bigint,
      PRIMARY KEY (application_name, session_name)
    )'),
  ('watched_versions', '
    CREATE TABLE dbos_ops.watched_versions (
      application_name text NOT NULL,
      application_version text NOT NULL,
      gone_since bigint NOT NULL,
      PRIMARY KEY (application_name, application_version)
    )'),
  ('queue_settings', '
    CREATE TABLE dbos_ops.queue_settings (
      queue_name text PRIMARY KEY,
      paused boolean NOT NULL DEFAULT false,
      saved_concurrency integer,
      fair boolean NOT NULL DEFAULT false,
      weights jsonb NOT NULL DEFAULT ''{}'',
      updated_at bigint NOT NULL
    )')
$$;
