/*
 * The only place that looks at PG_VERSION_NUM: PostgreSQL 15 to 18.
 */
#ifndef DBOS_SYS_COMPAT_H
#define DBOS_SYS_COMPAT_H

#include "storage/proc.h"
#include "utils/wait_event.h"

#if PG_VERSION_NUM < 150000 || PG_VERSION_NUM >= 190000
#error "dbos_sys supports PostgreSQL 15 to 18"
#endif

/* Number of this process in ProcGlobal->allProcs. */
#if PG_VERSION_NUM >= 170000
#define compat_my_procno() ((uint32) MyProcNumber)
#else
#define compat_my_procno() ((uint32) MyProc->pgprocno)
#endif

/* Takes a lock in shared memory from 17 on: call it once a process, not in a critical place. */
#if PG_VERSION_NUM >= 170000
#define compat_wait_event(name) WaitEventExtensionNew(name)
#else
#define compat_wait_event(name) ((uint32) PG_WAIT_EXTENSION)
#endif

#if PG_VERSION_NUM >= 180000
#define COMPAT_MODULE_MAGIC(name_, version_) PG_MODULE_MAGIC_EXT(.name = name_, .version = version_)
#else
#define COMPAT_MODULE_MAGIC(name_, version_) PG_MODULE_MAGIC
#endif

/* transaction_timeout came with 17. */
#if PG_VERSION_NUM >= 170000
#define COMPAT_TIMEOUT_SETTINGS {"transaction_timeout", "0"},
#else
#define COMPAT_TIMEOUT_SETTINGS
#endif

#endif
