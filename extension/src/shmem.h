/*
 * One slot per database named in dbos_sys.databases. No lock: the launcher alone
 * writes `database`, the worker alone the rest, both by atomic words; other
 * backends add flags. Knows no policy.
 */
#ifndef DBOS_SYS_SHMEM_H
#define DBOS_SYS_SHMEM_H

#include "storage/condition_variable.h"

/* Asks for the segment; only while the server starts. */
extern void shmem_init(void);

/* Launcher: number of slots in use, at most GUC_DATABASES_MAX. */
extern void shmem_use(int slots);

/* Launcher: gives a slot that is not occupied to a database. */
extern void shmem_assign(int slot, Oid database);

/* True while a worker process stands in the slot, ready or not. */
extern bool shmem_occupied(int slot);

/*
 * Worker: steps into the slot until the process ends and returns its database,
 * or InvalidOid when another worker is there or the slot is not assigned.
 */
extern Oid	shmem_occupy(int slot);

/* Worker: from here on it is woken; `flags` stand as if just signalled. */
extern void shmem_ready(int slot, uint32 flags);

/* Worker: the flags since the last call. Reset the latch before. */
extern uint32 shmem_take(int slot);

/* Worker: whether flags stand that were not taken. It comes back for them: nobody tells it again. */
extern bool shmem_signalled(int slot);

/* Worker: flags that could not be served yet; wakes nobody. */
extern void shmem_put_back(int slot, uint32 flags);

/* Slot of the database's ready worker, -1 when there is none. Cannot fail. */
extern int	shmem_find(Oid database);

/* Adds flags; sets the worker's latch unless they stood. Cannot fail: runs after the commit. */
extern void shmem_signal(int slot, uint32 flags);

/*
 * Has the worker look at the tables, when the transaction that wrote them has
 * committed; sets its latch unless it was told before. Cannot fail.
 */
extern void shmem_stir(int slot);

/* Worker: true when it was stirred since it settled. */
extern bool shmem_stirred(int slot);

/* Worker: from here on it looks at what was committed before, and is told of the rest. */
extern void shmem_settle(int slot);

/* Where the sessions of the slot's database park. */
extern ConditionVariable *shmem_parked(int slot);

#endif
