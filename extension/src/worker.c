#include "postgres.h"

#include "worker.h"

#include "access/xact.h"
#include "libpq/pqsignal.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/latch.h"
#include "tcop/tcopprot.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/timeout.h"

#include "compat.h"

#define BACKOFF_MAX_MS 60000

static MemoryContext worker_context = NULL;

void
worker_start(void)
{
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	/* FATAL at the next interrupt check, also inside a query: exit code 1. */
	pqsignal(SIGTERM, die);
	BackgroundWorkerUnblockSignals();
	worker_context = AllocSetContextCreate(TopMemoryContext, "dbos_sys worker", ALLOCSET_DEFAULT_SIZES);
}

void
worker_settings(void)
{
	static const char *const settings[][2] = {
		{"search_path", "pg_catalog, pg_temp"},
		{"default_transaction_isolation", "read committed"},
		{"default_transaction_read_only", "off"},
		{"default_transaction_deferrable", "off"},
		{"session_replication_role", "origin"},
		{"row_security", "off"},
		{"statement_timeout", "0"},
		{"lock_timeout", "5s"},
		{"idle_in_transaction_session_timeout", "0"},
		COMPAT_TIMEOUT_SETTINGS
	};

	for (size_t i = 0; i < lengthof(settings); i++)
		SetConfigOption(settings[i][0], settings[i][1], PGC_SUSET, PGC_S_OVERRIDE);
}

static void
roll_back(Oid user, int security)
{
	HOLD_INTERRUPTS();
	disable_all_timeouts(false);
	QueryCancelPending = false;
	EmitErrorReport();
	AbortCurrentTransaction();
	SetUserIdAndSecContext(user, security);
	MemoryContextSwitchTo(worker_context);
	FlushErrorState();
	RESUME_INTERRUPTS();
}

bool
worker_try(WorkerBody body, void *arg)
{
	volatile bool ok = true;
	Oid			user;
	int			security;

	GetUserIdAndSecContext(&user, &security);
	MemoryContextSwitchTo(worker_context);
	PG_TRY();
	{
		body(arg);
	}
	PG_CATCH();
	{
		roll_back(user, security);
		ok = false;
	}
	PG_END_TRY();

	debug_query_string = NULL;
	MemoryContextSwitchTo(worker_context);
	MemoryContextReset(worker_context);
	/* Autovacuum learns of changed rows by this alone. */
	pgstat_report_stat(true);
	pgstat_report_activity(STATE_IDLE, NULL);
	return ok;
}

bool
worker_sleep(int64 ms)
{
	static uint32 event = 0;

	if (event == 0)
		event = compat_wait_event("DbosSysWorker");
	(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
					 (long) Max(ms, 0), event);
	ResetLatch(MyLatch);
	/* Nothing runs that pg_cancel_backend() could mean. */
	QueryCancelPending = false;
	CHECK_FOR_INTERRUPTS();
	if (!ConfigReloadPending)
		return false;
	ConfigReloadPending = false;
	ProcessConfigFile(PGC_SIGHUP);
	return true;
}

int64
worker_backoff(int64 first, int failures)
{
	int			doublings = Min(Max(failures - 1, 0), 16);

	return Min(first << doublings, BACKOFF_MAX_MS);
}
