#ifndef DBOS_SYS_LAUNCHER_H
#define DBOS_SYS_LAUNCHER_H

/* Registers the launcher; only while the server starts. */
extern void launcher_register(void);

#endif
