// ClientStore against the real extension: blocking calls from any thread, waits, errors as leaves, lost replies.
#include "store/client_store.hpp"

#include <thread>

#include "store_fixture.hpp"

using namespace dbos::testing;

namespace {

dbos::ClientOptions options(const std::string& uri, bool listen = true) {
  return {.database = uri, .application = "shop", .connect_timeout = 2000ms, .listen = listen};
}

RunItem queued(const std::string& id, const std::string& more = {}) { return new_run(id, uuid(), R"({"queue": "orders")" + more + "}"); }

template <class E, class F>
E thrown(F&& f) {
  try {
    f();
  } catch (const E& e) {
    return e;
  }
  FAIL("no such error was thrown");
  throw std::logic_error("unreachable");
}

// Completes a workflow as an executor of this application would.
void complete(const std::string& uri, const std::string& id, const std::string& output) {
  Executor executor(uri);
  executor.who = identity("completer-" + id);
  executor.open();
  Trip claim;
  claim.claim = ClaimRequest{.token = uuid(), .queues = {{"orders", 100}}, .filter = filter()};
  auto claimed = executor.trip(claim).claimed;
  for (const auto& run : claimed) {
    RunItem end{.id = run.id, .token = run.token, .status = FinalStatus::success, .output = output};
    if (run.id == id) REQUIRE(executor.trip(flush_of({end})).error == TripError::none);
  }
}

}  // namespace

TEST_CASE("enqueued workflows are durable and can be looked at") {
  auto uri = server().create_system_database("client_enqueue");
  ClientStore client(options(uri));
  auto replies = client.enqueue({queued("a", R"(, "priority": 5, "partition_key": "t", "attributes": {"k": 1})"),
                                 queued("b", R"(, "delay_ms": 60000, "application_name": null)")});
  REQUIRE(replies.size() == 2);
  CHECK(replies[0].state == RunState::done);
  CHECK(client.enqueue({}).empty());
  auto info = client.status("a");
  REQUIRE(info.has_value());
  CHECK(info->id == "a");
  CHECK(info->status == dbos::Status::enqueued);
  CHECK(info->name == "checkout");
  CHECK(info->queue == "orders");
  CHECK(info->partition == "t");
  CHECK(info->priority == 5);
  CHECK(info->application == "shop");
  CHECK(info->serialization == "portable_json");
  CHECK(info->attributes_json == R"({"k": 1})");
  CHECK(info->inputs == std::optional<std::string>(R"({"positionalArgs":["a"]})"));
  CHECK_FALSE(info->output.has_value());
  CHECK(info->created_at > 1'600'000'000'000);
  CHECK(info->completed_at == 0);
  CHECK(client.status("b")->status == dbos::Status::delayed);
  CHECK(client.status("b")->application.empty());
  CHECK(client.status("b")->delay_until > info->created_at);
  CHECK_FALSE(client.status("nowhere").has_value());
  CHECK(client.list("{}").size() == 2);
  CHECK(client.list(R"({"status": "DELAYED"})").at(0).id == "b");
  CHECK(thrown<dbos::UsageError>([&] { client.list(R"({"nonsense": 1})"); }).sqlstate() == "WF001");
  CHECK(client.steps("a").empty());
}

TEST_CASE("recorded steps are listed") {
  auto uri = server().create_system_database("client_steps");
  Executor executor(uri);
  executor.open();
  REQUIRE(executor.trip(flush_of({new_run("w", uuid())}, {step(0, 0, "1"), step(0, 1, "2")})).error == TripError::none);
  auto steps = ClientStore(options(uri)).steps("w");
  REQUIRE(steps.size() == 2);
  CHECK(steps[1].function_id == 1);
  CHECK(steps[1].name == "charge");
  CHECK(steps[1].output == std::optional<std::string>("2"));
  CHECK_FALSE(steps[1].error.has_value());
  CHECK(steps[1].completed_at >= steps[1].started_at);
}

TEST_CASE("all of an enqueue or none of it: bad items name what is wrong") {
  auto uri = server().create_system_database("client_bad");
  ClientStore client(options(uri));
  CHECK(has(thrown<dbos::UsageError>([&] { client.enqueue({queued("ok"), queued(std::string(100000, 'x'))}); }).what(), "At most 512 bytes"));
  CHECK(has(thrown<dbos::UsageError>([&] { client.enqueue({queued("ok"), queued(std::string("a\0b", 3))}); }).what(), "NUL byte at offset 1"));
  CHECK(has(thrown<dbos::UsageError>([&] { client.enqueue({queued("ok"), queued("\xFF")}); }).what(), "not UTF-8"));
  CHECK(thrown<dbos::UsageError>([&] { client.enqueue({queued("ok"), queued(" ")}); }).sqlstate() == "WF001");
  CHECK(thrown<dbos::UsageError>([&] { client.enqueue({queued("ok"), queued("p", R"(, "priority": -1)")}); }).sqlstate() == "WF001");
  CHECK(thrown<dbos::UsageError>([&] { client.enqueue({queued("ok"), queued("j", "nonsense")}); }).sqlstate() == "22P02");
  auto bad_inputs = queued("i");
  bad_inputs.inputs = R"(["not the envelope"])";
  CHECK(thrown<dbos::UsageError>([&] { client.enqueue({queued("ok"), bad_inputs}); }).sqlstate() == "WF001");
  CHECK(query(uri, "SELECT count(*) FROM dbos.workflow_status") == "0");
  CHECK_THROWS_AS(client.status(std::string("\0", 1)), dbos::UsageError);
  CHECK_THROWS_AS(client.status(""), dbos::UsageError);
  CHECK_THROWS_AS(client.send("w", "", "not json", ""), dbos::UsageError);
}

TEST_CASE("a wait ends with the workflow, with and without notifications") {
  auto uri = server().create_system_database("client_wait");
  for (bool listen : {true, false}) {
    CAPTURE(listen);
    ClientStore client(options(uri, listen));
    std::string id = listen ? "heard" : "polled";
    client.enqueue({queued(id)});
    std::optional<WorkflowOutcome> outcome;
    std::thread waiter([&] { outcome = client.wait_outcome(id, 20s, true); });
    complete(uri, id, R"("fine")");
    waiter.join();
    REQUIRE(outcome.has_value());
    CHECK(outcome->id == id);
    CHECK(outcome->status == "SUCCESS");
    CHECK(outcome->output == std::optional<std::string>(R"("fine")"));
    CHECK(outcome->serialization == "portable_json");
    CHECK(client.wait_outcome(id, std::nullopt, true)->status == "SUCCESS");
  }
}

TEST_CASE("a wait for nothing ends with its timeout, or tells that there is nothing") {
  auto uri = server().create_system_database("client_nothing");
  ClientStore client(options(uri));
  client.enqueue({queued("w")});
  auto started = std::chrono::steady_clock::now();
  CHECK_FALSE(client.wait_outcome("w", 50ms, true).has_value());
  CHECK_FALSE(client.wait_outcome("nowhere", 50ms, false).has_value());
  CHECK(std::chrono::steady_clock::now() - started >= 100ms);
  auto missing = thrown<dbos::NotFound>([&] { client.wait_outcome("nowhere", std::nullopt, true); });
  CHECK(missing.workflow_id() == "nowhere");
  CHECK_FALSE(client.get_event("w", "key", 50ms).has_value());
  CHECK_THROWS_AS(client.wait_outcome("\xFF", 50ms, true), dbos::UsageError);
}

TEST_CASE("many threads wait at once on a few connections") {
  auto uri = server().create_system_database("client_many");
  ClientStore client(options(uri));
  constexpr int kThreads = 40;
  std::vector<RunItem> runs;
  for (int i = 0; i < kThreads; ++i) runs.push_back(queued("w" + std::to_string(i)));
  client.enqueue(runs);
  std::vector<std::optional<WorkflowOutcome>> outcomes(kThreads);
  std::vector<std::thread> threads;
  for (int i = 0; i < kThreads; ++i)
    threads.emplace_back([&, i] { outcomes[static_cast<std::size_t>(i)] = client.wait_outcome("w" + std::to_string(i), 20s, true); });
  query(uri, "SELECT dbos_sys.cancel(ARRAY(SELECT workflow_uuid FROM dbos.workflow_status))");
  for (auto& thread : threads) thread.join();
  for (const auto& outcome : outcomes) CHECK((outcome && outcome->status == "CANCELLED"));
  CHECK(std::stoi(query(uri, "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'dbos_sys client' AND datname = 'client_many'")) <= 5);
}

TEST_CASE("waits outlast a restart of the server") {
  Server restarted("client_restart");
  auto uri = restarted.create_system_database("client_restart");
  ClientStore client(options(uri));
  client.enqueue({queued("w")});
  std::optional<WorkflowOutcome> outcome;
  std::thread waiter([&] { outcome = client.wait_outcome("w", 30s, true); });
  await(uri, "SELECT count(*) > 0 FROM pg_stat_activity WHERE application_name = 'dbos_sys client' AND query = 'COMMIT'");
  restarted.cluster("restart");
  // The pooled connections are dead too: reading notices that and makes new ones.
  CHECK(client.status("w").has_value());
  query(uri, "SELECT dbos_sys.cancel(ARRAY['w'])");
  waiter.join();
  REQUIRE(outcome.has_value());
  CHECK(outcome->status == "CANCELLED");
}

TEST_CASE("events are waited for") {
  auto uri = server().create_system_database("client_event");
  Executor executor(uri);
  executor.open();
  auto token = uuid();
  REQUIRE(executor.trip(flush_of({new_run("w", token)})).error == TripError::none);
  ClientStore client(options(uri));
  std::optional<std::string> value;
  std::thread waiter([&] { value = client.get_event("w", "progress", 20s); });
  RunItem run{.id = "w", .token = token};
  REQUIRE(executor.trip(flush_of({run}, {}, {{0, 0, "set_event", R"({"key": "progress", "value": "50"})"}})).error == TripError::none);
  waiter.join();
  CHECK(value == std::optional<std::string>("50"));
  CHECK(client.get_event("w", "progress", 0ms) == std::optional<std::string>("50"));
}

TEST_CASE("messages arrive in the order of sending, once per key") {
  auto uri = server().create_system_database("client_send");
  Executor executor(uri);
  executor.open();
  auto token = uuid();
  REQUIRE(executor.trip(flush_of({new_run("w", token)})).error == TripError::none);
  ClientStore client(options(uri));
  for (int i = 0; i < 20; ++i) client.send("w", "", std::to_string(i), "");
  client.send("w", "topic", R"("x")", "key");
  client.send("w", "topic", R"("x")", "key");
  std::vector<OpItem> receives;
  for (int i = 0; i < 21; ++i) receives.push_back({0, i, "recv", R"({"topic": null, "final": false})"});
  receives.push_back({0, 21, "recv", R"({"topic": "topic", "final": false})"});
  receives.push_back({0, 22, "recv", R"({"topic": "topic", "final": false})"});
  auto reply = executor.trip(flush_of({{.id = "w", .token = token}}, {}, receives));
  REQUIRE(reply.error == TripError::none);
  for (int i = 0; i < 20; ++i) CHECK(reply.ops[static_cast<std::size_t>(i)].value == std::optional<std::string>(std::to_string(i)));
  CHECK(reply.ops[20].state == OpState::wait);
  CHECK(reply.ops[21].value == std::optional<std::string>(R"("x")"));
  CHECK(reply.ops[22].state == OpState::wait);
  auto missing = thrown<dbos::NotFound>([&] { client.send("nobody", "", "1", ""); });
  CHECK(missing.sqlstate() == "WF032");
  CHECK(missing.workflow_id() == "nobody");
}

TEST_CASE("control calls say how many changed, and errors are leaves with the id") {
  auto uri = server().create_system_database("client_control");
  ClientStore client(options(uri));
  client.enqueue({queued("a"), queued("b"), queued("c")});
  CHECK(client.cancel({"a", "b"}, false) == 2);
  CHECK(client.cancel({"a"}, true) == 0);
  CHECK(client.resume({"a"}, "orders") == 1);
  CHECK(client.status("a")->status == dbos::Status::enqueued);
  auto missing = thrown<dbos::NotFound>([&] { client.resume({"nowhere"}, ""); });
  CHECK(missing.sqlstate() == "WF010");
  CHECK(missing.workflow_id() == "nowhere");
  complete(uri, "c", "1");
  CHECK(thrown<dbos::Conflict>([&] { client.resume({"c"}, ""); }).sqlstate() == "WF013");
}

TEST_CASE("queues are registered with their limits, again without harm") {
  auto uri = server().create_system_database("client_queue");
  ClientStore client(options(uri));
  for (int i = 0; i < 2; ++i) client.register_queue("orders", {.worker_concurrency = 2, .concurrency = 5, .rate = {100, 1500ms}});
  CHECK(query(uri,
              "SELECT concat_ws('|', worker_concurrency, concurrency, rate_limit_max, rate_limit_period_sec, application_name) FROM dbos.queues") ==
        "2|5|100|1.5|shop");
  client.register_queue("orders", {});
  CHECK(query(uri, "SELECT concurrency IS NULL AND rate_limit_max IS NULL FROM dbos.queues") == "t");
  CHECK(thrown<dbos::UsageError>([&] { client.register_queue("orders", {.concurrency = -1}); }).sqlstate() == "WF001");
  CHECK(thrown<dbos::UsageError>([&] { client.register_queue("orders", {.rate = {1, -1ms}}); }).sqlstate() == "WF001");
}

TEST_CASE("an enqueue whose reply is lost is made exactly once") {
  auto uri = server().create_system_database("client_doubt");
  Proxy proxy(socket_path());
  ClientStore client(options(through(proxy, "client_doubt")));
  client.enqueue({queued("warm-up")});
  proxy.set(Proxy::Mode::swallow_reply);
  std::vector<RunReply> replies;
  std::thread caller([&] { replies = client.enqueue({queued("w")}); });
  await(uri, "SELECT count(*) = 2 FROM dbos.workflow_status");
  while (proxy.cut() == 0) std::this_thread::yield();
  proxy.set(Proxy::Mode::forward);
  caller.join();
  REQUIRE(replies.size() == 1);
  CHECK(replies[0].state == RunState::done);
  CHECK(query(uri, "SELECT count(*) FROM dbos.workflow_status") == "2");
}

TEST_CASE("a cancel whose reply is lost is in doubt") {
  auto uri = server().create_system_database("client_cancel");
  Proxy proxy(socket_path());
  ClientStore client(options(through(proxy, "client_cancel")));
  client.enqueue({queued("w")});
  proxy.set(Proxy::Mode::swallow_reply);
  auto error = thrown<dbos::InDoubt>([&] { client.cancel({"w"}, false); });
  CHECK(error.workflow_id() == "w");
  CHECK(error.hint() == "repeat the call");
}

TEST_CASE("a server that falls silent costs a call its reply timeout, and is used again when it speaks") {
  auto uri = server().create_system_database("client_silence");
  Proxy proxy(socket_path());
  auto given = options(through(proxy, "client_silence"));
  given.reply_timeout = 300ms;
  ClientStore client(given);
  client.enqueue({queued("w"), queued("doubtful")});
  CHECK_FALSE(client.wait_outcome("w", 10ms, true).has_value());
  proxy.set(Proxy::Mode::silent);
  auto error = thrown<dbos::InDoubt>([&] { client.cancel({"doubtful"}, false); });
  CHECK(has(error.what(), "no reply from 127.0.0.1 port " + std::to_string(proxy.port()) + " within 300 ms"));
  CHECK_THROWS_AS(client.status("w"), dbos::ConnectionError);
  CHECK_THROWS_AS(client.enqueue({queued("v")}), dbos::ConnectionError);
  proxy.set(Proxy::Mode::forward);
  CHECK(client.status("w")->status == dbos::Status::enqueued);
  CHECK_FALSE(client.wait_outcome("w", 10ms, true).has_value());
  given.reply_timeout = -1ms;
  CHECK_THROWS_AS(ClientStore{given}, dbos::UsageError);
}

TEST_CASE("databases that do not fit are refused with the remedy") {
  auto bare = server().create_database("client_bare");
  CHECK(thrown<dbos::ConnectionError>([&] { ClientStore(options(bare)).check_version(); }).sqlstate() == "WF002");
  auto error = thrown<dbos::ConnectionError>([&] { ClientStore(options(bare)).enqueue({queued("w")}); });
  CHECK(has(error.what(), "no dbos_sys database"));
  CHECK(error.hint().starts_with("CREATE EXTENSION dbos_sys; SELECT dbos_sys.install();"));
  server().make_functions(bare);
  ClientStore client(options(bare));
  CHECK(has(thrown<dbos::ConnectionError>([&] { client.check_version(); }).what(), "but not its tables"));
  CHECK(client.install() == "created");
  CHECK(client.install() == "already");
  client.check_version();
  CHECK(thrown<dbos::ConnectionError>([&] { ClientStore(options(server().uri("client_nowhere"))).status("w"); }).sqlstate() == "3D000");
  CHECK(
      has(thrown<dbos::ConnectionError>([&] { ClientStore(options("host=127.0.0.1 port=1 dbname=x")).wait_outcome("w", std::nullopt, true); }).what(),
          "refused"));
}
