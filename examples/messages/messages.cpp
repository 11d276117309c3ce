// A workflow that waits for a person: it publishes what it waits for as an event and receives the answer as a message.
#include <chrono>
#include <cstdio>
#include <dbos/dbos.hpp>
#include <optional>
#include <string>

using namespace std::chrono_literals;

struct Approval {
  bool granted = false;
  std::string by;
};
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(Approval, granted, by)

std::string refund(dbos::Context& ctx, std::string order) {
  ctx.set_event("state", "waiting for approval of " + order);
  auto answer = ctx.recv<Approval>("approval", 48h);  // empty when the time is over; the wait survives restarts
  if (!answer || !answer->granted) return order + " refused";
  return ctx.step("refund", [&] { return order + " refunded, approved by " + answer->by; });
}

// Any process, in any language, can be this side: here it is a Client of its own.
void approve(const std::string& database, const std::string& id) {
  dbos::Client client({.database = database});
  auto state = client.get_event<std::string>(id, "state", 10s);
  std::printf("%s\n", state.value_or("no state").c_str());
  client.send(id, Approval{.granted = true, .by = "kim"}, {.topic = "approval", .idempotency_key = "kim-1"});
}

int main(int argc, char** argv) {
  std::string database = argc > 1 ? argv[1] : "postgresql:///dbos_sys";
  dbos::Runtime app({.application = "messages", .database = database, .version = "messages-1"});
  auto refunds = app.workflow("refund", refund);
  app.launch();
  auto handle = refunds.start({.id = "refund-17"}, "order 17");
  approve(database, handle.id());
  std::puts(handle.result().c_str());
}
