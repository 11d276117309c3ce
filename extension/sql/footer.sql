-- Last of all: no function is for everybody, and functions that an update brings are for the roles that have the others.
REVOKE ALL ON ALL ROUTINES IN SCHEMA dbos_sys FROM PUBLIC;

DO $$
DECLARE
  v_role name;
BEGIN
  FOR v_role IN
    SELECT DISTINCT r.rolname
    FROM pg_catalog.pg_namespace AS n, pg_catalog.aclexplode(n.nspacl) AS a
    JOIN pg_catalog.pg_roles AS r ON r.oid OPERATOR(pg_catalog.=) a.grantee
    WHERE n.nspname OPERATOR(pg_catalog.=) 'dbos_sys' AND a.privilege_type OPERATOR(pg_catalog.=) 'USAGE'
      AND a.grantee OPERATOR(pg_catalog.<>) n.nspowner
  LOOP
    EXECUTE pg_catalog.format('GRANT EXECUTE ON ALL ROUTINES IN SCHEMA dbos_sys TO %I', v_role);
  END LOOP;
END;
$$;
