// Rows of the system database as the client reports them. Times are epoch milliseconds of the server; 0 = not set.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "dbos/options.hpp"

namespace dbos {

// Persisted as text in workflow_status.status; the enumerators are not persisted.
enum class Status { enqueued, delayed, pending, success, error, cancelled, max_recovery_attempts_exceeded, unknown };

std::string to_string(Status status);
// Status::unknown for a text that no SDK writes.
Status status_from_string(const std::string& text);
inline bool is_terminal(Status s) { return s != Status::enqueued && s != Status::delayed && s != Status::pending && s != Status::unknown; }

struct WorkflowInfo {
  std::string id;
  Status status = Status::unknown;
  std::string name;
  std::string class_name;
  std::string application;
  std::string version;
  std::string executor_id;
  std::string queue;
  std::string partition;
  std::string deduplication_id;
  std::string parent_id;
  std::string forked_from;
  std::string authenticated_user;
  std::string attributes_json;
  std::string serialization;
  int priority = 0;
  std::int64_t attempts = 0;
  std::int64_t created_at = 0;
  std::int64_t started_at = 0;
  std::int64_t updated_at = 0;
  std::int64_t completed_at = 0;
  std::int64_t delay_until = 0;
  std::int64_t timeout_ms = 0;
  std::int64_t deadline = 0;
  // Text as recorded (portable_json where serialization says so).
  std::optional<std::string> inputs = {};
  std::optional<std::string> output = {};
  std::optional<std::string> error = {};
};

// A limit that steps share; 0 = no bound.
struct LimitInfo {
  std::string name;
  double rate = 0;
  std::int64_t per_ms = 0;
  int burst = 0;
  int concurrency = 0;
  std::string weights_json;
  std::int64_t waiting = 0;
  std::int64_t holding = 0;  // permits, and slots that are about to be told
  std::int64_t granted = 0;
  std::int64_t held_until = 0;  // 0 = not held
};

struct StepInfo {
  int function_id = 0;
  std::string name;
  std::string child_id;
  std::string serialization;
  std::int64_t started_at = 0;
  std::int64_t completed_at = 0;
  std::optional<std::string> output = {};
  std::optional<std::string> error = {};
};

// A line of what is recorded of a workflow.
struct HistoryEntry {
  std::int64_t at = 0;  // epoch ms, 0 = not known
  // created, started, step, child, message, event, stream, or the status in which it ended.
  std::string what;
  int function_id = -1;  // -1 = of no step
  std::string name;
  std::optional<std::string> value = {};
  std::optional<std::string> error = {};
  // From the archive, not from the tables.
  bool archived = false;
};

struct ScheduleInfo {
  std::string name;
  std::string workflow;
  std::string class_name;
  std::string cron;
  // Empty: that of the application's process, which only its SDK knows.
  std::string time_zone;
  bool paused = false;
  std::string queue;
  // Owner; empty = any application's.
  std::string application;
  bool automatic_backfill = false;
  // As who fired wrote it; empty = never.
  std::string last_fired_at;
  // When the database fires it next; 0 = it does not.
  std::int64_t next_at = 0;
  // Why the database leaves it to its application; empty = it fires it.
  std::string obstacle;
  // Where an automatic backfill stopped because there was too much; 0 = none did.
  std::int64_t backfill_from = 0;
};

struct BackfillReport {
  int runs = 0;      // times of the range
  int enqueued = 0;  // those of them that had no run yet
  // The same call from here goes on; 0 = that was all.
  std::int64_t rest_from = 0;
};

struct QueueInfo {
  std::string name;
  // Owner; empty = any application's.
  std::string application;
  // Limits that are not there are not given.
  QueueOptions options;
  bool partitioned = false;
  bool paused = false;
  std::int64_t created_at = 0;
  std::int64_t updated_at = 0;
};

// A queue that nobody registered, with what waits there.
struct UnregisteredQueue {
  std::string name;
  std::int64_t waiting = 0;
  // When the oldest of them was made; ms since 1970.
  std::int64_t oldest = 0;
};

}  // namespace dbos
