// Stacks of fibers: lent, used again, abandoned, limited.
#include "engine/stack.hpp"

#include <doctest/doctest.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/fiber.hpp"
#include "engine/sanitizers.hpp"

using namespace dbos::detail;

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

TEST_CASE("one stack serves any number of fibers, one after the other") {
  StackPool stacks(64 * 1024, 1, 1);
  int ended = 0;
  for (int i = 0; i < 10000; ++i) {
    Fiber fiber(stacks, [&] { ++ended; });
    fiber.resume();
  }
  CHECK(ended == 10000);
  CHECK(stacks.cached() == 1);
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
  {
    Fiber fiber(stacks, [held] {});
  }
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
      auto referred_to_from_here_only = std::make_unique<Guard>();  // a leak on purpose: no leak checker shall complain
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
