// Which run owns an id, in which process, and for how long: starts, claims, loss, shutdown, the end of an incarnation.
#include "engine_fixture.hpp"

using namespace dbos;
using namespace dbos::testing;

TEST_CASE("under a user's id no code runs before the start is known to be new") {
  std::atomic<int> executed = 0;
  Process p;
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
  std::atomic<int> executed = 0;
  Gate gate;
  std::atomic<int> sent = 0;
  Process p;
  p.workflow<int()>("once", [&](Context& ctx) {
    return ctx.step("s", [&] {
      gate.pass();
      return ++executed;
    });
  });
  p.launch();
  p.store->watch([&](const Trip& trip) {
    if (!trip.flush) return;
    for (const auto& item : trip.flush->runs) sent += item.is_new ? 1 : 0;
  });
  auto first = p.start("once", "same");
  gate.entered.get_future().wait();
  auto second = p.start("once", "same");
  gate.open.set_value();
  CHECK(p.result(first) == "1");
  CHECK(p.result(second) == "1");
  CHECK(sent == 1);
}

TEST_CASE("an id that comes back to its process waits until the old run has stopped") {
  Gate gate;
  std::atomic<int> running = 0;
  std::atomic<int> most = 0;
  std::atomic<int> entries = 0;
  Process p;
  p.workflow<int()>("w", [&](Context& ctx) {
    return ctx.step("body", [&] {
      most = std::max(most.load(), ++running);
      if (++entries == 1) gate.pass();
      --running;
      return entries.load();
    });
  });
  p.workflow<void()>("quick", [](Context&) {});
  p.launch();
  auto run = p.start("w", "twice");
  gate.entered.get_future().wait();
  p.database->requeue("twice");  // somebody declared it dead
  p.store->notify("dbos_sys", "work");
  REQUIRE(p.eventually([&] { return p.status("twice") == "PENDING"; }));
  // Whatever the claim has started by now runs before these end.
  for (int i = 0; i < 3; ++i) p.result(p.start("quick", ""));
  gate.open.set_value();
  REQUIRE(p.eventually([&] { return p.status("twice") == "SUCCESS"; }));
  CHECK(most == 1);
  CHECK(entries == 2);
  CHECK(*p.database->row("twice").output == "2");
}

TEST_CASE("code that swallows everything cannot keep a lost run going") {
  Gate gate;
  std::atomic<int> after = 0;
  Process p;
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
  p.planted = true;
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
  Gate gate;
  Process p;
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

TEST_CASE("a start that is under way at shutdown is never acknowledged without a row") {
  std::atomic<bool> closed = false;
  Process p;
  p.workflow<int()>("w", [](Context&) { return 1; });
  p.launch();
  p.store->hold(true);
  auto direct = p.start("w", "direct");
  auto queued = p.engine->start({.name = "w", .class_name = "", .id = "queued", .queue = "q", .inputs = "{}", .options = R"({"queue":"q"})"});
  std::thread closer([&] {
    p.engine->close(0ms);
    closed = true;
  });
  CHECK_THROWS_AS(p.engine->wait_durable(direct), InDoubt);
  while (!closed) p.clock->advance(100ms);
  closer.join();
  CHECK_THROWS_AS(p.engine->wait_durable(queued), InDoubt);
}

TEST_CASE("each start and each claim has an owner token of its own") {
  Process p;
  std::mutex mutex;
  std::multiset<std::string> tokens;
  p.workflow<int()>("w", [](Context&) { return 1; });
  p.launch();
  p.store->watch([&](const Trip& trip) {
    std::lock_guard lock(mutex);
    if (trip.claim) tokens.insert(trip.claim->token);
    if (!trip.flush) return;
    for (const auto& run : trip.flush->runs)
      if (run.is_new) tokens.insert(run.token);
  });
  for (int i = 0; i < 5; ++i) {
    auto id = "claimed" + std::to_string(i);
    p.database->enqueue(id, "w", R"({"positionalArgs":[]})");
    p.store->notify("dbos_sys", "work");
    p.result(p.start("w", "started" + std::to_string(i)));
    REQUIRE(p.eventually([&] { return p.status(id) == "SUCCESS"; }));
  }
  std::lock_guard lock(mutex);
  CHECK(tokens.size() >= 10);
  CHECK(std::set<std::string>(tokens.begin(), tokens.end()).size() == tokens.size());
}

TEST_CASE("a row that nobody here runs is left alone for five seconds") {
  std::atomic<int> compared = 0;
  Process p;
  p.workflow<int()>("w", [](Context&) { return 1; });
  p.launch();
  p.store->watch([&](const Trip& trip) { compared += trip.held ? 1 : 0; });
  p.database->put("young",
                  MemoryRow{.status = "PENDING", .name = "w", .queue = "", .owner = "on its way", .creator = "x", .inputs = "", .executor = "one"});
  auto compare = [&](std::chrono::milliseconds after) {
    int before = compared;
    p.clock->advance(after);
    p.store->notify("dbos_sys", "work");
    REQUIRE(p.eventually([&] { return compared > before && p.store->idle(); }));
  };
  compare(5s);
  CHECK(p.database->row("young").owner == "on its way");
  p.clock->advance(4s);
  REQUIRE(p.eventually([&] { return p.store->idle(); }));
  CHECK(p.database->row("young").owner == "on its way");
  // A comparison that rode with a heartbeat just now puts the next one off.
  REQUIRE(p.eventually([&] {
    p.clock->advance(1s);
    return p.database->row("young").owner != "on its way";
  }));
}

TEST_CASE("what a claim in doubt has taken is given back at once") {
  Process p;
  p.workflow<int()>("w", [](Context&) { return 1; });
  p.launch();
  p.database->enqueue("taken", "w", R"({"positionalArgs":[]})");
  p.store->fail_next_claim(Fault::reply_lost);
  // No time passes on the fake clock.
  REQUIRE(p.eventually([&] {
    p.store->notify("dbos_sys", "work");
    return p.status("taken") == "SUCCESS";
  }));
  CHECK(p.database->row("taken").attempts == 1);
}

TEST_CASE("a waiting run that the database does not know as ours is asked about, and stops before it is due") {
  std::atomic<int> after = 0;
  Process p;
  p.workflow<int()>("w", [&](Context& ctx) {
    ctx.sleep(40s);
    return ++after;
  });
  p.launch();
  auto run = p.start("w", "robbed");
  REQUIRE(p.eventually([&] { return p.database->count_steps("robbed") == 1; }));
  p.database->cancel("robbed");
  p.clock->advance(6s);
  CHECK_THROWS_AS(p.result(run), Cancelled);
  CHECK(after == 0);
}

TEST_CASE("an end whose reply was lost, and which another end overtook, gives what is recorded") {
  Gate gate;
  Process p;
  p.workflow<int()>("w", [&](Context& ctx) {
    ctx.step("a", [&] { gate.pass(); });
    return 1;
  });
  p.launch();
  auto run = p.start("w", "other");
  gate.entered.get_future().wait();
  {
    std::lock_guard lock(p.database->mutex);
    auto& row = p.database->rows["other"];
    row.status = "SUCCESS";
    row.output = "2";
    row.owner.clear();
  }
  gate.open.set_value();
  CHECK(p.result(run) == "2");
}

TEST_CASE("starts that an ended incarnation may not make go out under the next one, and what ran is stopped") {
  Gate gate;
  std::atomic<int> begun = 0;
  std::atomic<int> after = 0;
  Process p;
  p.workflow<int()>("w", [&](Context& ctx) {
    ctx.step("a", [&] {
      if (++begun == 1) gate.pass();
    });
    return ctx.step("b", [&] { return ++after; });
  });
  p.workflow<int()>("quick", [](Context&) { return 4; });
  p.options.lease = 24h;  // no heartbeat: the refused start tells
  p.launch();
  auto run = p.start("w", "old");
  gate.entered.get_future().wait();
  {
    std::lock_guard lock(p.database->mutex);
    p.store->end_incarnation.insert(p.engine->identity().incarnation);
  }
  auto quick = p.start("quick", "new");
  REQUIRE(p.eventually([&] {
    p.clock->advance(10ms);  // the back-off of the start
    return p.status("new") == "SUCCESS";
  }));
  CHECK(p.store->opens() == 2);
  CHECK(p.result(quick) == "4");
  gate.open.set_value();
  // The row still names the old owner, so only the process can have stopped it; nobody runs it until it is given back.
  REQUIRE(p.eventually([&] {
    p.clock->advance(1s);
    return p.status("old") == "SUCCESS";
  }));
  CHECK(p.database->row("old").attempts == 1);
  CHECK(begun == 2);
  CHECK(after == 1);
}

TEST_CASE("code that swallows the stop of a shutdown leaves its run to be run again") {
  Process p;
  p.workflow<int()>("w", [](Context& ctx) {
    try {
      ctx.sleep(30s);
    } catch (...) {
    }
    return -1;
  });
  p.launch();
  p.start("w", "kept");
  REQUIRE(p.eventually([&] { return p.database->count_steps("kept") == 1; }));
  p.engine->close(0ms);
  CHECK(p.status("kept") == "ENQUEUED");
  CHECK_FALSE(p.database->row("kept").output);
}

TEST_CASE("a body that does not end at a shutdown is asked to, named in the log, and its run handed back") {
  Gate gate;
  std::atomic<bool> asked = false;
  std::atomic<bool> named = false;
  std::atomic<bool> ended = false;
  Process p;
  p.options.log = [&](LogLevel, std::string_view text) {
    if (text.find("workflow deaf did not stop in time") != std::string_view::npos) named = true;
  };
  p.workflow<int()>("w", [&](Context& ctx) {
    return ctx.step("s", [&](std::stop_token stop) {
      std::stop_callback noticed(stop, [&] { asked = true; });
      gate.pass();
      ended = true;
      return 1;
    });
  });
  p.launch();
  auto run = p.start("w", "deaf");
  gate.entered.get_future().wait();
  auto waiter = std::async(std::launch::async, [&] { p.engine->wait_outcome("deaf", run, std::nullopt); });
  p.engine->close(0ms);
  CHECK_THROWS_AS(waiter.get(), Error);
  CHECK(asked);
  CHECK(named);
  CHECK(p.status("deaf") == "ENQUEUED");
  gate.open.set_value();
  REQUIRE(p.eventually([&] { return ended.load(); }));
  CHECK(p.status("deaf") == "ENQUEUED");
}
