-- Limits that steps share: the calls of those who wait. Single tickets for any language, and one call for all tickets of a process.

CREATE OR REPLACE FUNCTION dbos_sys.check_limit_key(p_key text)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  IF octet_length(p_key) > 255 THEN
    PERFORM dbos_sys.fail('WF001', format('key %s has %s bytes', dbos_sys.shown(p_key), octet_length(p_key)), 'At most 255 bytes are allowed.', 'Give a shorter key.');
  END IF;
END;
$$;

-- A lease in ms.
CREATE OR REPLACE FUNCTION dbos_sys.check_permit_lease(p_lease interval)
RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  v_ms bigint := dbos_sys.interval_ms('lease', p_lease);
BEGIN
  IF v_ms NOT BETWEEN 100 AND 86400000 THEN
    PERFORM dbos_sys.fail('WF001', format('lease is %s ms', v_ms), NULL, 'Give 100 ms to 1 day, as lease => ''30 s''; renew() makes it longer.');
  END IF;
  RETURN v_ms;
END;
$$;

CREATE OR REPLACE FUNCTION dbos_sys.fail_unknown_ticket(p_ticket text)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  PERFORM dbos_sys.fail('WF041', format('ticket %s is not known', dbos_sys.shown(p_ticket)),
    'It was released, its lease is over, or nobody asked for it in time.', 'Call acquire() without a ticket to get a new one.');
END;
$$;

-- Grants at once where nobody waits and a slot is due within 100 ms: the slot, NULL when one has to wait.
CREATE OR REPLACE FUNCTION dbos_sys.limit_grab(p_name text, p_now bigint)
RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  v_slot bigint;
BEGIN
  SELECT GREATEST(p_now, LEAST(l.next_ns, p_now + 100000000 + (l.burst + 1) * l.interval_ns) - l.burst * l.interval_ns, l.held_until * 1000000) INTO v_slot
  FROM dbos_ops.limits AS l WHERE l.name = p_name AND l.waiting = 0 AND COALESCE(l.taken < l.concurrency, true);
  IF v_slot IS NULL OR v_slot > p_now + 100000000 THEN
    RETURN NULL;
  END IF;
  UPDATE dbos_ops.limits AS l
  SET granted = l.granted + 1, taken = l.taken + (l.concurrency IS NOT NULL)::integer,
    next_ns = CASE WHEN l.interval_ns IS NULL THEN l.next_ns
      ELSE GREATEST(LEAST(l.next_ns, p_now + 100000000 + (l.burst + 1) * l.interval_ns), v_slot) + l.interval_ns END
  WHERE l.name = p_name;
  RETURN v_slot;
END;
$$;

-- When a single ticket should ask again: shortly before its slot, as far as that can be told; earlier ones of other keys may come in between.
CREATE OR REPLACE FUNCTION dbos_sys.limit_told(p_ticket text, p_now bigint)
RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  v_even boolean;
  v_before bigint;
  v_ms bigint;
BEGIN
  SELECT l.interval_ns IS NOT NULL, LEAST(l.waiting - 1, (t.place - k.served - 1) * l.waiting_keys + l.waiting_keys - 1),
    (GREATEST(p_now, l.next_ns - l.burst * l.interval_ns, l.held_until * 1000000) - p_now) / 1000000
      + COALESCE(LEAST(l.waiting - 1, (t.place - k.served) * l.waiting_keys - 1) * l.interval_ns / 1000000, 0)
  INTO v_even, v_before, v_ms
  FROM dbos_ops.limit_tickets AS t
  JOIN dbos_ops.limit_keys AS k ON k.limit_name = t.limit_name AND k.key = t.key
  JOIN dbos_ops.limits AS l ON l.name = t.limit_name
  WHERE t.ticket = p_ticket;
  IF NOT v_even THEN
    v_ms := GREATEST(v_ms, LEAST(20 + 5 * v_before, 1000));
  END IF;
  RETURN CASE WHEN v_ms > 200 THEN LEAST(v_ms / 2, 5000) ELSE GREATEST(v_ms - 80, 10) END;
END;
$$;

-- The state of a ticket that asks again, once it is checked to be the caller's.
CREATE OR REPLACE FUNCTION dbos_sys.limit_ticket(p_name text, p_key text, p_ticket text, p_holder text, p_now bigint)
RETURNS text
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  v_ticket record;
BEGIN
  SELECT t.limit_name, t.key, t.holder, t.state, t.caller, t.ends_at INTO v_ticket FROM dbos_ops.limit_tickets AS t WHERE t.ticket = p_ticket;
  IF NOT FOUND OR v_ticket.ends_at <= p_now / 1000000 THEN
    PERFORM dbos_sys.fail_unknown_ticket(p_ticket);
  ELSIF v_ticket.limit_name <> p_name THEN
    PERFORM dbos_sys.fail('WF042', format('ticket %s is one of limit %s, not of %s', dbos_sys.shown(p_ticket), dbos_sys.shown(v_ticket.limit_name),
      dbos_sys.shown(p_name)), NULL, 'Ask with the limit that gave it, or without a ticket.');
  ELSIF v_ticket.key <> COALESCE(p_key, v_ticket.key) THEN
    PERFORM dbos_sys.fail('WF042', format('ticket %s is one of key %s, not of %s', dbos_sys.shown(p_ticket), dbos_sys.shown(v_ticket.key), dbos_sys.shown(p_key)),
      NULL, 'Ask with the key that it was made for, or without a ticket.');
  ELSIF v_ticket.holder <> p_holder OR v_ticket.caller IS NOT NULL THEN
    PERFORM dbos_sys.fail('WF042', format('ticket %s belongs to %s, not to %s', dbos_sys.shown(p_ticket), dbos_sys.shown(v_ticket.holder), dbos_sys.shown(p_holder)),
      NULL, 'Call acquire() without a ticket to get one of your own.');
  END IF;
  RETURN v_ticket.state;
END;
$$;

CREATE OR REPLACE FUNCTION dbos_sys.acquire(
  name text, key text DEFAULT NULL, OUT granted boolean, INOUT ticket text DEFAULT NULL, OUT wait_ms bigint, lease interval DEFAULT '30 s',
  holder text DEFAULT '')
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET jit = off
SET plan_cache_mode = force_generic_plan
AS $$
#variable_conflict use_column
DECLARE
  v_lease bigint := dbos_sys.check_permit_lease(acquire.lease);
  v_holder text := COALESCE(acquire.holder, '');
  v_now bigint;
  v_slot bigint;
  v_state text;
BEGIN
  PERFORM dbos_sys.check_limit_name(acquire.name);
  PERFORM dbos_sys.check_limit_key(acquire.key);
  IF octet_length(v_holder) > 255 THEN
    PERFORM dbos_sys.check_text('holder', v_holder);
  END IF;
  PERFORM dbos_sys.commit_durably();
  PERFORM dbos_sys.lock_limit(acquire.name);
  v_now := dbos_sys.limit_clock();
  IF acquire.ticket IS NOT NULL THEN
    v_state := dbos_sys.limit_ticket(acquire.name, acquire.key, acquire.ticket, v_holder, v_now);
    v_slot := CASE WHEN v_state = 'held' THEN v_now END;
  ELSE
    v_slot := dbos_sys.limit_grab(acquire.name, v_now);
    IF v_slot IS NULL THEN
      acquire.ticket := dbos_sys.new_id();
      PERFORM dbos_sys.limit_join(acquire.name, v_now, NULL, v_holder, ARRAY[acquire.ticket], ARRAY[COALESCE(acquire.key, '')], v_lease);
    ELSIF (SELECT l.concurrency FROM dbos_ops.limits AS l WHERE l.name = acquire.name) IS NOT NULL THEN
      acquire.ticket := dbos_sys.new_id();
      INSERT INTO dbos_ops.limit_tickets (ticket, limit_name, key, place, state, holder, asks_at, ends_at, lease_ms, start_ns, created_at)
      VALUES (acquire.ticket, acquire.name, COALESCE(acquire.key, ''), 0, 'held', v_holder, v_now / 1000000, v_now / 1000000 + v_lease, v_lease, v_slot,
        v_now / 1000000);
    END IF;
  END IF;
  IF v_slot IS NULL THEN
    SELECT s.start_ns INTO v_slot FROM dbos_sys.limit_serve(acquire.name, v_now, NULL, acquire.ticket) AS s;
    IF v_slot IS NOT NULL AND (SELECT l.concurrency FROM dbos_ops.limits AS l WHERE l.name = acquire.name) IS NULL THEN
      acquire.ticket := NULL;
    ELSIF v_slot IS NOT NULL THEN
      -- The lease of this call, not of the one that made the ticket.
      UPDATE dbos_ops.limit_tickets AS t SET ends_at = v_now / 1000000 + v_lease, lease_ms = v_lease WHERE t.ticket = acquire.ticket;
    END IF;
  END IF;
  granted := v_slot IS NOT NULL;
  IF granted THEN
    wait_ms := GREATEST(ceil((v_slot - v_now) / 1000000.0), 0);
    RETURN;
  END IF;
  wait_ms := dbos_sys.limit_told(acquire.ticket, v_now);
  UPDATE dbos_ops.limit_tickets AS t SET asks_at = v_now / 1000000 + acquire.wait_ms, ends_at = v_now / 1000000 + acquire.wait_ms + 10000, lease_ms = v_lease
  WHERE t.ticket = acquire.ticket;
END;
$$;
COMMENT ON FUNCTION dbos_sys.acquire(text, text, text, interval, text) IS
'Asks a limit for leave to begin. granted: begin in wait_ms (0 to 100 ms); where the limit bounds concurrency, ticket is the permit: release() it when
done, renew() it before lease (100 ms to 1 day) is over. Not granted: call again with the ticket in wait_ms; one that does not come within 10 s of
that is forgotten. Keys wait in fair order by their weights, tickets of one key in the order of their first call. holder: whose ticket it is (only the
same holder may ask with it). The limit stays locked to the end of the transaction: commit before the work. Errors: WF001, WF040 (unknown limit),
WF041 (unknown ticket), WF042 (ticket of another limit, key or holder).';

-- Takes tickets back under the locks of their limits, and hands on what that makes free. Those that are not there are passed over.
CREATE OR REPLACE FUNCTION dbos_sys.limit_release(p_name text, p_tickets text[], p_now bigint)
RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  v_keys text[];
  v_states text[];
BEGIN
  WITH gone AS (
    DELETE FROM dbos_ops.limit_tickets AS t WHERE t.ticket = ANY (p_tickets) AND t.limit_name = p_name RETURNING t.key, t.state)
  SELECT COALESCE(array_agg(g.key), '{}'), COALESCE(array_agg(g.state), '{}') INTO v_keys, v_states FROM gone AS g;
  PERFORM dbos_sys.limit_recount(p_name, v_keys, v_states);
  RETURN cardinality(v_keys);
END;
$$;

-- Tickets of somebody else: of another holder, or of a process that keeps its own by limit_trip().
CREATE OR REPLACE FUNCTION dbos_sys.check_holder(p_tickets text[], p_holder text)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  v_other record;
BEGIN
  SELECT t.ticket, t.holder INTO v_other FROM dbos_ops.limit_tickets AS t
  WHERE t.ticket = ANY (p_tickets) AND (t.caller IS NOT NULL OR t.holder <> COALESCE(p_holder, '')) LIMIT 1;
  IF FOUND THEN
    PERFORM dbos_sys.fail('WF042', format('ticket %s belongs to %s, not to %s', dbos_sys.shown(v_other.ticket), dbos_sys.shown(v_other.holder),
      dbos_sys.shown(COALESCE(p_holder, ''))), NULL, 'Name the holder that acquire() was called with; what a process holds ends with that process.');
  END IF;
END;
$$;

CREATE OR REPLACE FUNCTION dbos_sys.release(ticket text, holder text DEFAULT '')
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET jit = off
SET plan_cache_mode = force_generic_plan
AS $$
#variable_conflict use_column
DECLARE
  v_limit text;
  v_now bigint;
BEGIN
  PERFORM dbos_sys.check_limit_name('any');
  PERFORM dbos_sys.check_text('ticket id', release.ticket);
  SELECT t.limit_name INTO v_limit FROM dbos_ops.limit_tickets AS t WHERE t.ticket = release.ticket;
  IF v_limit IS NOT NULL THEN
    PERFORM FROM dbos_ops.limits AS l WHERE l.name = v_limit FOR NO KEY UPDATE;
    PERFORM dbos_sys.check_holder(ARRAY[release.ticket], release.holder);
    v_now := dbos_sys.limit_clock();
    IF dbos_sys.limit_release(v_limit, ARRAY[release.ticket], v_now) = 1 THEN
      PERFORM dbos_sys.limit_pass(v_limit, v_now, NULL, NULL, '{}');
      RETURN;
    END IF;
  END IF;
  PERFORM dbos_sys.fail_unknown_ticket(release.ticket);
END;
$$;
COMMENT ON FUNCTION dbos_sys.release(text, text) IS
'Gives a permit back, or gives up waiting; holder as in acquire(). Errors: WF001, WF041 (unknown ticket: its lease is over, so that others may have
begun meanwhile), WF042 (ticket of another holder).';

CREATE OR REPLACE FUNCTION dbos_sys.renew(tickets text[], lease interval DEFAULT '30 s', holder text DEFAULT '')
RETURNS TABLE (ticket text, held boolean)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
AS $$
#variable_conflict use_column
DECLARE
  v_lease bigint := dbos_sys.check_permit_lease(renew.lease);
  v_now bigint;
  v_tickets text[];
BEGIN
  PERFORM dbos_sys.check_limit_name('any');
  v_tickets := dbos_sys.check_ids('ticket id', renew.tickets);
  PERFORM FROM dbos_ops.limits AS l
  WHERE l.name IN (SELECT t.limit_name FROM dbos_ops.limit_tickets AS t WHERE t.ticket = ANY (v_tickets)) ORDER BY l.name FOR NO KEY UPDATE;
  PERFORM dbos_sys.check_holder(v_tickets, renew.holder);
  v_now := dbos_sys.now_ms();
  RETURN QUERY
  WITH kept AS (
    UPDATE dbos_ops.limit_tickets AS t SET ends_at = v_now + v_lease, lease_ms = v_lease
    WHERE t.ticket = ANY (v_tickets) AND t.state = 'held' AND t.ends_at > v_now RETURNING t.ticket)
  SELECT u.ticket, EXISTS (SELECT FROM kept AS k WHERE k.ticket = u.ticket)
  FROM unnest(v_tickets) AS u(ticket) ORDER BY u.ticket;
END;
$$;
COMMENT ON FUNCTION dbos_sys.renew(text[], interval, text) IS
'Permits last for lease from now; holder as in acquire(). held: false where the permit is gone, its lease over or released: others may have begun
meanwhile. Errors: WF001, WF042 (ticket of another holder; none is renewed then).';

-- What is no reply about one ticket but a mistake of the caller.
CREATE OR REPLACE FUNCTION dbos_sys.check_limit_trip(p_caller text, p_lease bigint, p_asked text[], p_limits text[], p_keys text[])
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  PERFORM dbos_sys.check_limit_name('any');
  PERFORM dbos_sys.check_text('caller', p_caller);
  PERFORM dbos_sys.check_lease(p_lease);
  IF dbos_sys.shape(p_asked) <> dbos_sys.shape(p_limits) OR dbos_sys.shape(p_asked) <> dbos_sys.shape(p_keys) OR array_position(p_keys, NULL) IS NOT NULL THEN
    PERFORM dbos_sys.fail('WF001', format('%s tickets, %s limits and %s keys, or a key that is NULL', dbos_sys.shape(p_asked), dbos_sys.shape(p_limits),
      dbos_sys.shape(p_keys)), NULL, 'Give one limit and one key (perhaps empty) for each ticket.');
  END IF;
  PERFORM dbos_sys.check_list('ticket id', p_asked);
  PERFORM dbos_sys.check_list('limit', p_limits);
  PERFORM dbos_sys.check_texts('ticket id', p_asked);
  PERFORM dbos_sys.check_texts('key', ARRAY(SELECT DISTINCT k.key FROM unnest(p_keys) AS k(key) WHERE k.key <> ''));
END;
$$;

-- When a caller with waiting tickets should ask a limit again, in ms: often enough to fetch its slots in time.
CREATE OR REPLACE FUNCTION dbos_sys.limit_next_ask(p_name text, p_now bigint, p_listens boolean)
RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN (
    SELECT CASE
      WHEN l.taken >= l.concurrency OR l.interval_ns IS NULL THEN CASE WHEN p_listens THEN 500 ELSE 50 END
      WHEN l.waiting > 0 AND d.ms < 50 THEN 1
      ELSE LEAST(GREATEST(d.ms - 50, 40), 5000) END
    FROM dbos_ops.limits AS l,
    LATERAL (SELECT (GREATEST(l.next_ns - l.burst * l.interval_ns, l.held_until * 1000000) - p_now) / 1000000 AS ms) AS d
    WHERE l.name = p_name);
END;
$$;

CREATE OR REPLACE FUNCTION dbos_sys.limit_trip(
  p_application text, p_executor text, p_caller text, p_lease_ms bigint, p_listens boolean,
  p_tickets text[], p_limits text[], p_keys text[], p_waits text[], p_releases text[], p_holds jsonb DEFAULT '{}')
RETURNS TABLE (kind text, name text, wait_ms bigint)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET jit = off
SET plan_cache_mode = force_generic_plan
AS $$
#variable_conflict use_column
DECLARE
  v_names text[];
  v_known text[];
  v_now bigint;
  v_ask bigint;
  v_soonest bigint := 5000;
  v_free text[];
  v_kind text;
BEGIN
  PERFORM dbos_sys.check_limit_trip(p_caller, p_lease_ms, p_tickets, p_limits, p_keys);
  PERFORM dbos_sys.check_list('waited limit', p_waits);
  PERFORM dbos_sys.check_list('ticket id', p_releases);
  PERFORM dbos_sys.commit_durably();
  v_free := ARRAY(SELECT DISTINCT t.limit_name FROM dbos_ops.limit_tickets AS t WHERE t.ticket = ANY (p_releases));
  v_names := p_waits || p_limits || v_free || ARRAY(SELECT h.key FROM jsonb_each(p_holds) AS h);
  v_known := ARRAY(SELECT l.name FROM dbos_ops.limits AS l WHERE l.name = ANY (v_names) ORDER BY l.name FOR NO KEY UPDATE);
  v_now := dbos_sys.limit_clock();
  -- Known as alive before the first look at the dead.
  INSERT INTO dbos_ops.limit_callers AS c (caller, application_name, executor_id, listens, asks_at, ends_at)
  VALUES (p_caller, p_application, p_executor, p_listens, v_now / 1000000, v_now / 1000000 + p_lease_ms)
  ON CONFLICT (caller) DO UPDATE SET listens = EXCLUDED.listens, asks_at = EXCLUDED.asks_at, ends_at = EXCLUDED.ends_at;
  FOREACH name IN ARRAY v_known LOOP
    -- 0 would end what others hold.
    IF (p_holds ->> name)::bigint > 0 THEN
      PERFORM dbos_sys.hold(name, (p_holds ->> name)::bigint * interval '1 millisecond');
    END IF;
    PERFORM dbos_sys.limit_release(name, p_releases, v_now);
    IF name = ANY (p_limits) THEN
      PERFORM dbos_sys.limit_join(name, v_now, p_caller, p_caller,
        ARRAY(SELECT u.ticket FROM unnest(p_tickets, p_limits) WITH ORDINALITY AS u(ticket, limit_name, place) WHERE u.limit_name = name ORDER BY u.place),
        ARRAY(SELECT u.key FROM unnest(p_keys, p_limits) WITH ORDINALITY AS u(key, limit_name, place) WHERE u.limit_name = name ORDER BY u.place), 0);
    END IF;
    -- Asked for again because the reply did not come: it has the permit.
    RETURN QUERY
    SELECT 'permit', t.ticket, 0::bigint FROM dbos_ops.limit_tickets AS t
    WHERE t.ticket = ANY (p_tickets) AND t.caller = p_caller AND t.limit_name = limit_trip.name AND t.state = 'held';
    v_kind := (SELECT CASE WHEN l.concurrency IS NULL THEN 'granted' ELSE 'permit' END FROM dbos_ops.limits AS l WHERE l.name = limit_trip.name);
    RETURN QUERY
    SELECT v_kind, s.ticket, GREATEST(ceil((s.start_ns - v_now) / 1000000.0), 0)::bigint FROM dbos_sys.limit_serve(name, v_now, p_caller, NULL) AS s;
    v_ask := dbos_sys.limit_next_ask(name, v_now, p_listens);
    IF name = ANY (p_waits || p_limits) THEN
      v_soonest := LEAST(v_soonest, v_ask);
      RETURN QUERY VALUES ('ask', name, v_ask);
    END IF;
  END LOOP;
  UPDATE dbos_ops.limit_callers AS c SET asks_at = v_now / 1000000 + v_soonest WHERE c.caller = p_caller;
  RETURN QUERY SELECT DISTINCT 'unknown', n.name, 0::bigint FROM unnest(p_waits || p_limits) AS n(name) WHERE n.name <> ALL (v_known);
END;
$$;
COMMENT ON FUNCTION dbos_sys.limit_trip(text, text, text, bigint, boolean, text[], text[], text[], text[], text[], jsonb) IS
'All that a process has with limits, in one call: tickets that ask (named by the process, each with limit and key; asking again is harmless), limits
that earlier tickets of it wait for, tickets to be given back, holds (limit: ms). p_caller is the process: it keeps its tickets and permits as long as
it calls within p_lease_ms and, where p_executor is given, the incarnation p_caller of it stands. Returns granted (ticket, begin in so many ms),
permit (likewise, and to be given back), ask (limit, call again in so many ms), unknown (limit). p_listens: it hears channel dbos_sys, payload limit. Errors: WF001.';
