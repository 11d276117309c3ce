// What the tests of PgStore share: an executor whose trips are awaited one at a time, and trips to send.
#pragma once

#include <doctest/doctest.h>

#include <cerrno>
#include <chrono>
#include <functional>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "dbos/error.hpp"
#include "proxy.hpp"
#include "server.hpp"
#include "store/pg_store.hpp"

namespace dbos::testing {

using namespace dbos::detail;
using namespace std::chrono_literals;

// The program's own server.
inline Server& server() {
  static Server instance(program_invocation_short_name);
  return instance;
}

inline std::string uuid() { return query(server().uri(), "SELECT gen_random_uuid()"); }

inline bool has(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

inline Identity identity(const std::string& executor = "one") { return {"shop", executor, uuid(), "v1", Milliseconds(15000)}; }

// A PgStore whose trips are awaited one at a time.
struct Executor {
  explicit Executor(const std::string& uri, int lanes = 1, bool listen = false, Milliseconds timeout = 2000ms)
      : store(make_pg_store(
            PgStoreOptions{.database = uri, .lanes = lanes, .listen = listen, .connect_timeout = timeout, .log = [this](auto, auto text) {
                             logged += std::string(text) + "\n";
                           }})) {}

  void open(bool migrate = false) {
    store->open(who, migrate, [this](const Notification& n) { heard.push_back(n.channel + "|" + n.payload); });
    ready();
  }
  // Until a lane is free.
  void ready() {
    until([this] { return store->free_lanes() > 0; });
  }
  void until(const std::function<bool()>& condition) {
    auto deadline = store->now() + 10s;
    while (!condition()) {
      if (store->now() > deadline) FAIL("nothing happened for ten seconds");
      store->poll(store->now() + 100ms);
    }
  }
  std::shared_ptr<TripReply> begin(Trip trip) {
    auto reply = std::make_shared<TripReply>();
    reply->server_now_ms = -1;
    store->send(std::make_shared<const Trip>(std::move(trip)), [reply](TripReply&& r) { *reply = std::move(r); });
    return reply;
  }
  TripReply finish(const std::shared_ptr<TripReply>& reply) {
    until([&] { return reply->server_now_ms != -1; });
    return std::move(*reply);
  }
  TripReply trip(Trip trip) {
    ready();
    return finish(begin(std::move(trip)));
  }

  Identity who = identity();
  std::string logged;
  std::vector<std::string> heard;
  std::unique_ptr<Store> store;
};

inline RunItem new_run(const std::string& id, const std::string& token, const std::string& options = {}) {
  return {.id = id, .token = token, .is_new = true, .name = "checkout", .inputs = R"({"positionalArgs":["a"]})", .options = options};
}

inline Trip flush_of(std::vector<RunItem> runs, std::vector<StepItem> steps = {}, std::vector<OpItem> ops = {}) {
  Trip trip;
  trip.flush.emplace();
  trip.flush->runs = std::move(runs);
  trip.flush->steps = std::move(steps);
  trip.flush->ops = std::move(ops);
  return trip;
}

inline std::shared_ptr<const ClaimFilter> filter() {
  auto filter = std::make_shared<ClaimFilter>();
  filter->names = {"checkout", "ship"};
  filter->classes = {"", ""};
  filter->max_attempts = {100, 100};
  return filter;
}

inline std::int64_t now_ms() { return std::chrono::duration_cast<Milliseconds>(std::chrono::system_clock::now().time_since_epoch()).count(); }

inline StepItem step(int run, int function_id, const std::string& output) {
  return {
      .run = run, .function_id = function_id, .name = "charge", .output = output, .error = {}, .started_ms = now_ms() - 5, .completed_ms = now_ms()};
}

inline std::string status_of(const std::string& uri, const std::string& id) {
  return query(uri, "SELECT status FROM dbos.workflow_status WHERE workflow_uuid = '" + id + "'");
}

// The error of open().
template <class E>
E open_error(Executor& executor, bool migrate = false) {
  try {
    executor.open(migrate);
  } catch (const E& e) {
    return e;
  }
  FAIL("open() threw no such error");
  throw std::logic_error("unreachable");
}

inline std::string socket_path() { return server().variable("PGHOST") + "/.s.PGSQL." + server().variable("PGPORT"); }

inline std::string through(const Proxy& proxy, const std::string& database) {
  return "postgresql://postgres@127.0.0.1:" + std::to_string(proxy.port()) + "/" + database;
}

}  // namespace dbos::testing
