// Fibers: whose stack, whose thread, whose exceptions, before and after a switch.
#include "engine/fiber.hpp"

#include <doctest/doctest.h>

#include <exception>
#include <memory>
#include <optional>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

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
  auto on_stack = [](const Fiber& fiber, const void* at) { return at >= fiber.stack().bottom && at < static_cast<const void*>(fiber.stack().top()); };
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
