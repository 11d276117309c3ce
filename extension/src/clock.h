/*
 * Local waits are measured by a clock that nobody can set. Decisions about
 * workflows use dbos_sys.now_ms() instead, in SQL.
 */
#ifndef DBOS_SYS_CLOCK_H
#define DBOS_SYS_CLOCK_H

#include "portability/instr_time.h"

/* Milliseconds since some fixed point. */
static inline int64
clock_ms(void)
{
	instr_time	now;

	INSTR_TIME_SET_CURRENT(now);
	return (int64) INSTR_TIME_GET_MILLISEC(now);
}

#endif
