-- Row types of public calls. They name no table: upstream may alter its tables freely, and a restore makes the extension first.

-- One workflow as status() and list() return it: upstream's columns under upstream's names; inputs, output and error come from the
-- payload tables, or from the row itself where an SDK before schema 109 wrote it.
CREATE TYPE dbos_sys.workflow AS (
  workflow_uuid text,
  status text,
  name text,
  class_name text,
  config_name text,
  application_name text,
  application_version text,
  application_id text,
  executor_id text,
  queue_name text,
  queue_partition_key text,
  priority integer,
  deduplication_id text,
  inputs text,
  output text,
  error text,
  serialization text,
  recovery_attempts bigint,
  created_at bigint,
  updated_at bigint,
  started_at_epoch_ms bigint,
  completed_at bigint,
  delay_until_epoch_ms bigint,
  workflow_timeout_ms bigint,
  workflow_deadline_epoch_ms bigint,
  parent_workflow_id text,
  forked_from text,
  was_forked_from boolean,
  schedule_name text,
  rate_limited boolean,
  debounce_deadline_epoch_ms bigint,
  is_debounced boolean,
  authenticated_user text,
  assumed_role text,
  authenticated_roles text,
  attributes jsonb,
  owner_xid text,
  creator_xid text
);

-- One recorded step as steps() returns it.
CREATE TYPE dbos_sys.step AS (
  function_id integer,
  function_name text,
  output text,
  error text,
  child_workflow_id text,
  serialization text,
  started_at_epoch_ms bigint,
  completed_at_epoch_ms bigint,
  application_name text
);
