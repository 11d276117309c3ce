// What the tests of the engine share: a process over the in-memory store with a fake clock, and a gate inside a step body.
#pragma once

#include <doctest/doctest.h>

#include <atomic>
#include <future>
#include <thread>

#include "dbos/dbos.hpp"
#include "engine/engine.hpp"
#include "engine/ids.hpp"
#include "engine/outcome.hpp"
#include "memory_store.hpp"

namespace dbos::testing {

using namespace std::chrono_literals;

// A gate that a step body waits at until the test opens it.
struct Gate {
  std::promise<void> entered;
  std::promise<void> open;
  void pass() {
    entered.set_value();
    open.get_future().wait();
  }
};

class Process {
 public:
  explicit Process(std::shared_ptr<MemoryDatabase> shared = std::make_shared<MemoryDatabase>(), std::string executor = "one")
      : database(std::move(shared)), executor_(std::move(executor)) {
    options.application = "test";
    options.carriers = 2;
    options.drain_timeout = 2000ms;
    options.log = [](LogLevel, std::string_view) {};
  }

  ~Process() {
    if (store && !planted) CHECK_FALSE(store->miscounted());
  }

  template <class Sig, class F>
  void workflow(const std::string& name, F function, int max_recovery_attempts = 100) {
    registry_.add(name, {.max_recovery_attempts = max_recovery_attempts}, BodyMaker<Sig>::make(std::move(function)));
  }

  void launch() {
    auto store_owner = std::make_unique<MemoryStore>(database, clock);
    store = store_owner.get();
    engine = std::make_shared<Engine>(options, std::move(registry_), std::move(store_owner));
    if (watcher) store->watch(watcher);
    for (const auto& queue : queues) engine->serve({.name = queue});
    engine->open({.application = "test", .executor = executor_, .incarnation = uuid_v4(), .version = "1", .lease = options.lease}, false);
  }

  template <class... A>
  std::shared_ptr<Run> start(const std::string& name, const std::string& id, const A&... arguments) {
    return engine->start({.name = name, .class_name = "", .id = id, .queue = "", .inputs = encode_arguments(arguments...), .options = ""});
  }

  std::string result(const std::shared_ptr<Run>& run) {
    auto outcome = engine->wait_outcome(run->id, run, 10000ms);
    REQUIRE(outcome);
    return outcome_text(*outcome);
  }

  // Starts that share a trip, whatever the speed of the I/O thread: all lanes are taken before. They go out when the store goes on.
  template <class Start>
  void start_together(const std::string& filler, Start&& start_them) {
    store->pause(true);
    for (int taken = 1; store->free_lanes() > 0; ++taken) {
      start(filler, "lane" + std::to_string(taken));
      REQUIRE(eventually([&] { return store->flushes_waiting() == taken; }));
    }
    start_them();
  }

  std::string status(const std::string& id) { return database->row(id).status; }
  std::string error(const std::string& id) { return database->row(id).error.value_or(""); }
  bool eventually(const std::function<bool()>& condition) { return store->wait_for(condition); }

  RuntimeOptions options;
  bool planted = false;  // the test put a PENDING row under this executor's name that no claim took
  std::vector<std::string> queues = {"_dbos_internal_queue"};
  std::function<void(const Trip&)> watcher;  // sees each trip from the first on
  std::shared_ptr<MemoryDatabase> database;
  std::shared_ptr<FakeClock> clock = std::make_shared<FakeClock>();
  MemoryStore* store = nullptr;
  std::shared_ptr<Engine> engine;

 private:
  std::string executor_;
  Registry registry_;
};

}  // namespace dbos::testing
