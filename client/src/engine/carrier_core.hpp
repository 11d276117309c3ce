// The inside of CarrierPool, shared by carriers.cpp (posting, a carrier's life) and carrier_monitor.cpp (growth). Nobody else's.
#pragma once

#include <array>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "engine/carriers.hpp"
#include "engine/thread_probe.hpp"

namespace dbos::detail {

// A slot for one thread at a time. It outlives the thread, so that it may be notified without the lock.
struct CarrierPool::Carrier {
  std::thread thread;
  std::condition_variable wake;

  // Under Core::mutex.
  ThreadProbe probe;
  std::uint64_t task = 0;  // how many it has begun
  bool alive = false;
  bool busy = false;     // in a task
  bool coming = false;   // woken or started, has not looked for a task yet
  bool blocked = false;  // its task is not expected to end soon

  // The monitor's own: what it saw at its last look.
  std::uint64_t seen_tick = 0;
  std::uint64_t seen_task = 0;
  unsigned asleep_looks = 0;
  unsigned asleep_looks_in_task = 0;
  std::chrono::nanoseconds time_at_task{};
};

// One mutex guards all; a carrier takes it once between two tasks. A carrier is idle (parked), coming or busy; a busy one may be blocked.
// `available` are those that can be expected to take a task soon: neither idle nor blocked. While fewer than base are available, idle
// ones are woken at once, the first by who posts, the next by those that come. To use more than base is the monitor's decision: it looks
// at what the busy ones do, and then wakes or starts more.
struct CarrierPool::Core {
  using Lock = std::unique_lock<std::mutex>;
  struct Woken {
    std::array<Carrier*, 8> carriers;
    unsigned count = 0;
  };
  struct Sight {
    Carrier* carrier;
    ThreadProbe probe;
    std::uint64_t task;
    bool blocked;
  };
  struct Findings {
    unsigned at_work = 0;  // will take a task soon
    unsigned asleep = 0;   // asleep in a task, at this look at least
    unsigned newly_blocked = 0;
  };

  explicit Core(const CarrierOptions& options);
  void start();
  void push(Runnable** tasks, std::size_t count);
  bool stop(std::optional<std::chrono::steady_clock::time_point> deadline);
  Carrier* lend();
  void take_back(Carrier& carrier);

  unsigned limit() const { return max + lent; }
  unsigned available() const { return alive - static_cast<unsigned>(idle.size()) - blocked; }
  bool may_add() const { return !idle.empty() || alive < limit(); }
  Woken call_for_help();
  Carrier* wake_idle();
  static void notify(const Woken& woken);

  void carry(Carrier& self);
  Runnable* next(Carrier& self, Lock& lock);
  Runnable* take(Carrier& self, Lock& lock);
  bool park(Carrier& self, Lock& lock);
  void finish(Carrier& self);
  void retire(Carrier& self);
  void set_coming(Carrier& carrier, bool value);
  void set_blocked(Carrier& carrier, bool value);

  void watch();
  void watch_backlog(Lock& lock);
  Findings look(Lock& lock);
  Findings inspect(unsigned expected);
  bool judge(const Sight& sight, Findings& findings) const;
  bool add(Lock& lock, std::size_t count);
  std::vector<Carrier*> reserve(std::size_t count);
  bool launch(const std::vector<Carrier*>& slots, Lock& lock);

  unsigned base;
  unsigned max;
  std::chrono::milliseconds keep_idle;

  mutable std::mutex mutex;
  Runnable* first = nullptr;
  Runnable* last = nullptr;
  std::size_t waiting = 0;
  std::vector<std::unique_ptr<Carrier>> carriers;
  std::vector<Carrier*> idle;  // last parked, first woken: the others grow cold and retire
  unsigned alive = 0;
  unsigned coming = 0;
  unsigned blocked = 0;
  unsigned lent = 0;
  bool stopping = false;
  bool armed = false;  // the monitor looks after the backlog
  std::condition_variable monitor_wake;
  std::condition_variable all_ended;

  std::thread monitor;
  std::uint64_t tick = 0;
  std::vector<Sight> sights;
  std::mutex join_mutex;  // taken before mutex
};

}  // namespace dbos::detail
