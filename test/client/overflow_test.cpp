// Stack overflows and other ends of a process. Each is tried in a process of its own: this executable again, with a scenario named in its
// environment.
#include "engine/overflow.hpp"

#include <doctest/doctest.h>
#include <spawn.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <stdexcept>
#include <string>
#include <vector>

#include "engine/carriers.hpp"
#include "engine/fiber.hpp"
#include "engine/sanitizers.hpp"

extern char** environ;

using namespace dbos::detail;

namespace {

[[gnu::noinline]] int recurse(int depth) {
  volatile char frame[1024];
  frame[0] = static_cast<char>(depth);
  if (depth == 0) return 0;
  return recurse(depth - 1) + frame[0];
}

int recurse_for_ever() {
  volatile int depth = 1 << 30;
  return recurse(depth);
}

constexpr const char* scenario_variable = "DBOS_OVERFLOW_TEST_SCENARIO";

struct Ending {
  std::string said;  // on stderr
  int status = 0;
};

void overflow_on_a_fiber(const char* label) {
  OverflowWatch watch;
  StackPool stacks;
  Fiber fiber(stacks, [] { recurse_for_ever(); });
  fiber.set_label(label);
  fiber.resume();
}

void overflow_in_a_body() {
  struct Task : Runnable {
    StackPool stacks;
    void run() override {
      Fiber fiber(stacks, [] { Fiber::outside([] { recurse_for_ever(); }); });
      fiber.set_label("order-18");
      fiber.resume();
    }
  } task;
  CarrierPool carriers({.base = 1, .max = 1});
  carriers.post(&task);
  for (;;) pause();
}

void earlier_handler(int) {
  static constexpr char text[] = "earlier handler\n";
  _exit(write(STDERR_FILENO, text, sizeof text - 1) > 0 ? 7 : 8);
}

void fault_on_a_fiber() {
  OverflowWatch watch;
  StackPool stacks;
  Fiber fiber(stacks, [] {
    volatile std::uintptr_t nowhere = 16;
    *reinterpret_cast<volatile int*>(nowhere) = 1;
  });
  fiber.set_label("order-20");
  fiber.resume();
}

void throw_from_entry() {
  StackPool stacks;
  Fiber fiber(stacks, [] { throw std::runtime_error("must not leave"); });
  try {
    fiber.resume();
  } catch (...) {
  }
}

// Little address space is left: the kernel refuses stacks long before the pool would.
void run_out_of_memory() {
  StackPool stacks;
  std::vector<Stack> taken;
  taken.reserve(1000);
  rlim_t pages_in_use = 0;
  std::ifstream("/proc/self/statm") >> pages_in_use;
  const rlimit limit{(pages_in_use + 1024) * static_cast<rlim_t>(sysconf(_SC_PAGESIZE)), RLIM_INFINITY};
  setrlimit(RLIMIT_AS, &limit);
  try {
    for (;;) taken.push_back(stacks.acquire());
  } catch (const StackLimit& e) {
    std::fprintf(stderr, "%s; %zu of %zu\n", e.what(), stacks.in_use(), taken.size());
  }
  stacks.release(taken.back());
  stacks.acquire();
  _exit(0);
}

void play(const std::string& scenario) {
  if (scenario == "fiber") overflow_on_a_fiber("order-17");
  else if (scenario == "long label") overflow_on_a_fiber(std::string(5000, 'x').c_str());
  else if (scenario == "body") overflow_in_a_body();
  else if (scenario == "handled") {
    std::signal(SIGSEGV, earlier_handler);
    overflow_on_a_fiber("order-19");
  } else if (scenario == "fault") fault_on_a_fiber();
  else if (scenario == "throw") throw_from_entry();
  else if (scenario == "memory") run_out_of_memory();
  _exit(99);  // survived
}

// Before main, so that the test framework's own signal handlers are not installed.
const bool scenario_played = [] {
  const char* scenario = std::getenv(scenario_variable);
  if (scenario != nullptr) play(scenario);
  return scenario != nullptr;
}();

Ending ending_of(const std::string& scenario) {
  std::array<int, 2> ends{};
  REQUIRE(pipe(ends.data()) == 0);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, ends[1], STDERR_FILENO);
  posix_spawn_file_actions_addclose(&actions, ends[0]);
  std::string assignment = std::string(scenario_variable) + "=" + scenario;
  std::vector<char*> environment{assignment.data()};
  for (char** entry = environ; *entry != nullptr; ++entry) environment.push_back(*entry);
  environment.push_back(nullptr);
  std::array<char*, 2> arguments{const_cast<char*>("scenario"), nullptr};
  pid_t child = 0;
  REQUIRE(posix_spawn(&child, "/proc/self/exe", &actions, nullptr, arguments.data(), environment.data()) == 0);
  posix_spawn_file_actions_destroy(&actions);
  close(ends[1]);
  Ending ending;
  char buffer[4096];
  for (ssize_t n; (n = read(ends[0], buffer, sizeof buffer)) > 0;) ending.said.append(buffer, static_cast<std::size_t>(n));
  close(ends[0]);
  REQUIRE(waitpid(child, &ending.status, 0) == child);
  return ending;
}

// A sanitizer's own handler was there before ours: it reports, and ends the process its way.
bool died_of(const Ending& ending, int signal) {
  if (DBOS_ASAN || DBOS_TSAN) return WIFSIGNALED(ending.status) || WEXITSTATUS(ending.status) != 99;
  return WIFSIGNALED(ending.status) && WTERMSIG(ending.status) == signal;
}

bool says(const Ending& ending, const std::string& text) { return ending.said.find(text) != std::string::npos; }

}  // namespace

TEST_CASE("a stack overflow between steps is named with its workflow, and the process dies of the signal") {
  const Ending ending = ending_of("fiber");
  CAPTURE(ending.said);
  CHECK(says(ending, "stack overflow in workflow order-17 "));
  CHECK(died_of(ending, SIGSEGV));
}

TEST_CASE("a stack overflow in a step body is named with its workflow") {
  const Ending ending = ending_of("body");
  CAPTURE(ending.said);
  CHECK(says(ending, "stack overflow in workflow order-18 (in a step body)"));
  CHECK(died_of(ending, SIGSEGV));
}

TEST_CASE("the name of an overflow may be long: the message is cut") {
  const Ending ending = ending_of("long label");
  CHECK(says(ending, "stack overflow in workflow xxxx"));
  CHECK(died_of(ending, SIGSEGV));
}

TEST_CASE("a handler that was there before sees the overflow too, after it was named") {
  const Ending ending = ending_of("handled");
  CAPTURE(ending.said);
  const auto named = ending.said.find("stack overflow in workflow order-19");
  const auto handled = ending.said.find("earlier handler");
  REQUIRE(named != std::string::npos);
  REQUIRE(handled != std::string::npos);
  CHECK(named < handled);
  CHECK(WIFEXITED(ending.status));
  CHECK(WEXITSTATUS(ending.status) == 7);
}

TEST_CASE("another fault on a fiber is not called an overflow, and still kills") {
  const Ending ending = ending_of("fault");
  CAPTURE(ending.said);
  CHECK_FALSE(says(ending, "stack overflow in workflow"));
  CHECK(died_of(ending, SIGSEGV));
}

TEST_CASE("an exception that leaves a fiber's entry terminates instead of crossing stacks") {
  const Ending ending = ending_of("throw");
  CAPTURE(ending.said);
  CHECK(WIFSIGNALED(ending.status));
  CHECK(WTERMSIG(ending.status) == SIGABRT);
  CHECK(says(ending, "must not leave"));
}

#if !DBOS_ASAN && !DBOS_TSAN  // a sanitizer's shadow needs more address space than the scenario leaves
TEST_CASE("a stack that the kernel refuses is refused like one beyond the limit, and the pool goes on") {
  const Ending ending = ending_of("memory");
  CAPTURE(ending.said);
  CHECK(WIFEXITED(ending.status));
  CHECK(WEXITSTATUS(ending.status) == 0);
  CHECK(says(ending, "the kernel maps no further fiber stack after "));
  CHECK(says(ending, "Cannot allocate memory"));
  const auto counts = ending.said.substr(ending.said.find(';') + 1);
  int in_use = -1;
  int taken = -2;
  REQUIRE(std::sscanf(counts.c_str(), "%d of %d", &in_use, &taken) == 2);
  CHECK(in_use == taken);
}
#endif
