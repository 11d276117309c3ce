#include "engine/start_options.hpp"

#include "codec/object_text.hpp"
#include "dbos/error.hpp"
#include "engine/ids.hpp"

namespace dbos::detail {

namespace {

constexpr std::int64_t kLongestMs = std::int64_t{100} * 366 * 24 * 3600 * 1000;

void check_optional(const char* what, std::string_view text, std::size_t limit) {
  if (!text.empty()) check_label(what, text, limit);
}

void check_duration(const char* what, Milliseconds duration) {
  if (duration.count() < 0 || duration.count() > kLongestMs)
    throw UsageError(std::string(what) + " of " + std::to_string(duration.count()) + " ms is not between 0 and 100 years");
}

void check_queue_options(const StartOptions& options, bool direct) {
  auto refuse = [&](bool given, const char* option) {
    if (direct && given) throw UsageError(std::string("option ") + option + " concerns queues: enqueue the workflow instead of starting it");
  };
  refuse(!options.partition.empty(), "partition");
  refuse(options.priority != 0, "priority");
  refuse(options.delay.count() != 0, "delay");
  refuse(!options.deduplication_id.empty(), "deduplication_id");
  refuse(options.return_existing, "return_existing");
  refuse(!options.version.empty(), "version");
  refuse(!options.application.empty(), "application");
  if (options.priority < 0) throw UsageError("priority " + std::to_string(options.priority) + " is negative");
  if (options.return_existing && options.deduplication_id.empty()) throw UsageError("return_existing needs a deduplication_id");
  if (!options.partition.empty() && !options.deduplication_id.empty()) throw UsageError("partition and deduplication_id exclude each other");
}

}  // namespace

StartRequest start_request(std::string name, std::string class_name, std::string queue, const StartOptions& options, std::string inputs,
                           std::size_t max_payload, const std::string& parent_id) {
  bool direct = queue.empty();
  check_label("workflow name", name, kNameBytes);
  check_optional("class_name", class_name, kNameBytes);
  check_optional("workflow id", options.id, kIdBytes);
  check_optional("queue name", queue, kNameBytes);
  check_optional("partition", options.partition, kPartitionBytes);
  check_optional("deduplication_id", options.deduplication_id, kNameBytes);
  check_optional("version", options.version, kNameBytes);
  check_optional("application", options.application, kNameBytes);
  check_optional("authenticated_user", options.authenticated_user, kNameBytes);
  check_duration("timeout", options.timeout);
  check_duration("delay", options.delay);
  check_queue_options(options, direct);
  if (inputs.size() > max_payload)
    throw UsageError("arguments of workflow " + name + " have " + std::to_string(inputs.size()) + " bytes, at most " + std::to_string(max_payload) +
                         " are allowed",
                     "WF001", options.id, "pass a reference to the data instead");

  if (!options.attributes_json.empty()) require_object(options.attributes_json, "attributes_json");

  ObjectText object;
  if (!direct) object.text("queue", queue);
  if (!class_name.empty()) object.text("class_name", class_name);
  if (options.timeout.count() > 0) object.number("timeout_ms", options.timeout.count());
  if (!options.attributes_json.empty()) object.json("attributes", options.attributes_json);
  if (!options.authenticated_user.empty()) object.text("authenticated_user", options.authenticated_user);
  if (!options.partition.empty()) object.text("partition_key", options.partition);
  if (options.priority != 0) object.number("priority", options.priority);
  if (options.delay.count() > 0) object.number("delay_ms", options.delay.count());
  if (!options.deduplication_id.empty()) object.text("deduplication_id", options.deduplication_id);
  if (options.return_existing) object.text("on_duplicate", "return_existing");
  if (!options.version.empty()) object.text("application_version", options.version);
  if (!options.application.empty()) object.text("application_name", options.application);
  if (!parent_id.empty()) object.text("parent_id", parent_id);
  return {.name = std::move(name),
          .class_name = std::move(class_name),
          .id = options.id,
          .queue = std::move(queue),
          .inputs = std::move(inputs),
          .options = object.str()};
}

DebounceStart debounce_start(std::string name, std::string class_name, const std::string& key, const DebounceOptions& options, std::string inputs,
                             std::size_t max_payload, const std::string& application, const std::string& parent_id) {
  check_label("debounce key", key, kNameBytes);
  if (options.delay.count() <= 0) throw UsageError("delay of a debounce is " + std::to_string(options.delay.count()) + " ms; it has to be positive");
  if (options.deadline.count() < 0) throw UsageError("deadline of a debounce is " + std::to_string(options.deadline.count()) + " ms");
  auto start = options.start;
  if (!start.deduplication_id.empty() || !start.partition.empty() || start.priority != 0 || start.delay.count() != 0 || start.return_existing)
    throw UsageError("a debounce of workflow " + name + " with deduplication_id, return_existing, partition, priority or delay", {}, {},
                     "leave them out: the key is the deduplication id, the delay is the debounce's own");
  if (start.application.empty()) start.application = application;
  auto queue = options.queue.empty() ? std::string(kInternalQueue) : options.queue;
  return {.run = start_request(std::move(name), std::move(class_name), std::move(queue), start, std::move(inputs), max_payload, parent_id),
          .key = key,
          .delay = options.delay,
          .deadline = options.deadline};
}

}  // namespace dbos::detail
