// Waits of the engine: the check after each, runs without a stack, places of queues.
#include "engine_fixture.hpp"

using namespace dbos;
using namespace dbos::testing;

TEST_CASE("a run that was cancelled while it slept does not touch the world when it wakes") {
  std::atomic<int> bodies = 0;
  Process p;
  p.workflow<int()>("sleeper", [&](Context& ctx) {
    ctx.sleep(10s);
    return ctx.step("after", [&] { return ++bodies; });
  });
  p.launch();
  auto run = p.start("sleeper", "s1");
  REQUIRE(p.eventually([&] { return p.database->count_steps("s1") == 1; }));
  p.database->cancel("s1");
  REQUIRE(p.eventually([&] {
    p.clock->advance(1s);
    std::lock_guard lock(p.database->mutex);
    return p.clock->now() > MonotonicTime(std::chrono::hours(1) + 11s);
  }));
  CHECK_THROWS_AS(p.result(run), Cancelled);
  CHECK(bodies == 0);
}

TEST_CASE("a long wait gives up its stack and costs no attempt") {
  std::atomic<int> bodies = 0;
  std::atomic<int> entries = 0;
  Process p;
  p.workflow<std::string()>("long", [&](Context& ctx) {
    ++entries;
    ctx.step("before", [&] { return ++bodies; });
    ctx.sleep(24h);
    return ctx.step("after", [&] { return std::string("woke"); });
  });
  p.launch();
  auto run = p.start("long", "l1");
  REQUIRE(p.eventually([&] {
    std::lock_guard lock(p.database->mutex);
    return p.database->steps.contains({"l1", 1});
  }));
  p.clock->advance(23h);
  CHECK(p.status("l1") == "PENDING");
  REQUIRE(p.eventually([&] {
    p.clock->advance(10s);  // a jump while a reply is on its way shifts the estimate of the server's clock: keep it below unload_after
    return p.status("l1") == "SUCCESS";
  }));
  CHECK(p.result(run) == "\"woke\"");
  CHECK(bodies == 1);
  CHECK(entries == 2);  // replayed once
  CHECK(p.database->row("l1").attempts == 1);
}

TEST_CASE("a message that comes between the end of a run's patience and its turn is not lost") {
  Gate gate;
  Process p;
  p.options.carriers = p.options.max_blocking_steps = 1;
  p.workflow<void()>("quick", [](Context&) {});
  p.workflow<void()>("blocker", [&](Context& ctx) { ctx.step("s", [&] { gate.pass(); }); });
  p.workflow<int()>("w", [](Context& ctx) { return ctx.recv<int>("", 2h).value_or(0); });
  p.launch();
  auto run = p.start("w", "patient");
  REQUIRE(p.eventually([&] { return p.database->step("patient", 1).name == "DBOS.sleep"; }));
  for (int i = 0; i < 2; ++i) p.result(p.start("quick", ""));  // until it waits
  p.start("blocker", "");
  gate.entered.get_future().wait();
  auto two_trips = [&] {
    int before = p.store->trips();
    REQUIRE(p.eventually([&] {
      p.store->notify("dbos_sys", "work");
      return p.store->trips() > before + 2;
    }));
  };
  // It is about to give up its stack, as soon as it gets the only carrier.
  p.clock->advance(60s);
  two_trips();
  {
    std::lock_guard lock(p.database->mutex);
    p.database->messages.emplace("patient", "7");
  }
  p.store->notify("dbos_notifications_channel", "patient::__null__topic__");
  two_trips();
  gate.open.set_value();
  CHECK(p.result(run) == "7");
}

TEST_CASE("a message that comes while a run gives up its stack loads it at once, whatever else happens") {
  Gate gate;
  std::atomic<bool> first = true;
  Process p;
  struct Unwinding {
    Gate& gate;
    std::atomic<bool>& first;
    ~Unwinding() {
      if (first.exchange(false)) gate.pass();
    }
  };
  p.workflow<int()>("w", [&](Context& ctx) {
    Unwinding unwinding{gate, first};
    return ctx.recv<int>("", 2h).value_or(0);
  });
  p.launch();
  auto run = p.start("w", "unwinding");
  REQUIRE(p.eventually([&] { return p.database->step("unwinding", 1).name == "DBOS.sleep"; }));
  REQUIRE(p.eventually([&] {
    p.clock->advance(10s);
    return !first;
  }));
  gate.entered.get_future().wait();
  {
    std::lock_guard lock(p.database->mutex);
    p.database->messages.emplace("unwinding", "7");
  }
  p.store->notify("dbos_notifications_channel", "unwinding::__null__topic__");
  REQUIRE(p.eventually([&] { return p.store->idle(); }));
  gate.open.set_value();
  CHECK(p.result(run) == "7");
}

TEST_CASE("a run without a stack is loaded once at a time: an older picture never replaces what it has recorded since") {
  std::atomic<int> bodies = 0;
  std::atomic<bool> unwound = false;
  Process p;
  struct Unwound {
    std::atomic<bool>& flag;
    ~Unwound() { flag = true; }
  };
  p.workflow<int()>("w", [&](Context& ctx) {
    Unwound unwinding{unwound};
    ctx.recv<int>("", 2h);
    ctx.step("after", [&] { ++bodies; });
    ctx.sleep(24h);
    return bodies.load();
  });
  p.launch();
  auto run = p.start("w", "twice");
  auto recorded = [&](int function_id) { return p.database->step("twice", function_id).name; };
  REQUIRE(p.eventually([&] { return recorded(1) == "DBOS.sleep"; }));
  REQUIRE(p.eventually([&] {
    p.clock->advance(10s);
    return unwound.load();
  }));
  // Asked for by a message and, before the reply, by the end of the time.
  p.store->hold_loads(true);
  {
    std::lock_guard lock(p.database->mutex);
    p.database->messages.emplace("twice", "1");
  }
  p.store->notify("dbos_notifications_channel", "twice::__null__topic__");
  REQUIRE(p.eventually([&] { return p.store->loads_waiting() == 1; }));
  int before = p.store->trips();
  p.clock->advance(2h);
  REQUIRE(p.eventually([&] { return p.store->loads_waiting() > 1 || p.store->trips() > before; }));
  p.store->release_load();
  REQUIRE(p.eventually([&] { return recorded(3) == "DBOS.sleep"; }));
  p.store->hold_loads(false);
  REQUIRE(p.eventually([&] {
    p.clock->advance(10min);
    return p.status("twice") == "SUCCESS";
  }));
  CHECK(p.result(run) == "1");
  CHECK(bodies == 1);
}

TEST_CASE("runs that wait hold no place of a queue without worker concurrency") {
  Process p;
  p.workflow<int()>("sleeper", [](Context& ctx) {
    ctx.sleep(30s);
    return 1;
  });
  p.workflow<int()>("quick", [](Context&) { return 2; });
  for (int i = 0; i < kDefaultInFlight + 200; ++i) p.database->enqueue("a" + std::to_string(i), "sleeper", R"({"positionalArgs":[]})");
  p.database->enqueue("z", "quick", R"({"positionalArgs":[]})");
  p.options.drain_timeout = 0ms;
  p.launch();
  CHECK(p.eventually([&] { return p.status("z") == "SUCCESS"; }));
}

TEST_CASE("a message that arrives while the workflow waits is received once") {
  Process p;
  p.workflow<std::string()>("w", [&](Context& ctx) {
    auto message = ctx.recv<std::string>("", 30s);
    auto none = ctx.recv<std::string>("", 0ms);
    return message.value_or("nothing") + (none ? "+" : "");
  });
  p.launch();
  auto run = p.start("w", "m1");
  REQUIRE(p.eventually([&] {
    std::lock_guard lock(p.database->mutex);
    return p.database->steps.contains({"m1", 1});
  }));
  {
    std::lock_guard lock(p.database->mutex);
    p.database->messages.emplace("m1", "\"hello\"");
  }
  p.store->notify("dbos_notifications_channel", "m1::__null__topic__");
  CHECK(p.result(run) == "\"hello\"");
}

TEST_CASE("after each kind of wait the run is asked about before the next body") {
  for (std::string kind : {"sleep", "recv", "get_event", "retry", "result"}) {
    CAPTURE(kind);
    Process p;
    std::atomic<int> bodies = 0;
    std::atomic<int> failed = 0;
    auto fail_once = [&](StepContext& step) {
      if (step.attempt() == 1) throw std::runtime_error(std::to_string(++failed));
      ++bodies;
    };
    p.database->put("far", MemoryRow{.status = "PENDING", .name = "w", .queue = "", .owner = "o", .creator = "x", .inputs = "", .executor = "other"});
    p.workflow<void(std::string)>("w", [&](Context& ctx, std::string how) {
      if (how == "sleep") ctx.sleep(7s);
      if (how == "recv") ctx.recv<int>("", 7s);
      if (how == "get_event") ctx.get_event<int>("far", "k", 7s);
      if (how == "retry") ctx.step("flaky", {.retries = 1, .interval = 7s}, fail_once);
      if (how == "result") {
        try {
          Handle<int>(std::make_shared<EngineHandle>(p.engine, "far", nullptr)).result(7s);
        } catch (const Timeout&) {
        }
      }
      ctx.step("after", [&] { ++bodies; });
    });
    p.workflow<void()>("quick", [](Context&) {});
    p.options.carriers = p.options.max_blocking_steps = 1;
    p.options.lease = 24h;  // the run's age does not ask
    p.launch();
    std::atomic<int> compared = 0;
    p.store->watch([&](const Trip& trip) { compared += trip.held ? 1 : 0; });
    auto run = p.start("w", kind, kind);
    REQUIRE(p.eventually([&] { return failed + p.database->count_steps(kind) == 1; }));
    // The first comes back after the reply that the run was waiting for, the second gets the only carrier when the run waits.
    for (int i = 0; i < 2; ++i) p.result(p.start("quick", ""));
    // What is held is compared now, and then not before the wait is over: only the check before the body can tell.
    p.clock->advance(6s);
    REQUIRE(p.eventually([&] { return compared == 1; }));
    for (int i = 0; i < 2; ++i) p.result(p.start("quick", ""));
    p.database->cancel(kind);
    p.clock->advance(2s);
    CHECK_THROWS_AS(p.result(run), Cancelled);
    CHECK(bodies == 0);
    CHECK(compared == 1);
  }
}

TEST_CASE("a run that was cancelled while it had no stack ends when it is due") {
  std::atomic<int> entries = 0;
  Process p;
  p.workflow<int()>("long", [&](Context& ctx) {
    ++entries;
    ctx.sleep(24h);
    return 1;
  });
  p.launch();
  auto run = p.start("long", "gone");
  REQUIRE(p.eventually([&] { return p.database->count_steps("gone") == 1; }));
  p.database->cancel("gone");
  std::optional<WorkflowOutcome> outcome;
  REQUIRE(p.eventually([&] {
    p.clock->advance(1h);
    outcome = p.engine->wait_outcome("gone", run, 1ms);
    return outcome.has_value();
  }));
  CHECK(outcome->status == "CANCELLED");
  CHECK(entries == 1);
}

TEST_CASE("beyond max_stacks every wait gives up its stack, and runs that find none get the next") {
  constexpr int kRuns = 12;
  std::atomic<int> entries = 0;
  std::atomic<int> at_once = 0;
  std::atomic<int> most = 0;
  Process p;
  struct Entered {
    std::atomic<int>& count;
    ~Entered() { --count; }
  };
  p.options.max_stacks = 3;
  p.workflow<int()>("sleeper", [&](Context& ctx) {
    ++entries;
    most = std::max(most.load(), ++at_once);
    Entered entered{at_once};
    ctx.sleep(30s);  // shorter than unload_after
    return 1;
  });
  p.launch();
  std::vector<std::shared_ptr<Run>> runs;
  for (int i = 0; i < kRuns; ++i) runs.push_back(p.start("sleeper", "s" + std::to_string(i)));
  REQUIRE(p.eventually([&] { return entries >= kRuns; }));
  for (int i = 0; i < kRuns; ++i) REQUIRE(p.eventually([&] { return p.database->count_steps("s" + std::to_string(i)) == 1; }));
  REQUIRE(p.eventually([&] {
    p.clock->advance(5s);
    for (int i = 0; i < kRuns; ++i)
      if (p.status("s" + std::to_string(i)) != "SUCCESS") return false;
    return true;
  }));
  CHECK(most <= 3);
  CHECK(p.database->row("s0").attempts == 1);
}

TEST_CASE("no more runs are claimed than there are stacks left") {
  Gate gate;
  std::atomic<int> entries = 0;
  std::atomic<int> most = 0;
  Process p;
  p.options.max_stacks = 2;
  p.workflow<int()>("w", [&](Context& ctx) {
    return ctx.step("s", [&] {
      if (++entries == 1) gate.pass();
      return 1;
    });
  });
  p.launch();
  p.store->watch([&](const Trip& trip) {
    if (!trip.claim) return;
    for (const auto& queue : trip.claim->queues) most = std::max(most.load(), queue.limit);
  });
  for (int i = 0; i < 20; ++i) p.database->enqueue("q" + std::to_string(i), "w", R"({"positionalArgs":[]})");
  p.store->notify("dbos_sys", "work");
  gate.entered.get_future().wait();
  CHECK(most <= 2);
  gate.open.set_value();
  REQUIRE(p.eventually([&] {
    p.clock->advance(1s);
    for (int i = 0; i < 20; ++i)
      if (p.status("q" + std::to_string(i)) != "SUCCESS") return false;
    return true;
  }));
  CHECK(most <= 2);
}

TEST_CASE("a run that is refused while it has no stack leaves the next one to who waits behind it") {
  Gate blocker;
  Gate first;
  Gate second;
  Process p;
  p.options.carriers = 1;
  p.options.max_blocking_steps = 4;
  p.options.max_stacks = 2;
  p.workflow<void()>("blocker", [&](Context& ctx) { ctx.step("s", [&] { blocker.pass(); }); });
  p.workflow<void()>("marker", [&](Context& ctx) {
    ctx.step("first", [&] { first.pass(); });
    ctx.step("second", [&] { second.pass(); });
  });
  p.workflow<int()>("quick", [](Context&) { return 1; });
  p.launch();
  auto blocking = p.start("blocker", "b");
  auto marking = p.start("marker", "m");
  blocker.entered.get_future().wait();
  first.entered.get_future().wait();
  // The one carrier has tried both when it comes to the marker's second step.
  auto refused = p.start("quick", "");
  auto next = p.start("quick", "");
  first.open.set_value();
  second.entered.get_future().wait();
  {
    std::lock_guard lock(p.database->mutex);
    p.database->poison.insert(refused->id);
  }
  p.clock->advance(10ms);
  CHECK_THROWS_WITH_AS(p.engine->wait_durable(refused), doctest::Contains("Unicode"), Error);
  blocker.open.set_value();
  CHECK(p.result(next) == "1");
  second.open.set_value();
}

TEST_CASE("a run that finds no stack is not forgotten when one is given up at that moment") {
  Process p;
  p.options.carriers = 4;
  p.options.max_stacks = 1;
  p.workflow<int()>("quick", [](Context&) { return 1; });
  p.launch();
  for (int round = 0; round < 300; ++round) {
    std::vector<std::shared_ptr<Run>> runs;
    for (int i = 0; i < 4; ++i) runs.push_back(p.start("quick", "r" + std::to_string(round) + "-" + std::to_string(i)));
    for (const auto& run : runs) REQUIRE(p.result(run) == "1");
  }
}

TEST_CASE("result() inside a step body lends its thread, so that the workflow it waits for can run") {
  Gate gate;
  Process p;
  p.options.carriers = p.options.max_blocking_steps = 1;
  p.workflow<int()>("quick", [](Context&) { return 1; });
  p.workflow<int()>("waiting", [&](Context& ctx) {
    return ctx.step("wait", [&] {
      gate.pass();
      return Handle<int>(std::make_shared<EngineHandle>(p.engine, "quick", nullptr)).result() + 1;
    });
  });
  p.launch();
  auto run = p.start("waiting", "");
  gate.entered.get_future().wait();
  auto quick = p.start("quick", "quick");
  p.engine->wait_durable(quick);
  gate.open.set_value();
  CHECK(p.result(run) == "2");
}
