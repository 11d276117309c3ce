// The workflows that this process can run, by (name, class). Frozen at launch.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <utility>

#include "dbos/options.hpp"
#include "dbos/runtime.hpp"
#include "store/store.hpp"

namespace dbos::detail {

struct Registration {
  std::string name;
  std::string class_name;
  int max_recovery_attempts = 100;
  WorkflowBody body;
};

class Registry {
 public:
  // Throws UsageError for a blank name or one that is taken.
  void add(const std::string& name, const WorkflowOptions& options, WorkflowBody body);
  const Registration* find(const std::string& name, const std::string& class_name) const;
  std::shared_ptr<const ClaimFilter> filter() const;
  bool empty() const noexcept { return entries_.empty(); }

 private:
  std::map<std::pair<std::string, std::string>, Registration> entries_;
};

}  // namespace dbos::detail
