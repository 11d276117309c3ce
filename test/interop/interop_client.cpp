// A client on dbos::Client: interop_client URI APPLICATION WORKER. Enqueues the golden workflows for whatever worker serves them.
// One line `ok - name` or `not ok - name` for each promise, numbered by the script that runs it.
#include <cstdio>
#include <functional>
#include <stdexcept>

#include "golden.hpp"

namespace {

using golden::Json;
using namespace std::chrono_literals;

int failures = 0;

void check(const std::string& name, const std::function<void()>& body) {
  try {
    body();
    std::printf("ok - %s\n", name.c_str());
  } catch (const std::exception& e) {
    ++failures;
    std::printf("not ok - %s\n", name.c_str());
    std::fprintf(stderr, "%s\n", e.what());
  }
}

void equal(const Json& got, const Json& wanted) {
  if (got != wanted) throw std::runtime_error("got " + got.dump() + ", wanted " + wanted.dump());
}

const golden::Message message{"test", {1, 2, 3}};

Json golden_output() {
  return {{"echo_text", "hello-interop"},
          {"echo_num", 42},
          {"echo_dt", "2025-06-15T10:30:00.000Z"},
          {"items_count", 3},
          {"meta_keys", {"key1", "key2", "nested"}},
          {"flag", true},
          {"empty", nullptr},
          {"received", message}};
}

void run(dbos::Client& client, const std::string& worker) {
  const std::string id = "cpp-to-" + worker;
  auto handle = client.enqueue(golden::canonical, golden::queue, {.id = id}, "hello-interop", 42, "2025-06-15T10:30:00.000Z",
                               {"alpha", "beta", "gamma"}, Json::parse(R"({"key1":"value1","key2":99,"nested":{"deep":true}})"), true, std::nullopt);
  check("reads the event that it set", [&] {
    equal(client.get_event<golden::Event>(id, golden::event_key, 30s), golden::Event{"hello-interop", 42, true});
  });
  check("a message reaches it and the result comes back", [&] {
    for (int i = 0; i < 2; ++i) client.send(id, message, {.topic = golden::topic, .idempotency_key = "once"});
    equal(handle.result(60s), golden_output());
  });
  check("an error comes back with name, message, code and data", [&] {
    auto rejected = client.enqueue(golden::reject_order, golden::queue, {.id = id + "-rejected"}, "o1");
    try {
      rejected.result(60s);
    } catch (const dbos::WorkflowFailed& e) {
      equal({e.name(), e.what(), Json::parse(e.code_json()), Json::parse(e.data_json())},
            {"NotFoundError", "Order not found", 404, Json{{"orderId", "o1"}}});
      return;
    }
    throw std::runtime_error("the workflow did not fail");
  });
  check("the workflow is shown with its inputs and output", [&] {
    auto info = client.status(id).value();
    equal(to_string(info.status), "SUCCESS");
    equal(info.class_name, "interop");
    equal(Json::parse(info.inputs.value()).at("positionalArgs").size(), 7);
    equal(Json::parse(info.output.value()), golden_output());
  });
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) {
    std::fputs("usage: interop_client URI APPLICATION WORKER\n", stderr);
    return 2;
  }
  try {
    dbos::Client client({.database = argv[1], .application = argv[2]});
    run(client, argv[3]);
  } catch (const std::exception& e) {
    std::fprintf(stderr, "interop_client: %s\n", e.what());
    return 1;
  }
  return failures == 0 ? 0 : 1;
}
