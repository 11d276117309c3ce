#ifndef DBOS_SYS_GUC_H
#define DBOS_SYS_GUC_H

#define GUC_DATABASES_MAX 32
#define GUC_TICK_INTERVAL_DEFAULT 1000
#define GUC_TICK_INTERVAL_MIN 10
#define GUC_TICK_INTERVAL_MAX 3600000
#define GUC_GRACE_DEFAULT 2000
#define GUC_GRACE_MAX 3600000
#define GUC_RECONNECT_BACKOFF_DEFAULT 90000
#define GUC_RECONNECT_BACKOFF_MAX 86400000
#define GUC_PRUNE_INTERVAL_DEFAULT 60000
#define GUC_PRUNE_BUDGET_DEFAULT 15000
#define GUC_PRUNE_MAX 86400000

extern char *guc_databases;
extern char *guc_role;
extern int	guc_tick_interval;
extern bool guc_quiet;

/* Defines every setting. Never fails without preload. */
extern void guc_init(bool preloading);

/* Names in dbos_sys.databases as a List of char *, palloc'd; NIL when there are none. */
extern struct List *guc_database_list(void);

#endif
