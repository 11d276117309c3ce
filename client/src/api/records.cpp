#include "dbos/records.hpp"

#include <array>
#include <utility>

namespace dbos {

namespace {

constexpr std::array<std::pair<Status, const char*>, 7> kNames{{
    {Status::enqueued, "ENQUEUED"},
    {Status::delayed, "DELAYED"},
    {Status::pending, "PENDING"},
    {Status::success, "SUCCESS"},
    {Status::error, "ERROR"},
    {Status::cancelled, "CANCELLED"},
    {Status::max_recovery_attempts_exceeded, "MAX_RECOVERY_ATTEMPTS_EXCEEDED"},
}};

}  // namespace

std::string to_string(Status status) {
  for (const auto& [value, name] : kNames) {
    if (value == status) return name;
  }
  return "UNKNOWN";
}

Status status_from_string(const std::string& text) {
  for (const auto& [value, name] : kNames) {
    if (text == name) return value;
  }
  return Status::unknown;
}

}  // namespace dbos
