// Queues and debounce as an application uses them, against the real extension.
#include <cmath>
#include <dbos/dbos.hpp>

#include "store_fixture.hpp"

using namespace dbos;
using namespace dbos::testing;

namespace {

RuntimeOptions options(const std::string& uri, const std::string& version = "v1") {
  return {.application = "shop", .database = uri, .executor_id = "one", .version = version};
}

Client client_of(const std::string& uri, const std::string& application = "shop") { return Client({.database = uri, .application = application}); }

// The message of the E that f throws; empty when it throws none.
template <class E, class F>
std::string refusal(F&& f) {
  try {
    f();
  } catch (const E& e) {
    return e.what();
  }
  return "";
}

std::string limits(const std::string& uri, const std::string& queue) {
  return query(uri,
               "SELECT concat_ws('|', worker_concurrency, concurrency, rate_limit_max, rate_limit_period_sec, partition_worker_concurrency, "
               "partition_concurrency, partition_rate_limit_max, partition_rate_limit_period_sec, polling_interval_sec, fair_by_partition, weights, "
               "partitioned) FROM dbos_sys.queues() WHERE name = '" +
                   queue + "'");
}

}  // namespace

TEST_CASE("launch() writes every option of a queue, and list, alter, pause, resume and drop follow") {
  auto uri = server().create_system_database("queues_options");
  Runtime runtime(options(uri));
  runtime.queue("orders", {.worker_concurrency = 4,
                           .concurrency = 9,
                           .rate = {100, 1500ms},
                           .fair_by_partition = true,
                           .weights = {{"a", 2.5}, {"b", 1e-3}},
                           .partition_worker_concurrency = 1,
                           .partition_concurrency = 2,
                           .partition_rate = {10, 1s},
                           .polling_interval = 250ms});
  runtime.queue("plain");
  runtime.launch();
  CHECK(limits(uri, "orders") == R"(4|9|100|1.5|1|2|10|1|0.25|t|{"a": 2.5, "b": 0.001}|t)");
  CHECK(limits(uri, "plain") == "1|f|{}|f");

  auto client = client_of(uri);
  auto queues = client.queues();
  REQUIRE(queues.size() == 2);
  const auto& orders = queues[0];
  CHECK(orders.name == "orders");
  CHECK(orders.application == "shop");
  CHECK(orders.options.worker_concurrency == 4);
  CHECK(orders.options.rate.max == 100);
  CHECK(orders.options.rate.period == 1500ms);
  CHECK(orders.options.partition_rate.period == 1s);
  CHECK(orders.options.polling_interval == 250ms);
  CHECK(orders.options.weights == std::map<std::string, double>{{"a", 2.5}, {"b", 0.001}});
  CHECK(orders.partitioned);
  CHECK_FALSE(orders.paused);
  CHECK_FALSE(queues[1].options.concurrency);

  // What is not given stays; 0 takes a limit away.
  client.alter_queue("orders", {.worker_concurrency = 3, .concurrency = 0, .rate = {0}});
  CHECK(limits(uri, "orders") == R"(3|1|2|10|1|0.25|t|{"a": 2.5, "b": 0.001}|t)");
  client.pause_queue("orders");
  CHECK(client.queues()[0].paused);
  client.resume_queue("orders");
  CHECK_FALSE(client.queues()[0].paused);
  query(uri, "SELECT dbos_sys.start('w', '[]', p_queue => 'plain')");
  CHECK(has(refusal<Error>([&] { client.drop_queue("plain"); }), "1 waiting workflow"));
  client.drop_queue("plain", true);
  CHECK(client.queues().size() == 1);
  CHECK(has(refusal<Error>([&] { client.pause_queue("plain"); }), "plain"));
  auto other = client_of(uri, "other");
  CHECK(has(refusal<UsageError>([&] { other.alter_queue("orders", {.concurrency = 5}); }), "belongs to application"));
  CHECK(has(refusal<UsageError>([&] { other.pause_queue("orders"); }), "belongs to application"));
  CHECK(has(refusal<UsageError>([&] { other.resume_queue("orders"); }), "belongs to application"));
  CHECK(has(refusal<UsageError>([&] { other.drop_queue("orders", true); }), "belongs to application"));
  // Keys are any text, also such as JSON writes in its own way.
  client.alter_queue("orders", {.weights = {{"a \"quoted\\\" key", 2.0}}});
  CHECK(client.queues()[0].options.weights == std::map<std::string, double>{{"a \"quoted\\\" key", 2.0}});
  client.register_queue("keyed", {.partitioned = true});
  client.alter_queue("keyed", {.concurrency = 7});
  CHECK(client.queues()[0].partitioned);
  CHECK(client.queues()[0].options.partitioned == true);
}

TEST_CASE("options of a queue that do not fit are refused with their value before anything is sent") {
  Runtime runtime(options("host=/nowhere"));
  auto refused = [&](const char* name, const QueueOptions& given) { return refusal<UsageError>([&] { runtime.queue(name, given); }); };
  CHECK(has(refused("q", {.concurrency = -1}), "concurrency is -1"));
  CHECK(has(refused("q", {.concurrency = 0}), "concurrency is 0"));
  CHECK(has(refused("q", {.worker_concurrency = 0}), "worker_concurrency is 0"));
  CHECK(has(refused("q", {.rate = {0, 1s}}), "rate.max is 0"));
  CHECK(has(refused("q", {.worker_concurrency = 3, .concurrency = 2}), "worker_concurrency 3 exceeds concurrency 2"));
  CHECK(has(refused("q", {.concurrency = 2, .partition_concurrency = 3}), "partition_concurrency 3 exceeds concurrency 2"));
  CHECK(has(refused("q", {.partition_worker_concurrency = 3, .partition_concurrency = 2}), "partition_worker_concurrency 3 exceeds"));
  CHECK(has(refused("q", {.rate = {100}}), "rate.period is 0 ms"));
  CHECK(has(refused("q", {.rate = {100, -1s}}), "rate.period is -1000 ms"));
  CHECK(has(refused("q", {.rate = {-5, 1s}}), "rate.max is -5"));
  CHECK(has(refused("q", {.partition_rate = {{}, 1s}}), "partition_rate has a period of 1000 ms and no starts"));
  CHECK(has(refused("q", {.fair_by_partition = true, .weights = {{"a", 0.0}}}), "weight of partition a is 0"));
  CHECK(has(refused("q", {.fair_by_partition = true, .weights = {{"a", std::nan("")}}}), "weight of partition a is nan"));
  CHECK(has(refused("q", {.weights = {{"a", 2.0}}}), "weights without fair_by_partition"));
  CHECK(has(refused("_dbos_mine", {}), "reserved"));
  CHECK(has(refused("", {}), "blank"));
  CHECK(has(refused(std::string(10000, 'q').c_str(), {}), "10000 bytes"));
  auto client = client_of("host=/nowhere");
  CHECK(has(refusal<UsageError>([&] { client.alter_queue("q", {.rate = {1, 0s}}); }), "rate.period is 0 ms"));
  CHECK(has(refusal<UsageError>([&] { client.register_queue("q", {.on_conflict = QueueConflict::update_if_latest_version}); }), "no version"));
}

TEST_CASE("a limit may have any name, and RetryAfter for no time ends nobody's hold") {
  auto uri = server().create_system_database("limits_names");
  Runtime runtime(options(uri));
  auto client = client_of(uri);
  const std::string name = "the \"api\" \\ of ü";
  std::vector<std::chrono::steady_clock::time_point> begun;
  runtime.limit(name, {.concurrency = 1, .weights = {{"a \"key\"", 2}}});
  auto call = runtime.workflow("call", [&](Context& ctx) {
    return ctx.step("s", {.limit = name, .limit_key = "a \"key\""}, [&](StepContext& step) {
      begun.push_back(std::chrono::steady_clock::now());
      if (step.attempt() == 1) {
        client.hold(name, 400ms);
        throw RetryAfter(0ms);
      }
      if (step.attempt() == 2) throw RetryAfter(300ms);
      return step.attempt();
    });
  });
  runtime.launch();
  CHECK(call.start().result(20s) == 3);
  REQUIRE(begun.size() == 3);
  CHECK(begun[1] - begun[0] >= 350ms);
  CHECK(begun[2] - begun[1] >= 250ms);
}

TEST_CASE("bounds of a limit that do not fit are refused with their value before anything is sent") {
  Runtime runtime(options("host=/nowhere"));
  auto client = client_of("host=/nowhere");
  auto refused = [&](const char* name, const LimitOptions& given) {
    auto here = refusal<UsageError>([&] { runtime.limit(name, given); });
    CHECK(refusal<UsageError>([&] { client.register_limit(name, given); }) == here);
    return here;
  };
  CHECK(has(refused("l", {}), "bounds nothing"));
  CHECK(has(refused("l", {.rate = -1}), "rate is -1"));
  CHECK(has(refused("l", {.rate = std::nan("")}), "rate is nan"));
  CHECK(has(refused("l", {.rate = 1, .per = 0ms}), "per is 0 ms"));
  CHECK(has(refused("l", {.rate = 1, .burst = -2}), "burst is -2"));
  CHECK(has(refused("l", {.burst = 2, .concurrency = 1}), "burst without rate"));
  CHECK(has(refused("l", {.concurrency = -3}), "concurrency is -3"));
  CHECK(has(refused("l", {.rate = 1, .weights = {{"a", std::nan("")}}}), "weight of key a is nan"));
  CHECK(has(refused("_dbos_l", {.rate = 1}), "reserved"));
  CHECK(has(refused(" ", {.rate = 1}), "blank"));
  CHECK(has(refusal<UsageError>([&] { client.alter_limit("l", {.rate = 0}); }), "rate is 0"));
  CHECK(has(refusal<UsageError>([&] { client.alter_limit("l", {.concurrency = 0}); }), "concurrency is 0"));
}

TEST_CASE("an older version of the application does not take back the limits of the newest, if it is told so") {
  auto uri = server().create_system_database("queues_versions");
  auto launch = [&](const std::string& version, int concurrency) {
    Runtime runtime(options(uri, version));
    runtime.queue("orders", {.concurrency = concurrency, .on_conflict = QueueConflict::update_if_latest_version});
    runtime.launch();
    runtime.shutdown();
  };
  launch("v1", 1);
  CHECK(limits(uri, "orders") == "1|1|f|{}|f");
  launch("v2", 2);
  CHECK(limits(uri, "orders") == "2|1|f|{}|f");
  launch("v1", 1);
  CHECK(limits(uri, "orders") == "2|1|f|{}|f");
}

TEST_CASE("a debounced workflow runs once, with the arguments of the last call") {
  auto uri = server().create_system_database("queues_debounce");
  Runtime runtime(options(uri));
  std::atomic<int> runs = 0;
  auto index = runtime.workflow("index", [&](Context&, std::string text) {
    ++runs;
    return text;
  });
  auto burst = runtime.workflow(
      "burst", [&](Context& ctx) { return ctx.step("ask", [&] { return index.debounce("step", {.delay = 1ms}, "from a step").id(); }); });
  auto careless = runtime.workflow("careless", [&](Context&) { index.debounce("k", {.delay = 1s}, "x"); });
  // Its replay after the failure of the code behind the call puts nothing off.
  std::atomic<int> executions = 0;
  auto again = runtime.workflow("again", [&](Context& ctx, std::string key, std::string id) {
    auto handle = ctx.debounce(index, key, {.delay = 1ms, .start = {.id = id}}, "from a workflow");
    ++executions;
    ctx.sleep(1ms);
    return handle.id() + ":" + handle.result();
  });
  runtime.queue("slow");
  runtime.launch();
  auto first =
      index.debounce("file", {.delay = 1h, .deadline = 2h, .queue = "slow", .start = {.id = "burst-1", .attributes_json = R"({"a":1})"}}, "a");
  CHECK(first.id() == "burst-1");
  CHECK(first.info().status == Status::delayed);
  auto client = client_of(uri);
  auto last = client.debounce(index.signature(), "file", {.delay = 20ms, .queue = "slow"}, "b");
  CHECK(last.id() == first.id());
  CHECK(first.result(10s) == "b");
  CHECK(runs == 1);
  CHECK(first.info().application == "shop");
  // It has run: the next call is another.
  auto next = index.debounce("file", {.delay = 1ms, .queue = "slow"}, "c");
  CHECK(next.id() != first.id());
  CHECK(next.result(10s) == "c");
  CHECK(client.handle<std::string>(burst.start().result(10s)).result(10s) == "from a step");
  CHECK_THROWS_AS(careless.start().result(10s), WorkflowFailed);
  CHECK(again.start({.id = "again"}, "w", "").result(10s) == "again-0:from a workflow");
  CHECK(
      query(uri, "SELECT function_name || '|' || child_workflow_id FROM dbos.operation_outputs WHERE workflow_uuid = 'again' AND function_id = 0") ==
      "DBOS.debounceDelayedWorkflow|again-0");
  CHECK(query(uri, "SELECT parent_workflow_id FROM dbos.workflow_status WHERE workflow_uuid = 'again-0'") == "again");
  // Run once more from its records, as a recovery does it.
  int before = runs;
  query(uri, "DELETE FROM dbos.operation_outputs WHERE workflow_uuid = 'again' AND function_id > 0");
  query(uri, "UPDATE dbos.workflow_status SET status = 'ENQUEUED', queue_name = '_dbos_internal_queue' WHERE workflow_uuid = 'again'");
  CHECK(client.handle<std::string>("again").result(10s) == "again-0:from a workflow");
  CHECK(runs == before);
  CHECK(executions == 2);
  // What it refuses is the step's error.
  CHECK(has(refusal<WorkflowFailed>([&] { again.start({}, "taken", "again").result(10s); }), "belongs to another workflow"));

  // The key may be somebody else's.
  query(uri, "SELECT dbos_sys.start('index', '[\"x\"]', 'holder', 'unserved', '{\"deduplication_id\": \".index-held\"}')");
  CHECK(has(refusal<Deduplicated>([&] { index.debounce("held", {.delay = 1s, .queue = "unserved"}, "x"); }), "holder"));
  auto refused = [&](const std::string& key, const DebounceOptions& given) { return refusal<UsageError>([&] { index.debounce(key, given, "x"); }); };
  CHECK(has(refused("k", {}), "0 ms"));
  CHECK(has(refused("k", {.delay = -1ms}), "-1 ms"));
  CHECK(has(refused("", {.delay = 1s}), "blank"));
  CHECK(has(refused("k", {.delay = 1s, .start = {.priority = 1}}), "priority"));
  CHECK(has(refused("k", {.delay = 1s, .deadline = -1ms}), "deadline"));
}
