-- Argument checks: each raises WF001 (what, which value, what is allowed) or returns.

-- A value as a message may show it.
CREATE OR REPLACE FUNCTION dbos_sys.shown(p_value text)
RETURNS text
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN CASE WHEN p_value IS NULL THEN 'NULL' WHEN length(p_value) > 60 THEN '"' || left(p_value, 60) || '…"' ELSE '"' || p_value || '"' END;
END;
$$;

-- The number of elements of an array that is flat and counted from 1, else its bounds: arrays that go together have one shape.
CREATE OR REPLACE FUNCTION dbos_sys.shape(p_array anyarray)
RETURNS text
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN CASE WHEN p_array IS NULL THEN 'NULL' WHEN COALESCE(array_dims(p_array), '') IN ('', format('[1:%s]', cardinality(p_array)))
    THEN cardinality(p_array)::text ELSE array_dims(p_array) END;
END;
$$;

-- `p_what` names the argument; one that ends in `id` may have 512 bytes, a token 40 (the column of some databases ends there), others 255: a
-- btree entry has an end, and what compresses well must not decide. check_runs(), check_claim() and check_option() look first whether all is
-- well, by themselves: they may be stricter than this, which then decides, and never looser.
CREATE OR REPLACE FUNCTION dbos_sys.check_texts(p_what text, p_values text[])
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  v_max integer := CASE WHEN p_what LIKE '%id' THEN 512 WHEN p_what LIKE '%token' THEN 40 ELSE 255 END;
  v_value text;
BEGIN
  SELECT v.value INTO v_value FROM unnest(p_values) AS v(value)
  WHERE v.value IS NULL OR octet_length(v.value) > v_max OR btrim(v.value, E' \t\n\r\f\x0b') = '' LIMIT 1;
  IF NOT FOUND THEN
    RETURN;
  END IF;
  IF octet_length(v_value) > v_max THEN
    PERFORM dbos_sys.fail('WF001', format('%s %s has %s bytes', p_what, dbos_sys.shown(v_value), octet_length(v_value)),
      format('At most %s bytes are allowed.', v_max), format('Give a shorter %s.', p_what));
  END IF;
  PERFORM dbos_sys.fail('WF001', format('%s is %s', p_what, CASE WHEN v_value IS NULL THEN 'NULL' ELSE 'blank: ' || dbos_sys.shown(v_value) END),
    NULL, format('Give a non-blank %s.', p_what));
END;
$$;

CREATE OR REPLACE FUNCTION dbos_sys.check_text(p_what text, p_value text)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  IF p_value IS NULL OR octet_length(p_value) > (CASE WHEN p_what LIKE '%id' THEN 512 WHEN p_what LIKE '%token' THEN 40 ELSE 255 END) OR btrim(p_value, E' \t\n\r\f\x0b') = '' THEN
    PERFORM dbos_sys.check_texts(p_what, ARRAY[p_value]);
  END IF;
END;
$$;

-- A flat array of which no element is NULL or blank; it may be empty. Long texts pass: a row of another SDK may have such an id.
CREATE OR REPLACE FUNCTION dbos_sys.check_list(p_what text, p_values text[])
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  v_value text;
BEGIN
  IF p_values IS NULL THEN
    PERFORM dbos_sys.fail('WF001', format('%ss are NULL', p_what), NULL, 'Give an array, as ARRAY[''a'', ''b''].');
  ELSIF array_ndims(p_values) > 1 OR array_lower(p_values, 1) <> 1 THEN
    PERFORM dbos_sys.fail('WF001', format('%ss have the bounds %s', p_what, array_dims(p_values)), NULL, 'Give a flat array, as ARRAY[''a'', ''b''].');
  END IF;
  SELECT v.value INTO v_value FROM unnest(p_values) AS v(value) WHERE v.value IS NULL OR btrim(v.value, E' \t\n\r\f\x0b') = '' LIMIT 1;
  IF FOUND THEN
    PERFORM dbos_sys.check_texts(p_what, ARRAY[v_value]);
  END IF;
END;
$$;

-- Ids and owner tokens that go together.
CREATE OR REPLACE FUNCTION dbos_sys.check_keys(p_ids text[], p_tokens text[])
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  IF (cardinality(p_ids) = cardinality(p_tokens)) IS NOT TRUE THEN
    PERFORM dbos_sys.fail('WF001', format('%s ids and %s tokens', dbos_sys.shape(p_ids), dbos_sys.shape(p_tokens)), NULL, 'Give one owner token per id.');
  END IF;
  PERFORM dbos_sys.check_list('workflow id', p_ids);
  PERFORM dbos_sys.check_list('owner token', p_tokens);
END;
$$;

-- Ids as the bulk calls take them: without repetition, sorted (the order in which rows are locked).
CREATE OR REPLACE FUNCTION dbos_sys.check_ids(p_what text, p_ids text[])
RETURNS text[]
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  PERFORM dbos_sys.check_list(p_what, p_ids);
  PERFORM dbos_sys.check_texts(p_what, p_ids);
  RETURN ARRAY(SELECT DISTINCT i.id FROM unnest(p_ids) AS i(id) ORDER BY i.id);
END;
$$;

-- 64 MiB a text: what is longer belongs into a store for files, with its key in the payload.
CREATE OR REPLACE FUNCTION dbos_sys.check_payloads(p_what text, p_values text[])
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  v_max CONSTANT integer := 67108864;
  v_bytes integer;
BEGIN
  IF pg_column_size(p_values) <= v_max THEN
    RETURN;
  END IF;
  SELECT octet_length(v.value) INTO v_bytes FROM unnest(p_values) AS v(value) WHERE octet_length(v.value) > v_max LIMIT 1;
  IF FOUND THEN
    PERFORM dbos_sys.fail('WF001', format('%s has %s bytes', p_what, v_bytes), format('At most %s bytes are allowed.', v_max),
      'Keep the data in a file store and pass its address.');
  END IF;
END;
$$;

-- A length of time in ms; NULL passes. Zero is for delays only.
CREATE OR REPLACE FUNCTION dbos_sys.check_span(p_what text, p_ms bigint, p_zero boolean DEFAULT false)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  IF p_ms < 0 OR (p_ms = 0 AND NOT p_zero) OR p_ms > 3155760000000 THEN
    PERFORM dbos_sys.fail('WF001', format('%s is %s ms', p_what, p_ms), NULL,
      format('Give %s to 3155760000000 ms (100 years).', CASE WHEN p_zero THEN 0 ELSE 1 END));
  END IF;
END;
$$;

-- A point in time in ms since 1970; NULL passes.
CREATE OR REPLACE FUNCTION dbos_sys.check_time(p_what text, p_ms bigint)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  IF p_ms < 946684800000 OR p_ms > 7258118400000 THEN
    PERFORM dbos_sys.fail('WF001', format('%s is %s', p_what, p_ms), 'Times are milliseconds since 1970, from the years 2000 to 2200.',
      CASE WHEN p_ms BETWEEN 946684800 AND 7258118400 THEN 'The value looks like seconds: multiply it by 1000.'
           WHEN p_ms BETWEEN 946684800000000 AND 7258118400000000 THEN 'The value looks like microseconds: divide it by 1000.'
           ELSE 'Give a time as 1767225600000.' END);
  END IF;
END;
$$;

-- How long an executor counts as alive.
CREATE OR REPLACE FUNCTION dbos_sys.check_lease(p_ms bigint)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  IF (p_ms BETWEEN 1000 AND 86400000) IS NOT TRUE THEN
    PERFORM dbos_sys.fail('WF001', format('lease is %s ms', COALESCE(p_ms::text, 'NULL')), NULL, 'Give 1000 to 86400000 ms (1 s to 1 day).');
  END IF;
END;
$$;

-- An interval as ms. Months have no length in ms.
CREATE OR REPLACE FUNCTION dbos_sys.interval_ms(p_what text, p_value interval)
RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  IF p_value IS NULL THEN
    PERFORM dbos_sys.fail('WF001', format('%s is NULL', p_what), NULL, 'Give an interval, as ''15 s''.');
  ELSIF NOT isfinite(p_value) OR EXTRACT(year FROM p_value) <> 0 OR EXTRACT(month FROM p_value) <> 0 THEN
    PERFORM dbos_sys.fail('WF001', format('%s is %s', p_what, p_value), 'Months and years have no fixed length.', 'Give days, hours, minutes or seconds.');
  END IF;
  RETURN (EXTRACT(epoch FROM p_value) * 1000)::bigint;
END;
$$;

-- Shares by name, {"name": weight, …}, of a `p_of` (partition, key) whose name has so many bytes. Wider apart they would get lost in the sums
-- of their inverses, which virtual times are.
CREATE OR REPLACE FUNCTION dbos_sys.check_weights(p_of text, p_weights jsonb, p_least integer, p_most integer)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  v_wrong record;
BEGIN
  IF jsonb_typeof(p_weights) IS DISTINCT FROM 'object' THEN
    PERFORM dbos_sys.fail('WF001', format('weights are %s', COALESCE(left(p_weights::text, 60), 'NULL')), NULL, 'Give an object, as {"tenant-a": 2, "tenant-b": 0.5}.');
  END IF;
  SELECT e.key, e.value INTO v_wrong FROM jsonb_each(p_weights) AS e
  WHERE octet_length(btrim(e.key, E' \t\n\r\f\x0b')) < p_least OR octet_length(e.key) > p_most
    OR CASE WHEN jsonb_typeof(e.value) = 'number' THEN e.value::numeric NOT BETWEEN 0.001 AND 1000000 ELSE true END ORDER BY e.key LIMIT 1;
  IF FOUND THEN
    PERFORM dbos_sys.fail('WF001', format('weight of %s %s is %s', p_of, dbos_sys.shown(v_wrong.key), left(v_wrong.value::text, 60)), NULL,
      format('Give a number from 0.001 to 1000000 for a %s of %s to %s bytes; those that are not named have 1.', p_of, p_least, p_most));
  END IF;
END;
$$;

-- Before the server's own words for a table that is not there.
CREATE OR REPLACE FUNCTION dbos_sys.check_installed()
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  IF to_regclass('dbos_ops.watches') IS NULL OR to_regclass('dbos.workflow_status') IS NULL THEN
    PERFORM dbos_sys.fail('WF002', 'the tables of dbos_sys are not installed in this database', NULL, 'SELECT dbos_sys.install();');
  END IF;
END;
$$;

-- What writes says so before PostgreSQL does, which names a command that nobody gave.
CREATE OR REPLACE FUNCTION dbos_sys.check_primary(p_what text)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  IF pg_is_in_recovery() THEN
    PERFORM dbos_sys.fail('WF050', format('%s() cannot write: this server is a standby', p_what), NULL, 'Call it on the primary.');
  END IF;
END;
$$;
