/*
 * The procedures that wait. A function that waited would hold back vacuum in the
 * whole database; a procedure may commit before it sleeps, and so holds neither
 * snapshot nor transaction id.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "datatype/timestamp.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "storage/latch.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "clock.h"
#include "compat.h"
#include "errors.h"
#include "shmem.h"

/* Between two looks: at first and at last without a worker, at most with one. */
#define POLL_FIRST_MS 50
#define POLL_MAX_MS 1000

#define ID_MAX_BYTES 512
#define TIMEOUT_MAX_MS (100.0 * DAYS_PER_YEAR * SECS_PER_DAY * 1000)

/* Looks once, by SPI; true ends the wait. `last` says that no other look follows. */
typedef bool (*WaitLook) (void *state, bool last);

typedef struct Awaited
{
	Datum		id;
	MemoryContext context;		/* of the results */
	char	   *values[3];		/* status, output, error */
} Awaited;

static void
check_may_wait(FunctionCallInfo fcinfo, const char *name)
{
	bool		atomic = fcinfo->context == NULL || !IsA(fcinfo->context, CallContext) ||
		((CallContext *) fcinfo->context)->atomic;

	if (atomic)
		ereport(ERROR,
				(errcode(ERRCODE_WF_WAIT_IN_TRANSACTION),
				 errmsg("dbos_sys.%s cannot wait inside a transaction block", name),
				 errdetail("A wait inside a transaction would keep vacuum from removing dead rows everywhere."),
				 errhint("CALL it outside of BEGIN, alone in its query, and not from a function.")));
}

static int64
timeout_ms(FunctionCallInfo fcinfo, int argument)
{
	Interval   *interval;
	double		ms;

	if (PG_ARGISNULL(argument))
		ereport(ERROR,
				(errcode(ERRCODE_WF_INVALID_ARGUMENT), errmsg("p_timeout must not be null"),
				 errhint("Give an interval, as '10 s'.")));
	interval = PG_GETARG_INTERVAL_P(argument);
	if (interval->month != 0)
		ereport(ERROR,
				(errcode(ERRCODE_WF_INVALID_ARGUMENT),
				 errmsg("p_timeout is %s",
						DatumGetCString(DirectFunctionCall1(interval_out, IntervalPGetDatum(interval)))),
				 errdetail("Months and years have no fixed length."),
				 errhint("Give days, hours, minutes or seconds.")));
	ms = interval->day * (double) SECS_PER_DAY * 1000.0 + interval->time / 1000.0;
	if (!(ms >= 0 && ms <= TIMEOUT_MAX_MS))
		ereport(ERROR,
				(errcode(ERRCODE_WF_INVALID_ARGUMENT),
				 errmsg("p_timeout is out of range: %s",
						DatumGetCString(DirectFunctionCall1(interval_out, IntervalPGetDatum(interval)))),
				 errhint("It must be between 0 and 100 years.")));
	return (int64) ms;
}

/* Sleeps until the worker broadcasts, or for `ms`. Runs outside of any snapshot. */
static void
park(ConditionVariable *parked, int64 ms)
{
	static uint32 event = 0;

	if (event == 0)
		event = compat_wait_event("DbosSysWait");
	if (parked != NULL)
	{
		(void) ConditionVariableTimedSleep(parked, (long) ms, event);
		return;
	}
	(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, (long) ms, event);
	ResetLatch(MyLatch);
	CHECK_FOR_INTERRUPTS();
}

/*
 * A wake-up between the look and the sleep is not lost: we are on the condition
 * variable's list before we look. A query that used another condition variable
 * takes us off it; the sleep then returns at once and we look again.
 */
static void
wait_until(WaitLook look, void *state, int64 timeout)
{
	int64		end = clock_ms() + timeout;
	int64		poll = POLL_FIRST_MS;

	SPI_connect_ext(SPI_OPT_NONATOMIC);
	for (;;)
	{
		int			slot = shmem_find(MyDatabaseId);
		ConditionVariable *parked = slot >= 0 ? shmem_parked(slot) : NULL;
		bool		last;

		if (parked != NULL)
			ConditionVariablePrepareToSleep(parked);
		last = clock_ms() >= end;
		if (look(state, last) || last)
			break;
		/* Ends the snapshot; the new transaction takes none until the next look. */
		SPI_commit();
		park(parked, Max(Min(end - clock_ms(), parked != NULL ? POLL_MAX_MS : poll), 1));
		poll = Min(poll * 2, POLL_MAX_MS);
	}
	ConditionVariableCancelSleep();
	SPI_finish();
}

static void
query(const char *sql, Oid type, Datum value)
{
	int			result = SPI_execute_with_args(sql, 1, &type, &value, NULL, false, 1);

	if (result != SPI_OK_SELECT)
		elog(ERROR, "\"%s\" failed: %s", sql, SPI_result_code_string(result));
}

/* Copies the first `columns` of the row found; true when the first is not NULL. */
static bool
keep_row(Awaited *awaited, int columns)
{
	for (int i = 0; i < columns; i++)
	{
		char	   *value = SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, i + 1);

		awaited->values[i] = value ? MemoryContextStrdup(awaited->context, value) : NULL;
	}
	return awaited->values[0] != NULL;
}

/* outcomes() returns no row while the workflow runs, and one without status for an unknown id. */
static bool
look_for_outcome(void *state, bool last)
{
	Awaited    *awaited = state;
	bool		found;
	bool		running;

	query("SELECT o.status, o.output, o.error FROM dbos_sys.outcomes(ARRAY[$1]) AS o",
		  TEXTOID, awaited->id);
	running = SPI_processed == 0;
	found = !running && keep_row(awaited, 3);
	SPI_freetuptable(SPI_tuptable);
	if (running && last)
	{
		query("SELECT s.status FROM dbos_sys.status($1) AS s", TEXTOID, awaited->id);
		if (SPI_processed == 1)
			(void) keep_row(awaited, 1);
		SPI_freetuptable(SPI_tuptable);
	}
	return found;
}

typedef struct Work
{
	Datum		queues;
	bool		found;
} Work;

static bool
look_for_work(void *state, bool last)
{
	Work	   *work = state;
	bool		isnull = true;
	Datum		found = (Datum) 0;

	query("SELECT dbos_sys.work_waits($1)", TEXTARRAYOID, work->queues);
	if (SPI_processed == 1 && SPI_gettypeid(SPI_tuptable->tupdesc, 1) == BOOLOID)
		found = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull);
	work->found = !isnull && DatumGetBool(found);
	SPI_freetuptable(SPI_tuptable);
	return work->found;
}

/* The INOUT parameters as the row that CALL returns. */
static Datum
result_row(FunctionCallInfo fcinfo, int columns, Datum *values, bool *nulls)
{
	TupleDesc	shape;

	if (get_call_result_type(fcinfo, NULL, &shape) != TYPEFUNC_COMPOSITE || shape->natts != columns)
		elog(ERROR, "dbos_sys: the procedure does not have %d INOUT parameters", columns);
	return HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(shape), values, nulls));
}

static Datum
checked_id(FunctionCallInfo fcinfo, int argument)
{
	char	   *id;

	if (PG_ARGISNULL(argument))
		ereport(ERROR,
				(errcode(ERRCODE_WF_INVALID_ARGUMENT), errmsg("p_id must not be null"),
				 errhint("Give the id of a workflow.")));
	id = text_to_cstring(PG_GETARG_TEXT_PP(argument));
	if (id[strspn(id, " \t\r\n\f\v")] == '\0')
		ereport(ERROR,
				(errcode(ERRCODE_WF_INVALID_ARGUMENT), errmsg("p_id must not be blank: \"%s\"", id),
				 errhint("Give the id of a workflow.")));
	if (strlen(id) > ID_MAX_BYTES)
		ereport(ERROR,
				(errcode(ERRCODE_WF_INVALID_ARGUMENT),
				 errmsg("p_id has %zu bytes, at most %d are allowed", strlen(id), ID_MAX_BYTES),
				 errhint("Give the id of a workflow.")));
	return CStringGetTextDatum(id);
}

PG_FUNCTION_INFO_V1(dbos_sys_await);

/* await(p_id, p_timeout, INOUT p_status, INOUT p_output, INOUT p_error) */
Datum
dbos_sys_await(PG_FUNCTION_ARGS)
{
	Awaited		awaited = {.context = CurrentMemoryContext};
	Datum		values[3];
	bool		nulls[3];
	int64		timeout;

	check_may_wait(fcinfo, "await");
	awaited.id = checked_id(fcinfo, 0);
	timeout = timeout_ms(fcinfo, 1);
	wait_until(look_for_outcome, &awaited, timeout);

	for (int i = 0; i < 3; i++)
	{
		nulls[i] = awaited.values[i] == NULL;
		values[i] = nulls[i] ? (Datum) 0 : CStringGetTextDatum(awaited.values[i]);
	}
	PG_RETURN_DATUM(result_row(fcinfo, 3, values, nulls));
}

/* A copy that outlives commits. */
static Datum
checked_queues(FunctionCallInfo fcinfo, int argument)
{
	ArrayType  *queues;

	if (PG_ARGISNULL(argument))
		ereport(ERROR,
				(errcode(ERRCODE_WF_INVALID_ARGUMENT), errmsg("p_queues must not be null"),
				 errhint("Give an array of queue names.")));
	queues = PG_GETARG_ARRAYTYPE_P_COPY(argument);
	if (ArrayGetNItems(ARR_NDIM(queues), ARR_DIMS(queues)) == 0 || array_contains_nulls(queues))
		ereport(ERROR,
				(errcode(ERRCODE_WF_INVALID_ARGUMENT),
				 errmsg("p_queues must name at least one queue and hold no null"),
				 errhint("Give an array of queue names.")));
	return PointerGetDatum(queues);
}

PG_FUNCTION_INFO_V1(dbos_sys_wait_for_work);

/* wait_for_work(p_queues, p_timeout, INOUT p_found) */
Datum
dbos_sys_wait_for_work(PG_FUNCTION_ARGS)
{
	Work		work = {.found = false};
	Datum		value;
	bool		isnull = false;
	int64		timeout;

	check_may_wait(fcinfo, "wait_for_work");
	work.queues = checked_queues(fcinfo, 0);
	timeout = timeout_ms(fcinfo, 1);
	wait_until(look_for_work, &work, timeout);

	value = BoolGetDatum(work.found);
	PG_RETURN_DATUM(result_row(fcinfo, 1, &value, &isnull));
}
