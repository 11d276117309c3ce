// The seam between the engine and the database. The engine sees trips and replies and no SQL; pg_store.cpp is the only file that
// names SQL functions; a test's in-memory store and fake clock implement the same interface.
// May include: std only. Must not know: fibers, user types, JSON.
//
// A trip is one transaction and one network round trip. Its parts run in the order of the members of Trip; a flush comes before a claim.
// Thread safety: everything is called on the engine's I/O thread, but wake() (any thread).
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace dbos::detail {

using MonotonicTime = std::chrono::steady_clock::time_point;

// dead: MAX_RECOVERY_ATTEMPTS_EXCEEDED with an error text, resumable.
enum class FinalStatus : char { none, success, error, dead };

// One run of a flush: a start (is_new), or a run that this executor owns by token.
struct RunItem {
  std::string id;
  std::string token;
  bool is_new = false;
  // Of new runs only. options: JSON object as dbos_sys.flush documents it, empty = none.
  std::string name = {};
  std::string inputs = {};
  std::string options = {};
  // The run ends in this flush.
  FinalStatus status = FinalStatus::none;
  std::optional<std::string> output = {};
  std::optional<std::string> error = {};
};

// A checkpoint. run: index into FlushRequest::runs. Times: epoch ms by the server's clock as the client estimates it.
struct StepItem {
  int run = 0;
  int function_id = 0;
  std::string name;
  std::optional<std::string> output = {};
  std::optional<std::string> error = {};
  std::int64_t started_ms = 0;
  std::int64_t completed_ms = 0;
};

// An operation whose outcome the database decides (sleep, send, recv, get_result …). args: JSON object text.
struct OpItem {
  int run = 0;
  int function_id = 0;
  std::string kind;
  std::string args;
};

struct FlushRequest {
  // true: the same flush was sent before and its outcome is unknown, or a duplicate key was met.
  bool careful = false;
  std::vector<RunItem> runs = {};
  std::vector<StepItem> steps = {};
  std::vector<OpItem> ops = {};
};

// A place in the order of a queue's waiting runs: lowest priority number, then oldest.
struct QueuePlace {
  std::int32_t priority = 0;
  std::int64_t created_ms = 0;
};

struct QueueLimit {
  std::string queue;
  int limit = 0;
  std::optional<QueuePlace> from = {};  // nullopt: the head
  std::optional<int> running = {};      // of its runs this executor holds; nullopt: the database counts them
};

// What a claim found out about a queue, besides the runs that it took.
struct QueueReport {
  std::string queue;
  bool waits = false;                                         // a concurrency limit is reached: the end of a run makes room
  std::optional<std::chrono::milliseconds> retry_after = {};  // there may be more then
  std::chrono::microseconds cost{0};                          // of the walk through the queue's index
  std::optional<QueuePlace> last = {};                        // of the runs taken
  int workers = 0;                                            // worker_concurrency as it is now; 0 = none
};

// What this process can run; sent with every claim.
struct ClaimFilter {
  std::vector<std::string> names;
  std::vector<std::string> classes;  // parallel to names, "" = none
  std::vector<int> max_attempts;     // parallel to names
};

struct ClaimRequest {
  std::string token;
  std::vector<QueueLimit> queues;
  std::shared_ptr<const ClaimFilter> filter;
};

// Leave to begin under a limit. key: the tenant, may be empty.
struct LimitAsk {
  std::string ticket;
  std::string limit;
  std::string key;
};

// All that this process has with limits; see dbos_sys.limit_trip. Also a sign of life that keeps its tickets and permits.
struct LimitRequest {
  bool listens = false;
  std::vector<LimitAsk> asks = {};
  std::vector<std::string> waits = {};  // limits that tickets asked for earlier wait for
  std::vector<std::string> releases = {};
  std::vector<std::pair<std::string, std::int64_t>> holds = {};  // limit, ms
};

enum class LimitWord : char {
  granted,  // name: ticket; may begin in `ms`
  permit,   // likewise, and is to be given back
  ask,      // name: limit; ask again in `ms`
  unknown,  // name: limit; not registered
};

struct LimitAnswer {
  LimitWord word = LimitWord::ask;
  std::string name;
  std::int64_t ms = 0;
};

struct RunKey {
  std::string id;
  std::string token;
};

struct Identity {
  std::string application;
  std::string executor;
  std::string incarnation;
  std::string version;
  std::chrono::milliseconds lease{15000};
};

// A step that calls another service, and the limit that it waits for; empty = none.
struct OutboundStep {
  std::string name;
  std::string limit;
};

struct Trip {
  std::optional<FlushRequest> flush = {};
  std::vector<RunKey> load = {};           // held runs to be read again
  std::vector<std::string> outcomes = {};  // ids whose end is asked for
  bool heartbeat = false;                  // with held and a claim one statement
  bool held = false;                       // list PENDING rows under this executor
  std::vector<RunKey> give_back = {};
  bool maintain = false;                    // run every tick once: no background worker does it
  std::vector<OutboundStep> outbound = {};  // declared for the first time in this process
  bool retire = false;                      // clean shutdown: hand everything back, end the incarnation
  std::optional<ClaimRequest> claim = {};
  std::optional<LimitRequest> limits = {};  // alone in its trip: it may wait for the lock of a limit
};

struct RecordedStep {
  int function_id = 0;
  std::string name;
  std::optional<std::string> output = {};
  std::optional<std::string> error = {};
  std::string child_id = {};
  std::string serialization = {};
};

// A workflow as claim and load give it: everything that a replay needs.
struct ClaimedRun {
  std::string id;
  std::string token;
  std::string name;
  std::string class_name;
  std::string queue;
  std::optional<std::string> inputs;
  std::string serialization;
  std::int64_t attempts = 0;
  bool first_run = false;  // claim only: no executor has had it before; attempts begin anew with a resume
  std::int64_t timeout_ms = 0;
  std::int64_t deadline_ms = 0;
  std::string parent_id;
  std::string partition;
  std::vector<RecordedStep> steps;  // by function_id, ascending
};

enum class RunState { done, lost, busy, exists, conflict, deduplicated, refused };

struct WorkflowOutcome {
  std::string id;
  std::string status;  // empty: no such row; otherwise the terminal status
  std::optional<std::string> output = {};
  std::optional<std::string> error = {};
  std::string serialization = {};
};

struct RunReply {
  RunState state = RunState::done;
  std::string value = {};                       // exists: status; conflict: recorded name; deduplicated: holder's id; refused: SQLSTATE
  std::string detail = {};                      // text for messages
  std::string holder = {};                      // exists through return_existing: the holder's id
  std::optional<WorkflowOutcome> outcome = {};  // lost, and the row is terminal
};

enum class OpState { ok, none, error, wait };

struct OpReply {
  OpState state = OpState::ok;
  std::optional<std::string> value = {};
  std::string serialization = {};
};

enum class TripError {
  none,
  not_sent,   // no connection: nothing reached the server
  in_doubt,   // connection lost after sending: committed or not
  transient,  // rolled back by an SQLSTATE that another try may pass; careful is wanted after a duplicate key
  permanent,  // rolled back, would fail again
};

struct TripReply {
  TripError error = TripError::none;
  std::string sqlstate = {};
  std::string message = {};
  std::string hint = {};
  std::vector<RunReply> runs = {};  // parallel to the flush's runs
  std::vector<OpReply> ops = {};    // parallel to the flush's ops
  std::vector<ClaimedRun> loaded = {};
  std::vector<WorkflowOutcome> outcomes = {};
  std::vector<RunKey> held = {};
  std::vector<ClaimedRun> claimed = {};
  std::vector<LimitAnswer> limits = {};
  std::vector<QueueReport> queues = {};          // claim only: of queues that were looked at
  std::vector<std::string> unknown_queues = {};  // of the flush's new runs: nobody registered them
  bool ended = false;                            // heartbeat, or an error WF021: this incarnation has ended
  bool maintained = true;                        // heartbeat: a background worker ticks
  bool claim_refused = false;                    // the error came from the claim: what else was in the trip may be sent again without it
  std::int64_t server_now_ms = 0;                // 0: not told
};

struct Notification {
  std::string channel;  // empty: a (re)connection, anything may have been missed
  std::string payload;
};

class Store {
 public:
  using Done = std::function<void(TripReply&&)>;
  using Listener = std::function<void(const Notification&)>;

  Store() = default;
  Store(const Store&) = delete;
  Store& operator=(const Store&) = delete;
  virtual ~Store() = default;

  // Connects, checks or creates the tables (migrate), registers the executor. Blocks; throws dbos::Error.
  virtual void open(const Identity& identity, bool migrate, Listener listener) = 0;
  // Trips that can be sent now; 0 while all lanes are busy or the connection is being re-made (with back-off and jitter).
  virtual int free_lanes() = 0;
  // done is called from poll(), never from send(). The trip is shared so that the engine can send it again after an unknown outcome.
  virtual void send(std::shared_ptr<const Trip> trip, Done done) = 0;
  // Waits for replies, notifications, a free lane after a reconnect or wake(), at most until `until`; runs the callbacks.
  virtual void poll(MonotonicTime until) = 0;
  virtual void wake() noexcept = 0;
  virtual MonotonicTime now() const = 0;
  // Ends the connections; trips under way are answered in_doubt first.
  virtual void close() noexcept = 0;
};

}  // namespace dbos::detail
