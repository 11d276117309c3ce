-- Functions of an earlier version that this one does not have any more.
DO $stale$
DECLARE
  v_routine regprocedure;
BEGIN
  FOR v_routine IN
    SELECT p.oid
    FROM pg_proc AS p
    JOIN unnest(string_to_array(NULLIF(current_setting('dbos_sys_plain.before'), ''), ',')) AS b(mark) ON b.mark = format('%s:%s', p.oid, p.xmin)
    WHERE p.pronamespace = 'dbos_sys'::regnamespace
  LOOP
    EXECUTE format('DROP ROUTINE %s', v_routine);
  END LOOP;
END;
$stale$;
