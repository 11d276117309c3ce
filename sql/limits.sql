-- Limits: registry, changes, holds, and what is refused.
\set SHOW_CONTEXT never
\set ECHO errors
\getenv root PG_ABS_SRCDIR
\set setup :root /sql/include/setup.psql
\i :setup
TRUNCATE dbos_ops.limits, dbos_ops.limit_keys, dbos_ops.limit_tickets, dbos_ops.limit_callers;
\set ECHO all

SELECT dbos_sys.register_limit('stripe', rate => 100, per => '1 second', burst => 0, concurrency => 10);
SELECT dbos_sys.register_limit('mail', rate => 7, per => '1 minute', weights => '{"vip": 3}');
SELECT dbos_sys.register_limit('gpu', concurrency => 2);
SELECT * FROM dbos_sys.limits();
-- Registered again, the bounds are those of the last call; altered, only what is named.
SELECT dbos_sys.register_limit('stripe', rate => 50);
SELECT dbos_sys.alter_limit('stripe', burst => 5);
SELECT dbos_sys.alter_limit('mail', per => '2 minutes', weights => '{"vip": 0.5}');
SELECT dbos_sys.alter_limit('gpu', concurrency => 3);
SELECT name, rate, per, burst, concurrency, weights FROM dbos_sys.limits();
-- The interval is rounded up: 7 a minute are never more than 7 a minute.
SELECT interval_ns, interval_ns * 7 >= 120000000000 AS within FROM dbos_ops.limits WHERE name = 'mail';

-- A hold: the longest counts, 0 ends it.
SELECT dbos_sys.hold('stripe', '30 s');
SELECT dbos_sys.hold('stripe', '10 s');
SELECT held_until - dbos_sys.now_ms() AS held_for FROM dbos_sys.limits() WHERE name = 'stripe';
SELECT dbos_sys.hold('stripe', '0 s');
SELECT held_until FROM dbos_sys.limits() WHERE name = 'stripe';

-- Dropped: refused while somebody waits or holds.
SELECT granted FROM dbos_sys.acquire('gpu');
SELECT dbos_sys.drop_limit('gpu');
SELECT dbos_sys.drop_limit('gpu', force => true);
SELECT dbos_sys.drop_limit('mail');
SELECT name FROM dbos_sys.limits();
SELECT granted FROM dbos_sys.acquire('gpu');

-- Refused, and nothing changed.
SELECT dbos_sys.register_limit('bad');
SELECT dbos_sys.register_limit('bad', rate => 0);
SELECT dbos_sys.register_limit('bad', rate => -1);
SELECT dbos_sys.register_limit('bad', rate => 'NaN');
SELECT dbos_sys.register_limit('bad', rate => 'Infinity');
SELECT dbos_sys.register_limit('bad', rate => 1e12);
SELECT dbos_sys.register_limit('bad', rate => 1e-9);
SELECT dbos_sys.register_limit('bad', rate => 1, per => '0 s');
SELECT dbos_sys.register_limit('bad', rate => 1, per => '-1 s');
SELECT dbos_sys.register_limit('bad', rate => 1, per => '1 month');
SELECT dbos_sys.register_limit('bad', rate => 1, per => NULL);
SELECT dbos_sys.register_limit('bad', rate => 1, burst => -1);
SELECT dbos_sys.register_limit('bad', rate => 1, burst => NULL);
SELECT dbos_sys.register_limit('bad', burst => 3, concurrency => 1);
SELECT dbos_sys.register_limit('bad', concurrency => 0);
SELECT dbos_sys.register_limit('bad', concurrency => -5);
SELECT dbos_sys.register_limit('bad', rate => 1, weights => '[]');
SELECT dbos_sys.register_limit('bad', rate => 1, weights => NULL);
SELECT dbos_sys.register_limit('bad', rate => 1, weights => '{"a": 0}');
SELECT dbos_sys.register_limit('bad', rate => 1, weights => '{"a": -2}');
SELECT dbos_sys.register_limit('bad', rate => 1, weights => '{"a": "NaN"}');
SELECT dbos_sys.register_limit('bad', rate => 1, weights => jsonb_build_object(repeat('k', 10000), 1));
SELECT dbos_sys.register_limit('_dbos_bad', rate => 1);
SELECT dbos_sys.register_limit(' ', rate => 1);
SELECT dbos_sys.register_limit(NULL, rate => 1);
SELECT dbos_sys.register_limit(repeat('n', 10000), rate => 1);
SELECT dbos_sys.alter_limit('stripe', rate => 0);
SELECT dbos_sys.alter_limit('stripe', concurrency => 0);
SELECT dbos_sys.alter_limit('nope', rate => 1);
SELECT dbos_sys.drop_limit('nope');
SELECT dbos_sys.hold('nope', '1 s');
SELECT dbos_sys.hold('stripe', '-1 s');
SELECT dbos_sys.hold('stripe', '31 days');
SELECT dbos_sys.hold('stripe', NULL);
SELECT name, rate, burst, concurrency, held_until FROM dbos_sys.limits();
