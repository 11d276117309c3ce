// Runtime: registration, then an engine over a PgStore.
#include "dbos/runtime.hpp"

#include <cstdlib>

#include "api/client_impl.hpp"
#include "api/limit_options.hpp"
#include "api/queue_options.hpp"
#include "engine/engine.hpp"
#include "engine/ids.hpp"
#include "engine/outcome.hpp"
#include "engine/start_options.hpp"
#include "store/pg_store.hpp"

namespace dbos {

namespace detail {

class RuntimeImpl {
 public:
  explicit RuntimeImpl(RuntimeOptions given) : options(std::move(given)) {}

  RuntimeOptions options;
  Registry registry;
  std::vector<std::pair<std::string, QueueOptions>> queues;
  std::vector<std::pair<std::string, LimitOptions>> limits;
  struct Scheduled {
    std::string name, workflow;
    ScheduleOptions options;
  };
  std::vector<Scheduled> schedules;
  Identity identity;
  std::shared_ptr<Engine> engine;
  std::shared_ptr<Client::Impl> client;
};

std::shared_ptr<HandleState> start_workflow(const std::shared_ptr<RuntimeImpl>& runtime, const std::string& name, const std::string& class_name,
                                            const std::string& queue, StartOptions options, std::string inputs, bool wait) {
  auto& engine = runtime->engine;
  if (!engine) throw UsageError("launch() the runtime before starting workflow " + name);
  if (current_run()) throw UsageError("workflow " + name + " started inside a workflow: use the Context's start() or enqueue(), which record it");
  if (current_body_run()) throw UsageError("workflow " + name + " started inside a step body: start it from the workflow's own code");
  bool may_change = options.return_existing;
  auto run = engine->start(start_request(name, class_name, queue, options, std::move(inputs), runtime->options.max_payload));
  auto handle = std::make_shared<EngineHandle>(engine, run->id, run, may_change);
  if (wait) handle->wait_durable();
  return handle;
}

std::shared_ptr<HandleState> debounce_workflow(const std::shared_ptr<RuntimeImpl>& runtime, const std::string& name, const std::string& class_name,
                                               const std::string& key, DebounceOptions options, std::string inputs) {
  if (current_run())
    throw UsageError("workflow " + name + " debounced inside a workflow", {}, {}, "use Context::debounce(), which records it, or do it in a step");
  return debounce(runtime->client, name, class_name, key, options, std::move(inputs), runtime->options.max_payload);
}

}  // namespace detail

using namespace detail;

namespace {

std::string from_environment(const std::string& given, const char* variable) {
  if (!given.empty()) return given;
  const char* value = std::getenv(variable);
  return value ? value : "";
}

constexpr std::size_t kMostStackBytes = std::size_t{1} << 30;

void check_options(const RuntimeOptions& options) {
  auto positive = [](const char* what, auto value) {
    if (value <= 0) throw UsageError(std::string(what) + " must be positive: " + std::to_string(value));
  };
  check_label("RuntimeOptions::application", options.application, kNameBytes);
  positive("connections", options.connections);
  positive("lease (ms)", options.lease.count());
  positive("poll_interval (ms)", options.poll_interval.count());
  positive("unload_after (ms)", options.unload_after.count());
  positive("max_blocking_steps", static_cast<int>(options.max_blocking_steps));
  if (options.max_stacks == 0) throw UsageError("max_stacks must be positive: 0");
  if (options.max_payload == 0) throw UsageError("max_payload must be positive: 0");
  if (options.stack_bytes > kMostStackBytes)
    throw UsageError("stack_bytes is " + std::to_string(options.stack_bytes) + "; at most " + std::to_string(kMostStackBytes) + " are allowed");
  if (options.drain_timeout.count() < 0)
    throw UsageError("drain_timeout must not be negative: " + std::to_string(options.drain_timeout.count()) + " ms");
}

}  // namespace

Runtime::Runtime(RuntimeOptions options)
    : Client({.database = options.database,
              .application = options.application,
              .connect_timeout = options.connect_timeout,
              .listen = options.listen,
              .log = options.log,
              .reply_timeout = options.reply_timeout}),
      runtime_(std::make_shared<RuntimeImpl>(std::move(options))) {
  check_options(runtime_->options);
  runtime_->client = impl_;
  auto& identity = runtime_->identity;
  identity.application = runtime_->options.application;
  identity.executor = from_environment(runtime_->options.executor_id, "DBOS__VMID");
  if (identity.executor.empty()) identity.executor = uuid_v4();
  identity.version = from_environment(runtime_->options.version, "DBOS__APPVERSION");
  if (identity.version.empty()) identity.version = default_version(identity.application);
  identity.lease = runtime_->options.lease;
}

Runtime::~Runtime() { shutdown(); }

void Runtime::add_workflow(const std::string& name, const WorkflowOptions& options, WorkflowBody body) {
  if (runtime_->engine) throw UsageError("workflow " + name + " registered after launch()");
  runtime_->registry.add(name, options, std::move(body));
}

void Runtime::queue(const std::string& name, QueueOptions options) {
  if (runtime_->engine) throw UsageError("queue " + name + " registered after launch()");
  check_queue(name, options);
  runtime_->queues.emplace_back(name, options);
}

void Runtime::limit(const std::string& name, LimitOptions options) {
  if (runtime_->engine) throw UsageError("limit " + name + " registered after launch()");
  check_limit(name, options);
  runtime_->limits.emplace_back(name, std::move(options));
}

void Runtime::add_schedule(const std::string& name, const std::string& workflow, ScheduleOptions options) {
  if (runtime_->engine) throw UsageError("schedule " + name + " registered after launch()");
  check_label("schedule name", name, kNameBytes);
  if (options.cron.empty()) throw UsageError("schedule " + name + " has no cron text", {}, {}, "give .cron, as \"30 2 * * MON-FRI\"");
  // The code says all of it, and its workflow reads this form.
  if (!options.context_json) options.context_json = "null";
  if (!options.typescript) options.typescript = false;
  if (!options.server) options.server = true;
  runtime_->schedules.push_back({name, workflow, std::move(options)});
}

void Runtime::launch() {
  auto& runtime = *runtime_;
  if (runtime.engine) throw UsageError("launch() called twice");
  if (runtime.options.migrate) impl_->store.install();
  impl_->store.check_version();
  auto engine = std::make_shared<Engine>(runtime.options, runtime.registry, make_pg_store(runtime.options));
  engine->workflow_info = [client = impl_](const std::string& id) {
    auto row = client->store.status(id);
    if (!row) throw NotFound("no workflow has the id " + id, "WF010", id);
    return *row;
  };
  engine->serve({.name = std::string(kInternalQueue)});
  for (const auto& [name, options] : runtime.queues) {
    // A version is the newest only once it is registered, which opening does; until then the row must be there, for limits to hold.
    auto there = options;
    if (options.on_conflict == QueueConflict::update_if_latest_version) there.on_conflict = QueueConflict::never_update;
    impl_->store.register_queue(name, there);
    int workers = options.worker_concurrency.value_or(0);
    ServedQueue served{.name = name};
    served.bound_by(workers);
    engine->serve(std::move(served));
    if (static_cast<unsigned>(workers) > runtime.options.max_blocking_steps)
      engine->log(LogLevel::warning, "queue " + name + ": worker_concurrency " + std::to_string(workers) +
                                         " exceeds max_blocking_steps: bodies that block will wait for each other");
  }
  for (const auto& [name, options] : runtime.limits) impl_->store.register_limit(name, options);
  for (const auto& [name, workflow, options] : runtime.schedules) impl_->store.apply_schedule(name, workflow, options);
  auto identity = runtime.identity;
  identity.incarnation = uuid_v4();
  engine->open(identity, false);
  runtime.engine = std::move(engine);
  for (const auto& [name, options] : runtime.queues)
    if (options.on_conflict == QueueConflict::update_if_latest_version) impl_->store.register_queue(name, options, identity.version);
}

void Runtime::shutdown() { shutdown(runtime_->options.drain_timeout); }

void Runtime::shutdown(Milliseconds drain) {
  if (runtime_->engine) runtime_->engine->close(drain);
}

const std::string& Runtime::executor_id() const noexcept { return runtime_->identity.executor; }
const std::string& Runtime::version() const noexcept { return runtime_->identity.version; }

}  // namespace dbos
