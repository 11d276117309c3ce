/*
 * One static worker that keeps one dynamic worker running per database named in
 * dbos_sys.databases. It is connected to no database: it reads pg_database, which
 * all share, and so never stands in the way of DROP DATABASE.
 */
#include "postgres.h"

#include "launcher.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/pg_database.h"
#include "miscadmin.h"
#include "nodes/pg_list.h"
#include "postmaster/bgworker.h"
#include "utils/fmgroids.h"
#include "utils/memutils.h"
#include "utils/rel.h"

#include "clock.h"
#include "guc.h"
#include "shmem.h"
#include "worker.h"

#define RESTART_S 5
#define RESTART_MS (RESTART_S * 1000)
/* A worker that ran for so long has not failed at its start. */
#define SOUND_RUN_MS 60000

typedef enum Complaint
{
	COMPLAINT_NONE,
	COMPLAINT_NO_DATABASE,
	COMPLAINT_NO_WORKER_LEFT
} Complaint;

typedef struct Post
{
	char		database[NAMEDATALEN];
	BackgroundWorkerHandle *handle; /* of the worker that we started, else NULL */
	int64		started;
	int64		due;			/* not looked at before */
	int			failures;		/* starts in a row that did not last */
	Complaint	complaint;		/* logged last: each is logged once */
} Post;

static Post posts[GUC_DATABASES_MAX];
static int	post_count = 0;

PGDLLEXPORT void dbos_sys_launcher_main(Datum arg);

static void
describe(BackgroundWorker *worker, const char *type, const char *function)
{
	memset(worker, 0, sizeof(*worker));
	worker->bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker->bgw_start_time = BgWorkerStart_RecoveryFinished;
	strlcpy(worker->bgw_library_name, "dbos_sys", sizeof(worker->bgw_library_name));
	strlcpy(worker->bgw_function_name, function, sizeof(worker->bgw_function_name));
	strlcpy(worker->bgw_type, type, sizeof(worker->bgw_type));
}

void
launcher_register(void)
{
	BackgroundWorker worker;

	describe(&worker, "dbos_sys launcher", "dbos_sys_launcher_main");
	worker.bgw_restart_time = RESTART_S;
	strlcpy(worker.bgw_name, "dbos_sys launcher", sizeof(worker.bgw_name));
	RegisterBackgroundWorker(&worker);
}

static void
complain(Post *post, Complaint complaint)
{
	post->due = clock_ms() + RESTART_MS;
	if (post->complaint == complaint)
		return;
	post->complaint = complaint;
	if (complaint == COMPLAINT_NO_DATABASE)
		ereport(LOG,
				(errmsg("dbos_sys: waiting for database \"%s\", which does not exist", post->database),
				 errhint("Create it, or remove it from dbos_sys.databases and restart the server.")));
	else
		ereport(WARNING,
				(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
				 errmsg("dbos_sys: no background worker left for database \"%s\"", post->database),
				 errhint("Raise max_worker_processes and restart the server.")));
}

/* Restarted here, not by the postmaster: a database may be gone by then. */
static void
post_start(Post *post, int slot, Oid database)
{
	BackgroundWorker worker;
	MemoryContext old;

	describe(&worker, "dbos_sys worker", "dbos_sys_worker_main");
	worker.bgw_restart_time = BGW_NEVER_RESTART;
	worker.bgw_notify_pid = MyProcPid;
	worker.bgw_main_arg = Int32GetDatum(slot);
	snprintf(worker.bgw_name, sizeof(worker.bgw_name), "dbos_sys worker %s", post->database);

	shmem_assign(slot, database);
	/* The handle outlives the pass. */
	old = MemoryContextSwitchTo(TopMemoryContext);
	if (RegisterDynamicBackgroundWorker(&worker, &post->handle))
	{
		post->started = clock_ms();
		post->complaint = COMPLAINT_NONE;
	}
	else
		complain(post, COMPLAINT_NO_WORKER_LEFT);
	MemoryContextSwitchTo(old);
}

/* True while the worker that we started runs or is about to. */
static bool
post_served(Post *post)
{
	pid_t		pid;
	BgwHandleStatus status;

	if (post->handle == NULL)
		return false;
	status = GetBackgroundWorkerPid(post->handle, &pid);
	if (status == BGWH_STARTED || status == BGWH_NOT_YET_STARTED)
		return true;

	pfree(post->handle);
	post->handle = NULL;
	if (clock_ms() - post->started >= SOUND_RUN_MS)
		post->failures = 0;
	post->failures++;
	post->due = clock_ms() + worker_backoff(RESTART_MS, post->failures);
	return false;
}

/*
 * The database's OID; a transaction of its own. Without a database the index of
 * pg_database may not be usable yet (no session has built the shared relation
 * cache file since the server started): the table is read as a whole.
 */
static Oid
find_database(const char *name)
{
	Oid			database = InvalidOid;
	Relation	databases;
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;

	StartTransactionCommand();
	databases = table_open(DatabaseRelationId, AccessShareLock);
	ScanKeyInit(&key, Anum_pg_database_datname, BTEqualStrategyNumber, F_NAMEEQ, CStringGetDatum(name));
	scan = systable_beginscan(databases, InvalidOid, false, NULL, 1, &key);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple))
		database = ((Form_pg_database) GETSTRUCT(tuple))->oid;
	systable_endscan(scan);
	table_close(databases, AccessShareLock);
	CommitTransactionCommand();
	return database;
}

static void
look_after(void *arg)
{
	for (int i = 0; i < post_count; i++)
	{
		Post	   *post = &posts[i];
		Oid			database;

		/* A worker that an earlier launcher started is left alone. */
		if (post_served(post) || shmem_occupied(i) || clock_ms() < post->due)
			continue;
		database = find_database(post->database);
		if (OidIsValid(database))
			post_start(post, i, database);
		else
			complain(post, COMPLAINT_NO_DATABASE);
	}
}

static bool
is_named(const char *database)
{
	for (int i = 0; i < post_count; i++)
		if (strcmp(posts[i].database, database) == 0)
			return true;
	return false;
}

static void
read_databases(void *arg)
{
	ListCell   *cell;

	foreach(cell, guc_database_list())
	{
		const char *name = lfirst(cell);

		if (post_count < GUC_DATABASES_MAX && !is_named(name))
			strlcpy(posts[post_count++].database, name, NAMEDATALEN);
	}
}

void
dbos_sys_launcher_main(Datum arg)
{
	worker_start();
	BackgroundWorkerInitializeConnection(NULL, NULL, 0);
	worker_settings();

	if (worker_try(read_databases, NULL) && post_count > 0)
		shmem_use(post_count);
	for (;;)
	{
		(void) worker_try(look_after, NULL);
		/* The end of a worker that we started sets the latch. */
		worker_sleep(RESTART_MS);
	}
}
