#include "api/limit_options.hpp"

#include <cmath>

#include "dbos/error.hpp"
#include "engine/ids.hpp"

namespace dbos::detail {

void check_limit_name(const std::string& name) {
  check_label("limit name", name, kNameBytes);
  if (name.starts_with("_dbos_")) throw UsageError("limit name " + name + " begins with _dbos_, which is reserved", "WF001");
}

void check_weight(std::string of, const std::string& key, double weight) {
  if (std::isfinite(weight) && weight > 0) return;
  throw UsageError(of.append(key).append(" is ").append(std::to_string(weight)), "WF001", {},
                   "give a positive number; those that are not named have 1");
}

void check_limit(const std::string& name, const LimitOptions& options) {
  auto refuse = [&](const std::string& what, const std::string& hint = {}) { throw UsageError("limit " + name + ": " + what, "WF001", {}, hint); };
  check_limit_name(name);
  if (!std::isfinite(options.rate) || options.rate < 0) refuse("rate is " + std::to_string(options.rate), "give a number above 0, or leave it out");
  if (options.per.count() <= 0) refuse("per is " + std::to_string(options.per.count()) + " ms", "give a time above 0");
  if (options.burst < 0) refuse("burst is " + std::to_string(options.burst), "give 0 or more");
  if (options.concurrency < 0) refuse("concurrency is " + std::to_string(options.concurrency), "give a number above 0, or leave it out");
  if (options.rate == 0 && options.concurrency == 0) refuse("neither rate nor concurrency: it bounds nothing", "give one of them, or both");
  if (options.rate == 0 && options.burst > 0) refuse("burst without rate", "give a rate, or no burst");
  for (const auto& [key, weight] : options.weights) check_weight("limit " + name + ": weight of key ", key, weight);
}

void check_limit(const std::string& name, const LimitChange& change) {
  auto refuse = [&](const std::string& what) { throw UsageError("limit " + name + ": " + what, "WF001", {}, "give a number above 0"); };
  check_limit_name(name);
  if (change.rate && !(std::isfinite(*change.rate) && *change.rate > 0)) refuse("rate is " + std::to_string(*change.rate));
  if (change.per && change.per->count() <= 0) refuse("per is " + std::to_string(change.per->count()) + " ms");
  if (change.burst && *change.burst < 0) refuse("burst is " + std::to_string(*change.burst));
  if (change.concurrency && *change.concurrency <= 0) refuse("concurrency is " + std::to_string(*change.concurrency));
  if (!change.weights) return;
  for (const auto& [key, weight] : *change.weights) check_weight("limit " + name + ": weight of key ", key, weight);
}

}  // namespace dbos::detail
