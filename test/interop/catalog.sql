-- Everything in schema `dbos` that an SDK or a tool could tell apart, one line per property. Two databases are alike when the lines are equal.
-- Function bodies are left out: they are compared by what they do (functions.sql).
SET search_path = pg_catalog;

SELECT format('schema %s owner=%s acl=%s comment=%s', nspname, pg_get_userbyid(nspowner), nspacl, obj_description(oid, 'pg_namespace'))
FROM pg_namespace WHERE nspname = 'dbos'
UNION ALL
SELECT format('relation %s kind=%s owner=%s acl=%s options=%s persistence=%s rls=%s identity=%s method=%s tablespace=%s rules=%s comment=%s',
  c.relname, c.relkind, pg_get_userbyid(c.relowner), c.relacl, c.reloptions, c.relpersistence, c.relrowsecurity, c.relreplident, a.amname, c.reltablespace,
  c.relhasrules, obj_description(c.oid, 'pg_class'))
FROM pg_class c LEFT JOIN pg_am a ON a.oid = c.relam WHERE c.relnamespace = 'dbos'::regnamespace
UNION ALL
SELECT format('column %s.%s place=%s type=%s collation=%s notnull=%s default=%s identity=%s generated=%s storage=%s statistics=%s options=%s acl=%s',
  c.relname, a.attname, a.attnum, format_type(a.atttypid, a.atttypmod), a.attcollation::regcollation, a.attnotnull, pg_get_expr(d.adbin, d.adrelid),
  a.attidentity, a.attgenerated, a.attstorage, a.attstattarget,
  ARRAY(SELECT o FROM unnest(a.attoptions) AS o WHERE o NOT LIKE 'pg\_%'), -- pg_attver is the server's own stamp
  a.attacl)
FROM pg_class c
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0
LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
WHERE c.relnamespace = 'dbos'::regnamespace AND c.relkind = 'r'
UNION ALL
SELECT format('constraint %s on %s: %s deferrable=%s validated=%s', conname, conrelid::regclass, pg_get_constraintdef(oid), condeferrable, convalidated)
FROM pg_constraint WHERE connamespace = 'dbos'::regnamespace
UNION ALL
SELECT format('index %s valid=%s ready=%s primary=%s', pg_get_indexdef(indexrelid), indisvalid, indisready, indisprimary)
FROM pg_index JOIN pg_class c ON c.oid = indrelid WHERE c.relnamespace = 'dbos'::regnamespace
UNION ALL
SELECT format('trigger %s enabled=%s', pg_get_triggerdef(t.oid), tgenabled)
FROM pg_trigger t JOIN pg_class c ON c.oid = tgrelid WHERE c.relnamespace = 'dbos'::regnamespace AND NOT tgisinternal
UNION ALL
SELECT format('function %s(%s) returns %s language=%s volatile=%s parallel=%s strict=%s secdef=%s leakproof=%s cost=%s config=%s owner=%s acl=%s',
  p.proname, pg_get_function_arguments(p.oid), pg_get_function_result(p.oid), l.lanname, p.provolatile, p.proparallel, p.proisstrict, p.prosecdef,
  p.proleakproof, p.procost, p.proconfig, pg_get_userbyid(p.proowner), p.proacl)
FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang WHERE p.pronamespace = 'dbos'::regnamespace
UNION ALL
SELECT format('type %s kind=%s', typname, typtype) FROM pg_type WHERE typnamespace = 'dbos'::regnamespace AND typelem = 0
UNION ALL
SELECT format('statistics %s', stxname) FROM pg_statistic_ext WHERE stxnamespace = 'dbos'::regnamespace
UNION ALL
SELECT format('member %s of extension', pg_describe_object(classid, objid, objsubid)) FROM pg_depend
WHERE deptype = 'e' AND pg_describe_object(classid, objid, objsubid) LIKE '%dbos.%'
ORDER BY 1;
