// Runs as the engine holds them: their start, places, waiting, loss and end. Called with mu_ held unless a function says otherwise.
#include <algorithm>
#include <utility>

#include "dbos/error.hpp"
#include "engine/crashpoint.hpp"
#include "engine/engine.hpp"
#include "engine/ids.hpp"

namespace dbos::detail {

namespace {

// How long a start whose code may run ahead is kept back, so that start and end can be one row.
constexpr std::chrono::milliseconds kFreshStart{5};
// From here on claims come in halves; fewer are claimed as they get free.
constexpr int kManyWorkers = 32;

}  // namespace

std::shared_ptr<Run> Engine::start(StartRequest request) {
  auto run = std::make_shared<Run>(*this);
  run->generated_id = request.id.empty();
  run->id = run->generated_id ? uuid_v7() : std::move(request.id);
  run->token = uuid_v4();
  run->name = std::move(request.name);
  run->class_name = std::move(request.class_name);
  run->queue = std::move(request.queue);
  run->inputs = std::move(request.inputs);
  run->start_options = std::move(request.options);
  bool direct = run->queue.empty();
  if (direct) run->registration = registry_.find(run->name, run->class_name);
  if (direct && !run->registration) throw UsageError("workflow " + run->name + " is not registered in this process");

  std::lock_guard lock(mu_);
  if (!opened_ || draining_) throw UsageError(opened_ ? "the runtime is shutting down" : "launch() the runtime before starting workflows");
  if (direct) {
    auto known = find_or_register(run);
    if (known != run) return known;
  }
  run->outbox.start = true;
  run->started_at = now();
  if (!direct) enqueues_.insert(run);
  if (direct && run->generated_id) {
    make_ready(*run);
    fresh_.push_back(run);
    post_ready();
  } else {
    run->parked = true;
    run->wait = WaitKind::settled;
    mark_dirty(*run);
    nudge();
  }
  return run;
}

std::shared_ptr<Run> Engine::find_or_register(const std::shared_ptr<Run>& run) {
  auto [entry, fresh] = runs_.try_emplace(run->id, run);
  if (!fresh && (entry->second->name != run->name || entry->second->class_name != run->class_name))
    throw Conflict("workflow id " + run->id + " belongs to workflow " + entry->second->name + ", not " + run->name, "WF011", run->id);
  return entry->second;
}

std::shared_ptr<Run> Engine::make_child(Run& parent, int function_id, StartRequest request) {
  auto child = std::make_shared<Run>(*this);
  child->id = std::move(request.id);
  child->token = uuid_v4();
  child->name = std::move(request.name);
  child->class_name = std::move(request.class_name);
  child->queue = std::move(request.queue);
  child->inputs = std::move(request.inputs);
  child->start_options = std::move(request.options);
  if (child->queue.empty()) {
    child->registration = registry_.find(child->name, child->class_name);
    if (!child->registration) throw UsageError("workflow " + child->name + " is not registered in this process");
  }
  std::lock_guard lock(mu_);
  if (parent.stop != StopReason::none) throw Stop{parent.stop};
  // The database decides about an id that this process already runs; the run here must not be disturbed meanwhile.
  if (child->registration && !runs_.try_emplace(child->id, child).second) child->registration = nullptr;
  child->outbox = Outbox{};
  child->in_flight = true;
  child->parked = true;
  child->wait = WaitKind::settled;
  parent.outbox.children.push_back({child, function_id});
  return child;
}

void Engine::queue_stale_starts() {
  auto oldest = now() - kFreshStart;
  while (!fresh_.empty()) {
    auto& run = *fresh_.front();
    if (!run.began && run.started_at > oldest) break;
    if (!run.began && run.outbox.start && !run.in_flight) mark_dirty(run);
    fresh_.pop_front();
  }
}

void Engine::mark_dirty(Run& run) {
  if (std::exchange(run.dirty, true)) return;
  dirty_.push_back(run.shared_from_this());
}

void Engine::nudge() {
  nudged_ = true;
  if (std::exchange(io_waits_, false)) store_->wake();
}

void Engine::resume_if_ready(Run& run) {
  if (run.changed) run.changed->notify_all();
  if (!run.parked || !run.registration || run.ended || !run.ready()) return;
  run.parked = false;
  run.wait = WaitKind::none;
  take_place(run);
  make_ready(run);
}

// From here until it runs the run keeps itself alive: the pool knows its address only.
void Engine::make_ready(Run& run) {
  run.posted = run.shared_from_this();
  ready_.push_back(&run);
}

// There may be a stack again. Who ended meanwhile, as by a refused start, wants none.
void Engine::wake_starved() {
  while (!starved_.empty()) {
    std::shared_ptr<Run> next = std::move(starved_.front());
    starved_.pop_front();
    if (!next->ended) return make_ready(*next);
  }
}

// A place of its queue. Without worker concurrency only runs that execute hold one: those that wait may wait for others of the same queue.
void Engine::take_place(Run& run) {
  auto queue = queues_.find(run.queue);
  if (run.counted || queue == queues_.end()) return;
  run.counted = true;
  ++queue->second.running;
}

void Engine::leave_place(Run& run, bool for_good) {
  auto queue = queues_.find(run.queue);
  if (!run.counted || queue == queues_.end() || (!for_good && queue->second.worker_concurrency > 0)) return;
  run.counted = false;
  --queue->second.running;
  if (queue->second.due) nudge();
}

// Its end is on its way. Others may run meanwhile: a queue without worker concurrency is claimed while the ends of what it had are written.
void Engine::code_ended(Run& run) {
  leave_place(run);
  auto queue = queues_.find(run.queue);
  if (!run.held || queue == queues_.end()) return;
  run.ending = true;
  ++queue->second.ending;
}

void Engine::post_ready() {
  if (ready_.empty()) return;
  carriers_.post_batch(ready_.data(), ready_.size());
  ready_.clear();
}

void Engine::finish(Run& run, std::optional<WorkflowOutcome> outcome, std::exception_ptr failure, bool elsewhere) {
  if (run.ended) return;
  run.ended = true;
  run.elsewhere = elsewhere && !outcome;
  run.outcome = std::move(outcome);
  run.failure = std::move(failure);
  run.recorded = {};
  unwatch(run);
  if (!run.limit_ticket.empty()) limiter_.release(std::exchange(run.limit_ticket, {}));
  if (run.changed) run.changed->notify_all();
  leave_place(run, true);
  if (auto queue = queues_.find(run.queue); run.registration && queue != queues_.end()) {
    if (std::exchange(run.held, false)) --queue->second.held;
    if (std::exchange(run.ending, false) && queue->second.ending-- >= kDefaultInFlight && queue->second.due) nudge();
    queue->second.ended = true;
    if (std::exchange(queue->second.waits, false)) {
      queue->second.due = true;
      nudge();
    }
  }
  if (!run.registration && enqueues_.erase(run.shared_from_this()) > 0 && enqueues_.empty()) idle_.notify_all();
  auto entry = runs_.find(run.id);
  if (entry != runs_.end() && entry->second.get() == &run) {
    auto keep = std::move(entry->second);
    runs_.erase(entry);
    if (auto again = deferred_.extract(run.id); !again.empty()) accept(std::move(again.mapped()), MonotonicTime{});
  }
  if (run.outcome) resolve(*run.outcome);
  else wake_watchers("r:" + run.id);
  if (runs_.empty()) idle_.notify_all();
}

void Engine::stop_run(Run& run, StopReason reason) {
  if (run.ended || run.stop == StopReason::dead) return;
  if (run.unloaded) return finish(run, std::move(run.outcome), run.failure, true);
  if (run.stop == StopReason::none || run.stop == StopReason::unload) run.stop = reason;
  if (run.stop_source) run.stop_source->request_stop();
  resume_if_ready(run);
}

void Engine::lose(Run& run, std::optional<WorkflowOutcome> outcome) {
  if (run.ended) return;
  if (run.code_done || !run.registration) return finish(run, std::move(outcome), nullptr, true);
  run.outcome = std::move(outcome);
  drop(std::exchange(run.outbox, Outbox{}));
  if (run.outcome) resolve(*run.outcome);
  stop_run(run, StopReason::lost);
  if (run.changed) run.changed->notify_all();
}

// Children whose start never left have no row: nobody else will run them under this parent's record.
void Engine::drop(Outbox&& unsent) {
  for (auto& child : unsent.children) finish(*child.run, std::nullopt, nullptr, true);
}

void Engine::unload(Run& run) {
  run.stop = StopReason::none;
  run.wait = WaitKind::none;
  run.unloaded = true;
  leave_place(run);
  run.recorded = {};
  run.next_function_id = 0;
  // Woken between the decision and now: due at once.
  if (std::exchange(run.woken, false)) ask_load(run);
  crash_point(CrashPoint::sleep_parked);
}

// Once until the reply, whoever asks: after a reload the run goes on and may unload again, and a second reply would not know what it has
// recorded since.
void Engine::ask_load(Run& run) {
  if (std::exchange(run.loading, true)) return;
  to_load_.push_back({run.id, run.token});
  nudge();  // unload() asks from a carrier, while the I/O thread may wait for nothing else
}

// A PENDING row that nobody here runs.
void Engine::give_back(RunKey key) {
  to_give_back_.push_back(std::move(key));
  doubt_held();
}

// There may be PENDING rows of ours that are no run here: until none has been seen for a time the database counts them.
void Engine::doubt_held() {
  doubted_at_ = now();
  doubtful_until_ = MonotonicTime::max();
}

void Engine::accept(ClaimedRun&& claimed, MonotonicTime sent) {
  auto known = runs_.find(claimed.id);
  if (known != runs_.end()) {
    auto old = known->second;
    deferred_.insert_or_assign(claimed.id, std::move(claimed));
    return lose(*old, std::nullopt);
  }
  auto registration = registry_.find(claimed.name, claimed.class_name);
  if (!registration || draining_) {
    give_back({claimed.id, claimed.token});
    return;
  }
  auto run = std::make_shared<Run>(*this);
  run->registration = registration;
  run->id = std::move(claimed.id);
  run->token = std::move(claimed.token);
  run->name = std::move(claimed.name);
  run->class_name = std::move(claimed.class_name);
  run->queue = std::move(claimed.queue);
  run->inputs = std::move(claimed.inputs).value_or("");
  run->serialization = std::move(claimed.serialization);
  run->recorded = std::move(claimed.steps);
  run->attempts = claimed.attempts;
  run->first_run = claimed.first_run;
  run->deadline_ms = claimed.deadline_ms;
  run->started = true;
  run->started_at = now();
  run->confirmed = sent;
  if (auto queue = queues_.find(run->queue); queue != queues_.end()) {
    run->held = true;
    ++queue->second.held;
  }
  take_place(*run);
  make_ready(*run);
  runs_.emplace(run->id, std::move(run));
}

void Engine::reload(ClaimedRun&& loaded, MonotonicTime sent) {
  auto entry = runs_.find(loaded.id);
  if (entry == runs_.end()) return;
  auto& run = *entry->second;
  if (!run.unloaded || run.token != loaded.token) return;
  run.unloaded = run.loading = false;
  run.unchecked = false;
  run.confirmed = sent;
  run.inputs = std::move(loaded.inputs).value_or("");
  run.recorded = std::move(loaded.steps);
  make_ready(run);
}

int ServedQueue::places() const {
  if (worker_concurrency > 0) return worker_concurrency - running;
  return kDefaultInFlight - running - std::max(ending - kDefaultInFlight, 0);
}

void ServedQueue::bound_by(int workers) {
  worker_concurrency = workers > kDefaultInFlight ? workers : 0;
  per_claim = workers >= kManyWorkers ? std::min((workers + 1) / 2, kPerClaim) : kPerClaim;
}

// Rows of the queue that are PENDING by our claims, at most: an id that came back while its old code still runs may count twice.
int Engine::held_of(const ServedQueue& queue) const {
  auto back = std::count_if(deferred_.begin(), deferred_.end(), [&](const auto& entry) { return entry.second.queue == queue.name; });
  return queue.held + static_cast<int>(back);
}

// Asks for queues that may hold work and have places free; of a full one, now and then, whether its limit was raised.
bool Engine::claim_capacity(std::vector<QueueLimit>& limits) {
  auto stacks = static_cast<int>(std::min<std::size_t>(stacks_.limit() - std::min(stacks_.limit(), stacks_.in_use()), 1 << 20));
  auto entry = queues_.upper_bound(claimed_after_);
  for (auto left = queues_.size(); left > 0 && stacks > 0; --left, ++entry) {
    if (entry == queues_.end()) entry = queues_.begin();
    auto& [name, queue] = *entry;
    int places = queue.places();
    int limit = std::min({places, queue.per_claim, stacks});
    if (queue.due && places <= 0 && queue.next_ask <= now()) limits.push_back({.queue = name, .limit = 0});
    if (!queue.due || limit <= 0) continue;
    queue.due = queue.ended = false;
    stacks -= limit;
    limits.push_back({.queue = name,
                      .limit = limit,
                      .from = now() < queue.next_head ? queue.place : std::nullopt,
                      .running = now() < doubtful_until_ ? std::nullopt : std::optional(held_of(queue))});
  }
  // Where stacks are short, the others come first the next time.
  if (!limits.empty()) claimed_after_ = limits.back().queue;
  return !limits.empty();
}

void Engine::expire_retries() {
  auto time = now();
  for (auto& [name, queue] : queues_) {
    if (queue.retry_at == MonotonicTime{} || queue.retry_at > time) continue;
    queue.retry_at = {};
    queue.due = true;
  }
}

// Before what came with the claim is applied: that the database saw when it counted. After it where the claim said how many are held.
void Engine::notice_ends(const ClaimRequest& claim, bool said) {
  for (const auto& asked : claim.queues) {
    auto& queue = queues_.at(asked.queue);
    if (asked.running.has_value() == said) queue.missed = queue.ended;
  }
}

// When to look again at queues, and from where.
void Engine::learn(const ClaimRequest& claim, const TripReply& reply) {
  constexpr std::chrono::milliseconds kDearWalk{5};
  constexpr std::int64_t kLateCommitMs = 5000;
  for (const auto& report : reply.queues) {
    auto asked = std::find_if(claim.queues.begin(), claim.queues.end(), [&](const QueueLimit& limit) { return limit.queue == report.queue; });
    auto known = queues_.find(report.queue);
    if (asked == claim.queues.end() || known == queues_.end()) continue;
    auto& queue = known->second;
    queue.bound_by(report.workers);
    queue.next_ask = now() + options_.poll_interval;
    if (asked->limit == 0) continue;
    queue.waits = report.waits && !queue.missed;
    queue.due = queue.due || (report.waits && queue.missed);
    if (report.retry_after) queue.retry_at = now() + *report.retry_after;
    if (report.last) queue.place = report.last;
    if (!asked->from) {
      // Where much is taken at a time, the entries of what was taken are most of the walk.
      bool bulk = asked->limit >= kManyWorkers && queue.due;
      bool dear = report.cost > kDearWalk * std::max(1, asked->limit / 50) || (bulk && report.last);
      queue.next_head = dear ? now() + report.cost * 10 : MonotonicTime{};
      // Nothing for us stands there: what comes from now on is younger, but for transactions that commit late.
      if (dear && !report.last) queue.place = QueuePlace{0, server_now_ms() - kLateCommitMs};
    }
  }
  // Behind the place nothing was found, or less than was asked for: the head may hold what came in before it.
  for (const auto& asked : claim.queues) {
    auto& queue = queues_.at(asked.queue);
    if (asked.from && !queue.due && (queue.retry_at == MonotonicTime{} || queue.next_head < queue.retry_at)) queue.retry_at = queue.next_head;
  }
}

// An enqueue to a queue that is served here: the claim rides in the trip that brings it, and waits neither for its commit nor for a wake-up.
void Engine::expect_work_of(const Run& enqueue) {
  if (enqueue.registration) return;
  if (auto queue = queues_.find(enqueue.queue); queue != queues_.end()) queue->second.due = true;
}

void Engine::expect_work() {
  for (auto& [name, queue] : queues_) queue.due = true;
}

}  // namespace dbos::detail
