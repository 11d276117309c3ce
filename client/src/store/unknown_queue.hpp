// What a queue that nobody registered is told as: a warning in the log, once per name and process.
// May include: std, dbos/options.hpp.
#pragma once

#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "dbos/options.hpp"

namespace dbos::detail {

// Thread safety: any.
class UnknownQueues {
 public:
  void tell(const LogSink& log, const std::vector<std::string>& names) {
    constexpr std::size_t kMost = 1000;  // names may be made up without end
    for (const auto& name : names) {
      {
        std::lock_guard lock(mu_);
        if (told_.size() >= kMost || !told_.insert(name).second) continue;
      }
      if (log) log(LogLevel::warning, "queue " + name + " is not registered: what is enqueued there waits until an application serves it");
    }
  }

 private:
  std::mutex mu_;
  std::set<std::string> told_;
};

}  // namespace dbos::detail
