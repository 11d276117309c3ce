// A workflow that survives kill -9: start it, kill it while it sleeps, start it again.
#include <cstdio>
#include <dbos/dbos.hpp>

std::string greet(dbos::Context& ctx, std::string name) {
  auto text = ctx.step("compose", [&] { return "Hello, " + name; });
  ctx.sleep(std::chrono::seconds(2));                     // durable: after a restart only the rest of it
  ctx.step("deliver", [&] { std::puts(text.c_str()); });  // not repeated once it is recorded
  return text;
}

int main(int argc, char** argv) {
  dbos::Runtime app({.application = "hello", .database = argc > 1 ? argv[1] : "postgresql:///dbos_sys", .version = "hello-1"});
  auto greeting = app.workflow("greet", greet);
  app.launch();
  return greeting.start({.id = "greet-ada"}, "Ada").result() == "Hello, Ada" ? 0 : 1;  // this id again: the same workflow
}
