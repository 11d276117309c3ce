// PgStore against the real extension: what trips do and how they are answered.
#include <algorithm>

#include "store/pg_session.hpp"
#include "store_fixture.hpp"

using namespace dbos;
using namespace dbos::testing;

TEST_CASE("open() without the extension says what to execute") {
  Executor executor(server().create_database("store_bare"));
  auto error = open_error<ConnectionError>(executor);
  CHECK(error.sqlstate() == "WF002");
  CHECK(std::string(error.what()) == "extension dbos_sys is not installed in database \"store_bare\"");
  CHECK(error.hint().starts_with("CREATE EXTENSION dbos_sys; SELECT dbos_sys.install();"));
}

TEST_CASE("open() creates the tables when it may, and says what is missing when not") {
  auto uri = server().create_database("store_empty");
  server().make_functions(uri);
  Executor checking(uri);
  auto error = open_error<ConnectionError>(checking);
  CHECK(error.sqlstate() == "WF002");
  CHECK(has(error.what(), "but not its tables"));
  CHECK(error.hint() == "SELECT dbos_sys.install();");
  CHECK(query(uri, "SELECT to_regclass('dbos.workflow_status') IS NULL") == "t");
  Executor migrating(uri);
  migrating.open(true);
  CHECK(query(uri, "SELECT count(*) FROM dbos_ops.executors") == "1");
  Executor again(uri);
  again.who = identity("two");
  again.open(false);
  CHECK(query(uri, "SELECT count(*) FROM dbos_ops.executors") == "2");
}

TEST_CASE("versions fit within a minor release before 1.0, within a major one after") {
  CHECK(compare_versions("0.1.0", "0.1.0") == VersionFit::fits);
  CHECK(compare_versions("0.1.5", "0.1.0") == VersionFit::fits);
  CHECK(compare_versions("0.1.0", "0.1.5") == VersionFit::older);
  CHECK(compare_versions("0.2.0", "0.1.0") == VersionFit::newer);
  CHECK(compare_versions("1.3.0", "1.2.9") == VersionFit::fits);
  CHECK(compare_versions("1.2.0", "1.3.0") == VersionFit::older);
  CHECK(compare_versions("2.0.0", "1.9.0") == VersionFit::newer);
}

TEST_CASE("an extension of another version is refused with both versions") {
  auto uri = server().create_system_database("store_version");
  auto pretend = [&](const std::string& version) {
    query(uri, "CREATE OR REPLACE FUNCTION dbos_sys.version() RETURNS text LANGUAGE sql AS $$ SELECT '" + version + "' $$");
  };
  pretend("0.0.9");
  Executor older(uri);
  auto error = open_error<Error>(older);
  CHECK(error.sqlstate() == "WF004");
  CHECK(has(error.what(), "is version 0.0.9, older than this client"));
  CHECK(has(error.hint(), "ALTER EXTENSION dbos_sys UPDATE"));
  pretend("9.0.0");
  Executor newer(uri);
  CHECK(open_error<Error>(newer).sqlstate() == "WF004");
}

TEST_CASE("open() refuses a live twin and reports the server's words") {
  auto uri = server().create_system_database("store_twin");
  Executor first(uri), twin(uri);
  first.open();
  auto error = open_error<Error>(twin);
  CHECK(error.sqlstate() == "WF020");
  CHECK(has(error.what(), "one"));
}

TEST_CASE("a run is started, checkpointed and completed, and claims come back with what a replay needs") {
  auto uri = server().create_system_database("store_life");
  Executor executor(uri);
  executor.open();
  auto token = uuid();
  auto reply = executor.trip(
      flush_of({new_run("direct", token), new_run("queued", uuid(), R"({"queue": "orders", "partition_key": "tenant", "timeout_ms": 60000})")},
               {step(0, 0, R"("one")"), step(0, 1, R"("two")")}));
  REQUIRE(reply.error == TripError::none);
  REQUIRE(reply.runs.size() == 2);
  CHECK(reply.runs[0].state == RunState::done);
  CHECK(reply.runs[1].state == RunState::done);
  CHECK(std::abs(reply.server_now_ms - now_ms()) < 60000);
  CHECK(status_of(uri, "direct") == "PENDING");
  CHECK(status_of(uri, "queued") == "ENQUEUED");

  Trip reading;
  reading.load = {{"direct", token}};
  reading.held = true;
  reading.heartbeat = true;
  reading.outcomes = {"direct", "nowhere"};
  reading.claim = ClaimRequest{.token = uuid(), .queues = {{"orders", 10}, {"idle", 0}}, .filter = filter()};
  auto claim_token = reading.claim->token;
  reply = executor.trip(reading);
  REQUIRE(reply.error == TripError::none);
  CHECK_FALSE(reply.ended);
  REQUIRE(reply.loaded.size() == 1);
  const auto& loaded = reply.loaded[0];
  CHECK(loaded.id == "direct");
  CHECK(loaded.token == token);
  CHECK(loaded.name == "checkout");
  CHECK(loaded.inputs == std::optional<std::string>(R"({"positionalArgs":["a"]})"));
  CHECK(loaded.serialization == "portable_json");
  CHECK(loaded.attempts == 1);
  REQUIRE(loaded.steps.size() == 2);
  CHECK(loaded.steps[1].function_id == 1);
  CHECK(loaded.steps[1].name == "charge");
  CHECK(loaded.steps[1].output == std::optional<std::string>(R"("two")"));
  CHECK_FALSE(loaded.steps[1].error.has_value());
  REQUIRE(reply.claimed.size() == 1);
  CHECK(reply.claimed[0].id == "queued");
  CHECK(reply.claimed[0].token == claim_token);
  CHECK(reply.claimed[0].queue == "orders");
  CHECK(reply.claimed[0].partition == "tenant");
  CHECK(reply.claimed[0].timeout_ms == 60000);
  CHECK(reply.claimed[0].deadline_ms > now_ms());
  CHECK(reply.claimed[0].steps.empty());
  REQUIRE(reply.outcomes.size() == 1);
  CHECK(reply.outcomes[0].id == "nowhere");
  CHECK(reply.outcomes[0].status.empty());
  REQUIRE(reply.held.size() == 1);
  CHECK(reply.held[0].token == token);

  RunItem done{.id = "direct", .token = token, .status = FinalStatus::success, .output = R"("paid")"};
  RunItem failed{.id = "queued", .token = claim_token, .status = FinalStatus::error, .error = R"({"name":"E","message":"m"})"};
  reply = executor.trip(flush_of({done, failed}, {step(0, 2, "null")}));
  REQUIRE(reply.error == TripError::none);
  CHECK(status_of(uri, "direct") == "SUCCESS");
  CHECK(status_of(uri, "queued") == "ERROR");
  Trip outcomes;
  outcomes.outcomes = {"queued", "direct"};
  reply = executor.trip(outcomes);
  REQUIRE(reply.outcomes.size() == 2);
  CHECK(reply.outcomes[0].error == std::optional<std::string>(R"({"name":"E","message":"m"})"));
  CHECK(reply.outcomes[1].output == std::optional<std::string>(R"("paid")"));
  CHECK(reply.outcomes[1].serialization == "portable_json");
}

TEST_CASE("operations answer with state, value and format") {
  auto uri = server().create_system_database("store_ops");
  Executor executor(uri);
  executor.open();
  auto token = uuid();
  REQUIRE(executor.trip(flush_of({new_run("talk", token)})).error == TripError::none);
  RunItem run{.id = "talk", .token = token};
  auto before = now_ms();
  auto reply = executor.trip(flush_of({run}, {},
                                      {{0, 0, "sleep", R"({"ms": 5000})"},
                                       {0, 1, "send", R"({"destination": "talk", "topic": null, "message": "\"a\\u0000b\"", "key": null})"},
                                       {0, 2, "recv", R"({"topic": null, "final": false})"},
                                       {0, 3, "recv", R"({"topic": "other", "final": false})"},
                                       {0, 3, "recv", R"({"topic": "other", "final": true})"},
                                       {0, 4, "send", R"({"destination": "nobody", "topic": null, "message": "1", "key": null})"},
                                       {0, 5, "check", ""}}));
  REQUIRE(reply.error == TripError::none);
  REQUIRE(reply.ops.size() == 7);
  CHECK(reply.ops[0].state == OpState::ok);
  CHECK(std::stoll(reply.ops[0].value.value()) >= before + 4000);
  CHECK(reply.ops[2].value == std::optional<std::string>(R"("a\u0000b")"));
  CHECK(reply.ops[2].serialization == "portable_json");
  CHECK(reply.ops[3].state == OpState::wait);
  CHECK(reply.ops[4].state == OpState::none);
  CHECK(reply.ops[5].state == OpState::error);
  CHECK(has(reply.ops[5].value.value(), "NonExistentWorkflow"));
}

TEST_CASE("starts that meet another's id are answered one by one") {
  auto uri = server().create_system_database("store_ids");
  Executor executor(uri);
  executor.open();
  std::string held = R"({"queue": "orders", "deduplication_id": "d"})";
  REQUIRE(executor.trip(flush_of({new_run("taken", uuid()), new_run("holder", uuid(), held)})).error == TripError::none);
  auto other = new_run("taken", uuid());
  other.name = "ship";
  auto same = executor.trip(flush_of({new_run("taken", uuid()), new_run("fresh", uuid())}));
  REQUIRE(same.error == TripError::none);
  CHECK(same.runs[0].state == RunState::exists);
  CHECK(same.runs[0].value == "PENDING");
  CHECK(same.runs[1].state == RunState::done);
  auto reply =
      executor.trip(flush_of({other, new_run("late", uuid(), held),
                              new_run("later", uuid(), R"({"queue": "orders", "deduplication_id": "d", "on_duplicate": "return_existing"})")}));
  REQUIRE(reply.error == TripError::none);
  CHECK(reply.runs[0].state == RunState::conflict);
  CHECK(reply.runs[0].value == "checkout");
  CHECK(reply.runs[1].state == RunState::deduplicated);
  CHECK(reply.runs[1].value == "holder");
  CHECK(reply.runs[2].state == RunState::exists);
  CHECK(reply.runs[2].holder == "holder");
}

TEST_CASE("a run that was cancelled elsewhere is reported lost with its outcome, and the others are done") {
  auto uri = server().create_system_database("store_lost");
  Executor executor(uri);
  executor.open();
  auto a = uuid(), b = uuid();
  REQUIRE(executor.trip(flush_of({new_run("a", a), new_run("b", b)})).error == TripError::none);
  query(uri, "SELECT dbos_sys.cancel(ARRAY['a'])");
  auto reply =
      executor.trip(flush_of({{.id = "a", .token = a}, {.id = "b", .token = b}, {.id = "b", .token = uuid()}}, {step(0, 0, "1"), step(1, 0, "1")}));
  REQUIRE(reply.error == TripError::none);
  CHECK(reply.runs[0].state == RunState::lost);
  REQUIRE(reply.runs[0].outcome.has_value());
  CHECK(reply.runs[0].outcome->status == "CANCELLED");
  CHECK(reply.runs[1].state == RunState::done);
  CHECK(reply.runs[2].state == RunState::lost);
  CHECK_FALSE(reply.runs[2].outcome.has_value());
  CHECK(query(uri, "SELECT string_agg(workflow_uuid, ',') FROM dbos.operation_outputs") == "b");
}

TEST_CASE("texts that cannot be sent are refused before sending, with the workflow named") {
  auto uri = server().create_system_database("store_texts");
  Executor executor(uri);
  executor.open();
  auto refused = [&](Trip trip) {
    auto reply = executor.trip(std::move(trip));
    CHECK(reply.error == TripError::permanent);
    CHECK(reply.sqlstate == "22021");
    return reply.message;
  };
  CHECK(has(refused(flush_of({new_run(std::string("a\0b", 3), uuid())})), "the id of a workflow contains a NUL byte at offset 1"));
  CHECK(has(refused(flush_of({new_run("ok", uuid())}, {step(0, 0, "\"\xFF\"")})), "a step's result of workflow ok is not UTF-8 at offset 1"));
  auto failing = new_run("ok", uuid());
  failing.status = FinalStatus::error;
  failing.error = std::string("\0", 1);
  CHECK(has(refused(flush_of({new_run("fine", uuid()), failing})), "the error of workflow ok contains a NUL"));
  Trip outcomes;
  outcomes.outcomes = {"\xC0\xAF"};
  CHECK(has(refused(outcomes), "is not UTF-8"));
  CHECK(query(uri, "SELECT count(*) FROM dbos.workflow_status") == "0");
  CHECK(executor.trip(flush_of({new_run("after", uuid())})).error == TripError::none);
}

TEST_CASE("an id of 100 kB is refused by the server in its own words, and the lane goes on") {
  auto uri = server().create_system_database("store_long");
  Executor executor(uri);
  executor.open();
  auto reply = executor.trip(flush_of({new_run("fine", uuid()), new_run(std::string(100000, 'x'), uuid())}));
  CHECK(reply.error == TripError::permanent);
  CHECK(reply.sqlstate == "WF001");
  CHECK(has(reply.message, "100000 bytes"));
  CHECK(has(reply.message, "At most 512 bytes"));
  CHECK(query(uri, "SELECT count(*) FROM dbos.workflow_status") == "0");
  CHECK(executor.trip(flush_of({new_run("fine", uuid())})).error == TripError::none);
}

TEST_CASE("SQL in texts is text") {
  auto uri = server().create_system_database("store_quotes");
  Executor executor(uri);
  executor.open();
  std::vector<RunItem> runs;
  for (const char* id : {"'; DROP TABLE dbos.workflow_status; --", "$$ $1 \\", "%s %I {}", "E'\\''", "{a,\"b\"}", "Ünïcode 🍵 \u202E", " leading"})
    runs.push_back(new_run(id, uuid()));
  auto ids = runs;
  REQUIRE(executor.trip(flush_of(runs)).error == TripError::none);
  Trip held;
  held.held = true;
  auto reply = executor.trip(held);
  CHECK(reply.held.size() == ids.size());
  for (const auto& run : ids)
    CHECK(std::any_of(reply.held.begin(), reply.held.end(), [&](const auto& key) { return key.id == run.id && key.token == run.token; }));
}

TEST_CASE("payloads that are empty, JSON null and large come back byte by byte") {
  auto uri = server().create_system_database("store_payloads");
  Executor executor(uri);
  executor.open();
  auto token = uuid();
  std::string large = "\"" + std::string(8 << 20, 'p') + "\"";
  StepItem nothing = step(0, 3, "");
  nothing.output.reset();
  REQUIRE(executor.trip(flush_of({new_run("w", token)}, {step(0, 0, ""), step(0, 1, "null"), step(0, 2, large), nothing})).error == TripError::none);
  Trip load;
  load.load = {{"w", token}};
  auto reply = executor.trip(load);
  REQUIRE(reply.loaded.size() == 1);
  const auto& steps = reply.loaded[0].steps;
  REQUIRE(steps.size() == 4);
  CHECK(steps[0].output == std::optional<std::string>(""));
  CHECK(steps[1].output == std::optional<std::string>("null"));
  CHECK(steps[2].output == std::optional<std::string>(large));
  CHECK_FALSE(steps[3].output.has_value());
}

TEST_CASE("errors that another try may pass are transient, others permanent; both leave nothing behind and the lane usable") {
  auto uri = server().create_system_database("store_errors");
  query(uri,
        "CREATE TABLE public.fault (code text); INSERT INTO public.fault VALUES ('40001');"
        "CREATE FUNCTION public.fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION USING ERRCODE = (SELECT code FROM public.fault), "
        "MESSAGE = 'made to fail', DETAIL = 'why', HINT = 'what to do'; END $$;"
        "CREATE TRIGGER fail BEFORE INSERT ON dbos.operation_outputs FOR EACH ROW EXECUTE FUNCTION public.fail()");
  Executor executor(uri);
  executor.open();
  for (auto [code, expected] : {std::pair{"40001", TripError::transient},
                                {"23505", TripError::transient},
                                {"57014", TripError::transient},
                                {"53100", TripError::transient},
                                {"P0001", TripError::permanent},
                                {"22P05", TripError::permanent},
                                {"42501", TripError::permanent}}) {
    CAPTURE(code);
    query(uri, std::string("UPDATE public.fault SET code = '") + code + "'");
    auto reply = executor.trip(flush_of({new_run("w", uuid())}, {step(0, 0, "1")}));
    CHECK(reply.error == expected);
    CHECK(reply.sqlstate == code);
    CHECK(reply.message == "made to fail (why)");
    CHECK(reply.hint == "what to do");
    CHECK(reply.runs.empty());
    CHECK_FALSE(reply.claim_refused);
  }
  CHECK(query(uri, "SELECT count(*) FROM dbos.workflow_status") == "0");
  CHECK(executor.trip(flush_of({new_run("w", uuid())})).error == TripError::none);
}

TEST_CASE("a claim that is refused says so, and its trip has written nothing") {
  auto uri = server().create_system_database("store_claim");
  Executor executor(uri);
  executor.open();
  query(uri,
        "CREATE FUNCTION public.fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no claim today'; END $$;"
        "CREATE TRIGGER fail BEFORE UPDATE ON dbos.workflow_status FOR EACH ROW EXECUTE FUNCTION public.fail()");
  auto trip = flush_of({new_run("w", uuid(), R"({"queue": "orders"})")});
  trip.claim = ClaimRequest{.token = uuid(), .queues = {{"orders", 5}}, .filter = filter()};
  auto reply = executor.trip(trip);
  CHECK(reply.error == TripError::permanent);
  CHECK(reply.sqlstate == "P0001");
  CHECK(reply.message == "no claim today");
  CHECK(reply.claim_refused);
  CHECK(query(uri, "SELECT count(*) FROM dbos.workflow_status") == "0");
}

TEST_CASE("a claim tells when to look again at its queues, and begins where it is told") {
  auto uri = server().create_system_database("store_places");
  Executor executor(uri);
  executor.open();
  query(uri, R"(SELECT dbos_sys.register_queue('rated', '{"rate_limit_max": 1, "rate_limit_period_sec": 60}'))");
  query(uri, R"(SELECT dbos_sys.register_queue('narrow', '{"concurrency": 1}'))");
  std::vector<RunItem> runs;
  for (const char* queue : {"rated", "narrow", "places"}) {
    for (int n = 0; n < 3; ++n)
      runs.push_back(
          new_run(queue + std::to_string(n), uuid(), R"({"queue": ")" + std::string(queue) + R"(", "priority": )" + std::to_string(n) + "}"));
  }
  REQUIRE(executor.trip(flush_of(runs)).error == TripError::none);
  Trip trip;
  trip.claim = ClaimRequest{.token = uuid(), .queues = {{"rated", 5}, {"narrow", 5}, {"places", 1, QueuePlace{1, 0}}}, .filter = filter()};
  auto reply = executor.trip(trip);
  REQUIRE(reply.claimed.size() == 3);
  REQUIRE(reply.queues.size() == 3);
  const auto report = [&](const std::string& queue) {
    return *std::find_if(reply.queues.begin(), reply.queues.end(), [&](const auto& entry) { return entry.queue == queue; });
  };
  CHECK(report("narrow").waits);
  CHECK_FALSE(report("narrow").retry_after);
  CHECK_FALSE(report("rated").waits);
  REQUIRE(report("rated").retry_after);
  CHECK(*report("rated").retry_after > 50s);
  CHECK(*report("rated").retry_after <= 60s);
  REQUIRE(report("places").last);
  CHECK(report("places").last->priority == 1);
  CHECK(std::abs(report("places").last->created_ms - now_ms()) < 60000);
  CHECK(std::any_of(reply.claimed.begin(), reply.claimed.end(), [](const auto& run) { return run.id == "places1"; }));
}

TEST_CASE("an incarnation that has ended learns it from its heartbeat and from any start") {
  auto uri = server().create_system_database("store_ended");
  Executor executor(uri);
  executor.open();
  query(uri, "UPDATE dbos_ops.executors SET ended_at = 1, ended_why = 'test'");
  Trip heartbeat;
  heartbeat.heartbeat = true;
  auto reply = executor.trip(heartbeat);
  CHECK(reply.error == TripError::none);
  CHECK(reply.ended);
  reply = executor.trip(flush_of({new_run("w", uuid())}));
  CHECK(reply.error == TripError::permanent);
  CHECK(reply.sqlstate == "WF021");
  CHECK(reply.ended);
}

TEST_CASE("steps that call other services are noted, and what an operator said of them stays") {
  auto uri = server().create_system_database("store_outbound");
  Executor executor(uri);
  executor.open();
  query(uri, "SELECT dbos_sys.classify_step('own', outbound => false)");
  Trip trip;
  trip.heartbeat = true;
  trip.outbound = {{"charge", "stripe"}, {"mail", ""}, {"own", ""}};
  REQUIRE(executor.trip(trip).error == TripError::none);
  CHECK(query(uri, "SELECT string_agg(concat_ws(' ', pattern, outbound, limit_name), ', ' ORDER BY pattern) FROM dbos_ops.step_classes") ==
        "charge t stripe, mail t, own f");
}

TEST_CASE("runs are given back and handed over without a counted attempt") {
  auto uri = server().create_system_database("store_back");
  Executor executor(uri);
  executor.open();
  auto a = uuid();
  REQUIRE(executor.trip(flush_of({new_run("a", a), new_run("b", uuid())})).error == TripError::none);
  Trip back;
  back.give_back = {{"a", a}};
  REQUIRE(executor.trip(back).error == TripError::none);
  CHECK(query(uri, "SELECT status || recovery_attempts FROM dbos.workflow_status WHERE workflow_uuid = 'a'") == "ENQUEUED0");
  CHECK(status_of(uri, "b") == "PENDING");
  Trip maintain;
  maintain.maintain = true;
  CHECK(executor.trip(maintain).error == TripError::none);
  Trip retire;
  retire.retire = true;
  REQUIRE(executor.trip(retire).error == TripError::none);
  CHECK(query(uri, "SELECT status || recovery_attempts FROM dbos.workflow_status WHERE workflow_uuid = 'b'") == "ENQUEUED0");
  CHECK(query(uri, "SELECT ended_at IS NOT NULL FROM dbos_ops.executors") == "t");
}

TEST_CASE("trips are read-write and READ COMMITTED whatever the DBA's defaults are, and only heartbeats commit asynchronously") {
  auto uri = server().create_system_database("store_defaults");
  query(uri,
        "CREATE TABLE public.seen (what text, isolation text, commit text);"
        "CREATE FUNCTION public.look() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO public.seen VALUES "
        "(TG_TABLE_NAME || ' ' || TG_OP, current_setting('transaction_isolation'), current_setting('synchronous_commit')); RETURN NEW; END $$;"
        "CREATE TRIGGER look AFTER INSERT OR UPDATE ON dbos.workflow_status FOR EACH ROW EXECUTE FUNCTION public.look();"
        "CREATE TRIGGER look AFTER UPDATE ON dbos_ops.executors FOR EACH ROW EXECUTE FUNCTION public.look();"
        "ALTER DATABASE store_defaults SET default_transaction_read_only = on; ALTER DATABASE store_defaults SET default_transaction_isolation = "
        "'serializable'");
  Executor executor(uri);
  executor.open();
  REQUIRE(executor.trip(flush_of({new_run("w", uuid(), R"({"queue": "orders"})")})).error == TripError::none);
  Trip claim, heartbeat;
  claim.claim = ClaimRequest{.token = uuid(), .queues = {{"orders", 5}}, .filter = filter()};
  REQUIRE(executor.trip(claim).claimed.size() == 1);
  heartbeat.heartbeat = true;
  REQUIRE(executor.trip(heartbeat).error == TripError::none);
  CHECK(query(uri, "SELECT string_agg(DISTINCT isolation, ',') FROM public.seen") == "read committed");
  CHECK(query(uri, "SELECT string_agg(DISTINCT commit, ',') FROM public.seen WHERE what LIKE 'workflow_status %'") == "on");
  CHECK(query(uri, "SELECT string_agg(DISTINCT commit, ',') FROM public.seen WHERE what = 'executors UPDATE'") == "off");
}

TEST_CASE("with two lanes the second goes out while the first waits") {
  auto uri = server().create_system_database("store_lanes");
  Executor executor(uri, 2);
  executor.open();
  executor.until([&] { return executor.store->free_lanes() == 2; });
  auto token = uuid();
  REQUIRE(executor.trip(flush_of({new_run("w", token)})).error == TripError::none);
  auto slow = executor.begin([] {
    Trip trip;
    trip.maintain = true;
    return trip;
  }());
  auto fast = executor.begin(flush_of({new_run("x", uuid())}));
  CHECK(executor.store->free_lanes() == 0);
  CHECK(executor.finish(fast).error == TripError::none);
  CHECK(executor.finish(slow).error == TripError::none);
  CHECK(executor.store->free_lanes() == 2);
  auto third = executor.begin(flush_of({new_run("y", uuid())}));
  auto fourth = executor.begin(flush_of({new_run("z", uuid())}));
  auto none = executor.begin(flush_of({new_run("n", uuid())}));
  CHECK(executor.finish(none).error == TripError::not_sent);
  CHECK(executor.finish(third).error == TripError::none);
  CHECK(executor.finish(fourth).error == TripError::none);
}

TEST_CASE("wake() from another thread ends a poll at once") {
  auto uri = server().create_system_database("store_wake");
  Executor executor(uri);
  executor.open();
  auto started = executor.store->now();
  std::thread other([&] { executor.store->wake(); });
  executor.store->poll(started + 10s);
  other.join();
  CHECK(executor.store->now() - started < 5s);
}

TEST_CASE("close() answers trips under way in doubt") {
  auto uri = server().create_system_database("store_close");
  Executor executor(uri);
  executor.open();
  auto reply = executor.begin(flush_of({new_run("w", uuid())}));
  executor.store->close();
  CHECK(reply->error == TripError::in_doubt);
  CHECK(executor.store->free_lanes() == 0);
}

TEST_CASE("options that make no sense are refused") {
  CHECK_THROWS_AS(make_pg_store(PgStoreOptions{.lanes = 0}), UsageError);
  CHECK_THROWS_AS(make_pg_store(PgStoreOptions{.connect_timeout = Milliseconds(-1)}), UsageError);
}
