// The carrier pool: order, growth for bodies that block, shrinking, stopping; and fibers that move between carriers.
#include "engine/carriers.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <ctime>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "dbos/error.hpp"
#include "engine/fiber.hpp"
#include "engine/sanitizers.hpp"

using namespace dbos::detail;
using namespace std::chrono_literals;

namespace {

// A bound for what should take milliseconds: only a test that would otherwise hang reaches it.
constexpr auto patience = 60s;

struct Task final : Runnable {
  explicit Task(std::function<void()> body) : body(std::move(body)) {}
  void run() override { body(); }
  std::function<void()> body;
};

// Tasks that live as long as the test, at fixed addresses.
class Tasks {
 public:
  Runnable* add(std::function<void()> body) { return &tasks_.emplace_back(std::move(body)); }

 private:
  std::deque<Task> tasks_;
};

// Counts events; waiting for a number of them is how the tests follow what other threads do.
class Counter {
 public:
  void add() {
    std::lock_guard lock(mutex_);
    ++count_;
    changed_.notify_all();
  }
  bool reaches(int count, std::chrono::milliseconds within = patience) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, within, [&] { return count_ >= count; });
  }
  int count() {
    std::lock_guard lock(mutex_);
    return count_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  int count_ = 0;
};

// What blocking bodies wait for.
class Gate {
 public:
  void open() {
    std::lock_guard lock(mutex_);
    open_ = true;
    changed_.notify_all();
  }
  void pass() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return open_; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool open_ = false;
};

// Uses the processor for that long, however busy the machine is.
void compute(std::chrono::nanoseconds time) {
  auto used = [] {
    timespec now = {};
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return std::chrono::seconds(now.tv_sec) + std::chrono::nanoseconds(now.tv_nsec);
  };
  for (const auto start = used(); used() - start < time;) {
  }
}

// The pool tells nobody when it shrinks.
bool shrinks_to(const CarrierPool& pool, unsigned size) {
  for (const auto end = std::chrono::steady_clock::now() + patience; std::chrono::steady_clock::now() < end;) {
    if (pool.size() == size) return true;
    std::this_thread::sleep_for(1ms);
  }
  return false;
}

}  // namespace

TEST_CASE("tasks start in the order in which they were posted, singly or in batches") {
  std::vector<int> order;
  Tasks tasks;
  Counter ended;
  Gate gate;
  CarrierPool pool({.base = 1, .max = 1});
  pool.post(tasks.add([&] { gate.pass(); }));
  std::vector<Runnable*> all;
  for (int i = 0; i < 1000; ++i)
    all.push_back(tasks.add([&, i] {
      order.push_back(i);
      ended.add();
    }));
  for (int i = 0; i < 10; ++i) pool.post(all[i]);
  pool.post_batch(all.data() + 10, 980);
  for (int i = 990; i < 1000; ++i) pool.post(all[i]);
  gate.open();
  REQUIRE(ended.reaches(1000));
  pool.stop();
  CHECK(order.size() == 1000);
  CHECK(std::is_sorted(order.begin(), order.end()));
}

TEST_CASE("an empty batch is nothing") {
  CarrierPool pool({.base = 1, .max = 1});
  pool.post_batch(nullptr, 0);
  CHECK(pool.waiting() == 0);
}

TEST_CASE("a task may post itself again") {
  Counter turns;
  std::atomic<int> left = 1000;
  Task task([] {});
  CarrierPool pool({.base = 2, .max = 2});
  task.body = [&] {
    turns.add();
    if (--left > 0) pool.post(&task);
  };
  pool.post(&task);
  CHECK(turns.reaches(1000));
}

TEST_CASE("what several threads post is run, each task once") {
  constexpr int threads = 4;
  constexpr int each = 5000;
  std::vector<std::atomic<int>> runs(threads * each);
  Counter posters;
  std::atomic<int> ended = 0;
  Gate all_ended;
  Tasks tasks;
  std::vector<Runnable*> all;
  for (int i = 0; i < threads * each; ++i)
    all.push_back(tasks.add([&, i] {
      ++runs[i];
      if (++ended == threads * each) all_ended.open();
    }));
  CarrierPool pool({.base = 2, .max = 8});
  std::vector<std::thread> posting;
  for (int t = 0; t < threads; ++t)
    posting.emplace_back([&, t] {
      for (int i = 0; i < each; ++i) pool.post(all[t * each + i]);
    });
  for (auto& thread : posting) thread.join();
  all_ended.pass();
  CHECK(std::all_of(runs.begin(), runs.end(), [](const auto& count) { return count == 1; }));
}

TEST_CASE("short tasks never grow the pool beyond base, however many wait") {
  constexpr int count = 50000;
  CarrierPool pool({.base = 2, .max = 64});
  Tasks tasks;
  std::vector<Runnable*> all;
  std::atomic<int> ended = 0;
  std::atomic<unsigned> largest = 0;
  Gate all_ended;
  for (int i = 0; i < count; ++i)
    all.push_back(tasks.add([&, i] {
      compute(2us);
      if (i % 64 == 0) {
        const unsigned size = pool.size();
        for (unsigned seen = largest; size > seen && !largest.compare_exchange_weak(seen, size);) {
        }
      }
      if (++ended == count) all_ended.open();
    }));
  pool.post_batch(all.data(), all.size());
  all_ended.pass();
  CHECK(largest == 2);
  CHECK(pool.size() == 2);
}

TEST_CASE("bodies that compute for milliseconds do not grow the pool: more threads would not help") {
  constexpr int count = 60;
  CarrierPool pool({.base = 2, .max = 64});
  Tasks tasks;
  std::vector<Runnable*> all;
  std::atomic<int> ended = 0;
  Gate all_ended;
  for (int i = 0; i < count; ++i)
    all.push_back(tasks.add([&] {
      compute(5ms);
      if (++ended == count) all_ended.open();
    }));
  pool.post_batch(all.data(), all.size());
  all_ended.pass();
  CHECK(pool.size() == 2);
}

TEST_CASE("512 blocking bodies run at once, soon, and no more than max") {
  constexpr int max = DBOS_TSAN ? 128 : 512;
  CarrierPool pool({.base = 2, .max = max});
  Tasks tasks;
  std::vector<Runnable*> all;
  Counter started;
  Counter ended;
  Gate gate;
  for (int i = 0; i < max + 10; ++i)
    all.push_back(tasks.add([&] {
      started.add();
      gate.pass();
      ended.add();
    }));
  const auto begin = std::chrono::steady_clock::now();
  pool.post_batch(all.data(), all.size());
  REQUIRE(started.reaches(max));
  const auto took = std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() - begin);
  MESSAGE(max << " bodies blocked after " << took.count() << " ms");
  CHECK(took < 5s);
  CHECK(pool.size() == max);
  CHECK(pool.waiting() == 10);
  CHECK_FALSE(started.reaches(max + 1, 50ms));
  gate.open();
  CHECK(ended.reaches(max + 10));
}

TEST_CASE("bodies that block for less than the monitor's interval grow the pool too") {
  constexpr int count = 2000;
  CarrierPool pool({.base = 2, .max = 64});
  Tasks tasks;
  std::vector<Runnable*> all;
  Counter ended;
  for (int i = 0; i < count; ++i)
    all.push_back(tasks.add([&] {
      std::this_thread::sleep_for(300us);
      ended.add();
    }));
  pool.post_batch(all.data(), all.size());
  REQUIRE(ended.reaches(count));
  CHECK(pool.size() > 2);
}

TEST_CASE("a computation that does not end holds up nobody else for long") {
  CarrierPool pool({.base = 2, .max = 8});
  Tasks tasks;
  std::atomic<bool> enough = false;
  Counter ended;
  for (int i = 0; i < 2; ++i)
    pool.post(tasks.add([&] {
      while (!enough) {
      }
      ended.add();
    }));
  pool.post(tasks.add([&] {
    enough = true;
    ended.add();
  }));
  CHECK(ended.reaches(3));
}

TEST_CASE("carriers beyond base end when they were idle for long enough, and the pool grows again afterwards") {
  CarrierPool pool({.base = 2, .max = 32, .idle = 20ms});
  Tasks tasks;
  for (int round = 0; round < 2; ++round) {
    Counter started;
    Gate gate;
    Counter ended;
    for (int i = 0; i < 32; ++i)
      pool.post(tasks.add([&] {
        started.add();
        gate.pass();
        ended.add();
      }));
    REQUIRE(started.reaches(32));
    CHECK(pool.size() == 32);
    gate.open();
    REQUIRE(ended.reaches(32));
    CHECK(shrinks_to(pool, 2));
  }
  Counter still;
  pool.post(tasks.add([&] { still.add(); }));
  CHECK(still.reaches(1));
}

TEST_CASE("idle carriers beyond base are used again before new ones are started") {
  CarrierPool pool({.base = 1, .max = 16});
  Tasks tasks;
  for (int round = 0; round < 5; ++round) {
    Counter started;
    Counter ended;
    Gate gate;
    for (int i = 0; i < 8; ++i)
      pool.post(tasks.add([&] {
        started.add();
        gate.pass();
        ended.add();
      }));
    REQUIRE(started.reaches(8));
    gate.open();
    REQUIRE(ended.reaches(8));
  }
  CHECK(pool.size() <= 9);
}

TEST_CASE("bodies that wait for other tasks lend the pool a carrier, so that max of them cannot block each other") {
  CarrierPool pool({.base = 2, .max = 4});
  Tasks tasks;
  Counter waiting;
  Counter children;
  Counter ended;
  for (int i = 0; i < 4; ++i)
    pool.post(tasks.add([&] {
      waiting.add();
      CarrierPool::Lend lend(pool);
      children.reaches(4);
      ended.add();
    }));
  REQUIRE(waiting.reaches(4));
  for (int i = 0; i < 4; ++i) pool.post(tasks.add([&] { children.add(); }));
  CHECK(children.reaches(4, 10s));
  CHECK(ended.reaches(4));
}

TEST_CASE("lending outside a carrier is nothing") {
  CarrierPool pool({.base = 1, .max = 1});
  CarrierPool::Lend lend(pool);
  CHECK(pool.size() == 1);
}

TEST_CASE("stop lets running tasks end, forgets waiting ones, and ignores later ones") {
  Tasks tasks;
  Counter started;
  Counter ended;
  std::atomic<int> later = 0;
  Gate gate;
  CarrierPool pool({.base = 2, .max = 2});
  for (int i = 0; i < 2; ++i)
    pool.post(tasks.add([&] {
      started.add();
      gate.pass();
      ended.add();
    }));
  REQUIRE(started.reaches(2));
  for (int i = 0; i < 100; ++i) pool.post(tasks.add([&] { ++later; }));
  CHECK_FALSE(pool.stop_for(20ms));
  CHECK(ended.count() == 0);
  gate.open();
  CHECK(pool.stop_for(patience));
  CHECK(ended.count() == 2);
  CHECK(later == 0);
  CHECK(pool.size() == 0);
  pool.post(tasks.add([&] { ++later; }));
  pool.stop();
  CHECK(later == 0);
  CHECK(pool.waiting() == 0);
}

TEST_CASE("a pool that is growing can be stopped") {
  for (int round = 0; round < 10; ++round) {
    Tasks tasks;
    Counter started;
    Gate gate;
    CarrierPool pool({.base = 2, .max = 64});
    std::vector<Runnable*> all;
    for (int i = 0; i < 64; ++i)
      all.push_back(tasks.add([&] {
        started.add();
        gate.pass();
      }));
    pool.post_batch(all.data(), all.size());
    REQUIRE(started.reaches(3 + round * 3));
    std::thread opens([&] { gate.open(); });
    pool.stop();
    opens.join();
    CHECK(pool.size() == 0);
  }
}

TEST_CASE("a pool without carriers, and a carrier that stops its own pool, are refused") {
  CHECK_THROWS_AS(CarrierPool({.base = 1, .max = 0}), dbos::UsageError);
  Tasks tasks;
  Counter refused;
  CarrierPool pool({.base = 1, .max = 1});
  pool.post(tasks.add([&] {
    try {
      pool.stop();
    } catch (const std::logic_error&) {
      refused.add();
    }
  }));
  CHECK(refused.reaches(1));
}

TEST_CASE("base is never above max") {
  CarrierPool pool({.base = 8, .max = 3});
  CHECK(pool.size() == 3);
}

namespace {

// A run as the engine has it: a fiber that parks inside a catch block again and again, and is posted again after each park.
class Wanderer final : public Runnable {
 public:
  Wanderer(CarrierPool& pool, StackPool& stacks, int number, int turns, Counter& ended)
      : pool_(pool), ended_(ended), name_("run " + std::to_string(number)), turns_(turns), fiber_(stacks, [this] { wander(); }) {}

  void run() override {
    fiber_.resume();
    if (fiber_.finished()) ended_.add();
    else pool_.post(this);
  }
  int mistakes() const { return mistakes_; }

 private:
  void wander() {
    for (int turn = 0; turn < turns_; ++turn) {
      const std::string message = name_ + ", turn " + std::to_string(turn);
      try {
        Fiber::outside([&] { throw std::runtime_error(message); });
      } catch (...) {
        Fiber::suspend();
        check(message);
        Fiber::outside([] { std::this_thread::yield(); });
        Fiber::suspend();
        check(message);
      }
    }
  }
  void check(const std::string& message) {
    try {
      throw;
    } catch (const std::runtime_error& e) {
      if (e.what() != message || Fiber::current() != &fiber_) ++mistakes_;
    }
  }

  CarrierPool& pool_;
  Counter& ended_;
  std::string name_;
  int turns_;
  int mistakes_ = 0;
  Fiber fiber_;
};

}  // namespace

TEST_CASE("runs that park inside catch blocks and wander between carriers keep their own exceptions") {
  constexpr int count = 200;
  StackPool stacks;
  Counter ended;
  CarrierPool pool({.base = 4, .max = 4});
  std::vector<std::unique_ptr<Wanderer>> wanderers;
  for (int i = 0; i < count; ++i) wanderers.push_back(std::make_unique<Wanderer>(pool, stacks, i, 50, ended));
  std::vector<Runnable*> all;
  for (auto& wanderer : wanderers) all.push_back(wanderer.get());
  pool.post_batch(all.data(), all.size());
  REQUIRE(ended.reaches(count));
  CHECK(std::all_of(wanderers.begin(), wanderers.end(), [](auto& wanderer) { return wanderer->mistakes() == 0; }));
  CHECK(stacks.in_use() == 0);
}
