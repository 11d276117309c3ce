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
    )')
$$;
