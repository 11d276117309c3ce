// Runs: their life between fiber and I/O thread. Functions of Engine here are called with mu_ held unless they say otherwise.
#include <algorithm>
#include <iterator>
#include <utility>

#include "codec/portable_error.hpp"
#include "dbos/error.hpp"
#include "engine/crashpoint.hpp"
#include "engine/engine.hpp"
#include "engine/ids.hpp"

namespace dbos::detail {

namespace {

thread_local Run* t_run = nullptr;
thread_local Run* t_body = nullptr;

// How long a start whose code may run ahead is kept back, so that start and end can be one row.
constexpr std::chrono::milliseconds kFreshStart{5};

[[gnu::noinline]] void set_thread_run(Run* run) noexcept { t_run = run; }

}  // namespace

[[gnu::noinline]] Run* current_run() noexcept { return Fiber::current() ? t_run : nullptr; }
[[gnu::noinline]] Run* thread_run() noexcept { return t_run; }
[[gnu::noinline]] Run* current_body_run() noexcept { return Fiber::current() ? nullptr : t_body; }

[[gnu::noinline]] BodyScope::BodyScope(Run& run) noexcept : previous_(t_body) { t_body = &run; }
[[gnu::noinline]] BodyScope::~BodyScope() { t_body = previous_; }

void Outbox::prepend(Outbox&& earlier) {
  Outbox later = std::move(*this);
  *this = std::move(earlier);
  start = start || later.start;
  check = check || later.check;
  std::move(later.steps.begin(), later.steps.end(), std::back_inserter(steps));
  std::move(later.ops.begin(), later.ops.end(), std::back_inserter(ops));
  std::move(later.children.begin(), later.children.end(), std::back_inserter(children));
  if (later.final != FinalStatus::none) {
    final = later.final;
    output = std::move(later.output);
    error = std::move(later.error);
  }
}

std::size_t Outbox::bytes() const noexcept {
  std::size_t total = 256 + (output ? output->size() : 0) + (error ? error->size() : 0);
  for (const auto& step : steps) total += 128 + (step.output ? step.output->size() : 0) + (step.error ? step.error->size() : 0);
  for (const auto& op : ops) total += 64 + op.args.size();
  for (const auto& child : children) total += 256 + child.run->inputs.size();
  return total;
}

// ---- on a carrier

void Run::run() {
  std::shared_ptr<Run> self;
  {
    std::lock_guard lock(engine.mu_);
    self = std::move(posted);
    // Its start was refused, or it was found elsewhere, after it had been posted.
    if (ended) return;
  }
  if (!begin()) return;
  for (;;) {
    set_thread_run(this);
    fiber->resume();
    set_thread_run(nullptr);
    bool finished = fiber->finished();
    if (finished) fiber.reset();
    std::lock_guard lock(engine.mu_);
    if (finished) {
      leave();
    } else if (ready()) {
      wait = WaitKind::none;
      continue;
    } else {
      parked = true;
      if (wait == WaitKind::woken) {
        crash_point(CrashPoint::sleep_parked);
        engine.leave_place(*this);
      }
    }
    if (!outbox.empty() && !in_flight) engine.mark_dirty(*this);
    if (!engine.dirty_.empty()) engine.nudge();
    engine.post_ready();
    return;
  }
}

bool Run::begin() {
  if (fiber) return true;
  try {
    fiber = std::make_unique<Fiber>(engine.stacks_, [this] { execute(); });
  } catch (const StackLimit&) {
    std::lock_guard lock(engine.mu_);
    engine.starved_.push_back(shared_from_this());
    return false;
  }
  fiber->set_label(id);
  std::lock_guard lock(engine.mu_);
  began = true;
  return true;
}

bool Run::ready() const noexcept {
  if (stop != StopReason::none) return true;
  if (wait == WaitKind::settled) return outbox.empty() && !in_flight;
  return woken;
}

// The code has ended: what follows from how.
void Run::leave() {
  if (!engine.starved_.empty()) {
    engine.make_ready(*engine.starved_.front());
    engine.starved_.pop_front();
  }
  StopReason why = stop != StopReason::none ? stop : exit_.stop;
  if (why == StopReason::unload) return engine.unload(*this);
  code_done = true;
  if (why == StopReason::lost || why == StopReason::shutdown) {
    engine.drop(std::exchange(outbox, Outbox{}));
    return engine.finish(*this, std::move(outcome), failure, true);
  }
  if (why == StopReason::dead) exit_ = Exit{FinalStatus::dead, why, std::nullopt, dead_error};
  outbox.final = exit_.status;
  outbox.output = std::move(exit_.output);
  outbox.error = std::move(exit_.error);
}

void Run::execute() noexcept {
  try {
    throw_if_stopped();
    if (!serialization.empty() && serialization != "portable_json")
      throw UndecodableInput{"inputs are serialized as " + serialization + ", which C++ cannot read: enqueue them as portable_json"};
    Context context(*this);
    exit_ = Exit{FinalStatus::success, StopReason::none, registration->body(context, inputs), std::nullopt};
  } catch (const Stop& stopped) {
    exit_ = Exit{FinalStatus::none, stopped.reason, std::nullopt, std::nullopt};
  } catch (const UndecodableInput& input) {
    auto status = attempts <= 1 && recorded.empty() ? FinalStatus::error : FinalStatus::dead;
    exit_ = Exit{
        status, StopReason::none, std::nullopt,
        encode_error("UndecodableInput", "workflow " + name + ": " + input.message + " (application version " + engine.identity().version + ")")};
  } catch (...) {
    auto error = std::current_exception();
    Fiber::outside([&] { exit_ = Exit{FinalStatus::error, StopReason::none, std::nullopt, encode_error(describe_exception(error))}; });
  }
}

// ---- on the fiber

void Run::throw_if_stopped() {
  std::lock_guard lock(engine.mu_);
  if (stop != StopReason::none) throw Stop{stop};
}

void Run::settle() {
  {
    std::lock_guard lock(engine.mu_);
    if (stop != StopReason::none) throw Stop{stop};
    if (outbox.empty() && !in_flight) return;
    wait = WaitKind::settled;
  }
  Fiber::suspend();
  throw_if_stopped();
}

void Run::settle_before_body() {
  if (unchecked) {
    std::lock_guard lock(engine.mu_);
    outbox.check = true;
    unchecked = false;
  }
  settle();
  // Frozen meanwhile, or long without a carrier: others may have the run by now.
  if (engine.now() - confirmed.load(std::memory_order_relaxed) < engine.options_.lease / 3) return;
  {
    std::lock_guard lock(engine.mu_);
    outbox.check = true;
  }
  settle();
}

void Run::wait_until(MonotonicTime deadline, bool may_unload) {
  bool unloading = may_unload && (deadline - engine.now() >= engine.options_.unload_after || engine.stacks_.in_use() >= engine.stacks_.limit());
  if (unloading) settle();
  {
    std::lock_guard lock(engine.mu_);
    if (stop != StopReason::none) throw Stop{stop};
    unchecked = true;
    if (std::exchange(woken, false)) return;
    engine.add_timer({.when = deadline, .run = shared_from_this(), .wait_number = ++wait_number});
    if (unloading) {
      stop = StopReason::unload;
      throw Stop{stop};
    }
    wait = WaitKind::woken;
  }
  Fiber::suspend();
  throw_if_stopped();
  std::lock_guard lock(engine.mu_);
  woken = false;
}

OpReply Run::operate(int function_id, std::string kind, std::string args) {
  operate_later(function_id, std::move(kind), std::move(args));
  settle();
  std::lock_guard lock(engine.mu_);
  return std::move(op_reply);
}

void Run::wait_for_watch(MonotonicTime deadline) {
  auto patience = engine.now() + engine.options_.unload_after;
  bool crowded = engine.stacks_.in_use() >= engine.stacks_.limit();
  if (deadline > patience && !crowded) {
    wait_until(patience - Milliseconds{1}, false);
    if (engine.now() < patience - Milliseconds{1}) return;
  }
  wait_until(deadline, true);
}

OpReply Run::operate_from_body(int function_id, std::string kind, std::string args) {
  CarrierPool::Lend lend(engine.carriers_);
  std::unique_lock lock(engine.mu_);
  if (stop != StopReason::none) throw Stop{stop};
  outbox.ops.push_back({0, function_id, std::move(kind), std::move(args)});
  if (!in_flight) engine.mark_dirty(*this);
  engine.nudge();
  if (!changed) changed = std::make_unique<std::condition_variable>();
  changed->wait(lock, [&] { return stop != StopReason::none || (outbox.empty() && !in_flight); });
  if (stop != StopReason::none) throw Stop{stop};
  return std::move(op_reply);
}

void Run::operate_later(int function_id, std::string kind, std::string args) {
  std::lock_guard lock(engine.mu_);
  if (stop != StopReason::none) throw Stop{stop};
  outbox.ops.push_back({0, function_id, std::move(kind), std::move(args)});
}

void Run::record(StepItem step) {
  std::lock_guard lock(engine.mu_);
  if (stop != StopReason::none) throw Stop{stop};
  outbox.steps.push_back(std::move(step));
  // Seen by the I/O thread at its next look; the carrier wakes it when the code pauses, so that the end of the code can ride along.
  if (!in_flight) engine.mark_dirty(*this);
}

const RecordedStep* Run::recorded_step(int function_id, std::string_view expected) {
  auto found =
      std::lower_bound(recorded.begin(), recorded.end(), function_id, [](const RecordedStep& step, int wanted) { return step.function_id < wanted; });
  if (found == recorded.end() || found->function_id != function_id) return nullptr;
  const auto& step = *found;
  if (step.name == expected) return &step;
  die("UnexpectedStep", "step " + std::to_string(function_id) + " of workflow " + id + " was recorded as " + step.name + ", the code asks for " +
                            std::string(expected) + ": the code changed, or is not deterministic");
}

void Run::die(std::string error_name, std::string message) {
  engine.log(LogLevel::error, "workflow " + id + " goes to the dead letter: " + message);
  std::lock_guard lock(engine.mu_);
  if (stop == StopReason::none) {
    dead_error = encode_error(error_name, message);
    stop = StopReason::dead;
  }
  throw Stop{stop};
}

// ---- the engine's side

std::shared_ptr<Run> Engine::start(StartRequest request) {
  auto run = std::make_shared<Run>(*this);
  run->generated_id = request.id.empty();
  run->id = run->generated_id ? uuid_v7() : std::move(request.id);
  run->token = uuid_v4();
  run->name = std::move(request.name);
  run->class_name = std::move(request.class_name);
  run->inputs = std::move(request.inputs);
  run->start_options = std::move(request.options);
  bool direct = request.queue.empty();
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
  child->inputs = std::move(request.inputs);
  child->start_options = std::move(request.options);
  if (request.queue.empty()) {
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
  if (run.changed) run.changed->notify_all();
  leave_place(run, true);
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
  stop_run(run, StopReason::lost);
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
  if (std::exchange(run.woken, false)) to_load_.push_back({run.id, run.token});
  crash_point(CrashPoint::sleep_parked);
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
    to_give_back_.push_back({claimed.id, claimed.token});
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
  run->deadline_ms = claimed.deadline_ms;
  run->started = true;
  run->started_at = now();
  run->confirmed = sent;
  take_place(*run);
  make_ready(*run);
  runs_.emplace(run->id, std::move(run));
}

void Engine::reload(ClaimedRun&& loaded, MonotonicTime sent) {
  auto entry = runs_.find(loaded.id);
  if (entry == runs_.end()) return;
  auto& run = *entry->second;
  if (!run.unloaded || run.token != loaded.token) return;
  run.unloaded = false;
  run.unchecked = false;
  run.confirmed = sent;
  run.inputs = std::move(loaded.inputs).value_or("");
  run.recorded = std::move(loaded.steps);
  make_ready(run);
}

// Asks for queues that may hold work and have places free.
bool Engine::claim_capacity(std::vector<QueueLimit>& limits) {
  constexpr int kPerClaim = 500;
  auto stacks = static_cast<int>(std::min<std::size_t>(stacks_.limit() - std::min(stacks_.limit(), stacks_.in_use()), 1 << 20));
  for (auto& [name, queue] : queues_) {
    int places = (queue.worker_concurrency > 0 ? queue.worker_concurrency : kDefaultInFlight) - queue.running;
    int limit = std::min({places, kPerClaim, stacks});
    if (!queue.due || limit <= 0) continue;
    queue.due = false;
    stacks -= limit;
    limits.push_back({name, limit});
  }
  return !limits.empty();
}

void Engine::expect_work() {
  for (auto& [name, queue] : queues_) queue.due = true;
}

}  // namespace dbos::detail
