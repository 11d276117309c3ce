-- The one place that raises. Class WF is outside the classes that the SQL standard reserves:
--   WF001 invalid argument               WF002 not installed, or another schema version   WF003 install refused
--   WF004 extension and client differ    WF010 no such workflow                           WF011 id belongs to another workflow
--   WF012 deduplicated                   WF013 wrong transition                           WF014 step recorded under another name
--   WF015 wait inside a transaction      WF016 not the owner any more                     WF020 executor id is in use
--   WF021 this incarnation has ended     WF022 no session bears the watched name               WF023 executor id is shared
--   WF024 SDK without owner fencing      WF030 unknown queue                              WF031 queue setting not supported here
--   WF032 message destination unknown    WF033 unknown application or version         WF036 queue has waiting workflows
--   WF040 unknown limit                  WF041 ticket unknown or over                 WF042 ticket of another holder, limit or key
--   WF043 limit is in use                WF050 the server is a standby              WF051 no such retention policy
--   WF052 archive lacks a partition       WF053 archive has been altered                WF054 archived row does not fit
--   WF055 archive partition not exported or unknown                                WF056 pg_cron is not in this database
--   WF060 unknown schedule                WF061 schedule exists
--   WF062 only its SDK fires the schedule, or writes its context
-- Codes are never given another meaning. Message: lower case, no full stop; detail: why; hint: what to do next.
CREATE OR REPLACE FUNCTION dbos_sys.fail(p_code text, p_message text, p_detail text DEFAULT NULL, p_hint text DEFAULT NULL)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  IF p_detail IS NULL AND p_hint IS NULL THEN
    RAISE EXCEPTION USING ERRCODE = p_code, MESSAGE = p_message;
  ELSIF p_hint IS NULL THEN
    RAISE EXCEPTION USING ERRCODE = p_code, MESSAGE = p_message, DETAIL = p_detail;
  ELSIF p_detail IS NULL THEN
    RAISE EXCEPTION USING ERRCODE = p_code, MESSAGE = p_message, HINT = p_hint;
  END IF;
  RAISE EXCEPTION USING ERRCODE = p_code, MESSAGE = p_message, DETAIL = p_detail, HINT = p_hint;
END;
$$;
COMMENT ON FUNCTION dbos_sys.fail(text, text, text, text) IS 'Raises an error of class WF; for the functions of this schema.';
