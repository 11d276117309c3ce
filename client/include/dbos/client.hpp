// Client: everything that needs no execution. Works on any system database at the shared schema, whoever runs the workflows.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <type_traits>
#include <vector>

#include "dbos/handle.hpp"
#include "dbos/json.hpp"
#include "dbos/options.hpp"
#include "dbos/records.hpp"
#include "dbos/signature.hpp"

namespace dbos {

struct CancelOptions {
  // Also cancel all descendants.
  bool children = false;
};

struct SendOptions {
  // Empty = the topic of messages without one.
  std::string topic = {};
  // The same key and destination again is one message.
  std::string idempotency_key = {};
};

// What list() returns, oldest first. All conditions hold together; empty = any.
struct ListFilter {
  std::vector<Status> status = {};
  std::string name = {};
  std::string queue = {};
  std::string id_prefix = {};
  std::vector<std::string> ids = {};
  std::string executor_id = {};
  std::string version = {};
  std::string parent_id = {};
  std::int64_t created_from = 0;  // epoch ms, 0 = open
  std::int64_t created_to = 0;
  int limit = 100;
  int offset = 0;
  bool newest_first = false;
  bool load_payloads = true;
  // Those in the archive, instead of those in the tables.
  bool archived = false;
};

// Thread safety: all members may be called from any thread. Connections are made on demand; a lost reply is resolved by the id.
class Client {
 public:
  struct Impl;

  explicit Client(ClientOptions options);
  virtual ~Client();
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  // Puts a workflow on a queue; returns when that is durable. Throws Conflict, Deduplicated, UsageError, ConnectionError.
  template <class R, class... A>
  Handle<R> enqueue(const Signature<R(A...)>& target, const std::string& queue, StartOptions options, const std::type_identity_t<A>&... arguments) {
    return Handle<R>(enqueue_text(target.name, target.class_name, queue, std::move(options), detail::encode_arguments(arguments...)));
  }
  // By name, with the inputs envelope as portable JSON text; the handle's result is parsed JSON.
  Handle<nlohmann::json> enqueue_json(const std::string& name, const std::string& queue, StartOptions options, const std::string& inputs_envelope);

  template <class R>
  Handle<R> handle(const std::string& id) {
    return Handle<R>(handle_state(id));
  }

  // nullopt when no workflow has this id.
  std::optional<WorkflowInfo> status(const std::string& id);
  std::vector<WorkflowInfo> list(const ListFilter& filter = {});
  std::vector<StepInfo> steps(const std::string& id);
  // All that is recorded, in the order of time, from the tables or else from the archive; nothing for an unknown id.
  std::vector<HistoryEntry> history(const std::string& id);
  // Out of the archive into the tables, where prune() leaves it alone for so long; returns the number of rows. `children`: with all that it started, and
  // they, as a fork by another SDK may need them; those that one which may be resumed will ask for come in any case. Throws NotFound when it is not in
  // the archive, Conflict when the id is in the tables.
  std::int64_t restore(const std::string& id, Milliseconds hold = std::chrono::hours(24), bool children = false);
  // Starts a copy of a workflow, also of an archived one, which stays where it is. Throws NotFound, Conflict.
  template <class R>
  Handle<R> fork(const std::string& id, const ForkOptions& options = {}) {
    return Handle<R>(handle_state(fork_id(id, options)));
  }

  // Number of workflows that changed; those that ended in SUCCESS or ERROR are left as they are. Throws NotFound for an unknown id.
  int cancel(const std::string& id, CancelOptions options = {});
  int cancel(const std::vector<std::string>& ids, CancelOptions options = {});
  // Puts workflows that have not succeeded or failed back on a queue (empty = the internal one), from the dead letter too; throws Conflict for SUCCESS and ERROR, NotFound.
  int resume(const std::string& id, const std::string& queue = {});
  int resume(const std::vector<std::string>& ids, const std::string& queue = {});

  // Throws NotFound when the destination does not exist.
  template <class T>
  void send(const std::string& destination, const T& message, SendOptions options = {}) {
    send_text(destination, Codec<T>::encode(message, "message"), options);
  }
  template <class T>
  std::optional<T> get_event(const std::string& id, const std::string& key, Milliseconds timeout = Milliseconds{60000}) {
    auto text = get_event_text(id, key, timeout);
    if (!text) return std::nullopt;
    return Codec<T>::decode(*text, "event " + key + " of workflow " + id);
  }

  // Starts a workflow once calls with this key have paused for options.delay, with the arguments of the last call. All these calls return
  // a handle of the same run; once it has started, the next call begins another. Official SDKs' debouncers of the same workflow, class and
  // queue share the key. Throws Deduplicated when a run that is not debounced holds it, UsageError, InDoubt, ConnectionError.
  template <class R, class... A>
  Handle<R> debounce(const Signature<R(A...)>& target, const std::string& key, DebounceOptions options, const std::type_identity_t<A>&... arguments) {
    return Handle<R>(debounce_text(target.name, target.class_name, key, std::move(options), detail::encode_arguments(arguments...)));
  }

  // Queues are rows in dbos.queues that every SDK reads; a change holds from the next claim on. Creates one, or replaces all its options.
  // These throw UsageError for options that do not fit, and for a queue of another application.
  void register_queue(const std::string& name, const QueueOptions& options);
  // Changes what is given. Throws UsageError (WF030) for a queue that is not registered, as the three below; with ClientOptions::application
  // also (WF001) for that of another.
  void alter_queue(const std::string& name, const QueueOptions& options);
  // Nothing of the queue is claimed, by official SDKs neither, until it is resumed; what runs goes on.
  void pause_queue(const std::string& name);
  void resume_queue(const std::string& name);
  // Throws Error (WF036) while workflows wait on it, unless forced: then they wait until a queue of this name is registered again.
  void drop_queue(const std::string& name, bool force = false);
  std::vector<QueueInfo> queues();
  // Queues of which workflows of this application, or of none, wait although nobody registered them: an application that serves them is yet
  // to come, or their names are misspelt. The first enqueue to such a queue is also told to ClientOptions::log.
  std::vector<UnregisteredQueue> unregistered_queues();

  // Limits that steps share (StepOptions::limit). register_limit() makes one or replaces its bounds; the others
  // throw Error WF040 for an unknown one.
  void register_limit(const std::string& name, const LimitOptions& options);
  void alter_limit(const std::string& name, const LimitChange& change);
  // How many waited or held a permit; throws Error WF043 while somebody does, unless force.
  std::int64_t drop_limit(const std::string& name, bool force = false);
  // Nobody begins for so long; the longest hold counts, 0 ends it. Returns its end in epoch ms.
  std::int64_t hold(const std::string& name, Milliseconds duration);
  std::vector<LimitInfo> limits();

  // Schedules are rows in dbos.workflow_schedules that every SDK reads. Makes one, or replaces all but its pause and its last firing; throws
  // UsageError for what is no cron text, an unknown time zone and another application's schedule. The others throw Error WF060 for an unknown one.
  void apply_schedule(const std::string& name, const std::string& workflow, const ScheduleOptions& options);
  void alter_schedule(const std::string& name, const ScheduleChange& change);
  void pause_schedule(const std::string& name);
  void resume_schedule(const std::string& name);
  // What it enqueued stays.
  void drop_schedule(const std::string& name);
  // Enqueues one run now, paused or not; returns its id. Throws Error WF062, as backfill, for one whose runs only its SDK can make.
  std::string trigger_schedule(const std::string& name);
  // Enqueues the runs between two times (epoch ms, both outside), at most so many.
  BackfillReport backfill_schedule(const std::string& name, std::int64_t from, std::int64_t to, int limit = 10000);
  std::vector<ScheduleInfo> schedules();

  // Throws ConnectionError or Error (WF002, WF004) when the server, the extension or the tables do not fit this client.
  void check();

 protected:
  std::shared_ptr<detail::HandleState> enqueue_text(std::string_view name, std::string_view class_name, const std::string& queue,
                                                    StartOptions options, std::string inputs);
  std::shared_ptr<detail::HandleState> debounce_text(std::string_view name, std::string_view class_name, const std::string& key,
                                                     DebounceOptions options, std::string inputs);
  std::shared_ptr<detail::HandleState> handle_state(const std::string& id);
  std::string fork_id(const std::string& id, const ForkOptions& options);
  void send_text(const std::string& destination, const std::string& message, const SendOptions& options);
  std::optional<std::string> get_event_text(const std::string& id, const std::string& key, Milliseconds timeout);

  std::shared_ptr<Impl> impl_;
};

}  // namespace dbos
