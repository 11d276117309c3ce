// How the end of a workflow is told: to those who await it, and to the code that still runs.
#include "codec/object_text.hpp"
#include "codec/portable_error.hpp"
#include "engine_fixture.hpp"

using namespace dbos;
using namespace dbos::testing;

namespace {

// What a workflow that awaits `id` sees, first and on a replay.
struct Watcher {
  std::string operator()(Process& p, const std::string& id, std::optional<Milliseconds> timeout = std::nullopt) const {
    try {
      Handle<int> handle(std::make_shared<EngineHandle>(p.engine, id, nullptr));
      return "value " + std::to_string(timeout ? handle.result(*timeout) : handle.result());
    } catch (const WorkflowFailed& e) {
      return "WorkflowFailed " + e.name();
    } catch (const Cancelled&) {
      return "Cancelled";
    } catch (const DeadLetter&) {
      return "DeadLetter";
    } catch (const Timeout&) {
      return "Timeout";
    }
  }
};

MemoryRow ended(const std::string& status, std::optional<std::string> error = std::nullopt) {
  return {.status = status, .name = "other", .queue = "", .owner = "", .creator = "x", .inputs = "", .executor = "far", .error = std::move(error)};
}

// Declared before the process that runs it: its body may still be on the way out when a test ends.
struct Stopped {
  std::promise<void> entered, asked, open;
  int pass(std::stop_token stop) {
    std::stop_callback callback(stop, [this] { asked.set_value(); });
    entered.set_value();
    open.get_future().wait();
    return 1;
  }
};

}  // namespace

TEST_CASE("a workflow that failed with an error named as one of ours has failed, when it is awaited and when that is replayed") {
  std::map<std::string, std::pair<MemoryRow, std::string>> ends{
      {"timeout", {ended("ERROR", encode_error("Timeout", "too late")), "WorkflowFailed Timeout"}},
      {"cancelled", {ended("ERROR", encode_error("AwaitedWorkflowCancelled", "x")), "WorkflowFailed AwaitedWorkflowCancelled"}},
      {"dead",
       {ended("ERROR", encode_error("AwaitedWorkflowMaxRecoveryAttemptsExceeded", "x")),
        "WorkflowFailed AwaitedWorkflowMaxRecoveryAttemptsExceeded"}},
      {"handed on",
       {ended("ERROR", encode_error({"AwaitedWorkflowCancelled", "x", "", R"({"awaited_workflow":"its child","status":"CANCELLED"})"})),
        "WorkflowFailed AwaitedWorkflowCancelled"}},
      {"really cancelled", {ended("CANCELLED"), "Cancelled"}},
      {"really dead", {ended("MAX_RECOVERY_ATTEMPTS_EXCEEDED"), "DeadLetter"}},
      {"unended", {ended("PENDING"), "Timeout"}},
  };
  Process p;
  p.workflow<std::string(std::string)>("w", [&](Context& ctx, std::string id) {
    auto first = Watcher{}(p, id, id == "unended" ? std::optional<Milliseconds>(0) : std::nullopt);
    // Long enough to lose the stack: what comes behind runs after a replay.
    ctx.sleep(24h);
    return first;
  });
  for (auto& [id, end] : ends) p.database->put(id, end.first);
  p.launch();
  std::map<std::string, std::shared_ptr<Run>> runs;
  for (auto& [id, end] : ends) runs[id] = p.start("w", "of " + id, id);
  for (auto& [id, end] : ends) {
    CAPTURE(id);
    REQUIRE(p.eventually([&] {
      std::lock_guard lock(p.database->mutex);
      auto last = p.database->steps.rbegin();
      return std::any_of(last, p.database->steps.rend(),
                         [&](auto& step) { return step.first.first == "of " + id && step.second.name == "DBOS.sleep" && step.first.second > 0; });
    }));
  }
  REQUIRE(p.eventually([&] {
    p.clock->advance(1h);
    return std::all_of(ends.begin(), ends.end(), [&](auto& end) { return p.status("of " + end.first) == "SUCCESS"; });
  }));
  for (auto& [id, end] : ends) {
    CAPTURE(id);
    CHECK(p.result(runs[id]) == json_quote(end.second));
  }
}

TEST_CASE("a workflow that was cancelled has ended for those who wait, whatever its body does, and the body is asked to stop at once") {
  Stopped body;
  Process p;
  p.workflow<int()>("w", [&](Context& ctx) { return ctx.step("deaf", [&](std::stop_token stop) { return body.pass(stop); }); });
  p.workflow<std::string()>("parent", [&](Context&) { return Watcher{}(p, "deaf"); });
  p.launch();
  auto run = p.start("w", "deaf");
  body.entered.get_future().wait();
  auto parent = p.start("parent", "parent");
  REQUIRE(p.eventually([&] { return p.status("parent") == "PENDING"; }));
  p.database->cancel("deaf");
  // Not the time for a look at what is held: the wake-up tells.
  p.clock->advance(1ms);
  p.store->notify("dbos_sys", "done");
  CHECK(body.asked.get_future().wait_for(10s) == std::future_status::ready);
  CHECK_THROWS_AS(p.result(run), Cancelled);
  CHECK(Watcher{}(p, "deaf", 10s) == "Cancelled");
  CHECK(p.result(parent) == "\"Cancelled\"");
  body.open.set_value();
  // Waits until the run is no longer held.
  p.engine->close(10s);
  CHECK_THROWS_AS(p.result(run), Cancelled);
}

TEST_CASE("a result that another process has written ends the wait for a body that still runs here") {
  Stopped body;
  Process p;
  p.workflow<int()>("w", [&](Context& ctx) { return ctx.step("deaf", [&](std::stop_token stop) { return body.pass(stop); }); });
  p.launch();
  auto run = p.start("w", "moved");
  body.entered.get_future().wait();
  {
    std::lock_guard lock(p.database->mutex);
    p.database->rows["moved"].owner = "another";
  }
  p.clock->advance(1ms);
  p.store->notify("dbos_sys", "done");
  REQUIRE(body.asked.get_future().wait_for(10s) == std::future_status::ready);
  {
    std::lock_guard lock(p.database->mutex);
    auto& row = p.database->rows["moved"];
    row.status = "SUCCESS";
    row.output = "7";
  }
  p.store->notify("dbos_sys", "done");
  CHECK(p.result(run) == "7");
  body.open.set_value();
}

TEST_CASE("however many workflows end, what is held is compared at most five times a second") {
  Stopped body;
  std::atomic<int> compared = 0, asked = 0;
  Process p;
  p.workflow<int()>("w", [&](Context& ctx) { return ctx.step("body", [&](std::stop_token stop) { return body.pass(stop); }); });
  p.database->put("far", ended("PENDING"));
  p.launch();
  p.store->watch([&](const Trip& trip) {
    compared += trip.held ? 1 : 0;
    asked += trip.outcomes.empty() ? 0 : 1;
  });
  auto run = p.start("w", "one");
  body.entered.get_future().wait();
  auto awaiting = std::async(std::launch::async, [&] { return p.engine->wait_outcome("far", nullptr, 5000ms); });
  REQUIRE(p.eventually([&] { return asked == 1; }));
  auto tell = [&] {
    int before = asked;
    p.store->notify("dbos_sys", "done");
    REQUIRE(p.eventually([&] { return asked > before; }));
  };
  for (int i = 0; i < 20; ++i) tell();
  CHECK(compared == 1);
  p.clock->advance(300ms);
  REQUIRE(p.eventually([&] { return compared == 2; }));
  for (int i = 0; i < 20; ++i) tell();
  CHECK(compared == 2);
  // The last trip may have been sent but not yet answered: it, or the one that is told of here, finds the end.
  p.database->put("far", ended("SUCCESS"));
  p.store->notify("dbos_sys", "done");
  CHECK(awaiting.get()->status == "SUCCESS");
  body.open.set_value();
  CHECK(p.result(run) == "1");
}
