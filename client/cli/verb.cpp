#include "verb.hpp"

#include <algorithm>
#include <dbos/error.hpp>
#include <iostream>
#include <mutex>
#include <set>

#include "text.hpp"
#include "usage.hpp"

namespace dbos::cli {

void tell(LogLevel level, std::string_view text) {
  static std::mutex mutex;
  static std::set<std::string> told;
  if (level == LogLevel::debug) return;
  std::string line = in_our_words(std::string(text));
  std::lock_guard lock(mutex);
  if (told.insert(line).second) std::cerr << "dbos-sys: " << (level == LogLevel::info ? "notice" : "warning") << ": " << printable(line) << "\n";
}

Client connect(const Common& common) { return Client({.database = common.db, .application = common.application, .log = tell}); }

Milliseconds duration_option(const std::string& option, const std::string& text) {
  auto duration = parse_duration(text);
  if (!duration)
    throw UsageError(option + " '" + text + "' is not a duration", {}, {},
                     "write a whole number and a unit of ms, s, m, h, d or w, as 30s or 30d; at most 100 years, 36525d");
  return *duration;
}

void require_ids(const std::vector<std::string>& ids) {
  if (std::any_of(ids.begin(), ids.end(), [](const std::string& id) { return id.empty(); }))
    throw UsageError("a workflow id is blank", {}, {}, "dbos-sys list shows ids");
}

void print(const nlohmann::json& value) { std::cout << value.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) << "\n"; }

}  // namespace dbos::cli
