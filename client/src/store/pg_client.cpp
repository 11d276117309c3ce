// ClientStore on PostgreSQL. With pg_trip.cpp the only place that names SQL functions.
#include <algorithm>
#include <atomic>
#include <cstdio>
#include <random>
#include <thread>

#include "codec/object_text.hpp"
#include "dbos/json.hpp"
#include "pg/backoff.hpp"
#include "pg/sqlstate.hpp"
#include "store/client_store.hpp"
#include "store/pg_hub.hpp"
#include "store/pg_pool.hpp"
#include "store/pg_queues.hpp"
#include "store/pg_rows.hpp"
#include "store/pg_schedules.hpp"
#include "store/pg_session.hpp"
#include "store/pg_trip.hpp"
#include "store/unknown_queue.hpp"

namespace dbos::detail {

namespace {

using Repeat = PgPool::Repeat;

// Not `dbos_sys/…`: those are the sessions that keep an executor alive.
constexpr const char* kSessionName = "dbos_sys client";

const std::string kOutcomes = std::string("SELECT ") + kOutcomeColumns + " FROM dbos_sys.outcomes($1) AS o";
#define DBOS_WORKFLOW_COLUMNS                                                                                                        \
  "SELECT w.workflow_uuid, w.status, w.name, w.class_name, w.application_name, w.application_version, w.executor_id, w.queue_name, " \
  "w.queue_partition_key, w.deduplication_id, w.parent_workflow_id, w.forked_from, w.authenticated_user, "                           \
  "w.attributes::pg_catalog.text, w.serialization, w.priority, w.recovery_attempts, w.created_at, w.started_at_epoch_ms, "           \
  "w.updated_at, w.completed_at, w.delay_until_epoch_ms, w.workflow_timeout_ms, w.workflow_deadline_epoch_ms, w.inputs, w.output, "  \
  "w.error FROM "
constexpr const char* kStatus = DBOS_WORKFLOW_COLUMNS "dbos_sys.status($1) AS w WHERE w.workflow_uuid IS NOT NULL";
constexpr const char* kList = DBOS_WORKFLOW_COLUMNS "dbos_sys.list($1, $2) AS w";
#undef DBOS_WORKFLOW_COLUMNS
constexpr const char* kSteps =
    "SELECT s.function_id, s.function_name, s.child_workflow_id, s.serialization, s.started_at_epoch_ms, s.completed_at_epoch_ms, "
    "s.output, s.error FROM dbos_sys.steps($1) AS s";
constexpr const char* kHistory =
    "SELECT COALESCE((EXTRACT(epoch FROM h.at) OPERATOR(pg_catalog.*) 1000)::pg_catalog.int8, 0), h.what, COALESCE(h.function_id, -1), h.name, "
    "h.value, "
    "h.error, h.archived FROM dbos_sys.history($1) AS h";
constexpr const char* kRestore = "SELECT dbos_sys.restore($1, $2::pg_catalog.text::pg_catalog.interval, $3)";
constexpr const char* kFork = "SELECT dbos_sys.fork($1, $2, $3, $4, $5, $6)";
constexpr const char* kCancel = "SELECT dbos_sys.cancel($1, $2)";
constexpr const char* kResume = "SELECT dbos_sys.resume($1, $2)";
constexpr const char* kSend = "SELECT 1 FROM dbos_sys.send($1, $2::pg_catalog.json, $3, $4)";
constexpr const char* kEvent = "SELECT e.value FROM dbos_sys.get_event($1, $2) AS e";
constexpr const char* kRegisterLimit =
    "SELECT 1 FROM dbos_sys.register_limit($1, $2::pg_catalog.text::pg_catalog.float8, $3::pg_catalog.text::pg_catalog.interval, $4, "
    "$5::pg_catalog.text::pg_catalog.int4, $6)";
constexpr const char* kDebounce = "SELECT dbos_sys.debounce_inputs($1, $2, $3, $4, $5, $6, $7)";
constexpr const char* kAlterLimit =
    "SELECT 1 FROM dbos_sys.alter_limit($1, $2::pg_catalog.text::pg_catalog.float8, $3::pg_catalog.text::pg_catalog.interval, "
    "$4::pg_catalog.text::pg_catalog.int4, $5::pg_catalog.text::pg_catalog.int4, $6::pg_catalog.text::pg_catalog.jsonb)";
constexpr const char* kLimits =
    "SELECT l.name, COALESCE(l.rate, 0)::pg_catalog.text, (EXTRACT(epoch FROM l.per) OPERATOR(pg_catalog.*) 1000)::pg_catalog.int8, l.burst, "
    "COALESCE(l.concurrency, 0), l.weights::pg_catalog.text, l.waiting, l.holding, l.granted, COALESCE(l.held_until, 0) FROM dbos_sys.limits() AS l";
constexpr const char* kInstall = "SELECT dbos_sys.install()::pg_catalog.text";

WorkflowInfo read_info(const pg::Result& rows, int row) {
  WorkflowInfo info;
  int column = 0;
  info.id = rows.text(row, column++);
  info.status = status_from_string(rows.text(row, column++));
  for (auto* text :
       {&info.name, &info.class_name, &info.application, &info.version, &info.executor_id, &info.queue, &info.partition, &info.deduplication_id,
        &info.parent_id, &info.forked_from, &info.authenticated_user, &info.attributes_json, &info.serialization}) {
    *text = rows.text(row, column++);
  }
  info.priority = rows.int4(row, column++);
  for (auto* number : {&info.attempts, &info.created_at, &info.started_at, &info.updated_at, &info.completed_at, &info.delay_until, &info.timeout_ms,
                       &info.deadline}) {
    *number = rows.int8(row, column++);
  }
  for (auto* payload : {&info.inputs, &info.output, &info.error}) *payload = rows.text_or_null(row, column++);
  return info;
}

StepInfo read_step(const pg::Result& rows, int row) {
  return {.function_id = rows.int4(row, 0),
          .name = rows.text(row, 1),
          .child_id = rows.text(row, 2),
          .serialization = rows.text(row, 3),
          .started_at = rows.int8(row, 4),
          .completed_at = rows.int8(row, 5),
          .output = rows.text_or_null(row, 6),
          .error = rows.text_or_null(row, 7)};
}

pg::ArrayBuffer text_array(const std::vector<std::string>& texts) {
  pg::ArrayBuffer array(pg::kTextArray, pg::kText);
  for (const auto& text : texts) array.add_text(text);
  return array;
}

// A message's key when the caller gave none, so that a message whose reply was lost can be sent again. Keys of one process ascend, because
// messages of the same millisecond are received in the order of their keys.
std::string fresh_key() {
  static const std::uint64_t kProcess = (std::uint64_t{std::random_device()()} << 32) | std::random_device()();
  static std::atomic<std::uint64_t> counter{0};
  auto now = std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::system_clock::now().time_since_epoch()).count();
  char text[64];
  std::snprintf(text, sizeof text, "%012llx-%010llx-%016llx", static_cast<unsigned long long>(now), static_cast<unsigned long long>(++counter),
                static_cast<unsigned long long>(kProcess));
  return text;
}

PgHub::Deadline deadline_of(std::optional<Milliseconds> timeout) {
  if (!timeout) return std::nullopt;
  return std::chrono::steady_clock::now() + std::min(*timeout, Milliseconds(std::chrono::hours(24 * 3650)));
}

}  // namespace

struct ClientStore::Impl {
  explicit Impl(const ClientOptions& given)
      : options(given),
        pool(pg::Target{given.database, kSessionName, given.connect_timeout, check_reply_timeout(given.reply_timeout), notices_to(given.log)}),
        hub(pool.target(), given.listen) {}

  const ClientOptions options;
  PgPool pool;
  PgHub hub;
  UnknownQueues unknown_queues;

  TripReply flush_once(const Trip& trip);
  std::vector<RunReply> enqueue(const std::vector<RunItem>& runs);
};

// The replies, or the error of a transaction that was rolled back. Throws InDoubt when the connection is lost, ConnectionError before that.
TripReply ClientStore::Impl::flush_once(const Trip& trip) {
  TripWriter writer;
  std::vector<Part> parts;
  Identity nobody;
  nobody.application = options.application;
  auto connection = pool.acquire();
  (*connection).limit_reply(options.reply_timeout);
  switch (writer.write(*connection, trip, nobody, false, parts)) {
    case TripWriter::Queued::refused: throw UsageError(writer.refusal(), "22021", {}, "texts have to be UTF-8 without NUL");
    case TripWriter::Queued::gone: throw InDoubt((*connection).failure().message);
    case TripWriter::Queued::sent: break;
  }
  auto results = (*connection).await_results();
  TripReply reply;
  if (const auto* failed = first_error(results)) {
    auto part = parts[static_cast<std::size_t>(failed - results.data())];
    read_error(part, failed->error(), reply);
    roll_back(*connection);
    if (reply.error == TripError::permanent) throw_server_error(failed->error());
    return reply;
  }
  for (std::size_t i = 0; i < parts.size(); ++i) read_part(parts[i], results[i], trip, reply);
  unknown_queues.tell(options.log, reply.unknown_queues);
  return reply;
}

std::vector<RunReply> ClientStore::Impl::enqueue(const std::vector<RunItem>& runs) {
  constexpr int kTries = 10;
  Trip trip;
  trip.flush.emplace().runs = runs;
  pg::Backoff backoff(Milliseconds(10), Milliseconds(2000), std::random_device()());
  bool in_doubt = false;
  for (int left = kTries - 1;; --left) {
    try {
      auto reply = flush_once(trip);
      bool busy = std::any_of(reply.runs.begin(), reply.runs.end(), [](const auto& run) { return run.state == RunState::busy; });
      if (reply.error == TripError::none && !busy) return std::move(reply.runs);
      if (left == 0)
        throw_server_error(
            {reply.sqlstate.empty() ? "40001" : reply.sqlstate, busy ? "a workflow of this id is being changed" : reply.message, {}, reply.hint});
    } catch (const InDoubt& e) {
      in_doubt = true;
      if (left == 0) throw;
    } catch (const ConnectionError& e) {
      // What was in doubt before stays so.
      if (!in_doubt) throw;
      if (left == 0) throw InDoubt(e.what(), e.sqlstate(), runs.size() == 1 ? runs.front().id : "", "enqueue again under the same ids");
    }
    trip.flush->careful = true;
    std::this_thread::sleep_for(backoff.next());
  }
}

ClientStore::ClientStore(const ClientOptions& options) : impl_(std::make_unique<Impl>(options)) {
  if (options.connect_timeout.count() <= 0)
    throw UsageError("connect_timeout is " + std::to_string(options.connect_timeout.count()) + " ms; it has to be positive");
}
ClientStore::~ClientStore() = default;

std::vector<RunReply> ClientStore::enqueue(const std::vector<RunItem>& runs) {
  if (runs.empty()) return {};
  return impl_->enqueue(runs);
}

std::optional<WorkflowOutcome> ClientStore::wait_outcome(const std::string& id, std::optional<Milliseconds> timeout, bool must_exist) {
  auto deadline = deadline_of(timeout);
  auto ids = text_array({id});
  std::vector<WorkflowOutcome> outcomes;
  read_outcomes(impl_->pool.run(Repeat::read, kOutcomes.c_str(), pg::Params().array(ids), "result", id), outcomes);
  std::optional<WorkflowOutcome> outcome;
  if (!outcomes.empty()) outcome = std::move(outcomes.front());
  if (!outcome || (outcome->status.empty() && !must_exist)) outcome = impl_->hub.wait_outcome(id, must_exist, deadline);
  if (outcome && outcome->status.empty()) throw NotFound("no workflow has the id " + id, "WF010", id);
  return outcome;
}

std::optional<WorkflowInfo> ClientStore::status(const std::string& id) {
  auto rows = impl_->pool.run(Repeat::read, kStatus, pg::Params().text(id), "status", id);
  if (rows.rows() == 0) return std::nullopt;
  return read_info(rows, 0);
}

std::vector<WorkflowInfo> ClientStore::list(const std::string& filter_json, bool archived) {
  auto rows = impl_->pool.run(Repeat::read, kList, pg::Params().jsonb(filter_json.empty() ? "{}" : filter_json).boolean(archived), "list");
  std::vector<WorkflowInfo> list;
  list.reserve(static_cast<std::size_t>(rows.rows()));
  for (int row = 0; row < rows.rows(); ++row) list.push_back(read_info(rows, row));
  return list;
}

std::vector<StepInfo> ClientStore::steps(const std::string& id) {
  auto rows = impl_->pool.run(Repeat::read, kSteps, pg::Params().text(id), "steps", id);
  std::vector<StepInfo> steps;
  steps.reserve(static_cast<std::size_t>(rows.rows()));
  for (int row = 0; row < rows.rows(); ++row) steps.push_back(read_step(rows, row));
  return steps;
}

int ClientStore::cancel(const std::vector<std::string>& ids, bool children) {
  auto array = text_array(ids);
  return impl_->pool.run(Repeat::write, kCancel, pg::Params().array(array).boolean(children), "cancel", ids.size() == 1 ? ids.front() : "")
      .int4(0, 0);
}

int ClientStore::resume(const std::vector<std::string>& ids, const std::string& queue) {
  auto array = text_array(ids);
  return impl_->pool.run(Repeat::write, kResume, pg::Params().array(array).text_or_null(queue), "resume", ids.size() == 1 ? ids.front() : "")
      .int4(0, 0);
}

void ClientStore::send(const std::string& destination, const std::string& topic, const std::string& message_json, const std::string& key) {
  std::string unique = key.empty() ? fresh_key() : key;
  // With a key, sending it twice is sending it once.
  impl_->pool.run(Repeat::read, kSend, pg::Params().text(destination).text(message_json).text_or_null(topic).text(unique), "send", destination);
}

std::optional<std::string> ClientStore::get_event(const std::string& id, const std::string& key, Milliseconds timeout) {
  auto deadline = deadline_of(timeout);
  auto rows = impl_->pool.run(Repeat::read, kEvent, pg::Params().text(id).text(key), "get_event", id);
  if (rows.rows() > 0) return rows.text(0, 0);
  return impl_->hub.wait_event(id, key, deadline);
}

std::string ClientStore::debounce(const DebounceRequest& request) {
  pg::Params params;
  params.text(request.name).text(request.key).int8(request.delay.count()).text(request.inputs);
  if (request.deadline.count() != 0) params.int8(request.deadline.count());
  else params.null(pg::kInt8);
  params.jsonb(request.options_json).text(request.id);
  // Not repeated after a lost reply: a run that has started meanwhile would be followed by another.
  return impl_->pool.run(Repeat::write, kDebounce, params, "debounce", request.id).text(0, 0);
}

namespace {

std::string shares_text(const std::map<std::string, double>& weights) {
  ObjectText shares;
  for (const auto& [key, weight] : weights) shares.json(key, Codec<double>::encode(weight));
  return shares.str_or_empty_object();
}

std::string span_text(Milliseconds span) { return std::to_string(span.count()) + " milliseconds"; }

}  // namespace

std::vector<HistoryEntry> ClientStore::history(const std::string& id) {
  auto rows = impl_->pool.run(Repeat::read, kHistory, pg::Params().text(id), "history", id);
  std::vector<HistoryEntry> entries;
  entries.reserve(static_cast<std::size_t>(rows.rows()));
  for (int row = 0; row < rows.rows(); ++row)
    entries.push_back({.at = rows.int8(row, 0),
                       .what = rows.text(row, 1),
                       .function_id = rows.int4(row, 2),
                       .name = rows.text(row, 3),
                       .value = rows.text_or_null(row, 4),
                       .error = rows.text_or_null(row, 5),
                       .archived = rows.boolean(row, 6)});
  return entries;
}

std::int64_t ClientStore::restore(const std::string& id, Milliseconds hold, bool children) {
  auto span = span_text(hold);
  return impl_->pool.run(Repeat::write, kRestore, pg::Params().text(id).text(span).boolean(children), "restore", id).int8(0, 0);
}

std::string ClientStore::fork(const std::string& id, const ForkOptions& options) {
  pg::Params params;
  params.text(id).int4(options.from_step);
  for (const auto* text : {&options.id, &options.queue, &options.version, &options.partition}) params.text_or_null(*text);
  return impl_->pool.run(Repeat::write, kFork, params, "fork", id).text(0, 0);
}

void ClientStore::register_limit(const std::string& name, const LimitOptions& options) {
  auto rate = options.rate == 0 ? "" : Codec<double>::encode(options.rate);
  auto per = span_text(options.per);
  auto concurrency = options.concurrency == 0 ? "" : std::to_string(options.concurrency);
  auto shares = shares_text(options.weights);
  pg::Params params;
  params.text(name).text_or_null(rate).text(per).int4(options.burst).text_or_null(concurrency).jsonb(shares);
  impl_->pool.run(Repeat::read, kRegisterLimit, params, "register_limit");
}

void ClientStore::register_queue(const std::string& name, const QueueOptions& options, const std::string& version) {
  detail::register_queue(impl_->pool, name, options, impl_->options.application, version);
}
void ClientStore::alter_queue(const std::string& name, const QueueOptions& options) {
  detail::alter_queue(impl_->pool, name, options, impl_->options.application);
}
void ClientStore::pause_queue(const std::string& name) { detail::pause_queue(impl_->pool, name, impl_->options.application); }
void ClientStore::resume_queue(const std::string& name) { detail::resume_queue(impl_->pool, name, impl_->options.application); }
void ClientStore::drop_queue(const std::string& name, bool force) { detail::drop_queue(impl_->pool, name, force, impl_->options.application); }
std::vector<QueueInfo> ClientStore::queues() { return list_queues(impl_->pool); }
std::vector<UnregisteredQueue> ClientStore::unregistered_queues() { return list_unregistered_queues(impl_->pool, impl_->options.application); }

void ClientStore::apply_schedule(const std::string& name, const std::string& workflow, const ScheduleOptions& options) {
  detail::apply_schedule(impl_->pool, name, workflow, options, impl_->options.application);
}
void ClientStore::alter_schedule(const std::string& name, const ScheduleChange& change) {
  detail::alter_schedule(impl_->pool, name, change, impl_->options.application);
}
void ClientStore::pause_schedule(const std::string& name) { detail::pause_schedule(impl_->pool, name); }
void ClientStore::resume_schedule(const std::string& name) { detail::resume_schedule(impl_->pool, name); }
void ClientStore::drop_schedule(const std::string& name) { detail::drop_schedule(impl_->pool, name); }
std::string ClientStore::trigger_schedule(const std::string& name) { return detail::trigger_schedule(impl_->pool, name); }
BackfillReport ClientStore::backfill_schedule(const std::string& name, std::int64_t from, std::int64_t to, int limit) {
  return detail::backfill_schedule(impl_->pool, name, from, to, limit);
}
std::vector<ScheduleInfo> ClientStore::schedules() { return list_schedules(impl_->pool, impl_->options.application); }

void ClientStore::alter_limit(const std::string& name, const LimitChange& change) {
  auto rate = change.rate ? Codec<double>::encode(*change.rate) : "";
  auto per = change.per ? span_text(*change.per) : "";
  auto burst = change.burst ? std::to_string(*change.burst) : "";
  auto concurrency = change.concurrency ? std::to_string(*change.concurrency) : "";
  auto shares = change.weights ? shares_text(*change.weights) : "";
  pg::Params params;
  params.text(name).text_or_null(rate).text_or_null(per).text_or_null(burst).text_or_null(concurrency).text_or_null(shares);
  impl_->pool.run(Repeat::read, kAlterLimit, params, "alter_limit");
}

std::int64_t ClientStore::drop_limit(const std::string& name, bool force) {
  return impl_->pool.run(Repeat::write, "SELECT dbos_sys.drop_limit($1, $2)", pg::Params().text(name).boolean(force), "drop_limit").int8(0, 0);
}

std::int64_t ClientStore::hold(const std::string& name, Milliseconds duration) {
  auto span = span_text(duration);
  return impl_->pool
      .run(Repeat::read, "SELECT dbos_sys.hold($1, $2::pg_catalog.text::pg_catalog.interval)", pg::Params().text(name).text(span), "hold")
      .int8(0, 0);
}

std::vector<LimitInfo> ClientStore::limits() {
  auto rows = impl_->pool.run(Repeat::read, kLimits, {}, "limits");
  std::vector<LimitInfo> limits;
  for (int row = 0; row < rows.rows(); ++row) {
    auto rate = rows.text(row, 1);
    limits.push_back({.name = rows.text(row, 0),
                      .rate = std::strtod(rate.c_str(), nullptr),
                      .per_ms = rows.int8(row, 2),
                      .burst = rows.int4(row, 3),
                      .concurrency = rows.int4(row, 4),
                      .weights_json = rows.text(row, 5),
                      .waiting = rows.int8(row, 6),
                      .holding = rows.int8(row, 7),
                      .granted = rows.int8(row, 8),
                      .held_until = rows.int8(row, 9)});
  }
  return limits;
}

void ClientStore::check_version() {
  auto connection = impl_->pool.acquire();
  check_extension(*connection, true);
}

std::string ClientStore::install() { return impl_->pool.run(Repeat::read, kInstall, {}, "install", {}, kInstallTimeout).text(0, 0); }

}  // namespace dbos::detail
