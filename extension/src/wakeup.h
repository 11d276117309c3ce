/*
 * Who is told that work became claimable or workflows have finished.
 */
#ifndef DBOS_SYS_WAKEUP_H
#define DBOS_SYS_WAKEUP_H

#define WAKE_WORK 0x1
#define WAKE_DONE 0x2
#define WAKE_ALL (WAKE_WORK | WAKE_DONE)
/* The worker itself looks whether something is due. */
#define WAKE_LOOK 0x4

#define WAKE_CHANNEL "dbos_sys"

/* Registers the commit callback and, while preloading, the hooks. */
extern void wakeup_init(bool preloading);

/*
 * Worker: tells the database's parked sessions and listeners. Runs a transaction
 * of its own; NOTIFY may fail and may then be repeated.
 */
extern void wakeup_announce(int slot, uint32 flags);

#endif
