-- fail(): every error has a code of class WF, a message, and detail and hint only where there are some.
\set SHOW_CONTEXT never
\set ECHO errors
\getenv root PG_ABS_SRCDIR
\set setup :root /sql/include/setup.psql
\i :setup
\set ECHO all

SELECT dbos_sys.fail('WF010', 'message');
\echo :LAST_ERROR_SQLSTATE
SELECT dbos_sys.fail('WF010', 'message', 'Detail.');
SELECT dbos_sys.fail('WF010', 'message', NULL, 'Hint.');
SELECT dbos_sys.fail('WF010', 'message with % and "quotes"', 'Detail.', 'Hint.');
