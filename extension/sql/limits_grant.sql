-- Limits that steps share: who may begin, and when.
--
-- Rate: the generic cell rate algorithm. `next_ns` is when the next grant would be due at an even rate; one may come burst × interval earlier,
-- and moves it by one interval. So grants stand at least one interval apart but for the burst: in a window of length w at most
-- rate × w + burst, and the one that opens it. A *slot* is the time from which a grant counts; it is given up to 100 ms ahead, and who gets it
-- waits until then. Concurrency: `taken` counts the tickets that are reserved or held.
-- Order: start-time fair queueing over keys. `vstart` of a key is its next ticket's virtual start, and moves by 1 / weight with each grant;
-- `vtime` is that of the first key that waits. A key that comes back joins at vtime: idleness earns nothing. Within a key tickets go by place.
-- A ticket is *waiting*; *reserved* (it has a slot, its caller does not know yet); or *held* (a permit, only where concurrency is bounded).
-- A slot is reserved only for who is expected back before it: a *caller* (a process that asks for all its tickets in one call, a row of
-- limit_callers) or a single ticket says when it comes. Who comes late, or into a hold, gets another slot and keeps its place.
-- All of this is decided under the lock of the limit's row and must be durable before the caller acts on it.

-- Server time in ns since 1970.
CREATE OR REPLACE FUNCTION dbos_sys.limit_clock()
RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  v_fake text := current_setting('dbos_sys.fake_now', true);
BEGIN
  IF v_fake <> '' THEN
    RETURN v_fake::bigint * 1000000;
  END IF;
  RETURN (EXTRACT(epoch FROM clock_timestamp()) * 1000000)::bigint * 1000;
END;
$$;

-- Tickets of a limit that are no more, or wait again: what the counters of the limit and its keys lose.
CREATE OR REPLACE FUNCTION dbos_sys.limit_recount(p_name text, p_keys text[], p_states text[])
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  v_idle bigint;
BEGIN
  IF p_keys = '{}' THEN
    RETURN;
  END IF;
  WITH lost AS (
    SELECT u.key, count(*) AS n FROM unnest(p_keys, p_states) AS u(key, state) WHERE u.state = 'waiting' GROUP BY u.key),
  changed AS (
    UPDATE dbos_ops.limit_keys AS k SET waiting = k.waiting - lost.n FROM lost
    WHERE k.limit_name = p_name AND k.key = lost.key RETURNING k.waiting)
  SELECT count(*) FILTER (WHERE c.waiting = 0) INTO v_idle FROM changed AS c;
  UPDATE dbos_ops.limits AS l
  SET waiting = l.waiting - cardinality(array_positions(p_states, 'waiting')), waiting_keys = l.waiting_keys - v_idle,
    taken = l.taken - cardinality(p_states) + cardinality(array_positions(p_states, 'waiting'))
  WHERE l.name = p_name;
END;
$$;

-- Reserved tickets go back to the place that they had, and their keys are not charged for them.
CREATE OR REPLACE FUNCTION dbos_sys.limit_unreserve(p_name text, p_tickets text[])
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  v_more bigint;
BEGIN
  IF p_tickets = '{}' THEN
    RETURN;
  END IF;
  WITH back AS (
    UPDATE dbos_ops.limit_tickets AS t SET state = 'waiting', start_ns = NULL WHERE t.ticket = ANY (p_tickets) RETURNING t.key, t.place),
  sums AS (
    SELECT b.key, count(*) AS n, min(b.place) AS place, max(b.place) AS last FROM back AS b GROUP BY b.key),
  -- An idle key may have been forgotten meanwhile.
  changed AS (
    INSERT INTO dbos_ops.limit_keys AS k (limit_name, key, vstart, waiting, arrived, served)
    SELECT p_name, s.key, l.vtime, s.n, s.last, s.place - 1 FROM sums AS s, dbos_ops.limits AS l WHERE l.name = p_name ORDER BY s.key
    ON CONFLICT (limit_name, key) DO UPDATE
    SET waiting = k.waiting + EXCLUDED.waiting, served = LEAST(k.served, EXCLUDED.served),
      vstart = GREATEST(EXCLUDED.vstart, k.vstart - EXCLUDED.waiting / (
        SELECT COALESCE((l.weights ->> k.key)::double precision, 1) FROM dbos_ops.limits AS l WHERE l.name = p_name))
    RETURNING k.key, k.waiting)
  SELECT count(*) FILTER (WHERE c.waiting = s.n) INTO v_more FROM changed AS c JOIN sums AS s ON s.key = c.key;
  UPDATE dbos_ops.limits AS l
  SET waiting = l.waiting + cardinality(p_tickets), waiting_keys = l.waiting_keys + v_more, taken = l.taken - cardinality(p_tickets),
    granted = l.granted - cardinality(p_tickets)
  WHERE l.name = p_name;
END;
$$;

-- Callers that said nothing for their lease, or whose incarnation has ended.
CREATE OR REPLACE FUNCTION dbos_sys.dead_callers(p_now bigint)
RETURNS text[]
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN ARRAY(
    SELECT c.caller FROM dbos_ops.limit_callers AS c
    WHERE c.ends_at <= p_now OR (c.executor_id IS NOT NULL AND NOT EXISTS (
      SELECT FROM dbos_ops.executors AS e
      WHERE e.application_name = c.application_name AND e.executor_id = c.executor_id AND e.incarnation = c.caller AND e.ended_at IS NULL)));
END;
$$;

-- Takes back what nobody will use: up to 500 tickets a call, and slots of `p_now` (ns) minus 1 s that were not fetched.
CREATE OR REPLACE FUNCTION dbos_sys.limit_reap(p_name text, p_now bigint)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  v_dead text[] := dbos_sys.dead_callers(p_now / 1000000);
  v_keys text[];
  v_states text[];
BEGIN
  WITH over AS (
    SELECT e.ticket FROM (
      SELECT t.ticket FROM dbos_ops.limit_tickets AS t
      WHERE t.limit_name = p_name AND t.ends_at <= p_now / 1000000 ORDER BY t.ends_at LIMIT 250) AS e
    UNION ALL
    SELECT d.ticket FROM (
      SELECT t.ticket FROM dbos_ops.limit_tickets AS t WHERE t.caller = ANY (v_dead) AND t.limit_name = p_name LIMIT 250) AS d),
  gone AS (
    DELETE FROM dbos_ops.limit_tickets AS t USING over WHERE t.ticket = over.ticket RETURNING t.key, t.state)
  SELECT COALESCE(array_agg(g.key), '{}'), COALESCE(array_agg(g.state), '{}') INTO v_keys, v_states FROM gone AS g;
  PERFORM dbos_sys.limit_recount(p_name, v_keys, v_states);
  PERFORM dbos_sys.limit_unreserve(p_name, ARRAY(
    SELECT t.ticket FROM dbos_ops.limit_tickets AS t
    WHERE t.limit_name = p_name AND t.state = 'reserved' AND t.start_ns < p_now - 1000000000 ORDER BY t.start_ns LIMIT 250));
  IF v_dead <> '{}' AND v_keys = '{}' THEN
    DELETE FROM dbos_ops.limit_callers AS c
    WHERE c.caller = ANY (v_dead) AND NOT EXISTS (SELECT FROM dbos_ops.limit_tickets AS t WHERE t.caller = c.caller);
  END IF;
END;
$$;

-- New tickets at the ends of their keys. Places of a key count on from the time in µs at which it came, so that they grow although idle keys are
-- forgotten. `p_caller` NULL: a single ticket, which ends by itself.
CREATE OR REPLACE FUNCTION dbos_sys.limit_join(
  p_name text, p_now bigint, p_caller text, p_holder text, p_tickets text[], p_keys text[], p_lease bigint)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  v_new bigint;
  v_keys bigint;
BEGIN
  WITH fresh AS MATERIALIZED (
    SELECT u.ticket, u.key, row_number() OVER (PARTITION BY u.key ORDER BY u.place) AS n, count(*) OVER (PARTITION BY u.key) AS of
    FROM unnest(p_tickets, p_keys) WITH ORDINALITY AS u(ticket, key, place)
    WHERE NOT EXISTS (SELECT FROM dbos_ops.limit_tickets AS t WHERE t.ticket = u.ticket OFFSET 0)),
  charged AS (
    INSERT INTO dbos_ops.limit_keys AS k (limit_name, key, vstart, waiting, arrived, served)
    SELECT p_name, f.key, l.vtime, f.of, p_now / 1000 + f.of, p_now / 1000 FROM fresh AS f, dbos_ops.limits AS l WHERE f.n = 1 AND l.name = p_name ORDER BY f.key
    ON CONFLICT (limit_name, key) DO UPDATE
    SET vstart = CASE WHEN k.waiting = 0 THEN GREATEST(k.vstart, EXCLUDED.vstart) ELSE k.vstart END,
      served = CASE WHEN k.waiting = 0 THEN k.arrived ELSE k.served END, waiting = k.waiting + EXCLUDED.waiting, arrived = k.arrived + EXCLUDED.waiting
    RETURNING k.key, k.arrived, k.waiting),
  joined AS (
    INSERT INTO dbos_ops.limit_tickets (ticket, limit_name, key, place, state, caller, holder, asks_at, ends_at, lease_ms, created_at)
    SELECT f.ticket, p_name, f.key, c.arrived - f.of + f.n, 'waiting', p_caller, p_holder, p_now / 1000000,
      CASE WHEN p_caller IS NULL THEN p_now / 1000000 + 10000 END, p_lease, p_now / 1000000
    FROM fresh AS f JOIN charged AS c ON c.key = f.key
    RETURNING 1)
  SELECT (SELECT count(*) FROM joined), (SELECT count(*) FROM charged AS c WHERE c.waiting = (SELECT max(f.of) FROM fresh AS f WHERE f.key = c.key))
  INTO v_new, v_keys;
  IF v_new > 0 THEN
    UPDATE dbos_ops.limits AS l SET waiting = l.waiting + v_new, waiting_keys = l.waiting_keys + v_keys WHERE l.name = p_name;
  END IF;
END;
$$;

-- The ticket whose turn it is for a slot, and may be told in time: of the first 64 keys, the first 64 tickets each; failing those, one of the
-- caller who asks.
CREATE OR REPLACE FUNCTION dbos_sys.limit_next(
  p_name text, p_vtime double precision, p_now bigint, p_slot bigint, p_even boolean, p_caller text, p_ticket text,
  OUT ticket text, OUT key text, OUT place bigint, OUT lease_ms bigint, OUT present boolean, OUT listens boolean)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  v_now bigint := p_now / 1000000;
  -- A permit waits for who is about to come; a slot has a time of its own.
  v_by bigint := CASE WHEN p_even THEN p_slot / 1000000 - 40 ELSE v_now + 100 END;
BEGIN
  SELECT t.ticket, k.key, t.place, t.lease_ms, COALESCE(t.ticket = p_ticket OR t.caller = p_caller, false), t.listens
  INTO ticket, key, place, lease_ms, present, listens
  FROM (
    SELECT i.key, i.vstart, i.served FROM dbos_ops.limit_keys AS i
    WHERE i.limit_name = p_name AND i.waiting > 0 AND i.vstart >= p_vtime ORDER BY i.vstart, i.key LIMIT 64) AS k,
  LATERAL (
    SELECT h.ticket, h.place, h.lease_ms, h.caller, c.listens
    FROM (
      SELECT q.ticket, q.place, q.lease_ms, q.caller, q.asks_at, q.ends_at FROM dbos_ops.limit_tickets AS q
      WHERE q.limit_name = p_name AND q.key = k.key AND q.state = 'waiting' AND q.place > k.served ORDER BY q.place LIMIT 64) AS h
    LEFT JOIN dbos_ops.limit_callers AS c ON c.caller = h.caller
    WHERE h.ticket = p_ticket OR h.caller = p_caller
      OR (COALESCE(c.ends_at, h.ends_at) > v_now AND COALESCE(c.asks_at, h.asks_at) > v_now - 50
        AND (COALESCE(c.asks_at, h.asks_at) <= v_by OR (c.listens AND NOT p_even)))
    ORDER BY h.place LIMIT 1) AS t
  ORDER BY k.vstart, k.key LIMIT 1;
  IF NOT FOUND THEN
    SELECT t.ticket, t.key, t.place, t.lease_ms, true, false INTO ticket, key, place, lease_ms, present, listens
    FROM dbos_ops.limit_tickets AS t
    WHERE (t.ticket = p_ticket OR t.caller = p_caller) AND t.limit_name = p_name AND t.state = 'waiting' ORDER BY t.place LIMIT 1;
  END IF;
END;
$$;

-- What a caller may know at once becomes held, or is forgotten where nothing is to be given back.
CREATE OR REPLACE FUNCTION dbos_sys.limit_hand_out(p_tickets text[], p_now bigint, p_permits boolean)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  IF p_permits THEN
    UPDATE dbos_ops.limit_tickets AS t
    SET state = 'held', ends_at = CASE WHEN t.caller IS NULL THEN p_now / 1000000 + t.lease_ms END
    WHERE t.ticket = ANY (p_tickets);
  ELSE
    DELETE FROM dbos_ops.limit_tickets AS t WHERE t.ticket = ANY (p_tickets);
  END IF;
END;
$$;

-- Gives out what is due now and in the next 100 ms, slots that were taken back (`p_freed`) first; returns what the caller (or the single ticket)
-- has got.
CREATE OR REPLACE FUNCTION dbos_sys.limit_pass(p_name text, p_now bigint, p_caller text, p_ticket text, p_freed bigint[])
RETURNS TABLE (ticket text, start_ns bigint)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  v_limit record;
  v_turn record;
  v_slot bigint;
  v_even boolean;
  v_again boolean;
  v_left bigint;
  v_told text[] := '{}';
  v_notify boolean := false;
BEGIN
  SELECT l.* INTO v_limit FROM dbos_ops.limits AS l WHERE l.name = p_name;
  v_even := v_limit.interval_ns IS NOT NULL;
  -- The clock may have been set back: no slot is given further ahead than this.
  v_limit.next_ns := LEAST(v_limit.next_ns, p_now + 100000000 + (v_limit.burst + 1) * v_limit.interval_ns);
  -- Bounded, for others wait for the lock: who asks is told to ask again at once.
  FOR i IN 1 .. 500 LOOP
    EXIT WHEN v_limit.waiting = 0 OR v_limit.taken >= v_limit.concurrency;
    v_again := i <= cardinality(p_freed);
    -- One that was taken back keeps its time, although that may be past by what a reply may take: moved to now, several would be one.
    v_slot := CASE WHEN v_again THEN p_freed[i] ELSE GREATEST(p_now, v_limit.next_ns - v_limit.burst * v_limit.interval_ns, v_limit.held_until * 1000000) END;
    EXIT WHEN v_slot > p_now + 100000000;
    SELECT n.* INTO v_turn FROM dbos_sys.limit_next(p_name, v_limit.vtime, p_now, v_slot, v_even, p_caller, p_ticket) AS n;
    EXIT WHEN v_turn.ticket IS NULL;
    UPDATE dbos_ops.limit_keys AS k
    SET vstart = k.vstart + 1 / COALESCE((v_limit.weights ->> k.key)::double precision, 1), waiting = k.waiting - 1,
      served = CASE WHEN v_turn.place = k.served + 1 THEN v_turn.place ELSE k.served END
    WHERE k.limit_name = p_name AND k.key = v_turn.key RETURNING k.waiting INTO v_left;
    IF v_turn.present THEN
      v_told := v_told || v_turn.ticket;
      ticket := v_turn.ticket;
      start_ns := v_slot;
      RETURN NEXT;
    END IF;
    UPDATE dbos_ops.limit_tickets AS t SET state = 'reserved', start_ns = v_slot WHERE t.ticket = v_turn.ticket;
    v_notify := v_notify OR (v_turn.listens AND NOT v_turn.present);
    v_limit.waiting := v_limit.waiting - 1;
    v_limit.waiting_keys := v_limit.waiting_keys - (v_left = 0)::integer;
    v_limit.taken := v_limit.taken + (v_limit.concurrency IS NOT NULL OR NOT v_turn.present)::integer;
    v_limit.granted := v_limit.granted + 1;
    v_limit.next_ns := CASE WHEN v_even AND NOT v_again THEN GREATEST(v_limit.next_ns, v_slot) + v_limit.interval_ns ELSE v_limit.next_ns END;
  END LOOP;
  PERFORM dbos_sys.limit_hand_out(v_told, p_now, v_limit.concurrency IS NOT NULL);
  UPDATE dbos_ops.limits AS l
  SET next_ns = v_limit.next_ns, waiting = v_limit.waiting, waiting_keys = v_limit.waiting_keys, taken = v_limit.taken, granted = v_limit.granted,
    vtime = GREATEST(l.vtime, CASE WHEN v_limit.waiting > 0
      THEN (SELECT k.vstart FROM dbos_ops.limit_keys AS k WHERE k.limit_name = p_name AND k.waiting > 0 AND k.vstart >= l.vtime ORDER BY k.vstart LIMIT 1)
      ELSE (SELECT k.vstart FROM dbos_ops.limit_keys AS k WHERE k.limit_name = p_name AND k.waiting = 0 ORDER BY k.vstart DESC LIMIT 1) END)
  WHERE l.name = p_name RETURNING l.vtime INTO v_limit.vtime;
  DELETE FROM dbos_ops.limit_keys AS k
  WHERE k.ctid = ANY (ARRAY(
    SELECT i.ctid FROM dbos_ops.limit_keys AS i WHERE i.limit_name = p_name AND i.waiting = 0 AND i.vstart <= v_limit.vtime LIMIT 100));
  IF v_notify THEN
    PERFORM pg_notify('dbos_sys', 'limit');
  END IF;
END;
$$;

-- Slots and permits of others who should have come by now, for who is here and waits: they would be lost, as those are that fall into a hold.
-- Who comes all the same gets the next.
CREATE OR REPLACE FUNCTION dbos_sys.limit_take_over(p_name text, p_now bigint, p_even boolean, p_caller text, p_ticket text)
RETURNS bigint[]
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  v_tickets text[];
  v_slots bigint[];
BEGIN
  SELECT COALESCE(array_agg(l.ticket), '{}'), COALESCE(array_agg(l.start_ns), '{}') INTO v_tickets, v_slots
  FROM (
    SELECT t.ticket, t.start_ns FROM dbos_ops.limit_tickets AS t LEFT JOIN dbos_ops.limit_callers AS c ON c.caller = t.caller
    WHERE t.limit_name = p_name AND t.state = 'reserved' AND t.start_ns >= p_now - (CASE WHEN p_even THEN 10000000 ELSE 1000000000 END)
      AND t.start_ns >= (SELECT h.held_until * 1000000 FROM dbos_ops.limits AS h WHERE h.name = p_name)
      AND t.start_ns <= p_now + 60000000 AND COALESCE(c.asks_at, t.asks_at) < p_now / 1000000 - (CASE WHEN p_even THEN 15 ELSE 100 END)
    ORDER BY t.start_ns LIMIT (
      SELECT count(*) FROM (
        SELECT FROM dbos_ops.limit_tickets AS w
        WHERE (w.ticket = p_ticket OR w.caller = p_caller) AND w.limit_name = p_name AND w.state = 'waiting' LIMIT 20) AS n)) AS l;
  PERFORM dbos_sys.limit_unreserve(p_name, v_tickets);
  RETURN CASE WHEN p_even THEN v_slots ELSE '{}' END;
END;
$$;

-- The whole of a call on a locked limit for one caller or ticket: what it has got, with the time from which it counts.
CREATE OR REPLACE FUNCTION dbos_sys.limit_serve(p_name text, p_now bigint, p_caller text, p_ticket text)
RETURNS TABLE (ticket text, start_ns bigint)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  v_limit record;
  v_told text[];
BEGIN
  PERFORM dbos_sys.limit_reap(p_name, p_now);
  SELECT l.* INTO v_limit FROM dbos_ops.limits AS l WHERE l.name = p_name;
  -- Fetched more than 10 ms too late for its slot (less is what any reply may take), or held up meanwhile: another slot.
  PERFORM dbos_sys.limit_unreserve(p_name, ARRAY(
    SELECT t.ticket FROM dbos_ops.limit_tickets AS t
    WHERE (t.ticket = p_ticket OR t.caller = p_caller) AND t.limit_name = p_name AND t.state = 'reserved'
      AND ((v_limit.interval_ns IS NOT NULL AND t.start_ns < p_now - 10000000) OR t.start_ns < v_limit.held_until * 1000000)));
  v_told := '{}';
  FOR ticket, start_ns IN
    SELECT t.ticket, t.start_ns FROM dbos_ops.limit_tickets AS t
    WHERE (t.ticket = p_ticket OR t.caller = p_caller) AND t.limit_name = p_name AND t.state = 'reserved'
  LOOP
    v_told := v_told || ticket;
    RETURN NEXT;
  END LOOP;
  IF v_told <> '{}' THEN
    PERFORM dbos_sys.limit_hand_out(v_told, p_now, v_limit.concurrency IS NOT NULL);
    IF v_limit.concurrency IS NULL THEN
      UPDATE dbos_ops.limits AS l SET taken = l.taken - cardinality(v_told) WHERE l.name = p_name;
    END IF;
  END IF;
  RETURN QUERY
  SELECT g.ticket, g.start_ns FROM dbos_sys.limit_pass(p_name, p_now, p_caller, p_ticket,
    dbos_sys.limit_take_over(p_name, p_now, v_limit.interval_ns IS NOT NULL, p_caller, p_ticket)) AS g;
END;
$$;
