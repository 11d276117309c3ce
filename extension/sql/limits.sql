-- Limits that steps share: their registry. How permits are granted stands in limits_grant.sql.
-- Lock order: rows of limits by name, then their keys, tickets and callers. Whoever changes a limit or its tickets holds the limit's row to
-- the end of the transaction, so a limit is never exceeded by two at once.

CREATE OR REPLACE FUNCTION dbos_sys.check_limit_name(p_name text)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  PERFORM dbos_sys.check_text('limit', p_name);
  IF starts_with(p_name, '_dbos_') THEN
    PERFORM dbos_sys.fail('WF001', format('limit name %s is reserved', dbos_sys.shown(p_name)), 'Names that begin with _dbos_ belong to DBOS.', 'Take another name.');
  ELSIF to_regclass('dbos_ops.limits') IS NULL THEN
    PERFORM dbos_sys.fail('WF002', 'the tables of limits are not installed in this database', NULL, 'SELECT dbos_sys.install();');
  END IF;
END;
$$;

CREATE OR REPLACE FUNCTION dbos_sys.fail_unknown_limit(p_name text)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  PERFORM dbos_sys.fail('WF040', format('limit %s is not registered', dbos_sys.shown(p_name)),
    (SELECT 'Registered: ' || left(string_agg(l.name, ', ' ORDER BY l.name), 300) || '.' FROM dbos_ops.limits AS l),
    format('SELECT dbos_sys.register_limit(%L, rate => 100, per => ''1 second'');', left(p_name, 60)));
END;
$$;

-- The lock of a limit, to the end of the transaction.
CREATE OR REPLACE FUNCTION dbos_sys.lock_limit(p_name text)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  PERFORM FROM dbos_ops.limits AS l WHERE l.name = p_name FOR NO KEY UPDATE;
  IF NOT FOUND THEN
    PERFORM dbos_sys.fail_unknown_limit(p_name);
  END IF;
END;
$$;

CREATE OR REPLACE FUNCTION dbos_sys.check_limit_rate(p_rate double precision, p_per bigint, p_burst integer)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  IF p_per IS NULL OR p_per NOT BETWEEN 1 AND 31536000000 THEN
    PERFORM dbos_sys.fail('WF001', format('per is %s ms', COALESCE(p_per::text, 'NULL')), NULL, 'Give 1 ms to 365 days, as per => ''1 second''.');
  ELSIF p_rate = 'NaN' OR p_rate <= 0 OR p_rate = 'Infinity' THEN
    PERFORM dbos_sys.fail('WF001', format('rate is %s', p_rate), NULL, 'Give a number above 0, or NULL for no bound on the rate.');
  ELSIF p_rate / p_per NOT BETWEEN 1.0 / 31536000000 AND 1000 THEN
    PERFORM dbos_sys.fail('WF001', format('rate is %s per %s ms', p_rate, p_per), 'Allowed: one a year to 1,000,000 a second.', 'Change rate or per.');
  ELSIF p_burst IS NULL OR p_burst NOT BETWEEN 0 AND 1000000 THEN
    PERFORM dbos_sys.fail('WF001', format('burst is %s', COALESCE(p_burst::text, 'NULL')), NULL, 'Give 0 to 1000000.');
  ELSIF p_burst > 0 AND p_rate IS NULL THEN
    PERFORM dbos_sys.fail('WF001', format('burst is %s, and there is no rate', p_burst), 'A burst is what may come beyond an even rate.', 'Give a rate, or no burst.');
  END IF;
END;
$$;

CREATE OR REPLACE FUNCTION dbos_sys.check_limit(p_rate double precision, p_per bigint, p_burst integer, p_concurrency integer, p_weights jsonb)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  IF p_rate IS NULL AND p_concurrency IS NULL THEN
    PERFORM dbos_sys.fail('WF001', 'a limit without rate and concurrency bounds nothing', NULL, 'Give one of them or both, as rate => 100, concurrency => 10.');
  ELSIF p_concurrency NOT BETWEEN 1 AND 1000000 THEN
    PERFORM dbos_sys.fail('WF001', format('concurrency is %s', p_concurrency), NULL, 'Give 1 to 1000000, or NULL for no bound.');
  END IF;
  PERFORM dbos_sys.check_limit_rate(p_rate, p_per, p_burst);
  PERFORM dbos_sys.check_weights('key', p_weights, 0, 255);
END;
$$;

-- The time between two grants in ns; rounded up, so that the rate is not exceeded by the remainder.
CREATE OR REPLACE FUNCTION dbos_sys.limit_interval(p_rate double precision, p_per bigint)
RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN ceil(p_per * 1000000 / p_rate::numeric)::bigint;
END;
$$;

CREATE OR REPLACE FUNCTION dbos_sys.register_limit(
  name text, rate double precision DEFAULT NULL, per interval DEFAULT '1 second', burst integer DEFAULT 0, concurrency integer DEFAULT NULL,
  weights jsonb DEFAULT '{}')
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
  v_now bigint := dbos_sys.now_ms();
  v_per bigint := dbos_sys.interval_ms('per', register_limit.per);
BEGIN
  PERFORM dbos_sys.check_limit_name(register_limit.name);
  PERFORM dbos_sys.check_limit(register_limit.rate, v_per, register_limit.burst, register_limit.concurrency, register_limit.weights);
  INSERT INTO dbos_ops.limits AS l (name, rate, per_ms, burst, concurrency, weights, interval_ns, created_at, updated_at)
  VALUES (register_limit.name, register_limit.rate, v_per, register_limit.burst, register_limit.concurrency, register_limit.weights,
    dbos_sys.limit_interval(register_limit.rate, v_per), v_now, v_now)
  ON CONFLICT (name) DO UPDATE
  SET rate = EXCLUDED.rate, per_ms = EXCLUDED.per_ms, burst = EXCLUDED.burst, concurrency = EXCLUDED.concurrency, weights = EXCLUDED.weights,
    interval_ns = EXCLUDED.interval_ns, updated_at = EXCLUDED.updated_at
  WHERE (l.rate, l.per_ms, l.burst, l.concurrency, l.weights)
    IS DISTINCT FROM (EXCLUDED.rate, EXCLUDED.per_ms, EXCLUDED.burst, EXCLUDED.concurrency, EXCLUDED.weights);
  IF FOUND THEN
    PERFORM pg_notify('dbos_sys', 'limit');
  END IF;
END;
$$;
COMMENT ON FUNCTION dbos_sys.register_limit(text, double precision, interval, integer, integer, jsonb) IS
'Makes a limit, or replaces its bounds; who waits and what was granted stays. rate per per: in a window of length w at most rate × w + burst grants,
and the one that opens it. concurrency: permits at the same time. weights: a JSON object of keys and their shares (1 where not named).
Errors: WF001.';

CREATE OR REPLACE FUNCTION dbos_sys.alter_limit(
  name text, rate double precision DEFAULT NULL, per interval DEFAULT NULL, burst integer DEFAULT NULL, concurrency integer DEFAULT NULL,
  weights jsonb DEFAULT NULL)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
  v_limit record;
  v_per bigint := CASE WHEN alter_limit.per IS NOT NULL THEN dbos_sys.interval_ms('per', alter_limit.per) END;
BEGIN
  PERFORM dbos_sys.check_limit_name(alter_limit.name);
  PERFORM dbos_sys.lock_limit(alter_limit.name);
  SELECT COALESCE(alter_limit.rate, l.rate) AS rate, COALESCE(v_per, l.per_ms) AS per_ms, COALESCE(alter_limit.burst, l.burst) AS burst,
    COALESCE(alter_limit.concurrency, l.concurrency) AS concurrency, COALESCE(alter_limit.weights, l.weights) AS weights
  INTO v_limit FROM dbos_ops.limits AS l WHERE l.name = alter_limit.name;
  PERFORM dbos_sys.check_limit(v_limit.rate, v_limit.per_ms, v_limit.burst, v_limit.concurrency, v_limit.weights);
  UPDATE dbos_ops.limits AS l
  SET rate = v_limit.rate, per_ms = v_limit.per_ms, burst = v_limit.burst, concurrency = v_limit.concurrency, weights = v_limit.weights,
    interval_ns = dbos_sys.limit_interval(v_limit.rate, v_limit.per_ms), updated_at = dbos_sys.now_ms()
  WHERE l.name = alter_limit.name;
  PERFORM pg_notify('dbos_sys', 'limit');
END;
$$;
COMMENT ON FUNCTION dbos_sys.alter_limit(text, double precision, interval, integer, integer, jsonb) IS
'Changes bounds of a limit; NULL leaves one as it is (register_limit() again takes a bound away). Grants from now on follow it. Permits beyond a
lowered concurrency stay until they are released. Errors: WF001, WF040 (unknown limit).';

-- Who waits and who holds; a ticket counts until its time is over.
CREATE OR REPLACE FUNCTION dbos_sys.limit_use(p_name text, OUT waiting bigint, OUT holding bigint)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  v_now bigint := dbos_sys.now_ms();
BEGIN
  SELECT count(*) FILTER (WHERE t.state = 'waiting'), count(*) FILTER (WHERE t.state <> 'waiting') INTO waiting, holding
  FROM dbos_ops.limit_tickets AS t LEFT JOIN dbos_ops.limit_callers AS c ON c.caller = t.caller
  WHERE t.limit_name = p_name AND COALESCE(c.ends_at, t.ends_at) > v_now;
END;
$$;

CREATE OR REPLACE FUNCTION dbos_sys.drop_limit(name text, force boolean DEFAULT false)
RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
  v_use record;
BEGIN
  PERFORM dbos_sys.check_limit_name(drop_limit.name);
  PERFORM dbos_sys.lock_limit(drop_limit.name);
  SELECT u.* INTO v_use FROM dbos_sys.limit_use(drop_limit.name) AS u;
  IF v_use.waiting + v_use.holding > 0 AND drop_limit.force IS NOT TRUE THEN
    PERFORM dbos_sys.fail('WF043', format('limit %s is in use: %s wait, %s hold a permit', dbos_sys.shown(drop_limit.name), v_use.waiting, v_use.holding),
      'Their next call would find the limit unknown.', format('Wait until they are done, or: SELECT dbos_sys.drop_limit(%L, force => true);', drop_limit.name));
  END IF;
  DELETE FROM dbos_ops.limit_tickets AS t WHERE t.limit_name = drop_limit.name;
  DELETE FROM dbos_ops.limit_keys AS k WHERE k.limit_name = drop_limit.name;
  DELETE FROM dbos_ops.limits AS l WHERE l.name = drop_limit.name;
  RETURN v_use.waiting + v_use.holding;
END;
$$;
COMMENT ON FUNCTION dbos_sys.drop_limit(text, boolean) IS
'Removes a limit and returns how many waited or held a permit; while somebody does it is refused unless force. Whoever asks afterwards gets
WF040. Errors: WF001, WF040 (unknown limit), WF043 (in use).';

CREATE OR REPLACE FUNCTION dbos_sys.limits()
RETURNS TABLE (
  name text, rate double precision, per interval, burst integer, concurrency integer, weights jsonb, waiting bigint, holding bigint, granted bigint,
  held_until bigint, created_at bigint, updated_at bigint)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
  PERFORM dbos_sys.check_limit_name('any');
  RETURN QUERY
  SELECT l.name, l.rate, l.per_ms * interval '1 millisecond', l.burst, l.concurrency, l.weights, u.waiting, u.holding, l.granted,
    CASE WHEN l.held_until > dbos_sys.now_ms() THEN l.held_until END, l.created_at, l.updated_at
  FROM dbos_ops.limits AS l, LATERAL dbos_sys.limit_use(l.name) AS u
  ORDER BY l.name;
END;
$$;
COMMENT ON FUNCTION dbos_sys.limits() IS
'Registered limits: bounds, who waits, who holds a permit (or is about to be handed one), grants so far, the end of a hold (NULL: none). Times in
ms since 1970.';

CREATE OR REPLACE FUNCTION dbos_sys.hold(name text, duration interval)
RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
  v_ms bigint := dbos_sys.interval_ms('duration', hold.duration);
  v_until bigint;
BEGIN
  PERFORM dbos_sys.check_limit_name(hold.name);
  IF v_ms NOT BETWEEN 0 AND 2592000000 THEN
    PERFORM dbos_sys.fail('WF001', format('duration is %s ms', v_ms), NULL, 'Give 0 (end the hold) to 30 days.');
  END IF;
  PERFORM dbos_sys.lock_limit(hold.name);
  UPDATE dbos_ops.limits AS l
  SET held_until = CASE WHEN v_ms = 0 THEN 0 ELSE GREATEST(l.held_until, dbos_sys.now_ms() + v_ms) END
  WHERE l.name = hold.name RETURNING l.held_until INTO v_until;
  IF v_ms = 0 THEN
    PERFORM pg_notify('dbos_sys', 'limit');
  END IF;
  RETURN v_until;
END;
$$;
COMMENT ON FUNCTION dbos_sys.hold(text, interval) IS
'Nobody begins under this limit for so long, as a Retry-After header asks; returns the end in ms since 1970. The longest hold counts, and 0 ends it
at once. What was granted and has begun goes on. Errors: WF001, WF040 (unknown limit).';
