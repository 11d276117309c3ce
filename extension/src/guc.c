/*
 * All settings. Those that only SQL functions read stand here too: name, unit,
 * default and range have one place.
 */
#include "postgres.h"

#include "guc.h"

#include "miscadmin.h"
#include "nodes/pg_list.h"
#include "utils/guc.h"
#include "utils/varlena.h"

char	   *guc_databases;
char	   *guc_role;
int			guc_tick_interval;
bool		guc_quiet;

/* Read by SQL through current_setting(). */
static char *guc_fake_now;
static int	guc_grace;
static int	guc_reconnect_backoff;
static int	guc_prune_interval;
static int	guc_prune_budget;

static bool
check_databases(char **newval, void **extra, GucSource source)
{
	char	   *copy = pstrdup(*newval);
	List	   *names = NIL;
	bool		ok = SplitIdentifierString(copy, ',', &names);

	if (!ok)
		GUC_check_errdetail("List syntax is invalid.");
	else if (list_length(names) > GUC_DATABASES_MAX)
	{
		GUC_check_errdetail("At most %d databases can be named.", GUC_DATABASES_MAX);
		ok = false;
	}
	list_free(names);
	pfree(copy);
	return ok;
}

static bool
check_fake_now(char **newval, void **extra, GucSource source)
{
	size_t		length = strlen(*newval);

	if (length > 15 || strspn(*newval, "0123456789") != length)
	{
		GUC_check_errdetail("Must be empty or milliseconds since 1970.");
		return false;
	}
	return true;
}

List *
guc_database_list(void)
{
	List	   *names = NIL;

	/* The check hook has seen the syntax; the elements point into the copy. */
	if (!SplitIdentifierString(pstrdup(guc_databases), ',', &names))
		return NIL;
	return names;
}

static void
define_worker_settings(bool preloading)
{
	/*
	 * After startup a PGC_POSTMASTER setting can no longer be defined (FATAL).
	 * Without preload the name is still known, so that a configuration file
	 * that has it gives no warning in each session.
	 */
	DefineCustomStringVariable("dbos_sys.databases",
							   "Databases that background workers maintain.",
							   "Works only when dbos_sys is in shared_preload_libraries.",
							   &guc_databases, "dbos_sys",
							   preloading ? PGC_POSTMASTER : PGC_SIGHUP,
							   GUC_LIST_INPUT, check_databases, NULL, NULL);
	DefineCustomStringVariable("dbos_sys.role",
							   "Role under which the workers change workflows; never a superuser.",
							   "Empty: the owner of schema dbos or dbos_ops, else role dbos_sys_worker.",
							   &guc_role, "", PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("dbos_sys.tick_interval",
							"Time between two rounds of maintenance.",
							NULL, &guc_tick_interval, GUC_TICK_INTERVAL_DEFAULT,
							GUC_TICK_INTERVAL_MIN, GUC_TICK_INTERVAL_MAX,
							PGC_SIGHUP, GUC_UNIT_MS, NULL, NULL, NULL);
}

static void
define_sql_settings(void)
{
	DefineCustomBoolVariable("dbos_sys.quiet",
							 "Statements on dbos.workflow_status wake nobody by themselves.",
							 "The functions of dbos_sys set it and name what they made claimable.",
							 &guc_quiet, false, PGC_USERSET, 0, NULL, NULL, NULL);
	DefineCustomStringVariable("dbos_sys.fake_now",
							   "Time that dbos_sys takes as now, in milliseconds since 1970; for tests.",
							   "Empty: the server's clock.",
							   &guc_fake_now, "", PGC_SUSET, 0, check_fake_now, NULL, NULL);
	DefineCustomIntVariable("dbos_sys.grace",
							"Time in which a session of a suspect executor may come back.",
							NULL, &guc_grace, GUC_GRACE_DEFAULT, 0, GUC_GRACE_MAX,
							PGC_SIGHUP, GUC_UNIT_MS, NULL, NULL, NULL);
	DefineCustomIntVariable("dbos_sys.reconnect_backoff",
							"Longest pause between two attempts of a client to reconnect.",
							"After a server start no executor is declared dead before its lease and this time have passed.",
							&guc_reconnect_backoff, GUC_RECONNECT_BACKOFF_DEFAULT, 0,
							GUC_RECONNECT_BACKOFF_MAX,
							PGC_SIGHUP, GUC_UNIT_MS, NULL, NULL, NULL);
	DefineCustomIntVariable("dbos_sys.prune_interval",
							"Time between two rounds of pruning by maintenance.",
							"0: maintenance does not prune; CALL dbos_sys.prune() does.",
							&guc_prune_interval, GUC_PRUNE_INTERVAL_DEFAULT, 0, GUC_PRUNE_MAX,
							PGC_SIGHUP, GUC_UNIT_MS, NULL, NULL, NULL);
	DefineCustomIntVariable("dbos_sys.prune_budget",
							"Time that maintenance prunes in each prune_interval.",
							NULL, &guc_prune_budget, GUC_PRUNE_BUDGET_DEFAULT, 1, GUC_PRUNE_MAX,
							PGC_SIGHUP, GUC_UNIT_MS, NULL, NULL, NULL);
}

void
guc_init(bool preloading)
{
	define_worker_settings(preloading);
	define_sql_settings();
	MarkGUCPrefixReserved("dbos_sys");
}
