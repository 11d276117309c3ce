// The engine's trips: many runs in one transaction, and what becomes of them when the database or the connection fails.
#include "engine_fixture.hpp"

using namespace dbos;
using namespace dbos::testing;

TEST_CASE("a reply lost after the commit does not record anything twice") {
  std::atomic<int> bodies = 0;
  Process p;
  p.workflow<int()>("steps", [&](Context& ctx) {
    ctx.step("a", [&] { return ++bodies; });
    return ctx.step("b", [&] { return ++bodies; });
  });
  p.launch();
  for (int i = 0; i < 3; ++i) p.store->fail_next(Fault::reply_lost);
  auto run = p.start("steps", "lost-reply");
  CHECK(p.result(run) == "2");
  CHECK(bodies == 2);
  CHECK(p.database->count_steps("lost-reply") == 2);
  CHECK(p.status("lost-reply") == "SUCCESS");
}

TEST_CASE("a message from a step body is sent once although the reply was lost, and both of a body are two") {
  Gate gate;
  Process p;
  p.workflow<void()>("w", [&](Context& ctx) {
    ctx.step("s", [&] {
      gate.pass();
      ctx.send("inbox", 1);
      ctx.send("inbox", 1);
    });
  });
  p.launch();
  auto run = p.start("w", "");
  gate.entered.get_future().wait();
  p.store->fail_next(Fault::reply_lost);
  gate.open.set_value();
  p.result(run);
  std::lock_guard lock(p.database->mutex);
  CHECK(p.database->messages.count("inbox") == 2);
}

TEST_CASE("what never reached the server and what rolled back goes again") {
  Process p;
  p.workflow<int()>("one", [](Context& ctx) { return ctx.step("a", [] { return 5; }); });
  p.workflow<void()>("quick", [](Context&) {});
  p.launch();
  p.store->fail_next(Fault::never_sent);
  p.store->fail_next(Fault::transient);
  auto run = p.start("one", "again");
  // At once where nothing was sent; after a rollback with a pause, on the fake clock, in which others go on.
  REQUIRE(p.eventually([&] { return p.store->flushes() == 2; }));
  p.result(p.start("quick", ""));
  CHECK(p.status("again").empty());
  REQUIRE(p.eventually([&] {
    p.clock->advance(50ms);
    return p.status("again") == "SUCCESS";
  }));
  CHECK(p.result(run) == "5");
}

TEST_CASE("a record that the database refuses fails its own run only") {
  Process p;
  p.workflow<int(int)>("s", [&](Context& ctx, int n) { return ctx.step("a", [&] { return n; }); });
  p.workflow<void()>("filler", [](Context&) {});
  p.launch();
  std::vector<std::shared_ptr<Run>> runs;
  {
    std::lock_guard lock(p.database->mutex);
    p.database->poison.insert("r17");
  }
  p.start_together("filler", [&] {
    for (int i = 0; i < 40; ++i) runs.push_back(p.start("s", "r" + std::to_string(i), i));
  });
  p.store->pause(false);
  for (int i = 0; i < 40; ++i) {
    if (i == 17) continue;
    CHECK(p.result(runs[static_cast<std::size_t>(i)]) == std::to_string(i));
  }
  CHECK_THROWS_WITH_AS(p.engine->wait_durable(runs[17]), doctest::Contains("Unicode"), Error);
  CHECK(p.database->row("r17").status.empty());
}

TEST_CASE("a run whose row is locked by another transaction is sent again, the others go on") {
  Gate gate;
  Process p;
  p.workflow<int()>("s", [&](Context& ctx) {
    return ctx.step("a", [&] {
      gate.pass();
      return 3;
    });
  });
  p.workflow<int()>("t", [](Context&) { return 4; });
  p.launch();
  auto run = p.start("s", "busy");
  gate.entered.get_future().wait();
  {
    std::lock_guard lock(p.database->mutex);
    p.database->locked.insert("busy");
  }
  gate.open.set_value();
  CHECK(p.result(p.start("t", "")) == "4");
  {
    std::lock_guard lock(p.database->mutex);
    p.database->locked.clear();
  }
  REQUIRE(p.eventually([&] {
    p.clock->advance(100ms);
    return p.status("busy") == "SUCCESS";
  }));
  CHECK(p.result(run) == "3");
}

TEST_CASE("whatever a run has to say goes again when its row is locked, once and in order") {
  std::atomic<int> bodies = 0;
  Process p;
  p.workflow<int(int)>("child", [](Context&, int n) { return n + 1; });
  p.workflow<std::string()>("w", [&](Context& ctx) {
    Workflow<int(int)> child(nullptr, "child", "");
    ctx.step("a", [&] { ++bodies; });
    ctx.sleep(10ms);
    ctx.step("b", {.retries = 1, .interval = 10ms}, [&](StepContext& step) {
      if (step.attempt() == 1) throw std::runtime_error("once more");
      ++bodies;
    });
    ctx.send("inbox", 5);
    ctx.set_event("key", 1);
    auto none = ctx.recv<int>("", 0ms);
    int answer = ctx.start(child, 41).result();
    return std::to_string(answer) + (none ? " and a message" : "");
  });
  for (bool begin : {true, false}) {
    CAPTURE(begin);
    std::string id = begin ? "odd" : "even";
    {
      std::lock_guard lock(p.database->mutex);
      p.database->stutter[id] = begin;
    }
    if (begin) p.launch();
    auto run = p.start("w", id);
    REQUIRE(p.eventually([&] {
      p.clock->advance(10ms);
      return p.status(id) == "SUCCESS";
    }));
    CHECK(p.result(run) == "\"42\"");
    CHECK(p.database->row(id).inserts == 1);
    CHECK(p.database->row(id).updates == 1);
    CHECK(p.database->row(id + "-7").inserts == 1);
    CHECK(p.database->count_steps(id) == 8);
  }
  CHECK(bodies == 4);
  CHECK_FALSE(p.store->overlapped());
  std::lock_guard lock(p.database->mutex);
  CHECK(p.database->messages.count("inbox") == 2);
}

TEST_CASE("a child whose keys another transaction holds is started when that is gone, and its parent waits") {
  std::atomic<int> children = 0;
  Process p;
  p.workflow<int()>("child", [&](Context&) { return ++children; });
  p.workflow<int()>("parent", [](Context& ctx) {
    Workflow<int()> child(nullptr, "child", "");
    return ctx.start(child, {.id = "kid"}).result() + 1;
  });
  {
    std::lock_guard lock(p.database->mutex);
    p.database->locked.insert("kid");
  }
  p.launch();
  auto run = p.start("parent", "p1");
  REQUIRE(p.eventually([&] { return p.store->flushes() > 5; }));
  CHECK(p.status("p1") == "PENDING");
  CHECK(p.status("kid").empty());
  CHECK(children == 0);
  {
    std::lock_guard lock(p.database->mutex);
    p.database->locked.clear();
  }
  CHECK(p.result(run) == "2");
  CHECK(children == 1);
  CHECK(p.database->step("p1", 0).child_id == "kid");
}

TEST_CASE("more awaited workflows than fit into a trip are asked for in turn") {
  constexpr int kAwaited = 1500;
  std::atomic<std::size_t> most = 0;
  std::atomic<int> asked = 0;
  Process p;
  p.workflow<void()>("quick", [](Context&) {});
  for (int i = 0; i < kAwaited; ++i)
    p.database->put("far" + std::to_string(i),
                    MemoryRow{.status = "PENDING", .name = "w", .queue = "", .owner = "o", .creator = "x", .inputs = "", .executor = "other"});
  p.workflow<int(int)>(
      "wait", [&](Context&, int n) { return Handle<int>(std::make_shared<EngineHandle>(p.engine, "far" + std::to_string(n), nullptr)).result(); });
  p.launch();
  p.store->watch([&](const Trip& trip) {
    most = std::max(most.load(), trip.outcomes.size());
    asked += trip.outcomes.empty() ? 0 : 1;
  });
  std::vector<std::shared_ptr<Run>> runs;
  for (int i = 0; i < kAwaited; ++i) runs.push_back(p.start("wait", "near" + std::to_string(i), i));
  REQUIRE(p.eventually([&] {
    p.clock->advance(1s);
    return most >= 1000;
  }));
  // A few end, wherever they stand in turn; the others keep waiting.
  for (int i = 0; i < kAwaited; i += 30) {
    std::lock_guard lock(p.database->mutex);
    p.database->rows["far" + std::to_string(i)].status = "SUCCESS";
    p.database->rows["far" + std::to_string(i)].output = std::to_string(i);
  }
  p.store->notify("dbos_sys", "done");
  for (int i = 0; i < kAwaited; i += 30) CHECK(p.result(runs[static_cast<std::size_t>(i)]) == std::to_string(i));
  CHECK(most == 1000);
  // Once each: the trips of other runs do not go on asking.
  int before = asked;
  for (int i = 0; i < 20; ++i) p.result(p.start("quick", ""));
  CHECK(asked <= before + 2);
  p.engine->close(0ms);
}

TEST_CASE("a run's items are never in two trips at once, and its end never overtakes its checkpoint") {
  Process p;
  p.workflow<int(int)>("w", [](Context& ctx, int n) {
    for (int i = 0; i < 5; ++i) ctx.step("s", [&] { return i; });
    ctx.set_event("k", n);
    return n;
  });
  p.launch();
  std::vector<std::shared_ptr<Run>> runs;
  for (int i = 0; i < 300; ++i) runs.push_back(p.start("w", "", i));
  for (auto& run : runs) {
    p.result(run);
    CHECK(p.database->count_steps(run->id) >= 5);
  }
  CHECK_FALSE(p.store->overlapped());
}

TEST_CASE("what rode along with a flush and failed is not held against its run") {
  Gate gate;
  std::atomic<bool> recorded = false;
  std::atomic<int> together = 0;
  Process p;
  p.workflow<void()>("filler", [](Context&) {});
  p.workflow<int()>("w", [&](Context& ctx) {
    int six = ctx.step("a", [&] {
      gate.pass();
      return 6;
    });
    recorded = true;
    return six;
  });
  p.launch();
  auto run = p.start("w", "rider");
  gate.entered.get_future().wait();
  p.store->watch([&](const Trip& trip) {
    if (!trip.flush || !trip.heartbeat) return;
    for (const auto& item : trip.flush->runs) together += item.id == "rider" ? 1 : 0;
  });
  p.start_together("filler", [&] {
    gate.open.set_value();
    REQUIRE(p.eventually([&] { return recorded.load(); }));
    p.clock->advance(6s);  // heartbeat, poll and comparison are due
  });
  p.store->fail_companions(true);
  p.store->pause(false);
  CHECK(p.eventually([&] { return p.status("rider") == "SUCCESS"; }));
  CHECK(together == 1);
}

TEST_CASE("a trip has at most eight megabytes and the run that fills it") {
  constexpr int kRuns = 24;
  constexpr std::size_t kMegabyte = 1024 * 1024;
  std::atomic<int> left = kRuns;
  std::promise<void> all;
  std::atomic<std::size_t> most = 0;
  Process p;
  p.options.carriers = kRuns;
  p.workflow<int()>("large", [&](Context& ctx) {
    ctx.step("s", [&] {
      if (--left == 0) all.set_value();
      return std::string(kMegabyte, 'x');
    });
    return 1;
  });
  p.launch();
  p.store->watch([&](const Trip& trip) {
    if (!trip.flush) return;
    std::size_t bytes = 0;
    for (const auto& step : trip.flush->steps) bytes += step.output ? step.output->size() : 0;
    most = std::max(most.load(), bytes);
  });
  std::vector<std::shared_ptr<Run>> runs;
  for (int i = 0; i < kRuns; ++i) runs.push_back(p.start("large", "l" + std::to_string(i)));
  // Both lanes are held while the results gather.
  for (auto& run : runs) p.engine->wait_durable(run);
  p.store->hold(true);
  all.get_future().wait();
  p.store->hold(false);
  for (auto& run : runs) CHECK(p.result(run) == "1");
  CHECK(most > kMegabyte);
  CHECK(most <= 9 * kMegabyte + 100);
}

TEST_CASE("a record that is refused for one run sends that run alone to the dead letter") {
  std::atomic<int> entered = 0;
  std::promise<void> open;
  Process p;
  auto opened = open.get_future().share();
  p.options.carriers = 3;
  p.workflow<int(int)>("w", [&](Context& ctx, int n) {
    return ctx.step("s", [&] {
      ++entered;
      opened.wait();
      return n;
    });
  });
  p.launch();
  std::vector<std::shared_ptr<Run>> runs;
  for (int i = 0; i < 3; ++i) runs.push_back(p.start("w", "r" + std::to_string(i), i));
  REQUIRE(p.eventually([&] { return entered == 3; }));
  {
    std::lock_guard lock(p.database->mutex);
    p.database->refused_once.insert("r1");
  }
  open.set_value();
  CHECK(p.result(runs[0]) == "0");
  CHECK(p.result(runs[2]) == "2");
  CHECK_THROWS_WITH_AS(p.result(runs[1]), doctest::Contains("another step is recorded"), DeadLetter);
}

TEST_CASE("what is in doubt stays so until it is answered, also in halves") {
  std::atomic<int> executed = 0;
  Process p;
  p.workflow<void()>("filler", [](Context&) {});
  p.workflow<int(int)>("w", [&](Context&, int n) {
    ++executed;
    return n;
  });
  p.launch();
  // The starts are committed, the reply is lost, the next try is not sent, and the one after that is refused because of one run.
  p.store->watch([&](const Trip& trip) {
    if (!trip.flush || !trip.flush->careful) return;
    std::lock_guard lock(p.database->mutex);
    p.database->poison.insert("r1");
  });
  std::vector<std::shared_ptr<Run>> runs;
  p.start_together("filler", [&] {
    for (int filler = p.store->flushes_waiting(); filler > 0; --filler) p.store->fail_next(Fault::none);
    p.store->fail_next(Fault::reply_lost);
    p.store->fail_next(Fault::never_sent);
    for (int i = 0; i < 4; ++i) runs.push_back(p.start("w", "r" + std::to_string(i), i));
  });
  p.store->pause(false);
  for (int i : {0, 2, 3}) CHECK(p.result(runs[static_cast<std::size_t>(i)]) == std::to_string(i));
  CHECK_THROWS_AS(p.engine->wait_durable(runs[1]), Error);
  CHECK(executed == 3);
}

TEST_CASE("what the database refuses besides the flush is asked for again with a pause, and runs go on meanwhile") {
  std::atomic<int> asked = 0;
  Process p;
  p.database->put("far", MemoryRow{.status = "PENDING", .name = "w", .queue = "", .owner = "o", .creator = "x", .inputs = "", .executor = "other"});
  p.workflow<int()>("wait", [&](Context&) { return Handle<int>(std::make_shared<EngineHandle>(p.engine, "far", nullptr)).result(); });
  p.workflow<int()>("quick", [](Context& ctx) { return ctx.step("s", [] { return 1; }); });
  p.launch();
  p.store->watch([&](const Trip& trip) { asked += trip.outcomes.empty() ? 0 : 1; });
  auto waiting = p.start("wait", "near");
  REQUIRE(p.eventually([&] {
    p.clock->advance(100ms);
    return asked > 0;
  }));
  // A reply that comes after the clock was moved puts the next question off beyond it.
  REQUIRE(p.eventually([&] { return p.store->idle(); }));
  p.store->fail_companions(true);
  int before = asked;
  p.clock->advance(1s);
  REQUIRE(p.eventually([&] { return asked > before; }));
  // Many trips, while the clock stands.
  for (int i = 0; i < 20; ++i) CHECK(p.result(p.start("quick", "")) == "1");
  CHECK(asked <= before + 1);
  p.store->fail_companions(false);
  {
    std::lock_guard lock(p.database->mutex);
    p.database->rows["far"].status = "SUCCESS";
    p.database->rows["far"].output = "3";
  }
  p.clock->advance(5s);
  CHECK(p.result(waiting) == "3");
}

TEST_CASE("an idle process sends a trip a second: heartbeat and comparison ride with the look for work, whatever the lease") {
  for (auto lease : {6s, 15s, 600s}) {
    CAPTURE(lease.count());
    Process p;
    p.options.lease = lease;
    std::atomic<int> trips = 0, beats = 0, compared = 0, alone = 0;
    p.workflow<void()>("w", [](Context&) {});
    p.watcher = [&](const Trip& trip) {
      ++trips;
      beats += trip.heartbeat ? 1 : 0;
      compared += trip.held ? 1 : 0;
      alone += (trip.heartbeat || trip.held) && !trip.claim ? 1 : 0;
    };
    p.launch();
    // Each step is shorter than what any of them waits for another: they come due one after the other.
    for (int step = 0; step < 300; ++step) {
      p.clock->advance(100ms);
      REQUIRE(p.eventually([&] { return trips >= 1 + (step + 1) / 11 && p.store->idle(); }));
    }
    CHECK(trips <= 32);
    CHECK(alone == 0);
    CHECK(beats >= 5);
    CHECK(compared >= 4);
  }
}

TEST_CASE("an executor whose claims are refused sends its heartbeats all the same") {
  std::atomic<int> beats = 0, refused = 0;
  Process p;
  p.workflow<void()>("w", [](Context&) {});
  p.watcher = [&](const Trip& trip) {
    beats += trip.heartbeat && !trip.claim ? 1 : 0;
    refused += trip.claim ? 1 : 0;
  };
  p.launch();
  for (int claim = 0; claim < 1000; ++claim) p.store->fail_next_claim(Fault::transient);
  auto begun = p.clock->now();
  REQUIRE(p.eventually([&] {
    p.clock->advance(50ms);
    return beats >= 10;
  }));
  CHECK(refused >= 10);
  CHECK(p.clock->now() - begun < 10 * p.options.lease);
}
