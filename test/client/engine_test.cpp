// The engine on an in-memory store and a fake clock: what workflow code sees, what may run ahead of the disk, and what is recorded.
#include "engine_fixture.hpp"

using namespace dbos;
using namespace dbos::testing;

namespace {

// Counts where it is converted.
struct OffFiber {
  int value = 0;
  static inline std::atomic<int> on_fiber = 0;
};
void to_json(nlohmann::json& json, const OffFiber& from) {
  OffFiber::on_fiber += Fiber::current() ? 1 : 0;
  json = from.value;
}
void from_json(const nlohmann::json& json, OffFiber& to) {
  OffFiber::on_fiber += Fiber::current() ? 1 : 0;
  to.value = json.get<int>();
}

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

TEST_CASE("the last checkpoint and the completion share a commit") {
  Gate gate;
  std::atomic<bool> next = false;
  std::atomic<int> trips = 0;
  Process p;
  p.options.carriers = p.options.max_blocking_steps = 1;
  p.workflow<void()>("filler", [](Context&) {});
  p.workflow<void()>("next", [&](Context&) { next = true; });
  p.workflow<int()>("one", [&](Context& ctx) {
    return ctx.step("a", [&] {
      gate.pass();
      return 1;
    });
  });
  p.launch();
  auto run = p.start("one", "id-1");
  gate.entered.get_future().wait();
  p.store->watch([&](const Trip& trip) {
    if (!trip.flush) return;
    for (const auto& item : trip.flush->runs) trips += item.id == "id-1" ? 1 : 0;
  });
  // No lane is free until the only carrier has left the code.
  p.start_together("filler", [&] {
    gate.open.set_value();
    p.start("next", "");
    REQUIRE(p.eventually([&] { return next.load(); }));
  });
  p.store->pause(false);
  p.result(run);
  CHECK(trips == 1);
  CHECK(p.database->count_steps("id-1") == 1);
}

TEST_CASE("a replay takes what is recorded and goes on behind it") {
  std::atomic<int> bodies = 0;
  Process p;
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
  std::atomic<int> children = 0;
  Process p;
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

TEST_CASE("neither a result nor the acknowledgement of a start is handed out before it is durable") {
  Process p;
  p.workflow<int()>("w", [](Context&) { return 1; });
  p.launch();
  // The first heartbeat would be held too, and keep a lane from one of the starts.
  REQUIRE(p.eventually([&] { return p.store->trips() > 0 && p.store->free_lanes() == 2; }));
  p.store->hold(true);
  auto ahead = p.start("w", "");
  auto named = p.start("w", "named");
  REQUIRE(p.eventually([&] { return p.store->flushes_waiting() > 0 && !p.status(ahead->id).empty() && !p.status("named").empty(); }));
  auto acknowledged = std::async(std::launch::async, [&] {
    p.engine->wait_durable(ahead);
    p.engine->wait_durable(named);
  });
  CHECK_FALSE(p.engine->wait_outcome(ahead->id, ahead, 30ms));
  CHECK(acknowledged.wait_for(0ms) == std::future_status::timeout);
  p.store->hold(false);
  acknowledged.get();
  CHECK(p.result(ahead) == "1");
  CHECK(p.result(named) == "1");
}

TEST_CASE("a child's handle and a foreign result are there when the database has decided, not before") {
  std::atomic<bool> started = false;
  Process p;
  p.workflow<int()>("child", [](Context&) { return 1; });
  p.workflow<int()>("parent", [&](Context& ctx) {
    Workflow<int()> child(nullptr, "child", "");
    ctx.step("a", [] {});
    auto handle = ctx.start(child, {.id = "kid"});
    started = true;
    return handle.result();
  });
  p.database->put("kid",
                  MemoryRow{.status = "PENDING", .name = "theirs", .queue = "", .owner = "o", .creator = "x", .inputs = "", .executor = "other"});
  p.launch();
  auto run = p.start("parent", "p1");
  CHECK_THROWS_WITH_AS(p.result(run), doctest::Contains("belongs to workflow theirs"), WorkflowFailed);
  CHECK_FALSE(started);
}

TEST_CASE("before a body that comes late the database is asked whether the run is still ours") {
  Gate frozen;
  std::atomic<int> bodies = 0;
  Process p;
  p.options.lease = 3s;
  p.workflow<void()>("w", [&](Context& ctx) {
    ctx.step("a", [&] { ++bodies; });
    ctx.recv<int>("", 0ms);  // everything before is durable
    frozen.pass();
    ctx.step("b", [&] { ++bodies; });
  });
  p.launch();
  auto run = p.start("w", "frozen");
  frozen.entered.get_future().wait();
  p.database->cancel("frozen");
  p.clock->advance(1s);  // a third of the lease; the comparison of what is held comes later
  frozen.open.set_value();
  CHECK_THROWS_AS(p.result(run), Cancelled);
  CHECK(bodies == 1);
}

TEST_CASE("every later call of a run that must stop throws again, and what the code returns is not kept") {
  using Call = std::function<void(Context&)>;
  std::atomic<int> bodies = 0;
  std::atomic<int> thrown = 0;
  Gate gate;
  std::atomic<int> told = 0;
  Process p;
  Workflow<int()> child(nullptr, "child", "");
  Handle<int> foreign(nullptr);
  std::map<std::string, Call> calls{
      {"step", [&](Context& ctx) { ctx.step("s", [&] { ++bodies; }); }},
      {"sleep", [](Context& ctx) { ctx.sleep(1s); }},
      {"now_ms", [](Context& ctx) { ctx.now_ms(); }},
      {"uuid", [](Context& ctx) { ctx.uuid(); }},
      {"random", [](Context& ctx) { ctx.random(); }},
      {"start", [&](Context& ctx) { ctx.start(child); }},
      {"enqueue", [&](Context& ctx) { ctx.enqueue(child, "q", {}); }},
      {"send", [](Context& ctx) { ctx.send("x", 1); }},
      {"recv", [](Context& ctx) { ctx.recv<int>("", 1s); }},
      {"set_event", [](Context& ctx) { ctx.set_event("k", 1); }},
      {"get_event", [](Context& ctx) { ctx.get_event<int>("x", "k", 1s); }},
      {"write_stream", [](Context& ctx) { ctx.write_stream("k", 1); }},
      {"close_stream", [](Context& ctx) { ctx.close_stream("k"); }},
      {"result", [&](Context&) { foreign.result(); }},
  };
  std::set<std::string> returned;
  p.workflow<int()>("child", [](Context&) { return 1; });
  p.workflow<int()>("w", [&](Context& ctx) {
    ctx.step("a", [&] { gate.pass(); });
    try {
      ctx.recv<int>("", 0ms);  // learns that the run is lost
    } catch (...) {
    }
    for (auto& [name, call] : calls) {
      try {
        call(ctx);
        returned.insert(name);
      } catch (...) {
        ++thrown;
      }
    }
    return 7;
  });
  p.launch();
  foreign = Handle<int>(std::make_shared<EngineHandle>(p.engine, "elsewhere", nullptr));
  auto run = p.start("w", "stubborn");
  gate.entered.get_future().wait();
  p.store->watch([&](const Trip& trip) {
    if (!trip.flush) return;
    for (const auto& item : trip.flush->runs) told += item.id == "stubborn" ? 1 : 0;
  });
  p.database->cancel("stubborn");
  gate.open.set_value();
  CHECK_THROWS_AS(p.result(run), Cancelled);
  REQUIRE(p.eventually([&] { return thrown == static_cast<int>(calls.size()); }));
  CHECK(returned.empty());
  CHECK(bodies == 0);
  CHECK(p.status("stubborn") == "CANCELLED");
  CHECK(p.database->count_steps("stubborn") == 0);
  CHECK(told == 1);  // the record of step a, which brought the news
}

TEST_CASE("user types are read and written on the thread's own stack") {
  Process p;
  OffFiber::on_fiber = 0;
  p.workflow<OffFiber(OffFiber)>("w", [](Context& ctx, OffFiber value) { return ctx.step("s", [&] { return value; }); });
  p.launch();
  CHECK(p.result(p.start("w", "", OffFiber{3})) == "3");
  p.database->steps[{"again", 0}] = {0, "s", "5", std::nullopt, "", "portable_json"};
  p.database->enqueue("again", "w", R"({"positionalArgs":[4]})");
  p.store->notify("dbos_sys", "work");
  REQUIRE(p.eventually([&] { return p.status("again") == "SUCCESS"; }));
  CHECK(*p.database->row("again").output == "5");
  CHECK(OffFiber::on_fiber == 0);
}
