COMMIT;
\set ON_ERROR_STOP :dbos_sys_stop
\unset dbos_sys_stop
\unset dbos_sys_first
\if :QUIET
\else
  \echo dbos_sys @VERSION@ is there. SELECT dbos_sys.install(); makes its tables, or takes over those of an official SDK.
\endif
