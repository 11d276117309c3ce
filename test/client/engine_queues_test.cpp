// When and from where the engine asks for queues: what claims found out about them, and whose turn it is when there is little room.
#include "engine_fixture.hpp"

namespace dbos::testing {

namespace {

const std::string kQueue = "_dbos_internal_queue";

// The claims that were sent: their queues with the places they begin at.
class Claims {
 public:
  explicit Claims(Process& process) {
    process.watcher = [sent = sent_](const Trip& trip) {
      std::lock_guard lock(sent->mutex);
      if (trip.claim) sent->claims.push_back(trip.claim->queues);
    };
  }
  std::vector<std::vector<QueueLimit>> all() const {
    std::lock_guard lock(sent_->mutex);
    return sent_->claims;
  }
  std::size_t count() const { return all().size(); }

 private:
  struct Sent {
    std::mutex mutex;
    std::vector<std::vector<QueueLimit>> claims;
  };
  std::shared_ptr<Sent> sent_ = std::make_shared<Sent>();
};

}  // namespace

TEST_CASE("a queue whose limit frees later is asked for again then, and not before") {
  Process p;
  Claims claims(p);
  p.options.poll_interval = 1h;
  p.workflow<int()>("quick", [](Context&) { return 1; });
  p.database->report({.queue = kQueue, .retry_after = 300ms});
  p.launch();
  REQUIRE(p.eventually([&] { return claims.count() >= 1; }));
  // Whatever is under way has been answered: a run has been through.
  CHECK(p.result(p.start("quick", "")) == "1");
  auto before = claims.count();
  p.clock->advance(200ms);
  CHECK(p.result(p.start("quick", "")) == "1");
  CHECK(claims.count() == before);
  p.clock->advance(150ms);
  CHECK(p.eventually([&] { return claims.count() > before; }));
}

TEST_CASE("the end of a run asks for the queue that it made room on") {
  Process p;
  p.options.poll_interval = 1h;
  p.workflow<int()>("quick", [](Context&) { return 1; });
  p.database->rooms[kQueue] = 1;
  p.database->report({.queue = kQueue, .waits = true});
  for (const char* id : {"a", "b", "c"}) p.database->enqueue(id, "quick", encode_arguments());
  p.launch();
  CHECK(p.eventually([&] { return p.status("a") == "SUCCESS" && p.status("b") == "SUCCESS" && p.status("c") == "SUCCESS"; }));
}

TEST_CASE("room that the end of a run made while a claim was under way is asked for") {
  Gate gate;
  Process p;
  Claims claims(p);
  p.options.poll_interval = 1h;
  p.workflow<void()>("slow", [&](Context& ctx) { ctx.step("s", [&] { gate.pass(); }); });
  p.workflow<int()>("quick", [](Context&) { return 1; });
  p.database->rooms[kQueue] = 1;
  p.database->enqueue("a", "slow", encode_arguments());
  p.launch();
  gate.entered.get_future().wait();
  p.database->enqueue("b", "quick", encode_arguments());
  // The claim finds no room, the run ends, and only then the claim is answered.
  p.database->report({.queue = kQueue, .waits = true});
  auto before = claims.count();
  p.store->hold_claims(true);
  p.store->notify("dbos_sys", "work");
  REQUIRE(p.eventually([&] { return claims.count() > before; }));
  gate.open.set_value();
  REQUIRE(p.eventually([&] { return p.status("a") == "SUCCESS" && p.engine->wait_outcome("a", nullptr, 0ms); }));
  p.store->hold_claims(false);
  CHECK(p.eventually([&] { return p.status("b") == "SUCCESS"; }));
}

TEST_CASE("a claim does not wait for a large flush: each is a trip of its own") {
  std::mutex mutex;
  std::vector<std::pair<std::size_t, bool>> sent;  // runs in the flush, whether it claims
  Process p;
  p.watcher = [&](const Trip& trip) {
    std::lock_guard lock(mutex);
    sent.emplace_back(trip.flush ? trip.flush->runs.size() : 0, trip.claim.has_value());
  };
  p.options.poll_interval = 1h;
  p.workflow<int()>("quick", [](Context&) { return 1; });
  p.launch();
  std::vector<std::shared_ptr<Run>> runs;
  p.start_together("quick", [&] {
    for (int i = 0; i < 40; ++i) runs.push_back(p.start("quick", "r" + std::to_string(i)));
    p.store->notify("dbos_sys", "work");
    std::lock_guard lock(mutex);
    sent.clear();
  });
  p.store->pause(false);
  for (const auto& run : runs) CHECK(p.result(run) == "1");
  std::lock_guard lock(mutex);
  CHECK(std::any_of(sent.begin(), sent.end(), [](const auto& trip) { return trip.first >= 16; }));
  CHECK(std::none_of(sent.begin(), sent.end(), [](const auto& trip) { return trip.first >= 16 && trip.second; }));
  CHECK(std::any_of(sent.begin(), sent.end(), [](const auto& trip) { return trip.first == 0 && trip.second; }));
}

TEST_CASE("after a dear walk claims begin at the last run taken, until ten times its cost has passed") {
  Process p;
  Claims claims(p);
  p.options.poll_interval = 100ms;
  p.workflow<int()>("quick", [](Context&) { return 1; });
  p.database->report({.queue = kQueue, .cost = 200ms, .last = QueuePlace{3, 77}});
  p.launch();
  auto begins_at_place = [&] {
    auto sent = claims.all();
    if (sent.empty()) return false;
    auto from = sent.back().front().from;
    return from && from->priority == 3 && from->created_ms == 77;
  };
  REQUIRE(p.eventually([&] {
    p.clock->advance(10ms);
    return begins_at_place();
  }));
  CHECK(p.eventually([&] {
    p.clock->advance(100ms);
    return !claims.all().back().front().from;
  }));
}

TEST_CASE("where much is taken at a time the next claim begins at the last run taken, and for a moment only") {
  Gate gate;
  std::atomic<bool> first_body = true;
  Process p;
  Claims claims(p);
  p.options.poll_interval = 1h;
  p.options.carriers = p.options.max_blocking_steps = 1;
  p.options.drain_timeout = 0ms;
  p.workflow<void()>("blocker", [&](Context& ctx) {
    ctx.step("s", [&] {
      if (first_body.exchange(false)) gate.pass();
    });
  });
  p.database->report({.queue = kQueue, .cost = 3ms, .last = QueuePlace{3, 77}});
  p.database->enqueue("0", "blocker", encode_arguments());
  for (int i = 1; i <= kPerClaim; ++i) p.database->enqueue("later" + std::to_string(i), "blocker", encode_arguments());
  p.launch();
  gate.entered.get_future().wait();
  REQUIRE(p.eventually([&] { return claims.count() >= 2 && p.store->idle(); }));
  auto first = claims.all();
  CHECK_FALSE(first[0].front().from);
  REQUIRE(first[1].front().from);
  CHECK(first[1].front().from->created_ms == 77);
  // What came in before that place meanwhile is found without anybody telling.
  p.clock->advance(31ms);
  REQUIRE(p.eventually([&] { return claims.count() > first.size(); }));
  CHECK_FALSE(claims.all()[first.size()].front().from);
  gate.open.set_value();
}

TEST_CASE("a process says how many runs of a queue it holds, but for a minute after a claim in doubt the database counts") {
  Process p;
  Claims claims(p);
  p.options.poll_interval = 1h;
  p.workflow<int()>("waiting", [](Context& ctx) { return ctx.recv<int>("", 2h).value_or(0); });
  p.workflow<int()>("quick", [](Context&) { return 1; });
  for (const char* id : {"a", "b", "c"}) p.database->enqueue(id, "waiting", encode_arguments());
  p.launch();
  REQUIRE(p.eventually([&] { return p.status("c") == "PENDING" && p.store->idle(); }));
  CHECK(claims.all().front().front().running == 0);
  auto next = [&] {
    auto before = claims.count();
    p.store->notify("dbos_sys", "work");
    REQUIRE(p.eventually([&] { return claims.count() > before && p.store->idle(); }));
    return claims.all()[before].front().running;
  };
  CHECK(next() == 3);
  p.database->enqueue("d", "quick", encode_arguments());
  p.store->fail_next_claim(Fault::reply_lost);
  CHECK(next() == 3);
  CHECK(next() == std::nullopt);
  p.clock->advance(58s);
  CHECK(next() == std::nullopt);
  REQUIRE(p.eventually([&] { return p.status("d") == "SUCCESS"; }));
  p.clock->advance(10min);
  REQUIRE(p.eventually([&] { return p.store->idle(); }));
  CHECK(next() == 3);
}

TEST_CASE("of a queue without worker concurrency as many runs may be ending as may run") {
  ServedQueue queue;
  queue.running = 300;
  queue.ending = kDefaultInFlight;
  CHECK(queue.places() == kDefaultInFlight - 300);
  queue.ending += 600;
  CHECK(queue.places() == kDefaultInFlight - 900);
  queue.worker_concurrency = 2000;
  CHECK(queue.places() == 1700);
}

TEST_CASE("room that ends in the claim's own trip make is asked for at once, though the claim said that they are held") {
  std::promise<void> gate;
  auto open = gate.get_future().share();
  std::atomic<int> ended = 0;
  Process p;
  p.options.poll_interval = 1h;
  p.workflow<int()>("quick", [](Context&) { return 1; });
  p.workflow<void()>("gated", [&](Context& ctx) {
    ctx.step("s", [&] { open.wait(); });
    ++ended;
  });
  p.workflow<int()>("waiting", [](Context& ctx) { return ctx.recv<int>("", 2h).value_or(0); });
  p.database->rooms[kQueue] = 4;
  for (const char* id : {"a", "b", "c"}) p.database->enqueue(id, "gated", encode_arguments());
  p.launch();
  REQUIRE(p.eventually([&] { return p.status("c") == "PENDING" && p.store->idle(); }));
  p.database->report({.queue = kQueue, .waits = true});
  for (const char* id : {"d", "e", "f", "g"}) p.database->enqueue(id, "waiting", encode_arguments());
  p.start_together("quick", [&] {
    gate.set_value();
    REQUIRE(p.eventually([&] { return ended == 3; }));
    p.store->notify("dbos_sys", "work");
  });
  p.store->pause(false);
  CHECK(p.eventually([&] { return p.status("g") == "PENDING"; }));
}

TEST_CASE("an id that comes back while its old code runs is held already") {
  Gate gate;
  std::atomic<bool> first = true;
  Process p;
  Claims claims(p);
  p.options.poll_interval = 1h;
  p.workflow<void()>("w", [&](Context& ctx) {
    ctx.step("s", [&] {
      if (first.exchange(false)) gate.pass();
    });
  });
  p.launch();
  p.start("w", "back");
  gate.entered.get_future().wait();
  p.database->cancel("back");
  p.database->resume("back");
  for (int i = 0; i < 2; ++i) {
    auto before = claims.count();
    p.store->notify("dbos_sys", "work");
    REQUIRE(p.eventually([&] { return claims.count() > before && p.store->idle(); }));
  }
  CHECK(p.status("back") == "PENDING");
  CHECK(claims.all().back().front().running == 1);
  gate.open.set_value();
  CHECK(p.eventually([&] { return p.status("back") == "SUCCESS"; }));
}

TEST_CASE("a worker concurrency that is raised above the usual number holds at once, also while all places are taken") {
  std::promise<void> gate;
  Process p;
  Claims claims(p);
  auto open = gate.get_future().share();
  p.options.poll_interval = 100ms;
  p.options.max_blocking_steps = 2;
  p.workflow<void()>("slow", [&](Context& ctx) { ctx.step("s", [&] { open.wait(); }); });
  auto id = [](int number) { return "r" + std::to_string(10000 + number); };
  constexpr int kMore = kDefaultInFlight + 300;
  for (int i = 0; i < kMore; ++i) p.database->enqueue(id(i), "slow", encode_arguments());
  auto asked_in_vain = [&] {
    auto sent = claims.all();
    return std::count_if(sent.begin(), sent.end(), [](const auto& queues) { return queues.front().limit == 0; });
  };
  p.database->report({.queue = kQueue, .workers = 20});
  p.launch();
  REQUIRE(p.eventually([&] { return p.status(id(kDefaultInFlight - 1)) == "PENDING" && p.store->idle(); }));
  for (int i = 0; i < 3; ++i) {
    auto before = asked_in_vain();
    p.store->notify("dbos_sys", "work");
    p.clock->advance(100ms);
    CHECK(p.eventually([&] { return asked_in_vain() > before && p.store->idle(); }));
  }
  CHECK(asked_in_vain() <= 4);
  CHECK(p.status(id(kDefaultInFlight)) == "ENQUEUED");
  p.database->report({.queue = kQueue, .workers = kMore - 100});
  p.clock->advance(100ms);
  CHECK(p.eventually([&] { return p.status(id(kMore - 101)) == "PENDING"; }));
  CHECK(p.status(id(kMore - 100)) == "ENQUEUED");
  gate.set_value();
  CHECK(p.eventually([&] { return p.status(id(kMore - 1)) == "SUCCESS"; }));
}

TEST_CASE("an enqueue to a queue that its process serves is claimed in the trip that brings it") {
  std::mutex mutex;
  std::map<std::string, std::vector<std::string>> claimed_with;  // by enqueue: the queues that its trip claims from
  Process p;
  p.options.poll_interval = 1h;
  p.queues = {kQueue, "served"};
  p.workflow<int()>("quick", [](Context&) { return 1; });
  Workflow<int()> quick(nullptr, "quick", "");
  p.workflow<int()>("parent", [&](Context& ctx) {
    ctx.enqueue(quick, "served", {.id = "child"});
    return 1;
  });
  p.watcher = [&](const Trip& trip) {
    std::lock_guard lock(mutex);
    for (const auto& run : trip.flush ? trip.flush->runs : std::vector<RunItem>{}) {
      if (!run.is_new) continue;
      auto& queues = claimed_with[run.id];
      for (const auto& queue : trip.claim ? trip.claim->queues : std::vector<QueueLimit>{}) queues.push_back(queue.queue);
    }
  };
  p.launch();
  // Whatever the launch asks for has been answered.
  CHECK(p.result(p.start("quick", "first")) == "1");
  auto enqueue = [&](const std::string& id, const std::string& queue) {
    p.engine->wait_durable(p.engine->start(
        {.name = "quick", .class_name = "", .id = id, .queue = queue, .inputs = encode_arguments(), .options = R"({"queue": ")" + queue + "\"}"}));
  };
  enqueue("here", "served");
  enqueue("elsewhere", "foreign");
  CHECK(p.result(p.start("parent", "parent")) == "1");
  CHECK(p.eventually([&] { return p.status("here") == "SUCCESS" && p.status("child") == "SUCCESS"; }));
  std::lock_guard lock(mutex);
  CHECK(claimed_with["here"] == std::vector<std::string>{"served"});
  CHECK(claimed_with["child"] == std::vector<std::string>{"served"});
  CHECK(claimed_with["elsewhere"].empty());
}

TEST_CASE("where there is little room each queue has its turn") {
  Process p;
  Claims claims(p);
  p.options.max_stacks = 4;
  p.queues = {"a", "b", "c"};
  p.workflow<int()>("quick", [](Context&) { return 1; });
  for (int i = 0; i < 40; ++i) p.database->enqueue("many" + std::to_string(i), "quick", encode_arguments(), "a");
  p.database->enqueue("one", "quick", encode_arguments(), "c");
  p.launch();
  REQUIRE(p.eventually([&] { return p.status("one") == "SUCCESS" && p.status("many39") == "SUCCESS"; }));
  auto sent = claims.all();
  REQUIRE(sent.size() >= 3);
  CHECK(sent[0].front().queue == "a");
  CHECK(sent[1].front().queue == "b");
  CHECK(sent[2].front().queue == "c");
}

}  // namespace dbos::testing
