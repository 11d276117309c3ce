-- Cron: the grammar, and the times that follow from it, of the official TypeScript SDK 5.3.0, from whose own answers test/schedules keeps a
-- table. Days of the month and of the week must both fit. A local time that a clock change skips does not fire, one that it repeats fires
-- twice: both are times of the calendar as it was, and nothing is moved.

CREATE OR REPLACE FUNCTION dbos_sys.fail_cron(p_cron text, p_detail text)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  PERFORM dbos_sys.fail('WF001', format('cron is %s', dbos_sys.shown(p_cron)), p_detail,
    'Give [second] minute hour day-of-month month day-of-week, as ''30 2 * * MON-FRI'', or @hourly, @daily, @weekly, @monthly, @yearly.');
END;
$$;

-- What the six fields are called and may hold.
CREATE OR REPLACE FUNCTION dbos_sys.cron_bounds()
RETURNS TABLE (place integer, what text, low integer, high integer)
LANGUAGE sql
IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
  VALUES (1, 'second', 0, 59), (2, 'minute', 0, 59), (3, 'hour', 0, 23), (4, 'day of month', 1, 31), (5, 'month', 1, 12), (6, 'day of week', 0, 6)
$$;

-- Names of months and days of the week as numbers, wherever they stand in the field: whole names first.
CREATE OR REPLACE FUNCTION dbos_sys.cron_names(p_place integer, p_text text)
RETURNS text
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  v_names text[] := CASE p_place
    WHEN 5 THEN '{january,february,march,april,may,june,july,august,september,october,november,december}'::text[]
    WHEN 6 THEN '{sunday,monday,tuesday,wednesday,thursday,friday,saturday}'::text[] END;
  v_text text := lower(p_text);
BEGIN
  FOR i IN 1 .. COALESCE(cardinality(v_names), 0) LOOP
    v_text := replace(v_text, v_names[i], (i - (p_place = 6)::integer)::text);
  END LOOP;
  FOR i IN 1 .. COALESCE(cardinality(v_names), 0) LOOP
    v_text := replace(v_text, left(v_names[i], 3), (i - (p_place = 6)::integer)::text);
  END LOOP;
  RETURN upper(v_text);
END;
$$;

-- The numbers of a range with a step; NULL when they leave the field. A range that runs backwards goes on at the field's beginning.
CREATE OR REPLACE FUNCTION dbos_sys.cron_range(p_place integer, p_first integer, p_last integer, p_step integer)
RETURNS integer[]
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  v_field record;
  v_size integer;
BEGIN
  SELECT b.low, b.high INTO v_field FROM dbos_sys.cron_bounds() AS b WHERE b.place = p_place;
  -- The range 5-7 of days ends on a Sunday.
  IF p_step < 1 OR GREATEST(p_first, p_last) > 99999999 OR (p_first <= p_last
    AND p_first + (p_last - p_first) / p_step * p_step > v_field.high + (p_place = 6)::integer) THEN
    RETURN NULL;
  ELSIF p_first <= p_last THEN
    RETURN ARRAY(SELECT generate_series(p_first, p_last, p_step));
  END IF;
  v_size := v_field.high - v_field.low + 1;
  RETURN ARRAY(SELECT CASE WHEN p_first + o.n > v_field.high THEN p_first + o.n - v_size ELSE p_first + o.n END
    FROM generate_series(0, ((p_last - p_first) % v_size + v_size) % v_size, p_step) AS o(n));
END;
$$;

-- A field as its allowed numbers and the marks of days (L, LW, L-3, 15W; 5L, 5#2); NULL when it is none.
CREATE OR REPLACE FUNCTION dbos_sys.cron_field(p_place integer, p_text text)
RETURNS text[]
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  v_field record;
  v_token text;
  v_range text[];
  v_more integer[];
  v_numbers integer[] := '{}';
  v_marks text[] := '{}';
BEGIN
  SELECT b.low, b.high INTO v_field FROM dbos_sys.cron_bounds() AS b WHERE b.place = p_place;
  FOREACH v_token IN ARRAY string_to_array(dbos_sys.cron_names(p_place, p_text), ',') LOOP
    v_token := regexp_replace(v_token, '\*', format('%s-%s', v_field.low, v_field.high));
    v_range := regexp_match(v_token, '^(\d{1,8})-(\d{1,8})(?:/(\d{1,8}))?$');
    IF v_range IS NOT NULL THEN
      v_more := dbos_sys.cron_range(p_place, v_range[1]::integer, v_range[2]::integer, COALESCE(v_range[3], '1')::integer);
      IF v_more IS NULL THEN
        RETURN NULL;
      END IF;
      v_numbers := v_numbers || v_more;
    ELSIF v_token ~ '^\d{1,8}$' THEN
      v_numbers := v_numbers || v_token::integer;
    ELSIF (p_place = 4 AND v_token ~ '^(L|LW|L-(0?[1-9]|[12]\d|30)|(0?[1-9]|[12]\d|3[01])W)$') OR (p_place = 6 AND v_token ~ '^[0-7](L|#[1-5])$') THEN
      v_marks := v_marks || v_token;
    ELSE
      RETURN NULL;
    END IF;
  END LOOP;
  IF EXISTS (SELECT FROM unnest(v_numbers) AS n(value) WHERE n.value NOT BETWEEN v_field.low AND v_field.high + (p_place = 6)::integer) THEN
    RETURN NULL;
  END IF;
  RETURN ARRAY(SELECT DISTINCT CASE WHEN p_place = 6 THEN n.value % 7 ELSE n.value END AS value FROM unnest(v_numbers) AS n(value) ORDER BY value)::text[]
    || v_marks;
END;
$$;

-- The fields of a cron text: numbers in ascending order, marks of days apart. WF001 when it is none.
CREATE OR REPLACE FUNCTION dbos_sys.parse_cron(
  p_cron text, OUT seconds integer[], OUT minutes integer[], OUT hours integer[], OUT days integer[], OUT months integer[], OUT weekdays integer[],
  OUT day_marks text[], OUT weekday_marks text[])
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  v_text text;
  v_texts text[];
  v_fields text[];
  v_all jsonb := '{}';
BEGIN
  SELECT n.cron INTO v_text
  FROM (VALUES ('@yearly', '0 0 1 1 *'), ('@annually', '0 0 1 1 *'), ('@monthly', '0 0 1 * *'), ('@weekly', '0 0 * * 0'), ('@daily', '0 0 * * *'),
    ('@midnight', '0 0 * * *'), ('@hourly', '0 * * * *')) AS n(name, cron) WHERE n.name = lower(btrim(p_cron, E' \t\n\r\f\x0b'));
  v_text := COALESCE(v_text, p_cron);
  IF v_text IS NULL OR v_text = '' OR v_text ~ '[^a-zA-Z0-9*/,#? -]' THEN
    PERFORM dbos_sys.fail_cron(p_cron, CASE WHEN ltrim(v_text) LIKE '@%' THEN 'There is no such shorthand.' WHEN v_text <> '' THEN format('The character %s is not allowed.',
      dbos_sys.shown(substring(v_text FROM '[^a-zA-Z0-9*/,#? -]'))) END);
  END IF;
  v_texts := regexp_split_to_array(btrim(v_text, ' '), ' +');
  IF cardinality(v_texts) NOT IN (5, 6) OR btrim(v_text, ' ') = '' THEN
    PERFORM dbos_sys.fail_cron(p_cron, format('Number of fields: %s; there are 5, or 6 with the second first.', cardinality(array_remove(v_texts, ''))));
  ELSIF cardinality(v_texts) = 5 THEN
    v_texts := ARRAY['0'] || v_texts;
  END IF;
  FOR i IN 1 .. 6 LOOP
    v_fields := dbos_sys.cron_field(i, CASE WHEN i IN (4, 6) AND v_texts[i] = '?' THEN '*' ELSE v_texts[i] END);
    IF v_fields IS NULL THEN
      PERFORM dbos_sys.fail_cron(p_cron, (SELECT format('%s is no %s: %s to %s, lists, ranges and steps as 1,3, 1-5, */2%s.', dbos_sys.shown(v_texts[i]), b.what, b.low,
        b.high, CASE i WHEN 4 THEN ', L, L-2, LW, 15W' WHEN 5 THEN ', JAN to DEC' WHEN 6 THEN ' (7 is Sunday too), SUN to SAT, 5L, 5#2' ELSE '' END)
        FROM dbos_sys.cron_bounds() AS b WHERE b.place = i));
    END IF;
    v_all := v_all || jsonb_build_object(i::text, v_fields);
  END LOOP;
  SELECT ARRAY(SELECT v.t::integer FROM jsonb_array_elements_text(v_all -> '1') AS v(t)), ARRAY(SELECT v.t::integer FROM jsonb_array_elements_text(v_all -> '2') AS v(t)),
    ARRAY(SELECT v.t::integer FROM jsonb_array_elements_text(v_all -> '3') AS v(t)),
    ARRAY(SELECT v.t::integer FROM jsonb_array_elements_text(v_all -> '4') AS v(t) WHERE v.t ~ '^\d+$'),
    ARRAY(SELECT v.t::integer FROM jsonb_array_elements_text(v_all -> '5') AS v(t)),
    ARRAY(SELECT v.t::integer FROM jsonb_array_elements_text(v_all -> '6') AS v(t) WHERE v.t ~ '^\d+$'),
    ARRAY(SELECT v.t FROM jsonb_array_elements_text(v_all -> '4') AS v(t) WHERE v.t !~ '^\d+$'),
    ARRAY(SELECT v.t FROM jsonb_array_elements_text(v_all -> '6') AS v(t) WHERE v.t !~ '^\d+$')
  INTO seconds, minutes, hours, days, months, weekdays, day_marks, weekday_marks;
  IF day_marks = '{}' AND NOT EXISTS (
    SELECT FROM unnest(months) AS m(month), unnest(days) AS d(day)
    WHERE d.day <= CASE WHEN m.month = 2 THEN 29 WHEN m.month IN (4, 6, 9, 11) THEN 30 ELSE 31 END) THEN
    PERFORM dbos_sys.fail_cron(p_cron, format('No month of %s has a day of %s.', dbos_sys.shown(v_texts[5]), dbos_sys.shown(v_texts[4])));
  END IF;
END;
$$;

-- Whether marks of the day of the month name this day. 15W is the working day next to the 15th within its month.
CREATE OR REPLACE FUNCTION dbos_sys.cron_marks_day(p_marks text[], p_day date)
RETURNS boolean
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  v_day integer := EXTRACT(day FROM p_day);
  v_last integer := EXTRACT(day FROM date_trunc('month', p_day::timestamp) + interval '1 month -1 day');
BEGIN
  RETURN EXISTS (
    SELECT FROM unnest(p_marks) AS m(mark),
    LATERAL (SELECT CASE WHEN m.mark IN ('L', 'LW') THEN v_last WHEN m.mark LIKE '%W' THEN rtrim(m.mark, 'W')::integer
      ELSE v_last - substr(m.mark, 3)::integer END AS day) AS t,
    LATERAL (SELECT EXTRACT(dow FROM p_day + (t.day - v_day))::integer AS weekday) AS w
    WHERE t.day BETWEEN 1 AND v_last AND v_day = CASE WHEN m.mark NOT LIKE '%W' OR w.weekday BETWEEN 1 AND 5 THEN t.day
      WHEN w.weekday = 6 THEN CASE WHEN t.day = 1 THEN 3 ELSE t.day - 1 END
      ELSE CASE WHEN t.day = v_last THEN t.day - 2 ELSE t.day + 1 END END);
END;
$$;

-- Whether marks of the day of the week name this day: 5L the last Friday of its month, 5#2 the second.
CREATE OR REPLACE FUNCTION dbos_sys.cron_marks_weekday(p_marks text[], p_day date)
RETURNS boolean
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN EXISTS (
    SELECT FROM unnest(p_marks) AS m(mark)
    WHERE left(m.mark, 1)::integer % 7 = EXTRACT(dow FROM p_day) AND CASE WHEN m.mark LIKE '%L'
      THEN date_trunc('month', p_day::timestamp) <> date_trunc('month', p_day::timestamp + interval '7 days')
      ELSE (EXTRACT(day FROM p_day)::integer - 1) / 7 + 1 = substr(m.mark, 3)::integer END);
END;
$$;

-- Local time minus UTC at an instant, all in ms.
CREATE OR REPLACE FUNCTION dbos_sys.zone_offset(p_ms bigint, p_zone text)
RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN (EXTRACT(epoch FROM to_timestamp(p_ms / 1000) AT TIME ZONE p_zone) * 1000)::bigint - p_ms / 1000 * 1000;
END;
$$;

-- The offsets at the beginning and at the end of a local day (the ms of its midnight as if that were UTC), and the first instant of the second.
CREATE OR REPLACE FUNCTION dbos_sys.zone_day(p_day bigint, p_zone text, OUT before bigint, OUT after bigint, OUT changes_at bigint)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  -- A local date lies within these bounds wherever it is: offsets are -12 to +14 hours.
  v_low bigint := p_day - 14 * 3600000;
  v_middle bigint;
BEGIN
  changes_at := p_day + (24 + 12) * 3600000;
  before := dbos_sys.zone_offset(v_low, p_zone);
  after := dbos_sys.zone_offset(changes_at, p_zone);
  WHILE before <> after AND changes_at - v_low > 1000 LOOP
    v_middle := v_low + (changes_at - v_low) / 2000 * 1000;
    IF dbos_sys.zone_offset(v_middle, p_zone) = before THEN
      v_low := v_middle;
    ELSE
      changes_at := v_middle;
    END IF;
  END LOOP;
END;
$$;

-- The first instant after `p_after` whose local time on this day fits; NULL when there is none. A repeated local time has two instants, a
-- skipped one none.
CREATE OR REPLACE FUNCTION dbos_sys.cron_on_day(
  p_seconds integer[], p_minutes integer[], p_hours integer[], p_day bigint, p_before bigint, p_after_change bigint, p_changes_at bigint, p_after bigint)
RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  v_least bigint := LEAST(p_before, p_after_change);
  v_most bigint := GREATEST(p_before, p_after_change);
  v_hour integer;
  v_minute integer;
  v_second integer;
  v_local bigint;
  v_best bigint := 9223372036854775807;
BEGIN
  FOREACH v_hour IN ARRAY p_hours LOOP
    EXIT WHEN p_day + v_hour * 3600000 - v_most >= v_best;
    CONTINUE WHEN p_day + (v_hour + 1) * 3600000 - v_least <= p_after;
    FOREACH v_minute IN ARRAY p_minutes LOOP
      EXIT WHEN p_day + v_hour * 3600000 + v_minute * 60000 - v_most >= v_best;
      CONTINUE WHEN p_day + v_hour * 3600000 + (v_minute + 1) * 60000 - v_least <= p_after;
      FOREACH v_second IN ARRAY p_seconds LOOP
        v_local := p_day + v_hour * 3600000 + v_minute * 60000 + v_second * 1000;
        IF v_local - p_before > p_after AND v_local - p_before < v_best AND v_local - p_before < p_changes_at THEN
          v_best := v_local - p_before;
        END IF;
        IF v_local - p_after_change > p_after AND v_local - p_after_change < v_best AND v_local - p_after_change >= p_changes_at THEN
          v_best := v_local - p_after_change;
        END IF;
        EXIT WHEN v_local - v_most >= v_best;
      END LOOP;
    END LOOP;
  END LOOP;
  RETURN NULLIF(v_best, 9223372036854775807);
END;
$$;

-- The instants (ms since 1970) of a cron text after one and before another, at most so many. One that is a hundred years ahead is none.
CREATE OR REPLACE FUNCTION dbos_sys.cron_instants(p_cron text, p_zone text, p_after bigint, p_before bigint, p_limit integer)
RETURNS SETOF bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  v_cron record;
  v_zone record;
  v_after bigint := p_after;
  v_day date;
  v_until date;
  v_end date := (to_timestamp(p_before / 1000) AT TIME ZONE p_zone)::date + 1;
  v_next bigint;
  v_left integer := p_limit;
BEGIN
  SELECT c.* INTO v_cron FROM dbos_sys.parse_cron(p_cron) AS c;
  v_day := (to_timestamp(p_after / 1000) AT TIME ZONE p_zone)::date;
  v_until := v_day + 36600;
  WHILE v_day < v_until AND v_day <= v_end AND v_left > 0 LOOP
    IF NOT EXTRACT(month FROM v_day) = ANY (v_cron.months) THEN
      v_day := date_trunc('month', v_day::timestamp) + interval '1 month';
      CONTINUE;
    ELSIF (EXTRACT(day FROM v_day) = ANY (v_cron.days) OR (v_cron.day_marks <> '{}' AND dbos_sys.cron_marks_day(v_cron.day_marks, v_day)))
      AND (EXTRACT(dow FROM v_day) = ANY (v_cron.weekdays) OR (v_cron.weekday_marks <> '{}' AND dbos_sys.cron_marks_weekday(v_cron.weekday_marks, v_day))) THEN
      SELECT (v_day - date '1970-01-01')::bigint * 86400000 AS midnight, z.* INTO v_zone
      FROM dbos_sys.zone_day((v_day - date '1970-01-01')::bigint * 86400000, p_zone) AS z;
      LOOP
        v_next := dbos_sys.cron_on_day(v_cron.seconds, v_cron.minutes, v_cron.hours, v_zone.midnight, v_zone.before, v_zone.after, v_zone.changes_at, v_after);
        EXIT WHEN v_next IS NULL OR v_left = 0;
        IF v_next >= p_before THEN
          RETURN;
        END IF;
        v_after := v_next;
        v_until := v_day + 36600;
        v_left := v_left - 1;
        RETURN NEXT v_next;
      END LOOP;
    END IF;
    v_day := v_day + 1;
  END LOOP;
END;
$$;

-- Whether the times depend on the zone (its offsets are whole quarters of an hour).
CREATE OR REPLACE FUNCTION dbos_sys.cron_needs_zone(p_cron text)
RETURNS boolean
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  v_cron record;
BEGIN
  SELECT c.* INTO v_cron FROM dbos_sys.parse_cron(p_cron) AS c;
  RETURN cardinality(v_cron.hours) < 24 OR cardinality(v_cron.days) < 31 OR cardinality(v_cron.months) < 12 OR cardinality(v_cron.weekdays) < 7
    OR EXISTS (SELECT FROM unnest(v_cron.minutes) AS m(minute) WHERE (m.minute + 15) % 60 <> ALL (v_cron.minutes));
END;
$$;

-- The zone's name as PostgreSQL and the SDKs know it; WF001 for POSIX forms as UTC+5, whose sign nobody remembers, and for what is unknown.
CREATE OR REPLACE FUNCTION dbos_sys.check_zone(p_zone text)
RETURNS text
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  v_name text := (SELECT z.name FROM pg_timezone_names AS z WHERE lower(z.name) = lower(p_zone) AND z.name !~* '^(posix|right)/|^(posixrules|factory|localtime)$' LIMIT 1);
BEGIN
  IF v_name IS NULL THEN
    PERFORM dbos_sys.fail('WF001', format('time zone is %s', dbos_sys.shown(p_zone)), 'It is no name of the IANA time zone database.',
      'Give a name as ''UTC'' or ''Europe/Paris''; SELECT name FROM pg_timezone_names lists them.');
  END IF;
  RETURN v_name;
END;
$$;

CREATE OR REPLACE FUNCTION dbos_sys.cron_times(p_cron text, p_zone text DEFAULT 'UTC', p_after timestamptz DEFAULT NULL, p_count integer DEFAULT 5)
RETURNS SETOF timestamptz
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  IF (p_count BETWEEN 1 AND 10000) IS NOT TRUE THEN
    PERFORM dbos_sys.fail('WF001', format('count is %s', COALESCE(p_count::text, 'NULL')), NULL, 'Give 1 to 10000.');
  ELSIF p_after NOT BETWEEN '2000-01-01 00:00+00' AND '2200-01-01 00:00+00' THEN
    PERFORM dbos_sys.fail('WF001', format('time is %s', p_after), NULL, 'Give a time from the years 2000 to 2200.');
  END IF;
  RETURN QUERY SELECT to_timestamp(c.at / 1000) FROM dbos_sys.cron_instants(p_cron, dbos_sys.check_zone(p_zone),
    COALESCE((EXTRACT(epoch FROM p_after) * 1000)::bigint, dbos_sys.now_ms()), 7289654400000, p_count) AS c(at);
END;
$$;
COMMENT ON FUNCTION dbos_sys.cron_times(text, text, timestamptz, integer) IS
'When a cron text fires next in a time zone: five fields (minute, hour, day of month, month, day of week) or six with the second first, with the
grammar of the TypeScript SDK 5.3.0: names, lists, ranges (backwards ones wrap), steps, L, L-n, LW, nW, nL, n#m, @daily and the like. Day of month
and day of week must both fit. A local time that a clock change skips does not fire, a repeated one fires twice. Errors: WF001.';
