// The engine on an in-memory store and a fake clock: what workflow code sees, what may run ahead of the disk, and what is recorded.
#include "engine_fixture.hpp"

using namespace dbos;
using namespace dbos::testing;

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

TEST_CASE("an input that is resumed from the dead letter before the fix goes back there, and runs after the fix") {
  auto database = std::make_shared<MemoryDatabase>();
  database->enqueue("early", "w", R"({"positionalArgs":["text"]})");
  database->rows["early"].attempts = 1;
  auto dead = [&] { return database->row("early").status == "MAX_RECOVERY_ATTEMPTS_EXCEEDED"; };
  {
    Process broken(database);
    broken.workflow<int(int)>("w", [](Context&, int n) { return n; });
    broken.launch();
    REQUIRE(broken.eventually(dead));
    for (int early = 0; early < 2; ++early) {
      database->resume("early");
      CHECK_FALSE(dead());
      broken.store->notify("dbos_sys", "work");
      REQUIRE(broken.eventually(dead));
      auto error = *database->row("early").error;
      CHECK(error.find("argument 1 of 1") != std::string::npos);
      CHECK(error.find("int") != std::string::npos);
      CHECK(error.find("application version 1") != std::string::npos);
    }
    database->resume("early");
    broken.engine->close(0ms);
  }
  Process mended(database, "two");
  mended.workflow<std::string(std::string)>("w", [](Context&, std::string text) { return text; });
  mended.launch();
  REQUIRE(mended.eventually([&] { return mended.status("early") == "SUCCESS"; }));
  CHECK(*database->row("early").output == "\"text\"");
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
