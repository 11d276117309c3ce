// Rows of the SQL functions → the structs of store.hpp. Columns are those that the statements in pg_trip.cpp and pg_client.cpp select,
// in their order. Functions throw std::runtime_error for what no server of a fitting version sends.
#pragma once

#include <string>
#include <unordered_map>
#include <vector>

#include "pg/params.hpp"
#include "pg/result.hpp"
#include "store/store.hpp"

namespace dbos::detail {

// flush(): fills runs and ops of the reply, which have the sizes of the request.
inline constexpr const char* kFlushColumns =
    "f.part, f.idx, f.state, f.value, f.info OPERATOR(pg_catalog.->>) 'status', f.info OPERATOR(pg_catalog.->>) 'output', "
    "f.info OPERATOR(pg_catalog.->>) 'error', f.info OPERATOR(pg_catalog.->>) 'serialization', f.info OPERATOR(pg_catalog.->>) 'id', f.info::text";
void read_flush(const pg::Result& rows, const FlushRequest& request, TripReply& reply);

// claim() and load(); claim() tells also which are first runs.
inline constexpr const char* kClaimColumns =
    "c.id, c.name, c.class_name, c.queue_name, c.inputs, c.serialization, c.attempts, c.timeout_ms, c.deadline_ms, c.parent_id, c.partition_key, "
    "c.step_ids, c.step_names, c.step_outputs, c.step_errors, c.step_children, c.step_serializations, c.now_ms";
inline constexpr const char* kClaimOnlyColumns = ", c.first_run, c.waits, c.retry_ms, c.walk_us, c.priority, c.created_at, c.workers";
// Behind them, of beat(): in each row the same; without a run or report the row has nothing else.
inline constexpr const char* kBeatColumns = "b.state, b.now_ms, b.maintained, b.ids, b.tokens";
void read_beat(const pg::Result& rows, TripReply& reply);
void read_claimed_and_beat(const pg::Result& rows, const std::string& token, TripReply& reply);
// Tokens are not in the rows: one for all (claim), or by id (load).
void read_claimed(const pg::Result& rows, const std::string& token, TripReply& reply);
void read_loaded(const pg::Result& rows, const std::vector<RunKey>& keys, std::vector<ClaimedRun>& runs, std::int64_t& now_ms);

inline constexpr const char* kOutcomeColumns = "o.id, o.status, o.output, o.error, o.serialization";
void read_outcomes(const pg::Result& rows, std::vector<WorkflowOutcome>& outcomes);

// kind, name, wait_ms
void read_limits(const pg::Result& rows, std::vector<LimitAnswer>& answers);

void read_held(const pg::Result& rows, std::vector<RunKey>& held);
// state, now_ms, maintained
void read_heartbeat(const pg::Result& rows, TripReply& reply);

}  // namespace dbos::detail
