-- Rights. Nobody but the owner of the extension may call anything here until grant_access() says so; the functions run with the
-- caller's rights, so it needs the tables too.

CREATE OR REPLACE FUNCTION dbos_sys.grant_access(p_role name)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  v_statement text;
BEGIN
  IF NOT EXISTS (SELECT FROM pg_roles AS r WHERE r.rolname = p_role) THEN
    PERFORM dbos_sys.fail('WF001', format('role %s does not exist', dbos_sys.shown(p_role)), NULL, format('CREATE ROLE %I LOGIN;', COALESCE(p_role, 'application')));
  END IF;
  FOREACH v_statement IN ARRAY ARRAY[
    'GRANT USAGE ON SCHEMA dbos_sys, dbos, dbos_ops TO %I',
    'GRANT EXECUTE ON ALL ROUTINES IN SCHEMA dbos_sys TO %I',
    'GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA dbos, dbos_ops TO %I',
    'GRANT EXECUTE ON ALL ROUTINES IN SCHEMA dbos TO %I'] LOOP
    EXECUTE format(v_statement, p_role);
  END LOOP;
END;
$$;
COMMENT ON FUNCTION dbos_sys.grant_access(name) IS
'Lets a role start, run, control and read workflows: the functions of dbos_sys and the tables of dbos and dbos_ops. Called by a superuser, or by
who owns them. Errors: WF001 (no such role).';
