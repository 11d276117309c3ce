#include "api/queue_options.hpp"

#include "api/limit_options.hpp"
#include "dbos/error.hpp"
#include "engine/ids.hpp"

namespace dbos::detail {

namespace {

[[noreturn]] void refuse(const std::string& name, const std::string& what, const std::string& hint = {}) {
  throw UsageError("queue " + name + ": " + what, "WF001", {}, hint);
}

void check_count(const std::string& name, const char* what, const std::optional<int>& count, bool altering) {
  if (count && (*count < 0 || (*count == 0 && !altering)))
    refuse(name, std::string(what) + " is " + std::to_string(*count),
           altering ? "give a positive number, or 0 for no limit" : "give a positive number, or leave it out for no limit");
}

void check_rate(const std::string& name, const std::string& what, const RateLimit& rate, bool altering) {
  check_count(name, (what + ".max").c_str(), rate.max, altering);
  auto period = rate.period.count();
  bool limited = rate.max.value_or(0) > 0;
  if (period < 0 || (limited && period == 0))
    refuse(name, what + ".period is " + std::to_string(period) + " ms", "a rate is a number of starts in a positive period, as {100, 1s}");
  if (!limited && period > 0) refuse(name, what + " has a period of " + std::to_string(period) + " ms and no starts", "give both, as {100, 1s}");
}

void check_part(const std::string& name, const char* part, const std::optional<int>& few, const char* whole, const std::optional<int>& all) {
  if (few.value_or(0) > 0 && all.value_or(0) > 0 && *few > *all)
    refuse(name, std::string(part) + " " + std::to_string(*few) + " exceeds " + whole + " " + std::to_string(*all),
           std::string("lower ") + part + ", or raise " + whole);
}

}  // namespace

void check_queue(const std::string& name, const QueueOptions& options, bool altering) {
  check_label("queue name", name, kNameBytes);
  if (name.starts_with("_dbos_")) throw UsageError("queue name " + name + " begins with _dbos_, which is reserved", "WF001");
  check_count(name, "worker_concurrency", options.worker_concurrency, altering);
  check_count(name, "concurrency", options.concurrency, altering);
  check_count(name, "partition_worker_concurrency", options.partition_worker_concurrency, altering);
  check_count(name, "partition_concurrency", options.partition_concurrency, altering);
  check_rate(name, "rate", options.rate, altering);
  check_rate(name, "partition_rate", options.partition_rate, altering);
  check_part(name, "worker_concurrency", options.worker_concurrency, "concurrency", options.concurrency);
  check_part(name, "partition_concurrency", options.partition_concurrency, "concurrency", options.concurrency);
  check_part(name, "partition_worker_concurrency", options.partition_worker_concurrency, "partition_concurrency", options.partition_concurrency);
  check_part(name, "partition_worker_concurrency", options.partition_worker_concurrency, "worker_concurrency", options.worker_concurrency);
  for (const auto& [key, weight] : options.weights) {
    check_label("partition of a weight", key, kPartitionBytes);
    check_weight("queue " + name + ": weight of partition ", key, weight);
  }
  if (!altering && !options.weights.empty() && !options.fair_by_partition.value_or(false))
    refuse(name, "weights without fair_by_partition", "add .fair_by_partition = true");
  if (options.polling_interval.count() < 0) refuse(name, "polling_interval is " + std::to_string(options.polling_interval.count()) + " ms");
  if (altering && options.on_conflict != QueueConflict::always_update) refuse(name, "on_conflict is for registering a queue");
}

}  // namespace dbos::detail
