-- Adoption: a database that an official SDK made at an earlier shared version is brought to ours by the migrations that it lacks. install()
-- does it in one transaction; `dbos-sys migrate` sends the same statements one by one, with indexes built CONCURRENTLY, and can be
-- interrupted: each step records its number, and what a broken build left is removed first.

-- Columns and tables that migrations after `p_version` add, as verify() names them.
CREATE OR REPLACE FUNCTION dbos_sys.adopt_later(p_version bigint)
RETURNS text[]
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN ARRAY(
    SELECT CASE m.kind WHEN 'table' THEN 'table dbos.' || m.table_name ELSE format('column dbos.%s.%s', m.table_name, m.object) END
    FROM dbos_sys.upstream_migrations() AS m WHERE m.version > p_version AND m.kind IN ('table', 'column'));
END;
$$;

-- Refuses tables that are not what their version says: a migration would fail half-way, or hide what is missing.
CREATE OR REPLACE FUNCTION dbos_sys.adopt_check_shape(p_version bigint)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  v_later text[] := dbos_sys.adopt_later(p_version);
  v_wrong text;
  v_ahead text;
BEGIN
  SELECT string_agg(v.item || ' ' || v.problem, ', ') INTO v_wrong
  FROM (SELECT t.item, t.problem FROM dbos_sys.verify_tables() AS t UNION ALL SELECT c.item, c.problem FROM dbos_sys.verify_columns() AS c) AS v
  WHERE v.problem IS NOT NULL AND v.item NOT LIKE 'table dbos\_ops.%' AND v.item <> ALL (v_later);
  IF v_wrong IS NOT NULL THEN
    PERFORM dbos_sys.fail('WF003', format('schema dbos is not what its version %s says: %s', p_version, v_wrong), NULL,
      'Restore what is missing from a backup, then call install() again.');
  END IF;
  SELECT string_agg(l.item, ', ') INTO v_ahead
  FROM unnest(v_later) AS l(item)
  WHERE EXISTS (
    SELECT FROM pg_attribute AS a
    WHERE a.attnum > 0 AND NOT a.attisdropped AND CASE
      WHEN l.item LIKE 'table %' THEN a.attrelid = to_regclass(substr(l.item, length('table ') + 1))
      ELSE a.attrelid = to_regclass(substring(l.item FROM '^column (dbos\.\w+)\.')) AND a.attname = substring(l.item FROM '\w+$') END);
  IF v_ahead IS NOT NULL THEN
    PERFORM dbos_sys.fail('WF003', format('schema dbos is half migrated: its version says %s, but it has %s already', p_version, v_ahead),
      'Each SDK records a migration together with what it makes.',
      'Put the number of the last complete migration into dbos.dbos_migrations, or restore the schema from a backup.');
  END IF;
END;
$$;

-- Below 100 each SDK counts migrations of its own; only that SDK knows how they go on.
CREATE OR REPLACE FUNCTION dbos_sys.adopt_check_version(p_version bigint)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  v_typescript boolean := EXISTS (
    SELECT FROM pg_constraint AS c WHERE c.conrelid = to_regclass('dbos.operation_outputs') AND c.conname = 'operation_outputs_workflow_uuid_foreign');
BEGIN
  IF p_version >= 100 THEN
    RETURN;
  END IF;
  PERFORM dbos_sys.fail('WF003',
    format('schema dbos is at version %s%s, and dbos_sys takes DBOS tables from version 100 on', p_version,
      CASE WHEN v_typescript THEN ' of the TypeScript SDK''s own count' ELSE '' END),
    'Below 100 each SDK counts migrations of its own, and another one would apply the wrong history.',
    'Bring the tables to the shared versions with the SDK that made them, then call install() again: '
    || CASE WHEN v_typescript THEN 'npx @dbos-inc/dbos-sdk@5.3.0 schema <database URL>.'
       ELSE 'Python dbos migrate -s <database URL> (dbos 3.4.0); Go: launch with v1.8.0; TypeScript: npx @dbos-inc/dbos-sdk@5.3.0 schema <database URL>; '
         'Java has no such release yet.' END);
END;
$$;

-- Sessions of SDKs that know the tables as they are now. TypeScript and Python name theirs dbos_transact…, Go by the application.
CREATE OR REPLACE FUNCTION dbos_sys.adopt_sessions()
RETURNS text[]
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN ARRAY(
    SELECT format('pid %s %s of role %s', s.pid, dbos_sys.shown(s.application_name), s.usename)
    FROM pg_stat_activity AS s
    WHERE s.datname = current_database() AND s.pid <> pg_backend_pid()
      AND (s.application_name LIKE 'dbos\_transact%'
        OR s.application_name IN (SELECT left(v.application_name, 63) FROM dbos.application_versions AS v WHERE v.application_name <> ''))
    ORDER BY s.pid);
EXCEPTION WHEN undefined_column THEN
  RETURN ARRAY(
    SELECT format('pid %s %s of role %s', s.pid, dbos_sys.shown(s.application_name), s.usename)
    FROM pg_stat_activity AS s
    WHERE s.datname = current_database() AND s.pid <> pg_backend_pid() AND s.application_name LIKE 'dbos\_transact%'
    ORDER BY s.pid);
END;
$$;

-- From 109 to 123 the migrations change where payloads lie and what owner_xid means: what an older SDK goes on writing, newer ones cannot
-- claim or fence, and what newer ones enqueue, the older one cannot read.
CREATE OR REPLACE FUNCTION dbos_sys.adopt_check_sessions(p_version bigint)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  v_sessions text[] := CASE WHEN p_version < 123 THEN dbos_sys.adopt_sessions() ELSE '{}' END;
BEGIN
  IF v_sessions <> '{}' THEN
    PERFORM dbos_sys.fail('WF003', format('%s sessions of SDKs older than version %s are connected: %s%s', cardinality(v_sessions),
        dbos_sys.upstream_version(), array_to_string(v_sessions[1:3], ', '), CASE WHEN cardinality(v_sessions) > 3 THEN ', …' ELSE '' END),
      format('They use schema dbos as it is at version %s; what they write or read after the upgrade may strand.', p_version),
      'Stop them, call install(), and start them with an SDK of schema 123 or newer (TypeScript 5.2); or accept it: install(p_force => true).');
  END IF;
END;
$$;

-- absent, usable, broken (a concurrent build failed), or other: the name stands for something else.
CREATE OR REPLACE FUNCTION dbos_sys.index_state(p_index text)
RETURNS text
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN (
    SELECT CASE
      WHEN to_regclass('dbos.' || p_index) IS NULL THEN 'absent'
      WHEN NOT (x.indisvalid AND x.indisready) THEN 'broken'
      WHEN x.indrelid = to_regclass('dbos.' || e.table_name) AND x.indisunique = e.is_unique
        AND regexp_replace(pg_get_indexdef(x.indexrelid), '^.*? ON \S+ ', '') = e.definition THEN 'usable'
      ELSE 'other' END
    FROM dbos_sys.upstream_indexes() AS e LEFT JOIN pg_index AS x ON x.indexrelid = to_regclass('dbos.' || p_index)
    WHERE e.index_name = p_index);
END;
$$;

-- What builds an index that is not usable yet.
CREATE OR REPLACE FUNCTION dbos_sys.index_statements(p_index text, p_concurrently boolean)
RETURNS text[]
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  v_state text := dbos_sys.index_state(p_index);
  v_drop text[] := ARRAY[format('DROP INDEX %sdbos.%I', CASE WHEN p_concurrently THEN 'CONCURRENTLY ' END, p_index)];
BEGIN
  IF v_state = 'other' THEN
    PERFORM dbos_sys.fail('WF003', format('dbos.%I is not the index that upstream makes under this name', p_index), NULL,
      format('ALTER INDEX dbos.%I RENAME TO …; or drop it, then call install() again.', p_index));
  END IF;
  RETURN CASE v_state WHEN 'usable' THEN '{}'
    WHEN 'broken' THEN v_drop || dbos_sys.upstream_index_ddl(p_index, p_concurrently)
    ELSE ARRAY[dbos_sys.upstream_index_ddl(p_index, p_concurrently)] END;
END;
$$;

-- Rights on a new table as roles other than the owner have them on workflow_status, so that an application that is not the owner keeps
-- working. An SDK's default privileges, where they are set, have given them already.
CREATE OR REPLACE FUNCTION dbos_sys.grant_statements(p_table text)
RETURNS text[]
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN ARRAY(
    SELECT format('GRANT %s ON TABLE dbos.%I TO %s%s', string_agg(a.privilege_type, ', ' ORDER BY a.privilege_type), p_table,
      CASE WHEN a.grantee = 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END, CASE WHEN a.is_grantable THEN ' WITH GRANT OPTION' END)
    FROM pg_class AS c, aclexplode(c.relacl) AS a
    WHERE c.oid = to_regclass('dbos.workflow_status') AND a.grantee <> c.relowner
    GROUP BY a.grantee, a.is_grantable
    ORDER BY 1);
END;
$$;

-- The DDL of one migration on the tables as they are.
CREATE OR REPLACE FUNCTION dbos_sys.migration_statements(p_version bigint, p_concurrently boolean)
RETURNS text[]
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  v_part record;
  v_statements text[] := '{}';
BEGIN
  FOR v_part IN
    SELECT m.kind, m.table_name, m.object
    FROM dbos_sys.upstream_migrations() WITH ORDINALITY AS m(version, online, kind, table_name, object, place)
    WHERE m.version = p_version ORDER BY m.place
  LOOP
    v_statements := v_statements || CASE v_part.kind
      WHEN 'column' THEN ARRAY[format('ALTER TABLE dbos.%I ADD COLUMN %s', v_part.table_name,
        dbos_sys.upstream_column_ddl(v_part.table_name, v_part.object))]
      WHEN 'table' THEN ARRAY[dbos_sys.upstream_table_ddl(v_part.table_name)]
        || ARRAY(SELECT dbos_sys.upstream_constraint_ddl(k.constraint_name) FROM dbos_sys.upstream_constraints() AS k
          WHERE k.table_name = v_part.table_name ORDER BY k.place)
        || dbos_sys.grant_statements(v_part.table_name)
      WHEN 'index' THEN dbos_sys.index_statements(v_part.object, p_concurrently)
      WHEN 'function' THEN ARRAY[dbos_sys.upstream_enqueue_ddl(p_version)]
      WHEN 'drop_function' THEN ARRAY(SELECT 'DROP FUNCTION ' || v_part.object WHERE to_regprocedure(v_part.object) IS NOT NULL)
      WHEN 'drop_index' THEN ARRAY(
        SELECT format('DROP INDEX %sdbos.%I', CASE WHEN p_concurrently THEN 'CONCURRENTLY ' END, v_part.object)
        WHERE to_regclass('dbos.' || v_part.object) IS NOT NULL)
      WHEN 'drop_constraint' THEN ARRAY(
        SELECT format('ALTER TABLE dbos.%I DROP CONSTRAINT %I', v_part.table_name, c.conname)
        FROM pg_constraint AS c WHERE c.conrelid = to_regclass('dbos.' || v_part.table_name) AND c.conname = v_part.object)
      END;
  END LOOP;
  RETURN v_statements;
END;
$$;

-- What has to be put right before the migrations after `p_version`: indexes whose build broke off go, wherever in schema dbos, as an SDK lets
-- them go too; of the indexes that should be there already, those that are not are built.
CREATE OR REPLACE FUNCTION dbos_sys.repair_statements(p_version bigint, p_concurrently boolean)
RETURNS text[]
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  v_statements text[] := ARRAY(
    SELECT format('DROP INDEX %sdbos.%I', CASE WHEN p_concurrently THEN 'CONCURRENTLY ' END, c.relname)
    FROM pg_index AS x JOIN pg_class AS c ON c.oid = x.indexrelid JOIN pg_class AS t ON t.oid = x.indrelid
    WHERE t.relnamespace = to_regnamespace('dbos') AND NOT (x.indisvalid AND x.indisready)
      AND t.relname IN (SELECT u.table_name FROM dbos_sys.upstream_columns() AS u)
      AND c.relname NOT IN (SELECT e.index_name FROM dbos_sys.upstream_indexes() AS e)
      AND NOT EXISTS (SELECT FROM pg_constraint AS k WHERE k.conindid = x.indexrelid)
    ORDER BY c.relname);
  v_index text;
BEGIN
  FOR v_index IN
    SELECT e.index_name FROM dbos_sys.upstream_indexes() AS e
    WHERE to_regclass('dbos.' || e.table_name) IS NOT NULL AND dbos_sys.index_state(e.index_name) IN ('absent', 'broken')
      AND NOT EXISTS (SELECT FROM dbos_sys.upstream_migrations() AS m WHERE m.object = e.index_name AND m.version > p_version)
    ORDER BY e.index_name
  LOOP
    v_statements := v_statements || dbos_sys.index_statements(v_index, p_concurrently);
  END LOOP;
  RETURN v_statements;
END;
$$;

-- Building an index plainly keeps writers out for as long as it takes.
CREATE OR REPLACE FUNCTION dbos_sys.adopt_check_size()
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  v_most CONSTANT integer := 100000;
  v_table text;
  v_rows bigint;
BEGIN
  FOR v_table IN
    SELECT DISTINCT e.table_name FROM dbos_sys.upstream_indexes() AS e
    WHERE to_regclass('dbos.' || e.table_name) IS NOT NULL AND dbos_sys.index_state(e.index_name) IN ('absent', 'broken')
  LOOP
    EXECUTE format('SELECT count(*) FROM (SELECT FROM dbos.%I LIMIT %s) AS t', v_table, v_most + 1) INTO v_rows;
    IF v_rows > v_most THEN
      PERFORM dbos_sys.fail('WF003', format('dbos.%I has more than %s rows, too many to build its new indexes in one transaction', v_table, v_most),
        'Nobody could write to it meanwhile.', 'Run dbos-sys migrate --db <this database>: it builds them while the application works.');
    END IF;
  END LOOP;
END;
$$;

-- The tables that migrations after `p_version` or repairs touch, as SQL takes them: workflow_status first, as applications reach it first,
-- and the version last. A foreign key goes with locks on both of its tables.
CREATE OR REPLACE FUNCTION dbos_sys.adopt_tables(p_version bigint)
RETURNS text
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN (
    SELECT string_agg(format('dbos.%I', t.table_name), ', ' ORDER BY t.table_name <> 'workflow_status', t.table_name = 'dbos_migrations', t.table_name)
    FROM (
      SELECT m.table_name FROM dbos_sys.upstream_migrations() AS m WHERE m.version > p_version
      UNION SELECT 'workflow_status' FROM dbos_sys.upstream_migrations() AS m WHERE m.version > p_version AND m.kind = 'drop_constraint'
      UNION SELECT e.table_name FROM dbos_sys.upstream_indexes() AS e WHERE dbos_sys.index_state(e.index_name) IN ('absent', 'broken')
      UNION SELECT c.relname FROM pg_index AS x JOIN pg_class AS c ON c.oid = x.indrelid
      WHERE c.relnamespace = to_regnamespace('dbos') AND NOT (x.indisvalid AND x.indisready)
      UNION SELECT 'dbos_migrations') AS t (table_name)
    WHERE to_regclass('dbos.' || t.table_name) IS NOT NULL);
END;
$$;

-- Everything in the caller's transaction.
CREATE OR REPLACE FUNCTION dbos_sys.install_adopt(p_version bigint, p_owner name, p_force boolean)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  v_version bigint;
BEGIN
  PERFORM dbos_sys.adopt_check_version(p_version);
  PERFORM dbos_sys.adopt_check_shape(p_version);
  PERFORM dbos_sys.adopt_check_size();
  IF NOT COALESCE(p_force, false) THEN
    PERFORM dbos_sys.adopt_check_sessions(p_version);
  END IF;
  PERFORM dbos_sys.install_lock_tables(p_owner, dbos_sys.adopt_tables(p_version),
    'Call install() again when long transactions on them have ended (pg_stat_activity), or run dbos-sys migrate.');
  IF (SELECT max(m.version) FROM dbos.dbos_migrations AS m) <> p_version THEN
    PERFORM dbos_sys.fail('WF003', 'an SDK has just migrated schema dbos', NULL, 'Call dbos_sys.install() again.');
  END IF;
  PERFORM dbos_sys.install_run(p_owner, dbos_sys.repair_statements(p_version, false));
  FOR v_version IN SELECT generate_series(p_version + 1, dbos_sys.upstream_version()) LOOP
    PERFORM dbos_sys.install_run(p_owner, dbos_sys.migration_statements(v_version, false));
  END LOOP;
  PERFORM dbos_sys.install_run(p_owner, ARRAY[format('UPDATE dbos.dbos_migrations SET version = %s', dbos_sys.upstream_version())]);
END;
$$;

CREATE OR REPLACE FUNCTION dbos_sys.migration_plan(p_force boolean DEFAULT false)
RETURNS TABLE (version bigint, online boolean, statements text[], run_as name)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  v_known bigint := dbos_sys.upstream_version();
  v_version bigint;
  v_owner name;
BEGIN
  PERFORM dbos_sys.install_check_session('migration_plan()');
  v_version := dbos_sys.install_found();
  PERFORM dbos_sys.install_check_public(p_force);
  IF v_version IS NULL THEN
    PERFORM dbos_sys.fail('WF002', 'this database has no DBOS tables to migrate', NULL, 'SELECT dbos_sys.install(); makes them.');
  END IF;
  v_owner := dbos_sys.install_owner(NULL, v_version <= v_known);
  IF v_version < v_known THEN
    PERFORM dbos_sys.adopt_check_version(v_version);
    PERFORM dbos_sys.adopt_check_shape(v_version);
    IF NOT COALESCE(p_force, false) THEN
      PERFORM dbos_sys.adopt_check_sessions(v_version);
    END IF;
  END IF;
  RETURN QUERY
  SELECT s.version, s.online, s.statements, v_owner
  FROM (
    SELECT v_version AS version, true AS online, dbos_sys.repair_statements(v_version, true) AS statements WHERE v_version <= v_known
    UNION ALL
    SELECT m.version, bool_or(m.online), dbos_sys.migration_statements(m.version, bool_or(m.online))
    FROM dbos_sys.upstream_migrations() AS m WHERE m.version > v_version GROUP BY m.version
  ) AS s
  WHERE s.version > v_version OR s.statements <> '{}'
  ORDER BY s.version;
END;
$$;
COMMENT ON FUNCTION dbos_sys.migration_plan(boolean) IS
'The statements that bring schema dbos to the version of this release, for who cannot have them in one transaction as install() runs them:
each row is a step, to be run as role run_as. A step that is not online is one transaction; the statements of an online one are sent singly,
outside of a transaction. After a step of a higher version than the present one: UPDATE dbos.dbos_migrations SET version = that version. Hold
the advisory lock 1234567890 meanwhile, and call install() after the last. dbos-sys migrate does all this. Errors: WF002, WF003 as install().';
