#include "memory_store.hpp"

#include <algorithm>
#include <iterator>
#include <utility>

namespace dbos::testing {

namespace {

constexpr int kLanes = 2;

}  // namespace

MemoryStore::MemoryStore(std::shared_ptr<MemoryDatabase> database, std::shared_ptr<FakeClock> clock)
    : database_(std::move(database)), clock_(std::move(clock)) {
  clock_->on_advance([this] { wake(); });
}

void MemoryStore::open(const Identity& identity, bool, Listener listener) {
  std::lock_guard lock(mutex_);
  identity_ = identity;
  listener_ = std::move(listener);
  ++opens_;
}

int MemoryStore::free_lanes() {
  std::lock_guard lock(mutex_);
  return kLanes - static_cast<int>(pending_.size());
}

void MemoryStore::send(std::shared_ptr<const Trip> trip, Done done) {
  std::lock_guard lock(mutex_);
  if (watch_) watch_(*trip);
  if (trip->flush) {
    for (const auto& run : trip->flush->runs) {
      overlapped_ = overlapped_ || under_way_.contains(run.id);
      under_way_.insert(run.id);
    }
  }
  pending_.push_back({std::move(trip), std::move(done)});
}

// Something is to be done with it by the next poll.
bool MemoryStore::due(const Pending& pending) const { return pending.committed ? !held_ && !pending.withheld : !paused_; }

void MemoryStore::poll(MonotonicTime until) {
  std::unique_lock lock(mutex_);
  auto any_due = [&] { return std::any_of(pending_.begin(), pending_.end(), [&](const Pending& pending) { return due(pending); }); };
  auto has_to_do = [&] { return woken_ || !notifications_.empty() || any_due() || clock_->now() >= until; };
  changed_.wait(lock, [&] {
    idle_ = !has_to_do();
    return !idle_;
  });
  woken_ = false;
  for (auto& pending : pending_) {
    if (pending.committed || paused_) continue;
    Fault fault = Fault::none;
    for (auto* faults : {pending.trip->flush ? &faults_ : nullptr, pending.trip->claim ? &claim_faults_ : nullptr,
                         pending.trip->limits ? &limit_faults_ : nullptr}) {
      if (!faults || faults->empty()) continue;
      fault = faults->front();
      faults->pop_front();
    }
    pending.committed = true;
    pending.withheld = (hold_loads_ && !pending.trip->load.empty()) || (hold_claims_ && pending.trip->claim);
    pending.reply = commit(*pending.trip, fault);
  }
  std::deque<Pending> answered;
  auto waiting = std::stable_partition(pending_.begin(), pending_.end(), [&](const Pending& pending) { return pending.committed && due(pending); });
  std::move(pending_.begin(), waiting, std::back_inserter(answered));
  pending_.erase(pending_.begin(), waiting);
  for (auto& pending : answered) {
    ++trips_;
    if (!pending.trip->flush) continue;
    for (const auto& run : pending.trip->flush->runs) under_way_.erase(under_way_.find(run.id));
    ++flushes_;
  }
  auto notifications = std::exchange(notifications_, {});
  lock.unlock();
  for (auto& pending : answered) pending.done(std::move(pending.reply));
  for (auto& notification : notifications) listener_(notification);
  changed_.notify_all();
}

void MemoryStore::wake() noexcept {
  std::lock_guard lock(mutex_);
  woken_ = true;
  changed_.notify_all();
}

void MemoryStore::hold(bool on) {
  std::lock_guard lock(mutex_);
  held_ = on;
  changed_.notify_all();
}

void MemoryStore::pause(bool on) {
  std::lock_guard lock(mutex_);
  paused_ = on;
  changed_.notify_all();
}

void MemoryStore::fail_next(Fault fault) {
  std::lock_guard lock(mutex_);
  faults_.push_back(fault);
}

void MemoryStore::fail_next_claim(Fault fault) {
  std::lock_guard lock(mutex_);
  claim_faults_.push_back(fault);
}

void MemoryStore::fail_next_limits(Fault fault) {
  std::lock_guard lock(mutex_);
  limit_faults_.push_back(fault);
}

void MemoryStore::watch(std::function<void(const Trip&)> watcher) {
  std::lock_guard lock(mutex_);
  watch_ = std::move(watcher);
}

void MemoryStore::hold_claims(bool on) {
  std::lock_guard lock(mutex_);
  hold_claims_ = on;
  for (auto& pending : pending_) {
    if (pending.trip->claim) pending.withheld = on;
  }
  changed_.notify_all();
}

void MemoryStore::hold_loads(bool on) {
  std::lock_guard lock(mutex_);
  hold_loads_ = on;
  if (!on) {
    for (auto& pending : pending_) pending.withheld = false;
  }
  changed_.notify_all();
}

void MemoryStore::release_load() {
  std::lock_guard lock(mutex_);
  auto first = std::find_if(pending_.begin(), pending_.end(), [](const Pending& pending) { return pending.withheld; });
  if (first != pending_.end()) first->withheld = false;
  changed_.notify_all();
}

int MemoryStore::loads_waiting() const {
  std::lock_guard lock(mutex_);
  return static_cast<int>(std::count_if(pending_.begin(), pending_.end(), [](const Pending& pending) { return pending.withheld; }));
}

void MemoryStore::fail_companions(bool on) {
  std::lock_guard lock(mutex_);
  fail_companions_ = on;
}

void MemoryStore::notify(const std::string& channel, const std::string& payload) {
  std::lock_guard lock(mutex_);
  notifications_.push_back({channel, payload});
  changed_.notify_all();
}

int MemoryStore::opens() const {
  std::lock_guard lock(mutex_);
  return opens_;
}

bool MemoryStore::miscounted() const {
  std::lock_guard lock(mutex_);
  return miscounted_;
}

bool MemoryStore::idle() const {
  std::lock_guard lock(mutex_);
  return idle_ && !woken_ && notifications_.empty();
}

int MemoryStore::trips() const {
  std::lock_guard lock(mutex_);
  return trips_;
}

int MemoryStore::flushes() const {
  std::lock_guard lock(mutex_);
  return flushes_;
}

bool MemoryStore::overlapped() const {
  std::lock_guard lock(mutex_);
  return overlapped_;
}

int MemoryStore::flushes_waiting() const {
  std::lock_guard lock(mutex_);
  return static_cast<int>(std::count_if(pending_.begin(), pending_.end(), [](const Pending& pending) { return pending.trip->flush.has_value(); }));
}

bool MemoryStore::wait_for(const std::function<bool()>& condition) {
  auto until = std::chrono::steady_clock::now() + std::chrono::seconds(10);
  std::unique_lock lock(mutex_);
  for (;;) {
    lock.unlock();
    if (condition()) return true;
    lock.lock();
    // Conditions also depend on carriers, which signal nothing here.
    changed_.wait_for(lock, std::chrono::milliseconds(2));
    if (std::chrono::steady_clock::now() > until) return false;
  }
}

}  // namespace dbos::testing
