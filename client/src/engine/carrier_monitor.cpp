// CarrierPool's monitor: a thread that sleeps unless tasks wait with nobody on the way to them, then looks every few milliseconds at what
// the busy carriers do, and adds carriers for those that are blocked.
#include <pthread.h>

#include <algorithm>
#include <system_error>

#include "engine/carrier_core.hpp"

namespace dbos::detail {
namespace {

// How often it looks: at the shorter interval while some carrier sleeps inside a task, at up to the longer one while all of them compute.
constexpr std::chrono::milliseconds shortest_tick{1};
constexpr std::chrono::milliseconds longest_tick{4};
// Looks in a row that must find a carrier asleep in one task, or in whichever task it was in: one look alone may meet a short lock.
constexpr unsigned looks_in_one_task = 2;
constexpr unsigned looks_in_any_task = 4;
// A task that has computed for so long does not give its carrier back soon.
constexpr std::chrono::milliseconds long_computation{10};
// After the kernel refused a thread.
constexpr std::chrono::milliseconds refusal_pause{100};

}  // namespace

void CarrierPool::Core::watch() {
  pthread_setname_np(pthread_self(), "dbos-monitor");
  Lock lock(mutex);
  while (!stopping) {
    monitor_wake.wait(lock, [&] { return armed || stopping; });
    watch_backlog(lock);
    armed = false;
  }
}

// Until no task waits any more, or nothing can be added: whoever ends then takes the next task without help.
void CarrierPool::Core::watch_backlog(Lock& lock) {
  auto pause = shortest_tick;
  const auto rest = [&](std::chrono::milliseconds time) { monitor_wake.wait_for(lock, time, [&] { return stopping; }); };
  while (!stopping && waiting > 0 && may_add()) {
    if (available() >= base || coming >= waiting) rest(pause);
    const Findings found = look(lock);
    pause = found.asleep > 0 ? shortest_tick : std::min(pause * 2, longest_tick);
    if (stopping || found.at_work >= base || coming >= waiting) continue;
    // Twice those that have blocked since: bodies that block in a row double the pool each time.
    const std::size_t wanted = std::max(base - found.at_work, 2 * found.newly_blocked);
    if (!add(lock, std::min(wanted, waiting - coming))) rest(refusal_pause);
  }
}

// Reading what a thread does is a system call or three, so it is done without the lock.
CarrierPool::Core::Findings CarrierPool::Core::look(Lock& lock) {
  sights.clear();
  for (auto& carrier : carriers)
    if (carrier->busy && !carrier->blocked) sights.push_back({carrier.get(), carrier->probe, carrier->task, false});
  ++tick;
  const unsigned expected = coming;
  lock.unlock();
  const Findings findings = inspect(expected);
  lock.lock();
  for (const Sight& sight : sights)
    if (sight.blocked && sight.carrier->busy && sight.carrier->task == sight.task) set_blocked(*sight.carrier, true);
  return findings;
}

// Stops when enough carriers are seen at work: then nothing will be added.
CarrierPool::Core::Findings CarrierPool::Core::inspect(unsigned expected) {
  Findings findings;
  findings.at_work = expected;
  unsigned computing = expected;
  for (Sight& sight : sights) {
    if (computing >= base) break;
    const unsigned asleep_before = findings.asleep;
    sight.blocked = judge(sight, findings);
    if (sight.blocked) continue;
    ++findings.at_work;
    if (findings.asleep == asleep_before) ++computing;
  }
  return findings;
}

// Whether the carrier will not take another task soon. A thread that is ready to run but gets no processor is at work: more threads
// would not help it.
bool CarrierPool::Core::judge(const Sight& sight, Findings& findings) const {
  Carrier& seen = *sight.carrier;
  if (seen.seen_tick + 1 != tick) seen.asleep_looks = 0;
  seen.seen_tick = tick;
  if (seen.seen_task != sight.task) {
    seen.seen_task = sight.task;
    seen.asleep_looks_in_task = 0;
    seen.time_at_task = sight.probe.processor_time();
  }
  if (!sight.probe.asleep()) {
    seen.asleep_looks = seen.asleep_looks_in_task = 0;
    return sight.probe.processor_time() - seen.time_at_task >= long_computation;
  }
  ++findings.asleep;
  ++seen.asleep_looks;
  ++seen.asleep_looks_in_task;
  if (seen.asleep_looks_in_task < looks_in_one_task && seen.asleep_looks < looks_in_any_task) return false;
  ++findings.newly_blocked;
  return true;
}

// Wakes idle carriers, then starts new ones. False when the kernel refuses a thread.
bool CarrierPool::Core::add(Lock& lock, std::size_t count) {
  std::vector<Carrier*> woken;
  for (; count > 0 && !idle.empty(); --count) woken.push_back(wake_idle());
  for (Carrier* carrier : woken) carrier->wake.notify_one();
  const std::size_t room = limit() - std::min(alive, limit());
  return launch(reserve(std::min(count, room)), lock);
}

// Slots for carriers that are about to be started, counted as coming from now on.
std::vector<CarrierPool::Carrier*> CarrierPool::Core::reserve(std::size_t count) {
  std::vector<Carrier*> slots;
  for (auto& carrier : carriers)
    if (slots.size() < count && !carrier->alive) slots.push_back(carrier.get());
  while (slots.size() < count) slots.push_back(carriers.emplace_back(std::make_unique<Carrier>()).get());
  idle.reserve(carriers.size());  // to park must not fail
  for (Carrier* slot : slots) {
    slot->alive = true;
    set_coming(*slot, true);
  }
  alive += static_cast<unsigned>(slots.size());
  return slots;
}

// Starts the threads without the lock. False when the kernel refuses one; it and the rest are given up.
bool CarrierPool::Core::launch(const std::vector<Carrier*>& slots, Lock& lock) {
  lock.unlock();
  std::size_t started = 0;
  try {
    for (; started < slots.size(); ++started) {
      Carrier& slot = *slots[started];
      if (slot.thread.joinable()) slot.thread.join();  // has retired
      slot.thread = std::thread([this, &slot] { carry(slot); });
    }
  } catch (const std::system_error&) {
  }
  lock.lock();
  for (std::size_t i = started; i < slots.size(); ++i) {
    slots[i]->alive = false;
    set_coming(*slots[i], false);
    --alive;
  }
  return started == slots.size();
}

}  // namespace dbos::detail
