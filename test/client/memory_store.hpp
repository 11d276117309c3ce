// An in-memory system database with a fake clock: the engine's own tests need no server and no waiting.
// MemoryDatabase holds the rows and may be shared by several executors; MemoryStore is one executor's connection to it, with faults on demand.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "store/store.hpp"

namespace dbos::testing {

using namespace dbos::detail;

class FakeClock {
 public:
  MonotonicTime now() const {
    std::lock_guard lock(mutex_);
    return now_;
  }
  void advance(std::chrono::milliseconds by) {
    {
      std::lock_guard lock(mutex_);
      now_ += by;
    }
    for (auto& listener : listeners_) listener();
  }
  void on_advance(std::function<void()> listener) { listeners_.push_back(std::move(listener)); }

 private:
  mutable std::mutex mutex_;
  MonotonicTime now_{std::chrono::hours(1)};
  std::vector<std::function<void()>> listeners_;
};

struct MemoryRow {
  std::string status;
  std::string name;
  std::string queue;
  std::string owner;
  std::string creator;
  std::string inputs;
  std::string executor;
  std::int64_t attempts = 0;
  std::optional<std::string> output = {};
  std::optional<std::string> error = {};
  int inserts = 0;
  int updates = 0;
};

// As the database's limits, but for fair order and leases: tickets are served in the order in which they came.
struct MemoryLimit {
  std::int64_t interval_ms = 0;  // 0 = no rate
  int concurrency = 0;           // 0 = no bound
  std::int64_t next_ms = 0;
  std::int64_t held_until = 0;
  std::deque<std::string> waiting = {};
  std::set<std::string> permits = {};
  int most_permits = 0;
  std::vector<std::int64_t> starts = {};  // of all grants
};

struct MemoryDatabase {
  std::mutex mutex;
  std::map<std::string, MemoryRow> rows;
  std::map<std::pair<std::string, int>, RecordedStep> steps;
  std::set<std::string> locked;                      // ids whose row another transaction holds
  std::map<std::string, bool> stutter;               // ids that are locked at every other flush, beginning with the next when true
  std::set<std::string> refused_once;                // ids whose records are refused at the next flush, and nobody else's
  std::set<std::string> poison;                      // a flush with this id fails with an SQLSTATE that no other try passes
  std::multimap<std::string, std::string> messages;  // id → message
  std::set<std::string> keys;                        // of messages
  std::map<std::pair<std::string, std::string>, std::string> events;
  std::map<std::string, MemoryLimit> limits;
  std::vector<std::pair<std::string, std::string>> outbound;  // steps that were declared, and their limits
  std::map<std::string, QueueReport> reports;                 // by queue: what each claim of it finds out
  std::map<std::string, int> rooms;                           // by queue: how many of it may be PENDING

  void report(QueueReport what) {
    std::lock_guard lock(mutex);
    reports.insert_or_assign(what.queue, what);
  }
  MemoryRow row(const std::string& id) {
    std::lock_guard lock(mutex);
    auto found = rows.find(id);
    return found == rows.end() ? MemoryRow{} : found->second;
  }
  void put(const std::string& id, MemoryRow row) {
    std::lock_guard lock(mutex);
    rows[id] = std::move(row);
  }
  RecordedStep step(const std::string& id, int function_id) {
    std::lock_guard lock(mutex);
    auto found = steps.find({id, function_id});
    return found == steps.end() ? RecordedStep{} : found->second;
  }
  int count_steps(const std::string& id) {
    std::lock_guard lock(mutex);
    int count = 0;
    for (auto& [key, step] : steps) count += key.first == id ? 1 : 0;
    return count;
  }
  void enqueue(const std::string& id, const std::string& name, const std::string& inputs, const std::string& queue = "_dbos_internal_queue") {
    std::lock_guard lock(mutex);
    rows[id] = MemoryRow{.status = "ENQUEUED", .name = name, .queue = queue, .owner = "", .creator = "", .inputs = inputs, .executor = ""};
  }
  void cancel(const std::string& id) {
    std::lock_guard lock(mutex);
    rows[id].status = "CANCELLED";
    rows[id].owner.clear();
  }
  // From the dead letter, as dbos_sys.resume() does it: attempts from 0, the executor stays.
  void resume(const std::string& id) {
    std::lock_guard lock(mutex);
    auto& row = rows[id];
    row.status = "ENQUEUED";
    row.queue = "_dbos_internal_queue";
    row.attempts = 0;
    row.error.reset();
  }
  void requeue(const std::string& id) {
    std::lock_guard lock(mutex);
    auto& row = rows[id];
    row.status = "ENQUEUED";
    row.owner.clear();
    if (row.queue.empty()) row.queue = "_dbos_internal_queue";
  }
};

enum class Fault { none, reply_lost, never_sent, transient };

class MemoryStore final : public Store {
 public:
  MemoryStore(std::shared_ptr<MemoryDatabase> database, std::shared_ptr<FakeClock> clock);

  void open(const Identity& identity, bool migrate, Listener listener) override;
  int free_lanes() override;
  void send(std::shared_ptr<const Trip> trip, Done done) override;
  void poll(MonotonicTime until) override;
  void wake() noexcept override;
  MonotonicTime now() const override { return clock_->now(); }
  void close() noexcept override {}

  // ---- the test's side, any thread
  // Trips are committed at once but answered only afterwards, while held; neither, while paused.
  void hold(bool on);
  void pause(bool on);
  // The next trip with a flush, or with a claim.
  void fail_next(Fault fault);
  void fail_next_claim(Fault fault);
  void fail_next_limits(Fault fault);
  // Sees each trip as it is sent.
  void watch(std::function<void(const Trip&)> watcher);
  // Trips that load runs are committed at once and answered in their order, one for each release_load(), while held.
  void hold_loads(bool on);
  void release_load();
  // Trips that claim are committed at once and answered after this is off again.
  void hold_claims(bool on);
  int loads_waiting() const;
  // Trips that carry anything but a flush fail for good.
  void fail_companions(bool on);
  void notify(const std::string& channel, const std::string& payload);
  // How often the executor registered.
  int opens() const;
  // Trips that were answered, and those of them with a flush.
  int trips() const;
  int flushes() const;
  // The I/O thread waits in poll() for what others do: it has seen every notification and answer.
  bool idle() const;
  // A run was in two trips under way at the same time.
  bool overlapped() const;
  // A claim said that fewer runs of a queue are held than are PENDING by this executor's claims.
  bool miscounted() const;
  // Waits until condition() holds after some answered trip; false after 10 s of real time.
  bool wait_for(const std::function<bool()>& condition);
  // Flushes that are held back.
  int flushes_waiting() const;
  std::set<std::string>
      end_incarnation;  // their heartbeats are told that they have ended, their starts are refused (guarded by the database's mutex)

 private:
  struct Pending {
    std::shared_ptr<const Trip> trip;
    Done done;
    bool committed = false;
    bool withheld = false;
    TripReply reply = {};
  };
  bool due(const Pending& pending) const;
  TripReply commit(const Trip& trip, Fault fault);
  void flush(const FlushRequest& request, TripReply& reply);
  RunReply flush_run(const RunItem& item, bool careful, std::set<int>& held, int index);
  OpReply operate(const FlushRequest& request, const OpItem& op);
  void claim(const ClaimRequest& request, TripReply& reply);
  void serve_limits(const LimitRequest& request, TripReply& reply);
  void serve_limit(const std::string& name, MemoryLimit& limit, TripReply& reply);
  ClaimedRun claimed(const std::string& id, const MemoryRow& row);

  std::shared_ptr<MemoryDatabase> database_;
  std::shared_ptr<FakeClock> clock_;
  Identity identity_;
  Listener listener_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Pending> pending_;
  std::deque<Notification> notifications_;
  std::deque<Fault> faults_;
  std::deque<Fault> claim_faults_;
  std::deque<Fault> limit_faults_;
  std::multiset<std::string> under_way_;
  bool woken_ = false;
  bool idle_ = false;
  bool held_ = false;
  bool paused_ = false;
  std::function<void(const Trip&)> watch_;
  bool hold_loads_ = false;
  bool hold_claims_ = false;
  bool fail_companions_ = false;
  bool overlapped_ = false;
  bool miscounted_ = false;
  int trips_ = 0;
  int flushes_ = 0;
  int opens_ = 0;
};

}  // namespace dbos::testing
