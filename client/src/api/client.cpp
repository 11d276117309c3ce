// Client: checks and encodes, then one blocking call of the store.
#include "dbos/client.hpp"

#include "api/client_impl.hpp"
#include "api/limit_options.hpp"
#include "api/queue_options.hpp"
#include "codec/object_text.hpp"
#include "engine/ids.hpp"
#include "engine/outcome.hpp"
#include "engine/start_options.hpp"

namespace dbos {

using namespace detail;

namespace {

constexpr std::size_t kMaxPayload = 64 * 1024 * 1024;

// A workflow seen from a process that does not run it.
class ClientHandle final : public HandleState {
 public:
  ClientHandle(std::shared_ptr<Client::Impl> client, std::string id) : client_(std::move(client)), id_(std::move(id)) {}

  const std::string& id() const noexcept override { return id_; }

  std::string result_text(std::optional<Milliseconds> timeout) override {
    if (Run* run = current_run()) return recorded_result(*run, id_, timeout);
    BodyLend lend;
    auto outcome = client_->store.wait_outcome(id_, timeout, true);
    if (!outcome)
      throw Timeout("workflow " + id_ + " has not ended within " + std::to_string(timeout.value_or(Milliseconds{0}).count()) + " ms", {}, id_);
    return outcome_text(*outcome);
  }
  void wait_durable() override {}
  WorkflowInfo info() override {
    auto row = client_->store.status(id_);
    if (!row) throw NotFound("no workflow has the id " + id_, "WF010", id_);
    return *row;
  }

 private:
  std::shared_ptr<Client::Impl> client_;
  std::string id_;
};

// Long ones pass: a row of another SDK may have such an id.
void check_id(const std::string& id) { check_label("workflow id", id, std::string::npos); }

std::string filter_text(const ListFilter& filter, const std::string& application) {
  if (filter.limit < 0 || filter.offset < 0)
    throw UsageError("limit and offset of a list must not be negative: " + std::to_string(filter.limit) + ", " + std::to_string(filter.offset));
  auto array = [](const auto& items, auto&& text) {
    std::string out = "[";
    for (const auto& item : items) out += (out.size() > 1 ? "," : "") + json_quote(text(item));
    return out + "]";
  };
  ObjectText object;
  if (!filter.status.empty()) object.json("status", array(filter.status, [](Status s) { return to_string(s); }));
  if (!filter.ids.empty()) object.json("ids", array(filter.ids, [](const std::string& id) { return id; }));
  if (!application.empty()) object.text("application_name", application);
  if (!filter.name.empty()) object.text("name", filter.name);
  if (!filter.queue.empty()) object.text("queue_name", filter.queue);
  if (!filter.id_prefix.empty()) object.text("id_prefix", filter.id_prefix);
  if (!filter.executor_id.empty()) object.text("executor_id", filter.executor_id);
  if (!filter.version.empty()) object.text("application_version", filter.version);
  if (!filter.parent_id.empty()) object.text("parent_workflow_id", filter.parent_id);
  if (filter.created_from != 0) object.number("start_time", filter.created_from);
  if (filter.created_to != 0) object.number("end_time", filter.created_to);
  object.number("limit", filter.limit).number("offset", filter.offset);
  object.boolean("sort_desc", filter.newest_first).boolean("load_input", filter.load_payloads).boolean("load_output", filter.load_payloads);
  return object.str();
}

}  // namespace

std::shared_ptr<HandleState> detail::debounce(const std::shared_ptr<Client::Impl>& client, const std::string& name, const std::string& class_name,
                                              const std::string& key, const DebounceOptions& options, std::string inputs, std::size_t max_payload) {
  auto put_off = debounce_start(name, class_name, key, options, std::move(inputs), max_payload, client->options.application);
  auto& run = put_off.run;
  try {
    auto id = client->store.debounce({.name = run.name,
                                      .key = key,
                                      .delay = put_off.delay,
                                      .deadline = put_off.deadline,
                                      .inputs = std::move(run.inputs),
                                      .options_json = std::move(run.options),
                                      .id = run.id.empty() ? uuid_v7() : run.id});
    return std::make_shared<ClientHandle>(client, id);
  } catch (const Error& e) {
    if (e.sqlstate() != "WF012") throw;
    throw Deduplicated(e.what(), "WF012");
  }
}

Client::Client(ClientOptions options) : impl_(std::make_shared<Impl>(std::move(options))) {}
Client::~Client() = default;

std::shared_ptr<HandleState> Client::enqueue_text(std::string_view name, std::string_view class_name, const std::string& queue, StartOptions options,
                                                  std::string inputs) {
  check_label("queue name", queue, kNameBytes);
  auto request = start_request(std::string(name), std::string(class_name), queue, options, std::move(inputs), kMaxPayload);
  RunItem item{.id = request.id.empty() ? uuid_v7() : request.id,
               .token = uuid_v4(),
               .is_new = true,
               .name = std::move(request.name),
               .inputs = std::move(request.inputs),
               .options = std::move(request.options)};
  auto reply = impl_->store.enqueue({item}).at(0);
  if (reply.state == RunState::conflict) throw Conflict("workflow id " + item.id + " belongs to workflow " + reply.value, "WF011", item.id);
  if (reply.state == RunState::deduplicated)
    throw Deduplicated(
        "workflow " + item.id + " was deduplicated: workflow " + reply.value + " holds the deduplication id " + options.deduplication_id, "WF012",
        reply.value);
  return handle_state(reply.holder.empty() ? item.id : reply.holder);
}

Handle<nlohmann::json> Client::enqueue_json(const std::string& name, const std::string& queue, StartOptions options,
                                            const std::string& inputs_envelope) {
  auto inputs = parse_json(inputs_envelope, "inputs of workflow " + name);
  if (!inputs.is_object())
    throw UsageError("inputs of workflow " + name +
                     " are not an envelope {\"positionalArgs\":[…],\"namedArgs\":{…}}: " + inputs_envelope.substr(0, 80));
  return Handle<nlohmann::json>(enqueue_text(name, options.class_name, queue, options, inputs_envelope));
}

std::shared_ptr<HandleState> Client::handle_state(const std::string& id) {
  check_id(id);
  return std::make_shared<ClientHandle>(impl_, id);
}

std::optional<WorkflowInfo> Client::status(const std::string& id) {
  check_id(id);
  return impl_->store.status(id);
}

std::vector<WorkflowInfo> Client::list(const ListFilter& filter) {
  return impl_->store.list(filter_text(filter, impl_->options.application), filter.archived);
}

std::vector<StepInfo> Client::steps(const std::string& id) {
  check_id(id);
  return impl_->store.steps(id);
}

std::vector<HistoryEntry> Client::history(const std::string& id) {
  check_id(id);
  return impl_->store.history(id);
}

std::int64_t Client::restore(const std::string& id, Milliseconds hold, bool children) {
  check_id(id);
  if (hold.count() < 0) throw UsageError("hold of " + std::to_string(hold.count()) + " ms is negative");
  return impl_->store.restore(id, hold, children);
}

std::string Client::fork_id(const std::string& id, const ForkOptions& options) {
  check_id(id);
  if (!options.id.empty()) check_id(options.id);
  return impl_->store.fork(id, options);
}

int Client::cancel(const std::string& id, CancelOptions options) { return cancel(std::vector{id}, options); }
int Client::cancel(const std::vector<std::string>& ids, CancelOptions options) {
  for (const auto& id : ids) check_id(id);
  return ids.empty() ? 0 : impl_->store.cancel(ids, options.children);
}

int Client::resume(const std::string& id, const std::string& queue) { return resume(std::vector{id}, queue); }
int Client::resume(const std::vector<std::string>& ids, const std::string& queue) {
  for (const auto& id : ids) check_id(id);
  return ids.empty() ? 0 : impl_->store.resume(ids, queue);
}

void Client::send_text(const std::string& destination, const std::string& message, const SendOptions& options) {
  check_id(destination);
  check_topic(options.topic);
  impl_->store.send(destination, options.topic, message, options.idempotency_key);
}

std::optional<std::string> Client::get_event_text(const std::string& id, const std::string& key, Milliseconds timeout) {
  check_id(id);
  if (timeout.count() < 0) throw UsageError("timeout of " + std::to_string(timeout.count()) + " ms is negative");
  return impl_->store.get_event(id, key, timeout);
}

std::shared_ptr<HandleState> Client::debounce_text(std::string_view name, std::string_view class_name, const std::string& key,
                                                   DebounceOptions options, std::string inputs) {
  return detail::debounce(impl_, std::string(name), std::string(class_name), key, options, std::move(inputs), kMaxPayload);
}

void Client::register_queue(const std::string& name, const QueueOptions& options) {
  check_queue(name, options);
  if (options.on_conflict == QueueConflict::update_if_latest_version)
    throw UsageError("queue " + name + ": a Client has no version to compare", "WF001", {}, "register it by Runtime::queue()");
  impl_->store.register_queue(name, options);
}
void Client::alter_queue(const std::string& name, const QueueOptions& options) {
  check_queue(name, options, true);
  impl_->store.alter_queue(name, options);
}
void Client::pause_queue(const std::string& name) {
  check_queue(name, {});
  impl_->store.pause_queue(name);
}
void Client::resume_queue(const std::string& name) {
  check_queue(name, {});
  impl_->store.resume_queue(name);
}
void Client::drop_queue(const std::string& name, bool force) {
  check_queue(name, {});
  impl_->store.drop_queue(name, force);
}
std::vector<QueueInfo> Client::queues() { return impl_->store.queues(); }
std::vector<UnregisteredQueue> Client::unregistered_queues() { return impl_->store.unregistered_queues(); }

void Client::register_limit(const std::string& name, const LimitOptions& options) {
  check_limit(name, options);
  impl_->store.register_limit(name, options);
}
void Client::alter_limit(const std::string& name, const LimitChange& change) {
  check_limit(name, change);
  impl_->store.alter_limit(name, change);
}
std::int64_t Client::drop_limit(const std::string& name, bool force) { return impl_->store.drop_limit(name, force); }
std::int64_t Client::hold(const std::string& name, Milliseconds duration) { return impl_->store.hold(name, duration); }
std::vector<LimitInfo> Client::limits() { return impl_->store.limits(); }

void Client::apply_schedule(const std::string& name, const std::string& workflow, const ScheduleOptions& options) {
  impl_->store.apply_schedule(name, workflow, options);
}
void Client::alter_schedule(const std::string& name, const ScheduleChange& change) { impl_->store.alter_schedule(name, change); }
void Client::pause_schedule(const std::string& name) { impl_->store.pause_schedule(name); }
void Client::resume_schedule(const std::string& name) { impl_->store.resume_schedule(name); }
void Client::drop_schedule(const std::string& name) { impl_->store.drop_schedule(name); }
std::string Client::trigger_schedule(const std::string& name) { return impl_->store.trigger_schedule(name); }
BackfillReport Client::backfill_schedule(const std::string& name, std::int64_t from, std::int64_t to, int limit) {
  return impl_->store.backfill_schedule(name, from, to, limit);
}
std::vector<ScheduleInfo> Client::schedules() { return impl_->store.schedules(); }

void Client::check() { impl_->store.check_version(); }

}  // namespace dbos
