#include "postgres.h"

#include "shmem.h"

#include "miscadmin.h"
#include "port/atomics.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/lwlock.h"
#include "storage/proc.h"
#include "storage/shmem.h"

#include "compat.h"
#include "guc.h"

#define NO_PROC PG_UINT32_MAX

typedef struct Slot
{
	pg_atomic_uint32 database;	/* Oid, 0 = not assigned */
	pg_atomic_uint32 pid;		/* worker process, 0 = free */
	pg_atomic_uint32 procno;	/* its PGPROC once it wants signals, else NO_PROC */
	pg_atomic_uint32 flags;		/* what was signalled and not taken yet */
	pg_atomic_uint32 stirred;	/* 1: tables were written since the worker last settled */
	ConditionVariable parked;	/* sessions inside await() or wait_for_work() */
} Slot;

typedef struct Segment
{
	pg_atomic_uint32 used;
	Slot		slots[GUC_DATABASES_MAX];
} Segment;

/* NULL without preload. */
static Segment *segment = NULL;

static shmem_request_hook_type prev_request = NULL;
static shmem_startup_hook_type prev_startup = NULL;

static void
request(void)
{
	if (prev_request)
		prev_request();
	RequestAddinShmemSpace(MAXALIGN(sizeof(Segment)));
}

static void
slot_init(Slot *slot)
{
	pg_atomic_init_u32(&slot->database, InvalidOid);
	pg_atomic_init_u32(&slot->pid, 0);
	pg_atomic_init_u32(&slot->procno, NO_PROC);
	pg_atomic_init_u32(&slot->flags, 0);
	pg_atomic_init_u32(&slot->stirred, 0);
	ConditionVariableInit(&slot->parked);
}

/* Runs again, with fresh memory, after a crash of any process. */
static void
startup(void)
{
	bool		found;

	if (prev_startup)
		prev_startup();

	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	segment = ShmemInitStruct("dbos_sys", sizeof(Segment), &found);
	if (!found)
	{
		pg_atomic_init_u32(&segment->used, 0);
		for (int i = 0; i < GUC_DATABASES_MAX; i++)
			slot_init(&segment->slots[i]);
	}
	LWLockRelease(AddinShmemInitLock);
}

void
shmem_init(void)
{
	prev_request = shmem_request_hook;
	shmem_request_hook = request;
	prev_startup = shmem_startup_hook;
	shmem_startup_hook = startup;
}

/* Workers get their slot's number as an argument: it is checked here, once. */
static Slot *
slot_at(int slot)
{
	if (segment == NULL || slot < 0 || slot >= GUC_DATABASES_MAX)
		elog(ERROR, "dbos_sys: no slot %d in shared memory", slot);
	return &segment->slots[slot];
}

void
shmem_use(int slots)
{
	(void) slot_at(slots - 1);
	pg_atomic_write_u32(&segment->used, (uint32) slots);
}

void
shmem_assign(int slot, Oid database)
{
	pg_atomic_write_u32(&slot_at(slot)->database, database);
}

bool
shmem_occupied(int slot)
{
	return pg_atomic_read_u32(&slot_at(slot)->pid) != 0;
}

static void
leave(int code, Datum arg)
{
	Slot	   *slot = slot_at(DatumGetInt32(arg));

	pg_atomic_write_u32(&slot->procno, NO_PROC);
	pg_memory_barrier();
	pg_atomic_write_u32(&slot->pid, 0);
}

Oid
shmem_occupy(int slot)
{
	uint32		free = 0;

	if (!pg_atomic_compare_exchange_u32(&slot_at(slot)->pid, &free, (uint32) MyProcPid))
		return InvalidOid;
	before_shmem_exit(leave, Int32GetDatum(slot));
	return pg_atomic_read_u32(&slot_at(slot)->database);
}

void
shmem_ready(int slot, uint32 flags)
{
	pg_atomic_fetch_or_u32(&slot_at(slot)->flags, flags);
	pg_atomic_write_u32(&slot_at(slot)->procno, compat_my_procno());
}

uint32
shmem_take(int slot)
{
	return pg_atomic_exchange_u32(&slot_at(slot)->flags, 0);
}

bool
shmem_signalled(int slot)
{
	return pg_atomic_read_u32(&slot_at(slot)->flags) != 0;
}

void
shmem_put_back(int slot, uint32 flags)
{
	pg_atomic_fetch_or_u32(&slot_at(slot)->flags, flags);
}

int
shmem_find(Oid database)
{
	uint32		used;

	if (segment == NULL || !OidIsValid(database))
		return -1;
	used = Min(pg_atomic_read_u32(&segment->used), GUC_DATABASES_MAX);
	for (uint32 i = 0; i < used; i++)
	{
		Slot	   *slot = &segment->slots[i];

		if (pg_atomic_read_u32(&slot->database) == database &&
			pg_atomic_read_u32(&slot->procno) != NO_PROC)
			return (int) i;
	}
	return -1;
}

/*
 * The worker may end at any moment. Its PGPROC stays mapped and may by then be
 * another process's: that one sees its latch set once for nothing, which every
 * user of a latch has to bear.
 */
static void
set_latch(Slot *slot)
{
	uint32		procno = pg_atomic_read_u32(&slot->procno);

	if (procno < ProcGlobal->allProcCount)
		SetLatch(&ProcGlobal->allProcs[procno].procLatch);
}

void
shmem_signal(int slot, uint32 flags)
{
	/*
	 * A full barrier: the worker takes flags after it has reset its latch. Flags
	 * that stand already it has been told of, and will take by itself.
	 */
	if ((pg_atomic_fetch_or_u32(&segment->slots[slot].flags, flags) & flags) != flags)
		set_latch(&segment->slots[slot]);
}

void
shmem_stir(int slot)
{
	Slot	   *told = &segment->slots[slot];

	/* The commit is visible before the word is read: who settles later sees it. */
	pg_memory_barrier();
	if (pg_atomic_read_u32(&told->stirred) == 0 && pg_atomic_exchange_u32(&told->stirred, 1) == 0)
		set_latch(told);
}

bool
shmem_stirred(int slot)
{
	return pg_atomic_read_u32(&slot_at(slot)->stirred) != 0;
}

void
shmem_settle(int slot)
{
	/* A full barrier: the tables are read later. */
	(void) pg_atomic_exchange_u32(&slot_at(slot)->stirred, 0);
}

ConditionVariable *
shmem_parked(int slot)
{
	return &slot_at(slot)->parked;
}
