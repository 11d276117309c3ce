// Engine: runs of this process on fibers over carriers, and one I/O thread that packs what they have to say into trips.
//
// Threads: carriers run fibers and step bodies; the I/O thread owns the store, timers and claims; callers start and wait.
// May include: store/store.hpp, codec. Must not know: SQL, libpq, public handles.
// Lock order: closing_, then mu_; the carrier pool's and the store's locks are taken inside it, never the reverse.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <queue>
#include <set>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

#include "dbos/options.hpp"
#include "dbos/records.hpp"
#include "engine/carriers.hpp"
#include "engine/limiter.hpp"
#include "engine/registry.hpp"
#include "engine/run.hpp"
#include "engine/stack.hpp"
#include "store/store.hpp"
#include "store/unknown_queue.hpp"

namespace dbos::detail {

inline constexpr int kPerClaim = 500;

struct ServedQueue {
  std::string name;
  int worker_concurrency = 0;
  int running = 0;      // runs that hold a place
  int ending = 0;       // runs whose code has ended, and whose end is not written yet
  int held = 0;         // runs that are PENDING in the database by our claims, waiting ones too
  bool due = true;      // may hold claimable work: told by a wake-up, the poll, or a claim that came back full
  bool waits = false;   // its concurrency is used up: the end of a run here makes it due
  bool ended = false;   // a run here has ended since the claim was sent
  bool missed = false;  // and the claim did not see it
  // Runs that a claim takes at most. Half of what may run at a time: one half is claimed while the ends of the other are written.
  int per_claim = kPerClaim;
  MonotonicTime retry_at{};  // due then; none when zero
  // A head that is dear to walk (dead or foreign entries that vacuum has to keep, or those of what was taken a moment ago) is walked again only
  // when ten times its cost has passed; until then claims begin at the last run taken.
  std::optional<QueuePlace> place = {};
  MonotonicTime next_head{};

  MonotonicTime next_ask{};  // full as it is, it is asked then how much it may hold by now

  // How many more may run here. Without worker concurrency, as many as may run may be ending besides.
  int places() const;
  // Takes the queue's worker_concurrency, 0 = none. Claims keep to the limit that the row has then; here it only makes room for more than the usual
  // number.
  void bound_by(int workers);
};

struct StartRequest {
  std::string name;
  std::string class_name;
  std::string id;     // "" = make one
  std::string queue;  // "" = direct
  std::string inputs;
  std::string options;  // JSON object text or ""
};

// Runs of a queue without worker concurrency that execute in this process at most; those that sleep or wait do not count.
inline constexpr int kDefaultInFlight = 1000;
inline constexpr std::size_t kAllOutcomes = static_cast<std::size_t>(-1);
inline constexpr std::string_view kInternalQueue = "_dbos_internal_queue";

class Engine : public std::enable_shared_from_this<Engine> {
 public:
  Engine(const RuntimeOptions& options, Registry registry, std::unique_ptr<Store> store);
  ~Engine();
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  void serve(ServedQueue queue);
  void open(const Identity& identity, bool migrate);
  // Runs go on for `drain`, then are stopped and handed back.
  void close(Milliseconds drain);

  // ---- any thread
  std::shared_ptr<Run> start(StartRequest request);
  void wait_durable(const std::shared_ptr<Run>& run);
  // The end of a workflow, run here or elsewhere; nullopt after timeout (nullopt: wait for ever).
  std::optional<WorkflowOutcome> wait_outcome(const std::string& id, const std::shared_ptr<Run>& run, std::optional<Milliseconds> timeout);
  // What the database answered to a start; only when it is durable or refused.
  RunReply start_reply(const Run& run) const;
  const Identity& identity() const noexcept { return identity_; }
  // Set before open(): reads a status row by a blocking call of its own.
  std::function<WorkflowInfo(const std::string&)> workflow_info;
  void log(LogLevel level, std::string_view message) const noexcept;

  // ---- the fiber's side (run.cpp, waits.cpp, context.cpp)
  std::int64_t server_now_ms() const noexcept;
  MonotonicTime from_server_ms(std::int64_t epoch_ms) const noexcept;
  MonotonicTime now() const { return store_->now(); }
  // The step calls another service: told to the database with the next heartbeat, once in this process.
  void declare_outbound(std::string_view step, const std::string& limit);
  std::shared_ptr<Run> make_child(Run& parent, int function_id, StartRequest request);
  void watch(Run& run, const std::string& key);
  void end_watch(Run& run);
  // Requests the stop of a step body when its time is over; cancelled by letting the ticket die.
  std::shared_ptr<bool> stop_body_at(MonotonicTime when, std::stop_source source);
  const RuntimeOptions& options() const noexcept { return options_; }
  CarrierPool& carriers() noexcept { return carriers_; }

 private:
  friend class Run;
  friend class StepBody;

  struct Parcel {
    std::shared_ptr<Run> run;
    Outbox outbox;
    int first_run = 0;  // index in the flush
  };
  struct Shipment {
    std::vector<Parcel> parcels = {};
    std::shared_ptr<Trip> trip;
    std::vector<int> op_owner = {};  // parcel of each op
    int attempt = 0;
    MonotonicTime not_before{};
    MonotonicTime sent{};
  };
  struct Timer {
    MonotonicTime when;
    std::weak_ptr<Run> run;  // or a body:
    std::uint64_t wait_number = 0;
    std::weak_ptr<bool> ticket = {};
    std::optional<std::stop_source> body = {};
    bool operator>(const Timer& other) const { return when > other.when; }
  };
  struct ForeignWait {
    int waiters = 0;
    std::optional<WorkflowOutcome> outcome = {};
    std::condition_variable changed = {};
  };

  // engine.cpp: life and the loop
  void loop();
  MonotonicTime next_timer() const;
  MonotonicTime next_look() const;
  bool send_something();
  void take_companions(Trip& trip);
  Milliseconds ride_window() const;
  void beat(Trip& trip);
  void notified(const Notification& notification);
  void some_ended();
  void hurry_held(MonotonicTime when);
  void rejoin();
  void hand_back_and_leave();

  // packer.cpp: trips out, replies in
  std::vector<Parcel> take_parcels();
  void pack(Shipment& shipment);
  void pack_parcel(Shipment& shipment, std::size_t index);
  void ship(std::shared_ptr<Shipment> shipment);
  void replied(const std::shared_ptr<Shipment>& shipment, TripReply&& reply);
  void send_again(const std::shared_ptr<Shipment>& shipment, const TripReply& reply);
  void split(const std::shared_ptr<Shipment>& shipment, const TripReply& reply);
  void refuse(Parcel& parcel, const std::string& sqlstate, const std::string& message);
  void apply(Shipment& shipment, TripReply& reply);
  void apply_parcel(Parcel& parcel, Shipment& shipment, TripReply& reply);
  void apply_child(ChildStart& child, const RunReply& reply, MonotonicTime sent);
  void apply_start(Run& run, const RunReply& reply);
  void compare_held(const Shipment& shipment, const TripReply& reply);

  // runs.cpp: (mu) unless said otherwise
  std::shared_ptr<Run> find_or_register(const std::shared_ptr<Run>& run);
  void mark_dirty(Run& run);
  void resume_if_ready(Run& run);
  void post_ready();
  void queue_stale_starts();
  void finish(Run& run, std::optional<WorkflowOutcome> outcome, std::exception_ptr failure, bool elsewhere);
  void stop_run(Run& run, StopReason reason);
  void limit_answered(const Shipment& shipment, const TripReply& reply);
  void accept(ClaimedRun&& claimed, MonotonicTime sent);
  void reload(ClaimedRun&& loaded, MonotonicTime sent);
  void lose(Run& run, std::optional<WorkflowOutcome> outcome);
  void drop(Outbox&& unsent);
  void unload(Run& run);
  void ask_load(Run& run);
  void make_ready(Run& run);
  void wake_starved();
  void take_place(Run& run);
  void leave_place(Run& run, bool for_good = false);
  void code_ended(Run& run);
  void give_back(RunKey key);
  void doubt_held();
  int held_of(const ServedQueue& queue) const;
  bool claim_capacity(std::vector<QueueLimit>& limits);
  void expire_retries();
  void notice_ends(const ClaimRequest& claim, bool said);
  void learn(const ClaimRequest& claim, const TripReply& reply);
  void expect_work();
  void expect_work_of(const Run& enqueue);

  // waits.cpp: (mu)
  void unwatch(Run& run);
  void fire_timers();
  void add_timer(Timer timer);
  void wake_waiting(Run& run);
  void wake_watchers(const std::string& key);
  void wake_all_watchers();
  std::vector<std::string> awaited_outcomes();
  void resolve(const WorkflowOutcome& outcome);
  void nudge();

  const RuntimeOptions options_;
  const Registry registry_;
  const std::shared_ptr<const ClaimFilter> filter_;
  const std::unique_ptr<Store> store_;
  Identity identity_;
  StackPool stacks_;
  CarrierPool carriers_;
  std::thread io_;
  std::atomic<std::int64_t> server_offset_ms_{0};  // server's epoch ms minus the store's monotonic ms

  mutable std::mutex mu_;
  std::unordered_map<std::string, std::shared_ptr<Run>> runs_;
  std::vector<std::shared_ptr<Run>> dirty_;
  std::vector<Runnable*> ready_;              // to be posted together
  std::deque<std::shared_ptr<Run>> fresh_;    // starts whose code runs ahead: given a moment to end before they are packed
  std::set<std::shared_ptr<Run>> enqueues_;   // not acknowledged yet
  std::deque<std::shared_ptr<Run>> starved_;  // wait for a stack
  std::size_t stacks_freed_ = 0;              // by runs, ever; each took one of starved_ along
  std::map<std::string, ServedQueue> queues_;
  std::unordered_map<std::string, ClaimedRun> deferred_;  // claimed again while the old run has not stopped
  std::unordered_map<std::string, std::vector<Run*>> watches_;
  std::unordered_map<std::string, std::shared_ptr<ForeignWait>> foreign_;
  std::priority_queue<Timer, std::vector<Timer>, std::greater<>> timers_;
  std::vector<RunKey> to_load_;                   // by ask_load() only, and what has to go again
  std::vector<RunKey> to_give_back_;              // by give_back() only, and what has to go again
  std::set<std::string> lost_claims_;             // tokens of claims whose reply did not come: what they took is given back as soon as it is seen
  std::map<std::string, MonotonicTime> orphans_;  // id + token of PENDING rows that nobody here runs, since when
  MonotonicTime doubted_at_{};                    // the last time that a row may have become PENDING by our claims that nobody here runs
  MonotonicTime doubtful_until_{};                // a while after a comparison has shown none; the end of time before
  std::condition_variable idle_;
  Limiter limiter_;
  std::set<std::pair<std::string, std::string>> outbound_;  // steps that were declared, and their limits
  std::vector<OutboundStep> undeclared_;
  std::mutex closing_;  // held by the one thread that closes; taken before mu_
  bool io_waits_ = false;
  bool nudged_ = false;           // since the I/O thread looked last
  std::size_t outcomes_due_ = 0;  // awaited workflows that are to be asked for; kAllOutcomes: each of them
  std::string outcomes_after_;    // the last that was asked for, when a trip cannot ask for all
  std::string claimed_after_;     // the last queue that was asked for: the next claim begins behind it
  bool claiming_ = false;
  bool draining_ = false;
  bool quit_ = false;
  bool opened_ = false;

  // the I/O thread's own
  std::deque<std::shared_ptr<Shipment>> again_;
  MonotonicTime next_beat_{};
  MonotonicTime next_held_{};
  MonotonicTime last_held_{};
  bool beat_alone_ = false;    // a claim that was refused took the last heartbeat with it: the next goes at once, without one
  bool held_hurries_ = false;  // next_held_ does not wait for a claim to ride with
  MonotonicTime next_poll_{};
  MonotonicTime next_maintain_{};
  MonotonicTime poll_deadline_{};
  MonotonicTime companions_at_{};  // after a refusal of what rides with flushes: not before
  int companion_failures_ = 0;     // in a row
  UnknownQueues unknown_queues_;
  int limit_failures_ = 0;  // in a row
  bool maintain_here_ = false;
  bool ended_ = false;
  MonotonicTime next_rejoin_{};
  int outstanding_ = 0;  // trips under way
};

}  // namespace dbos::detail
