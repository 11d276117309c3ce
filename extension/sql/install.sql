-- install(): makes schema `dbos` as upstream's SDK makes it, and schema `dbos_ops` beside it. The extension's script never calls
-- it: what a script creates becomes a member of the extension, is missing from dumps and stops upstream's migrations.
-- "Owner" below is the one role that owns both schemas and all in them, so that the application's SDK can migrate later.

CREATE OR REPLACE FUNCTION dbos_sys.install_check_session()
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  v_encoding text := (SELECT pg_encoding_to_char(d.encoding) FROM pg_database AS d WHERE d.datname = current_database());
BEGIN
  IF pg_is_in_recovery() THEN
    PERFORM dbos_sys.fail('WF003', 'install() cannot write: this server is a standby', NULL, 'Call it on the primary.');
  END IF;
  IF current_setting('transaction_read_only')::boolean THEN
    PERFORM dbos_sys.fail('WF003', 'install() cannot write: this transaction is read-only', NULL,
      'BEGIN READ WRITE; SELECT dbos_sys.install(); COMMIT;');
  END IF;
  IF v_encoding <> 'UTF8' THEN
    PERFORM dbos_sys.fail('WF003', format('database %I has encoding %s, and DBOS tables need UTF8', current_database(), v_encoding),
      'Payloads are JSON text; other encodings cannot hold every character of it.',
      'CREATE DATABASE dbos_sys TEMPLATE template0 ENCODING ''UTF8'' LOCALE ''C'';');
  END IF;
END;
$$;

-- Upstream's lock: an SDK that migrates and an install() never run at the same time. It is held until the transaction ends.
CREATE OR REPLACE FUNCTION dbos_sys.install_lock()
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  PERFORM pg_advisory_xact_lock(1234567890);
  -- Under REPEATABLE READ the snapshot is older than the lock and may not see what its last holder made.
  IF to_regclass('dbos.dbos_migrations') IS NOT NULL AND NOT EXISTS (
    SELECT FROM pg_class AS c WHERE c.oid = to_regclass('dbos.dbos_migrations')
  ) THEN
    PERFORM dbos_sys.fail('WF003', 'another install() has just finished', NULL, 'Call dbos_sys.install() again in a new transaction.');
  END IF;
EXCEPTION WHEN lock_not_available THEN
  PERFORM dbos_sys.fail('WF003', format('another session has been installing or migrating for %s', current_setting('lock_timeout')),
    'It holds the advisory lock 1234567890.', 'Look for it in pg_locks (locktype advisory) and call install() again when it has ended.');
END;
$$;

-- A second set of DBOS tables beside one under another name would split an application's workflows in two.
CREATE OR REPLACE FUNCTION dbos_sys.install_check_elsewhere()
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  v_schema name := (
    SELECT n.nspname
    FROM pg_namespace AS n
    WHERE n.nspname NOT LIKE 'pg\_%' AND n.nspname <> 'dbos'
      AND EXISTS (SELECT FROM pg_class AS c WHERE c.relnamespace = n.oid AND c.relname = 'dbos_migrations' AND c.relkind IN ('r', 'p'))
      AND EXISTS (SELECT FROM pg_class AS c WHERE c.relnamespace = n.oid AND c.relname = 'workflow_status' AND c.relkind IN ('r', 'p'))
    ORDER BY n.nspname
    LIMIT 1);
BEGIN
  IF v_schema IS NOT NULL THEN
    PERFORM dbos_sys.fail('WF003', format('this database keeps DBOS tables in schema %I, and dbos_sys knows them in schema dbos only', v_schema),
      'A second set of tables beside them would split the workflows.',
      format('Stop the applications, ALTER SCHEMA %I RENAME TO dbos, take the schema name out of their configuration and call install() again; '
        'or install into another database.', v_schema));
  END IF;
END;
$$;

-- Who may create objects in a schema, or owns one of them, can make others run its code.
CREATE OR REPLACE FUNCTION dbos_sys.install_check_schema(p_schema name)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  v_oid oid := (SELECT n.oid FROM pg_namespace AS n WHERE n.nspname = p_schema);
  v_owners text[];
BEGIN
  IF v_oid IS NULL THEN
    RETURN;
  END IF;
  IF has_schema_privilege('public', v_oid, 'CREATE') THEN
    PERFORM dbos_sys.fail('WF003', format('everybody may create objects in schema %I', p_schema), NULL,
      format('REVOKE CREATE ON SCHEMA %I FROM PUBLIC;', p_schema));
  END IF;
  SELECT array_agg(DISTINCT pg_get_userbyid(o.owner)::text ORDER BY pg_get_userbyid(o.owner)::text) INTO v_owners
  FROM (
    SELECT n.nspowner AS owner FROM pg_namespace AS n WHERE n.oid = v_oid
    UNION ALL
    SELECT c.relowner FROM pg_class AS c
    WHERE c.relnamespace = v_oid AND c.relname IN (
      SELECT u.table_name FROM dbos_sys.upstream_columns() AS u UNION SELECT t.table_name FROM dbos_sys.ops_tables() AS t)
    UNION ALL
    SELECT p.proowner FROM pg_proc AS p
    WHERE p.pronamespace = v_oid AND p.proname IN ('enqueue_workflow', 'send_message', 'notifications_function')
  ) AS o;
  IF cardinality(v_owners) > 1 THEN
    PERFORM dbos_sys.fail('WF003', format('schema %I and its DBOS objects belong to more than one role', p_schema),
      'Owners: ' || array_to_string(v_owners, ', ') || '.',
      format('Give all of them to one role: ALTER SCHEMA, ALTER TABLE and ALTER FUNCTION ... OWNER TO %I;', v_owners[1]));
  END IF;
END;
$$;

-- The version of upstream's tables here, NULL when there are none yet. Refuses a half-made or ambiguous schema.
CREATE OR REPLACE FUNCTION dbos_sys.install_found()
RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  v_present text[];
  v_rows bigint;
  v_version bigint;
BEGIN
  PERFORM dbos_sys.install_check_schema('dbos');
  PERFORM dbos_sys.install_check_schema('dbos_ops');
  SELECT array_agg(t.table_name) INTO v_present
  FROM (SELECT DISTINCT c.table_name FROM dbos_sys.upstream_columns() AS c) AS t
  WHERE to_regclass('dbos.' || t.table_name) IS NOT NULL;
  IF v_present IS NULL THEN
    PERFORM dbos_sys.install_check_elsewhere();
    RETURN NULL;
  END IF;
  IF NOT 'dbos_migrations' = ANY (v_present) THEN
    PERFORM dbos_sys.fail('WF003', 'schema dbos lacks the table dbos.dbos_migrations, so its version is unknown',
      'Found: ' || array_to_string(v_present, ', ') || '.', 'Restore that table from a backup, or rename the schema if its tables are not DBOS''s.');
  END IF;
  SELECT count(*), max(m.version) INTO v_rows, v_version FROM dbos.dbos_migrations AS m;
  IF v_rows <> 1 THEN
    PERFORM dbos_sys.fail('WF003', format('dbos.dbos_migrations holds %s rows instead of one', v_rows),
      'An SDK keeps exactly one row, the number of the last migration.', 'Leave the row that tells the version of these tables.');
  END IF;
  RETURN v_version;
END;
$$;

-- The role that owns the schemas, or is to. Where something has to be made, the caller must be able to act as it.
CREATE OR REPLACE FUNCTION dbos_sys.install_owner(p_owner name, p_make boolean)
RETURNS name
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  v_super boolean := (SELECT r.rolsuper FROM pg_roles AS r WHERE r.rolname = current_user);
  v_existing name := (SELECT pg_get_userbyid(n.nspowner) FROM pg_namespace AS n WHERE n.nspname = 'dbos');
  v_database name := (
    SELECT r.rolname FROM pg_database AS d JOIN pg_roles AS r ON r.oid = d.datdba
    WHERE d.datname = current_database() AND NOT r.rolsuper);
  v_owner name := coalesce(p_owner, v_existing, CASE WHEN v_super THEN v_database END, current_user);
  v_right text := CASE WHEN current_setting('server_version_num')::integer >= 160000 THEN 'SET' ELSE 'MEMBER' END;
BEGIN
  IF NOT EXISTS (SELECT FROM pg_roles AS r WHERE r.rolname = v_owner) THEN
    PERFORM dbos_sys.fail('WF001', format('role %I does not exist', v_owner), NULL, format('CREATE ROLE %I LOGIN;', v_owner));
  END IF;
  IF v_owner <> v_existing THEN
    PERFORM dbos_sys.fail('WF003', format('schema dbos belongs to %I, not to %I', v_existing, v_owner), NULL,
      'Leave p_owner out, or change the owner of the schema and of everything in it first.');
  END IF;
  IF p_make AND NOT v_super AND NOT pg_has_role(current_user, v_owner, v_right) THEN
    PERFORM dbos_sys.fail('WF003', format('role %I may not make objects of role %I', current_user, v_owner), NULL,
      format('Call install() as %I, as a member of it, or as a superuser.', v_owner));
  END IF;
  RETURN v_owner;
END;
$$;

-- Statements run as the owner, who then owns what they make. Not needed, and forbidden inside SECURITY DEFINER, for the caller itself.
CREATE OR REPLACE FUNCTION dbos_sys.install_run(p_owner name, p_statements text[])
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  v_role text := current_setting('role');
  v_switch boolean := p_owner <> current_user;
  v_statement text;
BEGIN
  IF v_switch THEN
    PERFORM set_config('role', p_owner, true);
  END IF;
  FOREACH v_statement IN ARRAY p_statements LOOP
    EXECUTE v_statement;
  END LOOP;
  IF v_switch THEN
    PERFORM set_config('role', v_role, true);
  END IF;
END;
$$;

CREATE OR REPLACE FUNCTION dbos_sys.install_make_schema(p_schema name, p_owner name)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  v_found name := (SELECT pg_get_userbyid(n.nspowner) FROM pg_namespace AS n WHERE n.nspname = p_schema);
BEGIN
  IF v_found IS NULL THEN
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
    SELECT 1, min(c.place), format('CREATE TABLE dbos.%I (%s)', c.table_name, string_agg(
      concat_ws(' ', quote_ident(c.column_name), c.type_name, 'DEFAULT ' || c.default_value, CASE WHEN c.required THEN 'NOT NULL' END), ', '
      ORDER BY c.place))
    FROM dbos_sys.upstream_columns() AS c GROUP BY c.table_name
    UNION ALL
    SELECT 2, k.place, format('ALTER TABLE dbos.%I ADD CONSTRAINT %I %s', k.table_name, k.constraint_name, k.definition)
    FROM dbos_sys.upstream_constraints() AS k
    UNION ALL
    SELECT 3, 0, format('CREATE %s %I ON dbos.%I %s', CASE WHEN i.is_unique THEN 'UNIQUE INDEX' ELSE 'INDEX' END, i.index_name, i.table_name, i.definition)
    FROM dbos_sys.upstream_indexes() AS i
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

-- Tables of an earlier shared version. This release makes or takes them at its own version only: the migrations between belong here.
CREATE OR REPLACE FUNCTION dbos_sys.install_adopt(p_version bigint, p_owner name)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  PERFORM dbos_sys.fail('WF003',
    format('schema dbos of %I is at version %s, and this release takes DBOS tables at version %s', p_owner, p_version, dbos_sys.upstream_version()),
    CASE WHEN p_version < 100
      THEN 'Below 100 each SDK counts migrations of its own, and another one would apply the wrong history.'
      ELSE 'From 100 on the numbers mean the same in every SDK.' END,
    format('Bring them to version %s with %s (TypeScript: npx @dbos-inc/dbos-sdk@5.3.0 schema <database URL>), then call install() again.',
      dbos_sys.upstream_version(), CASE WHEN p_version < 100 THEN 'the newest release of the SDK that made them' ELSE 'the newest release of any SDK' END));
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
      USING HINT = 'SELECT * FROM dbos_sys.verify() lists all differences.';
  END IF;
END;
$$;

-- Makes what is absent of dbos_ops.
CREATE OR REPLACE FUNCTION dbos_sys.install_ops(p_owner name)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  v_absent text[] := ARRAY(SELECT t.ddl FROM dbos_sys.ops_tables() AS t WHERE to_regclass('dbos_ops.' || t.table_name) IS NULL);
BEGIN
  PERFORM dbos_sys.install_make_schema('dbos_ops', p_owner);
  IF v_absent <> '{}' THEN
    PERFORM dbos_sys.install_run(p_owner, v_absent);
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
  ELSIF NOT has_schema_privilege(p_owner, 'dbos_sys', 'USAGE') OR NOT has_function_privilege(p_owner, 'dbos_sys.install(name)', 'EXECUTE') THEN
    EXECUTE format('GRANT USAGE ON SCHEMA dbos_sys TO %I', p_owner);
    EXECUTE format('GRANT EXECUTE ON ALL ROUTINES IN SCHEMA dbos_sys TO %I', p_owner);
  END IF;
END;
$$;

-- Makes the tables, or says what is in the way. Returns `created`, `already` (at our version) or `newer` (left alone).
-- For the owner see install_owner(); everything is one transaction, and two calls at once make one set of tables.
CREATE OR REPLACE FUNCTION dbos_sys.install(p_owner name DEFAULT NULL)
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
  PERFORM dbos_sys.install_check_session();
  PERFORM dbos_sys.install_lock();
  v_version := dbos_sys.install_found();
  v_owner := dbos_sys.install_owner(p_owner, v_version IS NULL OR EXISTS (
    SELECT FROM dbos_sys.ops_tables() AS t WHERE to_regclass('dbos_ops.' || t.table_name) IS NULL));
  IF v_version IS NULL THEN
    PERFORM dbos_sys.install_create(v_owner);
  ELSIF v_version < v_known THEN
    PERFORM dbos_sys.install_adopt(v_version, v_owner);
  ELSIF v_version = v_known THEN
    PERFORM dbos_sys.install_check_same(v_owner);
  ELSE
    RAISE WARNING 'schema dbos is at version %, newer than % that this release of dbos_sys knows: it is left as it is', v_version, v_known
      USING HINT = 'Update the extension: ALTER EXTENSION dbos_sys UPDATE;';
  END IF;
  PERFORM dbos_sys.install_ops(v_owner);
  PERFORM dbos_sys.install_check_membership();
  PERFORM dbos_sys.install_grant(v_owner);
  RETURN CASE WHEN v_version IS NULL THEN 'created' WHEN v_version > v_known THEN 'newer' ELSE 'already' END;
END;
$$;
COMMENT ON FUNCTION dbos_sys.install(name) IS 'Makes the schemas dbos and dbos_ops, or completes them: created, already or newer. Call it after CREATE EXTENSION.';
