#include "engine/registry.hpp"

#include "engine/ids.hpp"

namespace dbos::detail {

void Registry::add(const std::string& name, const WorkflowOptions& options, WorkflowBody body) {
  check_label("workflow name", name, kNameBytes);
  if (!options.class_name.empty()) check_label("class_name of workflow " + name, options.class_name, kNameBytes);
  if (options.max_recovery_attempts < 0)
    throw UsageError("max_recovery_attempts of workflow " + name + " is negative: " + std::to_string(options.max_recovery_attempts));
  auto [entry, fresh] = entries_.try_emplace({name, options.class_name});
  if (!fresh) throw UsageError("workflow " + name + " is registered twice");
  entry->second = Registration{name, options.class_name, options.max_recovery_attempts, std::move(body)};
}

const Registration* Registry::find(const std::string& name, const std::string& class_name) const {
  auto entry = entries_.find({name, class_name});
  return entry == entries_.end() ? nullptr : &entry->second;
}

std::shared_ptr<const ClaimFilter> Registry::filter() const {
  auto filter = std::make_shared<ClaimFilter>();
  for (const auto& [key, registration] : entries_) {
    filter->names.push_back(registration.name);
    filter->classes.push_back(registration.class_name);
    filter->max_attempts.push_back(registration.max_recovery_attempts);
  }
  return filter;
}

}  // namespace dbos::detail
