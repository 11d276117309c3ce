// A worker on dbos::Runtime: schedules_worker URI APPLICATION [client]. Has the schedule `count`, every second; its runs return what they were called with.
// With `client` it then calls each function of the client once, and prints a line when something is not as it should be.
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <dbos/dbos.hpp>

namespace {

struct Limits {
  int most = 0;
  std::string unit;
};
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(Limits, most, unit)

int wrong = 0;
void check(bool right, const char* what) {
  if (right) return;
  ++wrong;
  std::fprintf(stderr, "wrong: %s\n", what);
}

template <class F>
std::string code_of(F&& call) {
  try {
    call();
  } catch (const dbos::Error& error) {
    return error.sqlstate();
  }
  return {};
}

const dbos::ScheduleInfo* find(const std::vector<dbos::ScheduleInfo>& schedules, const std::string& name) {
  for (const auto& schedule : schedules)
    if (schedule.name == name) return &schedule;
  return nullptr;
}

void use_client(dbos::Runtime& runtime) {
  runtime.apply_schedule("paris", "sum", {.cron = "*/30 0-4 * * *", .time_zone = "europe/paris", .automatic_backfill = false});
  runtime.alter_schedule("paris", {.context_json = R"({"most": 3, "unit": "m"})"});
  runtime.pause_schedule("paris");
  auto schedules = runtime.schedules();
  const auto* paris = find(schedules, "paris");
  check(paris && paris->paused && paris->time_zone == "Europe/Paris" && paris->workflow == "sum" && paris->next_at == 0,
        "a paused schedule is listed");
  auto id = runtime.trigger_schedule("paris");
  check(runtime.handle<std::string>(id).result().ends_with("3 m"), "a triggered run gets the context");
  auto half = runtime.backfill_schedule("paris", 1792886400000, 1793145600000, 10);  // 25 October 2026 00:00 UTC and three days
  check(half.runs == 10 && half.enqueued == 10 && half.rest_from > 0, "a backfill stops at its limit");
  auto rest = runtime.backfill_schedule("paris", half.rest_from, 1793145600000);
  check(rest.runs > 0 && rest.enqueued == rest.runs && rest.rest_from == 0, "and goes on");
  runtime.resume_schedule("paris");
  schedules = runtime.schedules();
  paris = find(schedules, "paris");
  check(paris && !paris->paused && paris->next_at > 0 && paris->obstacle.empty(), "a resumed schedule fires");
  runtime.drop_schedule("paris");
  check(!find(runtime.schedules(), "paris"), "a dropped schedule is gone");
  check(code_of([&] { runtime.pause_schedule("paris"); }) == "WF060", "an unknown schedule is told");
  check(code_of([&] { runtime.apply_schedule("bad", "sum", {.cron = "61 * * * *"}); }) == "WF001", "a wrong text is told");
  check(code_of([&] { runtime.backfill_schedule("count", 2000000000000, 1900000000000); }) == "WF001", "a range that ends before it begins is told");
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3) {
    std::fputs("usage: schedules_worker URI APPLICATION [client]\n", stderr);
    return 2;
  }
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  try {
    dbos::Runtime runtime({.application = argv[2], .database = argv[1], .version = "1"});
    auto sum = runtime.workflow("sum", [](dbos::Context&, dbos::ScheduledTime time, Limits limits) {
      return std::to_string(time.epoch_ms) + " " + std::to_string(limits.most) + " " + limits.unit;
    });
    runtime.schedule("count", {.cron = "* * * * * *"}, sum, Limits{7, "s"});
    runtime.launch();
    if (argc > 3) use_client(runtime);
    if (wrong > 0 || write(3, "ready\n", 6) != 6) return 1;
    int signal = 0;
    sigwait(&signals, &signal);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "schedules_worker: %s\n", error.what());
    return 1;
  }
}
