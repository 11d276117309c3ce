/*
 * SQLSTATE class WF. sql/errors.sql raises the same codes; clients match on
 * them, so a code never changes its meaning.
 */
#ifndef DBOS_SYS_ERRORS_H
#define DBOS_SYS_ERRORS_H

#define ERRCODE_WF_INVALID_ARGUMENT MAKE_SQLSTATE('W', 'F', '0', '0', '1')
#define ERRCODE_WF_NOT_INSTALLED MAKE_SQLSTATE('W', 'F', '0', '0', '2')
#define ERRCODE_WF_INSTALL_REFUSED MAKE_SQLSTATE('W', 'F', '0', '0', '3')
#define ERRCODE_WF_VERSION_MISMATCH MAKE_SQLSTATE('W', 'F', '0', '0', '4')

#define ERRCODE_WF_NOT_FOUND MAKE_SQLSTATE('W', 'F', '0', '1', '0')
#define ERRCODE_WF_OTHER_WORKFLOW MAKE_SQLSTATE('W', 'F', '0', '1', '1')
#define ERRCODE_WF_DEDUPLICATED MAKE_SQLSTATE('W', 'F', '0', '1', '2')
#define ERRCODE_WF_WRONG_TRANSITION MAKE_SQLSTATE('W', 'F', '0', '1', '3')
#define ERRCODE_WF_OTHER_STEP MAKE_SQLSTATE('W', 'F', '0', '1', '4')
#define ERRCODE_WF_WAIT_IN_TRANSACTION MAKE_SQLSTATE('W', 'F', '0', '1', '5')
#define ERRCODE_WF_NOT_OWNER MAKE_SQLSTATE('W', 'F', '0', '1', '6')

#define ERRCODE_WF_EXECUTOR_ALIVE MAKE_SQLSTATE('W', 'F', '0', '2', '0')
#define ERRCODE_WF_INCARNATION_ENDED MAKE_SQLSTATE('W', 'F', '0', '2', '1')

#define ERRCODE_WF_UNKNOWN_QUEUE MAKE_SQLSTATE('W', 'F', '0', '3', '0')
#define ERRCODE_WF_QUEUE_UNSUPPORTED MAKE_SQLSTATE('W', 'F', '0', '3', '1')
#define ERRCODE_WF_NO_DESTINATION MAKE_SQLSTATE('W', 'F', '0', '3', '2')

#endif
