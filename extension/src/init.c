/*
 * dbos_sys: entry of the library. Each concern registers itself.
 */
#include "postgres.h"

#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"

#include "compat.h"
#include "guc.h"
#include "launcher.h"
#include "shmem.h"
#include "wakeup.h"

COMPAT_MODULE_MAGIC("dbos_sys", DBOS_SYS_VERSION);

PGDLLEXPORT void _PG_init(void);

static bool preloaded = false;

void
_PG_init(void)
{
	preloaded = process_shared_preload_libraries_in_progress;
	guc_init(preloaded);
	wakeup_init(preloaded);
	if (preloaded)
	{
		shmem_init();
		/* pg_upgrade runs the server with nothing but itself connected. */
		if (!IsBinaryUpgrade)
			launcher_register();
	}
}

PG_FUNCTION_INFO_V1(dbos_sys_preloaded);

Datum
dbos_sys_preloaded(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(preloaded);
}

PG_FUNCTION_INFO_V1(dbos_sys_library_version);

Datum
dbos_sys_library_version(PG_FUNCTION_ARGS)
{
	PG_RETURN_TEXT_P(cstring_to_text(DBOS_SYS_VERSION));
}
