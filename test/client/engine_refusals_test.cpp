// What cannot be sent is refused at the call: nothing goes out, nothing runs, and the workflow goes on.
#include <cmath>
#include <functional>
#include <map>

#include "codec/object_text.hpp"
#include "engine/start_options.hpp"
#include "engine_fixture.hpp"

using namespace dbos;
using namespace dbos::testing;

namespace {

// Texts that the server or libpq would not take as they are.
const std::vector<std::string> kUnsendable{std::string("a\0b", 3), "\xFF", "\xED\xA0\x80"};

std::string usage_error(const std::function<void()>& call) {
  try {
    call();
  } catch (const UsageError& e) {
    return e.what();
  }
  return {};
}

bool has(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

StartRequest request(const StartOptions& options, const std::string& class_name = "", const std::string& queue = "q") {
  return start_request("child", class_name, queue, options, encode_arguments(), 1000);
}

}  // namespace

TEST_CASE("each text of a context call that cannot be sent is a UsageError at the call, and the workflow goes on") {
  using Call = std::function<void(Context&, const std::string&)>;
  std::atomic<int> bodies = 0;
  Process p;
  Workflow<int()> child(nullptr, "child", "");
  std::map<std::string, Call> calls{
      {"step name", [&](Context& ctx, const std::string& text) { ctx.step(text, [&] { ++bodies; }); }},
      {"event key", [](Context& ctx, const std::string& text) { ctx.set_event(text, 1); }},
      {"stream key", [](Context& ctx, const std::string& text) { ctx.write_stream(text, 1); }},
      {"stream key of close_stream", [](Context& ctx, const std::string& text) { ctx.close_stream(text); }},
      {"topic of recv", [](Context& ctx, const std::string& text) { ctx.recv<int>(text, 0ms); }},
      {"topic of send", [](Context& ctx, const std::string& text) { ctx.send("inbox", 1, text); }},
      {"destination", [](Context& ctx, const std::string& text) { ctx.send(text, 1); }},
      {"id of get_event", [](Context& ctx, const std::string& text) { ctx.get_event<int>(text, "k", 0ms); }},
      {"key of get_event", [](Context& ctx, const std::string& text) { ctx.get_event<int>("x", text, 0ms); }},
      {"child id", [&](Context& ctx, const std::string& text) { ctx.start(child, {.id = text}); }},
      {"child class", [&](Context& ctx, const std::string& text) { ctx.start(Workflow<int()>(nullptr, "child", text)); }},
      {"child queue", [&](Context& ctx, const std::string& text) { ctx.enqueue(child, text, {}); }},
      {"awaited id", [&](Context&, const std::string& text) { Handle<int>(std::make_shared<EngineHandle>(p.engine, text, nullptr)).result(); }},
  };
  std::set<std::string> passed;
  p.workflow<int()>("child", [](Context&) { return 1; });
  p.workflow<int()>("w", [&](Context& ctx) {
    for (auto& [name, call] : calls) {
      for (const auto& text : kUnsendable) {
        auto error = usage_error([&] { call(ctx, text); });
        if (!has(error, "NUL byte at offset 1") && !has(error, "not UTF-8 at offset 0")) passed.insert(name + ": " + error);
      }
    }
    return ctx.step("after", [] { return 2; });
  });
  p.launch();
  auto run = p.start("w", "mixed");
  CHECK(p.result(run) == "2");
  for (const auto& name : passed) FAIL_CHECK(name);
  CHECK(bodies == 0);
  CHECK(p.database->count_steps("mixed") == 1);
}

TEST_CASE("each text of a start that cannot be sent is refused by its name") {
  for (const auto& text : kUnsendable) {
    CHECK(has(usage_error([&] { request({.id = text}); }), "workflow id"));
    CHECK(has(usage_error([&] { request({.authenticated_user = text}); }), "authenticated_user"));
    CHECK(has(usage_error([&] { request({.partition = text}); }), "partition"));
    CHECK(has(usage_error([&] { request({.deduplication_id = text}); }), "deduplication_id"));
    CHECK(has(usage_error([&] { request({.version = text}); }), "version"));
    CHECK(has(usage_error([&] { request({.application = text}); }), "application"));
    CHECK(has(usage_error([&] { request({}, text); }), "class_name"));
    CHECK(has(usage_error([&] { request({}, "", text); }), "queue name"));
  }
}

TEST_CASE("attributes that jsonb does not take are refused by their name") {
  auto attributes = [](const std::string& json) { return usage_error([&] { request({.attributes_json = json}); }); };
  auto nested = [](int levels) {
    return R"({"a":)" + std::string(static_cast<std::size_t>(levels), '[') + std::string(static_cast<std::size_t>(levels), ']') + "}";
  };
  for (const auto* json : {R"({"a":"\u0000"})", R"({"\u0000":1})", R"({"a":"\\\u0000"})"}) {
    CAPTURE(json);
    CHECK(has(attributes(json), "attributes_json contains \\u0000"));
  }
  CHECK(has(attributes(nested(512)), "attributes_json"));
  CHECK(has(attributes("[1]"), "attributes_json is no JSON object"));
  CHECK(attributes(nested(511)) == "");
  CHECK(attributes(R"({"a":"\\u0000"})") == "");
}

TEST_CASE("the topic that stands for none is refused by send as by recv") {
  Process p;
  std::set<std::string> refused;
  p.workflow<void()>("w", [&](Context& ctx) {
    if (has(usage_error([&] { ctx.send("inbox", 1, "__null__topic__"); }), "reserved")) refused.insert("send");
    if (has(usage_error([&] { ctx.recv<int>("__null__topic__", 0ms); }), "reserved")) refused.insert("recv");
  });
  p.launch();
  auto run = p.start("w", "topics");
  p.result(run);
  CHECK(refused == std::set<std::string>{"recv", "send"});
  CHECK(p.database->count_steps("topics") == 0);
}

TEST_CASE("a name or class that no claim could carry is not registered") {
  Registry registry;
  auto add = [&](const std::string& name, const std::string& class_name) {
    return usage_error([&] { registry.add(name, {.class_name = class_name}, [](Context&, const std::string&) { return std::string(); }); });
  };
  for (const auto& text : kUnsendable) {
    CHECK(has(add(text, ""), "workflow name"));
    CHECK(has(add("w", text), "class_name of workflow w"));
  }
  CHECK(has(add("w", std::string(256, 'c')), "256 bytes, at most 255"));
  CHECK(has(add(std::string(256, 'n'), ""), "256 bytes, at most 255"));
  CHECK(registry.empty());
  CHECK(add("w", std::string(255, 'c')) == "");
}

TEST_CASE("a workflow's result that is too large ends it in an error that names the limit") {
  Process p;
  p.options.max_payload = 1000;
  p.workflow<std::string(int)>("w", [](Context&, int size) { return std::string(static_cast<std::size_t>(size), 'x'); });
  p.launch();
  auto large = p.start("w", "large", 1000);
  CHECK_THROWS_WITH_AS(p.result(large), "result of workflow w has 1002 bytes, at most 1000 are allowed", WorkflowFailed);
  CHECK(p.status("large") == "ERROR");
  CHECK(p.result(p.start("w", "fits", 998)).size() == 1000);
}

TEST_CASE("a step's factor has to be a number") {
  std::atomic<int> refused = 0;
  Process p;
  p.workflow<void()>("w", [&](Context& ctx) {
    for (double factor : {std::nan(""), HUGE_VAL, 0.5})
      if (has(usage_error([&] { ctx.step("s", {.retries = 1, .factor = factor}, [] {}); }), "factor finite")) ++refused;
  });
  p.launch();
  p.result(p.start("w", ""));
  CHECK(refused == 3);
}
