// Each case is a mistake that the compiler has to find. With CASE=0 only the correct code around them is compiled.
// `// CASE n: what is wrong: a part of the message`, followed by the lines of the mistake.
#include <dbos/dbos.hpp>
#include <string>
#include <string_view>

using namespace std::chrono_literals;

struct Plain {
  int number = 0;
};
struct Order {
  int number = 0;
};
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(Order, number)
struct WriteOnly {};
inline void to_json(nlohmann::json& json, const WriteOnly&) { json = 1; }

void correct(dbos::Runtime& runtime, dbos::Context& context, dbos::Client& client) {
  auto workflow = runtime.workflow("w", [](dbos::Context&, Order order, std::string) { return order.number; });
  dbos::Handle<int> handle = workflow.start({.id = "a"}, Order{1}, "x");
  int number = context.step("s", {.retries = 1, .interval = 1s}, [](std::stop_token) { return 1; });
  context.step("t", [](dbos::StepContext&) {});
  context.send("w", "text");
  context.set_event("k", number);
  client.send("w", WriteOnly{});
  static_assert(dbos::Serializable<Order> && dbos::Serializable<void> && dbos::Serializable<std::optional<Order>>);
  static_assert(!dbos::Serializable<Plain> && !dbos::Serializable<WriteOnly> && !dbos::Serializable<const char*>);
}

void mistakes([[maybe_unused]] dbos::Runtime& runtime, [[maybe_unused]] dbos::Context& context, [[maybe_unused]] dbos::Client& client,
              [[maybe_unused]] const dbos::Workflow<std::string(int)>& workflow) {
#if CASE == 1  // CASE 1: a workflow's result that cannot be written: cannot be written as JSON
  runtime.workflow("w", [](dbos::Context&) { return Plain{}; });
#elif CASE == 2   // CASE 2: a workflow's argument that cannot be read: cannot be read from JSON
  runtime.workflow("w", [](dbos::Context&, WriteOnly) {});
#elif CASE == 3   // CASE 3: a step that returns a pointer: pointers and views are not read
  context.step("s", []() -> const char* { return "x"; });
#elif CASE == 4   // CASE 4: a step that returns a view: pointers and views are not read
  context.step("s", []() -> std::string_view { return "x"; });
#elif CASE == 5   // CASE 5: a workflow that does not take its context: SignatureOf
  runtime.workflow("w", [](int) {});
#elif CASE == 6   // CASE 6: an argument of another type: cannot convert|could not convert|no matching function
  workflow.start(std::string("text"));
#elif CASE == 7   // CASE 7: an argument too few: no matching function
  workflow.start();
#elif CASE == 8   // CASE 8: a handle of another result: conversion from
  dbos::Handle<int> handle = workflow.start(1);
#elif CASE == 9   // CASE 9: a copied context: deleted function
  dbos::Context copy = context;
#elif CASE == 10  // CASE 10: a copied runtime: deleted function
  dbos::Runtime copy = runtime;
#elif CASE == 11  // CASE 11: a step body with a parameter of its own: no match for call|not invocable|invoke_body
  context.step("s", [](int number) { return number; });
#elif CASE == 12  // CASE 12: an option that does not exist: no matching function|no non-static data member named
  context.step("s", {.retires = 3}, [] {});
#elif CASE == 13  // CASE 13: a message that cannot be written: cannot be written as JSON
  client.send("w", Plain{});
#elif CASE == 14  // CASE 14: a message that cannot be read: cannot be read from JSON
  context.recv<Plain>();
#elif CASE == 15  // CASE 15: a number where a duration belongs: could not convert|cannot convert|conversion from
  context.sleep(5);
#elif CASE == 16  // CASE 16: a workflow that takes whatever it is given: SignatureOf|unresolved overloaded function|operator\(\)
  runtime.workflow("w", [](dbos::Context&, auto value) { return value; });
#endif
}
