-- install(): makes schema `dbos` as upstream's SDK makes it, and schema `dbos_ops` beside it. The extension's script never calls
-- it: what a script creates becomes a member of the extension, is missing from dumps and stops upstream's migrations.

CREATE OR REPLACE FUNCTION dbos_sys.install_make_schema(p_schema name, p_owner name)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  v_found name := (SELECT pg_get_userbyid(n.nspowner) FROM pg_namespace AS n WHERE n.nspname = p_schema);
BEGIN
  IF v_found IS NULL THEN
    IF NOT has_database_privilege(current_database(), 'CREATE') THEN
      PERFORM dbos_sys.fail('WF003', format('role %I may not create schema %I in database %I', current_user, p_schema, current_database()), NULL,
        format('GRANT CREATE ON DATABASE %I TO %I; or call install() as the owner of the database or a superuser.', current_database(), current_user));
    END IF;
    EXECUTE format('CREATE SCHEMA %I AUTHORIZATION %I', p_schema, p_owner);
  ELSIF v_found <> p_owner THEN
    PERFORM dbos_sys.fail('WF003', format('schema %I belongs to %I, not to %I as schema dbos does', p_schema, v_found, p_owner), NULL,
      format('ALTER SCHEMA %I OWNER TO %I; and the same for its tables.', p_schema, p_owner));
  END IF;
END;
$$;

-- Upstream's schema from nothing, at the version that this release knows.
CREATE OR REPLACE FUNCTION dbos_sys.install_create(p_owner name)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  v_statements text[];
BEGIN
  PERFORM dbos_sys.install_make_schema('dbos', p_owner);
  SELECT array_agg(s.ddl ORDER BY s.part, s.place) INTO v_statements
  FROM (
    SELECT 1, min(c.place), dbos_sys.upstream_table_ddl(c.table_name) FROM dbos_sys.upstream_columns() AS c GROUP BY c.table_name
    UNION ALL
    SELECT 2, k.place, dbos_sys.upstream_constraint_ddl(k.constraint_name) FROM dbos_sys.upstream_constraints() AS k
    UNION ALL
    SELECT 3, 0, dbos_sys.upstream_index_ddl(i.index_name, false) FROM dbos_sys.upstream_indexes() AS i
    UNION ALL
    SELECT 4, 0, f.ddl FROM dbos_sys.upstream_functions() AS f
    UNION ALL
    VALUES
      (5, 1, 'CREATE TRIGGER dbos_notifications_trigger AFTER INSERT ON dbos.notifications FOR EACH ROW EXECUTE FUNCTION dbos.notifications_function()'),
      (5, 2, format('INSERT INTO dbos.dbos_migrations (version) VALUES (%s)', dbos_sys.upstream_version()))
  ) AS s (part, place, ddl);
  PERFORM dbos_sys.install_run(p_owner, v_statements);
END;
$$;

-- At our version: refuses what our functions cannot run on, warns of the rest. Function bodies that still name the schema's former
-- name, after ALTER SCHEMA ... RENAME, are replaced.
CREATE OR REPLACE FUNCTION dbos_sys.install_check_same(p_owner name)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  v_renamed text[] := ARRAY(
    SELECT f.ddl
    FROM dbos_sys.upstream_functions() AS f JOIN dbos_sys.verify_functions() AS v ON v.item = 'function ' || f.signature
    WHERE v.problem = 'writes to another schema than dbos');
  v_fatal text;
  v_minor text;
BEGIN
  IF v_renamed <> '{}' THEN
    PERFORM dbos_sys.install_run(p_owner, v_renamed);
  END IF;
  SELECT string_agg(v.item || ' ' || v.problem, ', ') FILTER (WHERE v.item ~ '^(table|column) dbos\.' AND v.problem NOT LIKE 'is a member %'),
         string_agg(v.item || ' ' || v.problem, '; ') FILTER (WHERE v.item !~ '^(table|column) ')
  INTO v_fatal, v_minor
  FROM dbos_sys.verify() AS v;
  IF v_fatal IS NOT NULL THEN
    PERFORM dbos_sys.fail('WF003', format('schema dbos is not what its version %s says: %s', dbos_sys.upstream_version(), v_fatal), NULL,
      'Restore it from a backup; SELECT * FROM dbos_sys.verify() lists all differences.');
  ELSIF v_minor IS NOT NULL THEN
    RAISE WARNING 'schema dbos differs from version %: %', dbos_sys.upstream_version(), v_minor
      USING HINT = 'SELECT * FROM dbos_sys.verify() lists all differences; dbos-sys migrate builds missing indexes.';
  END IF;
END;
$$;

-- Rights on tables that a release adds, as roles have them on each of the tables that were there.
CREATE OR REPLACE FUNCTION dbos_sys.install_ops_grants(p_new text[])
RETURNS text[]
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN ARRAY(
    WITH sibling AS (
      SELECT c.oid, c.relowner, c.relacl FROM pg_class AS c
      WHERE c.relnamespace = to_regnamespace('dbos_ops') AND c.relname IN (SELECT t.table_name FROM dbos_sys.ops_tables() AS t) AND c.relname <> ALL (p_new)),
    kept AS (
      SELECT a.grantee, a.privilege_type, bool_and(a.is_grantable) AS grantable
      FROM sibling AS s, aclexplode(s.relacl) AS a WHERE a.grantee <> s.relowner
      GROUP BY a.grantee, a.privilege_type HAVING count(DISTINCT s.oid) = (SELECT count(*) FROM sibling))
    SELECT format('GRANT %s ON TABLE dbos_ops.%I TO %s%s', string_agg(k.privilege_type, ', ' ORDER BY k.privilege_type), n.name,
      CASE WHEN k.grantee = 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(k.grantee)) END, CASE WHEN k.grantable THEN ' WITH GRANT OPTION' END)
    FROM unnest(p_new) AS n(name), kept AS k
    GROUP BY n.name, k.grantee, k.grantable ORDER BY 1);
END;
$$;

-- Makes what is absent of dbos_ops.
CREATE OR REPLACE FUNCTION dbos_sys.install_ops(p_owner name)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  v_absent text[] := ARRAY(SELECT t.table_name FROM dbos_sys.ops_tables() AS t WHERE to_regclass('dbos_ops.' || t.table_name) IS NULL);
BEGIN
  PERFORM dbos_sys.install_make_schema('dbos_ops', p_owner);
  IF v_absent <> '{}' THEN
    PERFORM dbos_sys.install_run(p_owner, ARRAY(SELECT t.ddl FROM dbos_sys.ops_tables() AS t WHERE t.table_name = ANY (v_absent)));
    PERFORM dbos_sys.install_run(p_owner, dbos_sys.install_ops_grants(v_absent));
  END IF;
END;
$$;

CREATE OR REPLACE FUNCTION dbos_sys.install_check_membership()
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  v_members text := (SELECT string_agg(m.item || ' ' || m.problem, ', ') FROM dbos_sys.verify_membership() AS m);
BEGIN
  IF v_members IS NOT NULL THEN
    PERFORM dbos_sys.fail('WF003', 'install() must not run inside an extension''s script', v_members || '.',
      'Call SELECT dbos_sys.install() after CREATE EXTENSION, by itself; objects that are members already: ALTER EXTENSION ... DROP');
  END IF;
END;
$$;

-- The background worker runs no tick as a superuser: where one owns the tables, it needs a role of its own.
CREATE OR REPLACE FUNCTION dbos_sys.install_worker_role()
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  IF NOT EXISTS (SELECT FROM pg_roles AS r WHERE r.rolname = 'dbos_sys_worker') THEN
    BEGIN
      CREATE ROLE dbos_sys_worker NOLOGIN;
    EXCEPTION WHEN duplicate_object OR unique_violation THEN
      NULL;  -- made at this moment for another database of the server
    END;
  END IF;
  IF NOT has_schema_privilege('dbos_sys_worker', 'dbos_sys', 'USAGE') OR EXISTS (
    SELECT FROM pg_class AS c
    WHERE c.oid IN (
        SELECT to_regclass('dbos.' || u.table_name) FROM dbos_sys.upstream_columns() AS u WHERE u.table_name <> 'dbos_migrations'
        UNION SELECT to_regclass('dbos_ops.' || t.table_name) FROM dbos_sys.ops_tables() AS t)
      AND NOT (has_schema_privilege('dbos_sys_worker', c.relnamespace, 'USAGE') AND has_table_privilege('dbos_sys_worker', c.oid, 'INSERT'))
  ) THEN
    PERFORM dbos_sys.grant_access('dbos_sys_worker');
  END IF;
  -- For prune_alone(). It lets a role write past foreign keys and triggers; this one writes no tables but ours and upstream's.
  IF NOT has_parameter_privilege('dbos_sys_worker', 'session_replication_role', 'SET') THEN
    BEGIN
      GRANT SET ON PARAMETER session_replication_role TO dbos_sys_worker;
    EXCEPTION WHEN unique_violation OR internal_error THEN
      NULL;  -- given at this moment for another database: "tuple concurrently updated" has no code of its own
    END;
  END IF;
END;
$$;

-- Lets the owner of the tables call the functions; only a superuser can give that right. On its tables the owner needs no grant, and
-- none is made: their access lists stay as upstream's.
CREATE OR REPLACE FUNCTION dbos_sys.install_grant(p_owner name)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  IF NOT (SELECT r.rolsuper FROM pg_roles AS r WHERE r.rolname = current_user) THEN
    RETURN;
  ELSIF (SELECT r.rolsuper FROM pg_roles AS r WHERE r.rolname = p_owner) THEN
    PERFORM dbos_sys.install_worker_role();
  ELSIF NOT has_schema_privilege(p_owner, 'dbos_sys', 'USAGE') OR NOT has_function_privilege(p_owner, 'dbos_sys.install(name, boolean)', 'EXECUTE') THEN
    EXECUTE format('GRANT USAGE ON SCHEMA dbos_sys TO %I', p_owner);
    EXECUTE format('GRANT EXECUTE ON ALL ROUTINES IN SCHEMA dbos_sys TO %I', p_owner);
  END IF;
END;
$$;

-- Makes or adopts the tables, or says what is in the way: see the comment. For the owner see install_owner(); everything is one
-- transaction, and two calls at once make one set of tables.
CREATE OR REPLACE FUNCTION dbos_sys.install(p_owner name DEFAULT NULL, p_force boolean DEFAULT false)
RETURNS text
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET lock_timeout = '30s'
AS $$
DECLARE
  v_known bigint := dbos_sys.upstream_version();
  v_version bigint;
  v_owner name;
BEGIN
  PERFORM dbos_sys.install_check_session('install()');
  PERFORM dbos_sys.install_lock();
  v_version := dbos_sys.install_found();
  PERFORM dbos_sys.install_check_public(p_force);
  v_owner := dbos_sys.install_owner(p_owner, v_version IS NULL OR v_version < v_known OR EXISTS (
    SELECT FROM dbos_sys.ops_tables() AS t WHERE to_regclass('dbos_ops.' || t.table_name) IS NULL));
  IF v_version IS NULL THEN
    PERFORM dbos_sys.install_create(v_owner);
  ELSIF v_version < v_known THEN
    PERFORM dbos_sys.install_adopt(v_version, v_owner, p_force);
  END IF;
  IF v_version <= v_known THEN
    PERFORM dbos_sys.install_check_same(v_owner);
  ELSIF v_version > v_known THEN
    RAISE WARNING 'schema dbos is at version %, newer than % that this release of dbos_sys knows: it is left as it is', v_version, v_known
      USING HINT = 'Update the extension: ALTER EXTENSION dbos_sys UPDATE;';
  END IF;
  PERFORM dbos_sys.install_ops(v_owner);
  PERFORM dbos_sys.install_check_membership();
  PERFORM dbos_sys.install_grant(v_owner);
  RETURN CASE WHEN v_version IS NULL THEN 'created' WHEN v_version < v_known THEN 'upgraded from ' || v_version WHEN v_version > v_known THEN 'newer' ELSE 'already' END;
END;
$$;
COMMENT ON FUNCTION dbos_sys.install(name, boolean) IS
'Makes the schemas dbos and dbos_ops, or takes over the dbos that an official SDK made. Returns created; upgraded from N (a shared
version from 100 on, which lacked migrations); already (at our version); newer (left as it is). Call it after CREATE EXTENSION. What is made belongs to
p_owner, else to the owner of an existing schema dbos, else (called by a superuser) to the owner of the database, else to the caller. An
upgrade is refused while SDKs of an older schema are connected, unless p_force; so are tables to which everybody may write. It is refused for tables of more than 100000 rows that need new indexes
(dbos-sys migrate does those). Errors: WF001 (no such role), WF003 (refused; nothing is changed).';
