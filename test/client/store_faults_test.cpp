// PgStore when connections and servers fail: in doubt, not sent, reconnecting, notifications, standbys.
#include <cstdlib>

#include "pg/connection.hpp"
#include "store_fixture.hpp"

using namespace dbos;
using namespace dbos::testing;

TEST_CASE("a lane whose session is ended comes back by itself, under the same identity") {
  auto uri = server().create_system_database("store_cut");
  Executor executor(uri, 2);
  executor.open();
  executor.until([&] { return executor.store->free_lanes() == 2; });
  // Without a listening connection it may be behind a pooler, and no session bears its incarnation's name.
  std::string sessions = "FROM pg_stat_activity WHERE application_name = 'dbos_sys pooled' AND datname = 'store_cut'";
  CHECK(query(uri, "SELECT count(*) " + sessions) == "2");
  query(uri, "SELECT pg_terminate_backend(pid, 5000) " + sessions);
  executor.until([&] { return has(executor.logged, "trying again") && executor.store->free_lanes() == 2; });
  CHECK(query(uri, "SELECT count(*) " + sessions) == "2");
  CHECK(executor.trip(flush_of({new_run("w", uuid())})).error == TripError::none);
  CHECK(has(executor.logged, "trying again"));
  CHECK(has(executor.logged, "is back"));
}

TEST_CASE("a connection that is lost under a trip answers in doubt, and the careful form finds what was committed") {
  auto uri = server().create_system_database("store_doubt");
  Proxy proxy(socket_path());
  Executor executor(through(proxy, "store_doubt"));
  executor.open();
  executor.ready();
  auto trip = flush_of({new_run("w", uuid())}, {step(0, 0, R"("once")")});
  proxy.set(Proxy::Mode::swallow_reply);
  auto reply = executor.trip(trip);
  CHECK(reply.error == TripError::in_doubt);
  CHECK(reply.runs.empty());
  CHECK(proxy.cut() == 1);
  proxy.set(Proxy::Mode::forward);
  await(uri, "SELECT count(*) = 1 FROM dbos.operation_outputs");
  trip.flush->careful = true;
  reply = executor.trip(trip);
  REQUIRE(reply.error == TripError::none);
  CHECK(reply.runs[0].state == RunState::done);
  CHECK(query(uri, "SELECT count(*) FROM dbos.operation_outputs") == "1");
  CHECK(status_of(uri, "w") == "PENDING");
}

TEST_CASE("while the server is away nothing is sent, attempts are spaced, and it is found again") {
  auto uri = server().create_system_database("store_away");
  Proxy proxy(socket_path());
  Executor executor(through(proxy, "store_away"));
  executor.open();
  proxy.set(Proxy::Mode::refuse);
  query(uri, "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name = 'dbos_sys pooled' AND datname = 'store_away'");
  executor.until([&] { return executor.store->free_lanes() == 0; });
  auto attempts = proxy.accepted();
  auto until = executor.store->now() + 1s;
  while (executor.store->now() < until) executor.store->poll(until);
  // 100 ms, 200, 400 … with jitter: at most six in a second.
  CHECK(proxy.accepted() - attempts <= 6);
  CHECK(proxy.accepted() - attempts >= 1);
  auto reply = executor.finish(executor.begin(flush_of({new_run("w", uuid())})));
  CHECK(reply.error == TripError::not_sent);
  proxy.set(Proxy::Mode::forward);
  CHECK(executor.trip(flush_of({new_run("w", uuid())})).error == TripError::none);
}

TEST_CASE("a server that does not answer a connection attempt costs the connect timeout") {
  auto uri = server().create_system_database("store_silent");
  Proxy proxy(socket_path());
  Executor executor(through(proxy, "store_silent"), 1, false, 200ms);
  executor.open();
  query(uri, "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name = 'dbos_sys pooled' AND datname = 'store_silent'");
  proxy.set(Proxy::Mode::silent);
  executor.until([&] { return has(executor.logged, "no answer from 127.0.0.1"); });
  proxy.set(Proxy::Mode::forward);
  CHECK(executor.trip(flush_of({new_run("w", uuid())})).error == TripError::none);
}

TEST_CASE("a server that accepts and then says nothing does not hold up the opening for ever") {
  auto uri = server().create_system_database("store_silence");
  auto open = [&](Milliseconds limit) {
    auto store = make_pg_store(PgStoreOptions{.database = uri, .connect_timeout = 2000ms, .reply_timeout = limit});
    store->open(identity("quiet"), false, [](const Notification&) {});
  };
  open(5000ms);
  // The lock that registering takes is held elsewhere: the connection stands, and no reply comes.
  auto blocker = pg::Connection::connect({uri, "blocker"});
  for (const char* statement : {"BEGIN", "LOCK TABLE dbos_ops.executors"}) REQUIRE(blocker.queue(statement));
  blocker.finish_transaction();
  CHECK_THROWS_AS(open(200ms), InDoubt);
  REQUIRE(blocker.queue("ROLLBACK"));
  blocker.finish_transaction();
  open(5000ms);
}

TEST_CASE("the listener hears what others notify, again after it was cut, and ignores self-tests") {
  auto uri = server().create_system_database("store_listen");
  Executor executor(uri, 1, true);
  executor.open();
  executor.until([&] { return !executor.heard.empty(); });
  CHECK(executor.heard.front() == "|");
  executor.heard.clear();
  query(uri,
        "NOTIFY dbos_sys, 'work'; NOTIFY dbos_workflow_events_channel, 'dbos_listen_selftest'; NOTIFY other, 'x'; NOTIFY dbos_notifications_channel, "
        "'w::t'");
  executor.until([&] { return executor.heard.size() >= 2; });
  CHECK(executor.heard == std::vector<std::string>{"dbos_sys|work", "dbos_notifications_channel|w::t"});
  executor.heard.clear();
  query(uri, "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = 'store_listen' AND query ILIKE 'LISTEN%'");
  executor.until([&] { return !executor.heard.empty(); });
  CHECK(executor.heard.front() == "|");
  executor.heard.clear();
  query(uri, "NOTIFY dbos_sys, 'done'");
  executor.until([&] { return !executor.heard.empty(); });
  CHECK(executor.heard.front() == "dbos_sys|done");
}

TEST_CASE("a standby is refused, and used once it is the primary") {
  Server standby("store_standby", "--databases ''");
  auto uri = standby.create_system_database("store_standby");
  auto data = standby.variable("DATA");
  Executor running(uri);
  running.open();
  REQUIRE(running.trip(flush_of({new_run("before", uuid())})).error == TripError::none);
  standby.cluster("stop");
  REQUIRE(std::system(("touch '" + data + "/standby.signal'").c_str()) == 0);
  standby.cluster("start");
  Executor late(uri);
  late.who = identity("two");
  auto error = open_error<ConnectionError>(late);
  CHECK(has(error.what(), "hot standby"));
  running.until([&] { return has(running.logged, "hot standby"); });
  CHECK(running.store->free_lanes() == 0);
  query(uri, "SELECT pg_promote()");
  CHECK(running.trip(flush_of({new_run("after", uuid())})).error == TripError::none);
}

TEST_CASE("in a session of its own a trip's statements are prepared, and go by their text again when the server has others") {
  auto uri = server().create_system_database("store_prepared");
  Executor own(uri, 1, true), lent(uri);
  lent.who = identity("two");
  for (auto* executor : {&own, &lent}) {
    executor->open();
    REQUIRE(executor->trip(flush_of({new_run(executor->who.executor + " before", uuid())})).error == TripError::none);
  }
  // As an update of the extension may: the same columns, one of another type.
  std::string types =
      "text, text, text, text, boolean, text[], text[], boolean[], text[], text[], jsonb[], text[], text[], text[], integer[], integer[], text[], "
      "text[], text[], bigint[], bigint[], integer[], integer[], text[], jsonb[]";
  query(uri, "ALTER FUNCTION dbos_sys.flush RENAME TO flush_before");
  query(uri,
        "CREATE FUNCTION dbos_sys.flush(" + types +
            ") RETURNS TABLE (part text, idx integer, state text, value varchar, info jsonb) LANGUAGE sql AS $$ SELECT f.part, f.idx, f.state, "
            "f.value::varchar, f.info FROM dbos_sys.flush_before($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, "
            "$19, $20, $21, $22, $23, $24, $25) AS f $$");
  auto refused = own.trip(flush_of({new_run("after", uuid())}));
  CHECK(refused.error == TripError::transient);
  CHECK(refused.sqlstate == "0A000");
  CHECK(own.trip(flush_of({new_run("after", uuid())})).error == TripError::none);
  CHECK(status_of(uri, "after") == "PENDING");
  CHECK(lent.trip(flush_of({new_run("lent", uuid())})).error == TripError::none);
}
