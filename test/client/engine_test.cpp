// The engine on an in-memory store and a fake clock: the rules of the run protocol that need no server.
#include "engine/engine.hpp"

#include <doctest/doctest.h>

#include <atomic>
#include <future>
#include <thread>

#include "dbos/dbos.hpp"
#include "engine/ids.hpp"
#include "engine/outcome.hpp"
#include "memory_store.hpp"

using namespace dbos;
using namespace dbos::detail;
using namespace dbos::testing;
using namespace std::chrono_literals;

namespace {

// A gate that a step body waits at until the test opens it.
struct Gate {
  std::promise<void> entered;
  std::promise<void> open;
  void pass() {
    entered.set_value();
    open.get_future().wait();
  }
};

class Process {
 public:
  explicit Process(std::shared_ptr<MemoryDatabase> shared = std::make_shared<MemoryDatabase>(), std::string executor = "one")
      : database(std::move(shared)), executor_(std::move(executor)) {
    options.application = "test";
    options.carriers = 2;
    options.drain_timeout = 2000ms;
    options.log = [](LogLevel, std::string_view) {};
  }

  template <class Sig, class F>
  void workflow(const std::string& name, F function, int max_recovery_attempts = 100) {
    registry_.add(name, {.max_recovery_attempts = max_recovery_attempts}, BodyMaker<Sig>::make(std::move(function)));
  }

  void launch() {
    auto store_owner = std::make_unique<MemoryStore>(database, clock);
    store = store_owner.get();
    engine = std::make_shared<Engine>(options, std::move(registry_), std::move(store_owner));
    engine->serve({.name = "_dbos_internal_queue"});
    engine->open({.application = "test", .executor = executor_, .incarnation = uuid_v4(), .version = "1"}, false);
  }

  template <class... A>
  std::shared_ptr<Run> start(const std::string& name, const std::string& id, const A&... arguments) {
    return engine->start({.name = name, .class_name = "", .id = id, .queue = "", .inputs = encode_arguments(arguments...), .options = ""});
  }

  std::string result(const std::shared_ptr<Run>& run) {
    auto outcome = engine->wait_outcome(run->id, run, 10000ms);
    REQUIRE(outcome);
    return outcome_text(*outcome);
  }

  std::string status(const std::string& id) { return database->row(id).status; }
  std::string error(const std::string& id) { return database->row(id).error.value_or(""); }
  bool eventually(const std::function<bool()>& condition) { return store->wait_for(condition); }

  RuntimeOptions options;
  std::shared_ptr<MemoryDatabase> database;
  std::shared_ptr<FakeClock> clock = std::make_shared<FakeClock>();
  MemoryStore* store = nullptr;
  std::shared_ptr<Engine> engine;

 private:
  std::string executor_;
  Registry registry_;
};

}  // namespace

TEST_CASE("a run under an id of our own that ends at once is one row in its final state") {
  Process p;
  p.workflow<int(int)>("double", [](Context&, int n) { return 2 * n; });
  p.launch();
  auto run = p.start("double", "", 21);
  CHECK(p.result(run) == "42");
  auto row = p.database->row(run->id);
  CHECK(row.status == "SUCCESS");
  CHECK(row.inserts == 1);
  CHECK(row.updates == 0);
}

TEST_CASE("a step body waits until everything before it has committed") {
  Process p;
  std::atomic<int> bodies = 0;
  p.workflow<int()>("steps", [&](Context& ctx) {
    int a = ctx.step("a", [&] { return ++bodies; });
    int b = ctx.step("b", [&] { return ++bodies; });
    return a + b;
  });
  p.launch();
  p.store->hold(true);
  auto run = p.start("steps", "");
  REQUIRE(p.eventually([&] { return p.store->flushes_waiting() == 1; }));
  CHECK(bodies == 0);  // the start is not durable yet
  p.store->hold(false);
  CHECK(p.result(run) == "3");
  CHECK(p.database->count_steps(run->id) == 2);
}

TEST_CASE("the last checkpoint and the completion share a commit") {
  Process p;
  p.workflow<int()>("one", [](Context& ctx) { return ctx.step("a", [] { return 1; }); });
  p.launch();
  auto run = p.start("one", "id-1");
  p.result(run);
  CHECK(p.store->flushes() == 2);  // start; checkpoint and end
}

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

TEST_CASE("a reply lost after the commit does not record anything twice") {
  Process p;
  std::atomic<int> bodies = 0;
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

TEST_CASE("what never reached the server and what rolled back goes again") {
  Process p;
  p.workflow<int()>("one", [](Context& ctx) { return ctx.step("a", [] { return 5; }); });
  p.launch();
  p.store->fail_next(Fault::never_sent);
  p.store->fail_next(Fault::transient);
  auto run = p.start("one", "again");
  // The back-off after a rollback runs on the fake clock.
  REQUIRE(p.eventually([&] {
    p.clock->advance(50ms);
    return p.status("again") == "SUCCESS";
  }));
  CHECK(p.result(run) == "5");
}

TEST_CASE("a record that the database refuses fails its own run only") {
  Process p;
  std::atomic<int> left = 40;
  std::promise<void> all;
  p.workflow<int(int)>("s", [&](Context& ctx, int n) {
    return ctx.step("a", [&] {
      if (--left == 0) all.set_value();
      return n;
    });
  });
  p.launch();
  std::vector<std::shared_ptr<Run>> runs;
  p.store->hold(true);
  for (int i = 0; i < 40; ++i) runs.push_back(p.start("s", "r" + std::to_string(i), i));
  {
    std::lock_guard lock(p.database->mutex);
    p.database->poison.insert("r17");
  }
  p.store->hold(false);
  for (int i = 0; i < 40; ++i) {
    if (i == 17) continue;
    CHECK(p.result(runs[static_cast<std::size_t>(i)]) == std::to_string(i));
  }
  CHECK_THROWS_WITH_AS(p.engine->wait_durable(runs[17]), doctest::Contains("Unicode"), Error);
  CHECK(p.database->row("r17").status.empty());
}

TEST_CASE("a run whose row is locked by another transaction is sent again, the others go on") {
  Process p;
  Gate gate;
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

TEST_CASE("a step is retried with growing waits, and only its last outcome is recorded") {
  Process p;
  std::vector<MonotonicTime> attempts;
  p.workflow<int()>("flaky", [&](Context& ctx) {
    return ctx.step("call", {.retries = 3, .interval = 100ms, .factor = 2.0, .cap = 150ms}, [&](StepContext& step) {
      attempts.push_back(p.clock->now());
      if (step.attempt() < 4) throw std::runtime_error("busy");
      return 9;
    });
  });
  p.launch();
  auto run = p.start("flaky", "f1");
  REQUIRE(p.eventually([&] {
    p.clock->advance(10ms);
    return p.status("f1") == "SUCCESS";
  }));
  CHECK(p.result(run) == "9");
  REQUIRE(attempts.size() == 4);
  CHECK(attempts[1] - attempts[0] >= 100ms);
  CHECK(attempts[2] - attempts[1] >= 150ms);
  CHECK(attempts[3] - attempts[2] >= 150ms);
  CHECK(p.database->count_steps("f1") == 1);
}

TEST_CASE("Permanent and the predicate end the retries; the code may catch the failure") {
  Process p;
  std::atomic<int> bodies = 0;
  p.workflow<std::string()>("w", [&](Context& ctx) {
    std::string seen;
    try {
      ctx.step("p", {.retries = 5}, [&]() -> int {
        ++bodies;
        throw Permanent("no");
      });
    } catch (const StepFailed& e) {
      seen += e.name() + ":" + e.what() + ";";
    }
    try {
      ctx.step("q", {.retries = 5, .retry_if = [](const std::exception&) { return false; }}, [&]() -> int {
        ++bodies;
        throw std::out_of_range("far");
      });
    } catch (const StepFailed& e) {
      seen += e.name() + ":" + e.what();
    }
    return seen;
  });
  p.launch();
  CHECK(p.result(p.start("w", "")) == "\"Permanent:no;out_of_range:far\"");
  CHECK(bodies == 2);
}

TEST_CASE("a replay takes what is recorded and goes on behind it") {
  Process p;
  std::atomic<int> bodies = 0;
  p.workflow<int()>("w", [&](Context& ctx) {
    int a = ctx.step("a", [&] { return ++bodies; });
    int b = ctx.step("b", [&] { return ++bodies; });
    return 10 * a + b;
  });
  p.database->steps[{"r1", 0}] = {0, "a", "7", std::nullopt, "", "portable_json"};
  p.database->enqueue("r1", "w", R"({"positionalArgs":[]})");
  p.launch();
  REQUIRE(p.eventually([&] { return p.status("r1") == "SUCCESS"; }));
  CHECK(*p.database->row("r1").output == "71");
  CHECK(bodies == 1);
}

TEST_CASE("a step recorded under another name sends the workflow to the dead letter and overwrites nothing") {
  Process p;
  p.workflow<int()>("w", [](Context& ctx) { return ctx.step("new-name", [] { return 1; }); });
  p.database->steps[{"n1", 0}] = {0, "old-name", "7", std::nullopt, "", "portable_json"};
  p.database->enqueue("n1", "w", R"({"positionalArgs":[]})");
  p.launch();
  REQUIRE(p.eventually([&] { return p.status("n1") == "MAX_RECOVERY_ATTEMPTS_EXCEEDED"; }));
  CHECK(p.database->row("n1").error->find("old-name") != std::string::npos);
  CHECK(p.database->step("n1", 0).name == "old-name");
}

TEST_CASE("an undecodable input is an ERROR at the first run, and a dead letter on recovery") {
  Process p;
  p.workflow<int(int)>("w", [](Context&, int n) { return n; });
  p.launch();
  p.database->enqueue("first", "w", R"({"positionalArgs":["text"]})");
  {
    p.database->enqueue("later", "w", R"({"positionalArgs":["text"]})");
    std::lock_guard lock(p.database->mutex);
    p.database->rows["later"].attempts = 1;
  }
  p.store->notify("dbos_sys", "work");
  REQUIRE(p.eventually([&] { return p.status("first") == "ERROR" && p.status("later") == "MAX_RECOVERY_ATTEMPTS_EXCEEDED"; }));
  CHECK(p.database->row("first").error->find("argument 1 of 1") != std::string::npos);
}

TEST_CASE("a recorded result that this build cannot read is a dead letter that names it") {
  Process p;
  p.workflow<int()>("w", [](Context& ctx) { return ctx.step("a", [] { return 1; }); });
  p.database->steps[{"u1", 0}] = {0, "a", R"({"was":"an object"})", std::nullopt, "", "portable_json"};
  p.database->enqueue("u1", "w", R"({"positionalArgs":[]})");
  p.launch();
  REQUIRE(p.eventually([&] { return p.status("u1") == "MAX_RECOVERY_ATTEMPTS_EXCEEDED"; }));
  auto error = *p.database->row("u1").error;
  CHECK(error.find("int") != std::string::npos);
  CHECK(error.find("version") != std::string::npos);
}

TEST_CASE("a child is started once, awaited by parking, and its result is recorded") {
  Process p;
  std::atomic<int> children = 0;
  p.workflow<int(int)>("child", [&](Context& ctx, int n) {
    return ctx.step("work", [&] {
      ++children;
      return n + 1;
    });
  });
  p.workflow<int()>("parent", [&](Context& ctx) {
    Workflow<int(int)> child(nullptr, "child", "");
    auto handle = ctx.start(child, 4);
    return handle.result() * 10;
  });
  p.launch();
  auto run = p.start("parent", "p1");
  CHECK(p.result(run) == "50");
  CHECK(children == 1);
  CHECK(p.status("p1-0") == "SUCCESS");
  CHECK(p.database->step("p1", 0).child_id == "p1-0");
  CHECK(p.database->step("p1", 1).name == "DBOS.getResult");
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

TEST_CASE("calls of the context inside a step body are errors") {
  Process p;
  p.workflow<std::string()>("w", [](Context& ctx) {
    return ctx.step("outer", [&]() -> std::string {
      try {
        ctx.step("inner", [] { return 1; });
      } catch (const UsageError& e) {
        return "refused";
      }
      return "nested";
    });
  });
  p.launch();
  CHECK(p.result(p.start("w", "")) == "\"refused\"");
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

TEST_CASE("a step that outlives its timeout is asked to stop and fails as StepTimeout") {
  Process p;
  p.workflow<std::string()>("w", [&](Context& ctx) {
    try {
      ctx.step("slow", {.timeout = 1s}, [](std::stop_token stop) {
        while (!stop.stop_requested()) std::this_thread::yield();
      });
    } catch (const StepFailed& e) {
      return e.name();
    }
    return std::string("finished");
  });
  p.launch();
  auto run = p.start("w", "t1");
  REQUIRE(p.eventually([&] {
    p.clock->advance(100ms);
    return p.status("t1") == "SUCCESS";
  }));
  CHECK(p.result(run) == "\"StepTimeout\"");
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

TEST_CASE("what rode along with a flush and failed is not held against its run") {
  Process p;
  Gate gate;
  p.workflow<int()>("w", [&](Context& ctx) {
    return ctx.step("a", [&] {
      gate.pass();
      return 6;
    });
  });
  p.launch();
  auto run = p.start("w", "rider");
  gate.entered.get_future().wait();
  p.store->fail_companions(true);
  p.clock->advance(6s);  // heartbeat, poll and comparison are due
  gate.open.set_value();
  CHECK(p.eventually([&] { return p.status("rider") == "SUCCESS"; }));
}
