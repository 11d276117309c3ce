#include "engine/crashpoint.hpp"

#include <array>
#include <charconv>
#include <csignal>
#include <cstdlib>
#include <string>
#include <string_view>
#include <utility>

#include "dbos/error.hpp"

namespace dbos::detail {

namespace {

constexpr const char* kVariable = "DBOS_SYS_CRASHPOINT";
constexpr std::array<std::pair<std::string_view, CrashPoint>, 8> kPoints{{
    {"start.before_send", CrashPoint::start_before_send},
    {"start.after_commit", CrashPoint::start_after_commit},
    {"claim.after_commit", CrashPoint::claim_after_commit},
    {"step.after_body", CrashPoint::step_after_body},
    {"step.after_commit", CrashPoint::step_after_commit},
    {"end.before_send", CrashPoint::end_before_send},
    {"end.after_commit", CrashPoint::end_after_commit},
    {"sleep.parked", CrashPoint::sleep_parked},
}};

std::atomic<long> passings_left{0};

CrashPoint find_point(std::string_view name) {
  std::string known;
  for (const auto& [text, point] : kPoints) {
    if (text == name) return point;
    known += (known.empty() ? "" : ", ") + std::string(text);
  }
  throw UsageError(std::string(kVariable) + " names no point: " + std::string(name), {}, {}, "there are " + known);
}

}  // namespace

void arm_crash_point() {
  const char* value = std::getenv(kVariable);
  if (!value || !*value) return;
  std::string_view text(value);
  auto colon = text.find(':');
  auto point = find_point(text.substr(0, colon));
  long passing = 1;
  if (colon != std::string_view::npos) {
    auto number = text.substr(colon + 1);
    auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), passing);
    if (error != std::errc{} || end != number.data() + number.size() || passing < 1)
      throw UsageError(std::string(kVariable) + ": " + std::string(number) + " is no number of passings");
  }
  passings_left = passing;
  armed_crash_point = point;
}

void crash_at_last_passing() noexcept {
  if (passings_left.fetch_sub(1) == 1) std::raise(SIGKILL);
}

}  // namespace dbos::detail
