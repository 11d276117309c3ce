// PgStore and ClientStore through PgBouncer in transaction mode: a server session per transaction, so nothing of a session may be used.
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <dbos/dbos.hpp>
#include <fstream>

#include "store/client_store.hpp"
#include "store_fixture.hpp"

using namespace dbos;
using namespace dbos::testing;

namespace {

// A private PgBouncer in front of the test's server. It refuses to run as root, as the server does.
class Pooler {
 public:
  explicit Pooler(int pool_size) {
    char folder[] = "/tmp/pooler.XXXXXX";
    if (!::mkdtemp(folder)) throw std::runtime_error("no folder for the pooler");
    folder_ = folder;
    std::ofstream(folder_ + "/ini") << "[databases]\n* = host=" << server().variable("PGHOST") << " port=" << server().variable("PGPORT")
                                    << " user=postgres\n[pgbouncer]\nlisten_addr =\nlisten_port = 6432\nunix_socket_dir = " << folder_
                                    << "\nauth_type = any\npool_mode = transaction\ndefault_pool_size = " << pool_size
                                    << "\nmax_client_conn = 100\nlogfile = " << folder_ << "/log\n";
    if (::geteuid() == 0 && std::system(("chown -R postgres: " + folder_).c_str()) != 0) throw std::runtime_error("chown failed");
    start();
  }
  ~Pooler() {
    stop(SIGTERM);
    if (std::system(("rm -rf " + folder_).c_str()) != 0) std::fprintf(stderr, "%s is left\n", folder_.c_str());
  }

  void start() {
    pid_ = ::fork();
    if (pid_ == 0) {
      std::string ini = folder_ + "/ini";
      if (::geteuid() == 0)
        ::execlp("setpriv", "setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups", "pgbouncer", "-q", ini.c_str(), nullptr);
      else ::execlp("pgbouncer", "pgbouncer", "-q", ini.c_str(), nullptr);
      ::_exit(127);
    }
    auto deadline = std::chrono::steady_clock::now() + 10s;
    while (::access((folder_ + "/.s.PGSQL.6432").c_str(), F_OK) != 0) {
      if (::waitpid(pid_, nullptr, WNOHANG) != 0 || std::chrono::steady_clock::now() > deadline) throw std::runtime_error("pgbouncer does not start");
      std::this_thread::sleep_for(2ms);
    }
  }
  void stop(int signal) {
    ::kill(pid_, signal);
    ::waitpid(pid_, nullptr, 0);
    ::unlink((folder_ + "/.s.PGSQL.6432").c_str());
  }

  std::string uri(const std::string& database) const { return "host=" + folder_ + " port=6432 user=postgres dbname=" + database; }

 private:
  std::string folder_;
  pid_t pid_ = 0;
};

// How many are inside at once.
struct Room {
  std::atomic<int> inside = 0, most = 0;
};
struct Visit {
  explicit Visit(Room& in) : room(in) {
    int now = ++room.inside;
    int seen = room.most;
    while (now > seen && !room.most.compare_exchange_weak(seen, now)) {
    }
  }
  ~Visit() { --room.inside; }
  Visit(const Visit&) = delete;
  Visit& operator=(const Visit&) = delete;
  Room& room;
};

}  // namespace

TEST_CASE("a workflow's life through a transaction pooler with fewer server sessions than lanes") {
  auto uri = server().create_system_database("pooled_life");
  Pooler pooler(2);
  Executor one(pooler.uri("pooled_life"), 4), two(pooler.uri("pooled_life"), 4);
  two.who = identity("two");
  one.open();
  two.open();
  one.until([&] { return one.store->free_lanes() == 4; });
  two.until([&] { return two.store->free_lanes() == 4; });
  std::vector<std::shared_ptr<TripReply>> replies;
  for (int i = 0; i < 40; ++i) {
    auto& executor = i % 2 ? one : two;
    executor.ready();
    auto id = "w" + std::to_string(i);
    replies.push_back(executor.begin(flush_of({new_run(id, uuid(), i % 4 == 0 ? R"({"queue": "orders"})" : "")},
                                              i % 4 == 0 ? std::vector<StepItem>{} : std::vector{step(0, 0, "1")})));
  }
  for (std::size_t i = 0; i < replies.size(); ++i) CHECK((i % 2 ? one : two).finish(replies[i]).error == TripError::none);
  Trip claim;
  claim.heartbeat = true;
  claim.claim = ClaimRequest{.token = uuid(), .queues = {{"orders", 100}}, .filter = filter()};
  CHECK(one.trip(claim).claimed.size() == 10);
  CHECK(query(uri, "SELECT count(*) FROM dbos.operation_outputs") == "30");
}

TEST_CASE("behind a pooler the lease alone says who lives: sessions that are lent come and go") {
  auto uri = server().create_system_database("pooled_alive");
  server().cluster("psql", "-d postgres -c \"ALTER SYSTEM SET dbos_sys.grace = 0\" -c \"SELECT pg_reload_conf()\"");
  Pooler pooler(1);
  Executor one(pooler.uri("pooled_alive")), two(pooler.uri("pooled_alive"), 1, true);
  one.who = identity("one"), two.who = identity("two");
  Executor direct(uri, 1, true);
  direct.who = identity("direct");
  for (auto* executor : {&one, &two, &direct}) executor->open();
  for (int i = 0; i < 5; ++i) {
    for (auto* executor : {&one, &two, &direct}) {
      Trip beat;
      beat.heartbeat = true;
      CHECK(executor->trip(beat).error == TripError::none);
      query(uri, "SELECT dbos_sys.recover_tick()");
    }
  }
  CHECK(query(uri, "SELECT string_agg(executor_id || ' ' || state || ' ' || sessions, ', ' ORDER BY executor_id) FROM dbos_sys.executors()") ==
        "direct alive true, one alive false, two alive false");
  // The server's own session is seen to end at once.
  direct.store->close();
  await(uri, "SELECT dbos_sys.recover_tick() >= 0 AND (SELECT state = 'ended' FROM dbos_sys.executors() WHERE executor_id = 'direct')");
}

TEST_CASE("neither a failed nor an asynchronous trip leaves anything in a shared session") {
  auto uri = server().create_system_database("pooled_clean");
  Pooler pooler(1);
  Executor one(pooler.uri("pooled_clean")), two(pooler.uri("pooled_clean"));
  two.who = identity("two");
  one.open();
  two.open();
  CHECK(one.trip(flush_of({new_run(std::string(1000, 'x'), uuid())})).sqlstate == "WF001");
  CHECK(two.trip(flush_of({new_run("w", uuid())})).error == TripError::none);
  Trip heartbeat;
  heartbeat.heartbeat = true;
  REQUIRE(one.trip(heartbeat).error == TripError::none);
  auto settings =
      "SELECT current_setting('synchronous_commit') || current_setting('lock_timeout') || (SELECT count(*) FROM pg_prepared_statements) || "
      "(SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()) || current_setting('transaction_isolation')";
  CHECK(query(pooler.uri("pooled_clean"), settings) == "on000read committed");
}

TEST_CASE("clients wait by polling where the pooler keeps notifications back") {
  auto uri = server().create_system_database("pooled_wait");
  Pooler pooler(2);
  ClientStore client({.database = pooler.uri("pooled_wait"), .application = "shop", .listen = false});
  client.check_version();
  client.enqueue({new_run("w", uuid(), R"({"queue": "orders"})")});
  std::optional<WorkflowOutcome> outcome;
  std::thread waiter([&] { outcome = client.wait_outcome("w", 20s, true); });
  CHECK(client.cancel({"w"}, false) == 1);
  waiter.join();
  REQUIRE(outcome.has_value());
  CHECK(outcome->status == "CANCELLED");
}

TEST_CASE("a pooler that is killed and started again costs nothing but time") {
  auto uri = server().create_system_database("pooled_kill");
  Pooler pooler(2);
  Executor executor(pooler.uri("pooled_kill"), 2);
  ClientStore client({.database = pooler.uri("pooled_kill"), .application = "shop", .listen = false});
  executor.open();
  client.enqueue({new_run("before", uuid(), R"({"queue": "orders"})")});
  auto trip = flush_of({new_run("w", uuid())}, {step(0, 0, "1")});
  auto reply = executor.begin(trip);
  pooler.stop(SIGKILL);
  auto answer = executor.finish(reply);
  pooler.start();
  if (answer.error != TripError::none) {
    CHECK(answer.error == TripError::in_doubt);
    trip.flush->careful = true;
    answer = executor.trip(trip);
  }
  CHECK(answer.error == TripError::none);
  CHECK(query(uri, "SELECT count(*) FROM dbos.operation_outputs") == "1");
  CHECK(client.enqueue({new_run("after", uuid(), R"({"queue": "orders"})")}).at(0).state == RunState::done);
}

TEST_CASE("limits of queues and of steps hold through a transaction pooler") {
  auto uri = server().create_system_database("pooled_limits");
  Pooler pooler(2);
  Room queue, step;
  std::vector<std::unique_ptr<Runtime>> runtimes;
  for (const char* executor : {"one", "two"}) {
    auto& runtime = *runtimes.emplace_back(std::make_unique<Runtime>(RuntimeOptions{.application = "shop",
                                                                                    .database = pooler.uri("pooled_limits"),
                                                                                    .executor_id = executor,
                                                                                    .version = "v1",
                                                                                    .listen = false,
                                                                                    .poll_interval = 50ms}));
    runtime.queue("narrow", {.concurrency = 3, .partition_concurrency = 2});
    runtime.limit("api", {.rate = 200, .concurrency = 2});
    runtime.workflow("job", [&](Context& ctx) {
      Visit here(queue);
      return ctx.step("call", {.limit = "api"}, [&] {
        Visit inside(step);
        std::this_thread::sleep_for(3ms);
        return 1;
      });
    });
    runtime.launch();
  }
  Client client({.database = pooler.uri("pooled_limits"), .application = "shop", .listen = false});
  std::vector<Handle<int>> handles;
  for (int i = 0; i < 24; ++i) handles.push_back(client.enqueue(Signature<int()>{"job"}, "narrow", {.partition = "key-" + std::to_string(i % 3)}));
  for (auto& handle : handles) CHECK(handle.result(30s) == 1);
  CHECK(queue.most <= 3);
  CHECK(step.most <= 2);
  CHECK(query(uri, "SELECT granted FROM dbos_sys.limits()") == "24");
}
