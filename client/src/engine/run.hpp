// Run: one execution of a workflow in this process, from its start or claim until its end is durable, or the enqueuing of one.
//
// A run's life: starting → active ⇄ parked → ended; a long wait goes through unloaded (no stack, no recorded steps) and back by a load.
// What crosses from the fiber to the I/O thread is the outbox; it leaves whole, in order, and is never in two trips at once.
//
// Locking: members marked (mu) belong to Engine::mu_; the others belong to whoever runs the fiber, and before that to its creator.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <exception>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "engine/carriers.hpp"
#include "engine/fiber.hpp"
#include "engine/registry.hpp"
#include "store/store.hpp"

namespace dbos {
class StepContext;
}

namespace dbos::detail {

class Engine;
class Run;

// "For ever", in a form that can be added to a clock's reading.
inline constexpr std::chrono::milliseconds kLongestWait{std::chrono::hours(24 * 36525)};

enum class StopReason : char {
  none,
  lost,      // cancelled, or another executor owns it: nothing more is written
  unload,    // a long wait: comes back by load
  shutdown,  // handed back to the queue
  dead,      // goes to the dead letter with Run::dead_error
};

// Thrown through user code when its run must stop. Not a std::exception, so that ordinary handlers let it pass; every later call throws it again.
struct Stop {
  StopReason reason;
};

struct ChildStart {
  std::shared_ptr<Run> run;
  int function_id = 0;
};

// What waits for the next trip of a run.
struct Outbox {
  bool start = false;
  bool check = false;  // only the ownership check
  std::vector<StepItem> steps = {};
  std::vector<OpItem> ops = {};
  std::vector<ChildStart> children = {};
  FinalStatus final = FinalStatus::none;
  std::optional<std::string> output = {};
  std::optional<std::string> error = {};

  bool empty() const noexcept { return !start && !check && steps.empty() && ops.empty() && children.empty() && final == FinalStatus::none; }
  std::size_t bytes() const noexcept;
};

enum class WaitKind : char { none, settled, woken };

class Run final : public Runnable, public std::enable_shared_from_this<Run> {
 public:
  explicit Run(Engine& owner) : engine(owner) {}

  // On a carrier: runs the fiber until it has to wait or has ended.
  void run() override;

  // ---- on the fiber
  // Everything so far is durable when it returns; throws Stop.
  void settle();
  void throw_if_stopped();
  // As settle(), with an ownership check when the run has waited since its last trip, or the process has stood still: before anything
  // outside the database.
  void settle_before_body();
  // Parks until the deadline or a notification for one of its watches; may throw Stop{unload}. True when there was one: whoever watches has
  // to look again before the next wait.
  bool wait_until(MonotonicTime deadline, bool may_unload);
  OpReply operate(int function_id, std::string kind, std::string args);
  // Waits for a watched key; gives up the stack only when the wait turns out long.
  void wait_for_watch(MonotonicTime deadline);
  // From a step body: written at once, not recorded, waited for by blocking.
  OpReply operate_from_body(int function_id, std::string kind, std::string args);
  // Queued, not waited for.
  void operate_later(int function_id, std::string kind, std::string args);
  void record(StepItem step);
  // The record of a function id, nullptr when it has not happened yet. A record under another name sends the run to the dead letter.
  const RecordedStep* recorded_step(int function_id, std::string_view expected);
  [[noreturn]] void die(std::string error_name, std::string message);

  // ---- identity
  Engine& engine;
  std::string id;
  std::string token;
  std::string name;
  std::string class_name;
  std::string queue;
  std::string inputs;
  const Registration* registration = nullptr;  // nullptr: an enqueue, nothing to run here
  std::string serialization;                   // tag of the inputs
  std::string start_options;                   // flush's options as a JSON object, "" = none
  bool generated_id = false;

  // ---- the fiber's
  std::unique_ptr<Fiber> fiber;
  std::vector<RecordedStep> recorded;
  int next_function_id = 0;
  std::int64_t attempts = 1;
  bool first_run = true;  // no executor had it before
  std::int64_t deadline_ms = 0;
  bool unchecked = false;  // has waited since its last trip
  // When the trip was sent by which the database last said that the run is ours.
  std::atomic<MonotonicTime> confirmed{MonotonicTime{}};
  std::optional<std::stop_source> stop_source;
  std::string dead_error;

  // ---- (mu)
  Outbox outbox;
  bool in_flight = false;
  bool dirty = false;    // in Engine::dirty_
  bool parked = false;   // not on a carrier, not posted
  bool started = false;  // the start is durable
  bool ended = false;    // nothing more happens here; outcome or failure say how
  bool unloaded = false;
  bool loading = false;    // asked for by a trip: a second one would bring an older picture back
  bool began = false;      // its code has begun
  bool code_done = false;  // its code has ended; what is left is in the outbox or on its way
  bool counted = false;    // holds a place of its queue
  bool held = false;       // counts among those that its queue holds
  bool ending = false;     // and among those of them whose end is on its way
  bool woken = false;      // the wait is over
  bool notified = false;   // … by one of its watches, whether or not its time was over before
  WaitKind wait = WaitKind::none;
  std::uint64_t wait_number = 0;
  StopReason stop = StopReason::none;
  std::vector<std::string> watched;
  std::string limit_ticket;     // waits, or has begun under a limit; "" = neither
  std::shared_ptr<Run> posted;  // itself, while a carrier is to run it
  OpReply op_reply;
  RunReply start_reply;                    // existing, conflicting or deduplicated start
  std::optional<WorkflowOutcome> outcome;  // how it ended, when it ended here
  std::exception_ptr failure;              // why it did not
  bool elsewhere = false;                  // goes on outside this process: ask the database
  MonotonicTime started_at{};
  std::unique_ptr<std::condition_variable> changed;  // made by the first thread that waits
  int refusals = 0;

 private:
  friend class Engine;
  struct Exit {
    FinalStatus status = FinalStatus::none;
    StopReason stop = StopReason::none;
    std::optional<std::string> output = {};
    std::optional<std::string> error = {};
  };

  void execute() noexcept;
  bool begin(std::size_t freed);
  bool ready() const noexcept;  // (mu)
  void leave();                 // (mu)

  Exit exit_;
};

// The run whose fiber this thread is on, nullptr elsewhere (also inside a step body).
Run* current_run() noexcept;
// The run that this thread executes, on the fiber or on the carrier's stack; nullptr elsewhere.
Run* thread_run() noexcept;
// The run whose step body this thread executes, nullptr elsewhere.
Run* current_body_run() noexcept;

// Marks the time in which a step body runs on this thread.
class BodyScope {
 public:
  explicit BodyScope(Run& run) noexcept;
  ~BodyScope();
  BodyScope(const BodyScope&) = delete;
  BodyScope& operator=(const BodyScope&) = delete;

 private:
  Run* previous_;
};

}  // namespace dbos::detail
