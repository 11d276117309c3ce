#include "store/pg_queues.hpp"

#include <cstdio>
#include <cstdlib>

#include "codec/object_text.hpp"

namespace dbos::detail {

namespace {

using Repeat = PgPool::Repeat;

constexpr const char* kRegister = "SELECT 1 FROM dbos_sys.register_queue($1, $2)";
constexpr const char* kAlter = "SELECT 1 FROM dbos_sys.alter_queue($1, $2)";
constexpr const char* kPause = "SELECT 1 FROM dbos_sys.pause_queue($1, $2)";
constexpr const char* kResume = "SELECT 1 FROM dbos_sys.resume_queue($1, $2)";
constexpr const char* kDrop = "SELECT 1 FROM dbos_sys.drop_queue($1, $2, $3)";
// Periods in ms, weights as two arrays.
constexpr const char* kQueues =
    "SELECT q.name, q.application_name, q.worker_concurrency, q.concurrency, q.rate_limit_max, "
    "(q.rate_limit_period_sec OPERATOR(pg_catalog.*) 1000)::pg_catalog.int8, q.partition_worker_concurrency, q.partition_concurrency, "
    "q.partition_rate_limit_max, (q.partition_rate_limit_period_sec OPERATOR(pg_catalog.*) 1000)::pg_catalog.int8, "
    "(q.polling_interval_sec OPERATOR(pg_catalog.*) 1000)::pg_catalog.int8, q.fair_by_partition, q.partitioned, q.paused, q.created_at, "
    "q.updated_at, ARRAY(SELECT w.key FROM pg_catalog.jsonb_each_text(q.weights) AS w ORDER BY w.key), "
    "ARRAY(SELECT w.value FROM pg_catalog.jsonb_each_text(q.weights) AS w ORDER BY w.key) FROM dbos_sys.queues() AS q";

constexpr const char* kUnregistered = "SELECT u.name, u.waiting, u.oldest FROM dbos_sys.unregistered_queues($1) AS u";

std::string number_text(double number) {
  char text[40];
  std::snprintf(text, sizeof text, "%.17g", number);
  return text;
}

// 0 clears a limit, in a new queue as in a changed one.
void add_count(ObjectText& settings, const char* key, const std::optional<int>& count) {
  if (!count) return;
  if (*count == 0) settings.json(key, "null");
  else settings.number(key, *count);
}

void add_rate(ObjectText& settings, const std::string& prefix, const RateLimit& rate) {
  if (!rate.max) return;
  add_count(settings, (prefix + "rate_limit_max").c_str(), rate.max);
  settings.json(prefix + "rate_limit_period_sec", *rate.max == 0 ? "null" : number_text(std::chrono::duration<double>(rate.period).count()));
}

ObjectText settings_of(const QueueOptions& options, const std::string& application) {
  ObjectText settings;
  add_count(settings, "worker_concurrency", options.worker_concurrency);
  add_count(settings, "concurrency", options.concurrency);
  add_rate(settings, "", options.rate);
  add_count(settings, "partition_worker_concurrency", options.partition_worker_concurrency);
  add_count(settings, "partition_concurrency", options.partition_concurrency);
  add_rate(settings, "partition_", options.partition_rate);
  if (options.partitioned) settings.boolean("partition_queue", *options.partitioned);
  if (options.fair_by_partition) settings.boolean("fair_by_partition", *options.fair_by_partition);
  if (!options.weights.empty()) {
    ObjectText weights;
    for (const auto& [key, weight] : options.weights) weights.json(key, number_text(weight));
    settings.json("weights", weights.str());
  }
  if (options.polling_interval.count() != 0)
    settings.json("polling_interval_sec", number_text(std::chrono::duration<double>(options.polling_interval).count()));
  if (!application.empty()) settings.text("application_name", application);
  return settings;
}

const char* policy_text(QueueConflict policy) {
  switch (policy) {
    case QueueConflict::always_update: break;
    case QueueConflict::update_if_latest_version: return "update_if_latest_version";
    case QueueConflict::never_update: return "never_update";
  }
  return "always_update";
}

std::optional<int> count_at(const pg::Result& rows, int row, int column) {
  if (rows.is_null(row, column)) return {};
  return rows.int4(row, column);
}

QueueInfo read_queue(const pg::Result& rows, int row) {
  QueueInfo queue;
  int column = 0;
  queue.name = rows.text(row, column++);
  queue.application = rows.text(row, column++);
  auto& options = queue.options;
  auto read_limits = [&](std::optional<int>& worker, std::optional<int>& all, RateLimit& rate) {
    worker = count_at(rows, row, column++);
    all = count_at(rows, row, column++);
    rate.max = count_at(rows, row, column++);
    if (rate.max) rate.period = Milliseconds(rows.int8(row, column));
    ++column;
  };
  read_limits(options.worker_concurrency, options.concurrency, options.rate);
  read_limits(options.partition_worker_concurrency, options.partition_concurrency, options.partition_rate);
  options.polling_interval = Milliseconds(rows.int8(row, column++));
  options.fair_by_partition = rows.boolean(row, column++);
  queue.partitioned = rows.boolean(row, column++);
  bool by_options = options.fair_by_partition.value_or(false) || options.partition_worker_concurrency || options.partition_concurrency ||
                    options.partition_rate.max;
  if (queue.partitioned && !by_options) options.partitioned = true;
  queue.paused = rows.boolean(row, column++);
  queue.created_at = rows.int8(row, column++);
  queue.updated_at = rows.int8(row, column++);
  auto keys = rows.array(row, column++);
  auto shares = rows.array(row, column++);
  for (int left = keys.count(); left > 0; --left) {
    std::string key(keys.next().value_or(""));
    options.weights[key] = std::strtod(std::string(shares.next().value_or("")).c_str(), nullptr);
  }
  return queue;
}

}  // namespace

// A second registration of the same settings changes nothing, so do the others.
void register_queue(PgPool& pool, const std::string& name, const QueueOptions& options, const std::string& application, const std::string& version) {
  auto settings = settings_of(options, application);
  settings.text("on_conflict", policy_text(options.on_conflict));
  if (options.on_conflict == QueueConflict::update_if_latest_version && !version.empty()) settings.text("application_version", version);
  pool.run(Repeat::read, kRegister, pg::Params().text(name).jsonb(settings.str()), "register_queue");
}

void alter_queue(PgPool& pool, const std::string& name, const QueueOptions& options, const std::string& application) {
  pool.run(Repeat::read, kAlter, pg::Params().text(name).jsonb(settings_of(options, application).str_or_empty_object()), "alter_queue");
}

void pause_queue(PgPool& pool, const std::string& name, const std::string& application) {
  pool.run(Repeat::read, kPause, pg::Params().text(name).text_or_null(application), "pause_queue");
}

void resume_queue(PgPool& pool, const std::string& name, const std::string& application) {
  pool.run(Repeat::read, kResume, pg::Params().text(name).text_or_null(application), "resume_queue");
}

void drop_queue(PgPool& pool, const std::string& name, bool force, const std::string& application) {
  pool.run(Repeat::write, kDrop, pg::Params().text(name).boolean(force).text_or_null(application), "drop_queue");
}

std::vector<QueueInfo> list_queues(PgPool& pool) {
  auto rows = pool.run(Repeat::read, kQueues, {}, "queues");
  std::vector<QueueInfo> queues;
  for (int row = 0; row < rows.rows(); ++row) queues.push_back(read_queue(rows, row));
  return queues;
}

std::vector<UnregisteredQueue> list_unregistered_queues(PgPool& pool, const std::string& application) {
  auto rows = pool.run(Repeat::read, kUnregistered, pg::Params().text_or_null(application), "queues");
  std::vector<UnregisteredQueue> queues;
  for (int row = 0; row < rows.rows(); ++row) queues.push_back({rows.text(row, 0), rows.int8(row, 1), rows.int8(row, 2)});
  return queues;
}

}  // namespace dbos::detail
