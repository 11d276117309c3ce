-- Limits: who may begin, and when. The clock stands still but where it is set.
\set SHOW_CONTEXT never
\set ECHO errors
\getenv root PG_ABS_SRCDIR
\set setup :root /sql/include/setup.psql
\i :setup
TRUNCATE dbos_ops.limits, dbos_ops.limit_keys, dbos_ops.limit_tickets, dbos_ops.limit_callers;
CREATE FUNCTION pg_temp.pass_time(p_ms bigint) RETURNS void LANGUAGE sql AS
$$SELECT set_config('dbos_sys.fake_now', (current_setting('dbos_sys.fake_now')::bigint + p_ms)::text, false)$$;
-- A process that asks for all its tickets.
CREATE FUNCTION pg_temp.ask(p_caller text, p_limit text, p_tickets text[] DEFAULT '{}', p_keys text[] DEFAULT '{}', p_releases text[] DEFAULT '{}', p_holds jsonb DEFAULT '{}')
RETURNS TABLE (kind text, name text, wait_ms bigint) LANGUAGE sql AS
$$SELECT * FROM dbos_sys.limit_trip(NULL, NULL, p_caller, 15000, false, p_tickets, array_fill(p_limit, ARRAY[cardinality(p_tickets)]), p_keys, ARRAY[p_limit], p_releases, p_holds)$$;
-- A caller that asks at once whenever it may, for p_ms: when each grant counts from, in ms.
CREATE FUNCTION pg_temp.drain(p_caller text, p_limit text, p_ms bigint) RETURNS TABLE (name text, at_ms bigint) LANGUAGE plpgsql AS $$
DECLARE
  v_from bigint := dbos_sys.now_ms();
  v_row record;
  v_ask bigint;
BEGIN
  LOOP
    v_ask := 50;
    FOR v_row IN SELECT * FROM pg_temp.ask(p_caller, p_limit) LOOP
      IF v_row.kind = 'ask' THEN
        v_ask := v_row.wait_ms;
      ELSE
        name := v_row.name;
        at_ms := dbos_sys.now_ms() + v_row.wait_ms - v_from;
        RETURN NEXT;
      END IF;
    END LOOP;
    EXIT WHEN dbos_sys.now_ms() + v_ask > v_from + p_ms;
    PERFORM pg_temp.pass_time(v_ask);
  END LOOP;
END;
$$;
-- What a statement says when it fails, tickets replaced.
CREATE FUNCTION pg_temp.said(p_statement text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
  EXECUTE p_statement;
  RETURN 'nothing';
EXCEPTION WHEN OTHERS THEN
  RETURN SQLSTATE || ' ' || regexp_replace(SQLERRM, '[0-9a-f]{8}-[0-9a-f-]{27}', 'T');
END;
$$;
\set ECHO all

-- An even rate: a grant at once, the next 10 ms later, and no ticket, for there is nothing to give back.
SELECT dbos_sys.register_limit('even', rate => 100);
SELECT * FROM dbos_sys.acquire('even');
SELECT * FROM dbos_sys.acquire('even');
SELECT * FROM dbos_sys.acquire('even', key => 'tenant-a');
-- Up to 100 ms ahead; then there is a ticket, and a time to come back.
SELECT count(*) FILTER (WHERE a.granted), max(a.wait_ms) FILTER (WHERE a.granted), max(a.wait_ms) FILTER (WHERE NOT a.granted)
FROM generate_series(1, 9) AS g(i), LATERAL dbos_sys.acquire('even', key => 'k' || g.i) AS a;
SELECT t.ticket FROM dbos_ops.limit_tickets AS t WHERE t.state = 'waiting' \gset
SELECT pg_temp.pass_time(60);
SELECT granted, ticket IS NULL AS no_ticket, wait_ms FROM dbos_sys.acquire('even', ticket => :'ticket');
SELECT pg_temp.said(format('SELECT dbos_sys.acquire(''even'', ticket => %L)', :'ticket'));

-- A burst is what comes beyond it at once; after a pause it is there again, and no more than that.
SELECT dbos_sys.register_limit('burst', rate => 10, burst => 4);
SELECT array_agg(a.wait_ms ORDER BY g.i) FROM generate_series(1, 6) AS g(i), LATERAL dbos_sys.acquire('burst', key => g.i::text) AS a;
SELECT pg_temp.pass_time(3600000);
SELECT array_agg(a.wait_ms ORDER BY g.i) FROM generate_series(1, 6) AS g(i), LATERAL dbos_sys.acquire('burst', key => g.i::text) AS a;
-- In any window at most rate × w + burst and the one that opens it, whoever asks how often.
SELECT kind, count(*) FROM pg_temp.ask('p1', 'burst', ARRAY(SELECT 'b' || i FROM generate_series(1, 100) AS i), array_fill('k'::text, ARRAY[100])) GROUP BY 1;
CREATE TEMPORARY TABLE grants AS SELECT * FROM pg_temp.drain('p1', 'burst', 9000);
SELECT count(*) AS grants, count(*) FILTER (WHERE a.grants > 10 * w.ms / 1000.0 + 4 + 1) AS windows_exceeded
FROM (VALUES (100), (500), (1000), (3000)) AS w(ms), pg_temp.grants AS g,
LATERAL (SELECT count(*) AS grants FROM pg_temp.grants AS o WHERE o.at_ms BETWEEN g.at_ms AND g.at_ms + w.ms) AS a;
SELECT count(*) BETWEEN 86 AND 92 AS at_the_rate FROM pg_temp.grants;

-- The clock set back: nobody waits for the old time.
SELECT pg_temp.pass_time(-86400000);
SELECT granted, wait_ms FROM dbos_sys.acquire('even');
SELECT pg_temp.pass_time(86400000);

-- Concurrency: permits, given back, renewed, or over by themselves.
SELECT dbos_sys.register_limit('pair', concurrency => 2);
SELECT granted, ticket, wait_ms FROM dbos_sys.acquire('pair', lease => '10 s') \gset a_
SELECT granted, ticket, wait_ms FROM dbos_sys.acquire('pair', lease => '10 s') \gset b_
SELECT granted, ticket, wait_ms FROM dbos_sys.acquire('pair', lease => '10 s') \gset c_
SELECT :'a_granted', :'b_granted', :'c_granted', :c_wait_ms;
-- Asked again by its holder a permit is the same permit.
SELECT granted, ticket = :'a_ticket' AS same, wait_ms FROM dbos_sys.acquire('pair', ticket => :'a_ticket');
SELECT dbos_sys.release(:'a_ticket');
-- Kept for who is about to come.
SELECT granted FROM dbos_sys.acquire('pair', key => 'other');
SELECT granted, ticket = :'c_ticket' AS same, wait_ms FROM dbos_sys.acquire('pair', ticket => :'c_ticket', lease => '11 s');
SELECT ends_at - dbos_sys.now_ms() AS lease FROM dbos_ops.limit_tickets WHERE ticket = :'c_ticket';
SELECT pg_temp.said(format('SELECT dbos_sys.release(%L)', :'a_ticket'));
SELECT pg_temp.pass_time(6000);
SELECT held FROM dbos_sys.renew(ARRAY[:'b_ticket', :'a_ticket'], '10 s') ORDER BY 1;
SELECT pg_temp.pass_time(6000);
-- Of the two that were held, one was renewed; the other's lease is over, and its permit is free.
SELECT name, waiting, holding FROM dbos_sys.limits() WHERE name = 'pair';
SELECT granted FROM dbos_sys.acquire('pair');
SELECT granted FROM dbos_sys.acquire('pair');
SELECT pg_temp.said(format('SELECT dbos_sys.release(%L)', :'c_ticket'));

-- A ticket that nobody comes for is forgotten and holds nobody up.
SELECT dbos_sys.register_limit('slow', rate => 1, per => '1 second');
SELECT granted FROM dbos_sys.acquire('slow');
SELECT granted, ticket FROM dbos_sys.acquire('slow') \gset
SELECT pg_temp.pass_time(30000);
SELECT granted, wait_ms FROM dbos_sys.acquire('slow');
SELECT pg_temp.said(format('SELECT dbos_sys.acquire(''slow'', ticket => %L)', :'ticket'));
SELECT waiting FROM dbos_sys.limits() WHERE name = 'slow';

-- A hold pauses everyone, also who has a slot and has not fetched it, and ends by itself.
SELECT dbos_sys.register_limit('calm', rate => 100);
SELECT count(*) FROM pg_temp.ask('p1', 'calm', ARRAY(SELECT 'c' || i FROM generate_series(1, 40) AS i), array_fill('k'::text, ARRAY[40])) WHERE kind = 'granted';
SELECT pg_temp.pass_time(60);
SELECT granted FROM dbos_sys.acquire('calm', key => 'other') \gset
SELECT dbos_sys.hold('calm', '30 s') - dbos_sys.now_ms() AS held_for;
SELECT kind, wait_ms FROM pg_temp.ask('p1', 'calm');
SELECT granted, wait_ms FROM dbos_sys.acquire('calm', key => 'third');
SELECT pg_temp.pass_time(29950);
SELECT kind, min(wait_ms) FROM pg_temp.ask('p1', 'calm') GROUP BY 1 ORDER BY 1;

-- Fair: 10 tenants of which one has 3,000 waiting and the others come with 150 each; a weight of 3 is three shares.
SELECT dbos_sys.register_limit('fair', rate => 1000, weights => '{"k1": 3}');
SELECT count(*) > 90 AS ahead FROM pg_temp.ask('big', 'fair', ARRAY(SELECT 'x' || i FROM generate_series(1, 3000) AS i), array_fill('k0'::text, ARRAY[3000])) WHERE kind = 'granted';
SELECT pg_temp.pass_time(200);
SELECT count(*) > 0 AS asked FROM pg_temp.ask('big', 'fair', ARRAY(SELECT 'y' || i FROM generate_series(1, 2700) AS i),
  ARRAY(SELECT 'k' || 1 + i % 9 FROM generate_series(1, 2700) AS i));
CREATE TEMPORARY TABLE shares AS
SELECT d.*, COALESCE(CASE WHEN d.name LIKE 'x%' THEN 'k0' ELSE 'k' || 1 + substr(d.name, 2)::integer % 9 END) AS key FROM pg_temp.drain('big', 'fair', 1200) AS d;
SELECT key, count(*) BETWEEN 0.9 * s.share AND 1.1 * s.share AS within_a_tenth
FROM (SELECT * FROM pg_temp.shares ORDER BY at_ms LIMIT 1000) AS g, LATERAL (SELECT 1000 / 12.0 * CASE g.key WHEN 'k1' THEN 3 ELSE 1 END AS share) AS s
GROUP BY key, s.share ORDER BY key;
-- A newcomer is served next, and an idle key has earned nothing.
SELECT pg_temp.pass_time(100);
SELECT kind, name, wait_ms < 20 AS next FROM pg_temp.ask('big', 'fair', ARRAY['new1', 'new2'], ARRAY['new', 'new']) WHERE name LIKE 'new%' ORDER BY 2 LIMIT 1;

-- A process that says nothing for its lease is gone: its permits come back, and its tickets with it.
SELECT dbos_sys.register_limit('one', concurrency => 1);
SELECT * FROM pg_temp.ask('p1', 'one', ARRAY['o1', 'o2'], ARRAY['', '']);
SELECT * FROM pg_temp.ask('p2', 'one', ARRAY['o3'], ARRAY['']);
SELECT pg_temp.pass_time(14000);
SELECT kind FROM pg_temp.ask('p2', 'one');
SELECT pg_temp.pass_time(2000);
SELECT * FROM pg_temp.ask('p2', 'one');
SELECT ticket, state, caller FROM dbos_ops.limit_tickets WHERE limit_name = 'one';
-- So is the incarnation of an executor that has ended, at once.
SELECT * FROM dbos_sys.limit_trip('shop', 'e1', 'i1', 15000, false, ARRAY['e'], ARRAY['one'], ARRAY[''], '{}', ARRAY['o3']);
SELECT kind FROM pg_temp.ask('p2', 'one', ARRAY['o4'], ARRAY['']);
SELECT dbos_sys.retire_executor('shop', 'e1', 'i1');
SELECT * FROM pg_temp.ask('p2', 'one');
-- Given back and handed on in the same call; asking twice is asking once; unknown limits are told.
SELECT * FROM pg_temp.ask('p2', 'one', ARRAY['o5', 'o6'], ARRAY['', ''], ARRAY['o4']);
SELECT * FROM pg_temp.ask('p2', 'one', ARRAY['o5', 'o6'], ARRAY['', '']);
SELECT * FROM pg_temp.ask('p2', 'nope', ARRAY['o7'], ARRAY['']);
SELECT * FROM pg_temp.ask('p2', 'one', p_releases => ARRAY['o5', 'gone'], p_holds => '{"one": 5000}');
-- A process that holds for nothing ends nobody's hold.
SELECT count(*) > 0 AS asked FROM pg_temp.ask('p2', 'one', p_holds => '{"one": 0}');
SELECT held_until - dbos_sys.now_ms() AS held_for FROM dbos_sys.limits() WHERE name = 'one';

-- The counters are what the tickets say.
SELECT l.name FROM dbos_ops.limits AS l
WHERE (l.waiting, l.taken) <> (SELECT count(*) FILTER (WHERE t.state = 'waiting'), count(*) FILTER (WHERE t.state <> 'waiting')
    FROM dbos_ops.limit_tickets AS t WHERE t.limit_name = l.name)
  OR (l.waiting, l.waiting_keys) <> (SELECT COALESCE(sum(k.waiting), 0), count(*) FILTER (WHERE k.waiting > 0) FROM dbos_ops.limit_keys AS k WHERE k.limit_name = l.name);

-- A default of asynchronous commits does not loosen a limit.
BEGIN;
SET LOCAL synchronous_commit = off;
SELECT granted FROM dbos_sys.acquire('even');
SHOW synchronous_commit;
ROLLBACK;

-- Refused, and nothing changed.
SELECT dbos_sys.acquire('nope');
SELECT dbos_sys.acquire('_dbos_x');
SELECT dbos_sys.acquire(NULL);
SELECT dbos_sys.acquire('pair', key => repeat('k', 10000));
SELECT dbos_sys.acquire('pair', holder => repeat('h', 10000));
SELECT dbos_sys.acquire('pair', lease => '0 s');
SELECT dbos_sys.acquire('pair', lease => '-1 s');
SELECT dbos_sys.acquire('pair', lease => '2 days');
SELECT dbos_sys.acquire('pair', lease => NULL);
SELECT dbos_sys.acquire('pair', ticket => 'from yesterday');
SELECT ticket FROM dbos_sys.acquire('pair', key => 'mine', holder => 'me') \gset
SELECT dbos_sys.acquire('one', ticket => 'o6');
SELECT pg_temp.said(format('SELECT dbos_sys.acquire(''pair'', ticket => %L, holder => ''you'')', :'ticket'));
SELECT pg_temp.said(format('SELECT dbos_sys.acquire(''one'', ticket => %L, holder => ''me'')', :'ticket'));
SELECT pg_temp.said(format('SELECT dbos_sys.acquire(''pair'', key => ''yours'', ticket => %L, holder => ''me'')', :'ticket'));
SELECT pg_temp.said(format('SELECT dbos_sys.acquire(''pair'', ticket => %L, holder => ''me'')', :'ticket'));
SELECT pg_temp.said(format('SELECT dbos_sys.release(%L)', :'ticket'));
SELECT pg_temp.said(format('SELECT dbos_sys.release(%L, ''you'')', :'ticket'));
SELECT pg_temp.said(format('SELECT * FROM dbos_sys.renew(ARRAY[%L])', :'ticket'));
SELECT held FROM dbos_sys.renew(ARRAY[:'ticket'], holder => 'me');
SELECT dbos_sys.release(:'ticket', 'me');
SELECT dbos_sys.release('o6');
SELECT * FROM dbos_sys.renew(ARRAY['o6']);
SELECT dbos_sys.release(NULL);
SELECT dbos_sys.release('from yesterday');
SELECT dbos_sys.renew(ARRAY['a', NULL]);
SELECT dbos_sys.renew(NULL);
SELECT dbos_sys.renew(ARRAY['a'], '0 s');
SELECT * FROM dbos_sys.limit_trip(NULL, NULL, NULL, 15000, false, '{}', '{}', '{}', '{}', '{}');
SELECT * FROM dbos_sys.limit_trip(NULL, NULL, 'p', 1, false, '{}', '{}', '{}', '{}', '{}');
SELECT * FROM dbos_sys.limit_trip(NULL, NULL, 'p', 15000, false, ARRAY['a'], '{}', '{}', '{}', '{}');
SELECT * FROM dbos_sys.limit_trip(NULL, NULL, 'p', 15000, false, ARRAY['a'], ARRAY['one'], ARRAY[repeat('k', 10000)], '{}', '{}');
SELECT * FROM dbos_sys.limit_trip(NULL, NULL, 'p', 15000, false, ARRAY['a'], ARRAY['one'], ARRAY[NULL], '{}', '{}');
