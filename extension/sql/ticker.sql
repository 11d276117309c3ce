-- The ticker: who ticks, and since when ticks have come as they should. One row, made by whoever comes first.

-- When this server began to know sessions. One that restarts in place after the crash of a backend keeps its start time, but begins its
-- statistics anew: then all sessions are gone at once, and only this tells. Whoever resets the archiver's statistics makes it look later than
-- it was; it never looks earlier, for the later of both times counts.
CREATE OR REPLACE FUNCTION dbos_sys.server_start()
RETURNS timestamptz
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN GREATEST(pg_postmaster_start_time(), (SELECT a.stats_reset FROM pg_stat_archiver AS a));
END;
$$;

-- Until when the ticks came as they should: the last of them or, while who ticks rests until `next_tick` (rest_tick), now. A rest ends with
-- the first executor or watch that comes, for it began without any. NULL before the first tick.
CREATE OR REPLACE FUNCTION dbos_sys.ticked_until(p_now bigint)
RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  v_ticker record;
BEGIN
  SELECT t.last_tick, t.next_tick, t.server_start INTO v_ticker FROM dbos_ops.ticker AS t;
  IF v_ticker.next_tick IS NULL OR v_ticker.server_start <> dbos_sys.server_start() THEN
    RETURN v_ticker.last_tick;
  END IF;
  RETURN GREATEST(v_ticker.last_tick, LEAST(p_now, v_ticker.next_tick,
    (SELECT min(CASE WHEN e.started_at > v_ticker.last_tick THEN e.started_at ELSE e.last_seen END) FROM dbos_ops.executors AS e WHERE e.ended_at IS NULL),
    (SELECT min(w.since) FROM dbos_ops.watches AS w)));
END;
$$;

-- Whether somebody keeps the ticks going: somebody else than sessions named `p_besides`, for who ticks because nobody else does must not take
-- its own ticks for another's, and stop.
CREATE OR REPLACE FUNCTION dbos_sys.is_maintained(p_now bigint, p_besides text DEFAULT NULL)
RETURNS boolean
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN COALESCE(dbos_sys.ticked_until(p_now) > p_now - 5000, false)
    AND NOT EXISTS (SELECT FROM dbos_ops.ticker AS t WHERE t.ticked_by = p_besides AND t.next_tick IS NULL);
END;
$$;

-- How long the pause between two ticks usually is: pg_cron's shortest may be a minute. The shorter of the last two, so that one downtime does not
-- make the next look usual; five minutes at most.
CREATE OR REPLACE FUNCTION dbos_sys.tick_pause()
RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN LEAST(COALESCE((SELECT LEAST(t.pause_ms, t.pause_before_ms) FROM dbos_ops.ticker AS t), 0), 300000);
END;
$$;

-- The longest pause between two ticks that maintain() allows: five minutes, and one for who calls it by the minute and comes late.
CREATE OR REPLACE FUNCTION dbos_sys.longest_pause()
RETURNS bigint
LANGUAGE sql
IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
  SELECT 360000::bigint
$$;

-- Since when ticks have come as maintain() allows, with the server up: what became due since then has been missed by nobody. NULL: not known, or they
-- do not come any more.
CREATE OR REPLACE FUNCTION dbos_sys.ticked_since(p_now bigint)
RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN (
    SELECT t.steady_since FROM dbos_ops.ticker AS t
    WHERE t.server_start = dbos_sys.server_start() AND dbos_sys.ticked_until(p_now) >= p_now - dbos_sys.longest_pause());
END;
$$;

-- Whether ticks come, however far apart.
CREATE OR REPLACE FUNCTION dbos_sys.is_ticking(p_now bigint)
RETURNS boolean
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN COALESCE(dbos_sys.ticked_until(p_now) > p_now - GREATEST(5000, 2 * dbos_sys.tick_pause()), false);
END;
$$;

-- Whoever notes an executor notes the server too: the first tick of all may come after a restart, and has to see that.
CREATE OR REPLACE FUNCTION dbos_sys.note_server()
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  IF NOT EXISTS (SELECT FROM dbos_ops.ticker) THEN
    INSERT INTO dbos_ops.ticker (one, hold_from, hold_until, server_start) VALUES (true, 0, 0, dbos_sys.server_start()) ON CONFLICT DO NOTHING;
  END IF;
END;
$$;

-- A longer pause between two heartbeats, or between two ticks where they usually come closer, may have been a downtime.
CREATE OR REPLACE FUNCTION dbos_sys.heartbeat_gap()
RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN GREATEST(5000, 5 * dbos_sys.setting_ms('tick_interval', '1s'));
END;
$$;

-- Whether an executor's heartbeats came all the time since `p_since`: then the server was up and could be reached, and only nobody ticked. That is as
-- good as ticks of that executor's would have been. Watched sessions nobody looked at meanwhile, so where there are watches it counts for nothing.
CREATE OR REPLACE FUNCTION dbos_sys.only_ticks_failed(p_since bigint, p_now bigint)
RETURNS boolean
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN NOT EXISTS (SELECT FROM dbos_ops.watches)
    AND EXISTS (
      SELECT FROM dbos_ops.executors AS e
      WHERE e.steady_since <= p_since + dbos_sys.heartbeat_gap() AND e.last_seen >= p_now - dbos_sys.heartbeat_gap());
END;
$$;
