// Run: what a carrier does with it, and what its code does on the fiber. The engine's side of its life is in runs.cpp.
#include <algorithm>
#include <utility>

#include "codec/portable_error.hpp"
#include "dbos/error.hpp"
#include "engine/crashpoint.hpp"
#include "engine/engine.hpp"

namespace dbos::detail {

namespace {

thread_local Run* t_run = nullptr;
thread_local Run* t_body = nullptr;

[[gnu::noinline]] void set_thread_run(Run* run) noexcept { t_run = run; }

}  // namespace

[[gnu::noinline]] Run* current_run() noexcept { return Fiber::current() ? t_run : nullptr; }
[[gnu::noinline]] Run* thread_run() noexcept { return t_run; }
[[gnu::noinline]] Run* current_body_run() noexcept { return Fiber::current() ? nullptr : t_body; }

[[gnu::noinline]] BodyScope::BodyScope(Run& run) noexcept : previous_(t_body) { t_body = &run; }
[[gnu::noinline]] BodyScope::~BodyScope() { t_body = previous_; }

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
  std::size_t freed = 0;
  {
    std::lock_guard lock(engine.mu_);
    self = std::move(posted);
    freed = engine.stacks_freed_;
    // Its start was refused, or it was found elsewhere, after it had been posted: a stack that was meant for it is for the next.
    if (ended) {
      engine.wake_starved();
      return engine.post_ready();
    }
  }
  if (!begin(freed)) return;
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

// freed: stacks that had been given up when this turn began. Who gives one up while none is to be had here finds nobody who waits for it.
bool Run::begin(std::size_t freed) {
  if (fiber) return true;
  while (!fiber) {
    try {
      fiber = std::make_unique<Fiber>(engine.stacks_, [this] { execute(); });
    } catch (const StackLimit&) {
      std::lock_guard lock(engine.mu_);
      if (std::exchange(freed, engine.stacks_freed_) != engine.stacks_freed_) continue;
      engine.starved_.push_back(shared_from_this());
      return false;
    }
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
  ++engine.stacks_freed_;
  engine.wake_starved();
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
  engine.code_ended(*this);
}

void Run::execute() noexcept {
  try {
    throw_if_stopped();
    if (!serialization.empty() && serialization != "portable_json")
      throw UndecodableInput{"inputs are serialized as " + serialization + ", which C++ cannot read: enqueue them as portable_json"};
    Context context(*this);
    auto output = registration->body(context, inputs);
    if (auto limit = engine.options_.max_payload; output.size() > limit)
      throw Permanent(
          "result of workflow " + name + " has " + std::to_string(output.size()) + " bytes, at most " + std::to_string(limit) + " are allowed",
          "WF001", id, "return a reference to the data instead");
    exit_ = Exit{FinalStatus::success, StopReason::none, std::move(output), std::nullopt};
  } catch (const Stop& stopped) {
    exit_ = Exit{FinalStatus::none, stopped.reason, std::nullopt, std::nullopt};
  } catch (const UndecodableInput& input) {
    auto status = first_run && recorded.empty() ? FinalStatus::error : FinalStatus::dead;
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

bool Run::wait_until(MonotonicTime deadline, bool may_unload) {
  bool unloading = may_unload && (deadline - engine.now() >= engine.options_.unload_after || engine.stacks_.in_use() >= engine.stacks_.limit());
  if (unloading) settle();
  {
    std::lock_guard lock(engine.mu_);
    if (stop != StopReason::none) throw Stop{stop};
    unchecked = true;
    if (std::exchange(woken, false)) return std::exchange(notified, false);
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
  return std::exchange(notified, false);
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
    if (wait_until(patience - Milliseconds{1}, false)) return;
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

}  // namespace dbos::detail
