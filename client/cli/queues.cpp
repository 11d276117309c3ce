#include "queues.hpp"

#include <charconv>
#include <cstdlib>
#include <dbos/client.hpp>
#include <dbos/error.hpp>
#include <iostream>

#include "text.hpp"
#include "verb.hpp"

namespace dbos::cli {

namespace {

std::optional<int> count_option(const std::string& option, const std::string& text) {
  if (text.empty()) return {};
  if (text == "none") return 0;
  int count = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), count);
  if (error != std::errc() || end != text.data() + text.size() || count <= 0)
    throw UsageError(option + " '" + text + "' is not a positive number", {}, {}, "write a number, or none for no limit");
  return count;
}

RateLimit rate_option(const std::string& option, const std::string& text) {
  if (text.empty()) return {};
  if (text == "none") return {0};
  auto slash = text.find('/');
  auto period = slash == std::string::npos ? std::nullopt : parse_duration(text.substr(slash + 1));
  if (!period || period->count() == 0)
    throw UsageError(option + " '" + text + "' is not a rate", {}, {}, "write starts per time, as 100/1s or 5000/1h, or none for no limit");
  return {count_option(option, text.substr(0, slash)), *period};
}

std::map<std::string, double> weights_option(const std::vector<std::string>& pairs) {
  std::map<std::string, double> weights;
  for (const auto& pair : pairs) {
    // A key may have such signs itself.
    auto sign = pair.rfind('=');
    char* end = nullptr;
    std::string number = sign == std::string::npos ? "" : pair.substr(sign + 1);
    double weight = std::strtod(number.c_str(), &end);
    if (number.empty() || *end != '\0') throw UsageError("--weight '" + pair + "' is not KEY=NUMBER", {}, {}, "as --weight tenant-a=2");
    weights[pair.substr(0, sign)] = weight;
  }
  return weights;
}

std::optional<bool> yes_or_no(const std::string& option, const std::string& text) {
  if (text.empty()) return {};
  if (text != "yes" && text != "no") throw UsageError(option + " '" + text + "' is neither yes nor no");
  return text == "yes";
}

QueueOptions options_of(const QueueArguments& arguments) {
  QueueOptions options{.worker_concurrency = count_option("--worker-concurrency", arguments.whole.worker_concurrency),
                       .concurrency = count_option("--concurrency", arguments.whole.concurrency),
                       .rate = rate_option("--rate", arguments.whole.rate),
                       .fair_by_partition = yes_or_no("--fair", arguments.fair),
                       .weights = weights_option(arguments.weights),
                       .partition_worker_concurrency = count_option("--partition-worker-concurrency", arguments.partition.worker_concurrency),
                       .partition_concurrency = count_option("--partition-concurrency", arguments.partition.concurrency),
                       .partition_rate = rate_option("--partition-rate", arguments.partition.rate),
                       .partitioned = yes_or_no("--partitioned", arguments.partitioned)};
  if (!arguments.polling_interval.empty()) {
    options.polling_interval = duration_option("--polling-interval", arguments.polling_interval);
    if (options.polling_interval.count() == 0) throw UsageError("--polling-interval of 0 would never rest", {}, {}, "write 500ms, 30s or 5m");
  }
  return options;
}

nlohmann::json rate_json(const RateLimit& rate) {
  if (!rate.max) return nullptr;
  return {{"max", *rate.max}, {"period_ms", rate.period.count()}};
}

nlohmann::json count_json(const std::optional<int>& count) { return count ? nlohmann::json(*count) : nlohmann::json(); }

nlohmann::json to_json(const QueueInfo& queue) {
  const auto& options = queue.options;
  return {{"name", queue.name},
          {"application", queue.application.empty() ? nlohmann::json() : nlohmann::json(queue.application)},
          {"worker_concurrency", count_json(options.worker_concurrency)},
          {"concurrency", count_json(options.concurrency)},
          {"rate", rate_json(options.rate)},
          {"partition_worker_concurrency", count_json(options.partition_worker_concurrency)},
          {"partition_concurrency", count_json(options.partition_concurrency)},
          {"partition_rate", rate_json(options.partition_rate)},
          {"fair_by_partition", options.fair_by_partition.value_or(false)},
          {"weights", options.weights},
          {"polling_interval_ms", options.polling_interval.count()},
          {"partitioned", queue.partitioned},
          {"paused", queue.paused},
          {"registered", true},
          {"created_at", queue.created_at},
          {"updated_at", queue.updated_at}};
}

std::string limits_text(const std::optional<int>& worker, const std::optional<int>& all, const RateLimit& rate) {
  std::string text;
  auto add = [&](const std::string& part) { text += (text.empty() ? "" : ", ") + part; };
  if (all) add(std::to_string(*all) + " at once");
  if (worker) add(std::to_string(*worker) + " in a process");
  if (rate.max) add(std::to_string(*rate.max) + " per " + duration_text(rate.period.count()));
  return text.empty() ? "-" : text;
}

std::string share_text(const QueueOptions& options) {
  if (!options.fair_by_partition.value_or(false)) return "-";
  std::string text = "fair";
  for (const auto& [key, weight] : options.weights) text += " " + printable(key) + "=" + nlohmann::json(weight).dump();
  return text;
}

nlohmann::json to_json(const UnregisteredQueue& queue) {
  return {{"name", queue.name}, {"registered", false}, {"waiting", queue.waiting}, {"oldest", queue.oldest}};
}

std::string table_text(const std::vector<QueueInfo>& queues, const std::vector<UnregisteredQueue>& strays = {}) {
  Table table({"QUEUE", "STATE", "APPLICATION", "LIMITS", "LIMITS PER PARTITION", "SHARES"});
  for (const auto& queue : queues) {
    const auto& o = queue.options;
    table.add({printable(queue.name), queue.paused ? "paused" : "open", queue.application.empty() ? "-" : printable(queue.application),
               limits_text(o.worker_concurrency, o.concurrency, o.rate),
               queue.partitioned ? limits_text(o.partition_worker_concurrency, o.partition_concurrency, o.partition_rate) : "-", share_text(o)});
  }
  for (const auto& stray : strays) {
    auto state = "not registered, " + std::to_string(stray.waiting) + (stray.waiting == 1 ? " waits" : " wait");
    table.add({printable(stray.name), state, "-", "-", "-", "-"});
  }
  return table.text();
}

// The queue as it is now.
void report(Client& client, const Common& common, const std::string& name) {
  for (const auto& queue : client.queues()) {
    if (queue.name != name) continue;
    if (common.json) print(to_json(queue));
    else std::cout << table_text({queue});
    return;
  }
}

}  // namespace

void run_queues_list(const Common& common) {
  Client client = connect(common);
  auto queues = client.queues();
  auto strays = client.unregistered_queues();
  std::erase_if(queues,
                [&](const QueueInfo& q) { return !common.application.empty() && !q.application.empty() && q.application != common.application; });
  if (common.json) {
    nlohmann::json rows = nlohmann::json::array();
    for (const auto& queue : queues) rows.push_back(to_json(queue));
    for (const auto& stray : strays) rows.push_back(to_json(stray));
    print(rows);
    return;
  }
  if (queues.empty()) std::cerr << "no queue is registered\n";
  if (!queues.empty() || !strays.empty()) std::cout << table_text(queues, strays);
}

void run_queues_register(const Common& common, const QueueArguments& arguments) {
  auto options = options_of(arguments);
  // `none` takes a limit away; in a new queue none is there.
  for (auto* count : {&options.worker_concurrency, &options.concurrency, &options.rate.max, &options.partition_worker_concurrency,
                      &options.partition_concurrency, &options.partition_rate.max}) {
    if (*count == 0) count->reset();
  }
  if (arguments.keep) options.on_conflict = QueueConflict::never_update;
  Client client = connect(common);
  client.register_queue(arguments.name, options);
  report(client, common, arguments.name);
}

void run_queues_alter(const Common& common, const QueueArguments& arguments) {
  auto options = options_of(arguments);
  Client client = connect(common);
  client.alter_queue(arguments.name, options);
  report(client, common, arguments.name);
}

void run_queues_pause(const Common& common, const QueueArguments& arguments) {
  Client client = connect(common);
  client.pause_queue(arguments.name);
  report(client, common, arguments.name);
}

void run_queues_resume(const Common& common, const QueueArguments& arguments) {
  Client client = connect(common);
  client.resume_queue(arguments.name);
  report(client, common, arguments.name);
}

void run_queues_drop(const Common& common, const QueueArguments& arguments) {
  connect(common).drop_queue(arguments.name, arguments.force);
  if (common.json) print({{"dropped", arguments.name}});
  else std::cout << "dropped " << printable(arguments.name) << "\n";
}

}  // namespace dbos::cli
