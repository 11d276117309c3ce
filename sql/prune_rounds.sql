-- Rounds of pruning: marks, goals, one at a time, and what the procedure says.
\set SHOW_CONTEXT never
\set ECHO errors
\getenv root PG_ABS_SRCDIR
\set setup :root /sql/include/setup.psql
\i :setup
\set ECHO all

SET client_min_messages = error;
CREATE FUNCTION pg_temp.at(p_s numeric) RETURNS void LANGUAGE sql AS $$SELECT set_config('dbos_sys.fake_now', (1800000000000 + p_s * 1000)::bigint::text, false)$$;
-- Ended workflows, one each second before the start.
CREATE FUNCTION pg_temp.fill(p_name text, p_rows integer) RETURNS void LANGUAGE sql AS $$
  INSERT INTO dbos.workflow_status (workflow_uuid, status, name, created_at, completed_at)
  SELECT format('%s-%s', p_name, n), 'SUCCESS', p_name, 1790000000000, 1800000000000 - 1000 * n FROM generate_series(1, p_rows) AS n;
  INSERT INTO dbos.workflow_input (workflow_uuid, inputs, retention_timestamp) SELECT format('%s-%s', p_name, n), '{}', 1790000000000 FROM generate_series(1, p_rows) AS n;
$$;
CREATE FUNCTION pg_temp.stay() RETURNS TABLE (name text, workflows bigint, oldest numeric, inputs bigint) LANGUAGE sql AS $$
  SELECT w.name, count(*), (1800000000000 - min(w.completed_at)) / 1000, count(i.workflow_uuid)
  FROM dbos.workflow_status AS w LEFT JOIN dbos.workflow_input AS i USING (workflow_uuid) GROUP BY 1 ORDER BY 1
$$;

-- Without a policy nothing goes but orphans.
SELECT pg_temp.fill('w', 50);
INSERT INTO dbos.workflow_input (workflow_uuid, retention_timestamp) VALUES ('lost', 1);
CALL dbos_sys.prune();
SELECT * FROM pg_temp.stay();

-- By age, by number, for ever; the later of both cutoffs counts.
SELECT pg_temp.fill(n, 6000) FROM unnest('{age,number,both,ever}'::text[]) AS n;
SELECT FROM dbos_sys.retain('100 s', workflow => 'age') AS r1, dbos_sys.retain(keep_rows => 20, workflow => 'number') AS r2,
  dbos_sys.retain('500 s', 700, workflow => 'both') AS r3, dbos_sys.retain('60 s', application => 'shop') AS r4, dbos_sys.retain(workflow => 'ever') AS r5;
SELECT * FROM dbos_sys.prune(dry_run => true);
SELECT workflows FROM pg_temp.stay();
CALL dbos_sys.prune();
SELECT * FROM pg_temp.stay();
SELECT sum(item_count) FROM dbos_sys.prune(dry_run => true);
-- As time goes on, a round begins behind what the last one saw.
SELECT pg_temp.at(10);
CALL dbos_sys.prune();
SELECT * FROM pg_temp.stay();
SELECT m.at FROM dbos_ops.prune_marks AS m JOIN dbos_ops.retention_policies AS p ON m.source = 'policy ' || p.id WHERE p.workflow = 'age';
-- What comes late with an early time is found within the hour.
INSERT INTO dbos.workflow_status (workflow_uuid, status, name, completed_at) VALUES ('late', 'SUCCESS', 'age', 5);
SELECT pg_temp.at(11);
CALL dbos_sys.prune();
SELECT pg_temp.at(3609);
CALL dbos_sys.prune();
-- Rows that end in one millisecond go or stay together.
DELETE FROM dbos.workflow_status; DELETE FROM dbos.workflow_input;
SELECT pg_temp.at(0);
INSERT INTO dbos.workflow_status (workflow_uuid, status, name, completed_at) SELECT 'n-' || n, 'SUCCESS', 'number', 1799999000000 - n / 15 FROM generate_series(0, 44) AS n;
CALL dbos_sys.prune();
SELECT count(*), min(completed_at) FROM dbos.workflow_status;

-- A budget: batches until it is used up, then the next call goes on.
DELETE FROM dbos.workflow_status;
DELETE FROM dbos_ops.retention_policies WHERE workflow <> 'age';
TRUNCATE dbos_ops.pruner, dbos_ops.prune_marks;
SELECT pg_temp.fill('age', 2500);
CALL dbos_sys.prune('1 ms');
CALL dbos_sys.prune();
SELECT (r.runner, r.runner_until), r.round_at, r.ended_at FROM dbos_ops.pruner AS r;

-- One at a time: whose session lives has the word between its batches; whose session is gone, or was silent for long, has not.
UPDATE dbos_ops.pruner SET runner = (SELECT pid FROM pg_stat_activity WHERE backend_type = 'checkpointer'), runner_until = 9000000000000;
CREATE FUNCTION pg_temp.note() RETURNS text LANGUAGE sql AS $$SELECT regexp_replace(s.note, '\d+', 'N') FROM dbos_sys.prune_step(NULL, '1 h', NULL) AS s$$;
SELECT pg_temp.note();
UPDATE dbos_ops.pruner SET runner_until = 1;
SELECT pg_temp.note();
UPDATE dbos_ops.pruner SET runner = 1 << 30, runner_until = 9000000000000;
SELECT pg_temp.note();

-- Timeouts come first, and orphans of each table are swept.
SELECT FROM dbos_sys.retain('100 s', workflow => 'slow', cancel_after => '1 h');
INSERT INTO dbos.workflow_status (workflow_uuid, status, name, created_at) SELECT 'slow-' || n, 'ENQUEUED', 'slow', 1790000000000 FROM generate_series(1, 1500) AS n;
INSERT INTO dbos.workflow_input (workflow_uuid, retention_timestamp) VALUES ('lost', 1);
INSERT INTO dbos.workflow_output (workflow_uuid, retention_timestamp) VALUES ('lost', 1);
INSERT INTO dbos.operation_outputs (workflow_uuid, function_id, retention_timestamp) VALUES ('lost', 1, 1), ('lost', 2, 2);
SELECT pg_temp.at(86401);
CALL dbos_sys.prune();
SELECT status, count(*) FROM dbos.workflow_status WHERE name = 'slow' GROUP BY 1;
SELECT pg_temp.at(86502);
CALL dbos_sys.prune();

-- The tick: a batch, when a round is due; a round each minute. Without a policy there is nothing to do.
DELETE FROM dbos.workflow_status; DELETE FROM dbos.workflow_input;
SELECT pg_temp.at(0), pg_temp.fill('age', 2100);
TRUNCATE dbos_ops.pruner, dbos_ops.prune_marks, dbos_ops.retention_policies;
SELECT dbos_sys.prune_due(), dbos_sys.prune_tick();
SELECT FROM dbos_sys.retain('100 s', workflow => 'age');
SELECT dbos_sys.prune_due() <= dbos_sys.now_ms() AS due;
SELECT dbos_sys.prune_tick() >= 1000 AS again;
SELECT count(*) FROM dbos.workflow_status;
SELECT dbos_sys.prune_tick() >= 1000 AS again;
SELECT count(*) FROM dbos.workflow_status;
SELECT dbos_sys.prune_tick() >= 1000 AS again;
SELECT count(*) FROM dbos.workflow_status;
SELECT dbos_sys.prune_tick(), dbos_sys.prune_due() - dbos_sys.now_ms() AS after, dbos_sys.prune_tick();
SELECT pg_temp.at(59.999), dbos_sys.prune_tick();
SELECT count(*) FROM dbos.workflow_status;
SELECT pg_temp.at(60), dbos_sys.prune_tick() >= 1000 AS again;
SELECT count(*) FROM dbos.workflow_status;
-- Its budget is used up: the rest of the round is for the next minute.
UPDATE dbos_ops.pruner SET spent_ms = 15000;
SELECT dbos_sys.prune_tick() < 1000 AS pauses, dbos_sys.prune_due() - dbos_sys.now_ms() AS after, dbos_sys.prune_tick();
SELECT pg_temp.at(120), dbos_sys.prune_tick() > 0 AS goes_on;
-- It makes way for a procedure, and looks again in five seconds.
UPDATE dbos_ops.pruner SET runner = (SELECT pid FROM pg_stat_activity WHERE backend_type = 'checkpointer'), runner_until = 9000000000000, due_at = 0;
SELECT dbos_sys.prune_tick(), dbos_sys.prune_due() - dbos_sys.now_ms() AS after;
UPDATE dbos_ops.pruner SET runner = NULL, due_at = 9000000000000;
-- A clock that was put back, or was wrong for a while, delays it by one interval.
SELECT dbos_sys.prune_due() - dbos_sys.now_ms() AS after;
-- A policy that changes makes it due.
SELECT FROM dbos_sys.retain('99 s', workflow => 'age');
SELECT dbos_sys.prune_due();
SELECT tick FROM dbos_sys.maintain();

-- Refused.
\set VERBOSITY default
SELECT * FROM dbos_sys.prune(dry_run => false);
\echo :LAST_ERROR_SQLSTATE
SELECT * FROM dbos_sys.prune(dry_run => NULL);
CALL dbos_sys.prune('-1 s');
CALL dbos_sys.prune('0 s');
CALL dbos_sys.prune('1 month');
CALL dbos_sys.prune(NULL);
BEGIN;
CALL dbos_sys.prune();
ROLLBACK;
\echo :LAST_ERROR_SQLSTATE
BEGIN READ ONLY;
SELECT count(*) FROM dbos_sys.prune(dry_run => true);
ROLLBACK;
-- A database's defaults do not matter to the procedure: it commits, and begins its transactions as it needs them.
SET default_transaction_read_only = on;
SET default_transaction_isolation = 'serializable';
CALL dbos_sys.prune();
RESET default_transaction_read_only;
RESET default_transaction_isolation;

-- A workflow that a table of somebody's refers to keeps its policy from going on, which the note tells, and no other.
DELETE FROM dbos.workflow_status;
SELECT FROM dbos_sys.retain('1 day', workflow => 'aa') AS r1, dbos_sys.retain('1 day', workflow => 'zz') AS r2;
INSERT INTO dbos.workflow_status (workflow_uuid, status, name, completed_at) VALUES ('a1', 'SUCCESS', 'aa', 1), ('a2', 'SUCCESS', 'aa', 1), ('z1', 'SUCCESS', 'zz', 1);
CREATE TABLE public.orders (workflow_id text REFERENCES dbos.workflow_status (workflow_uuid));
INSERT INTO public.orders VALUES ('a1');
CALL dbos_sys.prune();
SELECT workflow_uuid FROM dbos.workflow_status ORDER BY 1;
SELECT state, finding ~ 'the last run failed: .*foreign key' AS told FROM dbos_sys.doctor('{prune job}');
DROP TABLE public.orders;
CALL dbos_sys.prune();
SELECT count(*) FROM dbos.workflow_status;

-- So does a trigger of somebody's, whatever error it raises, as its own.
CREATE FUNCTION public.deeper() RETURNS void LANGUAGE plpgsql AS $$BEGIN PERFORM public.deeper(); END$$;
CREATE FUNCTION public.guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  CASE current_setting('regress.error')
    WHEN '22012' THEN PERFORM 1 / (length(OLD.name) - 2);
    WHEN '22P02' THEN PERFORM OLD.name::integer;
    WHEN '42P01' THEN DELETE FROM public.nowhere;
    WHEN '54001' THEN PERFORM public.deeper();
    WHEN 'P0004' THEN ASSERT OLD.name <> 'aa', 'never aa';
    ELSE RAISE EXCEPTION USING ERRCODE = current_setting('regress.error'), MESSAGE = 'raised ' || current_setting('regress.error');
  END CASE;
  RETURN OLD;
END;
$$;
CREATE TRIGGER guard BEFORE DELETE ON dbos.workflow_status FOR EACH ROW WHEN (OLD.name = 'aa') EXECUTE FUNCTION public.guard();
DO $$
DECLARE
  v_error text;
  v_went bigint;
  v_note text;
BEGIN
  FOREACH v_error IN ARRAY '{22012,22P02,42P01,54001,P0004,P0001,23514,42501,25006,08000,0A000,ABC99,WF052,WF099}'::text[] LOOP
    PERFORM set_config('regress.error', v_error, false);
    INSERT INTO dbos.workflow_status (workflow_uuid, status, name, completed_at) VALUES ('a1', 'SUCCESS', 'aa', 1), ('z1', 'SUCCESS', 'zz', 1);
    UPDATE dbos_ops.pruner SET full_at = 0;
    CALL dbos_sys.prune('1 hour', v_went, v_went, v_went, v_went, v_note);
    RAISE INFO '%: %; left: %', v_error, v_note, (SELECT string_agg(w.workflow_uuid, ' ') FROM dbos.workflow_status AS w);
    TRUNCATE dbos.workflow_status CASCADE;
  END LOOP;
END;
$$;
-- What is no trouble of the trigger's alone ends the call, and leaves all as it was: cancelled, no room, shutdown, a fault of the server, a standby.
INSERT INTO dbos.workflow_status (workflow_uuid, status, name, completed_at) VALUES ('a1', 'SUCCESS', 'aa', 1);
UPDATE dbos_ops.pruner SET full_at = 0;
SET regress.error = '57014';
CALL dbos_sys.prune();
SET regress.error = '53100';
CALL dbos_sys.prune();
SET regress.error = '57P01';
CALL dbos_sys.prune();
SET regress.error = '58030';
CALL dbos_sys.prune();
SET regress.error = 'XX001';
CALL dbos_sys.prune();
SET regress.error = 'WF050';
CALL dbos_sys.prune();
SELECT workflow_uuid FROM dbos.workflow_status;
-- Somebody else's lock is for the next call; where a conflict goes on with the only one left, that is passed over, and looked at again within the hour.
SET regress.error = '40P01';
CALL dbos_sys.prune();
SET regress.error = '40001';
CALL dbos_sys.prune();
SELECT workflow_uuid FROM dbos.workflow_status;
UPDATE dbos_ops.pruner SET full_at = 0;
-- The doctor tells what the trigger said; and once it is gone, all goes.
SET regress.error = '22012';
CALL dbos_sys.prune();
SELECT state, finding ~ 'the last run failed: .*division by zero' AS told, mend FROM dbos_sys.doctor('{prune job}');
DROP TRIGGER guard ON dbos.workflow_status;
DROP FUNCTION public.guard(), public.deeper();
UPDATE dbos_ops.pruner SET full_at = 0;
CALL dbos_sys.prune();
SELECT count(*) FROM dbos.workflow_status;

-- Checks that are deferred are made in the batch: at its commit they would end the call.
CREATE TABLE public.orders (workflow_id text REFERENCES dbos.workflow_status (workflow_uuid) DEFERRABLE INITIALLY DEFERRED);
INSERT INTO dbos.workflow_status (workflow_uuid, status, name, completed_at) VALUES ('a1', 'SUCCESS', 'aa', 1), ('z1', 'SUCCESS', 'zz', 1);
INSERT INTO public.orders VALUES ('a1');
UPDATE dbos_ops.pruner SET full_at = 0;
CALL dbos_sys.prune();
SELECT string_agg(workflow_uuid, ' ' ORDER BY workflow_uuid) FROM dbos.workflow_status;
INSERT INTO dbos.workflow_status (workflow_uuid, status, name, completed_at) VALUES ('z1', 'SUCCESS', 'zz', 1);
UPDATE dbos_ops.pruner SET full_at = 0, due_at = 0;
SELECT dbos_sys.prune_tick() > 0 AS pruned;
SELECT string_agg(workflow_uuid, ' ' ORDER BY workflow_uuid) FROM dbos.workflow_status;
DROP TABLE public.orders;

-- What a live workflow has started and not asked for yet stays, though another is its parent, or the fork between them is gone: while it runs, waits, or
-- may be resumed. What it has asked for, and what one that has ended started, goes.
DELETE FROM dbos_ops.retention_policies; DELETE FROM dbos_ops.retention_holds; TRUNCATE dbos.operation_outputs;
SELECT FROM dbos_sys.retain('10 s', workflow => 'w', force => true);
INSERT INTO dbos.workflow_status (workflow_uuid, status, name, parent_workflow_id, forked_from, completed_at)
SELECT i.id, 'SUCCESS', 'w', i.parent, i.forked, 1 FROM (VALUES ('kid', 'first', NULL), ('asked', 'first', NULL), ('child', 'p', NULL), ('fork', NULL, 'p'),
  ('late', NULL, NULL), ('left', 'first', NULL)) AS i(id, parent, forked);
INSERT INTO dbos.workflow_status (workflow_uuid, status, name, forked_from, completed_at)
VALUES ('second', 'PENDING', 'v', NULL, NULL), ('again', 'ENQUEUED', 'v', 'fork', NULL), ('stopped', 'CANCELLED', 'v', NULL, 1), ('over', 'SUCCESS', 'v', NULL, 1);
INSERT INTO dbos.operation_outputs (workflow_uuid, function_id, function_name, child_workflow_id)
VALUES ('second', 1, 'w', 'kid'), ('second', 2, 'w', 'asked'), ('second', 3, 'DBOS.getResult', 'asked'), ('again', 0, 'w', 'child'), ('stopped', 0, 'w', 'late'),
  ('over', 0, 'w', 'left');
SELECT item_count FROM dbos_sys.prune(dry_run => true) WHERE what = 'to be deleted';
UPDATE dbos_ops.pruner SET full_at = 0;
CALL dbos_sys.prune();
SELECT string_agg(workflow_uuid, ' ' ORDER BY workflow_uuid) FROM dbos.workflow_status;
-- A hold of restore() has its time; what is awaited has the time of who awaits it.
INSERT INTO dbos_ops.retention_holds VALUES ('restored', 1900000000000);
INSERT INTO dbos.operation_outputs (workflow_uuid, function_id, function_name, child_workflow_id) VALUES ('again', 1, 'DBOS.getResult', 'child');
UPDATE dbos.workflow_status SET status = 'SUCCESS' WHERE workflow_uuid IN ('second', 'stopped');
CALL dbos_sys.prune();
SELECT workflow_uuid, NULLIF(until, 9223372036854775807) AS until FROM dbos_ops.retention_holds ORDER BY 1;
SELECT item_count FROM dbos_sys.prune(dry_run => true) WHERE what = 'to be deleted';
UPDATE dbos_ops.pruner SET full_at = 0;
CALL dbos_sys.prune();
SELECT string_agg(workflow_uuid, ' ' ORDER BY workflow_uuid) FROM dbos.workflow_status;
TABLE dbos_ops.retention_holds;
