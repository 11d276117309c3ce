-- The rows of workflows in all tables: found, deleted set by set, and the cascades left out where nothing else would be.
\set SHOW_CONTEXT never
\set ECHO errors
\getenv root PG_ABS_SRCDIR
\set setup :root /sql/include/setup.psql
\i :setup
\set ECHO all

-- Workflows that have ended, with a row in each table and a step more.
CREATE FUNCTION pg_temp.ended(VARIADIC p_ids text[]) RETURNS void LANGUAGE sql AS $$
  INSERT INTO dbos.workflow_status (workflow_uuid, status, name, created_at, updated_at, completed_at)
  SELECT u.id, 'SUCCESS', 'w', 1790000000000, 1790000000000, 1790000000000 FROM unnest(p_ids) AS u(id);
  INSERT INTO dbos.workflow_input (workflow_uuid, inputs) SELECT u.id, '{}' FROM unnest(p_ids) AS u(id);
  INSERT INTO dbos.workflow_output (workflow_uuid, output) SELECT u.id, '{}' FROM unnest(p_ids) AS u(id);
  INSERT INTO dbos.operation_outputs (workflow_uuid, function_id, output) SELECT u.id, s, '{}' FROM unnest(p_ids) AS u(id), generate_series(1, 2) AS s;
  INSERT INTO dbos.notifications (destination_uuid, message) SELECT u.id, '{}' FROM unnest(p_ids) AS u(id);
  INSERT INTO dbos.workflow_events (workflow_uuid, key, value) SELECT u.id, 'k', '{}' FROM unnest(p_ids) AS u(id);
  INSERT INTO dbos.workflow_events_history (workflow_uuid, function_id, key, value) SELECT u.id, 1, 'k', '{}' FROM unnest(p_ids) AS u(id);
  INSERT INTO dbos.streams (workflow_uuid, key, value, "offset") SELECT u.id, 'k', '{}', 0 FROM unnest(p_ids) AS u(id);
$$;
CREATE FUNCTION pg_temp.many() RETURNS text[] LANGUAGE sql AS $$ SELECT array_agg('m' || n) FROM generate_series(1, 400) AS n $$;
-- Takes the many away; how many went, how often the messages were looked through by an index, and the rows that are left anywhere.
CREATE FUNCTION pg_temp.take(OUT workflows bigint, OUT looks bigint, OUT role text, OUT rows_left bigint) LANGUAGE plpgsql AS $$
DECLARE
  v_before bigint;
BEGIN
  PERFORM pg_temp.ended(VARIADIC pg_temp.many());
  v_before := (SELECT t.idx_scan FROM pg_stat_xact_all_tables AS t WHERE t.relid = 'dbos.notifications'::regclass);
  workflows := (dbos_sys.prune_take(pg_temp.many(), false, false, 1800000000000, 1800000000000)).workflows;
  looks := (SELECT t.idx_scan FROM pg_stat_xact_all_tables AS t WHERE t.relid = 'dbos.notifications'::regclass) - v_before;
  role := current_setting('session_replication_role');
  rows_left := (dbos_sys.prune_find(pg_temp.many(), NULL)).row_count;
  -- Nobody's trigger keeps them for the next time.
  PERFORM set_config('session_replication_role', 'replica', true);
  PERFORM dbos_sys.prune_rows(pg_temp.many());
  PERFORM set_config('session_replication_role', 'origin', true);
END;
$$;

-- Found and weighed in each table, at most so many of each; all of them deleted, and nobody else's.
SELECT FROM pg_temp.ended('a', 'b', 'stays');
SELECT f.row_count, f.byte_count, cardinality(f.status) AS status, cardinality(f.steps) AS steps, cardinality(f.messages) AS messages,
  cardinality(f.events) AS events, cardinality(f.history) AS history, cardinality(f.streams) AS streams FROM dbos_sys.prune_find('{a,b,nobody}', NULL) AS f;
SELECT f.row_count, cardinality(f.steps) AS steps, cardinality(f.inputs) AS inputs FROM dbos_sys.prune_find('{a,b,nobody}', 1) AS f;
SELECT f.* FROM dbos_sys.prune_find('{nobody}', NULL) AS f;
SELECT dbos_sys.prune_rows('{a,b,nobody}'), dbos_sys.prune_rows('{}');
SELECT row_count FROM dbos_sys.prune_find('{a,b}', NULL);
SELECT row_count FROM dbos_sys.prune_find('{stays}', NULL);

-- A large batch leaves out cascades that have nothing to find, and the session is as it was.
SELECT dbos_sys.prune_alone();
SELECT workflows, looks <= 400 AS few_looks, role, rows_left FROM pg_temp.take();
-- Not in a transaction that would not see what others have just written, nor where the role may not; a right is enough.
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT dbos_sys.prune_alone();
ROLLBACK;
CREATE ROLE regress_dbos_pruner;
SELECT dbos_sys.grant_access('regress_dbos_pruner');
SET ROLE regress_dbos_pruner;
SELECT dbos_sys.prune_alone();
RESET ROLE;
GRANT SET ON PARAMETER session_replication_role TO regress_dbos_pruner;
SET ROLE regress_dbos_pruner;
SELECT dbos_sys.prune_alone();
RESET ROLE;
REVOKE SET ON PARAMETER session_replication_role FROM regress_dbos_pruner;
-- The background worker's role has it from install().
SELECT FROM pg_temp.ended(VARIADIC pg_temp.many());
SELECT pg_temp.many() AS many \gset
BEGIN;
SET ROLE dbos_sys_worker;
SELECT t.idx_scan AS before FROM pg_stat_xact_all_tables AS t WHERE t.relid = 'dbos.notifications'::regclass \gset
SELECT dbos_sys.prune_alone(), (dbos_sys.prune_take(:'many', false, false, 1800000000000, 1800000000000)).workflows;
SELECT t.idx_scan - :before <= 400 AS few_looks FROM pg_stat_xact_all_tables AS t WHERE t.relid = 'dbos.notifications'::regclass;
COMMIT;
RESET ROLE;

-- Never where somebody's trigger, rule or foreign key would be left out with them: those do as they would.
CREATE TABLE public.seen (id text);
CREATE FUNCTION public.see() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN INSERT INTO public.seen VALUES (OLD.workflow_uuid); RETURN OLD; END$$;
CREATE TRIGGER see AFTER DELETE ON dbos.operation_outputs FOR EACH ROW EXECUTE FUNCTION public.see();
SELECT dbos_sys.prune_alone();
SELECT workflows, looks > 400 AS many_looks, role, rows_left FROM pg_temp.take();
SELECT count(*), count(DISTINCT id) FROM public.seen;
DROP TRIGGER see ON dbos.operation_outputs;
CREATE RULE see AS ON DELETE TO dbos.streams DO ALSO INSERT INTO public.seen VALUES (OLD.workflow_uuid);
SELECT dbos_sys.prune_alone();
DROP RULE see ON dbos.streams;
CREATE TABLE public.invoice (workflow text REFERENCES dbos.workflow_status (workflow_uuid) ON DELETE SET NULL);
SELECT dbos_sys.prune_alone();
SELECT FROM pg_temp.ended(VARIADIC pg_temp.many());
INSERT INTO public.invoice SELECT u.id FROM unnest(pg_temp.many()) AS u(id);
SELECT (dbos_sys.prune_take(pg_temp.many(), false, false, 1800000000000, 1800000000000)).workflows;
SELECT count(*), count(workflow) AS not_cleared FROM public.invoice;
DROP TABLE public.invoice;
ALTER TABLE dbos.workflow_status ADD CONSTRAINT regress_origin FOREIGN KEY (forked_from) REFERENCES dbos.workflow_status (workflow_uuid) ON DELETE CASCADE;
SELECT dbos_sys.prune_alone();
ALTER TABLE dbos.workflow_status DROP CONSTRAINT regress_origin;
-- Rows of a child table lie at the places of others' rows.
CREATE TABLE public.more () INHERITS (dbos.operation_outputs);
SELECT dbos_sys.prune_alone();
TRUNCATE dbos.operation_outputs;
INSERT INTO dbos.operation_outputs (workflow_uuid, function_id) SELECT 'a', n FROM generate_series(1, 5) AS n;
INSERT INTO public.more (workflow_uuid, function_id) SELECT 'live', n FROM generate_series(1, 10) AS n;
SELECT dbos_sys.prune_rows('{a}');
SELECT o.workflow_uuid, count(*) FROM dbos.operation_outputs AS o GROUP BY 1;
DROP TABLE public.more;
-- What a trigger moves to another place goes too.
CREATE FUNCTION public.touch() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN UPDATE dbos.workflow_status SET updated_at = 1 WHERE workflow_uuid = OLD.workflow_uuid; RETURN OLD; END$$;
CREATE TRIGGER touch AFTER DELETE ON dbos.operation_outputs FOR EACH ROW EXECUTE FUNCTION public.touch();
SELECT FROM pg_temp.ended('a');
SELECT dbos_sys.prune_rows('{a}');
SELECT row_count FROM dbos_sys.prune_find('{a}', NULL);
SELECT FROM pg_temp.ended('a');
DO $$
DECLARE
  v_found record := dbos_sys.prune_find('{a}', NULL);
BEGIN
  PERFORM dbos_sys.prune_found('{a}', v_found, true);
END$$;
DROP TRIGGER touch ON dbos.operation_outputs;
DROP FUNCTION public.touch();
-- A trigger that does not fire on DELETE is none of these.
CREATE TRIGGER see AFTER UPDATE ON dbos.operation_outputs FOR EACH ROW EXECUTE FUNCTION public.see();
SELECT dbos_sys.prune_alone();

DROP TRIGGER see ON dbos.operation_outputs;
DROP FUNCTION public.see();
DROP TABLE public.seen;
SET client_min_messages = warning;
DROP OWNED BY regress_dbos_pruner;
DROP ROLE regress_dbos_pruner;
