// All option aggregates. Use designated initialisers; every field has its default in place, new fields are only appended.
#pragma once

#include <chrono>
#include <cstddef>
#include <exception>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace dbos {

using Milliseconds = std::chrono::milliseconds;

enum class LogLevel { debug, info, warning, error };
// Called from any thread of the library; must not throw.
using LogSink = std::function<void(LogLevel, std::string_view)>;

struct ClientOptions {
  // Anything libpq takes: URI, key=value pairs, service=…; empty = PG* variables. Required role: the owner of the tables, or one with grant_access().
  std::string database = {};
  // Application that enqueued rows belong to and lists are limited to; empty = unclaimed rows, all applications.
  std::string application = {};
  // Upper bound of one connection attempt. Defaults to 5 s.
  Milliseconds connect_timeout{5000};
  // false: never LISTEN (transaction poolers); waits then poll. Defaults to true.
  bool listen = true;
  // Also what the server says by NOTICE (info) and WARNING to the calls.
  LogSink log = {};
  // A call gives up when the server says nothing for so long on an open connection: InDoubt where it may have changed something, else
  // ConnectionError. Not for waits (result(), get_event()), which have limits of their own. 0 = never. Defaults to 60 s.
  Milliseconds reply_timeout{60000};
};

struct RuntimeOptions {
  // Owner of the workflows, one language per application. Required.
  std::string application = {};
  // As ClientOptions::database. Required.
  std::string database = {};
  // Name of this process, unique among live processes of the application; empty = DBOS__VMID, else a fresh one for each launch.
  std::string executor_id = {};
  // Version of the code; work of other versions is left to them. Empty = DBOS__APPVERSION, else a hash of the executable
  // and the application's name.
  std::string version = {};
  // How long this executor counts as alive without a heartbeat (sent at a third of it). Defaults to 15 s.
  Milliseconds lease{15000};
  // Connections that carry flushes: one gathers while the other flushes. Defaults to 2.
  int connections = 2;
  // Threads that run workflow code and step bodies; 0 = number of cores. They grow to max_blocking_steps while bodies block.
  unsigned carriers = 0;
  unsigned max_blocking_steps = 512;
  // How long shutdown() lets runs go on before it hands them back. Defaults to 10 s.
  Milliseconds drain_timeout{10000};
  // false: launch() checks the tables instead of creating them.
  bool migrate = true;
  // false: never LISTEN (transaction poolers); wake-ups are polled, and a death is noticed by the lease alone.
  bool listen = true;
  // Longest time between two looks for work when no wake-up arrives. Defaults to 1 s.
  Milliseconds poll_interval{1000};
  // A wait at least this long gives up its stack; the run is read again when it is due. Defaults to 60 s.
  Milliseconds unload_after{60000};
  // Runs that keep a stack at the same time; beyond it, waits unload whatever their length. Defaults to 20,000 (guard pages split mappings).
  std::size_t max_stacks = 20000;
  // Stack of workflow code (step bodies run on the thread's own), at most 1 GiB. Defaults to 128 KiB.
  std::size_t stack_bytes = 128 * 1024;
  // Largest encoded value (argument, result, message). Defaults to 16 MiB.
  std::size_t max_payload = 16 * 1024 * 1024;
  // Upper bound of one connection attempt.
  Milliseconds connect_timeout{5000};
  LogSink log = {};
  // As ClientOptions::reply_timeout, for launch() too; once launched, flushes wait for two leases. Making or upgrading the tables may take
  // ten minutes.
  Milliseconds reply_timeout{60000};
};

// Starting and enqueuing share one set. Fields below the line concern queues only and are an error on a direct start.
struct StartOptions {
  // Idempotency key and identity: the same id again gives the same workflow. Empty = a fresh time-ordered uuid.
  std::string id = {};
  // The workflow is cancelled when it has not ended this long after it started to run; 0 = no timeout.
  Milliseconds timeout{0};
  // JSON object of user attributes; empty = none.
  std::string attributes_json = {};
  std::string authenticated_user = {};
  // ---- queues
  // Tenant on a partitioned queue.
  std::string partition = {};
  // 0 (first) … 2147483647.
  int priority = 0;
  // Not before this time has passed.
  Milliseconds delay{0};
  // Unique among the active workflows of the queue.
  std::string deduplication_id = {};
  // With deduplication_id: true gives the holder's handle instead of throwing Deduplicated.
  bool return_existing = false;
  // Only executors of this version take it; empty = those of the latest.
  std::string version = {};
  // Application that runs it; empty = the caller's own.
  std::string application = {};
  // Class of the target as other SDKs register it; empty = none.
  std::string class_name = {};
};

// Attempts of one step. The first attempt always happens; retries follow in place, and only the last outcome is recorded.
struct StepOptions {
  // Further attempts after the first. Defaults to 0.
  int retries = 0;
  // Wait before the first retry, then times factor each, at most cap.
  Milliseconds interval{1000};
  double factor = 2.0;
  Milliseconds cap{3600000};
  // Retry only what this returns true for; empty = every exception but Permanent.
  std::function<bool(const std::exception&)> retry_if = {};
  // An attempt that takes longer fails with StepTimeout: its std::stop_token is set, the body has to return. 0 = none.
  Milliseconds timeout{0};
  // Limit that each attempt waits for, parked, and holds a permit of while it runs (Runtime::limit(), dbos_sys.register_limit()); empty = none.
  std::string limit = {};
  // Tenant: those who wait for the limit are served in fair order of their keys.
  std::string limit_key = {};
  // The body calls another service: dbos-sys doctor counts the step among those that need a limit. A step with a limit is one anyway.
  bool outbound = false;
};

struct WorkflowOptions {
  // Executions after the first before the workflow goes to the dead letter. Defaults to 100, as every DBOS SDK.
  int max_recovery_attempts = 100;
  // Class under which other SDKs address it; empty = none.
  std::string class_name = {};
};

// What steps of all processes may do together under one name. At least one of rate and concurrency.
struct LimitOptions {
  // At most rate begin in each `per`, evenly: in a window of length w at most rate × w + burst and the one that opens it. 0 = no bound.
  double rate = 0;
  Milliseconds per{1000};
  int burst = 0;
  // Bodies that run at the same time; 0 = no bound.
  int concurrency = 0;
  // Shares of keys; 1 where not named.
  std::map<std::string, double> weights = {};
};

// What is empty stays as it is.
struct LimitChange {
  std::optional<double> rate = {};
  std::optional<Milliseconds> per = {};
  std::optional<int> burst = {};
  std::optional<int> concurrency = {};
  std::optional<std::map<std::string, double>> weights = {};
};

// When a workflow runs by the clock; it is called with (ScheduledTime, context).
struct ScheduleOptions {
  // [second] minute hour day-of-month month day-of-week, as `30 2 * * MON-FRI`; docs/schedules.md has the grammar. Required.
  std::string cron = {};
  // A name of the IANA database. A local time that is skipped there does not fire, one that comes twice fires twice.
  std::string time_zone = "UTC";
  // Empty = the internal one, which every executor of the application serves.
  std::string queue = {};
  // JSON text. Unset: null, and Client::apply_schedule() leaves that of a schedule that exists.
  std::optional<std::string> context_json = {};
  // What was missed for more than a minute is enqueued later.
  bool automatic_backfill = false;
  // Fired from the database, also while no process of the application runs. Unset: true, but Client::apply_schedule() leaves that of a schedule that
  // an SDK made.
  std::optional<bool> server = {};
  // The context as the official TypeScript SDK writes it, for a workflow of that SDK, which reads no other. Unset: false, or as a schedule that exists
  // has it; in Runtime::schedule() false.
  std::optional<bool> typescript = {};
  // Class under which another SDK registered the workflow.
  std::string class_name = {};
};

// What is empty stays as it is.
struct ScheduleChange {
  std::optional<std::string> cron = {};
  std::optional<std::string> time_zone = {};
  // "" = the internal one.
  std::optional<std::string> queue = {};
  std::optional<std::string> context_json = {};
  std::optional<bool> automatic_backfill = {};
  std::optional<bool> server = {};
};

// A copy of a workflow.
struct ForkOptions {
  // What the original recorded below this step is the copy's too; it runs on from there.
  int from_step = 0;
  // Empty = a new id, the internal queue, the original's version, no partition key.
  std::string id = {};
  std::string queue = {};
  std::string version = {};
  std::string partition = {};
};

// A run that waits until calls with its key have paused; a later call replaces the arguments of those before.
struct DebounceOptions {
  // How long calls have to pause before the run starts. Required.
  Milliseconds delay{0};
  // Starts no later than this after the first call; 0 = calls may put it off for ever.
  Milliseconds deadline{0};
  // Queue on which it is served; empty = the internal one, which every executor serves.
  std::string queue = {};
  // Of a new run: id, timeout, attributes_json, authenticated_user, version, application, class_name; the others are an error.
  StartOptions start = {};
};

struct RateLimit {
  // Starts in any period.
  std::optional<int> max = {};
  Milliseconds period{0};
};

// Whose options stand when a queue is registered that exists.
enum class QueueConflict {
  always_update,  // the caller's
  // The caller's if its version of the application is the newest; Runtime only.
  update_if_latest_version,
  never_update,  // those that are there
};

// Limits of a queue. What is not given: unlimited when a queue is registered, left as it is when one is altered; there 0 takes it away.
struct QueueOptions {
  // Runs at a time in one process; unlimited is up to what the process holds.
  std::optional<int> worker_concurrency = {};
  // Runs at a time in all processes.
  std::optional<int> concurrency = {};
  RateLimit rate = {};
  // Starts are shared among the partition keys that wait, by weights.
  std::optional<bool> fair_by_partition = {};
  // Shares of partition keys; others have 1. With fair_by_partition. Not empty replaces all of them.
  std::map<std::string, double> weights = {};
  // The same limits for each partition key. With any of these or fair_by_partition the queue is partitioned: each workflow on it needs a key.
  std::optional<int> partition_worker_concurrency = {};
  std::optional<int> partition_concurrency = {};
  RateLimit partition_rate = {};
  // How often official SDKs look for work on it. Defaults to 1 s.
  Milliseconds polling_interval{0};
  // Not for altering.
  QueueConflict on_conflict = QueueConflict::always_update;
  // Partitioned although it has no such option: each workflow needs a key, and keys are served in turn.
  std::optional<bool> partitioned = {};
};

}  // namespace dbos
