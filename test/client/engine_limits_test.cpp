// Steps under a limit: how they wait, what they check before they begin, and when they give back what they have.
#include "engine_fixture.hpp"

using namespace dbos;
using namespace dbos::testing;

namespace {

std::int64_t elapsed(const Process& p) {
  return std::chrono::duration_cast<std::chrono::milliseconds>(p.clock->now().time_since_epoch() - std::chrono::hours(1)).count();
}

MemoryLimit limit(Process& p, const std::string& name) {
  std::lock_guard lock(p.database->mutex);
  return p.database->limits[name];
}

}  // namespace

TEST_CASE("a hundred steps under a rate begin one interval apart and hold no thread while they wait") {
  std::atomic<bool> free_step = false;
  Process p;
  p.options.carriers = p.options.max_blocking_steps = 1;
  p.database->limits["api"].interval_ms = 20;
  std::mutex mutex;
  std::vector<std::int64_t> begun;
  p.workflow<void()>("call", [&](Context& ctx) {
    ctx.step("s", {.limit = "api"}, [&] {
      std::lock_guard lock(mutex);
      begun.push_back(elapsed(p));
    });
  });
  p.workflow<void()>("free", [&](Context& ctx) { ctx.step("s", [&] { free_step = true; }); });
  p.launch();
  std::vector<std::shared_ptr<Run>> runs;
  for (int i = 0; i < 100; ++i) runs.push_back(p.start("call", "r" + std::to_string(i)));
  REQUIRE(p.eventually([&] { return limit(p, "api").waiting.size() > 90; }));
  p.result(p.start("free", "f"));
  CHECK(free_step);
  REQUIRE(p.eventually([&] {
    p.clock->advance(1ms);
    std::lock_guard lock(mutex);
    return begun.size() == 100;
  }));
  for (auto& run : runs) p.result(run);
  for (std::size_t i = 0; i < begun.size(); ++i) CHECK(begun[i] >= static_cast<std::int64_t>(i) * 20);
}

TEST_CASE("bodies at the same time never exceed the concurrency, and permits come back with each end and each failure") {
  std::atomic<int> inside = 0;
  std::atomic<int> most = 0;
  Process p;
  p.options.carriers = 4;
  p.database->limits["gpu"].concurrency = 2;
  p.workflow<int(int)>("job", [&](Context& ctx, int number) {
    return ctx.step("s", {.retries = 1, .interval = 0ms, .limit = "gpu"}, [&](StepContext& step) {
      int now = ++inside;
      int seen = most;
      while (now > seen && !most.compare_exchange_weak(seen, now)) {
      }
      std::this_thread::yield();
      --inside;
      if (number % 2 == 1 && step.attempt() == 1) throw std::runtime_error("once more");
      if (number % 5 == 0) throw Permanent("never");
      return number;
    });
  });
  p.launch();
  std::vector<std::shared_ptr<Run>> runs;
  for (int i = 0; i < 40; ++i) runs.push_back(p.start("job", "j" + std::to_string(i), i));
  REQUIRE(p.eventually([&] {
    p.clock->advance(5ms);
    return std::all_of(runs.begin(), runs.end(), [&](auto& run) { return p.status(run->id) == "SUCCESS" || p.status(run->id) == "ERROR"; });
  }));
  CHECK(most <= 2);
  CHECK(limit(p, "gpu").most_permits == 2);
  REQUIRE(p.eventually([&] {
    p.clock->advance(5ms);
    return limit(p, "gpu").permits.empty();
  }));
}

TEST_CASE("a run that was cancelled while it waited for a limit does not touch the world, and gives its ticket back") {
  std::atomic<int> bodies = 0;
  Process p;
  p.database->limits["api"].concurrency = 1;
  p.database->limits["api"].permits = {"another's"};
  p.workflow<int()>("call", [&](Context& ctx) { return ctx.step("s", {.limit = "api"}, [&] { return ++bodies; }); });
  p.launch();
  auto run = p.start("call", "c1");
  REQUIRE(p.eventually([&] { return limit(p, "api").waiting.size() == 1 && p.status("c1") == "PENDING"; }));
  p.database->cancel("c1");
  {
    std::lock_guard lock(p.database->mutex);
    p.database->limits["api"].permits.clear();
  }
  REQUIRE(p.eventually([&] {
    p.clock->advance(10ms);
    std::lock_guard lock(p.database->mutex);
    auto& api = p.database->limits["api"];
    return api.starts.size() == 1 && api.permits.empty();
  }));
  CHECK_THROWS_AS(p.result(run), Cancelled);
  CHECK(bodies == 0);
}

TEST_CASE("a step with a record asks for nothing when it is replayed") {
  auto database = std::make_shared<MemoryDatabase>();
  database->limits["api"].concurrency = 1;
  std::atomic<int> asks = 0;
  Process p(database);
  p.workflow<int()>("call", [&](Context& ctx) { return ctx.step("s", {.limit = "api"}, [] { return 2; }); });
  p.launch();
  p.store->watch([&](const Trip& trip) { asks += trip.limits ? static_cast<int>(trip.limits->asks.size()) : 0; });
  {
    std::lock_guard lock(database->mutex);
    database->steps[{"w", 0}] = {0, "s", "1", std::nullopt, "", "portable_json"};
  }
  database->enqueue("w", "call", encode_arguments());
  REQUIRE(p.eventually([&] {
    p.clock->advance(100ms);
    return p.status("w") == "SUCCESS";
  }));
  CHECK(p.database->row("w").output == "1");
  CHECK(asks == 0);
}

TEST_CASE("a step that calls another service is declared once, with its limit; others are not") {
  Process p;
  p.database->limits["api"].interval_ms = 1;
  p.workflow<void(int)>("call", [&](Context& ctx, int) {
    ctx.step("charge", {.limit = "api"}, [] {});
    ctx.step("mail", {.outbound = true}, [] {});
    ctx.step("count", [] {});
  });
  p.launch();
  std::vector<std::shared_ptr<Run>> runs;
  for (int i = 0; i < 3; ++i) runs.push_back(p.start("call", "r" + std::to_string(i), i));
  REQUIRE(p.eventually([&] {
    p.clock->advance(1ms);
    return p.status("r0") == "SUCCESS" && p.status("r1") == "SUCCESS" && p.status("r2") == "SUCCESS";
  }));
  auto declared = [&] {
    std::lock_guard lock(p.database->mutex);
    return p.database->outbound;
  };
  // With the next heartbeat.
  REQUIRE(p.eventually([&] {
    p.clock->advance(1000ms);
    return declared().size() >= 2;
  }));
  auto steps = declared();
  std::sort(steps.begin(), steps.end());
  CHECK(steps == std::vector<std::pair<std::string, std::string>>{{"charge", "api"}, {"mail", ""}});
}

TEST_CASE("RetryAfter holds the limit for everyone and uses up no retry") {
  std::atomic<int> bodies = 0;
  std::atomic<std::int64_t> first_end = 0, other_begin = 0, again_begin = 0;
  Process p;
  p.database->limits["api"].interval_ms = 1;
  p.workflow<int()>("told", [&](Context& ctx) {
    return ctx.step("s", {.limit = "api"}, [&](StepContext& step) {
      ++bodies;
      if (step.attempt() <= 3) {
        first_end = elapsed(p);
        throw RetryAfter(30s);
      }
      again_begin = elapsed(p);
      return step.attempt();
    });
  });
  p.workflow<void()>("other", [&](Context& ctx) { ctx.step("s", {.limit = "api"}, [&] { other_begin = elapsed(p); }); });
  p.launch();
  auto run = p.start("told", "t1");
  REQUIRE(p.eventually([&] { return limit(p, "api").held_until > 0; }));
  auto other = p.start("other", "o1");
  REQUIRE(p.eventually([&] {
    p.clock->advance(50ms);
    return p.status("t1") == "SUCCESS" && p.status("o1") == "SUCCESS";
  }));
  CHECK(p.result(run) == "4");
  CHECK(bodies == 4);
  CHECK(again_begin >= 90000);
  CHECK(other_begin >= 30000);
}

TEST_CASE("RetryAfter without a limit lets the step alone wait") {
  std::atomic<std::int64_t> begun = 0;
  Process p;
  p.workflow<int()>("told", [&](Context& ctx) {
    return ctx.step("s", [&](StepContext& step) {
      if (step.attempt() == 1) throw RetryAfter(7s);
      begun = elapsed(p);
      return step.attempt();
    });
  });
  p.launch();
  auto run = p.start("told", "t1");
  REQUIRE(p.eventually([&] {
    p.clock->advance(100ms);
    return p.status("t1") == "SUCCESS";
  }));
  CHECK(p.result(run) == "2");
  CHECK(begun >= 7000);
}

TEST_CASE("a long wait for a limit gives up its stack and keeps its place") {
  std::atomic<int> entries = 0;
  std::atomic<int> bodies = 0;
  Process p;
  p.database->limits["api"].concurrency = 1;
  p.database->limits["api"].permits = {"another's"};
  std::mutex mutex;
  std::vector<std::string> order;
  p.workflow<void(std::string)>("call", [&](Context& ctx, std::string who) {
    ++entries;
    ctx.step("s", {.limit = "api"}, [&] {
      ++bodies;
      std::lock_guard lock(mutex);
      order.push_back(who);
    });
  });
  p.launch();
  auto first = p.start("call", "c1", std::string("first"));
  REQUIRE(p.eventually([&] { return limit(p, "api").waiting.size() == 1; }));
  REQUIRE(p.eventually([&] {
    p.clock->advance(1s);
    return elapsed(p) > 90000;
  }));
  auto second = p.start("call", "c2", std::string("second"));
  REQUIRE(p.eventually([&] { return limit(p, "api").waiting.size() == 2; }));
  {
    std::lock_guard lock(p.database->mutex);
    p.database->limits["api"].permits.clear();
  }
  REQUIRE(p.eventually([&] {
    p.clock->advance(10ms);
    return p.status("c1") == "SUCCESS" && p.status("c2") == "SUCCESS";
  }));
  CHECK(order == std::vector<std::string>{"first", "second"});
  CHECK(entries == 3);
  CHECK(bodies == 2);
}

TEST_CASE("a lost reply costs no permit for good and nobody begins twice") {
  std::atomic<int> bodies = 0;
  Process p;
  p.database->limits["api"].concurrency = 2;
  p.workflow<int()>("call", [&](Context& ctx) { return ctx.step("s", {.limit = "api"}, [&] { return ++bodies; }); });
  p.launch();
  for (int i = 0; i < 5; ++i) p.store->fail_next_limits(i % 2 == 0 ? Fault::reply_lost : Fault::transient);
  std::vector<std::shared_ptr<Run>> runs;
  for (int i = 0; i < 10; ++i) runs.push_back(p.start("call", "c" + std::to_string(i)));
  REQUIRE(p.eventually([&] {
    p.clock->advance(50ms);
    return std::all_of(runs.begin(), runs.end(), [&](auto& run) { return p.status(run->id) == "SUCCESS"; }) && limit(p, "api").permits.empty();
  }));
  CHECK(bodies == 10);
  CHECK(limit(p, "api").most_permits <= 2);
}

TEST_CASE("a body that would begin long after its grant asks again") {
  Gate gate;
  std::atomic<int> bodies = 0;
  Process p;
  p.database->limits["api"].interval_ms = 1;
  p.workflow<int()>("call", [&](Context& ctx) {
    ctx.step("before", [&] { gate.pass(); });
    return ctx.step("s", {.limit = "api"}, [&] { return ++bodies; });
  });
  p.launch();
  auto run = p.start("call", "c1");
  gate.entered.get_future().wait();
  {
    std::lock_guard lock(p.database->mutex);
    p.database->locked.insert("c1");  // what the run writes, and its ownership check, cannot pass
  }
  gate.open.set_value();
  REQUIRE(p.eventually([&] { return limit(p, "api").starts.size() == 1; }));
  REQUIRE(p.eventually([&] {
    p.clock->advance(100ms);
    return elapsed(p) > 3000;
  }));
  CHECK(bodies == 0);
  {
    std::lock_guard lock(p.database->mutex);
    p.database->locked.clear();
  }
  REQUIRE(p.eventually([&] {
    p.clock->advance(10ms);
    return p.status("c1") == "SUCCESS";
  }));
  CHECK(p.result(run) == "1");
  CHECK(limit(p, "api").starts.size() == 2);
}

TEST_CASE("what cannot be a limit is refused by name, and an unknown one fails the workflow") {
  Process p;
  std::string long_key(10000, 'k');
  p.workflow<void()>("unknown", [&](Context& ctx) { ctx.step("s", {.limit = "nope"}, [] {}); });
  p.workflow<void()>("key", [&](Context& ctx) { ctx.step("s", {.limit = "api", .limit_key = long_key}, [] {}); });
  p.workflow<void()>("alone", [&](Context& ctx) { ctx.step("s", {.limit_key = "tenant"}, [] {}); });
  p.workflow<void()>("blank", [&](Context& ctx) { ctx.step("s", {.limit = " "}, [] {}); });
  p.launch();
  for (const char* name : {"unknown", "key", "alone", "blank"}) {
    auto run = p.start(name, name);
    CHECK_THROWS_AS(p.result(run), WorkflowFailed);
  }
  CHECK(p.error("unknown").find("limit nope is not registered") != std::string::npos);
  CHECK(p.error("key").find("10000 bytes") != std::string::npos);
  CHECK(p.error("alone").find("limit_key without limit") != std::string::npos);
  CHECK(p.error("blank").find("limit") != std::string::npos);
}
