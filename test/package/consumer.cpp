// Uses enough of the client that everything has to be linked; needs no server.
#include <dbos/dbos.hpp>
#include <iostream>

int main() {
  try {
    dbos::Runtime runtime({.application = "consumer", .database = "postgresql:///nowhere"});
    auto twice = runtime.workflow("twice", [](dbos::Context& context, int number) { return context.step("double", [&] { return 2 * number; }); });
    runtime.workflow("twice", [](dbos::Context&) {});
    std::cout << "the name was taken twice\n";
  } catch (const dbos::UsageError&) {
    std::cout << "consumer of dbos: UsageError\n";
  }
}
