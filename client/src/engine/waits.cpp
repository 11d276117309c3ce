// Waits: timers, watches on what other workflows do, and ends of workflows that run elsewhere.
// A watch key is "m:<id>::<topic>" (message), "e:<id>::<key>" (event) or "r:<id>" (end of a workflow).
// Functions of Engine here are called with mu_ held unless they are public.
#include <algorithm>

#include "dbos/error.hpp"
#include "engine/engine.hpp"

namespace dbos::detail {

namespace {

// Ends asked for in one trip.
constexpr std::size_t kOutcomesPerTrip = 1000;

}  // namespace

void Engine::add_timer(Timer timer) {
  bool sooner = timer.when < poll_deadline_;
  timers_.push(std::move(timer));
  if (sooner) store_->wake();
}

void Engine::fire_timers() {
  auto time = now();
  while (!timers_.empty() && timers_.top().when <= time) {
    Timer timer = timers_.top();
    timers_.pop();
    if (timer.body) {
      if (auto ticket = timer.ticket.lock()) {
        *ticket = true;
        timer.body->request_stop();
      }
      continue;
    }
    auto keep = timer.run.lock();
    if (!keep || keep->ended || keep->wait_number != timer.wait_number) continue;
    auto& run = *keep;
    run.woken = true;
    if (run.unloaded) ask_load(run);
    else resume_if_ready(run);
  }
}

std::shared_ptr<bool> Engine::stop_body_at(MonotonicTime when, std::stop_source source) {
  auto ticket = std::make_shared<bool>(false);
  std::lock_guard lock(mu_);
  add_timer({.when = when, .run = {}, .ticket = ticket, .body = std::move(source)});
  return ticket;
}

void Engine::watch(Run& run, const std::string& key) {
  std::lock_guard lock(mu_);
  // Known already when the run was unloaded while it waited.
  if (std::find(run.watched.begin(), run.watched.end(), key) != run.watched.end()) return;
  watches_[key].push_back(&run);
  run.watched.push_back(key);
}

void Engine::end_watch(Run& run) {
  std::lock_guard lock(mu_);
  unwatch(run);
  run.woken = run.notified = false;
}

void Engine::unwatch(Run& run) {
  for (const auto& key : run.watched) {
    auto entry = watches_.find(key);
    if (entry == watches_.end()) continue;
    std::erase(entry->second, &run);
    if (entry->second.empty()) watches_.erase(entry);
  }
  run.watched.clear();
}

// What the run waits for may have happened.
void Engine::wake_waiting(Run& run) {
  run.notified = true;
  if (std::exchange(run.woken, true)) return;
  if (run.unloaded) ask_load(run);
  else resume_if_ready(run);
}

void Engine::wake_watchers(const std::string& key) {
  auto entry = watches_.find(key);
  if (entry == watches_.end()) return;
  for (Run* run : entry->second) wake_waiting(*run);
}

void Engine::wake_all_watchers() {
  for (auto& [key, runs] : watches_) {
    if (!key.starts_with("r:")) wake_watchers(key);
  }
}

std::vector<std::string> Engine::awaited_outcomes() {
  std::vector<std::string> ids;
  for (const auto& [id, wait] : foreign_) {
    if (!wait->outcome) ids.push_back(id);
  }
  for (const auto& [key, runs] : watches_) {
    if (key.starts_with("r:") && !runs_.contains(key.substr(2))) ids.push_back(key.substr(2));
  }
  auto due = std::min(std::exchange(outcomes_due_, 0), ids.size());
  if (ids.size() <= kOutcomesPerTrip) return ids;
  // In turn, and by their order, which holds while others come and go: each that is due is asked for in one of the next trips.
  std::sort(ids.begin(), ids.end());
  auto next = std::upper_bound(ids.begin(), ids.end(), outcomes_after_);
  std::rotate(ids.begin(), next, ids.end());
  ids.resize(kOutcomesPerTrip);
  outcomes_after_ = ids.back();
  outcomes_due_ = due - std::min(due, kOutcomesPerTrip);
  return ids;
}

void Engine::resolve(const WorkflowOutcome& outcome) {
  if (auto entry = foreign_.find(outcome.id); entry != foreign_.end()) {
    entry->second->outcome = outcome;
    entry->second->changed.notify_all();
  }
  if (!outcome.status.empty()) wake_watchers("r:" + outcome.id);
}

void Engine::wait_durable(const std::shared_ptr<Run>& run) {
  std::unique_lock lock(mu_);
  if (!run->changed) run->changed = std::make_unique<std::condition_variable>();
  run->changed->wait(lock, [&] { return run->started || run->ended || quit_; });
  if (run->failure && !run->started) std::rethrow_exception(run->failure);
  if (!run->started) throw InDoubt("the runtime shut down before the start of workflow " + run->id + " was acknowledged", {}, run->id);
}

RunReply Engine::start_reply(const Run& run) const {
  std::lock_guard lock(mu_);
  return run.start_reply;
}

std::optional<WorkflowOutcome> Engine::wait_outcome(const std::string& id, const std::shared_ptr<Run>& known, std::optional<Milliseconds> timeout) {
  auto deadline = std::chrono::steady_clock::now() + std::min(timeout.value_or(Milliseconds{0}), kLongestWait);
  auto wait_on = [&](std::condition_variable& changed, std::unique_lock<std::mutex>& lock, auto&& condition) {
    if (timeout) return changed.wait_until(lock, deadline, condition);
    changed.wait(lock, condition);
    return true;
  };
  std::unique_lock lock(mu_);
  auto run = known;
  if (!run) {
    if (auto entry = runs_.find(id); entry != runs_.end()) run = entry->second;
  }
  if (run) {
    if (!run->changed) run->changed = std::make_unique<std::condition_variable>();
    // Once the database has told how it ended, or that it goes on elsewhere, code that still runs here decides nothing.
    auto decided = [&] { return run->ended || run->outcome || run->stop == StopReason::lost || quit_; };
    if (!wait_on(*run->changed, lock, decided)) return std::nullopt;
    if (run->failure) std::rethrow_exception(run->failure);
    if (run->outcome) return run->outcome;
    if (quit_) throw Error("the runtime has shut down; workflow " + id + " goes on elsewhere", {}, id);
  }
  auto& entry = foreign_[id];
  if (!entry) entry = std::make_shared<ForeignWait>();
  auto wait = entry;
  ++wait->waiters;
  outcomes_due_ = kAllOutcomes;
  store_->wake();
  bool told = wait_on(wait->changed, lock, [&] { return wait->outcome || quit_; });
  if (--wait->waiters == 0) foreign_.erase(id);
  if (told && !wait->outcome) throw Error("the runtime has shut down; workflow " + id + " goes on elsewhere", {}, id);
  return wait->outcome;
}

}  // namespace dbos::detail
