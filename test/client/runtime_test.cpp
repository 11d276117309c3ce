// The whole client against a server, where its parts alone prove nothing: what the database keeps, what a lost reply does.
#include <libpq-fe.h>

#include <atomic>
#include <future>
#include <mutex>

#include "dbos/dbos.hpp"
#include "store_fixture.hpp"

using namespace dbos;
using namespace dbos::testing;

namespace {

RuntimeOptions options(const std::string& uri) { return {.application = "shop", .database = uri, .version = "v1", .carriers = 2}; }

std::string column(const std::string& uri, const std::string& id, const std::string& what) {
  return query(uri, "SELECT " + what +
                        " FROM dbos.workflow_status AS w LEFT JOIN dbos.workflow_output AS o USING (workflow_uuid) WHERE w.workflow_uuid = '" + id +
                        "'");
}

void await_dead(const std::string& uri, const std::string& id) {
  await(uri, "SELECT status = 'MAX_RECOVERY_ATTEMPTS_EXCEEDED' FROM dbos.workflow_status WHERE workflow_uuid = '" + id + "'");
}

}  // namespace

TEST_CASE("an undecodable input is an ERROR at the first run; after a recovery it is a dead letter, also resumed too early, until the fix") {
  auto uri = server().create_system_database("runtime_input");
  query(uri, "SELECT dbos_sys.start('double', '[\"two\"]', 'first', 'orders'), dbos_sys.start('double', '[\"two\"]', 'later', 'orders')");
  // A run of an earlier build: claimed, and its process died.
  query(uri, "UPDATE dbos.workflow_status SET executor_id = 'before', recovery_attempts = 1 WHERE workflow_uuid = 'later'");
  {
    Runtime broken(options(uri));
    broken.workflow("double", [](Context&, int n) { return 2 * n; });
    broken.queue("orders");
    broken.launch();
    await_dead(uri, "later");
    await(uri, "SELECT status = 'ERROR' FROM dbos.workflow_status WHERE workflow_uuid = 'first'");
    CHECK(has(column(uri, "first", "o.error"), "argument 1 of 1"));
    for (int early = 0; early < 2; ++early) {
      CHECK(broken.resume("later") == 1);
      await_dead(uri, "later");
      CHECK(column(uri, "later", "recovery_attempts") == "1");
      auto error = column(uri, "later", "o.error");
      CHECK(has(error, "argument 1 of 1"));
      CHECK(has(error, "int"));
      CHECK(has(error, "application version v1"));
    }
  }
  Runtime mended(options(uri));
  mended.workflow("double", [](Context&, const std::string& text) { return text + text; });
  mended.launch();
  CHECK(mended.resume("later") == 1);
  CHECK(mended.handle<std::string>("later").result(10s) == "twotwo");
}

TEST_CASE("a message from a step body whose reply was lost is there once") {
  auto uri = server().create_system_database("runtime_send");
  query(uri, "SELECT dbos_sys.start('nobody', '[]', 'inbox', 'unserved')");
  Proxy proxy(socket_path());
  auto given = options(through(proxy, "runtime_send"));
  given.connections = 1;
  given.listen = false;
  Runtime runtime(given);
  std::promise<void> entered, open;
  auto notify = runtime.workflow("notify", [&](Context& ctx) {
    ctx.step("tell", [&] {
      entered.set_value();
      open.get_future().wait();
      ctx.send("inbox", std::string("hello"));
    });
  });
  runtime.launch();
  auto handle = notify.start();
  entered.get_future().wait();
  // The message is what the only connection carries when the reply is swallowed: it waits for this lock meanwhile.
  std::unique_ptr<PGconn, decltype(&PQfinish)> holder(PQconnectdb(uri.c_str()), &PQfinish);
  auto execute = [&](const char* sql) {
    std::unique_ptr<PGresult, decltype(&PQclear)> result(PQexec(holder.get(), sql), &PQclear);
    REQUIRE(PQresultStatus(result.get()) == PGRES_COMMAND_OK);
  };
  execute("BEGIN");
  execute("LOCK TABLE dbos.notifications IN EXCLUSIVE MODE");
  open.set_value();
  await(uri, "SELECT count(*) = 1 FROM pg_locks WHERE NOT granted AND relation = 'dbos.notifications'::regclass");
  proxy.set(Proxy::Mode::swallow_reply);
  execute("COMMIT");
  await(uri, "SELECT count(*) = 1 FROM dbos.notifications");
  while (proxy.cut() == 0) std::this_thread::yield();
  proxy.set(Proxy::Mode::forward);
  handle.result(20s);
  CHECK(query(uri, "SELECT count(*) FROM dbos.notifications") == "1");
}

TEST_CASE("result() inside a step body lends the pool a thread, whatever made the handle") {
  auto uri = server().create_system_database("runtime_lend");
  auto given = options(uri);
  given.carriers = given.max_blocking_steps = 1;
  Runtime runtime(given);
  auto quick = runtime.workflow("quick", [](Context&, int n) { return n + 1; });
  std::promise<void> entered, open;
  auto waiting = runtime.workflow("waiting", [&](Context& ctx) {
    return ctx.step("wait", [&] {
      entered.set_value();
      open.get_future().wait();
      return runtime.handle<int>("queued").result(10s) + runtime.handle<int>("direct").result(10s);
    });
  });
  runtime.queue("later");
  runtime.launch();
  auto handle = waiting.start();
  entered.get_future().wait();
  // Neither can begin: the only thread is in the body.
  quick.enqueue("later", {.id = "queued"}, 39);
  auto direct = quick.start({.id = "direct"}, 1);
  open.set_value();
  CHECK(handle.result(20s) == 42);
}

TEST_CASE("a deduplicated start names the holder") {
  auto uri = server().create_system_database("runtime_holder");
  Runtime runtime(options(uri));
  auto work = runtime.workflow("work", [](Context&) {});
  runtime.launch();
  work.enqueue("unserved", {.id = "holder", .deduplication_id = "d"});
  auto holder = [](auto&& start) {
    try {
      start();
    } catch (const Deduplicated& e) {
      return e.workflow_id();
    }
    return std::string("none");
  };
  CHECK(holder([&] { work.enqueue("unserved", {.deduplication_id = "d"}); }) == "holder");
  CHECK(holder([&] { work.post_to("unserved", {.deduplication_id = "d"}).wait_durable(); }) == "holder");
  Client client({.database = uri, .application = "shop"});
  CHECK(holder([&] { client.enqueue(work.signature(), "unserved", {.deduplication_id = "d"}); }) == "holder");
  CHECK(work.enqueue("unserved", {.deduplication_id = "d", .return_existing = true}).id() == "holder");
}

TEST_CASE("launch() warns of a queue whose bodies cannot all block at once") {
  auto uri = server().create_system_database("runtime_warn");
  std::mutex mutex;
  std::string logged;
  auto given = options(uri);
  given.max_blocking_steps = 4;
  given.log = [&](LogLevel level, std::string_view text) {
    std::lock_guard lock(mutex);
    if (level == LogLevel::warning) logged += std::string(text) + "\n";
  };
  Runtime runtime(given);
  runtime.queue("fits", {.worker_concurrency = 4});
  runtime.queue("wide", {.worker_concurrency = 5});
  runtime.launch();
  std::lock_guard lock(mutex);
  CHECK(has(logged, "queue wide: worker_concurrency 5 exceeds max_blocking_steps"));
  CHECK_FALSE(has(logged, "fits"));
}

TEST_CASE("an enqueue to a queue that nobody registered is warned of once by each process, and the queue is listed") {
  auto uri = server().create_system_database("runtime_unregistered");
  std::mutex mutex;
  std::vector<std::string> warnings;
  auto log = [&](LogLevel level, std::string_view text) {
    std::lock_guard lock(mutex);
    if (level == LogLevel::warning) warnings.emplace_back(text);
  };
  auto count = [&](const std::string& text) {
    std::lock_guard lock(mutex);
    return std::count_if(warnings.begin(), warnings.end(), [&](const auto& line) { return has(line, text); });
  };
  auto given = options(uri);
  given.log = log;
  Runtime runtime(given);
  auto work = runtime.workflow("work", [](Context&) {});
  auto parent = runtime.workflow("parent", [&](Context& ctx) { ctx.enqueue(work, "by-a-parent", {}); });
  runtime.queue("known");
  runtime.launch();
  work.enqueue("known").result(20s);
  work.enqueue("mispelt", {.id = "first"});
  work.enqueue("mispelt", {.delay = 1h});
  parent.start().result(20s);
  CHECK(count("queue mispelt is not registered") == 1);
  CHECK(count("queue by-a-parent is not registered") == 1);
  CHECK(count("not registered") == 2);

  Client client({.database = uri, .application = "shop", .log = log});
  client.enqueue(work.signature(), "mispelt", {});
  client.enqueue(work.signature(), "mispelt", {});
  client.enqueue(work.signature(), "known", {}).result(20s);
  CHECK(count("not registered") == 3);
  auto strays = client.unregistered_queues();
  REQUIRE(strays.size() == 2);
  CHECK(strays[0].name == "by-a-parent");
  CHECK(strays[1].name == "mispelt");
  CHECK(strays[1].waiting == 4);
  CHECK(strays[1].oldest == client.status("first")->created_at);
  CHECK(Client({.database = uri, .application = "other"}).unregistered_queues().empty());
}

TEST_CASE("a workflow that another client cancels has ended for its own process before its body returns, and for a parent it is cancelled") {
  auto uri = server().create_system_database("runtime_cancel");
  Runtime runtime(options(uri));
  std::promise<void> entered, open;
  std::atomic<bool> asked = false;
  auto deaf = runtime.workflow("deaf", [&](Context& ctx) {
    ctx.step("body", [&](std::stop_token stop) {
      std::stop_callback callback(stop, [&] { asked = true; });
      entered.set_value();
      open.get_future().wait();
    });
  });
  auto parent = runtime.workflow("parent", [&](Context&) {
    try {
      runtime.handle<void>("deaf").result();
    } catch (const Cancelled&) {
      return 1;
    }
    return 0;
  });
  runtime.launch();
  auto handle = deaf.start({.id = "deaf"});
  auto waiting = parent.start();
  entered.get_future().wait();
  Client client({.database = uri, .application = "shop"});
  CHECK(client.cancel("deaf") == 1);
  // The body waits for the test: only the database can end these.
  CHECK_THROWS_AS(handle.result(10s), Cancelled);
  CHECK(waiting.result(10s) == 1);
  CHECK(asked);
  open.set_value();
}

TEST_CASE("two applications of one executable have default versions of their own") {
  auto uri = server().create_system_database("runtime_versions");
  auto given = options(uri);
  given.version.clear();
  Runtime shop(given);
  given.application = "store";
  Runtime store(given);
  shop.launch();
  store.launch();
  CHECK(shop.version() != store.version());
  given.application = "shop";
  CHECK(Runtime(given).version() == shop.version());
}
