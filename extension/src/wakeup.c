/*
 * A transaction is marked by the functions of dbos_sys through wake(), or, when
 * other programs write dbos.workflow_status, by the executor hook. Its commit
 * sets flags in the database's slot and the worker's latch; the worker sends one
 * NOTIFY for all commits since its last. Without a worker, wake() alone works:
 * the marked transaction notifies by itself.
 *
 * Whoever writes a table by which something becomes due, and whoever makes, drops
 * or updates an extension, also ends the worker's rest.
 */
#include "postgres.h"

#include "wakeup.h"

#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/objectaccess.h"
#include "catalog/pg_extension.h"
#include "commands/async.h"
#include "executor/executor.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/guc.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "guc.h"
#include "shmem.h"

/* What the commit of this transaction tells; `asked` is the part named by wake(). */
static uint32 marked = 0;
static uint32 asked = 0;

/* What the ticks look at. Clients are told of the first alone. */
static const struct
{
	const char *schema;
	const char *name;
}			tables[] = {
	{"dbos", "workflow_status"},
	{"dbos", "queues"},
	{"dbos_ops", "executors"},
	{"dbos_ops", "queue_settings"},
	{"dbos_ops", "watches"},
	{"dbos", "workflow_schedules"},
	{"dbos_ops", "retention_policies"},
};

/* Their OIDs, InvalidOid for those that do not exist; valid until told otherwise. */
static Oid	relations[lengthof(tables)];
static bool relations_known = false;

static ExecutorFinish_hook_type prev_finish = NULL;
static object_access_hook_type prev_access = NULL;

static void
forget_relation(Datum arg, Oid relation)
{
	for (size_t i = 0; i < lengthof(tables); i++)
		if (!OidIsValid(relation) || !OidIsValid(relations[i]) || relations[i] == relation)
			relations_known = false;
}

/* A schema was created, renamed or dropped. */
static void
forget_schema(Datum arg, int cacheid, uint32 hashvalue)
{
	relations_known = false;
}

static void
find_relations(void)
{
	static bool registered = false;

	if (!registered)
	{
		CacheRegisterRelcacheCallback(forget_relation, (Datum) 0);
		CacheRegisterSyscacheCallback(NAMESPACEOID, forget_schema, (Datum) 0);
		registered = true;
	}
	if (relations_known)
		return;
	/* Whatever is invalidated during the look-up makes the next caller look again. */
	memset(relations, 0, sizeof(relations));
	relations_known = true;
	for (size_t i = 0; i < lengthof(tables); i++)
	{
		Oid			schema = get_namespace_oid(tables[i].schema, true);

		relations[i] = OidIsValid(schema) ? get_relname_relid(tables[i].name, schema) : InvalidOid;
	}
}

/* Whatever the operation: an INSERT inside a CTE or a MERGE counts too. */
static uint32
marks_of(EState *estate)
{
	uint32		marks = 0;
	ListCell   *cell;

	if (estate->es_opened_result_relations == NIL)
		return 0;
	find_relations();
	foreach(cell, estate->es_opened_result_relations)
	{
		Oid			written = RelationGetRelid(((ResultRelInfo *) lfirst(cell))->ri_RelationDesc);

		for (size_t i = 0; i < lengthof(tables); i++)
			if (relations[i] == written)
				marks |= i == 0 && !guc_quiet ? WAKE_ALL | WAKE_LOOK : WAKE_LOOK;
	}
	return marks;
}

static void
executor_finish(QueryDesc *query)
{
	if (prev_finish)
		prev_finish(query);
	else
		standard_ExecutorFinish(query);

	if (marked != (WAKE_ALL | WAKE_LOOK))
		marked |= marks_of(query->estate);
}

static void
object_access(ObjectAccessType access, Oid catalog, Oid object, int part, void *arg)
{
	if (prev_access)
		prev_access(access, catalog, object, part, arg);
	if (catalog == ExtensionRelationId)
		marked |= WAKE_LOOK;
}

/* Claims that found nothing commit without a transaction id and wake nobody. */
static bool
has_written(void)
{
	return TransactionIdIsValid(GetTopTransactionIdIfAny());
}

static void
notify(uint32 flags)
{
	if (flags & WAKE_WORK)
		Async_Notify(WAKE_CHANNEL, "work");
	if (flags & WAKE_DONE)
		Async_Notify(WAKE_CHANNEL, "done");
}

/*
 * XACT_EVENT_COMMIT comes after the commit is visible to others: an error there
 * is a PANIC, so it does nothing that can raise. The mark of a subtransaction
 * that rolled back stays: a wake-up for nothing is cheap.
 */
static void
transaction_event(XactEvent event, void *arg)
{
	int			slot;

	switch (event)
	{
		case XACT_EVENT_PRE_COMMIT:
			if (asked != 0 && has_written() && shmem_find(MyDatabaseId) < 0)
				notify(asked);
			break;
		case XACT_EVENT_COMMIT:
			if (marked != 0 && has_written() && (slot = shmem_find(MyDatabaseId)) >= 0)
			{
				if (marked & WAKE_LOOK)
					shmem_stir(slot);
				if (marked & WAKE_ALL)
					shmem_signal(slot, marked & WAKE_ALL);
			}
			marked = asked = 0;
			break;
		case XACT_EVENT_ABORT:
		case XACT_EVENT_PREPARE:
			marked = asked = 0;
			break;
		default:
			break;
	}
}

void
wakeup_init(bool preloading)
{
	RegisterXactCallback(transaction_event, NULL);
	if (preloading)
	{
		prev_finish = ExecutorFinish_hook;
		ExecutorFinish_hook = executor_finish;
		prev_access = object_access_hook;
		object_access_hook = object_access;
	}
}

void
wakeup_announce(int slot, uint32 flags)
{
	ConditionVariableBroadcast(shmem_parked(slot));

	StartTransactionCommand();
	/* A crash that forgets this commit has also ended every listener's session. */
	(void) set_config_option("synchronous_commit", "off", PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_LOCAL, true, 0, false);
	notify(flags);
	CommitTransactionCommand();
}

PG_FUNCTION_INFO_V1(dbos_sys_wake);

/* wake(p_work boolean, p_done boolean); NULL counts as false. */
Datum
dbos_sys_wake(PG_FUNCTION_ARGS)
{
	uint32		flags = 0;

	if (!PG_ARGISNULL(0) && PG_GETARG_BOOL(0))
		flags |= WAKE_WORK;
	if (!PG_ARGISNULL(1) && PG_GETARG_BOOL(1))
		flags |= WAKE_DONE;
	marked |= flags;
	asked |= flags;
	PG_RETURN_VOID();
}
