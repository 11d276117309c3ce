/*
 * What the launcher and the databases' workers share: signals, sleep, errors,
 * back-off.
 */
#ifndef DBOS_SYS_WORKER_H
#define DBOS_SYS_WORKER_H

typedef void (*WorkerBody) (void *arg);

/* First call of a worker's main function: signals, then unblocks them. */
extern void worker_start(void);

/* After the connection: settings that no database, role or file may change. */
extern void worker_settings(void);

/*
 * Runs `body` outside of any transaction, in a context that is emptied
 * afterwards. An error is logged, the transaction rolled back, the user restored,
 * and false returned. FATAL ends the process.
 */
extern bool worker_try(WorkerBody body, void *arg);

/*
 * Sleeps until the latch is set or `ms` have passed; true when the settings were
 * read again. Obeys SIGTERM (exit code 1), SIGHUP and the end of the postmaster.
 */
extern bool worker_sleep(int64 ms);

/* Pause in ms after `failures` (>= 1) in a row: doubles from `first` up to a minute. */
extern int64 worker_backoff(int64 first, int failures);

#endif
