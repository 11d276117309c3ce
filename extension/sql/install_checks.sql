-- What install(), the migrations and uninstall() have in common: what they refuse before they change anything, and for whom they act.
-- "Owner" is the one role that owns the schemas dbos and dbos_ops and all in them, so that the application's SDK can migrate later.

-- What the caller has to be able to look at, before any look fails by the server's own words.
CREATE OR REPLACE FUNCTION dbos_sys.install_check_readable(p_call text)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  v_closed record;
BEGIN
  SELECT s.what, s.owner INTO v_closed
  FROM (
    SELECT 1, format('use schema %I', n.nspname), pg_get_userbyid(n.nspowner)
    FROM pg_namespace AS n WHERE n.nspname IN ('dbos', 'dbos_ops') AND NOT has_schema_privilege(n.oid, 'USAGE')
    UNION ALL
    SELECT 2, 'read dbos.dbos_migrations', pg_get_userbyid(c.relowner)
    FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
    WHERE n.nspname = 'dbos' AND c.relname = 'dbos_migrations' AND c.relkind IN ('r', 'p') AND NOT has_table_privilege(c.oid, 'SELECT')
    UNION ALL
    SELECT 3, format('read dbos_ops.%I', c.relname), pg_get_userbyid(c.relowner)
    FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
    WHERE n.nspname = 'dbos_ops' AND c.relkind IN ('r', 'p') AND NOT has_table_privilege(c.oid, 'SELECT') AND p_call LIKE 'uninstall(%'
  ) AS s(place, what, owner) ORDER BY s.place LIMIT 1;
  IF FOUND THEN
    PERFORM dbos_sys.fail('WF003', format('role %I may not %s', current_user, v_closed.what), format('It belongs to %I.', v_closed.owner),
      format('Call %s as %I or as a superuser.', p_call, v_closed.owner));
  END IF;
END;
$$;

CREATE OR REPLACE FUNCTION dbos_sys.install_check_session(p_call text)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  v_encoding text := (SELECT pg_encoding_to_char(d.encoding) FROM pg_database AS d WHERE d.datname = current_database());
BEGIN
  IF pg_is_in_recovery() THEN
    PERFORM dbos_sys.fail('WF003', format('%s cannot write: this server is a standby', p_call), NULL, 'Call it on the primary.');
  END IF;
  IF current_setting('transaction_read_only')::boolean THEN
    PERFORM dbos_sys.fail('WF003', format('%s cannot write: this transaction is read-only', p_call), NULL,
      format('BEGIN READ WRITE; SELECT * FROM dbos_sys.%s; COMMIT;', p_call));
  END IF;
  IF v_encoding <> 'UTF8' THEN
    PERFORM dbos_sys.fail('WF003', format('database %I has encoding %s, and DBOS tables need UTF8', current_database(), v_encoding),
      'Payloads are JSON text; other encodings cannot hold every character of it.',
      'CREATE DATABASE dbos_sys TEMPLATE template0 ENCODING ''UTF8'' LOCALE ''C'';');
  END IF;
  PERFORM dbos_sys.install_check_readable(p_call);
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
EXCEPTION WHEN lock_not_available OR deadlock_detected THEN  -- an index build in the other session waits for this transaction
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

-- Who may write a workflow's row decides what its executor runs.
CREATE OR REPLACE FUNCTION dbos_sys.install_check_public(p_force boolean)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  v_writing CONSTANT text[] := ARRAY['INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'TRIGGER'];
  v_open text;
BEGIN
  SELECT string_agg(format('%I.%I', n.nspname, c.relname), ', ' ORDER BY n.nspname, c.relname) INTO v_open
  FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
  WHERE c.relkind IN ('r', 'p')
    AND ((n.nspname = 'dbos' AND c.relname IN (SELECT u.table_name FROM dbos_sys.upstream_columns() AS u))
      OR (n.nspname = 'dbos_ops' AND c.relname IN (SELECT t.table_name FROM dbos_sys.ops_tables() AS t)))
    AND (EXISTS (SELECT FROM aclexplode(c.relacl) AS a WHERE a.grantee = 0 AND a.privilege_type = ANY (v_writing))
      OR EXISTS (
        SELECT FROM pg_attribute AS t, aclexplode(t.attacl) AS a
        WHERE t.attrelid = c.oid AND NOT t.attisdropped AND a.grantee = 0 AND a.privilege_type = ANY (v_writing)));
  IF v_open IS NOT NULL AND NOT COALESCE(p_force, false) THEN
    PERFORM dbos_sys.fail('WF003', 'everybody may write to ' || v_open, 'Who writes there decides what the application''s processes run.',
      format('REVOKE INSERT, UPDATE, DELETE, TRUNCATE, TRIGGER ON %s FROM PUBLIC; and grant the application''s role what it needs. '
        'Or accept it: install(p_force => true).', v_open));
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
  IF v_version IS NULL THEN
    PERFORM dbos_sys.fail('WF003', 'the version in dbos.dbos_migrations is NULL', 'An SDK keeps there the number of the last migration.',
      'UPDATE dbos.dbos_migrations SET version = …; to the version of these tables.');
  END IF;
  RETURN v_version;
END;
$$;

CREATE OR REPLACE FUNCTION dbos_sys.install_check_role(p_owner name)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  v_right text := CASE WHEN current_setting('server_version_num')::integer >= 160000 THEN 'SET' ELSE 'MEMBER' END;
BEGIN
  IF NOT pg_has_role(current_user, p_owner, v_right) THEN
    PERFORM dbos_sys.fail('WF003', format('role %I may not make objects of role %I', current_user, p_owner), NULL,
      format('Call it as %I, as a member of it, or as a superuser.', p_owner));
  END IF;
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
BEGIN
  IF NOT EXISTS (SELECT FROM pg_roles AS r WHERE r.rolname = v_owner) THEN
    PERFORM dbos_sys.fail('WF001', format('role %I does not exist', v_owner), NULL, format('CREATE ROLE %I LOGIN;', v_owner));
  END IF;
  IF v_owner <> v_existing THEN
    PERFORM dbos_sys.fail('WF003', format('schema dbos belongs to %I, not to %I', v_existing, v_owner), NULL,
      'Leave p_owner out, or change the owner of the schema and of everything in it first.');
  END IF;
  IF p_make THEN
    PERFORM dbos_sys.install_check_role(v_owner);
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
    PERFORM dbos_sys.install_check_role(p_owner);
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

-- Takes all locks or none, so that nothing is waited for later. The timeout ends a try before the server looks for a deadlock, whose victim
-- could be the application; between tries the application goes on.
CREATE OR REPLACE FUNCTION dbos_sys.install_lock_tables(p_owner name, p_tables text, p_hint text)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET lock_timeout = '500ms'
AS $$
BEGIN
  FOR v_try IN 1 .. 10 LOOP
    BEGIN
      PERFORM dbos_sys.install_run(p_owner, ARRAY[format('LOCK TABLE %s IN ACCESS EXCLUSIVE MODE', p_tables)]);
      RETURN;
    EXCEPTION WHEN lock_not_available OR deadlock_detected THEN
      PERFORM pg_sleep(random() * 0.2);
    END;
  END LOOP;
  PERFORM dbos_sys.fail('WF003', 'the tables are in use: ' || p_tables, 'To lock them was tried 10 times for half a second.', p_hint);
END;
$$;
