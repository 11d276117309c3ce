/*
 * The worker of one database: passes wake-ups on, and calls the ticks. It knows
 * no SQL but SELECT dbos_sys.<verb>_tick().
 *
 * The ticks run in rounds. After a round that changed nothing rest_tick() says how
 * long nothing will be due; until then the worker sleeps, unless a commit stirs it
 * (wakeup.c) or the settings change.
 *
 * The session belongs to the bootstrap superuser, because a role that owns tables
 * usually may not log in. No SQL runs as that user: a tick, its commit included,
 * runs as a role that is no superuser, inside a security-restricted operation.
 * Triggers on the tables, which their owner may write, can so neither RESET ROLE
 * nor leave anything behind that would run later.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_extension.h"
#include "catalog/pg_namespace.h"
#include "catalog/pg_type.h"
#include "commands/dbcommands.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "storage/ipc.h"
#include "tcop/tcopprot.h"
#include "utils/acl.h"
#include "utils/fmgroids.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
#include "utils/timeout.h"

#include "clock.h"
#include "guc.h"
#include "shmem.h"
#include "wakeup.h"
#include "worker.h"

/* statement_timeout does not reach a background worker's SPI calls. */
#define TICK_TIMEOUT_MS 30000
/* A tick that changed a full batch is called again at once. */
#define TICK_BATCH 1000
#define BACKOFF_MS 1000
/* Rounds that a commit asks for are tick_interval apart, those that are due by themselves a part of it. */
#define DUE_PACE 10
/* The first of many commits is told at once, the others together: a transaction for each would cost what they cost. */
#define WAKE_PACE_MS 2
/* Both clocks are read in whole ms: what is due is due when we wake. */
#define ROUNDING_MS 2

typedef enum Obstacle
{
	OBSTACLE_UNKNOWN,			/* not looked yet */
	OBSTACLE_NONE,
	OBSTACLE_NOT_INSTALLED,
	OBSTACLE_NO_ROLE
} Obstacle;

/* DROP, CREATE and ALTER EXTENSION each give another one. */
typedef struct Epoch
{
	Oid			extension;
	TransactionId written;
} Epoch;

typedef struct Tick
{
	const char *call;
	int64		ran;			/* when it ended, by clock_ms() */
	int			rows;			/* changed by the last call; of rest_tick() the ms of rest */
	int			failures;		/* in a row */
	bool		wanted;			/* the round has begun and it has not run yet */
} Tick;

static Tick ticks[] = {
	{.call = "SELECT dbos_sys.delayed_tick()"},
	{.call = "SELECT dbos_sys.deadline_tick()"},
	{.call = "SELECT dbos_sys.recover_tick()"},
	{.call = "SELECT dbos_sys.watch_tick()"},
	{.call = "SELECT dbos_sys.schedule_tick()"},
	{.call = "SELECT dbos_sys.prune_tick()"},
};

static Tick rest = {.call = "SELECT dbos_sys.rest_tick()"};
/* By clock_ms(), while nobody stirs the slot; 0: not known. */
static int64 rest_until = 0;
/* The round is over: what to do next is known, or cannot be told. */
static bool rested = true;

/* By clock_ms(): no wake-up is passed on before. */
static int64 wake_due = 0;

static int	my_slot = -1;
static Obstacle obstacle = OBSTACLE_UNKNOWN;
static Epoch epoch;

PGDLLEXPORT void dbos_sys_worker_main(Datum arg);

static Epoch
read_epoch(void)
{
	Epoch		result = {InvalidOid, InvalidTransactionId};
	Relation	extensions = table_open(ExtensionRelationId, AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;

	ScanKeyInit(&key, Anum_pg_extension_extname, BTEqualStrategyNumber, F_NAMEEQ,
				CStringGetDatum("dbos_sys"));
	scan = systable_beginscan(extensions, ExtensionNameIndexId, true, NULL, 1, &key);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple))
	{
		result.extension = ((Form_pg_extension) GETSTRUCT(tuple))->oid;
		result.written = HeapTupleHeaderGetRawXmin(tuple->t_data);
	}
	systable_endscan(scan);
	table_close(extensions, AccessShareLock);
	return result;
}

/* What failed before may work with other functions: no back-off is kept. */
static void
notice_epoch(void)
{
	Epoch		now = read_epoch();

	if (now.extension == epoch.extension && now.written == epoch.written)
		return;
	epoch = now;
	for (size_t i = 0; i < lengthof(ticks); i++)
		ticks[i].failures = 0;
	rest.failures = 0;
}

static bool
table_exists(const char *schema, const char *table)
{
	Oid			namespace = get_namespace_oid(schema, true);

	return OidIsValid(namespace) && OidIsValid(get_relname_relid(table, namespace));
}

static Oid
schema_owner(const char *schema)
{
	Oid			owner = InvalidOid;
	HeapTuple	tuple = SearchSysCache1(NAMESPACENAME, CStringGetDatum(schema));

	if (HeapTupleIsValid(tuple))
	{
		owner = ((Form_pg_namespace) GETSTRUCT(tuple))->nspowner;
		ReleaseSysCache(tuple);
	}
	return owner;
}

/* The role for the ticks, InvalidOid when there is none that is no superuser. */
static Oid
find_role(void)
{
	Oid			candidates[3] = {InvalidOid, InvalidOid, InvalidOid};

	if (guc_role[0] != '\0')
		candidates[0] = get_role_oid(guc_role, true);
	else
	{
		candidates[0] = schema_owner("dbos");
		candidates[1] = schema_owner("dbos_ops");
		candidates[2] = get_role_oid("dbos_sys_worker", true);
	}
	for (size_t i = 0; i < lengthof(candidates); i++)
		if (OidIsValid(candidates[i]) && !superuser_arg(candidates[i]))
			return candidates[i];
	return InvalidOid;
}

/* Logs a change of state, once. */
static void
report(Obstacle found, Oid role)
{
	const char *database = get_database_name(MyDatabaseId);

	if (found == obstacle)
		return;
	if (found == OBSTACLE_NONE)
		ereport(LOG,
				(errmsg("dbos_sys: maintaining database \"%s\" as role \"%s\"", database,
						GetUserNameFromId(role, false))));
	else if (found == OBSTACLE_NO_ROLE)
		ereport(WARNING,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("dbos_sys: no role to maintain database \"%s\"", database),
				 guc_role[0] != '\0'
				 ? errdetail("The role \"%s\" of dbos_sys.role does not exist or is a superuser.", guc_role)
				 : errdetail("The tables belong to a superuser and there is no role dbos_sys_worker."),
				 errhint("Set dbos_sys.role to a role that is no superuser and may write the tables of dbos and dbos_ops.")));
	else if (obstacle == OBSTACLE_NONE)
		ereport(LOG,
				(errmsg("dbos_sys: maintenance of database \"%s\" pauses, extension or tables are gone", database)));
	obstacle = found;
}

static Obstacle
find_obstacle(Oid *role)
{
	notice_epoch();
	if (!OidIsValid(epoch.extension) || !table_exists("dbos", "workflow_status") ||
		!table_exists("dbos_ops", "ticker"))
		return OBSTACLE_NOT_INSTALLED;
	*role = find_role();
	return OidIsValid(*role) ? OBSTACLE_NONE : OBSTACLE_NO_ROLE;
}

static int
call_tick(const char *call)
{
	int			rows = 0;
	bool		isnull = true;

	debug_query_string = call;
	pgstat_report_activity(STATE_RUNNING, call);
	enable_timeout_after(STATEMENT_TIMEOUT, TICK_TIMEOUT_MS);
	SPI_connect();
	PushActiveSnapshot(GetTransactionSnapshot());
	if (SPI_execute(call, false, 1) != SPI_OK_SELECT)
		elog(ERROR, "\"%s\" is no query", call);
	if (SPI_processed == 1 && SPI_gettypeid(SPI_tuptable->tupdesc, 1) == INT4OID)
		rows = DatumGetInt32(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
	PopActiveSnapshot();
	SPI_finish();
	disable_timeout(STATEMENT_TIMEOUT, false);
	return isnull ? 0 : rows;
}

/* One transaction. Commits as `role`, and drops the settings that the tick made. */
static int
call_tick_as(const char *call, Oid role)
{
	Oid			user;
	int			security;
	int			level;
	int			rows;

	GetUserIdAndSecContext(&user, &security);
	SetUserIdAndSecContext(role, security | SECURITY_LOCAL_USERID_CHANGE | SECURITY_RESTRICTED_OPERATION);
	level = NewGUCNestLevel();
	rows = call_tick(call);
	AtEOXact_GUC(false, level);
	CommitTransactionCommand();
	SetUserIdAndSecContext(user, security);
	return rows;
}

static void
run_tick(void *arg)
{
	Tick	   *tick = arg;
	Oid			role = InvalidOid;
	Obstacle	found;

	tick->rows = 0;
	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	found = find_obstacle(&role);
	report(found, role);
	if (found == OBSTACLE_NONE)
		tick->rows = call_tick_as(tick->call, role);
	else
		CommitTransactionCommand();
}

static int64
retry_due(const Tick *tick)
{
	return tick->ran + worker_backoff(BACKOFF_MS, tick->failures);
}

static int64
tick_due(const Tick *tick)
{
	if (tick->failures > 0)
		return retry_due(tick);
	if (tick->wanted || tick->rows >= TICK_BATCH)
		return tick->ran;
	if (rest_until == 0 || shmem_stirred(my_slot))
		return tick->ran + guc_tick_interval;
	return Max(tick->ran + guc_tick_interval / DUE_PACE, rest_until);
}

static Tick *
next_tick(void)
{
	Tick	   *next = &ticks[0];

	for (size_t i = 1; i < lengthof(ticks); i++)
		if (tick_due(&ticks[i]) < tick_due(next))
			next = &ticks[i];
	return next;
}

static void
announce(void *arg)
{
	wakeup_announce(my_slot, *(uint32 *) arg);
}

/* A full notification queue is no reason to lose a wake-up, or to fill the log. */
static void
serve_wakeups(void)
{
	static int	failures = 0;
	uint32		flags;

	if (clock_ms() < wake_due || (flags = shmem_take(my_slot)) == 0)
		return;
	if (worker_try(announce, &flags))
		failures = 0;
	else
	{
		shmem_put_back(my_slot, flags);
		failures++;
	}
	wake_due = clock_ms() + (failures > 0 ? worker_backoff(BACKOFF_MS, failures) : WAKE_PACE_MS);
}

static void
call(Tick *tick)
{
	if (worker_try(run_tick, tick))
		tick->failures = 0;
	else
		tick->failures++;
	tick->ran = clock_ms();
	tick->wanted = false;
}

/* What is committed from here on, the round may not see. */
static void
begin_round(void)
{
	shmem_settle(my_slot);
	rest_until = 0;
	rested = false;
	for (size_t i = 0; i < lengthof(ticks); i++)
		ticks[i].wanted = true;
}

/* The answer is of the tables as they are now, whichever ticks ran before. */
static void
end_round(void)
{
	rested = true;
	if (shmem_stirred(my_slot) || (rest.failures > 0 && clock_ms() < retry_due(&rest)))
		return;
	call(&rest);
	if (rest.failures == 0 && obstacle == OBSTACLE_NONE)
		rest_until = rest.ran + rest.rows + ROUNDING_MS;
}

static void
serve_ticks(void)
{
	Tick	   *tick = next_tick();
	bool		due = clock_ms() >= tick_due(tick);
	int64		until;

	if (due && rested)
		begin_round();
	if (due)
		call(tick);
	else if (!rested)
		end_round();
	until = due ? 0 : tick_due(next_tick());
	if (shmem_signalled(my_slot))
		until = Min(until, wake_due);
	if (worker_sleep(until - clock_ms()))
		rest_until = 0;
}

void
dbos_sys_worker_main(Datum arg)
{
	Oid			database;

	my_slot = DatumGetInt32(arg);
	worker_start();
	database = shmem_occupy(my_slot);
	/* A second worker, started by a launcher that had lost sight of the first. */
	if (!OidIsValid(database))
		proc_exit(0);
	BackgroundWorkerInitializeConnectionByOid(database, InvalidOid, 0);
	worker_settings();

	/* Whoever listened while no worker ran may have missed something. */
	shmem_ready(my_slot, WAKE_ALL);
	for (;;)
	{
		serve_wakeups();
		serve_ticks();
	}
}
