// A step that fails is tried again in place, with back-off; only the last outcome is recorded.
#include <chrono>
#include <cstdio>
#include <dbos/dbos.hpp>
#include <stdexcept>
#include <string>

using namespace std::chrono_literals;

struct Busy : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// A service that is busy twice and refuses negative amounts for good.
std::string charge(int cents, const std::string& key, int attempt) {
  if (cents < 0) throw dbos::Permanent("negative amount");
  if (attempt < 3) throw Busy("try later");
  return "charged " + std::to_string(cents) + " cents under key " + key;
}

std::string pay(dbos::Context& ctx, int cents) {
  dbos::StepOptions options{
      .retries = 5, .interval = 20ms, .factor = 1.5, .retry_if = [](const std::exception& e) { return dynamic_cast<const Busy*>(&e) != nullptr; }};
  return ctx.step("charge", options, [&](dbos::StepContext& step) {
    std::printf("attempt %d\n", step.attempt());
    return charge(cents, step.idempotency_key(), step.attempt());
  });
}

int main(int argc, char** argv) {
  dbos::Runtime app({.application = "retries", .database = argc > 1 ? argv[1] : "postgresql:///dbos_sys", .version = "retries-1"});
  auto payment = app.workflow("pay", pay);
  app.launch();
  std::puts(payment.start({.id = "pay-990"}, 990).result().c_str());
  try {
    payment.start({.id = "pay-minus-1"}, -1).result();
  } catch (const dbos::WorkflowFailed& e) {
    std::printf("%s ended in error: %s\n", e.workflow_id().c_str(), e.what());
  }
}
