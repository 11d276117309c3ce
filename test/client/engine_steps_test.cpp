// The engine on an in-memory store and a fake clock: the bodies of steps, from when they may begin to what ends them.
#include "engine_fixture.hpp"

using namespace dbos;
using namespace dbos::testing;

TEST_CASE("a step body waits until everything before it has committed") {
  std::atomic<int> bodies = 0;
  Process p;
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
  std::atomic<int> bodies = 0;
  Process p;
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

TEST_CASE("a step's body is asked to stop when its run is lost, and can write no more") {
  std::promise<void> entered;
  Gate refused;
  std::atomic<bool> sent = false;
  std::atomic<int> messages = 0;
  Process p;
  p.workflow<void()>("quick", [](Context&) {});
  p.workflow<int()>("w", [&](Context& ctx) {
    return ctx.step("endless", [&](std::stop_token stop) {
      entered.set_value();
      while (!stop.stop_requested()) std::this_thread::yield();
      try {
        ctx.send("inbox", 1);
        sent = true;
      } catch (...) {
      }
      refused.pass();
      return 1;
    });
  });
  p.launch();
  p.store->watch([&](const Trip& trip) { messages += trip.flush ? static_cast<int>(trip.flush->ops.size()) : 0; });
  auto run = p.start("w", "asked");
  entered.get_future().wait();
  p.database->cancel("asked");
  p.clock->advance(6s);  // what is held is compared
  refused.entered.get_future().wait();
  for (int i = 0; i < 2; ++i) p.result(p.start("quick", ""));  // trips that would carry it
  refused.open.set_value();
  CHECK_THROWS_AS(p.result(run), Cancelled);
  CHECK_FALSE(sent);
  CHECK(messages == 0);
}

TEST_CASE("a result that is too large fails its step without a retry, and the workflow goes on") {
  std::atomic<int> bodies = 0;
  Process p;
  p.options.max_payload = 1000;
  p.workflow<std::string()>("w", [&](Context& ctx) {
    try {
      ctx.step("large", {.retries = 3}, [&] {
        ++bodies;
        return std::string(1000, 'x');
      });
    } catch (const StepFailed& e) {
      return std::string(e.what());
    }
    return std::string("taken");
  });
  p.launch();
  auto text = p.result(p.start("w", ""));
  CHECK(text.find("1002 bytes, at most 1000") != std::string::npos);
  CHECK(bodies == 1);
}

TEST_CASE("calls of the context inside a step body are errors, but for messages, events and streams") {
  using Call = std::function<void(Context&)>;
  Process p;
  Workflow<int()> child(nullptr, "child", "");
  std::map<std::string, Call> calls{
      {"step", [](Context& ctx) { ctx.step("inner", [] {}); }},
      {"sleep", [](Context& ctx) { ctx.sleep(1ms); }},
      {"now_ms", [](Context& ctx) { ctx.now_ms(); }},
      {"uuid", [](Context& ctx) { ctx.uuid(); }},
      {"random", [](Context& ctx) { ctx.random(); }},
      {"start", [&](Context& ctx) { ctx.start(child); }},
      {"enqueue", [&](Context& ctx) { ctx.enqueue(child, "q", {}); }},
      {"recv", [](Context& ctx) { ctx.recv<int>("", 0ms); }},
      {"get_event", [](Context& ctx) { ctx.get_event<int>("x", "k", 0ms); }},
      {"close_stream", [](Context& ctx) { ctx.close_stream("k"); }},
  };
  std::set<std::string> refused;
  p.workflow<int()>("child", [](Context&) { return 1; });
  p.workflow<int()>("w", [&](Context& ctx) {
    ctx.step("outer", [&] {
      for (auto& [name, call] : calls) {
        try {
          call(ctx);
        } catch (const UsageError& e) {
          if (std::string(e.what()).find("inside a step body") != std::string::npos) refused.insert(name);
        }
      }
      ctx.send("inbox", 1);
      ctx.set_event("k", 1);
      ctx.write_stream("k", 1);
    });
    return ctx.step("next", [] { return 2; });
  });
  p.launch();
  auto run = p.start("w", "");
  CHECK(p.result(run) == "2");
  CHECK(refused.size() == calls.size());
  CHECK(p.database->count_steps(run->id) == 2);
  CHECK(p.database->step(run->id, 1).name == "next");
}

TEST_CASE("bodies that block get threads, up to max_blocking_steps") {
  std::atomic<int> inside = 0;
  std::promise<void> open;
  Process p;
  auto opened = open.get_future().share();
  p.options.carriers = 1;
  p.options.max_blocking_steps = 8;
  p.workflow<int()>("w", [&](Context& ctx) {
    return ctx.step("block", [&] {
      ++inside;
      opened.wait();
      return 1;
    });
  });
  p.launch();
  std::vector<std::shared_ptr<Run>> runs;
  for (int i = 0; i < 8; ++i) runs.push_back(p.start("w", ""));
  CHECK(p.eventually([&] { return inside == 8; }));
  open.set_value();
  for (auto& run : runs) CHECK(p.result(run) == "1");
}
