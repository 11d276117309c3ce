// Which run owns an id, in which process, and for how long: starts, loss, waits without a stack, shutdown, the end of an incarnation.
#include "engine_fixture.hpp"

using namespace dbos;
using namespace dbos::testing;

TEST_CASE("under a user's id no code runs before the start is known to be new") {
  Process p;
  std::atomic<int> executed = 0;
  p.workflow<int()>("once", [&](Context&) { return ++executed; });
  p.launch();
  p.database->put(
      "taken",
      MemoryRow{
          .status = "SUCCESS", .name = "once", .queue = "", .owner = "", .creator = "x", .inputs = "", .executor = "", .attempts = 1, .output = "7"});
  auto run = p.start("once", "taken");
  p.engine->wait_durable(run);
  auto outcome = p.engine->wait_outcome("taken", nullptr, 10000ms);
  REQUIRE(outcome);
  CHECK(outcome_text(*outcome) == "7");
  CHECK(executed == 0);
}

TEST_CASE("an id of another workflow is a conflict for the caller and harms nobody") {
  Process p;
  p.workflow<int()>("mine", [](Context&) { return 1; });
  p.launch();
  p.database->put("taken",
                  MemoryRow{.status = "PENDING", .name = "theirs", .queue = "", .owner = "o", .creator = "x", .inputs = "", .executor = "other"});
  auto run = p.start("mine", "taken");
  CHECK_THROWS_AS(p.engine->wait_durable(run), Conflict);
  CHECK(p.database->row("taken").name == "theirs");
}

TEST_CASE("the same id started twice in one process is one run") {
  Process p;
  std::atomic<int> executed = 0;
  Gate gate;
  p.workflow<int()>("once", [&](Context& ctx) {
    return ctx.step("s", [&] {
      gate.pass();
      return ++executed;
    });
  });
  p.launch();
  auto first = p.start("once", "same");
  gate.entered.get_future().wait();
  auto second = p.start("once", "same");
  gate.open.set_value();
  CHECK(p.result(first) == "1");
  CHECK(p.result(second) == "1");
}

TEST_CASE("a run that was cancelled while it slept does not touch the world when it wakes") {
  Process p;
  std::atomic<int> bodies = 0;
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
  Process p;
  std::atomic<int> bodies = 0;
  std::atomic<int> entries = 0;
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

TEST_CASE("a run without a stack is loaded once at a time: an older picture never replaces what it has recorded since") {
  Process p;
  std::atomic<int> bodies = 0;
  std::atomic<bool> unwound = false;
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

TEST_CASE("an id that comes back to its process waits until the old run has stopped") {
  Process p;
  Gate gate;
  std::atomic<int> running = 0;
  std::atomic<int> most = 0;
  std::atomic<int> entries = 0;
  p.workflow<int()>("w", [&](Context& ctx) {
    return ctx.step("body", [&] {
      most = std::max(most.load(), ++running);
      if (++entries == 1) gate.pass();
      --running;
      return entries.load();
    });
  });
  p.launch();
  auto run = p.start("w", "twice");
  gate.entered.get_future().wait();
  p.database->requeue("twice");  // somebody declared it dead
  p.store->notify("dbos_sys", "work");
  REQUIRE(p.eventually([&] { return p.status("twice") == "PENDING"; }));
  gate.open.set_value();
  REQUIRE(p.eventually([&] { return p.status("twice") == "SUCCESS"; }));
  CHECK(most == 1);
  CHECK(entries == 2);
  CHECK(*p.database->row("twice").output == "2");
}

TEST_CASE("code that swallows everything cannot keep a lost run going") {
  Process p;
  Gate gate;
  std::atomic<int> after = 0;
  p.workflow<int()>("w", [&](Context& ctx) {
    try {
      ctx.step("a", [&] { gate.pass(); });
    } catch (...) {
    }
    try {
      ctx.step("b", [&] { ++after; });
    } catch (...) {
    }
    return 1;
  });
  p.launch();
  auto run = p.start("w", "stubborn");
  gate.entered.get_future().wait();
  p.database->cancel("stubborn");
  gate.open.set_value();
  CHECK_THROWS_AS(p.result(run), Cancelled);
  CHECK(after == 0);
  CHECK(p.status("stubborn") == "CANCELLED");
}

TEST_CASE("a claim whose reply was lost is given back") {
  Process p;
  p.workflow<int()>("w", [](Context&) { return 1; });
  p.launch();
  {
    p.database->enqueue("orphan", "w", R"({"positionalArgs":[]})");
    std::lock_guard lock(p.database->mutex);
    auto& row = p.database->rows["orphan"];
    row.status = "PENDING";
    row.owner = "token of a lost reply";
    row.executor = "one";
    row.attempts = 1;
  }
  REQUIRE(p.eventually([&] {
    p.clock->advance(500ms);
    return p.status("orphan") == "SUCCESS";
  }));
  CHECK(p.database->row("orphan").attempts == 1);
}

TEST_CASE("a shutdown hands unfinished runs back without an attempt") {
  auto database = std::make_shared<MemoryDatabase>();
  {
    Process p(database);
    p.workflow<int()>("w", [](Context& ctx) {
      ctx.sleep(30s);
      return 1;
    });
    p.options.drain_timeout = 0ms;
    p.launch();
    p.start("w", "d1");
    REQUIRE(p.eventually([&] { return p.database->count_steps("d1") == 1; }));
    p.engine->close(0ms);
  }
  auto row = database->row("d1");
  CHECK(row.status == "ENQUEUED");
  CHECK(row.attempts == 0);
}

TEST_CASE("an executor that learns of its end stops its runs and joins again") {
  Process p;
  Gate gate;
  p.workflow<int()>("w", [&](Context& ctx) {
    ctx.step("a", [&] { gate.pass(); });
    return ctx.step("b", [] { return 2; });
  });
  p.launch();
  auto run = p.start("w", "z1");
  gate.entered.get_future().wait();
  p.database->cancel("z1");
  {
    std::lock_guard lock(p.database->mutex);
    p.store->end_incarnation.insert(p.engine->identity().incarnation);
  }
  p.clock->advance(6s);
  REQUIRE(p.eventually([&] { return p.store->opens() == 2; }));  // its runs are stopped before
  gate.open.set_value();
  CHECK_THROWS_AS(p.result(run), Cancelled);
  CHECK(p.database->count_steps("z1") == 0);
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

TEST_CASE("a start that is under way at shutdown is never acknowledged without a row") {
  Process p;
  p.workflow<int()>("w", [](Context&) { return 1; });
  p.launch();
  p.store->hold(true);
  auto direct = p.start("w", "direct");
  auto queued = p.engine->start({.name = "w", .class_name = "", .id = "queued", .queue = "q", .inputs = "{}", .options = R"({"queue":"q"})"});
  std::atomic<bool> closed = false;
  std::thread closer([&] {
    p.engine->close(0ms);
    closed = true;
  });
  CHECK_THROWS_AS(p.engine->wait_durable(direct), InDoubt);
  while (!closed) p.clock->advance(100ms);
  closer.join();
  CHECK_THROWS_AS(p.engine->wait_durable(queued), InDoubt);
}
