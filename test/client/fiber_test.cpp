// Fibers, their stacks, and what survives a switch.
#include "engine/fiber.hpp"

#include <doctest/doctest.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <optional>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "engine/carriers.hpp"
#include "engine/overflow.hpp"
#include "engine/sanitizers.hpp"

extern char** environ;

using namespace dbos::detail;

namespace {

// Runs body on a thread of its own and waits for it.
template <class F>
void on_other_thread(F&& body) {
  std::thread(std::forward<F>(body)).join();
}

// Parks inside a catch block; afterwards the exception that it handles must still be its own.
struct Compensation {
  std::string seen_before;
  std::string seen_after;
  bool handled_after = true;
  Fiber fiber;

  Compensation(StackPool& stacks, const std::string& name) : fiber(stacks, [this, name] { run(name); }) {}

  static std::string rethrown() {
    try {
      throw;
    } catch (const std::runtime_error& e) {
      return e.what();
    }
  }

  void run(const std::string& name) {
    try {
      throw std::runtime_error(name);
    } catch (...) {
      seen_before = rethrown();
      Fiber::suspend();
      seen_after = rethrown();
    }
    handled_after = std::current_exception() != nullptr;
  }
};

// A thread_local's address must be found anew after each switch; this is how the library itself reads them.
thread_local int thread_number = 0;
[[gnu::noinline]] int this_thread_number() {
  asm volatile("" ::: "memory");
  return thread_number;
}

class Uncaught {
 public:
  Uncaught(int& before, int& after) : before_(before), after_(after) {}
  ~Uncaught() {
    before_ = count();
    Fiber::suspend();
    after_ = count();
  }
  [[gnu::noinline]] static int count() { return std::uncaught_exceptions(); }

 private:
  int& before_;
  int& after_;
};

[[gnu::noinline]] int recurse(int depth) {
  volatile char frame[1024];
  frame[0] = static_cast<char>(depth);
  if (depth == 0) return 0;
  return recurse(depth - 1) + frame[0];
}

int recurse_for_ever() {
  volatile int depth = 1 << 30;
  return recurse(depth);
}

}  // namespace

TEST_CASE("a fiber begins at the first resume, pauses at suspend, and continues where it was") {
  StackPool stacks;
  std::vector<int> order;
  Fiber fiber(stacks, [&] {
    order.push_back(1);
    Fiber::suspend();
    order.push_back(3);
  });
  CHECK(order.empty());
  fiber.resume();
  order.push_back(2);
  CHECK_FALSE(fiber.finished());
  fiber.resume();
  CHECK(fiber.finished());
  CHECK(order == std::vector<int>{1, 2, 3});
}

TEST_CASE("current is the fiber on its own stack, and nobody on a plain stack or in a body outside") {
  StackPool stacks;
  Fiber* on_fiber = nullptr;
  Fiber* in_body = nullptr;
  Fiber* hosted_in_body = nullptr;
  Fiber* after_body = nullptr;
  Fiber fiber(stacks, [&] {
    on_fiber = Fiber::current();
    in_body = Fiber::current();
    Fiber::outside([&] {
      in_body = Fiber::current();
      hosted_in_body = Fiber::hosted();
    });
    after_body = Fiber::current();
  });
  CHECK(Fiber::current() == nullptr);
  fiber.resume();
  CHECK(on_fiber == &fiber);
  CHECK(in_body == nullptr);
  CHECK(hosted_in_body == &fiber);
  CHECK(after_body == &fiber);
  CHECK(Fiber::current() == nullptr);
  CHECK(Fiber::hosted() == nullptr);
}

TEST_CASE("a body outside runs at once, on the thread's own stack") {
  StackPool stacks;
  bool fiber_local_on_fiber = false;
  bool body_local_on_fiber = true;
  std::thread::id fiber_thread;
  std::thread::id body_thread;
  auto on_stack = [](const Fiber& fiber, const void* at) {
    return at >= fiber.stack().bottom && at < static_cast<const void*>(fiber.stack().top());
  };
  std::optional<Fiber> fiber;
  fiber.emplace(stacks, [&] {
    fiber_thread = std::this_thread::get_id();
    fiber_local_on_fiber = on_stack(*fiber, __builtin_frame_address(0));
    Fiber::outside([&] {
      body_thread = std::this_thread::get_id();
      body_local_on_fiber = on_stack(*fiber, __builtin_frame_address(0));
    });
  });
  on_other_thread([&] { fiber->resume(); });
  CHECK(fiber_local_on_fiber);
  CHECK_FALSE(body_local_on_fiber);
  CHECK(body_thread == fiber_thread);
}

TEST_CASE("on a plain stack outside is a call") {
  bool called = false;
  Fiber::outside([&] { called = true; });
  CHECK(called);
  CHECK_THROWS_AS(Fiber::outside([] { throw std::out_of_range("plain"); }), std::out_of_range);
}

TEST_CASE("what a body throws outside arrives on the fiber, of the same type, and the fiber goes on") {
  StackPool stacks;
  std::string caught;
  int value_caught = 0;
  bool body_ran_again = false;
  Fiber fiber(stacks, [&] {
    try {
      Fiber::outside([] { throw std::out_of_range("from the body"); });
    } catch (const std::out_of_range& e) {
      caught = e.what();
    }
    try {
      Fiber::outside([] { throw 42; });
    } catch (int value) {
      value_caught = value;
    }
    Fiber::outside([&] { body_ran_again = true; });
  });
  fiber.resume();
  CHECK(fiber.finished());
  CHECK(caught == "from the body");
  CHECK(value_caught == 42);
  CHECK(body_ran_again);
}

TEST_CASE("an exception from outside unwinds the fiber's frames") {
  StackPool stacks;
  auto witness = std::make_shared<int>(1);
  long count_in_handler = 0;
  Fiber fiber(stacks, [&] {
    try {
      auto held = witness;
      Fiber::outside([] { throw std::runtime_error("unwind"); });
    } catch (const std::runtime_error&) {
      count_in_handler = witness.use_count();
    }
  });
  fiber.resume();
  CHECK(count_in_handler == 1);
}

TEST_CASE("two fibers parked inside catch blocks and resumed crosswise rethrow their own exceptions") {
  StackPool stacks;
  Compensation first(stacks, "first");
  Compensation second(stacks, "second");
  first.fiber.resume();
  second.fiber.resume();
  first.fiber.resume();  // ends while the other still handles its own
  second.fiber.resume();
  CHECK(first.seen_before == "first");
  CHECK(second.seen_before == "second");
  CHECK(first.seen_after == "first");
  CHECK(second.seen_after == "second");
  CHECK_FALSE(first.handled_after);
  CHECK_FALSE(second.handled_after);
  CHECK(std::current_exception() == nullptr);
}

TEST_CASE("fibers parked inside catch blocks rethrow their own exceptions on another thread") {
  StackPool stacks;
  Compensation first(stacks, "first");
  Compensation second(stacks, "second");
  on_other_thread([&] { first.fiber.resume(); });
  on_other_thread([&] {
    second.fiber.resume();
    first.fiber.resume();
    second.fiber.resume();
  });
  CHECK(first.seen_after == "first");
  CHECK(second.seen_after == "second");
  CHECK_FALSE(first.handled_after);
  CHECK_FALSE(second.handled_after);
}

TEST_CASE("a thread that handles an exception keeps it while it runs fibers, and they do not see it") {
  StackPool stacks;
  bool seen_on_fiber = true;
  Compensation parked(stacks, "the fiber's");
  Fiber fiber(stacks, [&] { seen_on_fiber = std::current_exception() != nullptr; });
  std::string own;
  try {
    throw std::runtime_error("the thread's");
  } catch (...) {
    fiber.resume();
    parked.fiber.resume();
    own = Compensation::rethrown();
  }
  CHECK_FALSE(seen_on_fiber);
  CHECK(own == "the thread's");
  parked.fiber.resume();
  CHECK(parked.seen_after == "the fiber's");
}

TEST_CASE("a fiber parked while an exception unwinds it counts its own uncaught exceptions") {
  StackPool stacks;
  int before = -1;
  int after = -1;
  int on_other = -1;
  std::string caught;
  Fiber unwinding(stacks, [&] {
    try {
      Uncaught parks(before, after);
      throw std::runtime_error("unwinding");
    } catch (const std::runtime_error& e) {
      caught = e.what();
    }
  });
  Fiber other(stacks, [&] { on_other = Uncaught::count(); });
  unwinding.resume();
  const int on_carrier = Uncaught::count();
  other.resume();
  int on_second_carrier = -1;
  on_other_thread([&] {
    unwinding.resume();
    on_second_carrier = Uncaught::count();
  });
  CHECK(before == 1);
  CHECK(on_carrier == 0);
  CHECK(on_other == 0);
  CHECK(after == 1);
  CHECK(on_second_carrier == 0);
  CHECK(caught == "unwinding");
}

TEST_CASE("a body called from a catch block sees the exception that the fiber handles, and leaves it alone") {
  StackPool stacks;
  std::string in_body;
  std::string after_body;
  Fiber fiber(stacks, [&] {
    try {
      throw std::runtime_error("handled");
    } catch (...) {
      Fiber::outside([&] { in_body = Compensation::rethrown(); });
      try {
        Fiber::outside([] { throw std::logic_error("the body's"); });
      } catch (const std::logic_error&) {
      }
      after_body = Compensation::rethrown();
    }
  });
  fiber.resume();
  CHECK(in_body == "handled");
  CHECK(after_body == "handled");
}

TEST_CASE("a fiber continues on another thread, with that thread's data and its own locals") {
  StackPool stacks;
  constexpr int hops = 200;
  std::vector<int> numbers;
  std::set<Fiber*> currents;
  Fiber fiber(stacks, [&] {
    std::string local = "kept";
    for (int i = 0; i < hops; ++i) {
      numbers.push_back(this_thread_number());
      currents.insert(Fiber::current());
      Fiber::outside([&] { numbers.push_back(this_thread_number()); });
      Fiber::suspend();
    }
    if (local != "kept") numbers.clear();
  });
  for (int i = 0; i <= hops; ++i)
    on_other_thread([&, i] {
      thread_number = i + 1;
      fiber.resume();
    });
  REQUIRE(fiber.finished());
  REQUIRE(numbers.size() == 2 * hops);
  for (int i = 0; i < hops; ++i) {
    CHECK(numbers[2 * i] == i + 1);
    CHECK(numbers[2 * i + 1] == i + 1);
  }
  CHECK(currents == std::set<Fiber*>{&fiber});
}

TEST_CASE("a body outside may run other fibers") {
  StackPool stacks;
  std::vector<std::string> order;
  Fiber inner(stacks, [&] {
    order.emplace_back("inner");
    Fiber::suspend();
    order.emplace_back("inner again");
  });
  Fiber outer(stacks, [&] {
    Fiber::outside([&] {
      inner.resume();
      CHECK(Fiber::hosted() == &outer);
    });
    CHECK(Fiber::current() == &outer);
    order.emplace_back("outer");
  });
  outer.resume();
  inner.resume();
  CHECK(order == std::vector<std::string>{"inner", "outer", "inner again"});
}

TEST_CASE("wrong use of a fiber is refused and harms nothing") {
  StackPool stacks;
  CHECK_THROWS_AS(Fiber::suspend(), std::logic_error);
  Fiber inner(stacks, [] {});
  bool refused = false;
  Fiber outer(stacks, [&] {
    try {
      inner.resume();
    } catch (const std::logic_error&) {
      refused = true;
    }
  });
  outer.resume();
  CHECK(refused);
  CHECK_THROWS_AS(outer.resume(), std::logic_error);
  inner.resume();
  CHECK(inner.finished());
}

TEST_CASE("the stack of a finished fiber returns to the pool and is used again") {
  StackPool stacks(64 * 1024, 10, 2);
  std::optional<Fiber> fiber;
  fiber.emplace(stacks, [] {});
  const char* bottom = fiber->stack().bottom;
  CHECK(stacks.in_use() == 1);
  fiber->resume();
  CHECK(stacks.in_use() == 0);
  CHECK(stacks.cached() == 1);
  Fiber next(stacks, [] {});
  CHECK(next.stack().bottom == bottom);
  next.resume();
}

TEST_CASE("a finished fiber lets go of what its entry holds") {
  StackPool stacks;
  auto held = std::make_shared<int>(1);
  Fiber fiber(stacks, [held] { Fiber::suspend(); });
  fiber.resume();
  CHECK(held.use_count() == 2);
  fiber.resume();
  CHECK(held.use_count() == 1);
}

TEST_CASE("the pool keeps no more free stacks than it is told") {
  StackPool stacks(64 * 1024, 10, 2);
  std::vector<Stack> taken;
  for (int i = 0; i < 5; ++i) taken.push_back(stacks.acquire());
  for (Stack& stack : taken) stacks.release(stack);
  CHECK(stacks.cached() == 2);
  CHECK(stacks.in_use() == 0);
}

TEST_CASE("a fiber that was never resumed gives its stack back") {
  StackPool stacks;
  auto held = std::make_shared<int>(1);
  { Fiber fiber(stacks, [held] {}); }
  CHECK(stacks.in_use() == 0);
  CHECK(stacks.cached() == 1);
  CHECK(held.use_count() == 1);
}

TEST_CASE("a parked fiber is never unwound: its stack stays, with the objects on it") {
  StackPool stacks(64 * 1024, 10, 10);
  static int destroyed;
  destroyed = 0;
  struct Guard {
    ~Guard() { ++destroyed; }
  };
  const char* bottom = nullptr;
  {
    Fiber fiber(stacks, [&] {
      Guard guard;
      try {
        Fiber::suspend();
      } catch (...) {
        ++destroyed;
      }
    });
    bottom = fiber.stack().bottom;
    fiber.resume();
  }
  CHECK(destroyed == 0);
  CHECK(stacks.abandoned() == 1);
  CHECK(stacks.in_use() == 1);
  CHECK(stacks.cached() == 0);
  Fiber next(stacks, [] {});
  CHECK(next.stack().bottom != bottom);
}

TEST_CASE("20,000 runs may keep a stack; one more is refused, and taken when another has ended") {
  // ThreadSanitizer counts fibers as threads and ends the process at the 8,128th.
  constexpr std::size_t limit = DBOS_TSAN ? 4000 : StackPool::default_limit;
  StackPool stacks(StackPool::default_bytes, limit);
  std::size_t ended = 0;
  std::vector<std::unique_ptr<Fiber>> fibers;
  for (std::size_t i = 0; i < limit; ++i) {
    fibers.push_back(std::make_unique<Fiber>(stacks, [&] {
      Fiber::suspend();
      ++ended;
    }));
    fibers.back()->resume();
  }
  CHECK(stacks.in_use() == limit);
  CHECK_THROWS_AS(Fiber(stacks, [] {}), StackLimit);
  CHECK(stacks.in_use() == limit);
  fibers.back()->resume();
  Fiber late(stacks, [&] { ++ended; });
  late.resume();
  fibers.pop_back();
  for (auto& fiber : fibers) fiber->resume();
  CHECK(ended == limit + 1);
  CHECK(stacks.in_use() == 0);
}

TEST_CASE("the message of a refused stack names the limit") {
  StackPool stacks(64 * 1024, 1);
  Fiber only(stacks, [] {});
  try {
    Fiber more(stacks, [] {});
    FAIL("a second stack was given");
  } catch (const StackLimit& e) {
    CHECK(std::string(e.what()).find("1 fiber stacks") != std::string::npos);
    CHECK_FALSE(e.hint().empty());
  }
}

// ---- what ends the process is tried in processes of their own: this executable again, with a scenario named in its environment

namespace {

constexpr const char* scenario_variable = "DBOS_FIBER_TEST_SCENARIO";

struct Ending {
  std::string said;  // on stderr
  int status = 0;
};

void overflow_on_a_fiber(const char* label) {
  OverflowWatch watch;
  StackPool stacks;
  Fiber fiber(stacks, [] { recurse_for_ever(); });
  fiber.set_label(label);
  fiber.resume();
}

void overflow_in_a_body() {
  struct Task : Runnable {
    StackPool stacks;
    void run() override {
      Fiber fiber(stacks, [] { Fiber::outside([] { recurse_for_ever(); }); });
      fiber.set_label("order-18");
      fiber.resume();
    }
  } task;
  CarrierPool carriers({.base = 1, .max = 1});
  carriers.post(&task);
  for (;;) pause();
}

void earlier_handler(int) {
  static constexpr char text[] = "earlier handler\n";
  _exit(write(STDERR_FILENO, text, sizeof text - 1) > 0 ? 7 : 8);
}

void fault_on_a_fiber() {
  OverflowWatch watch;
  StackPool stacks;
  Fiber fiber(stacks, [] {
    volatile std::uintptr_t nowhere = 16;
    *reinterpret_cast<volatile int*>(nowhere) = 1;
  });
  fiber.set_label("order-20");
  fiber.resume();
}

void throw_from_entry() {
  StackPool stacks;
  Fiber fiber(stacks, [] { throw std::runtime_error("must not leave"); });
  try {
    fiber.resume();
  } catch (...) {
  }
}

void play(const std::string& scenario) {
  if (scenario == "fiber") overflow_on_a_fiber("order-17");
  else if (scenario == "long label") overflow_on_a_fiber(std::string(5000, 'x').c_str());
  else if (scenario == "body") overflow_in_a_body();
  else if (scenario == "handled") {
    std::signal(SIGSEGV, earlier_handler);
    overflow_on_a_fiber("order-19");
  } else if (scenario == "fault") fault_on_a_fiber();
  else if (scenario == "throw") throw_from_entry();
  _exit(99);  // survived
}

// Before main, so that the test framework's own signal handlers are not installed.
const bool scenario_played = [] {
  const char* scenario = std::getenv(scenario_variable);
  if (scenario != nullptr) play(scenario);
  return scenario != nullptr;
}();

Ending ending_of(const std::string& scenario) {
  std::array<int, 2> ends{};
  REQUIRE(pipe(ends.data()) == 0);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, ends[1], STDERR_FILENO);
  posix_spawn_file_actions_addclose(&actions, ends[0]);
  std::string assignment = std::string(scenario_variable) + "=" + scenario;
  std::vector<char*> environment{assignment.data()};
  for (char** entry = environ; *entry != nullptr; ++entry) environment.push_back(*entry);
  environment.push_back(nullptr);
  std::array<char*, 2> arguments{const_cast<char*>("scenario"), nullptr};
  pid_t child = 0;
  REQUIRE(posix_spawn(&child, "/proc/self/exe", &actions, nullptr, arguments.data(), environment.data()) == 0);
  posix_spawn_file_actions_destroy(&actions);
  close(ends[1]);
  Ending ending;
  char buffer[4096];
  for (ssize_t n; (n = read(ends[0], buffer, sizeof buffer)) > 0;) ending.said.append(buffer, static_cast<std::size_t>(n));
  close(ends[0]);
  REQUIRE(waitpid(child, &ending.status, 0) == child);
  return ending;
}

// A sanitizer's own handler was there before ours: it reports, and ends the process its way.
bool died_of(const Ending& ending, int signal) {
  if (DBOS_ASAN || DBOS_TSAN) return WIFSIGNALED(ending.status) || WEXITSTATUS(ending.status) != 99;
  return WIFSIGNALED(ending.status) && WTERMSIG(ending.status) == signal;
}

bool says(const Ending& ending, const std::string& text) { return ending.said.find(text) != std::string::npos; }

}  // namespace

TEST_CASE("a stack overflow between steps is named with its workflow, and the process dies of the signal") {
  const Ending ending = ending_of("fiber");
  CAPTURE(ending.said);
  CHECK(says(ending, "stack overflow in workflow order-17 "));
  CHECK(died_of(ending, SIGSEGV));
}

TEST_CASE("a stack overflow in a step body is named with its workflow") {
  const Ending ending = ending_of("body");
  CAPTURE(ending.said);
  CHECK(says(ending, "stack overflow in workflow order-18 (in a step body)"));
  CHECK(died_of(ending, SIGSEGV));
}

TEST_CASE("the name of an overflow may be long: the message is cut") {
  const Ending ending = ending_of("long label");
  CHECK(says(ending, "stack overflow in workflow xxxx"));
  CHECK(died_of(ending, SIGSEGV));
}

TEST_CASE("a handler that was there before sees the overflow too, after it was named") {
  const Ending ending = ending_of("handled");
  CAPTURE(ending.said);
  const auto named = ending.said.find("stack overflow in workflow order-19");
  const auto handled = ending.said.find("earlier handler");
  REQUIRE(named != std::string::npos);
  REQUIRE(handled != std::string::npos);
  CHECK(named < handled);
  CHECK(WIFEXITED(ending.status));
  CHECK(WEXITSTATUS(ending.status) == 7);
}

TEST_CASE("another fault on a fiber is not called an overflow, and still kills") {
  const Ending ending = ending_of("fault");
  CAPTURE(ending.said);
  CHECK_FALSE(says(ending, "stack overflow in workflow"));
  CHECK(died_of(ending, SIGSEGV));
}

TEST_CASE("an exception that leaves a fiber's entry terminates instead of crossing stacks") {
  const Ending ending = ending_of("throw");
  CAPTURE(ending.said);
  CHECK(WIFSIGNALED(ending.status));
  CHECK(WTERMSIG(ending.status) == SIGABRT);
  CHECK(says(ending, "must not leave"));
}
