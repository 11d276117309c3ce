#include "engine/carriers.hpp"

#include <pthread.h>

#include <algorithm>
#include <stdexcept>
#include <string>
#include <system_error>

#include "dbos/error.hpp"
#include "engine/carrier_core.hpp"
#include "engine/overflow.hpp"

namespace dbos::detail {
namespace {

using Clock = std::chrono::steady_clock;

// Tasks that wait for each carrier that is woken: a wake-up costs as much as a few short tasks.
constexpr std::size_t tasks_per_wake = 4;

// Which pool and carrier this thread belongs to. A fiber may change threads, so the address must not be kept over a switch: out of line.
thread_local const void* this_pool = nullptr;
thread_local void* this_carrier = nullptr;

[[gnu::noinline]] const void* pool_of_this_thread() noexcept {
  asm volatile("" ::: "memory");
  return this_pool;
}

[[gnu::noinline]] void* carrier_of_this_thread() noexcept {
  asm volatile("" ::: "memory");
  return this_carrier;
}

}  // namespace

// ---- posting

CarrierPool::Core::Core(const CarrierOptions& options)
    : base(options.base != 0 ? options.base : std::max(1u, std::thread::hardware_concurrency())), max(options.max), keep_idle(options.idle) {
  if (max == 0) throw UsageError("a pool of at most 0 carriers cannot run anything", {}, {}, "allow at least 1 blocking step");
  base = std::min(base, max);
}

void CarrierPool::Core::push(Runnable** tasks, std::size_t count) {
  Lock lock(mutex);
  if (stopping || count == 0) return;
  for (std::size_t i = 0; i < count; ++i) {
    tasks[i]->next = nullptr;
    (last == nullptr ? first : last->next) = tasks[i];
    last = tasks[i];
  }
  waiting += count;
  const Woken woken = call_for_help();
  lock.unlock();
  notify(woken);
}

// Those that are coming count: each takes a task and then calls for help itself.
CarrierPool::Core::Woken CarrierPool::Core::call_for_help() {
  Woken woken;
  while (coming * tasks_per_wake < waiting && available() < base && !idle.empty() && woken.count < woken.carriers.size())
    woken.carriers[woken.count++] = wake_idle();
  if (coming == 0 && waiting > 0 && !armed && may_add()) {
    armed = true;
    monitor_wake.notify_one();
  }
  return woken;
}

CarrierPool::Carrier* CarrierPool::Core::wake_idle() {
  Carrier* carrier = idle.back();
  idle.pop_back();
  set_coming(*carrier, true);
  return carrier;
}

// Without the lock, so that the woken threads do not run into it.
void CarrierPool::Core::notify(const Woken& woken) {
  for (unsigned i = 0; i < woken.count; ++i) woken.carriers[i]->wake.notify_one();
}

// ---- a carrier's life

void CarrierPool::Core::carry(Carrier& self) {
  pthread_setname_np(pthread_self(), "dbos-carrier");
  OverflowWatch watch;
  this_pool = this;
  this_carrier = &self;
  Lock lock(mutex);
  self.probe = ThreadProbe::of_this_thread();
  while (Runnable* task = next(self, lock)) {
    task->run();
    lock.lock();
    finish(self);
  }
}

// The next task, with the lock released; nullptr, with the lock held, when the carrier has to end.
Runnable* CarrierPool::Core::next(Carrier& self, Lock& lock) {
  for (;;) {
    set_coming(self, false);
    if (stopping || alive > limit()) break;
    if (first != nullptr) return take(self, lock);
    if (!park(self, lock)) break;
  }
  retire(self);
  return nullptr;
}

Runnable* CarrierPool::Core::take(Carrier& self, Lock& lock) {
  Runnable* task = first;
  first = task->next;
  if (first == nullptr) last = nullptr;
  task->next = nullptr;
  --waiting;
  ++self.task;
  self.busy = true;
  const Woken woken = call_for_help();
  lock.unlock();
  notify(woken);
  return task;
}

// False when the carrier has been idle for too long and is one too many.
bool CarrierPool::Core::park(Carrier& self, Lock& lock) {
  const auto called = [&] { return self.coming || stopping; };
  idle.push_back(&self);
  while (!called()) {
    if (alive <= base) self.wake.wait(lock);
    else if (!self.wake.wait_for(lock, keep_idle, called) && alive > base) break;
  }
  if (self.coming) return true;
  idle.erase(std::find(idle.begin(), idle.end(), &self));
  return stopping;
}

void CarrierPool::Core::finish(Carrier& self) {
  self.busy = false;
  set_blocked(self, false);
}

void CarrierPool::Core::retire(Carrier& self) {
  self.alive = false;
  if (--alive == 0) all_ended.notify_all();
  notify(call_for_help());
}

void CarrierPool::Core::set_coming(Carrier& carrier, bool value) {
  if (carrier.coming == value) return;
  carrier.coming = value;
  value ? ++coming : --coming;
}

void CarrierPool::Core::set_blocked(Carrier& carrier, bool value) {
  if (carrier.blocked == value) return;
  carrier.blocked = value;
  value ? ++blocked : --blocked;
}

// ---- start, stop, lend

void CarrierPool::Core::start() {
  monitor = std::thread([this] { watch(); });
  Lock lock(mutex);
  const bool complete = launch(reserve(base), lock);
  const unsigned started = alive;
  lock.unlock();
  if (complete) return;
  stop(std::nullopt);
  throw std::system_error(std::make_error_code(std::errc::resource_unavailable_try_again),
                          "only " + std::to_string(started) + " of " + std::to_string(base) + " carrier threads could be started");
}

bool CarrierPool::Core::stop(std::optional<Clock::time_point> deadline) {
  if (pool_of_this_thread() == this) throw std::logic_error("a carrier cannot stop its own pool");
  std::lock_guard joining(join_mutex);
  Lock lock(mutex);
  stopping = true;
  first = last = nullptr;
  waiting = 0;
  monitor_wake.notify_one();
  for (auto& carrier : carriers) carrier->wake.notify_one();
  lock.unlock();
  if (monitor.joinable()) monitor.join();  // from here on no carrier is started
  lock.lock();
  const auto ended = [&] { return alive == 0; };
  if (!deadline) all_ended.wait(lock, ended);
  else if (!all_ended.wait_until(lock, *deadline, ended)) return false;
  lock.unlock();
  for (auto& carrier : carriers)
    if (carrier->thread.joinable()) carrier->thread.join();
  return true;
}

// nullptr when this thread is none of the pool's carriers.
CarrierPool::Carrier* CarrierPool::Core::lend() {
  if (pool_of_this_thread() != this) return nullptr;
  auto* carrier = static_cast<Carrier*>(carrier_of_this_thread());
  Lock lock(mutex);
  ++lent;
  set_blocked(*carrier, true);
  const Woken woken = call_for_help();
  lock.unlock();
  notify(woken);
  return carrier;
}

void CarrierPool::Core::take_back(Carrier& carrier) {
  std::lock_guard lock(mutex);
  --lent;
  set_blocked(carrier, false);
}

CarrierPool::CarrierPool(CarrierOptions options) : core_(std::make_unique<Core>(options)) { core_->start(); }

CarrierPool::~CarrierPool() { stop(); }

void CarrierPool::post(Runnable* task) { core_->push(&task, 1); }

void CarrierPool::post_batch(Runnable** tasks, std::size_t count) { core_->push(tasks, count); }

void CarrierPool::stop() { core_->stop(std::nullopt); }

bool CarrierPool::stop_for(std::chrono::milliseconds grace) { return core_->stop(Clock::now() + grace); }

unsigned CarrierPool::size() const {
  std::lock_guard lock(core_->mutex);
  return core_->alive;
}

std::size_t CarrierPool::waiting() const {
  std::lock_guard lock(core_->mutex);
  return core_->waiting;
}

CarrierPool::Lend::Lend(CarrierPool& pool) : pool_(pool), carrier_(pool.core_->lend()) {}

CarrierPool::Lend::~Lend() {
  if (carrier_ != nullptr) pool_.core_->take_back(*carrier_);
}

}  // namespace dbos::detail
